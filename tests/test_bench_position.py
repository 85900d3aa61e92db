"""Mapping to public vocabularies, and position-aware scores in their style."""

from __future__ import annotations

import pytest

from evoxtral import bench, metrics, tags
from evoxtral.bench import NVV, SCHEMES, WESR
from evoxtral.bench.position import counterparts

# Valid names of each scheme, as their sources print them.
NVV16 = {
    "breath", "sniff", "laugh", "cry", "cough", "throat clearing", "sneeze", "sigh", "gasp",
    "snore", "yawn", "hum", "moan", "hiss", "lipsmack", "burp",
}  # fmt: skip
WESR21 = {
    "inhale", "cough", "laughs", "crowd_laughter", "chuckle", "shout", "sobbing", "cry", "giggle",
    "exhale", "sigh", "clear_throat", "roar", "scream", "breathing", "crying", "laughing",
    "panting", "shouting", "singing", "whispering",
}  # fmt: skip


def test_every_tag_has_a_row_and_every_name_exists() -> None:
    frame = bench.mapping()
    assert sorted(frame["tag"]) == sorted(tags.TAGS)
    assert list(frame.columns) == ["tag", "group", *SCHEMES]
    assert set(counterparts("nvv16").values()) <= NVV16
    assert set(counterparts("wesr").values()) <= WESR21
    assert [len(counterparts(name)) for name in SCHEMES] == [5, 6, 5]
    unmapped = frame[(frame[list(SCHEMES)] == "").all(axis=1)]
    assert set(unmapped["tag"]) == {"stammers", "pause", *tags.GROUPS["emotion"]}


def test_coverage_counts_occurrences() -> None:
    frame = bench.coverage(["[laughs] a [pause] b", "[whispers] c [sniffs]"]).set_index("scheme")
    assert tuple(frame.loc["nvv16"]) == (5, 4, 1, 0.25)
    assert tuple(frame.loc["wesr"]) == (6, 4, 2, 0.5)
    assert bench.coverage(["a"])["share"].isna().all()


def test_scores_of_a_perfect_and_of_a_silent_system() -> None:
    references = ["[laughs] so it is", "[whispers] quiet now", "plain words", "[sad] oh"]
    systems = {
        "perfect": metrics.evaluate(references, references),
        "silent": metrics.evaluate(references, [tags.plain_text(text) for text in references]),
    }
    frame = bench.position_scores(systems).set_index(["system", "protocol", "metric"])
    assert list(frame.loc["perfect", "value"]) == pytest.approx([1, 0, 0, 1, 1, 1])
    assert frame.loc[("silent", NVV, "f1"), "value"] == 0
    assert frame.loc[("silent", NVV, "distance"), "n"] == 1
    assert frame.loc[("silent", NVV, "score"), "value"] == pytest.approx(0.1 * (1 - 1 / 9))
    assert frame.loc[("silent", WESR, "f1_macro"), "value"] == 0
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()


def test_wesr_wants_the_exact_place_and_averages_types() -> None:
    references = ["[laughs] so it is", "[sighs] well then", "[whispers] a b"]
    predictions = ["so [laughs] it is", "[sighs] well then", "[whispers] a b"]
    frame = bench.position_scores({"x": metrics.evaluate(references, predictions)})
    rows = frame.set_index(["protocol", "metric"])["value"]
    assert rows[NVV, "f1"] == 1
    assert rows[WESR, "f1"] == pytest.approx(2 / 3)
    assert rows[WESR, "f1_macro"] == pytest.approx(2 / 3)
    once = bench.position_scores({"x": metrics.evaluate(references[:2] * 3, predictions[:2] * 3)})
    rows = once.set_index(["protocol", "metric"])["value"]
    assert rows[WESR, "f1_macro"] == pytest.approx(1 / 2)
