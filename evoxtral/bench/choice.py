"""Which model for which use, decided by paired comparison on the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evoxtral import UserError, stats
from evoxtral.bench.protocol import EVALUATION_PROTOCOLS
from evoxtral.bench.scores import NO_TAGS
from evoxtral.metrics import Evaluation
from evoxtral.stats import Interval, Ratio
from evoxtral.tables.model import Format

NO_DIFFERENCE = "no difference shown"

_PERCENT = Format("percent", 1)
_POINTS = Format("points", 1, signed=True)


@dataclass(frozen=True)
class Use:
    """What a model is for and the metric that decides.

    Attributes:
        name: Of the use.
        metric: That both protocols have, a fraction.
        label: Of the metric.
        lower: Whether a lower value is better.
    """

    name: str
    metric: str
    label: str
    lower: bool


USES = (
    Use("accurate transcription", "wer", "WER", lower=True),
    Use("expressive tags, speech synthesis", "tag_f1", "Tag F1", lower=False),
)
"""The two uses for which the report releases two models (section 5)."""


def choose(
    evaluations: Mapping[str, Evaluation], uses: Sequence[Use] = USES, *, seed: int = 0
) -> pd.DataFrame:
    """The best system for each use under each protocol, if a difference is shown.

    The system with the best value is compared with every other on the same clips. It is chosen if
    each paired 95 % interval excludes 0; the intervals are not corrected for how many there
    are. The baseline that knows all words is no model and does not compete.

    Args:
        evaluations: At least two systems by name, on the same clips.
        uses: What to choose for.
        seed: Of the bootstrap.

    Returns:
        Columns `use`, `protocol`, `metric`, `choice` (a system or `no difference shown`), `best`
        and its `value`, `rival` (the next in value) and its `rival_value`, their `difference`
        with `low`, `high`, `n` clips, and `text`, a sentence with these numbers.

    Raises:
        UserError: Fewer than two systems, or not the same clips.
    """
    systems = {name: own for name, own in evaluations.items() if name != NO_TAGS}
    if len(systems) < 2:
        raise UserError("a choice needs two models: give the predictions of at least two")
    clips = {tuple((c.id, c.reference) for c in own.clips) for own in systems.values()}
    if len(clips) > 1:
        raise UserError("only scores of the same clips can be paired; evaluate all on one split")
    rows = []
    for name, protocol in EVALUATION_PROTOCOLS.items():
        tables = {system: own.table(protocol) for system, own in systems.items()}
        for use in uses:
            scores = {system: table[use.metric].ratio for system, table in tables.items()}
            rows.append(_choice(use, scores, seed) | {"protocol": name})
    columns = ["use", "protocol", "metric", "choice", "best", "value", "rival", "rival_value"]
    return pd.DataFrame(rows)[[*columns, "difference", "low", "high", "n", "text"]]


def _choice(use: Use, scores: Mapping[str, Ratio], seed: int) -> dict[str, object]:
    values = {name: ratio.value for name, ratio in scores.items()}
    best, *others = sorted(values, key=lambda name: values[name], reverse=not use.lower)
    apart = stats.paired_differences(
        dict.fromkeys(others, scores[best]), {name: scores[name] for name in others}, seed=seed
    )
    tied = [name for name, i in apart.items() if not (i.high < 0 or i.low > 0)]
    rival = others[0]
    closest = apart[rival]
    return {
        "use": use.name,
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
        "text": _sentence(use, values, best, apart, tied),
    }


def _sentence(
    use: Use,
    values: Mapping[str, float],
    best: str,
    apart: Mapping[str, Interval],
    tied: Sequence[str],
) -> str:
    parts = []
    for other, i in apart.items():
        low, value, high = (_POINTS(end) for end in (i.low, i.value, i.high))
        shown = f", {NO_DIFFERENCE}" if other in tied else ""
        parts.append(
            f"against {other} ({_PERCENT(values[other])}) {value} points [{low}, {high}]{shown}"
        )
    return f"{use.label} of {best} {_PERCENT(values[best])}: {'; '.join(parts)}"
