"""The model card of the embedded base model: its numbers come from the run that made it."""

from __future__ import annotations

import json

import pandas as pd

from evoxtral.params import TinyBase
from evoxtral.tables import Table, probes, to_markdown, transcription
from evoxtral.world.base.architecture import Architecture

_TEXT = """\
---
library_name: transformers
pipeline_tag: automatic-speech-recognition
language: [en]
license: apache-2.0
tags: [voxtral, tiny, synthetic-speech]
---

# The embedded base model

A `VoxtralForConditionalGeneration` of {parameters} parameters, trained from nothing on synthetic \
speech by `notebooks/00_tiny_base.ipynb`. It exists so that the method of this repository can be \
run for real on a laptop. It knows {lexicon} words and espeak-ng's voices; it is of no use for \
natural speech.

## Use

Its audio window is {window} s, not Voxtral's 30 s; the processor has to be told:

```python
from transformers import AutoProcessor, VoxtralForConditionalGeneration

from evoxtral.world.base import checkpoint_dir

model = VoxtralForConditionalGeneration.from_pretrained(checkpoint_dir())
processor = AutoProcessor.from_pretrained(checkpoint_dir())
inputs = processor.apply_transcription_request(
    language="en",
    audio="clip.wav",
    model_id="tiny",
    audio_kwargs={audio_kwargs},
)
tokens = model.generate(**inputs, max_new_tokens=48)
print(processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```

## What it has heard

{neutral} neutral utterances in every training voice, with background noises, transcribed; and \
{expressive} expressive ones that only the encoder heard, framewise (phonemes, kinds of \
non-speech sound, pitch, voicing, loudness), without transcript or tag. The language model also \
read {lines} lines of text with capitals and with stage directions that are none of the 17 tags.

{steps} steps of {batch} utterances, AdamW, one-cycle learning rate with peak {learning_rate}; \
then {refine_steps} steps with peak {refine_learning_rate} on {refine} other neutral utterances, \
vocal tract and tempo of each changed by up to {perturb}.

## Scores

{transcription}

## What its encoder holds

The encoder stays frozen in fine-tuning, so these linear probes are the ceiling of what \
fine-tuning can learn.

{probes}
"""


def window_arguments(shape: Architecture) -> dict[str, int]:
    """The `audio_kwargs` that tell Voxtral's processor of a window other than 30 s."""
    return {
        "pad_to_multiple_of": shape.window_seconds * 16_000,
        "max_source_positions": 2 * shape.frames,
    }


def model_card(
    cfg: TinyBase,
    shape: Architecture,
    parameters: int,
    lexicon: int,
    words: pd.DataFrame,
    audible: pd.DataFrame,
) -> str:
    """The card as Markdown.

    Args:
        cfg: the parameters of the run.
        shape: the architecture.
        parameters: number of weights.
        lexicon: words the speech is made of.
        words: `score.transcription_scores` of the model.
        audible: `score.probe_scores` of the model.
    """
    return _TEXT.format(
        parameters=f"{parameters / 1e6:.1f} million",
        lexicon=lexicon,
        window=shape.window_seconds,
        audio_kwargs=json.dumps(window_arguments(shape)),
        neutral=f"{cfg.neutral:,}",
        expressive=f"{cfg.expressive:,}",
        lines=f"{cfg.lines:,}",
        steps=f"{cfg.steps:,}",
        batch=cfg.batch,
        learning_rate=f"{cfg.learning_rate:g}",
        refine_steps=f"{cfg.refine_steps:,}",
        refine_learning_rate=f"{cfg.refine_learning_rate:g}",
        refine=f"{cfg.refine:,}",
        perturb=f"{cfg.perturb:.0%}",
        transcription=_table(transcription(words)),
        probes=_table(probes(audible)),
    )


def _table(table: Table) -> str:
    return to_markdown(table).strip()
