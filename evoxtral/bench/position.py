"""Position-aware scores in the style of public benchmarks of vocal events.

Only sounds have a counterpart there: the style and emotion tags of the report, most of its
vocabulary, cannot be anchored outside. `MAPPING` says what becomes what; tags without a counterpart
are left out of both sides.

* NVVSpeech Track 1: see `bench.nvv`, which follows its definitions.
* WESR-Bench (Yang et al., Findings of ACL 2026): an event counts if its place between the words is
  exactly the reference's; F1 of each type, averaged. Its continuous events mark every word that
  is spoken so; a tag here marks only where that begins, which is what is compared.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from evoxtral import stats, tags
from evoxtral.bench.nvv import nvv_counts, nvv_metrics
from evoxtral.bench.protocol import COLUMNS, NVV, WESR
from evoxtral.metrics import Evaluation, Metric, aligned_matches, macro_f1, micro_f1, total
from evoxtral.tags import Tag, Transcript


@dataclass(frozen=True)
class Scheme:
    """A public vocabulary of vocal events: its name and where it is defined."""

    name: str
    source: str


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "nvv16": Scheme(
            "NVVSpeech Track 1, 16 types",
            "github.com/NVVSpeech-Challenge/NVVSpeech-Challenge-Track1-Evaluation, protocol 1.0.0",
        ),
        "wesr": Scheme("WESR-Bench, 15 discrete and 6 continuous types", "arXiv:2601.04508"),
        "nvv45": Scheme("NVV-SuperBench, 45 types", "arXiv:2604.16211"),
    }
)

MAPPING = """\
tag,nvv16,wesr,nvv45
laughs,laugh,laughs,laugh
sighs,sigh,sigh,sigh
gasps,gasp,,gasp
clears throat,throat clearing,clear_throat,throat clearing
crying,cry,cry,crying
whispers,,whispering,
shouts,,shouting,
stammers,,,
pause,,,
excited,,,
sad,,,
angry,,,
nervous,,,
calm,,,
frustrated,,,
confused,,,
scared,,,
"""
"""Counterparts of the 17 tags; empty where a scheme has none. WESR's `inhale` is no gasp."""


def mapping() -> pd.DataFrame:
    """`MAPPING` as a frame: `tag`, `group`, and a column for each scheme, empty if unmapped."""
    frame = pd.DataFrame(csv.DictReader(MAPPING.splitlines()))
    frame.insert(1, "group", [tags.group_of(tag) for tag in frame["tag"]])
    return frame


def counterparts(scheme: str) -> dict[str, str]:
    """Names in a scheme by tag, mapped tags only."""
    rows = csv.DictReader(MAPPING.splitlines())
    return {row["tag"]: row[scheme] for row in rows if row[scheme]}


def coverage(references: Iterable[str]) -> pd.DataFrame:
    """How much of a test set each scheme can score.

    Returns:
        Columns `scheme`, `types` (of ours that are mapped), `tags` (occurrences in the texts),
        `mapped` (of these), `share`.
    """
    names = [tag.name for text in references for tag in tags.parse(text).tags]
    rows = []
    for scheme in SCHEMES:
        known = counterparts(scheme)
        mapped = sum(name in known for name in names)
        share = mapped / len(names) if names else float("nan")
        rows.append((scheme, len(known), len(names), mapped, share))
    return pd.DataFrame(rows, columns=["scheme", "types", "tags", "mapped", "share"])


def position_scores(evaluations: Mapping[str, Evaluation], *, seed: int = 0) -> pd.DataFrame:
    """Scores in the style of NVVSpeech Track 1 and of WESR-Bench, with intervals over clips.

    Args:
        evaluations: By name of the system.
        seed: Of the bootstrap.

    Returns:
        `protocol.COLUMNS`. NVVSpeech: `f1`, `distance`, `tagged_wer`, `score`; WESR: `f1`,
        `f1_macro`.
    """
    rows: list[tuple[object, ...]] = []
    for system, evaluation in evaluations.items():
        for protocol, found in ((NVV, _nvv(evaluation)), (WESR, _wesr(evaluation))):
            ratios = {name: metric.ratio for name, metric in found.items()}
            intervals = stats.bootstrap_intervals(ratios, seed=seed)
            for name, m in found.items():
                i = intervals[name]
                rows.append((system, protocol, name, m.value, i.low, i.high, m.n))
    return pd.DataFrame(rows, columns=COLUMNS)


def _nvv(evaluation: Evaluation) -> dict[str, Metric]:
    known = counterparts("nvv16")
    return nvv_metrics([nvv_counts(c.reference, c.prediction, known) for c in evaluation.clips])


def _wesr(evaluation: Evaluation) -> dict[str, Metric]:
    known = counterparts("wesr")
    clips = [
        aligned_matches(_events(c.reference, known), _events(c.prediction, known), tolerance=0)
        for c in evaluation.clips
    ]
    types = sorted({name for clip in clips for name in clip})
    found = (micro_f1("f1", [total(clip) for clip in clips]), macro_f1("f1_macro", clips, types))
    return {metric.name: metric for metric in found}


def _events(text: str, known: Mapping[str, str]) -> Transcript:
    """The transcript with mapped tags alone, under their names in the scheme."""
    transcript = tags.parse(text)
    marks = [tag for tag in transcript.tags if tag.name in known]
    return Transcript(transcript.words, tuple(Tag(known[t.name], t.word_index) for t in marks))
