"""What the embedded base model learns from: neutral speech, sounds, and text.

Kinds of utterance, all synthesised here:

* `neutral`: plain sentences in every training voice, with background sounds; these teach both
  the encoder and the language model, which therefore transcribes words and writes no tag.
* `refine`: the same with other words, and longer lists of them; for the second cycle.
* `expressive`: tagged scripts rendered with their expression; the encoder alone hears them,
  framewise, so that its features keep laughs, whispers and pitch apart. Their transcripts and
  tags are never shown to the language model.
* `expressive_test`: tagged scripts nobody trained on, in all voices.
* `probe_train:<tag>` and `probe_test:<tag>`: the same sentences with one tag and without, for
  linear probes of the frozen encoder; the latter in held-out voices.
* `dev`, `test` and `test_voices`: neutral sentences nobody trained on; the first two in training
  voices, the last in held-out ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from evoxtral import runs, tags
from evoxtral.mix import duplicates
from evoxtral.world import scripts, speech

MIN_DISTANCE = 0.7
"""No test sentence has this ROUGE-L or more to a training sentence."""

_LIST_SHARE, _LONGEST_LIST, _LONGEST_REFINING_LIST = 1 / 3, 6, 10


@dataclass(frozen=True)
class CorpusSizes:
    """Utterances of each kind; `probe` counts the clips of each tag, and of none."""

    neutral: int
    refine: int
    expressive: int
    dev: int
    test: int
    test_voices: int
    expressive_test: int
    probe: int


@dataclass(frozen=True)
class Utterance:
    """One utterance to synthesise; `text` may hold tags only where `kind` is expressive."""

    key: str
    kind: str
    text: str
    voice: str
    seed: int


def plan(sizes: CorpusSizes, seed: int) -> list[Utterance]:
    """Decide every utterance: text, voice and seed; deterministic.

    Test sentences come first, half of them from template families that training never sees;
    training sentences too close to any of them (ROUGE-L) are dropped. A third of the training
    texts are short lists of words: without a grammar to lean on, the language model must listen.
    """
    wanted = sizes.dev + sizes.test + sizes.test_voices
    half = wanted // 2
    test = scripts.plain_sentences(half, seed + 1, held_out=True)
    test += scripts.plain_sentences(wanted - half, seed + 2, held_out=False, exclude=test)
    neutral = _training_texts(sizes.neutral, _LONGEST_LIST, (seed + 8, seed + 3), test)
    refine = _training_texts(sizes.refine, _LONGEST_REFINING_LIST, (seed + 9, seed + 10), test)
    expressive = [
        script.tagged_text
        for script in scripts.generate(sizes.expressive, seed + 4, held_out=False, exclude=test)
    ]
    unseen = [
        script.tagged_text
        for script in scripts.generate(
            sizes.expressive_test, seed + 7, exclude={tags.plain_text(t) for t in expressive}
        )
    ]
    training = [voice.id for voice in speech.VOICES if not voice.held_out]
    held_out = [voice.id for voice in speech.VOICES if voice.held_out]
    order = np.random.default_rng(seed).permutation(wanted)
    mixed = iter([test[i] for i in order])
    return [
        *_utterances("dev", list(islice(mixed, sizes.dev)), training, seed),
        *_utterances("test", list(islice(mixed, sizes.test)), training, seed),
        *_utterances("test_voices", list(mixed), held_out, seed),
        *_utterances("expressive", expressive, training, seed),
        *_utterances("expressive_test", unseen, [*training, *held_out], seed),
        *_probes("probe_train", sizes.probe, training, seed + 5),
        *_probes("probe_test", sizes.probe // 2, held_out, seed + 6),
        *_utterances("neutral", neutral, training, seed),
        *_utterances("refine", refine, training, seed),
    ]


def _training_texts(
    count: int, longest_list: int, seeds: tuple[int, int], test: Sequence[str]
) -> list[str]:
    """Lists of words, then sentences, none of them close to a test sentence."""
    listed = int(count * _LIST_SHARE)
    lists = scripts.word_lists(_spare(listed), seeds[0], longest_list, exclude=test)
    sentences = scripts.plain_sentences(
        _spare(count - listed), seeds[1], held_out=False, exclude=test
    )
    return [*_far_from(test, lists)[:listed], *_far_from(test, sentences)[: count - listed]]


def _spare(count: int) -> int:
    """Texts to draw so that `count` remain after those close to the test are dropped."""
    return count * 3 // 2 + 1000


def _far_from(test: Sequence[str], drawn: list[str]) -> list[str]:
    near = duplicates.near_duplicates_between(drawn, test, threshold=MIN_DISTANCE)
    close = {first for first, *_ in near}
    return [text for i, text in enumerate(drawn) if i not in close]


def _probes(kind: str, count: int, voices: Sequence[str], seed: int) -> Iterator[Utterance]:
    """The same sentences in the same voices without a tag and once with each of the 17."""
    sentences = scripts.plain_sentences(count, seed, held_out=kind == "probe_test")
    rng = np.random.default_rng(seed)
    places = [int(rng.integers(0, text.count(" ") + 1)) for text in sentences]
    for tag in ("", *tags.TAGS):
        at_start = tags.group_of(tag) == "emotion" or tag in {"whispers", "shouts"}
        texts = []
        for text, place in zip(sentences, places, strict=True):
            words = text.split()
            words[0 if at_start else place : 0] = [f"[{tag}]"] if tag else []
            texts.append(" ".join(words))
        yield from _utterances(f"{kind}:{tag or 'plain'}", texts, voices, seed)


def _utterances(
    kind: str, texts: Sequence[str], voices: Sequence[str], seed: int
) -> Iterator[Utterance]:
    for i, text in enumerate(texts):
        own = int(runs.digest([seed, kind, i])[:8], 16)
        yield Utterance(f"{kind}-{i:06d}", kind, text, voices[i % len(voices)], own)
