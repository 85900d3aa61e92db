"""The paper profile as it is written, on a small random model with every part of the real one.

All settings that are no size are those of Voxtral-Mini-3B and of the parameter files. Numbers mean
nothing here: that every step of 02, 03 and 04 runs and ends in an adapter of the right shape does.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import __main__ as commands
from evoxtral import params, runs
from evoxtral.bench import ADAPTER, BASE, NO_TAGS, RL, SFT, measure
from evoxtral.model import shape_of
from evoxtral.transcribe import Transcript, transcribe_files
from evoxtral.world.base.model import build_processor, train_tokenizer
from small_models import small_shape

pytestmark = pytest.mark.slow

UNUSED = ("test", "balanced", "raft_prompts", "base_test")
DATA = {"train": 10, "validation": 2, "natural": 3, "plain_val": 2, "workers": 1}
BATCHES = {"batch": 4, "micro_batch": 2, "device": "cpu"}
SIZES = {
    "01_data_mix": dict.fromkeys(UNUSED, 0) | DATA,
    "02_sft": BATCHES | {"epochs": 2, "lora_rank": 4, "lora_alpha": 8},
    "03_raft": BATCHES | {"k": 2},
    "04_benchmark": {},
}
"""What is smaller than in the paper profile; everything else is as its files say."""
AUDIO = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2}
AUDIO |= {"num_attention_heads": 4}
TEXT = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}
TEXT |= {"num_attention_heads": 4, "num_key_value_heads": 2}
"""Query heads wider than the hidden size, as released."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model, loadable like the released one."""
    folder = tmp_path_factory.mktemp("model")
    shape = small_shape(seconds=30, bands=128)
    texts = ["[laughs] Well, I don't know what to SAY.", "The paper was on the table."] * 4
    tekken = folder / "tekken.json"
    tekken.write_text(json.dumps(train_tokenizer(texts, 40, shape)))
    vocabulary = json.loads(tekken.read_text())["config"]["default_vocab_size"]
    torch.manual_seed(0)
    released = VoxtralConfig().to_dict()
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 11}
    text = released["text_config"] | TEXT | special | {"vocab_size": vocabulary}
    audio = released["audio_config"] | AUDIO
    config = VoxtralConfig(audio_config=audio, text_config=text, audio_token_id=24)
    made = VoxtralForConditionalGeneration(config)
    made.generation_config.update(**special)
    made.save_pretrained(folder)
    build_processor(tekken, shape).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def checkout(model: Path, tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Iterator[Path]:
    """A checkout whose paper profile names that model and few clips; runs of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "pyproject.toml").touch()
    shutil.copytree(repo / "params", folder / "params")
    for name, sizes in SIZES.items():
        file = folder / "params" / "paper" / f"{name}.yaml"
        values = yaml.safe_load(file.read_text())
        if "base" in values:
            sizes = {**sizes, "base": str(model)}
        file.write_text(yaml.safe_dump({**values, **sizes}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOXTRAL_ROOT", str(folder))
        patch.setenv("EVOXTRAL_RUNS", str(folder / "runs"))
        patch.setattr(runs, "_used", {})
        yield folder


def build(notebook: str, **changes: object) -> None:
    commands.build(params.profile(params.NOTEBOOKS[notebook], "paper", changes))


def adapter(checkout: Path, stage: str, *, encoder: bool) -> Path:
    made = (checkout / "runs" / "paper").glob(f"{stage}-*/adapter")
    [found] = [path for path in made if shape_of(path).encoder_lora == encoder]
    return found


def trained(folder: Path) -> set[str]:
    """Parts of the model that an adapter has changed."""
    weights = load_file(folder / "adapter_model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
    moved = [name for name, value in weights.items() if "lora_B" in name and value.abs().max() > 0]
    assert len(moved) == len(weights) // 2, "every adapter has learnt something"
    return {re.search(r"audio_tower|multi_modal_projector|language_model", n)[0] for n in moved}


@pytest.mark.parametrize("encoder", [False, True], ids=["frozen", "encoder-lora"])
def test_sft_and_raft_run_as_the_paper_profile_says(checkout: Path, encoder: bool) -> None:
    """With activation checkpointing, NEFTune, dropout, bfloat16 and accumulation, as written."""
    cfg = params.profile(params.Sft, "paper")
    assert cfg.checkpointing
    assert (cfg.neftune_alpha, cfg.precision, cfg.lora_dropout) == (5.0, "bfloat16", 0.05)
    build("02_sft", encoder_lora=encoder)
    parts = {"multi_modal_projector", "language_model", *(["audio_tower"] if encoder else [])}
    start = adapter(checkout, "sft", encoder=encoder)
    assert trained(start) == parts
    build("03_raft", adapter=str(start))
    assert trained(adapter(checkout, "raft", encoder=encoder)) == parts


def test_benchmark_and_transcription_run_as_named(checkout: Path, model: Path) -> None:
    """SFT and RL of 02's and 03's own files, and one more adapter, on the real window."""
    added = adapter(checkout, "sft", encoder=True)
    cfg = params.profile(params.Benchmark, "paper", {"adapter": str(added)})
    found = measure(cfg)
    assert set(found.headline.evaluations) == {NO_TAGS, BASE, SFT, RL, ADAPTER}
    assert found.headline.clips == SIZES["01_data_mix"]["natural"]
    assert set(found.clip_counts()["system"]) == {NO_TAGS, BASE, SFT, RL, ADAPTER}
    clips = sorted((checkout / "runs" / "paper").glob("corpus-*/natural/*.flac"))
    [made] = transcribe_files(clips[:1], added, str(model))
    assert isinstance(made, Transcript)
