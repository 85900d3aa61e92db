"""What `04_benchmark.ipynb` asks of measured systems beyond their scores, as frames."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from evoxtral import bench, metrics, stats, tags
from evoxtral.bench import BASE, OVERALL, PAPER, RL, SFT, STRICT, Measured, Split
from evoxtral.metrics import TOLERANCE_WORDS, Evaluation
from evoxtral.paper import SYSTEMS
from evoxtral.stats import Ratio
from evoxtral.tags import Transcript

MISSED, INVENTED, OTHER = "missed", "invented", "other"
NOISE_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_ENDS = ["value", "low", "high"]

LEARNT = 0.5
"""F1 from which a tag, or a group of tags, is called learnt."""

STOP, EXPECTED = 0.02, 0.03
"""Rise of WER on plain speech: more stops training, more is not expected (composition note)."""

_TAG = re.compile(r"\[[^\[\]]*[^\[\]\s][^\[\]]*\]")


def pair_tags(reference: Transcript, prediction: Transcript) -> list[tuple[str | None, str | None]]:
    """Pairs of a true and a predicted tag name in one clip; None where one has no partner.

    Tags are paired one to one, as far apart as the metrics allow: first as many equal ones as can
    be, the hits of protocol `strict`; then others, as many and then as close as can be.

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
    best = zip(*linear_sum_assignment(gain, maximize=True), strict=True)
    found = {i: j for i, j in best if gain[i, j] > 0}
    return [
        *((true[i].name, predicted[j].name) for i, j in found.items()),
        *((tag.name, None) for i, tag in enumerate(true) if i not in found),
        *((None, tag.name) for j, tag in enumerate(predicted) if j not in found.values()),
    ]


def confusion(evaluation: Evaluation) -> pd.DataFrame:
    """How often each true tag was written as each: `true | predicted | count | share`.

    A row for every combination of the 17 tags, of `missed` among the predicted and `invented` among
    the true, and of `other` if a tag outside the vocabulary occurs. `share` is of the true tag's
    occurrences; in the rows of `invented`, of the predicted tag's.
    """
    names = [tag for group in tags.GROUPS.values() for tag in group]
    true, predicted = ({tag: tag for tag in names} | {None: none} for none in (INVENTED, MISSED))
    counts = Counter(
        (true.get(t, OTHER), predicted.get(p, OTHER))
        for clip in evaluation.clips
        for t, p in pair_tags(tags.parse(clip.reference), tags.parse(clip.prediction))
    )
    names += [OTHER] if any(OTHER in pair for pair in counts) else []
    pairs = [*product([*names, INVENTED], [*names, MISSED])][:-1]
    frame = pd.DataFrame(pairs, columns=["true", "predicted"])
    frame["count"] = [counts[pair] for pair in pairs]
    of_true, of_predicted = (frame.groupby(s)["count"].transform("sum") for s in frame.columns[:2])
    total = of_true.where(frame["true"] != INVENTED, of_predicted)
    return frame.assign(share=frame["count"] / total.where(total > 0))


def count_bias(split: Split, *, seed: int = 0) -> pd.DataFrame:
    """Whether a system writes too many tags or too few, anywhere in a clip.

    For each the mean number of `true` and `predicted` tags per clip, their `difference` with `low`,
    `high`; the `ratio` of predicted to true with `ratio_low`, `ratio_high` (NaN without true tags);
    the share of clips with the `same` number; clips `n`. Of a system's first training.
    """
    rows = []
    for system, evaluation in split.models.items():
        own = [(clip.strict.tags.support, clip.strict.tags.predicted) for clip in evaluation.clips]
        true, predicted = np.array(own).T
        ratios = [Ratio(predicted - true, np.ones(len(true))), Ratio(predicted, true)]
        found = stats.bootstrap_intervals(dict(enumerate(ratios)), seed=seed)
        ends = [end for i in found.values() for end in (i.value, i.low, i.high)]
        same = (true == predicted).mean()
        rows.append((system, STRICT, true.mean(), predicted.mean(), *ends, same, len(true)))
    names = ["system", "protocol", "true", "predicted", "difference", "low", "high"]
    names += ["ratio", "ratio_low", "ratio_high", "same", "n"]
    return pd.DataFrame(rows, columns=names)


def group_scores(split: Split, *, seed: int = 0) -> pd.DataFrame:
    """F1 of each group of tags, all its occurrences pooled, and which of its tags are learnt.

    Rows of `bench.score_frame`, protocol strict, of SFT and RL, with `group`, and its tags by
    `LEARNT`, `learnt` and `not_learnt`. Groups that do not occur are left out.
    """
    ratios, rows = {}, []
    for group, system in product(tags.GROUPS, (SFT, RL)):
        found = split.evaluations[system].per_tag("strict")
        own = {tag: found[tag] for tag in tags.GROUPS[group] if tag in found}
        if support := sum(metric.support for metric in own.values()):
            ratios[group, system] = _pooled([metric.ratio for metric in own.values()])
            good = [tag for tag, metric in own.items() if metric.value >= LEARNT]
            lists = (", ".join(f"[{tag}]" for tag in own if (tag in good) == yes) for yes in (1, 0))
            rows.append((group, system, split.name, STRICT, support, *lists))
    ends = stats.bootstrap_intervals(ratios, seed=seed).values() if ratios else ()
    names = ["group", "system", "split", "protocol", "support", "learnt", "not_learnt"]
    numbers = pd.DataFrame([(i.value, i.low, i.high, i.n) for i in ends], columns=[*_ENDS, "n"])
    return pd.DataFrame(rows, columns=names).join(numbers)


def _pooled(ratios: Sequence[Ratio]) -> Ratio:
    """Counts of several statistics taken together, in each training."""
    repeats = zip(*(ratio.repeats for ratio in ratios), strict=True)
    return Ratio(
        sum(ratio.numerator for ratio in ratios),
        sum(ratio.denominator for ratio in ratios),
        tuple(map(_pooled, repeats)),
    )


def by_familiarity(measured: Measured) -> pd.DataFrame:
    """The headline metrics by how new clips are to training: `bench.headline`, `kind`, `clips`."""
    clips = Split(measured.headline.name, measured.headline.models)
    frames = []
    for kind, own in measured.kinds.groupby(measured.kinds):
        scores = bench.headline(clips.only(set(own.index)), seed=measured.seed)
        frames.append(scores.assign(kind=kind, clips=len(own)))
    return pd.concat(frames, ignore_index=True)


def plain_speech(measured: Measured) -> pd.DataFrame:
    """What fine-tuning costs on plain speech: word errors of base, SFT and RL.

    `speech` is the split of plain speech, or the untagged clips of the headline split. Rows of
    `bench.score_frame`, protocol strict, with the paired `rise` above base, `rise_low`,
    `rise_high`; whether it is above `STOP` and `EXPECTED`: yes, no, or not decided.
    """
    untagged = f"untagged clips of {measured.headline.name}"
    asked = [(measured.headline, "wer_untagged", untagged)]
    if measured.plain:
        asked.insert(0, (measured.plain, "wer", measured.plain.name))
    strict, frames = {STRICT: OVERALL[STRICT]}, []
    for split, metric, speech in asked:
        own = Split(split.name, {name: split.evaluations[name] for name in (BASE, SFT, RL)})
        pairs = [(BASE, SFT), (BASE, RL)]
        scores = bench.score_frame(own, strict, only=(metric,), seed=measured.seed)
        paired = bench.paired_frame(own, pairs, strict, only=(metric,), seed=measured.seed)
        rises = paired.set_index("system")[["difference", "low", "high"]]
        rises.columns = ["rise", "rise_low", "rise_high"]
        frames.append(scores.assign(speech=speech).join(rises, on="system"))
    frame = pd.concat(frames, ignore_index=True)
    for name, limit in (("stop", STOP), ("expected", EXPECTED)):
        cases = [frame["rise"].isna(), frame["rise_low"] > limit, frame["rise_high"] < limit]
        frame[name] = np.select(cases, [None, "yes", "no"], "not decided")
    return frame


def drop_tags(texts: Sequence[str], share: float, *, seed: int = 0) -> list[str]:
    """Remove each tag of tagged texts with a given probability.

    With one seed a larger share drops all that a smaller one does, and more.

    >>> drop_tags(["[sad] oh [pause] no"], 1.0)
    ['oh no']
    """
    draws = np.random.default_rng(seed)
    made = []
    for text in texts:
        # A tag separates words even without spaces around it.
        kept = _TAG.sub(lambda tag: " " if draws.random() < share else tag[0], text)
        made.append(" ".join(kept.split()))
    return made


def noise_curve(
    split: Split, shares: Sequence[float] = NOISE_SHARES, *, seed: int = 0
) -> pd.DataFrame:
    """Hallucination rate of RL's fixed predictions against the share of labels that are missing.

    The report (section 6) suspects that part of its hallucinated tags were spoken but not
    annotated; here a known share of the tags is dropped from complete references, each by itself.
    The predictions are those of RL's first training.

    Returns:
        Scores with `share`, and their `rise` above the same predictions on clean references with
        the paired interval `rise_low`, `rise_high`.
    """
    clean = replace(split.evaluations[RL], repeats=())
    noisy = {share: _with_noise(clean, share, seed) for share in shares}
    rows = []
    for protocol, measured in OVERALL.items():
        before = measured(clean)["hallucination"].ratio
        after = {share: measured(own)["hallucination"].ratio for share, own in noisy.items()}
        found = stats.bootstrap_intervals(after, seed=seed)
        rises = stats.paired_differences(after, dict.fromkeys(after, before), seed=seed)
        for share, i in found.items():
            ends = [end for own in (i, rises[share]) for end in (own.value, own.low, own.high)]
            rows.append((RL, protocol, "hallucination", share, *ends, len(clean.clips)))
    columns = ["system", "protocol", "metric", "share", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "rise", "rise_low", "rise_high", "n"])


def _with_noise(clean: Evaluation, share: float, seed: int) -> Evaluation:
    """The same predictions against references that lack tags; the words stay what they were."""
    texts = drop_tags([clip.reference for clip in clean.clips], share, seed=seed)
    clips = []
    for clip, text in zip(clean.clips, texts, strict=True):
        spelt = metrics.tag_matches(text, clip.prediction)
        sides = tags.parse(text), tags.parse(clip.prediction)
        placed, anywhere = metrics.aligned_matches(*sides), metrics.anywhere_matches(*sides)
        paper = replace(clip.paper, per_tag=spelt, per_tag_anywhere=spelt)
        strict = replace(clip.strict, per_tag=placed, per_tag_anywhere=anywhere)
        clips.append(replace(clip, paper=paper, strict=strict))
    return Evaluation(tuple(clips))


def crossing(noise: pd.DataFrame, rate: float) -> float:
    """Share of missing labels at which the report's hallucination rate reaches `rate`.

    Between the shares of a `noise_curve` the line is straight; NaN beyond its ends.
    """
    own = noise[noise["protocol"] == PAPER].sort_values("share")
    return float(np.interp(rate, own["value"], own["share"], left=np.nan, right=np.nan))


def spread(split: Split) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of single clips' Tag F1, protocol paper, by `paper.SYSTEMS`."""
    scored = ((key, split.evaluations[name]) for key, name in SYSTEMS.items() if name != BASE)
    clips = {key: own.table("paper")["tag_f1"].ratio.numerator for key, own in scored}
    return {key: (own.mean(), own.std(ddof=1)) for key, own in clips.items()}
