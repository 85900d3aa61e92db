"""Evoxtral-Bench: systems on splits, measured into one frame of scores.

A row of the frame is one number: `system, split, protocol, metric, value, low, high, n, support`,
fractions with the ends of their 95 % interval over clips. F1 of a single tag is the metric
`f1[tag]`. The paired twin holds `system, reference, split, protocol, metric, difference, low,
high, n`. Nothing here loads torch before `measure` is asked to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evoxtral import UserError, metrics, params, processes, runs, stats, tags
from evoxtral.metrics import Evaluation, Metric
from evoxtral.paper import scientific
from evoxtral.params import Benchmark, Raft, Sft
from evoxtral.tracking import tracker

if TYPE_CHECKING:
    from evoxtral.pipeline import Setup
    from evoxtral.raft import Round

BASE, SFT, RL = "base", "SFT", "RL"
"""The report's three systems."""

NO_TAGS = "no tags"
"""The baseline that writes every word right and no tag: it carries no skill."""

ADAPTER, PREDICTIONS = "adapter", "predictions"
"""The systems that the parameters of these names bring."""

PAPER = f"paper/{metrics.PROTOCOL}"
"""The report's conventions (`evoxtral.metrics.protocols`)."""

STRICT = f"strict/{metrics.PROTOCOL}"
"""Pooled counts, tags matched by position (`evoxtral.metrics.protocols`)."""

Protocols = Mapping[str, Callable[[Evaluation], dict[str, Metric]]]
"""Metrics of an evaluation, by the protocol's name with its version."""


def _with_tags(evaluation: Evaluation, protocol: metrics.Protocol) -> dict[str, Metric]:
    per_tag = {f"f1[{tag}]": own for tag, own in evaluation.per_tag(protocol).items()}
    return evaluation.table(protocol) | per_tag


PROTOCOLS: Protocols = {
    PAPER: partial(_with_tags, protocol="paper"),
    STRICT: partial(_with_tags, protocol="strict"),
}

_SEEN = "validation"
_SHOWN = 12  # digits of a digest
_TRACKED = 50  # transcripts of each system


@dataclass(frozen=True, eq=False)
class Split:
    """Systems on one split: its name, and evaluations by system in the order shown."""

    name: str
    evaluations: Mapping[str, Evaluation]

    def only(self, *systems: str) -> Split:
        """The same with some systems only."""
        kept = {name: self.evaluations[name] for name in systems if name in self.evaluations}
        return Split(self.name, kept)

    @property
    def models(self) -> Mapping[str, Evaluation]:
        """Evaluations of all systems but the baseline that knows all words."""
        return {name: own for name, own in self.evaluations.items() if name != NO_TAGS}

    @property
    def clips(self) -> int:
        """How many clips it has."""
        return next((len(own.clips) for own in self.evaluations.values()), 0)

    def __str__(self) -> str:
        return f"{self.clips:,} clips of {self.name}"


def score_frame(split: Split, protocols: Protocols = PROTOCOLS, *, seed: int = 0) -> pd.DataFrame:
    """Scores of systems on a split, see the module; all of a system on the same resamples.

    Args:
        split: its systems.
        protocols: which to score by.
        seed: of the bootstrap.
    """
    rows = []
    for system, evaluation in split.evaluations.items():
        for protocol, measured in protocols.items():
            found = measured(evaluation)
            ends = stats.bootstrap_intervals({m: own.ratio for m, own in found.items()}, seed=seed)
            for name, own in found.items():
                key, i = (system, split.name, protocol, name), ends[name]
                rows.append((*key, own.value, i.low, i.high, own.n, own.support))
    names = ["system", "split", "protocol", "metric", "value", "low", "high", "n", "support"]
    return pd.DataFrame(rows, columns=names)


def paired_frame(
    split: Split, reference: str, protocols: Protocols = PROTOCOLS, *, seed: int = 0
) -> pd.DataFrame:
    """Paired differences of each system to one of them, see the module; metrics both have.

    Raises:
        UserError: the systems were not scored on the same clips in the same order.
    """
    evaluations = split.evaluations
    if len({tuple((c.id, c.reference) for c in own.clips) for own in evaluations.values()}) > 1:
        raise UserError("only scores of the same clips can be paired; evaluate all on one split")
    rows = []
    for protocol, measured in protocols.items():
        ratios = {
            system: {name: own.ratio for name, own in measured(evaluation).items()}
            for system, evaluation in evaluations.items()
        }
        theirs = ratios.pop(reference)
        for system, ours in ratios.items():
            shared = [name for name in ours if name in theirs]
            apart = stats.paired_differences(
                {name: ours[name] for name in shared},
                {name: theirs[name] for name in shared},
                seed=seed,
            )
            rows += [
                (system, reference, split.name, protocol, name, i.value, i.low, i.high, i.n)
                for name, i in apart.items()
            ]
    names = ["system", "reference", "split", "protocol", "metric", "difference", "low", "high", "n"]
    return pd.DataFrame(rows, columns=names)


def by_tag(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of single tags, with a column `tag`."""
    rows = scores[scores["metric"].str.startswith("f1[")]
    return rows.assign(tag=rows["metric"].str[3:-1])


def overall(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of metrics over all tags and words."""
    return scores[~scores["metric"].str.startswith("f1[")]


def wide(scores: pd.DataFrame, paired: pd.DataFrame | None = None) -> pd.DataFrame:
    """One protocol's scores with a row for each metric that all systems have.

    Args:
        scores: of `score_frame`.
        paired: of `paired_frame`; may be absent.

    Returns:
        `key` (the metric), `protocol`; `<system>`, `<system>_low`, `<system>_high` of each, and of
        each but the reference `<system>_difference`, `<system>_difference_low`, `…_high`.
    """
    [protocol] = scores["protocol"].unique()
    count = scores.groupby("metric", sort=False)["system"].count()
    frame = pd.DataFrame({"key": count[count == scores["system"].nunique()].index})
    frame["protocol"] = protocol
    for system in scores["system"].unique():
        for source, column, value in (
            (scores, system, "value"),
            (paired, f"{system}_difference", "difference"),
        ):
            if source is None or system not in set(source["system"]):
                continue
            own = source[source["system"] == system].set_index("metric").reindex(frame["key"])
            for end, name in (("", value), ("_low", "low"), ("_high", "high")):
                frame[f"{column}{end}"] = own[name].to_numpy()
    return frame


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured.

    Attributes:
        profile: of the run.
        seed: of bootstraps and of label noise.
        headline: the split for the headline numbers, drawn as the report's test set is.
        balanced: the split in which all tags are about as frequent.
        seen: the split in voices and sentence families of the training set.
        origins: what each system is, by name.
        settings: of fine-tuning, named as in the report's Table 1.
        rl_settings: of the RL stage, named as in the model card.
        numbers: for Figures 1 and 2, keyed as those of `paper.Published`.
        base: the base model in words.
    """

    profile: str
    seed: int
    headline: Split
    balanced: Split
    seen: Split
    origins: Mapping[str, str]
    settings: Mapping[str, object]
    rl_settings: Mapping[str, object]
    numbers: Mapping[str, float]
    base: str

    @cached_property
    def scores(self) -> pd.DataFrame:
        """`score_frame` of all systems on the headline split."""
        return score_frame(self.headline, seed=self.seed)

    @cached_property
    def balanced_scores(self) -> pd.DataFrame:
        """`score_frame` of SFT and RL on the balanced split."""
        return score_frame(self.balanced.only(SFT, RL), seed=self.seed)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """`paired_frame` of each of the report's systems to the one before it."""
        protocol = {PAPER: PROTOCOLS[PAPER]}
        pairs = ((BASE, SFT), (SFT, RL))
        return pd.concat(
            [paired_frame(self.headline.only(*p), p[0], protocol, seed=self.seed) for p in pairs]
        )

    def under(self, protocol: str) -> pd.DataFrame:
        """The rows of `scores` under one protocol."""
        return self.scores[self.scores["protocol"] == protocol]

    def core(self, printed: pd.DataFrame) -> pd.DataFrame:
        """Scores under the report's protocol beside `key`, `metric`, `direction` of its Table 2."""
        return printed[["key", "metric", "direction"]].merge(wide(self.under(PAPER)), on="key")

    def tag_f1(self) -> pd.DataFrame:
        """F1 under the report's protocol: `tag`, `<system>` of each, `support`."""
        rows = by_tag(self.under(PAPER))
        support = rows.groupby("tag")["support"].first()
        return wide(rows.assign(metric=rows["tag"])).assign(
            tag=lambda f: f["key"], support=lambda f: f["key"].map(support)
        )

    def clip_counts(self) -> pd.DataFrame:
        """What each system is and how many clips of each split it wrote down."""
        frame = pd.DataFrame(self.origins.items(), columns=["system", "origin"])
        for split in (self.headline, self.balanced):
            sizes = {system: float(len(own.clips)) for system, own in split.evaluations.items()}
            frame[split.name] = frame["system"].map(sizes)
        return frame

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


def measure(cfg: Benchmark) -> Measured | None:
    """Transcribe the test splits with every system, or reuse what 02 and 03 transcribed.

    Args:
        cfg: of the notebook; its `profile` names the clips, the base and both recipes.

    Returns:
        None with `source` `paper`.

    Raises:
        UserError: an adapter or file named is none, does not fit, or a stage failed.
    """
    if cfg.source == "paper":
        return None
    # All of them load torch and transformers.
    from evoxtral import pipeline, raft
    from evoxtral.model import check_adapter

    tuning = params.profile(Sft, cfg.profile)
    setup = pipeline.open_setup(tuning)
    headline = cfg.split or setup.headline
    # First, so that a wrong file or folder stops before any work.
    own = _predicted(cfg, setup, headline)
    added = {ADAPTER: check_adapter(runs.named(cfg.adapter))} if cfg.adapter else {}
    recipe = raft.recipe_of(params.profile(Raft, cfg.profile))
    start = raft.start_adapter(recipe, setup)
    last = raft.refine(recipe, setup, start, "RAFT")[-1]
    folders: dict[str, Path | None] = {BASE: None, SFT: start, RL: last.tuned.adapter, **added}
    splits = {
        name: _split(setup, name, folders, own if name == headline else None)
        for name in dict.fromkeys((headline, setup.balanced))
    }
    known = {name: folders[name] for name in (SFT, RL)}
    sizes = _sizes(tuning, recipe, setup, splits[headline].clips)
    return Measured(
        profile=cfg.profile,
        seed=cfg.seed,
        headline=splits[headline],
        balanced=splits[setup.balanced],
        seen=_split(setup, _SEEN, known, None) if setup.has(_SEEN) else Split(_SEEN, {}),
        origins=_origins(cfg, setup, folders),
        settings=pipeline.settings(tuning, setup),
        rl_settings=_rl_settings(recipe, last),
        numbers=raft.facts(recipe, last) | sizes,
        base=_base_name(setup),
    )


def _predicted(cfg: Benchmark, setup: Setup, split: str) -> list[str] | None:
    from evoxtral.pipeline import read_predictions

    if not cfg.predictions:
        return None
    return read_predictions(runs.named(cfg.predictions), [c.id for c in setup.clips(split)])


def _split(
    setup: Setup, name: str, folders: Mapping[str, Path | None], own: list[str] | None
) -> Split:
    from evoxtral import pipeline

    clips = setup.clips(name)
    ids, references = [clip.id for clip in clips], [clip.tagged_text for clip in clips]

    def scored(texts: list[str]) -> Evaluation:
        normalise = metrics.english_normaliser()
        return metrics.evaluate(references, texts, ids=ids, normalise=normalise)

    baseline = {NO_TAGS: scored([tags.plain_text(text) for text in references])}
    added = {} if own is None else {PREDICTIONS: scored(own)}
    return Split(name, baseline | pipeline.evaluate(setup, name, folders) | added)


def _base_name(setup: Setup) -> str:
    from evoxtral.model import TINY

    return "embedded tiny Voxtral" if setup.base.name == TINY else Path(setup.base.name).name


def _origins(cfg: Benchmark, setup: Setup, folders: Mapping[str, Path | None]) -> dict[str, str]:
    """What each system is, by its name."""
    from evoxtral.model import adapter_digest

    said = {
        BASE: f"{_base_name(setup)}, weights {setup.base.digest[:_SHOWN]}",
        SFT: "base fine-tuned on the training mix (02)",
        RL: "SFT fine-tuned on its own best completions (03)",
        ADAPTER: cfg.adapter,
    }
    found = {NO_TAGS: "the references without tags and emphasis: every word right, no skill"}
    for name, folder in folders.items():
        digest = f"; adapter {adapter_digest(folder)[:_SHOWN]}" if folder else ""
        found[name] = f"{said[name]}{digest}"
    return found | ({PREDICTIONS: cfg.predictions} if cfg.predictions else {})


def _rl_settings(cfg: Raft, last: Round) -> dict[str, object]:
    """Settings of the RL stage, named as the rows of the model card."""
    weights = f"{cfg.accuracy_weight:g}×(1-WER) + {cfg.tag_weight:g}×Tag_F1"
    dropped = f"bottom {cfg.drop_share:.0%} filtered by the {cfg.curation} rule"
    return {
        "Method": "Rejection sampling + SFT (RAFT)",
        "Samples per input": f"{cfg.k} (temperature={cfg.temperature:g}, top_p={cfg.top_p:g})",
        "Reward function": f"{weights} + {cfg.hallucination_weight:g}×(1-hallucination), "
        f"{cfg.convention} convention",
        "Curated samples": f"{last.curated.kept:,} ({dropped})",
        "Avg reward": f"{last.curated.mean_after:.3f}",
        "Learning rate": scientific(cfg.learning_rate),
        "Epochs": str(cfg.epochs),
        "Final loss": f"{float(last.tuned.steps['loss'].iloc[-1]):.3f}",
        "Sampled clips": f"{last.scored['clip'].nunique():,} of {cfg.prompts}",
        "Untagged clips added": f"{cfg.untagged:.0%}",
    }


def _sizes(tuning: Sft, cfg: Raft, setup: Setup, tested: int) -> dict[str, Any]:
    """Clips of each kind and the first stage's settings, keyed as the published numbers."""
    sizes = {name: len(clips) for name, clips in setup.source.splits.items()}
    unseen = 0 if cfg.prompts == "train" else sizes[cfg.prompts]
    return {
        "scripts": sizes["train"] + sizes["validation"] + tested + unseen,
        "train_clips": sizes["train"],
        "validation_clips": sizes["validation"],
        "test_clips": tested,
        "bench_clips": tested,
        "unseen_clips": unseen,
        "lora_rank": tuning.lora_rank,
        "sft_epochs": tuning.epochs,
        "sft_learning_rate": tuning.learning_rate,
    }


def track(cfg: Benchmark, measured: Measured | None) -> None:
    """Log each system's scores under both protocols and some transcripts, a run for each.

    Nothing is logged unless `tracker` asks for it; the baseline without tags gets no run.

    Raises:
        UserError: it is to be online and there is no key.
    """
    if cfg.tracker == "disabled" or measured is None or not processes.is_main():
        return
    import wandb

    folder = runs.runs_dir() / cfg.profile / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    scores = overall(measured.scores)
    for system, evaluation in measured.headline.models.items():
        with tracker(cfg, folder, f"{system} eval") as run:
            rows = scores[scores["system"] == system]
            names = rows["protocol"] + "/" + rows["metric"]
            run.log(dict(zip(names, rows["value"], strict=True)))
            shown = [[c.id, c.reference, c.prediction] for c in evaluation.clips[:_TRACKED]]
            columns = ["id", "reference", "prediction"]
            run.log({"transcripts": wandb.Table(columns=columns, data=shown)})
