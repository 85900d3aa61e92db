"""Which tag is written for which: a confusion matrix over tags aligned by position.

The tags of a clip are paired one to one, as far apart as the metrics allow
(`metrics.TOLERANCE_WORDS`). Equal tags are paired first, as many as can be: the
diagonal holds exactly the hits of protocol `strict`. What is left is paired with a different tag
nearby, as many as can be and then as close as can be; the rest was missed, or invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from evoxtral import tags
from evoxtral.metrics import TOLERANCE_WORDS, Evaluation, places_in_reference
from evoxtral.tags import Transcript

MISSED, INVENTED, OTHER = "missed", "invented", "other"

Pair = tuple[str | None, str | None]


def pair_tags(
    reference: Transcript, prediction: Transcript, *, tolerance: int = TOLERANCE_WORDS
) -> list[Pair]:
    """Pairs of a true and a predicted tag name in one clip; None where one has no partner.

    Args:
        reference: What was said.
        prediction: What was transcribed.
        tolerance: Largest distance of two paired tags, in reference words.

    >>> from evoxtral.tags import parse
    >>> pair_tags(parse("[sad] oh [pause] no"), parse("[calm] oh [pause] no [sighs]"))
    [('sad', 'calm'), ('pause', 'pause'), (None, 'sighs')]
    """
    true, predicted = reference.tags, prediction.tags
    places = places_in_reference(reference.words, prediction.words)
    spans = [places[tag.word_index] for tag in predicted]
    gain = np.zeros((len(true), len(predicted)))  # of leaving both without a partner
    most = max(gain.shape) + 1
    for i, tag in enumerate(true):
        for j, (first, last) in enumerate(spans):
            distance = max(first - tag.word_index, tag.word_index - last, 0)
            if distance <= tolerance:
                equal = tag.name == predicted[j].name
                gain[i, j] = _gain(equal, distance, abs(i - j), most, tolerance)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    partner = {int(i): int(j) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0}
    taken = set(partner.values())
    pairs: list[Pair] = [
        (tag.name, predicted[partner[i]].name if i in partner else None)
        for i, tag in enumerate(true)
    ]
    return pairs + [(None, tag.name) for j, tag in enumerate(predicted) if j not in taken]


def _gain(equal: bool, distance: int, order: int, most: int, tolerance: int) -> float:
    """Worth of a pair: equal tags, then any pair, then closeness, then the same order.

    A clip has fewer than `most` pairs, so each unit here outweighs all later ones of the clip.
    """
    nearer = most**2
    pair = (tolerance + 1) * most * nearer
    return float(equal * most * pair + pair - distance * nearer - order)


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
        counts.update((_name(t, INVENTED), _name(p, MISSED)) for t, p in pairs)
    seen = {name for pair in counts for name in pair}
    names = [tag for group in tags.GROUPS.values() for tag in group]
    names += [OTHER] if OTHER in seen else []
    rows = [(t, p, counts[t, p]) for t in [*names, INVENTED] for p in [*names, MISSED]]
    frame = pd.DataFrame(
        [row for row in rows if row[:2] != (INVENTED, MISSED)],
        columns=["true", "predicted", "count"],
    )
    return frame.assign(share=_shares(frame))


def _name(tag: str | None, none: str) -> str:
    if tag is None:
        return none
    return tag if tag in tags.TAGS else OTHER


def _shares(frame: pd.DataFrame) -> Sequence[float]:
    of_true = frame.groupby("true")["count"].transform("sum")
    of_predicted = frame.groupby("predicted")["count"].transform("sum")
    total = of_true.where(frame["true"] != INVENTED, of_predicted)
    return (frame["count"] / total.where(total > 0)).to_list()
