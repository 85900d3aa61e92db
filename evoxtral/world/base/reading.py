"""Text the language model reads without audio: emphasis and stage directions.

A real language model has met brackets, capitals and the word "laughs" before it hears any speech.
Ours meets them here, in stage directions that are none of our tags, so that fine-tuning need not
teach untrained vocabulary rows through a frozen output layer.
"""

from __future__ import annotations

import numpy as np

from evoxtral.world import scripts

STAGE_DIRECTIONS = (
    "sad music", "music", "angry crowd", "nervous dog", "calm sea", "frustrated driver",
    "confused voices", "scared cat", "excited children", "happy song", "door opens",
    "phone rings", "rain", "wind", "laughs on the radio", "the crowd laughs", "sighs of the wind",
    "he sighs at the door", "gasps from the crowd", "she gasps again", "clears the table",
    "he clears his throat twice", "throat singing", "crying baby", "a child crying",
    "whispers in the hall", "someone whispers", "shouts outside", "he shouts back",
    "stammers his name", "she stammers a lot", "pause music", "long pause in the game",
    "lights go dark", "glass breaks", "car stops", "bell rings", "dog barks", "steps",
)  # fmt: skip
"""None equals a tag of the vocabulary; together they hold every word the tags are made of."""


def read_lines(count: int, seed: int) -> list[str]:
    """Sentences with capitalised emphasis and stage directions, deterministic by seed."""
    rng = np.random.default_rng(seed)
    emphatic = sorted(scripts.EMPHASIS_WORDS)
    sentences = scripts.plain_sentences(count, seed, held_out=False)
    return [_decorate(sentence, rng, emphatic) for sentence in sentences]


def _decorate(sentence: str, rng: np.random.Generator, emphatic: list[str]) -> str:
    words = sentence.split()
    if rng.random() < 0.5:
        choices = [i for i, word in enumerate(words) if word.strip(".,!?").lower() in emphatic]
        if choices:
            at = int(rng.choice(choices))
            words[at] = words[at].upper()
    for _ in range(int(rng.integers(0, 3))):
        direction = STAGE_DIRECTIONS[int(rng.integers(len(STAGE_DIRECTIONS)))]
        words.insert(int(rng.integers(0, len(words) + 1)), f"[{direction}]")
    return " ".join(words)
