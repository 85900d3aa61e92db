"""The card of an adapter: what it is, how it was made, what it scores, how to use it.

`README.md` and `.eval_results/` go beside the adapter's weights, in the form that the Hugging Face
hub reads. Nothing is uploaded.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from evoxtral import bench, params, pipeline, runs, tables
from evoxtral.bench import ADAPTER, BASE, Split
from evoxtral.clips import speech
from evoxtral.mix.source import TRAIN
from evoxtral.model import TINY, shape_of
from evoxtral.params import Sft, TinyBase
from evoxtral.report import render
from evoxtral.world.base.model import SHAPE, window_arguments, window_seconds
from evoxtral.world.scripts import LEXICON

RESULTS = Path(".eval_results") / "evoxtral-bench.yaml"
_WINDOW = json.dumps(window_arguments(SHAPE))
_NOTES = {
    "smoke": "smoke run, numbers mean nothing",
    "tiny": "small model of a tiny world, not comparable with other work",
    "paper": "own test set",
}


def write_card(folder: Path, profile: str) -> Path:
    """Write `README.md` and `.eval_results/` into an adapter's folder; returns the card's path.

    The adapter is measured on the profile's headline split, beside the base.
    """
    shape = shape_of(folder)  # first: a folder that is no adapter stops before any work
    cfg = params.profile(Sft, profile)
    setup = pipeline.open_setup(cfg)
    split = setup.headline
    evaluations = pipeline.evaluate(setup, split, {BASE: [None], ADAPTER: [folder]})
    own = {ADAPTER: evaluations[ADAPTER]}
    frame = bench.overall(bench.score_frame(Split("", own))).dropna(subset="value")
    scores = frame.round({"value": 6}).to_dict("records")
    entries = [
        EvalResultEntry(
            dataset_id=f"evoxtral/evoxtral-bench-{profile}",
            task_id=f"{split}/{row['protocol'].partition('/')[0]}/{row['metric']}",
            value=row["value"],
            notes=f"{row['protocol']}; {_NOTES[profile]}",
        )
        for row in scores
    ]
    said = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
    runs.write_text(folder / RESULTS, said)
    stage = folder.resolve().parent / "stage.json"
    made = runs.read_json(stage) if stage.is_file() else {"name": "", "params": {}, "inputs": {}}
    # What it was trained on is known if that was the profile's own data.
    known = made["inputs"].get("source") == setup.source.digest
    trained, tested = (speech(setup.clips(name)) for name in (TRAIN, split))
    card = render(
        "adapter_card.md",
        markdown=tables.to_markdown,
        name=f"evoxtral-{profile}",
        profile=profile,
        scores=scores,
        measures=tables.MEASURES,
        base=cfg.base,
        window=_WINDOW if cfg.base == TINY else "",
        warning=_NOTES[profile],
        method=made["name"],
        settings={name: value for name, value in made["params"].items() if name != "targets"},
        language=made["params"].get("language", "en"),
        shape=shape,
        split=split,
        trained=trained if known else "",
        tested=tested,
        paper=tables.scores(evaluations, protocol="paper"),
        strict=tables.scores(evaluations, protocol="strict"),
        tags=tables.tag_scores(own),
    )
    return runs.write_text(folder / "README.md", card)


def base_card(cfg: TinyBase, parameters: int, words: pd.DataFrame, audible: pd.DataFrame) -> str:
    """The card of the embedded base, as Markdown; its numbers come from the run that made it.

    `parameters` counts the weights; `words` and `audible` are `score.transcription_scores` and
    `score.probe_scores` of the model.
    """
    return render(
        "base_card.md",
        markdown=tables.to_markdown,
        cfg=cfg,
        parameters=parameters,
        lexicon=len(LEXICON),
        window=window_seconds(SHAPE),
        audio_kwargs=_WINDOW,
        transcription=tables.of("transcription", words),
        probes=tables.of("probes", audible),
    )
