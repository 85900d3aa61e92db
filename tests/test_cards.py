"""The cards: the hub's metadata, scores of both protocols, no upload."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from evoxtral import cards, metrics, params
from evoxtral.cards import CardFacts
from evoxtral.cli import main
from evoxtral.model import LoraShape

REFERENCES = ["[sad] oh NO", "well", "[laughs] yes | no"]
HEARD = {"base": ["oh no", "well", "yes no"], "adapter": ["[sad] oh NO", "well", "yes <b>no</b>"]}


def facts(**changes: object) -> CardFacts:
    values: dict[str, object] = {
        "name": "evoxtral-sft",
        "base": "tiny",
        "shape": LoraShape(64, 128, 0.05, False),
        "training": ("sft", {"epochs": 3, "schedule": "cosine"}),
        "profile": "tiny",
        "split": "natural",
        "evaluations": {name: metrics.evaluate(REFERENCES, said) for name, said in HEARD.items()},
    }
    return CardFacts(**{**values, **changes})


def test_the_hub_reads_card_and_results(tmp_path: Path) -> None:
    card = ModelCard.load(cards.write_card(tmp_path, facts()))
    assert card.data.library_name == "peft"
    assert card.data.base_model is None, "the embedded base is not on the hub"
    named = {(r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert named["tag_f1", "Tag F1 (paper/1.0.0)"] == 0.666667
    assert "| epochs | 3 |" in card.text
    assert "## Tag by tag" in card.text
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / cards.RESULTS).read_text()))
    assert len({entry.task_id for entry in entries}) == len(entries)
    assert all("not comparable" in entry.notes for entry in entries)
    found = {entry.task_id: (entry.value, entry.notes.partition(";")[0]) for entry in entries}
    assert found["natural/paper/tag_f1"] == (0.666667, "paper/1.0.0")
    assert found["natural/strict/tag_recall"] == (0.5, "strict/1.0.0")


def test_a_base_on_the_hub_is_named() -> None:
    said = cards.card(facts(base="mistralai/Voxtral-Mini-3B-2507", profile="paper"))
    assert ModelCard(said).data.base_model == "mistralai/Voxtral-Mini-3B-2507"


def test_training_is_read_from_the_stage(tmp_path: Path) -> None:
    unknown = cards.training_of(tmp_path / "adapter")
    assert "Its training is not known" in cards.card(facts(training=unknown))
    stage = {"name": "raft", "params": {"epochs": 1, "targets": "0" * 64}}
    (tmp_path / "stage.json").write_text(json.dumps(stage))
    assert cards.training_of(tmp_path / "adapter") == ("raft", {"epochs": 1})


def test_the_command_writes_and_says_how_to_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(tmp_path), "--profile", "smoke"]) == 1
    assert "holds no adapter_model.safetensors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "refused before any work"
    monkeypatch.setattr(cards, "card_facts", lambda folder, profile, name: facts(name=name))
    assert main(["card", str(tmp_path), "--profile", "smoke"]) == 0
    said = capsys.readouterr().out
    assert "nothing was uploaded" in said
    assert f"hf upload YOUR-NAME/evoxtral-smoke {tmp_path}" in said
    assert (tmp_path / "README.md").is_file()


def test_the_bases_card_quotes_the_run() -> None:
    words = {"set": ["neutral"], "clips": [500], "wer": [0.05], "wer_normalised": [0.04]}
    words |= {"low": [0.03], "high": [0.052], "tagged": [0]}
    probes = {"tag": ["laughs"], "group": ["nonverbal"], "auc": [0.99], "clips": [120]}
    cfg = params.profile(params.TinyBase, "tiny")
    text = cards.base_card(cfg, 3_496_704, pd.DataFrame(words), pd.DataFrame(probes))
    assert "3.5 million parameters" in text
    assert f"{cfg.steps:,} steps of {cfg.batch} utterances" in text
    assert '{"pad_to_multiple_of": 128000, "max_source_positions": 800}' in text
    assert "| neutral | 500 | 5.0% | 4.0% | 3.0 to 5.2% | 0 |" in text
    assert r"| \[laughs\] | nonverbal | 0.990 | 120 |" in text
