"""What `04_benchmark.ipynb` measures: systems on the test splits, built upstream if missing.

Nothing here loads torch before `measure` is asked to measure: with `source` `paper` the notebook
needs no deep-learning framework.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from evoxtral import metrics, params, runs
from evoxtral.bench.noise import noise_curve
from evoxtral.bench.scores import NO_TAGS, Scores, evaluate, no_tags, score
from evoxtral.bench.systems import ADAPTER, BASE, PREDICTIONS, RL, SFT
from evoxtral.figures import PipelineFacts, RaftFacts
from evoxtral.metrics import Evaluation
from evoxtral.params import Benchmark, Raft, Sft
from evoxtral.predictions import Prediction, read_predictions

if TYPE_CHECKING:
    from evoxtral.clips import Clip
    from evoxtral.pipeline import Setup
    from evoxtral.raft import Round


_SEEN = "validation"


@dataclass(frozen=True, eq=False)
class Split:
    """Systems on one split.

    Attributes:
        name: of the split.
        predictions: of each clip, by system.
        evaluations: of the same, by system, in the order shown.
    """

    name: str
    predictions: Mapping[str, list[Prediction]] = field(default_factory=dict)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)

    def only(self, *systems: str) -> dict[str, Evaluation]:
        """Evaluations of some systems; none where nothing was measured."""
        return {name: self.evaluations[name] for name in systems if name in self.evaluations}

    @property
    def clips(self) -> int:
        """Clips of the split, 0 if nothing was measured."""
        return next((len(own.clips) for own in self.evaluations.values()), 0)


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured; empty with `source` `paper`.

    Attributes:
        profile: of the run.
        seed: of bootstraps and of label noise.
        headline: the split for the headline numbers, drawn as the report's test set is.
        balanced: the split in which all tags are about as frequent.
        seen: the split in voices and sentence families of the training set.
        origins: what each system is, by name.
        settings: of fine-tuning, named as in the report's Table 1.
        rl_settings: of the RL stage, named as in the model card.
        pipeline: facts for Figure 2.
        raft: facts for Figure 1.
    """

    profile: str
    seed: int
    headline: Split
    balanced: Split
    seen: Split
    origins: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    rl_settings: Mapping[str, object] = field(default_factory=dict)
    pipeline: PipelineFacts | None = None
    raft: RaftFacts | None = None

    @property
    def empty(self) -> bool:
        """Nothing was measured."""
        return not self.headline.evaluations

    @cached_property
    def scores(self) -> Scores:
        """All systems on the headline split, both protocols."""
        return score(self.headline.evaluations, seed=self.seed)

    @cached_property
    def noise(self) -> pd.DataFrame:
        """`noise_curve` of RL alone: it takes a bootstrap for each share of missing labels."""
        return noise_curve(self.headline.only(RL), seed=self.seed)

    def prediction_rows(self) -> dict[str, list[dict[str, str]]]:
        """Rows of a file of predictions by its name: `id`, `text`, and the `reference`."""
        splits = {split.name: split for split in (self.headline, self.balanced)}
        return {
            f"{split.name}-{system.lower().replace(' ', '_')}": [
                {"id": clip.id, "text": clip.prediction, "reference": clip.reference}
                for clip in own.clips
            ]
            for split in splits.values()
            for system, own in split.evaluations.items()
        }


def measure(cfg: Benchmark) -> Measured:
    """Transcribe the test splits with every system, or reuse what 02 and 03 transcribed.

    Args:
        cfg: of the notebook; its `profile` names the clips, the base and both recipes.

    Raises:
        UserError: an adapter or file named is none, does not fit, or a stage failed.
    """
    if cfg.source == "paper":
        return Measured(cfg.profile, cfg.seed, Split(""), Split(""), Split(""))
    # All of them load torch and transformers.
    from evoxtral import pipeline
    from evoxtral.bench import facts
    from evoxtral.model import check_adapter

    tuning = params.profile(Sft.notebook, cfg.profile)
    setup = pipeline.open_setup(tuning)
    headline = cfg.split or setup.headline
    # First, so that a wrong file or folder stops before any work.
    own = _predicted(cfg, setup, headline)
    added = {ADAPTER: check_adapter(runs.named(cfg.adapter))} if cfg.adapter else {}
    last, start, rl_cfg = _adapters(tuning, setup)
    folders: dict[str, Path | None] = {BASE: None, SFT: start, RL: last.tuned.adapter, **added}
    splits = {
        name: _split(setup, name, folders, own if name == headline else None)
        for name in dict.fromkeys((headline, setup.balanced))
    }
    known = {name: folders[name] for name in (SFT, RL)}
    seen = _split(setup, _SEEN, known, None) if setup.has(_SEEN) else Split(_SEEN)
    return Measured(
        profile=cfg.profile,
        seed=cfg.seed,
        headline=splits[headline],
        balanced=splits[setup.balanced],
        seen=seen,
        origins=facts.origins(cfg, setup, folders),
        settings=pipeline.settings(tuning, setup),
        rl_settings=facts.rl_settings(rl_cfg, last),
        pipeline=facts.pipeline(tuning, rl_cfg, setup, last, splits[headline].evaluations),
        raft=facts.raft(rl_cfg, last),
    )


def _predicted(cfg: Benchmark, setup: Setup, split: str) -> list[Prediction] | None:
    if not cfg.predictions:
        return None
    return read_predictions(runs.named(cfg.predictions), [c.id for c in setup.clips(split)])


def _adapters(tuning: Sft, setup: Setup) -> tuple[Round, Path, Raft]:
    """The RL adapter of the profile, its SFT adapter, and the parameters of 03."""
    from evoxtral import raft

    cfg = params.profile(Raft.notebook, tuning.profile)
    assert isinstance(cfg, Raft)
    start = raft.start_adapter(cfg, setup)
    return raft.refine(raft.recipe_of(cfg), setup, start, "RAFT")[-1], start, cfg


def _split(
    setup: Setup,
    name: str,
    folders: Mapping[str, Path | None],
    own: list[Prediction] | None,
) -> Split:
    from evoxtral.pipeline import transcripts

    clips = setup.clips(name)
    references = {clip.id: clip.tagged_text for clip in clips}
    predictions = {NO_TAGS: no_tags(references)}
    for system, folder in folders.items():
        predictions[system] = _rows(clips, transcripts(setup, name, folder))
    if own is not None:
        predictions[PREDICTIONS] = own
    normalise = metrics.english_normaliser()
    evaluations = {
        system: evaluate(references, rows, normalise) for system, rows in predictions.items()
    }
    return Split(name, predictions, evaluations)


def _rows(clips: Sequence[Clip], texts: list[str]) -> list[Prediction]:
    return [Prediction(clip.id, text) for clip, text in zip(clips, texts, strict=True)]
