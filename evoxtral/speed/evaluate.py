"""Greedy transcripts of a split: one clip at a time, against batches from the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evoxtral.decode import transcribe
from evoxtral.model import Features
from evoxtral.speed import floors, plain
from evoxtral.speed.measure import Comparison, alternate, clocked
from evoxtral.speed.roofline import Need
from evoxtral.speed.subject import Subject, disagree, precision, request, shapes

__all__ = [
    "ONE",
    "OURS",
    "WITH_CACHE",
    "check_texts",
    "evaluate",
    "needs",
    "one_by_one",
    "together",
]

ONE = "one clip at a time"
OURS = "ours"
WITH_CACHE = "ours, cache built first"
TARGET = 5.0


def evaluate(subject: Subject, batch: int, repeats: int) -> Comparison:
    """Measure greedy decoding.

    Models are loaded, adapters attached or merged, before the clock starts.

    Args:
        subject: clips and models.
        batch: clips that ours decodes at once.
        repeats: rounds that count.

    Raises:
        RuntimeError: the two ways write different texts although the weights are float32.
    """
    features = subject.cached()
    ways = {
        ONE: clocked(lambda _: one_by_one(subject)),
        OURS: clocked(lambda _: together(subject, features, batch)),
        WITH_CACHE: clocked(lambda _: together(subject, subject.rebuilt(), batch)),
    }
    same: list[int] = []

    def check(made: Mapping[str, Sequence[str]]) -> None:
        same.append(check_texts(made[ONE], made[OURS], exact=subject.exact))

    rounds, made = alternate(ways, repeats, check)
    facts = {
        "batch": batch,
        "max_new_tokens": subject.setup.max_new_tokens,
        "audio_seconds": round(sum(subject.seconds), 1),
        "same_texts": same[0],
    }
    least = needs(subject, features, [[text] for text in made[-1][OURS]], ONE)
    clips = len(subject.clips)
    return Comparison(
        "evaluation", "clip", clips, rounds, (ONE,), (OURS, WITH_CACHE), TARGET, facts, least
    )


def needs(
    subject: Subject, features: Features, groups: Sequence[Sequence[str]], plain_name: str
) -> dict[str, list[Need]]:
    """What each way of writing these completions takes at least.

    Args:
        subject: clips and models.
        features: of the clips.
        groups: completions of each clip.
        plain_name: of the way that has no cache.

    Returns:
        By way; empty unless every clip takes one window.
    """
    if set(features.windows) != {1}:
        return {}
    setup = subject.setup
    sizes, kind = shapes(setup), precision(setup)
    lengths = [[len(setup.prompter.target(text)) for text in group] for group in groups]
    heard = floors.encoding(sizes, len(subject.clips), kind)
    written = floors.decoding(sizes, request(setup), lengths, kind)
    return {plain_name: [heard, *written], OURS: written, WITH_CACHE: [heard, *written]}


def one_by_one(subject: Subject) -> list[str]:
    """Greedy transcripts by `generate`, clip after clip."""
    setup = subject.setup
    options = {"max_new_tokens": setup.max_new_tokens, "do_sample": False}
    return [
        text
        for clip in subject.clips
        for text in plain.write(
            subject.plain, setup.prompter, setup.base.name, setup.sounds.audio(clip), **options
        )
    ]


def together(subject: Subject, features: Features, batch: int) -> list[str]:
    """Greedy transcripts by ours."""
    setup = subject.setup
    made = transcribe(
        subject.ours, setup.prompter, features, subject.seconds, setup.max_new_tokens, batch
    )
    return [setup.prompter.text(one.ids) for one in made]


def check_texts(plain: Sequence[str], ours: Sequence[str], *, exact: bool) -> int:
    """Number of texts that are the same.

    Raises:
        RuntimeError: some are not, although they must be.
    """
    apart = disagree(plain, ours)
    if apart and exact:
        raise RuntimeError(
            f"{len(apart)} of {len(plain)} greedy texts are not those of `generate`, first "
            f"{apart[0][1]!r} for {apart[0][0]!r}: the speed of wrong results says nothing"
        )
    return len(plain) - len(apart)
