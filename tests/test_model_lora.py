"""Adapters: where they sit, how many weights they have, and which folders are refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import VoxtralConfig

from evoxtral import UserError
from evoxtral.model import (
    LoraShape,
    adapter_digest,
    attach,
    count_parameters,
    load,
    merge,
    open_base,
)
from evoxtral.model.lora import ADAPTER_FILE
from evoxtral.world.base.model import build_model
from small_models import SMALL, other_architecture

MINI = {
    "audio_config": {
        "model_type": "voxtral_encoder",
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "num_mel_bins": 128,
        "max_source_positions": 1500,
        "vocab_size": 51866,
    },
    "text_config": {
        "model_type": "llama",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 30,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 131072,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
    },
    "audio_token_id": 24,
}
"""Shapes of Voxtral-Mini-3B-2507, from its published configuration."""

SHAPE = LoraShape(rank=4, alpha=8)


def small(layers=2):
    torch.manual_seed(0)
    model = build_model(replace(SMALL, lm_layers=layers), 300).requires_grad_(False).eval()
    model.name_or_path = model.config.name_or_path = "small"
    return model


def saved(folder, shape=SHAPE, layers=2):
    """An adapter that does something: both of its factors are random."""
    tuned = attach(small(layers), shape, seed=1)
    torch.manual_seed(2)
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            value.data.normal_(std=0.1)
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture
def adapter(tmp_path):
    return saved(tmp_path / "adapter")


def logits(model, seed=3):
    generator = torch.Generator().manual_seed(seed)
    positions = SMALL.audio_tokens
    ids = torch.tensor([[1, *[24] * positions, 50, 51]])
    mels = torch.randn(1, SMALL.mel_bins, 2 * SMALL.frames, generator=generator)
    with torch.inference_mode():
        return model(input_ids=ids, input_features=mels).logits


@pytest.mark.parametrize(("encoder_lora", "trainable"), [(False, 109_051_904), (True, 124_780_544)])
def test_weights_of_voxtral_mini_as_in_table_1(encoder_lora, trainable):
    counted = count_parameters(VoxtralConfig(**MINI), LoraShape(encoder_lora=encoder_lora))
    rows = counted.set_index("part")
    assert rows.trainable["all"] == trainable
    assert rows.trainable["audio encoder"] == (15_728_640 if encoder_lora else 0)
    assert rows.trainable["projector"] == 917_504
    assert rows.trainable["language model"] == 108_134_400
    assert rows.trainable["output layer"] == 0
    frozen = rows.total - rows.trainable
    assert frozen["audio encoder"] == 636_968_960
    assert frozen.drop("all").sum() == frozen["all"] == 4_676_271_104
    assert rows.total.drop("all").sum() == rows.total["all"]


def test_the_reports_list_of_names_reaches_into_the_encoder():
    """Why the targets are anchored expressions: the published variant is what the list gives."""
    listed = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    listed |= {"linear_1", "linear_2"}
    with torch.device("meta"):
        modules = [name for name, _ in build_model_of(MINI).named_modules()]
    theirs = {name for name in modules if name.rpartition(".")[2] in listed}
    assert {n for n in modules if re.fullmatch(LoraShape(encoder_lora=True).targets, n)} == theirs
    ours = {n for n in modules if re.fullmatch(LoraShape().targets, n)}
    assert ours == {name for name in theirs if "audio_tower" not in name}
    assert len(ours) == 30 * 7 + 2


def build_model_of(config):
    from transformers import VoxtralForConditionalGeneration

    return VoxtralForConditionalGeneration(VoxtralConfig(**config))


@pytest.mark.parametrize("encoder_lora", [False, True])
def test_only_adapters_learn(encoder_lora):
    tuned = attach(small(), LoraShape(rank=4, encoder_lora=encoder_lora), seed=0)
    learning = {name: p for name, p in tuned.named_parameters() if p.requires_grad}
    assert learning
    assert all("lora_" in name for name in learning)
    assert {p.dtype for p in learning.values()} == {torch.float32}
    in_encoder = [name for name in learning if "audio_tower" in name]
    assert bool(in_encoder) == encoder_lora
    assert all("self_attn" in name and "out_proj" not in name for name in in_encoder)


def test_fresh_adapters_change_nothing_and_come_from_their_seed():
    before = logits(small())
    first, again, other = (attach(small(), SHAPE, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(logits(first.eval()), before, rtol=0, atol=0)
    weights = [
        torch.cat([p.flatten() for n, p in tuned.named_parameters() if "lora_A" in n])
        for tuned in (first, again, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_merged_weights_compute_what_the_adapter_computes(adapter):
    attached = logits(load(small(), adapter))
    merged = merge(small(), adapter)
    assert not any("lora_" in name for name, _ in merged.named_modules())
    assert (attached - logits(small())).abs().max() > 1e-3
    torch.testing.assert_close(logits(merged), attached, rtol=1e-5, atol=1e-5)


def test_a_loaded_adapter_learns_only_where_that_is_asked_for(adapter):
    assert not any(p.requires_grad for p in load(small(), adapter).parameters())
    resumed = load(small(), adapter, trainable=True)
    learning = [name for name, p in resumed.named_parameters() if p.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)


def test_an_adapter_records_its_base_by_name_and_no_place(tmp_path):
    base = open_base("tiny", "cpu")
    attach(base.model, SHAPE, seed=0).save_pretrained(tmp_path, save_embedding_layers=False)
    text = (tmp_path / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny"
    assert not re.search(r'"/|site-packages|checkpoint', text)


def test_the_digest_is_of_the_weights(adapter, tmp_path):
    first = adapter_digest(adapter)
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert adapter_digest(saved(tmp_path / "again")) == first
    assert adapter_digest(saved(tmp_path / "other", LoraShape(rank=2))) != first


def test_another_kind_of_model_cannot_carry_an_adapter():
    with pytest.raises(UserError, match="is it a Voxtral"):
        attach(other_architecture(), SHAPE, seed=0)


def test_a_model_carries_one_adapter_at_a_time(adapter):
    model = small()
    attach(model, SHAPE, seed=0)
    with pytest.raises(UserError, match="carries an adapter already: open it anew"):
        attach(model, SHAPE, seed=0)
    with pytest.raises(UserError, match="carries an adapter already: open it anew"):
        load(model, adapter)
    merged = merge(small(), adapter)
    attach(merged, SHAPE, seed=0)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(UserError, match="give the folder of a LoRA adapter"):
        load(small(), tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle is never opened")
    with pytest.raises(UserError, match="give the folder of a LoRA adapter"):
        load(small(), tmp_path)


def without_config(folder: Path):
    (folder / "adapter_config.json").unlink()


def broken_config(folder: Path):
    (folder / "adapter_config.json").write_text("{")


def empty_config(folder: Path):
    (folder / "adapter_config.json").write_text("{}")


def half_the_weights(folder: Path):
    data = (folder / ADAPTER_FILE).read_bytes()
    (folder / ADAPTER_FILE).write_bytes(data[: len(data) // 2])


def no_weights(folder: Path):
    (folder / ADAPTER_FILE).write_bytes(b"")


def more_layers(folder: Path):
    saved(folder, layers=3)


def fewer_layers(folder: Path):
    saved(folder, layers=1)


def other_rank(folder: Path):
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 2}))


def in_the_encoder(folder: Path):
    saved(folder, LoraShape(rank=4, alpha=8, encoder_lora=True))
    config = json.loads((folder / "adapter_config.json").read_text())
    targets = {"target_modules": LoraShape().targets}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **targets}))


@pytest.mark.parametrize(
    "spoil",
    [
        without_config,
        broken_config,
        empty_config,
        half_the_weights,
        no_weights,
        more_layers,
        fewer_layers,
        other_rank,
        in_the_encoder,
    ],
)
def test_a_spoilt_or_foreign_adapter_is_refused_in_one_sentence(spoil, adapter):
    spoil(adapter)
    with pytest.raises(UserError, match=r"adapter") as caught:
        load(small(), adapter)
    assert "\n" not in str(caught.value)
