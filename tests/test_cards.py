"""An adapter's card: the hub's metadata, scores of both protocols, no upload."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from evoxtral import cards, metrics
from evoxtral.cards import CardFacts
from evoxtral.cli import main
from evoxtral.model import LoraShape

REFERENCES = ["[sad] oh NO", "well", "[laughs] yes | no"]


def facts(**changes: object) -> CardFacts:
    evaluations = {
        "base": metrics.evaluate(REFERENCES, ["oh no", "well", "yes no"]),
        "adapter": metrics.evaluate(REFERENCES, ["[sad] oh NO", "well", "yes <b>no</b>"]),
    }
    values: dict[str, object] = {
        "name": "evoxtral-sft",
        "base": "tiny",
        "shape": LoraShape(64, 128, 0.05, False),
        "training": ("sft", {"epochs": 3, "schedule": "cosine"}),
        "profile": "tiny",
        "split": "natural",
        "evaluations": evaluations,
    }
    return CardFacts(**{**values, **changes})


def test_the_hub_reads_the_card(tmp_path: Path) -> None:
    path = cards.write_card(tmp_path, facts())
    card = ModelCard.load(path)
    assert card.data.library_name == "peft"
    assert card.data.pipeline_tag == "automatic-speech-recognition"
    assert card.data.base_model is None, "the embedded base is not on the hub"
    named = {(r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert named["tag_f1", "Tag F1 (paper/1.0.0)"] == 0.666667
    assert "wer" in {metric for metric, _ in named}
    assert "| epochs | 3 |" in card.text
    assert "## Tag by tag" in card.text


def test_a_base_on_the_hub_is_named() -> None:
    said = cards.card(facts(base="mistralai/Voxtral-Mini-3B-2507", profile="paper"))
    assert ModelCard(said).data.base_model == "mistralai/Voxtral-Mini-3B-2507"


def test_results_say_protocol_and_that_they_cannot_be_compared(tmp_path: Path) -> None:
    cards.write_card(tmp_path, facts())
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / cards.RESULTS).read_text()))
    assert len({entry.task_id for entry in entries}) == len(entries)
    assert all("not comparable" in entry.notes for entry in entries)
    found = {entry.task_id: (entry.value, entry.notes.partition(";")[0]) for entry in entries}
    assert found["natural/paper/tag_f1"] == (0.666667, "paper/1.0.0")
    assert found["natural/strict/tag_recall"] == (0.5, "strict/1.0.0")


def test_training_is_read_from_the_stage(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    assert cards.training_of(adapter) == ("", {})
    assert "Its training is not known" in cards.card(facts(training=cards.training_of(adapter)))
    stage = {"name": "raft", "params": {"epochs": 1, "targets": "0" * 64}}
    (tmp_path / "stage.json").write_text(json.dumps(stage))
    assert cards.training_of(adapter) == ("raft", {"epochs": 1})


def test_the_command_writes_and_says_how_to_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cards, "card_facts", lambda folder, profile, name: facts(name=name))
    assert main(["card", str(tmp_path), "--profile", "smoke"]) == 0
    said = capsys.readouterr().out
    assert "nothing was uploaded" in said
    assert f"hf upload YOUR-NAME/evoxtral-smoke {tmp_path}" in said
    assert (tmp_path / "README.md").is_file()


def test_a_folder_without_an_adapter_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(tmp_path), "--profile", "smoke"]) == 1
    assert "holds no adapter_model.safetensors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
