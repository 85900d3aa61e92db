"""The cards: the hub's metadata, scores of both protocols, no upload."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import soundfile
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from evoxtral import UserError, cards, metrics, params, pipeline
from evoxtral.__main__ import main
from evoxtral.model import TINY, LoraShape, attach, open_base
from evoxtral.world.base import checkpoint_dir
from evoxtral.world.speech import SAMPLE_RATE, VOICES, render

REFERENCES = ["[sad] oh NO", "well", "[laughs] yes | no"]
HEARD = {"base": ["oh no", "well", "yes no"], "adapter": ["[sad] oh NO", "well", "yes <b>no</b>"]}


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for an adapter that has been measured."""
    scored = {name: metrics.evaluate(REFERENCES, said) for name, said in HEARD.items()}
    monkeypatch.setattr(cards, "shape_of", lambda folder: LoraShape(64, 128, 0.05, False))
    clips = {
        "train": [SimpleNamespace(source="synthetic")],
        "test": [SimpleNamespace(source="real")],
    }
    source = SimpleNamespace(digest="5" * 64)
    setup = SimpleNamespace(headline="test", source=source, clips=clips.get)
    monkeypatch.setattr(pipeline, "open_setup", lambda cfg: setup)
    monkeypatch.setattr(pipeline, "evaluate", lambda setup, split, systems: scored)
    return tmp_path / "adapter"


def test_the_hub_reads_card_and_results(adapter: Path) -> None:
    card = ModelCard.load(cards.write_card(adapter, "tiny"))
    assert card.data.library_name == "peft"
    assert card.data.base_model is None, "the embedded base is not on the hub"
    named = {(r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert named["tag_f1", "Tag F1 (paper/1.1.0)"] == 0.666667
    assert "Its training is not known. Rank 64, alpha 128, dropout 0.05;" in card.text
    assert "## Tag by tag\n\n**" in card.text
    assert "- Trained on data that is not known; tested on recordings of people.\n" in card.text
    entries = parse_eval_result_entries(yaml.safe_load((adapter / cards.RESULTS).read_text()))
    assert len({entry.task_id for entry in entries}) == len(entries)
    assert all("not comparable" in entry.notes for entry in entries)
    found = {entry.task_id: (entry.value, entry.notes.partition(";")[0]) for entry in entries}
    assert found["test/paper/tag_f1"] == (0.666667, "paper/1.1.0")
    assert found["test/strict/tag_recall"] == (0.5, "strict/1.1.0")


def test_a_base_on_the_hub_is_named_and_training_read_from_the_stage(adapter: Path) -> None:
    stage = {"name": "raft", "params": {"language": "fr", "targets": "0" * 64}}
    stage["inputs"] = {"source": "5" * 64}
    (adapter.parent / "stage.json").write_text(json.dumps(stage))
    card = ModelCard.load(cards.write_card(adapter, "paper"))
    assert card.data.base_model == "mistralai/Voxtral-Mini-3B-2507"
    assert "Made by rejection-sampling fine-tuning (RAFT). Rank 64" in card.text
    assert 'repo_id = "mistralai/Voxtral-Mini-3B-2507"' in card.text
    assert "audio_kwargs" not in card.text, "its processor knows its window"
    assert "- Trained on synthetic speech; tested on recordings of people.\n" in card.text
    assert "|---|---|\n| language | fr |\n\n## Scores" in card.text
    assert card.data.language == "fr"
    assert 'language="fr",' in card.text


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_snippet_of_the_card_transcribes(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "She laughs a lot, but today she was calm."
    soundfile.write(tmp_path / "a.wav", render(said, VOICES[0], 7).audio, SAMPLE_RATE)
    tuned = attach(open_base(TINY, "cpu").model, LoraShape(rank=2), seed=0)
    tuned.save_pretrained(adapter, save_embedding_layers=False)
    text = cards.write_card(adapter, "tiny").read_text(encoding="utf-8")
    snippet = text.partition("```python\n")[2].partition("```")[0]
    assert snippet.startswith("import torch\nfrom transformers import VoxtralForConditionalGen")
    places = {
        "evoxtral/world/base/checkpoint": checkpoint_dir(),
        "path/to/this/folder": adapter,
        "path/to/audio.wav": tmp_path / "a.wav",
    }
    for written, place in places.items():
        assert snippet.count(f'"{written}"') == 1
        snippet = snippet.replace(written, str(place))
    exec(snippet, {})
    assert capsys.readouterr().out == f"{said}\n"


def test_a_folder_without_an_adapter_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no adapter_model"):
        cards.write_card(tmp_path, "smoke")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_how_to_publish(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(adapter), "--profile", "smoke"]) == 0
    said = capsys.readouterr().out
    assert "nothing was uploaded" in said
    assert f"hf upload YOUR-NAME/evoxtral-smoke {adapter}" in said


def test_the_bases_card_quotes_the_run() -> None:
    words = {"set": ["neutral"], "clips": [500], "wer": [0.05], "wer_normalised": [0.04]}
    words |= {"low": [0.03], "high": [0.052], "tagged": [0], "read": [34]}
    probes = {"tag": ["laughs"], "group": ["nonverbal"], "auc": [0.99], "clips": [120]}
    cfg = params.profile(params.TinyBase, "tiny")
    text = cards.base_card(cfg, 3_496_704, pd.DataFrame(words), pd.DataFrame(probes))
    assert "3.5 million parameters" in text
    assert f"{cfg.steps:,} steps of {cfg.batch} utterances" in text
    assert '{"pad_to_multiple_of": 128000, "max_source_positions": 800}' in text
    assert "| neutral | 500 | 5.0% | 4.0% | 3.0 to 5.2% | 0 | 34 |" in text
    assert r"| \[laughs\] | nonverbal | 0.990 | 120 |" in text
