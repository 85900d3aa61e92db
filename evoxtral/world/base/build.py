"""Stages that make the base: its corpus, and the model in two cycles.

Both resume after a kill. The shipped checkpoint in `evoxtral/world/base/checkpoint/` is the model
stage of the tiny profile, copied by `ship`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from evoxtral import metrics, runs
from evoxtral.model import device
from evoxtral.params import TinyBase
from evoxtral.runs import StageResult as Stage
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


def make_corpus(cfg: TinyBase) -> Stage:
    """The stage that synthesises what the base learns from and is tested on."""
    sizes = cfg.model_dump(include={*corpus.KINDS, "probe"})
    workers = cfg.workers or len(os.sched_getaffinity(0))

    def make(folder: Path) -> None:
        corpus.make(folder, corpus.plan(sizes, cfg.seed), workers)

    params = {**sizes, "seed": cfg.seed}
    return runs.stage("base-corpus", cfg.profile, params, make, code=CORPUS_CODE)


def train_base(cfg: TinyBase, source: Stage) -> Stage:
    """The stage that trains tokenizer and model on a corpus stage.

    Two cycles, each a stage: the model learns to listen, easiest speech first; then, its
    read-outs and its optimiser begun afresh, the same speech with voices and tempo perturbed,
    for speakers that it has never heard.
    """
    learn = train.Recipe(cfg.steps, cfg.batch, cfg.learning_rate, seed=cfg.seed)
    later = {"alone": 0.0, "shortest": 1.0, "perturb": cfg.perturb, "seed": cfg.seed + 1}
    refine = train.Recipe(cfg.refine_steps, cfg.batch, cfg.refine_learning_rate, **later)
    first = _cycle("base-listening", cfg, source, "neutral", learn, None)
    return _cycle("base-model", cfg, source, "refine", refine, first)


def _cycle(
    name: str, cfg: TinyBase, source: Stage, kind: str, recipe: train.Recipe, start: Stage | None
) -> Stage:
    """The stage of one cycle, from a random model or from where `start` ended."""

    def make(folder: Path) -> None:
        kinds, phonemes = corpus.load(source.path)
        lines = corpus.read_lines(cfg.lines, cfg.seed)
        if start:
            model, processor = load_model(start.path)
            earlier = pd.read_csv(start.path / LOG)
        else:
            tekken = folder / "tekken.json"
            if not tekken.exists():
                texts = [*(clip.text for clip in kinds["neutral"]), *lines]
                runs.write_text(tekken, json.dumps(train_tokenizer(texts, cfg.merges, SHAPE)))
            torch.manual_seed(cfg.seed)
            vocabulary = runs.read_json(tekken)["config"]["default_vocab_size"]
            model, processor = build_model(SHAPE, vocabulary), build_processor(tekken, SHAPE)
            earlier = pd.DataFrame()
        model.to(device(cfg.device))

        def evaluate() -> dict[str, float]:
            heard = transcribe(model, processor.tokenizer, kinds["dev"])
            scores = metrics.evaluate([clip.text for clip in kinds["dev"]], heard).table("strict")
            return {"dev_wer": scores["wer"].value}

        material = kinds[kind], kinds["expressive"], lines, len(phonemes)
        trainer = train.Trainer(model, processor.tokenizer, recipe, *material)
        log = pd.DataFrame(trainer.run(folder, evaluate))
        if start:
            log["step"] += earlier["step"].iloc[-1]
        runs.write_text(folder / LOG, pd.concat([earlier, log]).to_csv(index=False))
        model.to("cpu").save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "checkpoint.pt").unlink(missing_ok=True)

    own = cfg.model_dump(include={"lines", "merges", "seed"})
    params = own | dataclasses.asdict(recipe) | {"kind": kind}
    inputs = {"corpus": source.digest} | ({"start": start.digest} if start else {})
    return runs.stage(name, cfg.profile, params, make, inputs=inputs, code=MODEL_CODE)


def ship(source: Stage, card: str, kinds: corpus.Kinds) -> None:
    """Make a model stage the checkpoint that ships with the package.

    Its card and the fingerprints of what it was trained on go beside it.
    """
    target = shutil.copytree(source.path, checkpoint_dir(), dirs_exist_ok=True)
    np.save(target / TEXTS, fingerprints(clip.text for kind in TRAINED_ON for clip in kinds[kind]))
    runs.write_text(target / "README.md", card)
