"""What `04_benchmark.ipynb` asks of measured systems beyond their scores, as frames."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.optimize import linear_sum_assignment

from evoxtral import bench, metrics, stats, tags
from evoxtral.bench import BASE, OVERALL, PAPER, RL, SFT, STRICT, Measured, Split
from evoxtral.metrics import TOLERANCE_WORDS, Evaluation
from evoxtral.paper import SYSTEMS, Published
from evoxtral.stats import Ratio
from evoxtral.tags import Transcript

MISSED, INVENTED, OTHER = "missed", "invented", "other"
NOISE_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)

RARE = 5
"""Below so many occurrences the report calls a tag's F1 unreliable."""

_TAG = re.compile(r"\[[^\[\]]*[^\[\]\s][^\[\]]*\]")
_LIMITS = yaml.safe_load(Path(__file__).with_name("analyses.yaml").read_text(encoding="utf-8"))


def _number(value: float, *, unit: str = "%", sign: str = "") -> str:
    """A fraction times 100 with one digit, a dash where there is none."""
    return "—" if math.isnan(value) else f"{100 * value:{sign},.1f}{unit}".replace("-", "−")


def rare_tags(measured: Measured) -> pd.DataFrame:
    """F1 of SFT and RL where all tags are about as frequent, with the counts behind it.

    Rows of `bench.score_frame`, protocol strict, with `tag`, `precision`, `recall`, `predicted`.
    """
    rows = bench.by_tag(measured.balanced_scores)
    strict = (rows["protocol"] == STRICT) & (rows["support"] > 0)
    rows = rows[strict & rows["system"].isin((SFT, RL))]
    counts = {s: measured.balanced.evaluations[s].tag_counts("strict") for s in (SFT, RL)}
    own = [counts[s][tag] for s, tag in zip(rows["system"], rows["tag"], strict=True)]
    names = ("precision", "recall", "predicted")
    return rows.assign(**{name: [getattr(count, name) for count in own] for name in names})


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


def _tag_numbers(evaluation: Evaluation) -> pd.DataFrame:
    """Tags of each clip: `true | predicted`."""
    own = [(clip.strict.tags.support, clip.strict.tags.predicted) for clip in evaluation.clips]
    return pd.DataFrame(own, columns=["true", "predicted"])


def count_bias(split: Split, *, seed: int = 0) -> pd.DataFrame:
    """Whether a system writes too many tags or too few.

    For each the mean number of `true` and `predicted` tags per clip, their `difference` with `low`,
    `high`; the `ratio` of predicted to true with `ratio_low`, `ratio_high` (NaN without true tags);
    the share of clips with the `same` number; clips `n`.
    """
    rows = []
    for system, evaluation in split.models.items():
        true, predicted = _tag_numbers(evaluation).to_numpy().T
        ratios = [Ratio(predicted - true, np.ones(len(true))), Ratio(predicted, true)]
        found = stats.bootstrap_intervals(dict(enumerate(ratios)), seed=seed)
        ends = [end for i in found.values() for end in (i.value, i.low, i.high)]
        same = (true == predicted).mean()
        rows.append((system, true.mean(), predicted.mean(), *ends, same, len(true)))
    names = ["system", "true", "predicted", "difference", "low", "high"]
    names += ["ratio", "ratio_low", "ratio_high", "same", "n"]
    return pd.DataFrame(rows, columns=names)


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

    Returns:
        Scores with `share`, and their `rise` above the same predictions on clean references with
        the paired interval `rise_low`, `rise_high`.
    """
    clean = split.evaluations[RL]
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


def spread(split: Split) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of single clips' Tag F1, protocol paper, by `paper.SYSTEMS`."""
    scored = ((key, split.evaluations[name]) for key, name in SYSTEMS.items() if name != BASE)
    clips = {key: own.table("paper")["tag_f1"].ratio.numerator for key, own in scored}
    return {key: (own.mean(), own.std(ddof=1)) for key, own in clips.items()}


def limits(measured: Measured, printed: Published, noise: pd.DataFrame) -> pd.DataFrame:
    """The six limits that the report states (section 6): `limit | said | measured`, in sentences.

    `noise` is the `noise_curve` of RL.
    """
    few, supports = int(printed.numbers["bench_clips"]), printed.per_tag["support"]
    known: dict[str, Any] = {
        "always": True,
        "few": few,
        "train": int(printed.numbers["train_clips"]),
        "learnt": measured.settings["Training clips"],
        "rare": (supports < RARE).sum(),
        "least": RARE,
        "tags": len(supports),
        "only" if measured.headline.clips <= few else "clips": measured.headline.clips,
        **_hallucination(measured, printed, noise),
        **_precision(measured, few),
    }
    if measured.seen:
        wer, seen_wer = (
            _number(own.table("paper")["wer"].value)
            for own in (measured.headline.evaluations[RL], measured.seen)
        )
        known |= {"seen": len(measured.seen.clips), "seen_wer": seen_wer, "wer": wer}

    rows = [
        (
            row["limit"],
            row["said"].format(**known),
            " ".join(text.format(**known) for key, text in row["measured"].items() if key in known),
        )
        for row in _LIMITS
    ]
    return pd.DataFrame(rows, columns=["limit", "said", "measured"])


def _hallucination(measured: Measured, printed: Published, noise: pd.DataFrame) -> dict[str, Any]:
    scores = measured.scores.set_index(["protocol", "system", "metric"])
    own = scores.loc[(PAPER, RL, "hallucination")]
    rate = float(printed.core.set_index("key").loc["hallucination", "rl"])
    last = noise[noise["protocol"] == PAPER].sort_values("share").iloc[-1]
    known = {
        "printed": _number(rate),
        "rate": _number(own["value"]),
        "low": _number(own["low"], unit=""),
        "high": _number(own["high"], unit=""),
        "untagged": scores.loc[(STRICT, RL, "hallucinated_per_untagged"), "value"],
        "share": last["share"],
        "noisy": _number(last["value"]),
        "rise": ", no rise shown.",
    }
    if last["rise_low"] > 0:
        known["rise"] = ": missing labels look like hallucination."
        if own["value"] < rate:
            # Each missing label turns a right tag into a false one: rate = own + share (1 - own).
            # Tags that repeat in a clip make the share a lower bound.
            known["needed"] = _number((rate - own["value"]) / (1 - own["value"]))
    return known


def _precision(measured: Measured, few: int) -> dict[str, Any]:
    """How wide intervals are on the balanced set, on the first clips and on all of them."""
    own = {name: Evaluation(measured.headline.evaluations[name].clips[:few]) for name in (SFT, RL)}
    frames = {
        "wide": measured.balanced_scores,
        "narrow": bench.score_frame(Split("first", own), seed=measured.seed),
        "all": measured.scores,
    }
    known: dict[str, Any] = {}
    for name, frame in frames.items():
        rows = frame[frame["protocol"] == PAPER].assign(span=frame["high"] - frame["low"])
        for system, reach in rows[rows["metric"] == "tag_f1"].set_index("system")["span"].items():
            known[f"{name}_{system}"] = _number(reach / 2, unit="")
        single = bench.by_tag(rows[rows["system"] == RL])
        span = single.loc[single["tag"].isin(tags.TAGS), "span"].max()
        known[name] = "—" if math.isnan(span) else f"{span:.2f}"
        if name == "wide":
            support = single.loc[single["support"] > 0, "support"]
            known |= {"balanced": support.min(), "found": len(support)}
    return known
