"""Greedy transcripts of a split by the base or by an adapter on it, as a stage."""

from __future__ import annotations

from pathlib import Path

from transformers import VoxtralForConditionalGeneration

from evoxtral import processes, runs
from evoxtral.decode import transcribe
from evoxtral.model import Listened, LogMels, adapter_digest, merge, read_cached, shape_of
from evoxtral.pipeline.setup import Setup
from evoxtral.predictions import Prediction, write_predictions

FILE = "predictions.jsonl"
_CODE = ("evoxtral.model", "evoxtral.decode")


def listener(
    setup: Setup, split: str, adapter: Path | None
) -> tuple[VoxtralForConditionalGeneration, Listened]:
    """A system ready to decode a split: its model, adapter merged, and what it is fed."""
    model = setup.fresh().model
    if adapter is not None and shape_of(adapter).encoder_lora:
        return merge(model, adapter), LogMels(setup.sounds, setup.clips(split), setup.prompter)
    model = read_cached(model)
    return merge(model, adapter) if adapter else model, setup.features(split)


def transcripts(setup: Setup, split: str, adapter: Path | None = None) -> list[str]:
    """What a system writes for each clip of a split, in the clips' order.

    Decoding is greedy, in float32 on a CPU, with the adapter merged into the weights.

    Args:
        setup: clips and base.
        split: its name.
        adapter: folder of an adapter; None is the base alone.
    """
    clips = setup.clips(split)
    params = {
        "base": setup.base.digest,
        "adapter": adapter_digest(adapter) if adapter else "",
        "clips": runs.digest([[clip.id, clip.sha256] for clip in clips]),
        "max_new_tokens": setup.max_new_tokens,
        "batch": setup.cfg.decode_batch,
    }

    def make(folder: Path) -> None:
        model, features = listener(setup, split, adapter)
        seconds = [clip.seconds or 0.0 for clip in clips]
        heard = transcribe(
            model,
            setup.prompter,
            features,
            seconds,
            setup.max_new_tokens,
            setup.cfg.decode_batch,
            split,
        )
        rows = [
            Prediction(clip.id, setup.prompter.text(one.ids), len(one.ids), one.finished)
            for clip, one in zip(clips, heard, strict=True)
        ]
        if processes.is_main():
            write_predictions(folder / FILE, rows)

    made = runs.stage("transcripts", setup.cfg.profile, params, make, code=_CODE, together=True)
    return [Prediction(**row).text for row in runs.read_jsonl(made.path / FILE)]
