"""What `04_benchmark.ipynb` asks of measured systems beyond their scores, as frames.

Which tag is written for which, how many are written, hallucination against missing labels, the
limits that the report states, and which model is best for which use.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from evoxtral import UserError, bench, metrics, stats, tags
from evoxtral.bench import PAPER, RL, SFT, STRICT, Measured, Split
from evoxtral.metrics import TOLERANCE_WORDS, ClipScore, Evaluation
from evoxtral.paper import Published
from evoxtral.stats import Interval, Ratio
from evoxtral.tags import Transcript

MISSED, INVENTED, OTHER = "missed", "invented", "other"
NO_DIFFERENCE = "no difference shown"
NOISE_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)

RARE = 5
"""Below so many occurrences the report calls a tag's F1 unreliable."""


def _number(value: float, *, unit: str = "%", sign: str = "") -> str:
    """A fraction times 100 with one digit, a dash where there is none."""
    return "—" if math.isnan(value) else f"{100 * value:{sign},.1f}{unit}".replace("-", "−")


def rare_tags(measured: Measured) -> pd.DataFrame:
    """F1 of SFT and RL where all tags are about as frequent, with the counts behind it.

    Returns:
        Rows of `bench.score_frame` under the strict protocol with `tag`, `precision`, `recall`
        and how often it was `predicted`.
    """
    rows = bench.by_tag(measured.balanced_scores)
    rows = rows[(rows["protocol"] == STRICT) & (rows["support"] > 0)]
    systems = measured.balanced.evaluations
    counts = {name: systems[name].tag_counts("strict") for name in (SFT, RL)}
    own = [counts[s][tag] for s, tag in zip(rows["system"], rows["tag"], strict=True)]
    return rows.assign(
        precision=[c.precision for c in own],
        recall=[c.recall for c in own],
        predicted=[c.predicted for c in own],
    )


def pair_tags(reference: Transcript, prediction: Transcript) -> list[tuple[str | None, str | None]]:
    """Pairs of a true and a predicted tag name in one clip; None where one has no partner.

    Tags are paired one to one, as far apart as the metrics allow. Equal ones are paired first, as
    many as can be: they are the hits of protocol `strict`. What is left is paired with a different
    tag nearby, as many as can be and then as close as can be.

    >>> from evoxtral.tags import parse
    >>> pair_tags(parse("[sad] oh [pause] no"), parse("[calm] oh [pause] no [sighs]"))
    [('sad', 'calm'), ('pause', 'pause'), (None, 'sighs')]
    """
    true, predicted = reference.tags, prediction.tags
    places = metrics.places_in_reference(reference.words, prediction.words)
    gain = np.zeros((len(true), len(predicted)))  # of leaving both without a partner
    # A clip has fewer than `most` pairs, so each unit outweighs all later ones of the clip: equal
    # tags, then any pair, then closeness, then the same order.
    most = max(gain.shape) + 1
    nearer = most**2
    pair = (TOLERANCE_WORDS + 1) * most * nearer
    for i, tag in enumerate(true):
        for j, other in enumerate(predicted):
            first, last = places[other.word_index]
            distance = max(first - tag.word_index, tag.word_index - last, 0)
            if distance <= TOLERANCE_WORDS:
                equal = (tag.name == other.name) * most * pair
                gain[i, j] = equal + pair - distance * nearer - abs(i - j)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    partner = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0}
    taken = set(partner.values())
    paired = [
        (tag.name, predicted[partner[i]].name if i in partner else None)
        for i, tag in enumerate(true)
    ]
    return paired + [(None, tag.name) for j, tag in enumerate(predicted) if j not in taken]


def confusion(evaluation: Evaluation) -> pd.DataFrame:
    """How often each true tag was written as each tag, over all clips.

    Returns:
        Columns `true`, `predicted`, `count`, `share`: one row for every combination of the 17 tags,
        plus `missed` among the predicted and `invented` among the true. Tags outside the
        vocabulary count as `other`, which is there only if one occurs. `share` is of the true
        tag's occurrences; in the rows of `invented`, of the predicted tag's.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for clip in evaluation.clips:
        pairs = pair_tags(tags.parse(clip.reference), tags.parse(clip.prediction))
        counts.update((_known(t, INVENTED), _known(p, MISSED)) for t, p in pairs)
    names = [tag for group in tags.GROUPS.values() for tag in group]
    names += [OTHER] if any(OTHER in pair for pair in counts) else []
    frame = pd.DataFrame(
        [
            (true, predicted, counts[true, predicted])
            for true in [*names, INVENTED]
            for predicted in [*names, MISSED]
            if (true, predicted) != (INVENTED, MISSED)
        ],
        columns=["true", "predicted", "count"],
    )
    of_true, of_predicted = (
        frame.groupby(side)["count"].transform("sum") for side in ("true", "predicted")
    )
    total = of_true.where(frame["true"] != INVENTED, of_predicted)
    return frame.assign(share=frame["count"] / total.where(total > 0))


def _known(tag: str | None, none: str) -> str:
    if tag is None:
        return none
    return tag if tag in tags.TAGS else OTHER


def _tag_numbers(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted tags of each clip, both of shape (clips,)."""
    own = [clip.strict.tags for clip in evaluation.clips]
    return np.array([c.support for c in own]), np.array([c.predicted for c in own])


def count_pairs(split: Split) -> pd.DataFrame:
    """Clips by number of true and predicted tags: `system | true | predicted | clips`."""
    rows = []
    for system, evaluation in split.models.items():
        true, predicted = _tag_numbers(evaluation)
        seen = Counter(zip(true.tolist(), predicted.tolist(), strict=True))
        rows += [(system, t, p, clips) for (t, p), clips in sorted(seen.items())]
    return pd.DataFrame(rows, columns=["system", "true", "predicted", "clips"])


def count_bias(split: Split, *, seed: int = 0) -> pd.DataFrame:
    """Whether a system writes too many tags or too few.

    Returns:
        For each system the mean number of `true` and `predicted` tags per clip, their `difference`
        with interval `low`, `high`; the `ratio` of predicted to true with `ratio_low`,
        `ratio_high` (NaN without true tags); the share of clips with the `same` number; `n`.
    """
    rows = []
    for system, evaluation in split.models.items():
        true, predicted = _tag_numbers(evaluation)
        ratios = {
            "difference": Ratio(predicted - true, np.ones(len(true))),
            "ratio": Ratio(predicted, true),
        }
        row = {"system": system, "true": true.mean(), "predicted": predicted.mean()}
        for name, i in stats.bootstrap_intervals(ratios, seed=seed).items():
            prefix = "ratio_" if name == "ratio" else ""
            row |= {name: i.value, f"{prefix}low": i.low, f"{prefix}high": i.high}
        rows.append(row | {"same": (true == predicted).mean(), "n": len(true)})
    return pd.DataFrame(rows)


def drop_tags(texts: Sequence[str], share: float, *, seed: int = 0) -> list[str]:
    """Remove each tag of tagged texts with a given probability.

    With one seed a larger share drops all that a smaller one does, and more.

    >>> drop_tags(["[sad] oh [pause] no"], 1.0)
    ['oh no']
    """
    draws = np.random.default_rng(seed)
    return [_without(text, draws, share) for text in texts]


def _without(text: str, draws: np.random.Generator, share: float) -> str:
    parts: list[str] = []
    end = 0
    for tag in tags.parse(text).tags:
        if draws.random() < share:
            parts.append(text[end : tag.start])
            end = tag.end
    parts.append(text[end:])
    # A tag separates words even without spaces around it.
    return " ".join(part.strip() for part in parts if part.strip())


def noise_curve(
    split: Split, shares: Sequence[float] = NOISE_SHARES, *, seed: int = 0
) -> pd.DataFrame:
    """Hallucination rate of RL's fixed predictions against the share of labels that are missing.

    The report (section 6) suspects that part of its hallucinated tags were spoken but not
    annotated. Here a known share of the tags is dropped from complete references. Tags are dropped
    independently, so the intervals over clips hold the accident of which were dropped as well.

    Args:
        split: RL's scores on clean references.
        shares: of tags dropped from the references.
        seed: of the draws and of the bootstrap.

    Returns:
        Columns `system`, `protocol`, `metric` (hallucination), `share`, `value` with `low`,
        `high`, its `rise` above the same predictions on clean references with the paired
        interval `rise_low`, `rise_high`, and `n` clips.
    """
    clean = split.evaluations[RL]
    spoilt = {str(share): _with_noise(clean, share, seed) for share in shares}
    rows = []
    for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
        before = clean.table(protocol)["hallucination"].ratio
        found = {share: own.table(protocol)["hallucination"] for share, own in spoilt.items()}
        after = {share: metric.ratio for share, metric in found.items()}
        intervals = stats.bootstrap_intervals(after, seed=seed)
        rises = stats.paired_differences(after, dict.fromkeys(after, before), seed=seed)
        for share, metric in found.items():
            i, rise = intervals[share], rises[share]
            values = (i.value, i.low, i.high, rise.value, rise.low, rise.high, metric.n)
            rows.append((RL, name, metric.name, float(share), *values))
    columns = ["system", "protocol", "metric", "share", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "rise", "rise_low", "rise_high", "n"])


def _with_noise(clean: Evaluation, share: float, seed: int) -> Evaluation:
    """The same predictions against references that lack tags; the words stay what they were."""
    references = drop_tags([clip.reference for clip in clean.clips], share, seed=seed)
    return Evaluation(
        tuple(_rescored(clip, text) for clip, text in zip(clean.clips, references, strict=True))
    )


def _rescored(clip: ClipScore, reference: str) -> ClipScore:
    true, predicted = tags.parse(reference), tags.parse(clip.prediction)
    anywhere = metrics.tag_matches(reference, clip.prediction)
    return replace(
        clip,
        reference=reference,
        paper=replace(clip.paper, per_tag=anywhere, per_tag_anywhere=anywhere),
        strict=replace(
            clip.strict,
            per_tag=metrics.aligned_matches(true, predicted),
            per_tag_anywhere=metrics.anywhere_matches(true, predicted),
        ),
    )


def missing_labels(observed: float, genuine: float) -> float:
    """Share of labels that must be missing for one hallucination rate to show up as another.

    A label that is missing turns the tag that was rightly predicted for it into a false one:
    observed = genuine + share (1 - genuine). Tags that repeat in a clip make it a lower bound.

    >>> round(missing_labels(0.202, 0.0), 3), round(missing_labels(0.202, 0.1), 3)
    (0.202, 0.113)
    """
    return (observed - genuine) / (1 - genuine)


def spread(split: Split, few: int) -> pd.DataFrame:
    """How far Tag F1 of single clips spreads, for SFT and RL.

    Returns:
        Columns `system`, `protocol`, `mean`, `sd` over clips, and the standard error of the mean
        over `few` clips (`se_few`) and over all (`se`).
    """
    rows = []
    for name in (SFT, RL):
        clips = split.evaluations[name].table("paper")["tag_f1"].ratio.numerator.ravel()
        sd = float(clips.std(ddof=1))
        errors = (sd / few**0.5, sd / len(clips) ** 0.5)
        rows.append((name, PAPER, float(clips.mean()), sd, *errors))
    return pd.DataFrame(rows, columns=["system", "protocol", "mean", "sd", "se_few", "se"])


def limits(measured: Measured, printed: Published, noise: pd.DataFrame) -> pd.DataFrame:
    """The six limits that the report states (section 6): `limit | said | measured`, in sentences.

    Args:
        measured: systems on the splits.
        printed: the published numbers.
        noise: `noise_curve` of RL.
    """
    few, supports = int(printed.numbers["bench_clips"]), printed.per_tag["support"]
    rate = float(printed.core.set_index("key").loc["hallucination", "rl"])
    own = measured.headline.only(SFT, RL).evaluations
    first = Split("first", {name: Evaluation(one.clips[:few]) for name, one in own.items()})
    smaller = bench.score_frame(first, {PAPER: bench.PROTOCOLS[PAPER]}, seed=measured.seed)
    rows = [
        (
            "Synthetic training data",
            "All clips come from a TTS; natural speech may differ.",
            _synthetic(measured),
        ),
        (
            "Tag hallucination",
            f"About {_number(rate)} of RL's tags are not in the reference.",
            _hallucination(measured, rate, noise),
        ),
        (
            "Rare tag coverage",
            f"{(supports < RARE).sum()} of {len(supports)} tags have fewer than {RARE} "
            "occurrences.",
            _rare(measured, smaller, few),
        ),
        ("English only", "Other languages are not evaluated.", "Not measured: English only."),
        (
            "Small dataset",
            f"{int(printed.numbers['train_clips'])} training clips are few.",
            f"Not measured: this run learns from {measured.settings['Training clips']:,} clips.",
        ),
        (
            "Evaluation scope",
            f"{few} test clips; more would give firmer estimates.",
            _scope(measured, smaller, few),
        ),
    ]
    return pd.DataFrame(rows, columns=["limit", "said", "measured"])


def _paper_scores(scores: pd.DataFrame, system: str) -> pd.DataFrame:
    """One system's scores under the report's protocol, by metric."""
    rows = scores[(scores["protocol"] == PAPER) & (scores["system"] == system)]
    return rows.set_index("metric")


def _synthetic(measured: Measured) -> str:
    said = "Natural speech: not measured, all audio here is synthetic too."
    if RL not in measured.seen.evaluations:
        return said
    known, unseen = (
        split.evaluations[RL].table("paper")["wer"].value
        for split in (measured.seen, measured.headline)
    )
    return (
        f"{said} From training's own voices and sentence families ({measured.seen.clips:,} clips) "
        f"to the test set with unseen ones, RL's WER goes from {_number(known)} to "
        f"{_number(unseen)}."
    )


def _hallucination(measured: Measured, printed: float, noise: pd.DataFrame) -> str:
    found = _paper_scores(measured.scores, RL).loc["hallucination"]
    untagged = measured.headline.evaluations[RL].table("strict")["hallucinated_per_untagged"].value
    genuine, *ends = (float(found[name]) for name in ("value", "low", "high"))
    low, high = (_number(end, unit="") for end in ends)
    said = f"RL: {_number(genuine)} [{low}, {high}] of its tags; {untagged:.3f} tags per untagged"
    last = noise[noise["protocol"] == PAPER].sort_values("share").iloc[-1]
    said = (
        f"{said} clip. With {last['share']:.0%} of the labels removed on purpose the same "
        f"transcripts score {_number(last['value'])}"
    )
    if not last["rise_low"] > 0:
        return f"{said}, no rise shown."
    said = f"{said}: missing labels look like hallucination."
    if not genuine < printed:
        return said
    needed = _number(missing_labels(printed, genuine))
    return f"{said} {needed} missing would turn this run's rate into the printed one."


def _rare(measured: Measured, first: pd.DataFrame, few: int) -> str:
    balanced, natural = (
        bench.by_tag(scores[(scores["protocol"] == PAPER) & (scores["system"] == RL)])
        for scores in (measured.balanced_scores, first)
    )
    support = balanced.loc[balanced["support"] > 0, "support"]
    wide, narrow = (
        (rows["high"] - rows["low"])[rows["tag"].isin(tags.TAGS)].max()
        for rows in (balanced, natural)
    )
    spans = ["—" if math.isnan(span) else f"{span:.2f}" for span in (wide, narrow)]
    return (
        f"The balanced set has every tag {support.min():,} times or more ({len(support)} tags); "
        f"the widest 95% interval of a tag's F1 spans {spans[0]} there, {spans[1]} on the first "
        f"{few} natural clips."
    )


def _scope(measured: Measured, first: pd.DataFrame, few: int) -> str:
    if measured.headline.clips <= few:
        return f"Not measured: this run has {measured.headline.clips:,} test clips only."
    parts = []
    for name in (SFT, RL):
        found = [_paper_scores(one, name).loc["tag_f1"] for one in (first, measured.scores)]
        reaches = [float(row["high"] - row["low"]) / 2 for row in found]
        ends = " to ".join(f"±{_number(reach, unit='')}" for reach in reaches)
        parts.append(f"{name} {ends} points")
    return (
        f"From the first {few} clips to all {measured.headline.clips:,} the 95% interval of Tag F1 "
        f"narrows: {', '.join(parts)}."
    )


@dataclass(frozen=True)
class Use:
    """What a model is for, and the metric of both protocols, a fraction, that decides."""

    name: str
    metric: str
    label: str
    lower: bool


USES = (
    Use("accurate transcription", "wer", "WER", lower=True),
    Use("expressive tags, speech synthesis", "tag_f1", "Tag F1", lower=False),
)
"""The two uses for which the report releases two models (section 5)."""


def choose(split: Split, *, seed: int = 0) -> pd.DataFrame:
    """The best system for each use under each protocol, if a difference is shown.

    The system with the best value is compared with every other on the same clips. It is chosen if
    each paired 95 % interval excludes 0; the intervals are not corrected for how many there
    are. The baseline that knows all words is no model and does not compete.

    Returns:
        Columns `use`, `protocol`, `metric`, `choice` (a system or `no difference shown`), `best`
        and its `value`, `rival` (the next in value) and its `rival_value`, their `difference`
        with `low`, `high`, `n` clips, and `text`, a sentence with these numbers.

    Raises:
        UserError: fewer than two systems.
    """
    systems = split.models
    if len(systems) < 2:
        raise UserError("a choice needs two models: give the predictions of at least two")
    rows = []
    for name, protocol in ((PAPER, "paper"), (STRICT, "strict")):
        found = {system: own.table(protocol) for system, own in systems.items()}
        for use in USES:
            scores = {system: table[use.metric].ratio for system, table in found.items()}
            rows.append(_choice(use, name, scores, seed))
    return pd.DataFrame(rows)


def _choice(use: Use, protocol: str, scores: Mapping[str, Ratio], seed: int) -> dict[str, object]:
    values = {name: ratio.value for name, ratio in scores.items()}
    best, *others = sorted(values, key=lambda name: values[name], reverse=not use.lower)
    apart = stats.paired_differences(
        dict.fromkeys(others, scores[best]), {name: scores[name] for name in others}, seed=seed
    )
    tied = [name for name, i in apart.items() if not (i.high < 0 or i.low > 0)]
    rival = others[0]
    closest = apart[rival]
    against = [_against(name, values[name], i, name in tied) for name, i in apart.items()]
    return {
        "use": use.name,
        "protocol": protocol,
        "metric": use.label,
        "choice": NO_DIFFERENCE if tied else best,
        "best": best,
        "value": values[best],
        "rival": rival,
        "rival_value": values[rival],
        "difference": closest.value,
        "low": closest.low,
        "high": closest.high,
        "n": closest.n,
        "text": f"{use.label} of {best} {_number(values[best])}: {'; '.join(against)}",
    }


def _against(other: str, value: float, apart: Interval, tied: bool) -> str:
    low, points, high = (
        _number(end, unit="", sign="+") for end in (apart.low, apart.value, apart.high)
    )
    shown = f", {NO_DIFFERENCE}" if tied else ""
    return f"against {other} ({_number(value)}) {points} points [{low}, {high}]{shown}"
