"""How audible is each tag to a listener who has never heard the voice?

Pairs of clips, with a tag and without it, of the same text and voice; the probe (`probe`) learns
from the training voices and is tested on the held-out ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from evoxtral import UserError
from evoxtral.tags import group_of
from evoxtral.world.speech.parallel import RenderJob, render_many
from evoxtral.world.speech.probe import TagAuc, log_mel_statistics, tag_auc
from evoxtral.world.speech.settings import RenderSettings
from evoxtral.world.speech.voices import HELD_OUT_VOICES, TRAINING_VOICES

_SENTENCE_BREAK = re.compile(r"(?<=[.?!])\s+")


def place(tag: str, text: str, rng: np.random.Generator) -> str:
    """Put one tag into a plain text where it makes sense.

    An emotion or a delivery opens the text, a pause falls between two words, a vocal event
    between two sentences or at either end.

    >>> place("calm", "We left. It rained.", np.random.default_rng(0))
    '[calm] We left. It rained.'
    """
    group = group_of(tag)
    parts = text.split() if group == "pause" else _SENTENCE_BREAK.split(text)
    if group in ("emotion", "delivery"):
        spot = 0
    elif group == "pause":
        spot = int(rng.integers(1, max(2, len(parts))))
    else:
        spot = int(rng.integers(0, len(parts) + 1))
    return " ".join([*parts[:spot], f"[{tag}]", *parts[spot:]])


def audibility(
    tags: Sequence[str],
    texts: Sequence[str],
    *,
    train_pairs: int = 150,
    test_pairs: int = 100,
    seed: int = 0,
    settings: RenderSettings | None = None,
    workers: int | None = None,
) -> list[TagAuc]:
    """Area under the ROC curve of a linear probe for each tag, on voices it has not heard.

    The untagged clips are shared by all tags, so `len(tags) + 1` clips are rendered per pair.

    Args:
        tags: Which tags to judge.
        texts: Plain texts of two words or more; at least `train_pairs + test_pairs` of them, so
            that no text is used twice.
        train_pairs: Pairs of clips from which a probe learns.
        test_pairs: Pairs of clips on which it is tested.
        seed: Of placement and rendering.
        settings: How the clips vary.
        workers: Number of processes, all processors if None.

    Raises:
        UserError: There are too few texts.
    """
    count = train_pairs + test_pairs
    if len(texts) < count:
        raise UserError(f"{count} pairs need as many texts, not {len(texts)}: pass more texts")
    features = {
        key: log_mel_statistics(rendered.audio)
        for key, rendered in render_many(
            _jobs(("", *tags), texts[:count], train_pairs, seed), settings, workers
        )
    }

    def gather(tag: str, start: int, end: int) -> npt.NDArray[np.float64]:
        return np.stack([features[f"{tag}/{pair}"] for pair in range(start, end)])

    return [
        tag_auc(
            tag,
            (gather(tag, 0, train_pairs), gather("", 0, train_pairs)),
            (gather(tag, train_pairs, count), gather("", train_pairs, count)),
        )
        for tag in tags
    ]


def _jobs(
    tags: Sequence[str], texts: Sequence[str], train_pairs: int, seed: int
) -> Iterable[RenderJob]:
    for number, tag in enumerate(tags):
        for pair, text in enumerate(texts):
            rng = np.random.default_rng([seed, number, pair])
            voices = TRAINING_VOICES if pair < train_pairs else HELD_OUT_VOICES
            yield RenderJob(
                key=f"{tag}/{pair}",
                tagged_text=place(tag, text, rng) if tag else text,
                voice_id=voices[pair % len(voices)].id,
                seed=int(rng.integers(2**31)),
            )
