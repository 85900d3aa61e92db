"""The card of an adapter: what it is, how it was made, what it scores, how to use it.

`README.md` and `.eval_results/evoxtral-bench.yaml` go beside the adapter's weights, in the form
that the Hugging Face hub reads. Nothing is uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml
from huggingface_hub import (
    EvalResult,
    EvalResultEntry,
    ModelCard,
    ModelCardData,
    eval_result_entries_to_yaml,
)

from evoxtral import bench, params, pipeline, runs, tables
from evoxtral.bench import ADAPTER, BASE, Split
from evoxtral.metrics import Evaluation
from evoxtral.model import TINY, LoraShape, shape_of
from evoxtral.params import Sft, TinyBase
from evoxtral.world.base.model import SHAPE, window_arguments
from evoxtral.world.scripts import LEXICON

RESULTS = Path(".eval_results") / "evoxtral-bench.yaml"
_TASK = "automatic-speech-recognition"
_NOTES = {
    "smoke": "smoke run, numbers mean nothing",
    "tiny": "tiny world of synthetic speech, not comparable with other work",
    "paper": "own synthetic test set",
}
_METHODS = {"sft": "supervised fine-tuning", "raft": "rejection-sampling fine-tuning (RAFT)"}


@dataclass(frozen=True, eq=False)
class CardFacts:
    """What a card says."""

    name: str  # of the model
    base: str  # as `open_base` takes it
    shape: LoraShape
    training: tuple[str, Mapping[str, object]]  # stage (empty if not known) and its parameters
    profile: str  # whose clips it was tested on
    split: str  # of these clips
    evaluations: Mapping[str, Evaluation]  # of `base` and `adapter` on that split


def card_facts(folder: Path, profile: str, name: str) -> CardFacts:
    """What a card says of an adapter, measured on a profile's headline split beside the base.

    Raises:
        UserError: the folder holds no adapter.
    """
    shape = shape_of(folder)  # first: a folder that is no adapter stops before any work
    tuning = params.profile(Sft, profile)
    setup = pipeline.open_setup(tuning)
    evaluations = pipeline.evaluate(setup, setup.headline, {BASE: None, ADAPTER: folder})
    return CardFacts(
        name, tuning.base, shape, training_of(folder), profile, setup.headline, evaluations
    )


def training_of(folder: Path) -> tuple[str, dict[str, object]]:
    """Name and parameters of the stage around an adapter's folder; nothing where there is none."""
    path = folder.resolve().parent / "stage.json"
    if not path.is_file():
        return "", {}
    said = runs.read_json(path)
    return said["name"], {k: v for k, v in said["params"].items() if k != "targets"}


def write_card(folder: Path, facts: CardFacts) -> Path:
    """Write `README.md` and `.eval_results/` into an adapter's folder; returns the card's path."""
    entries = [
        EvalResultEntry(
            dataset_id=f"evoxtral/evoxtral-bench-{facts.profile}",
            task_id=f"{facts.split}/{protocol.partition('/')[0]}/{key}",
            value=value,
            notes=f"{protocol}; {_NOTES[facts.profile]}",
        )
        for protocol, key, value in _scores(facts)
    ]
    said = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    runs.write_text(folder / RESULTS, said)
    return runs.write_text(folder / "README.md", card(facts))


def card(facts: CardFacts) -> str:
    """The card as Markdown with the hub's metadata."""
    method, parameters = facts.training
    rows = "\n".join(f"| {name} | {value} |" for name, value in sorted(parameters.items()))
    made = f"Made by {_METHODS.get(method, method)}" if method else "Its training is not known"
    content = _template("adapter").format(
        metadata=_metadata(facts).to_yaml().strip(),
        name=facts.name,
        base="the embedded tiny Voxtral" if facts.base == TINY else f"`{facts.base}`",
        warning=f"Scores: {_NOTES[facts.profile]}.",
        method=made,
        rank=facts.shape.rank,
        alpha=facts.shape.alpha,
        dropout=facts.shape.dropout,
        encoder="adapted too" if facts.shape.encoder_lora else "frozen",
        training=f"| parameter | value |\n|---|---|\n{rows}" if rows else "",
        split=facts.split,
        paper=_table(tables.scores(facts.evaluations, protocol="paper")),
        strict=_table(tables.scores(facts.evaluations, protocol="strict")),
        tags=_table(tables.tag_scores({ADAPTER: facts.evaluations[ADAPTER]})),
        base_argument=facts.base,
    )
    return str(ModelCard(content))


def _metadata(facts: CardFacts) -> ModelCardData:
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type=f"evoxtral-bench-{facts.profile}",
            dataset_name=f"Evoxtral-Bench, {facts.profile}",
            dataset_split=facts.split,
            metric_type=key,
            metric_name=f"{tables.MEASURES[key].label} ({protocol})",
            metric_value=value,
        )
        for protocol, key, value in _scores(facts)
    ]
    return ModelCardData(
        model_name=facts.name,
        base_model=None if facts.base == TINY else facts.base,
        language="en",
        license="apache-2.0",
        library_name="peft",
        pipeline_tag=_TASK,
        tags=["voxtral", "lora", "expressive-transcription", "audio"],
        eval_results=results,
    )


def _scores(facts: CardFacts) -> Iterator[tuple[str, str, float]]:
    """Protocol, metric and value of the adapter, six decimals."""
    rows = bench.overall(bench.score_frame(Split("", {ADAPTER: facts.evaluations[ADAPTER]})))
    for row in rows[rows["value"].notna()].to_dict("records"):
        yield row["protocol"], row["metric"], round(float(row["value"]), 6)


def _template(kind: str) -> str:
    folder = files("evoxtral.report") / "templates"
    return (folder / f"{kind}_card.md").read_text(encoding="utf-8")


def _table(table: tables.Table) -> str:
    return tables.to_markdown(table).strip()


def base_card(cfg: TinyBase, parameters: int, words: pd.DataFrame, audible: pd.DataFrame) -> str:
    """The card of the embedded base, as Markdown; its numbers come from the run that made it.

    `parameters` counts the weights; `words` and `audible` are `score.transcription_scores` and
    `score.probe_scores` of the model.
    """
    counts = ("neutral", "expressive", "lines", "steps", "refine_steps", "refine")
    rates = ("learning_rate", "refine_learning_rate")
    return _template("base").format(
        parameters=f"{parameters / 1e6:.1f} million",
        lexicon=len(LEXICON),
        window=SHAPE.window_seconds,
        audio_kwargs=json.dumps(window_arguments(SHAPE)),
        batch=cfg.batch,
        perturb=f"{cfg.perturb:.0%}",
        transcription=_table(tables.of("transcription", words)),
        probes=_table(tables.of("probes", audible)),
        **{name: f"{getattr(cfg, name):,}" for name in counts},
        **{name: f"{getattr(cfg, name):g}" for name in rates},
    )
