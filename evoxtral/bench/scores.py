"""Scores of several systems on one split, as frames with intervals and protocols.

Every number comes from `evoxtral.metrics`; here they are only put into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evoxtral import UserError, metrics, tags
from evoxtral.bench.protocol import COLUMNS, EVALUATION_PROTOCOLS, PAPER
from evoxtral.metrics import Evaluation, Normaliser
from evoxtral.predictions import Prediction

NO_TAGS = "no tags"
"""The baseline that writes every word right and no tag."""

_PER_TAG = (
    "system", "protocol", "tag", "precision", "recall", "f1", "low", "high", "predicted",
    "support", "n",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of several systems on the same clips.

    Attributes:
        metrics: `protocol.COLUMNS`, one row for each system, protocol and metric.
        per_tag: `system`, `protocol`, `tag`, fractions `precision`, `recall`, `f1`, the ends `low`
            and `high` of its interval, tags `predicted` and in the references (`support`), and
            the `n` clips that hold it.
    """

    metrics: pd.DataFrame
    per_tag: pd.DataFrame


def no_tags(references: Mapping[str, str]) -> list[Prediction]:
    """Predictions of the baseline: each reference without tags and emphasis.

    Its scores under the report's conventions are the report's Base row for tags and emphasis
    (22.0 % and 42.0 %), which therefore carries no skill.

    >>> no_tags({"a": "[sad] oh NO"})[0].text
    'oh no'
    """
    return [Prediction(name, tags.plain_text(text)) for name, text in references.items()]


def evaluate(
    references: Mapping[str, str],
    predictions: Sequence[Prediction],
    normalise: Normaliser | None = None,
) -> Evaluation:
    """Score one system.

    Args:
        references: Tagged text by clip id.
        predictions: One for each clip, in any order.
        normalise: Text normaliser for `wer_normalised`, see `metrics.evaluate`.

    Raises:
        UserError: The clips of the two differ, or one comes twice.
    """
    texts = {prediction.id: prediction.text for prediction in predictions}
    if texts.keys() != references.keys() or len(texts) < len(predictions):
        raise UserError(
            f"{len(predictions)} predictions do not fit {len(references)} clips; "
            "give exactly one for each clip of the split"
        )
    return metrics.evaluate(
        list(references.values()),
        [texts[name] for name in references],
        ids=list(references),
        normalise=normalise,
    )


def score(evaluations: Mapping[str, Evaluation], *, seed: int = 0) -> Scores:
    """Scores of several systems under both protocols, with 95 % intervals over clips.

    Args:
        evaluations: By name of the system.
        seed: Of the bootstrap.
    """
    values: list[tuple[object, ...]] = []
    per_tag: list[tuple[object, ...]] = []
    for system, evaluation in evaluations.items():
        for name, protocol in EVALUATION_PROTOCOLS.items():
            intervals = evaluation.intervals(protocol, seed=seed)
            counts = evaluation.tag_counts(protocol)
            for metric in evaluation.table(protocol).values():
                i = intervals[metric.name]
                values.append((system, name, metric.name, metric.value, i.low, i.high, metric.n))
            for tag, metric in evaluation.per_tag(protocol).items():
                c, i = counts[tag], intervals[f"f1[{tag}]"]
                rates = (c.precision, c.recall, c.f1, i.low, i.high)
                per_tag.append((system, name, tag, *rates, c.predicted, c.support, metric.n))
    return Scores(pd.DataFrame(values, columns=COLUMNS), pd.DataFrame(per_tag, columns=_PER_TAG))


def core_frame(scores: Scores, published: pd.DataFrame, protocol: str = PAPER) -> pd.DataFrame:
    """Measured core metrics in the shape of the report's Table 2, for its tables and figures.

    Args:
        scores: Of any systems; `base`, `SFT` and `RL` have columns in the published frame.
        published: `Published.core`; gives rows, names and directions.
        protocol: Which scores to take.

    Returns:
        `key`, `metric`, `direction`; for each system in lower case a column of fractions, and
        `<system>_low`, `<system>_high`.
    """
    rows = scores.metrics[scores.metrics["protocol"] == protocol]
    frame = published[["key", "metric", "direction"]].copy()
    for system, own in rows.groupby("system", sort=False):
        column = str(system).lower()
        own = own.set_index("metric").reindex(frame["key"])
        for suffix, source in (("", "value"), ("_low", "low"), ("_high", "high")):
            frame[f"{column}{suffix}"] = own[source].to_numpy()
    return frame


def per_tag_frame(scores: Scores, protocol: str = PAPER) -> pd.DataFrame:
    """Measured F1 of each tag of the references in the shape of the report's Table 3.

    Returns:
        `tag`, a column of F1 for each system in lower case, `support`; tags in the order of the
        vocabulary.
    """
    rows = scores.per_tag[
        (scores.per_tag["protocol"] == protocol) & (scores.per_tag["support"] > 0)
    ]
    wide = rows.pivot_table(index="tag", columns="system", values="f1", sort=False, aggfunc="first")
    support = rows.groupby("tag", sort=False)["support"].first()
    wide.columns = [str(system).lower() for system in wide.columns]
    return wide.join(support).reset_index()
