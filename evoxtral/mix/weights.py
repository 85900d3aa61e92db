"""Class balance for training: weights by effective number of samples, and task : plain mixes.

Class-balanced weights (Cui et al., CVPR 2019; composition note, section 5) replace the n samples
of a class by their effective number (1 - beta^n) / (1 - beta).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evoxtral import UserError, tags
from evoxtral.mix.goals import MAX_DRAWS
from evoxtral.mix.items import Item
from evoxtral.mix.plan import Part, Total, draw_mix

ClassBalance = Literal["none", "oversample", "weighted"]

PLAIN = "plain"


def class_balanced_weights(
    counts: Mapping[str, int], beta: float = 0.999, *, normalise: bool = True
) -> dict[str, float]:
    """Weight per class, (1 - beta) / (1 - beta^n).

    Args:
        counts: samples per class, each at least 1.
        beta: in [0, 1); 0 weighs classes alike, towards 1 the weight tends to 1 / n. The note
            names 0.9, 0.99 and 0.999.
        normalise: scale the weights to add up to the number of classes, as the paper does.

    Raises:
        UserError: beta out of range or a class without samples.

    >>> class_balanced_weights({"a": 1, "b": 2}, beta=0.5, normalise=False)
    {'a': 1.0, 'b': 0.6666666666666666}
    """
    if not 0 <= beta < 1:
        raise UserError(f"beta is {beta}: give a number in [0, 1), such as 0.999")
    empty = [name for name, count in counts.items() if count < 1]
    if empty:
        raise UserError(f"class {empty[0]!r} has no samples: leave it out of the weights")
    raw = {name: (1 - beta) / (1 - beta**count) for name, count in counts.items()}
    scale = len(raw) / sum(raw.values()) if normalise and raw else 1.0
    return {name: weight * scale for name, weight in raw.items()}


def clip_weights(
    items: Sequence[Item], mode: ClassBalance = "none", beta: float = 0.999
) -> NDArray[np.float64]:
    """Weight or draws of each clip in fine-tuning, (n,).

    A clip belongs to the classes of its distinct tags, a clip without tags to `plain`; its weight
    is the mean of its classes' weights, scaled to mean 1 over the clips.

    Args:
        items: the training clips.
        mode: `none`: ones. `weighted`: factor of each clip's loss. `oversample`: times each clip
            is drawn per epoch, the weight rounded, at least 1 and at most `MAX_DRAWS`.
        beta: see `class_balanced_weights`.

    Returns:
        Positive weights; whole numbers for `none` and `oversample`.

    Raises:
        UserError: unknown mode or beta out of range.
    """
    if mode not in ("none", "oversample", "weighted"):
        raise UserError(f"class_balance is {mode!r}: give none, oversample or weighted")
    if mode == "none" or not items:
        return np.ones(len(items))
    classes = [set(tags.find_tags(item.tagged_text)) or {PLAIN} for item in items]
    weights = class_balanced_weights(Counter(name for row in classes for name in row), beta)
    means = np.array([np.mean([weights[name] for name in sorted(row)]) for row in classes])
    scaled = means / means.mean()
    return scaled if mode == "weighted" else np.clip(np.rint(scaled), 1, MAX_DRAWS)


def mix_items(
    strata: Mapping[str, Sequence[Item]],
    ratio: Mapping[str, int],
    total: Total = "strict",
    *,
    seed: int = 0,
) -> list[Item]:
    """Mix strata of our own clips by a ratio, such as plain : tagged or synthetic : real.

    Args:
        strata: clips by stratum; one stratum is one domain of `draw_mix`.
        ratio: parts per stratum; a stratum with 0 parts is left out.
        total: `strict` or `min` for the largest mix without repetition (the same here, where a
            stratum is one dataset); `sum` for as many clips as there are, the scarce repeated.
        seed: chooses and shuffles.

    Raises:
        UserError: strata and ratio do not match, a stratum is empty, or a part is negative.
    """
    wanted = {name: part for name, part in ratio.items() if part}
    used = {name: list(rows) for name, rows in strata.items() if ratio.get(name) != 0}
    parts = [Part(name, name, np.arange(len(rows), dtype=np.int32)) for name, rows in used.items()]
    draws = draw_mix(parts, wanted, total, seed=seed)
    pools = list(used.values())
    pairs = zip(draws.part.tolist(), draws.row.tolist(), strict=True)
    return [pools[part][row] for part, row in pairs]


def mix_ratio(
    tagged: Sequence[Item], plain: Sequence[Item], ratio: tuple[int, int], seed: int = 0
) -> list[Item]:
    """The largest task : original mix without repetition, shuffled (note, section 1).

    Args:
        tagged: task examples.
        plain: original-task examples.
        ratio: parts of each, such as (1, 1), (3, 1), (7, 1) or (15, 1); (1, 0) is tagged only.
        seed: chooses and shuffles.

    Raises:
        UserError: no positive part, a negative one, or an empty side that has a part.
    """
    parts = {"tagged": ratio[0], PLAIN: ratio[1]}
    return mix_items({"tagged": tagged, PLAIN: plain}, parts, seed=seed)
