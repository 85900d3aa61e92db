"""Evoxtral-Bench: systems on splits, measured into one frame of scores.

A row of the frame is one number: `system, split, protocol, metric, value, low, high, n, support,
seed_sd`, fractions with the ends of their 95 % interval over clips, and over trainings where there
are several, between which `seed_sd` is the standard deviation. F1 of a single tag is the metric
`f1[tag]`. The paired twin holds `system, reference, split, protocol, metric, difference, low,
high, n, seed_sd`. Everything else is a filter or a pivot of the two. Nothing here loads torch
before `measure` is asked to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from evoxtral import UserError, metrics, params, processes, runs, stats, tags
from evoxtral.clips import speech
from evoxtral.metrics import Evaluation, Metric
from evoxtral.paper import scientific
from evoxtral.params import Benchmark, Raft, Sft

if TYPE_CHECKING:
    from evoxtral import pipeline
    from evoxtral.pipeline import Setup

BASE, SFT, RL = "base", "SFT", "RL"
STEPS = ((BASE, SFT), (SFT, RL))
"""The report's three systems, and what its two stages change."""

NO_TAGS = "no tags"
"""The baseline that writes every word right and no tag: it carries no skill."""

ADAPTER, PREDICTIONS = "adapter", "predictions"
"""The systems that the parameters of these names bring."""

Protocols = Mapping[str, Callable[[Evaluation], dict[str, Metric]]]
"""Metrics of an evaluation, by the protocol's name with its version."""

OVERALL: Protocols
PROTOCOLS: Protocols
OVERALL, PROTOCOLS = (
    {f"{name}/{metrics.PROTOCOL}": partial(own, protocol=name) for name in ("paper", "strict")}
    for own in (Evaluation.table, Evaluation.full_table)
)
"""Both protocols, without and with the F1 of single tags."""

PAPER, STRICT = OVERALL
"""The report's conventions, and pooled counts with tags matched by position."""

HEADLINE = ("wer", "tag_f1", "emphasis_f1", "hallucinated_per_untagged", "wer_untagged")
"""The five metrics that matter, under the strict protocol."""

_WORDS = yaml.safe_load(Path(__file__).with_name("bench.yaml").read_text(encoding="utf-8"))
_PLAIN = "base_test"
_SHOWN = 12  # digits of a digest
_TRACKED = 50  # transcripts of each system


@dataclass(frozen=True, eq=False)
class Split:
    """Systems on one split: its name, and evaluations by system in the order shown."""

    name: str
    evaluations: Mapping[str, Evaluation]

    @property
    def models(self) -> Mapping[str, Evaluation]:
        """Evaluations of all systems but the baseline that knows all words."""
        return {name: own for name, own in self.evaluations.items() if name != NO_TAGS}

    @property
    def clips(self) -> int:
        """How many clips it has."""
        return len(next(iter(self.evaluations.values())).clips)

    def only(self, ids: Collection[str]) -> Split:
        """The same systems on some of the clips."""
        return Split(self.name, {name: own.only(ids) for name, own in self.evaluations.items()})

    def __str__(self) -> str:
        return f"{self.clips:,} clips of {self.name}"


def _found(
    split: Split, protocols: Protocols, only: Collection[str]
) -> dict[tuple[str, str, str], Metric]:
    """Metrics by system, protocol and name."""
    clips = {tuple((c.id, c.reference) for c in own.clips) for own in split.evaluations.values()}
    if len(clips) > 1:
        raise UserError("only scores of the same clips can be compared; evaluate all on one split")
    return {
        (system, protocol, name): metric
        for system, evaluation in split.evaluations.items()
        for protocol, measured in protocols.items()
        for name, metric in measured(evaluation).items()
        if not only or name in only
    }


def score_frame(
    split: Split, protocols: Protocols = PROTOCOLS, *, only: Collection[str] = (), seed: int = 0
) -> pd.DataFrame:
    """Scores of systems on a split, see the module; all on the same resamples.

    `only` names the metrics, by default all that the protocols have; `seed` is the bootstrap's.

    Raises:
        UserError: the systems were not scored on the same clips in the same order.
    """
    found = _found(split, protocols, only)
    ends = stats.bootstrap_intervals({key: own.ratio for key, own in found.items()}, seed=seed)
    rows = [
        (system, split.name, *key, i.value, i.low, i.high, own.n, own.support, i.seed_sd)
        for ((system, *key), own), i in zip(found.items(), ends.values(), strict=True)
    ]
    names = ["system", "split", "protocol", "metric", "value", "low", "high", "n", "support"]
    names += ["seed_sd"]
    return pd.DataFrame(rows, columns=names)


def paired_frame(
    split: Split,
    pairs: Iterable[tuple[str, str]],
    protocols: Protocols = PROTOCOLS,
    *,
    only: Collection[str] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Differences of pairs (reference, system), see the module, in the metrics that both have.

    The other arguments and errors are those of `score_frame`.
    """
    found = _found(split, protocols, only)
    both = [
        (reference, system, *key)
        for reference, system in pairs
        for name, *key in found
        if name == system and (reference, *key) in found
    ]
    first = {key: found[key[1:]].ratio for key in both}
    second = {key: found[key[0], *key[2:]].ratio for key in both}
    apart = stats.paired_differences(first, second, seed=seed) if both else {}
    rows = [
        (system, reference, split.name, *key, i.value, i.low, i.high, i.n, i.seed_sd)
        for (reference, system, *key), i in apart.items()
    ]
    names = ["system", "reference", "split", "protocol", "metric", "difference", "low", "high"]
    names += ["n", "seed_sd"]
    return pd.DataFrame(rows, columns=names)


def headline(
    split: Split,
    pairs: Iterable[tuple[str, str]] = (),
    *,
    more: Sequence[str] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """`score_frame` of the five metrics that matter, or `paired_frame` where pairs are given.

    `more` are further metrics of the strict protocol.
    """
    strict, only = {STRICT: OVERALL[STRICT]}, (*HEADLINE, *more)
    if pairs:
        return paired_frame(split, pairs, strict, only=only, seed=seed)
    return score_frame(split, strict, only=only, seed=seed)


def by_tag(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of single tags, with a column `tag`."""
    rows = scores[scores["metric"].str.startswith("f1[")]
    return rows.assign(tag=rows["metric"].str[3:-1])


def overall(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of metrics over all tags and words."""
    return scores[~scores["metric"].str.startswith("f1[")]


def wide(
    scores: pd.DataFrame, paired: pd.DataFrame | None = None, *, key: str = "metric"
) -> pd.DataFrame:
    """One protocol's scores, and its paired differences, with a row for each value of `key`.

    Columns are `<system>`, `<system>_low`, `<system>_high`, `<system>_seed_sd` of each system, and
    of each in `paired` the same with `_difference` behind the system.
    """
    sources = [(scores, "value", ""), (paired, "difference", "_difference")]
    parts = [pd.DataFrame(index=pd.Index(scores[key].unique(), name=key))]
    for system in scores["system"].unique():
        for frame, value, suffix in sources[: 1 + (paired is not None)]:
            own = frame[frame["system"] == system].set_index(key)[[value, "low", "high", "seed_sd"]]
            names = [f"{system}{suffix}{end}" for end in ("", "_low", "_high", "_seed_sd")]
            parts += [own.set_axis(names, axis="columns")] if len(own) else []
    return pd.concat(parts, axis="columns")


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything that was measured."""

    seed: int  # of bootstraps
    seeds: int  # trainings of SFT and RL
    headline: Split  # for the headline numbers, drawn as the report's test set is
    balanced: Split  # all tags are about as frequent
    plain: Split | None  # plain speech that nothing was trained on, if any: base, SFT and RL
    kinds: pd.Series  # how new each headline clip is to training, by id (`source.familiarity`)
    origins: Mapping[str, str]  # what each system is, by name
    settings: Mapping[str, object]  # of fine-tuning, named as in the report's Table 1
    rl_settings: Mapping[str, object]  # of the RL stage, named as in the model card
    numbers: Mapping[str, Any]  # what `raft.facts` says of the RL stage
    base: str  # the base model in words
    trained: str  # what speech it learnt from, and
    tested: str  # what speech the headline split is (`clips.speech`)
    sounds: Callable[[Sequence[str]], list[str]]  # data URIs of headline clips, by their ids

    @cached_property
    def scores(self) -> pd.DataFrame:
        """`score_frame` of all systems on the headline split."""
        return score_frame(self.headline, seed=self.seed)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """`paired_frame` of the report's two stages on the headline split, without single tags."""
        return paired_frame(self.headline, STEPS, OVERALL, seed=self.seed)

    def under(self, protocol: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of `scores` and of `steps` under one protocol."""
        scores, steps = (own[own["protocol"] == protocol] for own in (self.scores, self.steps))
        return scores, steps

    @property
    def splits(self) -> list[Split]:
        """The splits that were written down, each once."""
        every = {split.name: split for split in (self.headline, self.balanced, self.plain) if split}
        return [*every.values()]

    def clip_counts(self) -> pd.DataFrame:
        """What each system is and how many clips of each split it wrote down."""
        frame = pd.DataFrame(self.origins.items(), columns=["system", "origin"])
        for split in self.splits:
            known = frame["system"].isin(split.evaluations)
            frame[split.name] = known.map({True: float(split.clips)})
        return frame

    def prediction_rows(self) -> dict[str, list[dict[str, str]]]:
        """Rows of a file of predictions by its name: `id`, `text`, and the `reference`."""
        return {
            f"{split.name}-{system.lower().replace(' ', '_')}": [
                {"id": clip.id, "text": clip.prediction, "reference": clip.reference}
                for clip in own.clips
            ]
            for split in self.splits
            for system, own in split.evaluations.items()
        }


def measure(cfg: Benchmark) -> Measured | None:
    """Transcribe the test splits with every system, or reuse what 02 and 03 transcribed.

    The profile names the clips, the base and both recipes. With `source` `paper` nothing is
    measured, and None returned.

    Raises:
        UserError: an adapter or file named is none, does not fit, or a stage failed.
    """
    if cfg.source == "paper":
        return None
    # All of them load torch and transformers.
    from evoxtral import pipeline, raft
    from evoxtral.mix.source import TRAIN, familiarity
    from evoxtral.model import TINY, find_adapter
    from evoxtral.train import read_log

    same = {"seeds": cfg.seeds, "language": cfg.language}
    tuning = params.profile(Sft, cfg.profile, same)
    setup = pipeline.open_setup(tuning)
    headline = cfg.split or setup.headline
    # First, so that a wrong file or folder stops before any work.
    written = _written(cfg, setup, headline)
    added = {ADAPTER: [find_adapter(cfg.adapter, runs.root())]} if cfg.adapter else {}
    recipe = raft.recipe_of(params.profile(Raft, cfg.profile, same))
    starts = raft.start_adapters(recipe, setup)
    made = raft.repeat(recipe, setup, starts, "RAFT")
    trained = {BASE: [None], SFT: starts, RL: [rounds[-1].tuned.adapter for rounds in made]}

    def scored(name: str, systems: pipeline.Systems) -> Split:
        plain = [tags.plain_text(clip.tagged_text) for clip in setup.clips(name)]
        words = {NO_TAGS: pipeline.score(setup, name, plain)}
        return Split(name, words | pipeline.evaluate(setup, name, systems))

    found = scored(headline, trained | added)
    balanced = found if setup.balanced == headline else scored(setup.balanced, trained | added)
    plain = scored(_PLAIN, trained) if setup.has(_PLAIN) else None
    facts = raft.facts(recipe, made[0][-1])
    known = recipe.model_dump() | facts | {"rate": scientific(recipe.learning_rate)}
    tiny = setup.base.name == TINY
    base = "embedded tiny Voxtral" if tiny else Path(setup.base.name).name
    return Measured(
        seed=cfg.seed,
        seeds=cfg.seeds,
        headline=Split(headline, {**found.evaluations, **written}),
        balanced=balanced,
        plain=plain,
        kinds=familiarity(setup.source, headline),
        origins=_origins(cfg, f"{base}, weights {setup.base.digest[:_SHOWN]}", trained | added),
        settings=pipeline.settings(
            tuning, setup, None if recipe.adapter else read_log(starts[0].parent)
        ),
        rl_settings={name: text.format(**known) for name, text in _WORDS["rl_settings"].items()},
        numbers=facts,
        base=base,
        trained=speech(setup.clips(TRAIN)),
        tested=speech(setup.clips(headline)),
        sounds=partial(pipeline.sounds, setup, headline),
    )


def _written(cfg: Benchmark, setup: Setup, split: str) -> dict[str, Evaluation]:
    """Scores of the predictions that the parameters name, if any."""
    from evoxtral import pipeline

    if not cfg.predictions:
        return {}
    ids = [clip.id for clip in setup.clips(split)]
    texts = pipeline.read_predictions(runs.named(cfg.predictions), ids)
    return {PREDICTIONS: pipeline.score(setup, split, texts)}


def _origins(cfg: Benchmark, base: str, systems: pipeline.Systems) -> dict[str, str]:
    """What each system is, by its name."""
    from evoxtral.model import adapter_digest

    known, found = cfg.model_dump() | {"base": base}, {}
    for name, text in _WORDS["origins"].items():
        folders = filter(None, systems.get(name, []))
        digests = ", ".join(adapter_digest(folder)[:_SHOWN] for folder in folders)
        found[name] = text.format(**known) + (f"; adapter {digests}" if digests else "")
    return {name: origin for name, origin in found.items() if origin}


def track(cfg: Benchmark, measured: Measured | None) -> None:
    """Log each system's scores under both protocols and some transcripts, a run for each.

    Nothing is logged unless `tracker` asks for it; the baseline without tags gets no run.

    Raises:
        UserError: it is to be online and there is no key.
    """
    if cfg.tracker == "disabled" or measured is None or not processes.is_main():
        return
    import wandb

    from evoxtral.pipeline import tracker

    folder = runs.runs_dir() / cfg.profile / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    scores = overall(measured.scores)
    for system, evaluation in measured.headline.models.items():
        with tracker(cfg, folder, f"{system} eval") as run:
            rows = scores[scores["system"] == system]
            names = rows["protocol"] + "/" + rows["metric"]
            run.log(dict(zip(names, rows["value"], strict=True)))
            shown = [(c.id, c.reference, c.prediction) for c in evaluation.clips[:_TRACKED]]
            page = pd.DataFrame(shown, columns=["id", "reference", "prediction"])
            run.log({"transcripts": wandb.Html(page.to_html(index=False))})
