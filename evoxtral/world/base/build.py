"""Stages that make the base: its corpus, and the model in two cycles.

Both resume after a kill. The shipped checkpoint in `evoxtral/world/base/checkpoint/` is the model
stage of the tiny profile, copied by `ship`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import (
    VoxtralForConditionalGeneration,
    VoxtralProcessor,
)

from evoxtral import metrics, runs
from evoxtral.model import device
from evoxtral.params import TinyBase
from evoxtral.world.base import TEXTS, checkpoint_dir, corpus, fingerprints, train
from evoxtral.world.base.model import (
    SHAPE,
    build_model,
    build_processor,
    load_model,
    train_tokenizer,
    transcribe,
)

CORPUS_CODE = (
    "evoxtral.world.scripts",
    "evoxtral.world.speech",
    "evoxtral.tags",
    "evoxtral.world.base.corpus",
)
MODEL_CODE = (
    "evoxtral.world.base.corpus",
    "evoxtral.world.base.model",
    "evoxtral.world.base.train",
)
TRAINED_ON = ("neutral", "refine", "expressive")
LOG = "log.csv"


def make_corpus(cfg: TinyBase) -> runs.StageResult:
    """The stage that synthesises what the base learns from and is tested on."""
    names = {field.name for field in dataclasses.fields(corpus.CorpusSizes)}
    sizes = corpus.CorpusSizes(**cfg.model_dump(include=names))
    workers = cfg.workers or len(os.sched_getaffinity(0))

    def make(folder: Path) -> None:
        corpus.make(folder, corpus.plan(sizes, cfg.seed), SHAPE, workers)

    params = cfg.model_dump(include={*names, "seed"})
    return runs.stage("base-corpus", cfg.profile, params, make, code=CORPUS_CODE)


def read_corpus(stage: runs.StageResult) -> tuple[dict[str, corpus.Utterances], list[str]]:
    """Utterances of each kind and the phoneme symbols of a corpus stage."""
    return corpus.load(stage.path, SHAPE)


def train_base(cfg: TinyBase, source: runs.StageResult) -> runs.StageResult:
    """The stage that trains tokenizer and model on a corpus stage.

    Two cycles, each a stage: the model learns to listen, easiest speech first; then, its
    read-outs and its optimiser begun afresh, the same speech with voices and tempo perturbed,
    for speakers that it has never heard.
    """
    first = _cycle("base-listening", cfg, source, "neutral", _learn(cfg), None)
    return _cycle("base-model", cfg, source, "refine", _refine(cfg), first)


def _learn(cfg: TinyBase) -> train.Recipe:
    return train.Recipe(
        cfg.steps, cfg.batch, cfg.learning_rate, seed=cfg.seed, log_every=_rows(cfg.steps)
    )


def _refine(cfg: TinyBase) -> train.Recipe:
    return train.Recipe(
        cfg.refine_steps,
        cfg.batch,
        cfg.refine_learning_rate,
        alone=0.0,
        shortest=1.0,
        perturb=cfg.perturb,
        seed=cfg.seed + 1,
        log_every=_rows(cfg.refine_steps),
    )


def _rows(steps: int) -> int:
    return max(1, min(50, steps // 10))


def _cycle(
    name: str,
    cfg: TinyBase,
    source: runs.StageResult,
    kind: str,
    recipe: train.Recipe,
    start: runs.StageResult | None,
) -> runs.StageResult:
    """The stage of one cycle, from a random model or from where `start` ended."""
    inputs = {"corpus": source.digest} | ({"start": start.digest} if start else {})
    params = (
        cfg.model_dump(include={"lines", "merges", "seed"})
        | dataclasses.asdict(recipe)
        | {"kind": kind}
    )
    return runs.stage(
        name,
        cfg.profile,
        params,
        lambda folder: _train(folder, cfg, source, kind, recipe, start),
        inputs=inputs,
        code=MODEL_CODE,
    )


def _train(
    folder: Path,
    cfg: TinyBase,
    source: runs.StageResult,
    kind: str,
    recipe: train.Recipe,
    start: runs.StageResult | None,
) -> None:
    kinds, phonemes = read_corpus(source)
    lines = corpus.read_lines(cfg.lines, cfg.seed)
    if start:
        model, processor = load_model(start.path)
        earlier = pd.read_csv(start.path / LOG)
    else:
        model, processor = _random_model(folder, [*kinds["neutral"].texts, *lines], cfg)
        earlier = pd.DataFrame()
    model.to(device(cfg.device))

    def evaluate(_: int) -> dict[str, float]:
        heard = transcribe(model, processor.tokenizer, kinds["dev"], SHAPE)
        scores = metrics.evaluate(kinds["dev"].texts, heard).strict()
        return {"dev_wer": scores["wer"].value}

    material = train.Material(kinds[kind], kinds["expressive"], lines, len(phonemes))
    log = pd.DataFrame(
        train.train(folder, model, processor.tokenizer, material, recipe, SHAPE, evaluate)
    )
    if start:
        log["step"] += earlier["step"].iloc[-1]
    runs.write_text(folder / LOG, pd.concat([earlier, log]).to_csv(index=False))
    model.to("cpu").save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _random_model(
    folder: Path, texts: list[str], cfg: TinyBase
) -> tuple[VoxtralForConditionalGeneration, VoxtralProcessor]:
    """An untrained model, and the processor around a tokenizer trained on the texts."""
    tekken = folder / "tekken.json"
    if not tekken.exists():
        described = train_tokenizer(texts, cfg.merges, SHAPE)
        runs.write_text(tekken, json.dumps(described))
    torch.manual_seed(cfg.seed)
    vocabulary = json.loads(tekken.read_text())["config"]["default_vocab_size"]
    return build_model(SHAPE, vocabulary), build_processor(tekken, SHAPE)


def ship(source: runs.StageResult, card: str, kinds: dict[str, corpus.Utterances]) -> Path:
    """Make a model stage the checkpoint that ships with the package.

    Args:
        source: the model stage.
        card: its README.
        kinds: the corpus; fingerprints of what was trained on go with the model .
    """
    target = checkpoint_dir()
    target.mkdir(exist_ok=True)
    for file in sorted(source.path.iterdir()):
        runs.write_bytes(target / file.name, file.read_bytes())
    trained_on = [t for kind in TRAINED_ON for t in kinds[kind].texts]
    buffer = io.BytesIO()
    np.save(buffer, fingerprints(trained_on))
    runs.write_bytes(target / TEXTS, buffer.getvalue())
    runs.write_text(target / "README.md", card)
    return target
