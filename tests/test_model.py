"""Base models and adapters: what is loaded, where adapters sit, and what is refused."""

from __future__ import annotations

import json
import math
import re
import shutil

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VoxtralConfig, VoxtralForConditionalGeneration

import evoxtral.model
from evoxtral import UserError, params, pipeline
from evoxtral.model import (
    ADAPTER_FILE,
    CONFIG_FILE,
    LoraShape,
    adapter_digest,
    arithmetic,
    attach,
    checkpoint_dir,
    count_parameters,
    device,
    find_adapter,
    load,
    merge,
    open_base,
    shape_of,
    weights_digest,
)
from evoxtral.world.base.model import build_model
from small_models import BANDS, FRAMES, WINDOW, adapted, small_shape

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may reach a network, and no test may wait for one."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_device_names(monkeypatch):
    assert device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device("auto") == CPU
    with pytest.raises(UserError, match="torch finds no GPU: set device to auto"):
        device("cuda")


INTEL = {"cpu_name": "Intel Xeon", "avx512_bf16": True}


@pytest.mark.parametrize(
    ("known", "quick"),
    [
        ({"avx2": True}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, True),
        (INTEL | {"amx_bf16": False}, False),
        (INTEL | {"amx_bf16": True}, True),
    ],
)
def test_what_is_slower_in_bfloat16_trains_in_float32(monkeypatch, known, quick):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: quick)
    precision = "bfloat16" if quick else "float32"
    assert arithmetic("auto", CPU) == arithmetic("auto", torch.device("cuda")) == precision
    assert arithmetic("float32", CPU) == "float32"
    assert pipeline.precision(params.profile(params.Sft, "tiny", {"device": "cpu"})) == precision


@pytest.fixture
def folder(tmp_path):
    """A copy of the embedded base that a test may spoil."""
    return shutil.copytree(checkpoint_dir(), tmp_path / "copy")


def change(folder, file, **values):
    """Change settings in a JSON file, `a__b` for `b` inside `a`; the value makes new of old."""
    settings = json.loads((folder / file).read_text())
    for path, value in values.items():
        *outer, name = path.split("__")
        inside = settings
        for key in outer:
            inside = inside[key]
        inside[name] = value(inside.get(name))
    (folder / file).write_text(json.dumps(settings))


def test_digests_say_which_weights_and_inputs_they_are_of(folder):
    base, copy = open_base("tiny", "cpu"), open_base(str(folder), "cpu")
    assert (copy.digest, copy.encoder_digest) == (base.digest, base.encoder_digest)
    assert base.digest == weights_digest(base.model.state_dict())
    assert not base.model.training
    assert {(p.requires_grad, p.dtype) for p in base.model.parameters()} == {(False, torch.float32)}
    model = VoxtralForConditionalGeneration.from_pretrained(folder)
    model.lm_head.weight.data[0, 0] += 1
    model.save_pretrained(folder)
    changed = open_base(str(folder), "cpu")
    assert changed.encoder_digest == base.encoder_digest
    assert changed.digest != base.digest
    change(folder, "processor_config.json", feature_extractor__hop_length=lambda n: 2 * n)
    assert open_base(str(folder), "cpu").encoder_digest != base.encoder_digest


def test_weights_are_hashed_once_and_only_where_a_digest_is_asked_for(monkeypatch):
    hashed = []
    monkeypatch.setattr(evoxtral.model, "weights_digest", lambda own: hashed.append(own) or "one")
    base = open_base("tiny", "cpu")
    assert not hashed
    assert base.digest == base.digest == "one"
    assert len(hashed) == 1


def halve(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


NO_VOXTRAL = {
    "unknown": lambda _: "nobody/no-such-model",
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no tokenizer": lambda folder: (folder / "tekken.json").write_bytes(b""),
    "half the weights": lambda folder: halve(folder / "model.safetensors"),
    "fewer layers": lambda folder: change(
        folder, "config.json", text_config__num_hidden_layers=lambda n: n + 1
    ),
    "wider layers": lambda folder: change(
        folder, "config.json", text_config__hidden_size=lambda n: 2 * n
    ),
}


@pytest.mark.parametrize("spoil", NO_VOXTRAL.values(), ids=NO_VOXTRAL)
def test_what_is_no_whole_voxtral_is_refused(folder, spoil):
    name = spoil(folder) or str(folder)
    with pytest.raises(UserError, match=r"\A.*cannot be loaded.*: give 'tiny', a folder.*\Z"):
        open_base(name, "cpu")


MINI = VoxtralConfig()
"""Voxtral-Mini-3B-2507: the class's defaults are its shapes."""

SHAPE = LoraShape(rank=4, alpha=8)


@pytest.mark.parametrize(("encoder_lora", "trainable"), [(False, 109_051_904), (True, 124_780_544)])
def test_weights_of_voxtral_mini_as_in_table_1(encoder_lora, trainable):
    rows = count_parameters(MINI, LoraShape(encoder_lora=encoder_lora)).set_index("part")
    assert rows.trainable.to_dict() == {
        "audio encoder": 15_728_640 if encoder_lora else 0,
        "projector": 917_504,
        "language model": 108_134_400,
        "output layer": 0,
        "all": trainable,
    }
    frozen = rows.total - rows.trainable
    assert frozen["audio encoder"] == 636_968_960
    assert frozen.drop("all").sum() == frozen["all"] == 4_676_271_104
    assert rows.total.drop("all").sum() == rows.total["all"]


def small(layers=2):
    torch.manual_seed(0)
    model = build_model(small_shape(layers), 300).requires_grad_(False).eval()
    model.name_or_path = model.config.name_or_path = "small"
    return model


def saved(folder, shape=SHAPE, layers=2):
    adapted(small(layers), shape, 0.1).save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture
def adapter(tmp_path):
    return saved(tmp_path / "adapter")


def logits(model):
    generator = torch.Generator().manual_seed(3)
    mels = torch.randn(1, BANDS, 2 * FRAMES, generator=generator)
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[1, *WINDOW, 50, 51]]), input_features=mels).logits


def test_fresh_adapters_change_nothing_and_come_from_their_seed():
    before = logits(small())
    first, again, other = (attach(small(), SHAPE, seed) for seed in (1, 1, 2))
    assert torch.equal(logits(first.eval()), before)
    weights = [
        torch.cat([p.flatten() for n, p in tuned.named_parameters() if "lora_A" in n])
        for tuned in (first, again, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_merged_weights_compute_what_the_adapter_computes(adapter):
    loaded, merged = load(small(), adapter), merge(small(), adapter)
    assert not any(p.requires_grad for p in loaded.parameters())
    assert not any("lora_" in name for name, _ in merged.named_modules())
    assert (logits(loaded) - logits(small())).abs().max() > 1e-3
    torch.testing.assert_close(logits(merged), logits(loaded), rtol=1e-5, atol=1e-5)
    resumed = load(small(), adapter, trainable=True)
    assert {"lora_" in name for name, p in resumed.named_parameters() if p.requires_grad} == {True}


def test_a_saved_adapter_tells_its_shape_its_weights_and_its_base_but_no_place(tmp_path):
    tuned = attach(open_base("tiny", "cpu").model, LoraShape(2, 6, 0.1, encoder_lora=True), seed=0)
    tuned.save_pretrained(tmp_path, save_embedding_layers=False)
    assert shape_of(tmp_path) == LoraShape(2, 6, 0.1, encoder_lora=True)
    text = (tmp_path / CONFIG_FILE).read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny"
    assert not re.search(r'"/|site-packages|checkpoint', text)
    digests = [adapter_digest(saved(tmp_path / str(i), LoraShape(2 + i // 2))) for i in range(3)]
    assert digests[0] == digests[1] != digests[2]
    for foreign in ("[]", '{"peft_type": "PROMPT_TUNING"}'):
        (tmp_path / CONFIG_FILE).write_text(foreign)
        with pytest.raises(UserError, match="holds an adapter of another kind: give"):
            shape_of(tmp_path)


def in_the_encoder(folder):
    saved(folder, LoraShape(rank=4, alpha=8, encoder_lora=True))
    change(folder, CONFIG_FILE, target_modules=lambda _: LoraShape().targets)


def poison(path, value):
    """Put a value in place of one weight."""
    weights = load_file(path)
    weights[min(weights)][0, 0] = value
    save_file(weights, path)


SPOILT = {
    "no config": lambda folder: (folder / CONFIG_FILE).unlink(),
    "broken config": lambda folder: (folder / CONFIG_FILE).write_text("{"),
    "only a pickle": lambda folder: (folder / ADAPTER_FILE).rename(folder / "adapter_model.bin"),
    "half the weights": lambda folder: halve(folder / ADAPTER_FILE),
    "fewer layers": lambda folder: saved(folder, layers=1),
    "another rank": lambda folder: change(folder, CONFIG_FILE, r=lambda _: 2),
    "in the encoder": in_the_encoder,
}
POISON = {
    "no number": lambda folder: poison(folder / ADAPTER_FILE, math.nan),
    "no end": lambda folder: poison(folder / ADAPTER_FILE, -math.inf),
}


@pytest.mark.parametrize("spoil", [*SPOILT.values(), *POISON.values()], ids=[*SPOILT, *POISON])
def test_a_spoilt_or_foreign_adapter_is_refused_in_one_sentence(spoil, adapter):
    spoil(adapter)
    with pytest.raises(UserError, match=r"\A.*adapter.*: give the .*\Z") as caught:
        load(small(), adapter)
    assert (" no finite numbers)" in str(caught.value)) == (spoil in POISON.values())


def test_an_adapter_of_another_base_that_fits_is_loaded_with_a_warning(adapter):
    change(adapter, CONFIG_FILE, base_model_name_or_path=lambda _: "owner/base")
    with pytest.warns(UserWarning, match=r"trained on the base 'owner/base' and is put on 'small'"):
        loaded = load(small(), adapter)
    assert torch.equal(logits(loaded), logits(load(small(), saved(adapter))))


def test_an_adapter_is_found_by_folder_or_by_its_id_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    cached, commit = tmp_path / "models--owner--name", 40 * "a"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    folder = saved(cached / "snapshots" / commit)
    assert find_adapter("owner/name") == find_adapter(folder) == folder
    assert find_adapter(commit, folder.parent) == folder
    assert torch.equal(logits(merge(small(), "owner/name")), logits(merge(small(), folder)))
    with pytest.raises(UserError, match=r"owner/other is no folder, and the hub gives no adapter"):
        find_adapter("owner/other", tmp_path)
    with pytest.raises(UserError, match="~nouser/x has no such home: give the folder"):
        find_adapter("~nouser/x")
