"""Base models: the embedded one, any folder, and what is refused in one sentence."""

from __future__ import annotations

import json
import re
import shutil

import huggingface_hub.constants
import pytest
import torch
from transformers import VoxtralForConditionalGeneration

from evoxtral import UserError
from evoxtral.model import open_base, weights_digest
from evoxtral.world.base import checkpoint_dir
from small_models import other_architecture


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may reach a network, and no test may wait for one."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def folder(tmp_path):
    """A copy of the embedded base that a test may spoil."""
    return shutil.copytree(checkpoint_dir(), tmp_path / "copy")


def refused(name):
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        open_base(str(name), "cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert "give 'tiny', a folder, or the id of a Voxtral" in message
    return message


def test_the_embedded_base_is_frozen_and_ready():
    base = open_base("tiny", "cpu")
    assert base.name == base.model.name_or_path == "tiny"
    assert not base.model.training
    assert not any(p.requires_grad for p in base.model.parameters())
    assert {p.dtype for p in base.model.parameters()} == {torch.float32}
    assert base.window_seconds == 8


def test_precision_is_what_was_asked_for():
    assert open_base("tiny", "cpu", "bfloat16").model.dtype == torch.bfloat16


def test_digests_say_which_weights_they_are(folder):
    base, copy = open_base("tiny", "cpu"), open_base(str(folder), "cpu")
    assert re.fullmatch("[0-9a-f]{64}", base.digest)
    assert (copy.digest, copy.encoder_digest) == (base.digest, base.encoder_digest)
    assert base.digest == weights_digest(base.model.state_dict())
    copy.model.lm_head.weight.data[0, 0] += 1
    assert weights_digest(copy.model.state_dict()) != base.digest


def test_the_encoders_digest_ignores_the_language_model(folder):
    base = open_base("tiny", "cpu")
    model = VoxtralForConditionalGeneration.from_pretrained(folder)
    model.lm_head.weight.data[0, 0] += 1
    model.save_pretrained(folder)
    changed = open_base(str(folder), "cpu")
    assert changed.encoder_digest == base.encoder_digest
    assert changed.digest != base.digest


def test_the_encoders_digest_covers_what_it_is_fed(folder):
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["feature_extractor"]["hop_length"] *= 2
    (folder / "processor_config.json").write_text(json.dumps(settings))
    assert open_base(str(folder), "cpu").encoder_digest != open_base("tiny", "cpu").encoder_digest


def test_weights_digest_is_of_names_types_shapes_and_values():
    one = torch.arange(4.0)
    digests = [
        weights_digest(weights)
        for weights in (
            {"a": one},
            {"b": one},
            {"a": one.double()},
            {"a": one.view(2, 2)},
            {"a": one + 1},
            {"a": one, "b": one},
        )
    ]
    assert len(set(digests)) == len(digests)
    assert weights_digest({"a": one, "b": one}) == weights_digest({"b": one, "a": one})


def test_an_unknown_id_is_refused():
    assert "'nobody/no-such-model'" in refused("nobody/no-such-model")


@pytest.mark.parametrize("name", ["", "no such model", "../..", "a/b/c"])
def test_what_is_no_id_is_refused(name):
    refused(name)


def test_an_empty_folder_is_refused(tmp_path):
    refused(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tekken.json"])
@pytest.mark.parametrize("spoil", ["missing", "empty", "half"])
def test_a_spoilt_folder_is_refused(folder, file, spoil):
    path = folder / file
    data = path.read_bytes()
    path.unlink()
    if spoil != "missing":
        path.write_bytes(data[: len(data) // 2 if spoil == "half" else 0])
    refused(folder)


def test_another_architecture_is_refused(folder):
    (folder / "model.safetensors").unlink()
    other_architecture().save_pretrained(folder)
    refused(folder)


def test_weights_of_another_shape_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] *= 2
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder)


def test_missing_weights_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder)


def test_pickled_weights_are_not_opened(folder):
    model = VoxtralForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    refused(folder)


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    for name in ("config.json", "processor_config.json"):
        config = json.loads((folder / name).read_text())
        own = dict.fromkeys(("AutoConfig", "AutoProcessor", "AutoModel"), "own.Own")
        (folder / name).write_text(json.dumps({**config, "auto_map": own}))
    assert open_base(str(folder), "cpu").model.config.model_type == "voxtral"
    assert not ran.exists()
