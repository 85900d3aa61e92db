"""The script generator: vocabulary, slices, tags, lengths, diversity, and what text gives away."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import (
    DOMAINS,
    EMPHASIS_WORDS,
    LEXICON,
    SLICES,
    Script,
    estimated_seconds,
    generate,
)
from evoxtral.world.scripts.plan import STATES
from helpers import fresh_python

N = 4000


@cache
def corpus() -> list[Script]:
    return generate(N, 7)


@cache
def balanced_corpus() -> list[Script]:
    return generate(1700, 8, balanced=True)


def tag_shares(scripts: list[Script]) -> dict[str, float]:
    """Share of clips that hold each tag."""
    counts = Counter(tag for s in scripts for tag in set(tags.find_tags(s.tagged_text)))
    return {tag: counts[tag] / len(scripts) for tag in tags.TAGS}


def n_tags(script: Script) -> int:
    return len(tags.find_tags(script.tagged_text))


def test_same_arguments_give_the_same_scripts() -> None:
    assert generate(300, 3) == generate(300, 3)
    assert generate(300, 3) != generate(300, 4)


def test_scripts_do_not_depend_on_the_process() -> None:
    """Hash randomisation reorders sets: no draw may go through one."""
    code = "from evoxtral.world.scripts import generate; print(generate(60, 3))"
    for hash_seed in ("1", "2"):
        printed = fresh_python(code, PYTHONHASHSEED=hash_seed)
        assert printed.strip() == repr(generate(60, 3))


def test_ids_are_stable_and_distinct() -> None:
    ids = [s.id for s in generate(5, 12)]
    assert ids == [f"g-12-{i:06d}" for i in range(5)]


def test_texts_are_unique_by_their_words() -> None:
    assert len({s.tagged_text for s in corpus()}) == N
    assert len({text_key(s.plain_text) for s in corpus()}) == N


def test_excluded_texts_do_not_come_again() -> None:
    first = generate(300, 5)
    taken = {text_key(s.plain_text) for s in first}
    again = generate(300, 5, exclude=[s.plain_text for s in first])
    assert not taken & {text_key(s.plain_text) for s in again}


def test_every_word_is_in_the_lexicon() -> None:
    words = {word for s in corpus() for word in text_key(s.plain_text).split()}
    assert words <= LEXICON
    assert len(words) > 0.97 * len(LEXICON), sorted(LEXICON - words)


def test_lexicon_size_and_tag_words() -> None:
    assert 300 <= len(LEXICON) <= 500
    assert {word for tag in tags.TAGS for word in tag.split()} <= LEXICON


def test_emphasis_words_are_plain_words_that_capitals_can_mark() -> None:
    assert 40 <= len(EMPHASIS_WORDS) <= 60
    assert EMPHASIS_WORDS <= LEXICON
    assert all(len(word) >= 2 and word.isalpha() for word in EMPHASIS_WORDS)


def test_capitals_only_on_emphasis_words() -> None:
    for s in corpus():
        assert set(tags.emphasis_words(tags.strip_tags(s.tagged_text))) <= EMPHASIS_WORDS


def test_slices_keep_their_shares_exactly() -> None:
    counts = Counter(s.slice for s in corpus())
    assert counts == {name: round(share * N) for name, share in SLICES.items()}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("plain", 0, 0), ("light", 1, 2), ("moderate", 3, 4), ("dense", 5, 7), ("edge", 0, 5)],
)
def test_slices_hold_their_number_of_tags(name: str, low: int, high: int) -> None:
    counts = [n_tags(s) for s in corpus() if s.slice == name]
    assert low <= min(counts)
    assert max(counts) <= high


def test_own_slices() -> None:
    assert {s.slice for s in generate(40, 1, slices={"dense": 1.0})} == {"dense"}


@pytest.mark.parametrize("slices", [{"thick": 1.0}, {"plain": 0.0}, {"plain": -1, "light": 3}, {}])
def test_senseless_slices_are_refused(slices: dict[str, float]) -> None:
    with pytest.raises(UserError, match="slices"):
        generate(3, 1, slices=slices)


def test_exhausted_grammar_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evoxtral.world.scripts.generator.fits", lambda text: False)
    with pytest.raises(UserError, match="fewer scripts"):
        generate(1, 1)


def test_only_known_tags_single_spaced() -> None:
    for s in corpus():
        assert set(tags.find_tags(s.tagged_text)) <= set(tags.TAGS)
        assert s.tagged_text == " ".join(s.tagged_text.split())
        assert not re.search(r"\S\[|\]\S", s.tagged_text), s.tagged_text
        assert tags.is_balanced(s.tagged_text)


def test_no_tag_is_rarer_than_two_percent_and_the_tail_is_long() -> None:
    shares = tag_shares(corpus())
    assert min(shares.values()) >= 0.025, shares
    assert max(shares, key=shares.__getitem__) == "pause"
    assert 0.35 <= shares["pause"] <= 0.55
    assert shares["sighs"] > 2 * shares["scared"]


def test_balanced_draws_all_tags_about_equally_often() -> None:
    shares = tag_shares(balanced_corpus())
    assert max(shares.values()) <= 1.25 * min(shares.values()), shares
    assert min(shares.values()) > 0.08


def test_emphasis_share() -> None:
    has_capitals = {
        s.id: bool(tags.emphasis_words(tags.strip_tags(s.tagged_text))) for s in corpus()
    }
    tagged = [has_capitals[s.id] for s in corpus() if n_tags(s)]
    untagged = [has_capitals[s.id] for s in corpus() if not n_tags(s)]
    assert 0.40 <= np.mean(tagged) <= 0.52
    assert 0.01 <= np.mean(untagged) <= 0.15


def test_every_script_fits_the_window_and_lengths_are_stratified() -> None:
    seconds = np.array([estimated_seconds(s.tagged_text) for s in corpus()])
    words = np.array([len(s.plain_text.split()) for s in corpus()])
    assert seconds.max() <= 7.0
    assert words.max() <= 16
    assert 0.04 <= np.mean(words <= 4) <= 0.20
    assert np.mean(seconds > 3.5) >= 0.5


def test_states_precede_words_and_pauses_stand_between_them() -> None:
    for s in corpus():
        transcript = tags.parse(s.tagged_text)
        for tag in transcript.tags:
            if tag.name in STATES or tag.name == "stammers":
                assert tag.word_index < len(transcript.words), s.tagged_text
            if tag.name == "pause":
                assert 0 < tag.word_index < len(transcript.words), s.tagged_text


def test_one_emotion_and_one_way_of_speaking_per_place() -> None:
    for s in corpus():
        places = Counter(
            (tag.word_index, tags.group_of(tag.name))
            for tag in tags.parse(s.tagged_text).tags
            if tag.name in STATES
        )
        assert max(places.values(), default=1) == 1, s.tagged_text


def test_tag_positions_vary() -> None:
    places: Counter[str] = Counter()
    for s in corpus():
        transcript = tags.parse(s.tagged_text)
        for tag in transcript.tags:
            at_end = tag.word_index == len(transcript.words)
            places["start" if tag.word_index == 0 else "end" if at_end else "middle"] += 1
    total = places.total()
    assert all(places[where] > 0.07 * total for where in ("start", "middle", "end")), places


def test_sentences_have_capitals_and_final_punctuation() -> None:
    for s in corpus():
        text = tags.strip_tags(s.tagged_text)
        assert text[0].isupper(), text
        assert text[-1] in ".!?", text
        assert all(start.isupper() for start in re.findall(r"(?<!\.)[.!?] (\S)", text)), text
        assert not re.search(r"\ba [aeiou]", text), text


def test_edge_cases_occur() -> None:
    edge = [s for s in corpus() if s.slice == "edge"]
    texts = [s.tagged_text for s in edge]
    spoken = {w for tag in tags.TAGS for w in tag.split()} - {"pause"}
    assert any(text.endswith("]") for text in texts)
    assert any(len(s.plain_text.split()) == 1 and n_tags(s) == 1 for s in edge)
    assert any(re.search(r"\] \[", text) for text in texts)
    assert any(text.count("[laughs]") == 2 for text in texts)
    assert any(text.count("[pause]") >= 3 for text in texts)
    assert any(text.count("[stammers]") == 2 for text in texts)
    assert any(n_tags(s) == 0 and tags.emphasis_words(s.tagged_text) for s in edge)
    assert any(n_tags(s) == 0 and spoken & set(text_key(s.plain_text).split()) for s in edge)
    assert any("[whispers]" in text and "[shouts]" in text for text in texts)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    n=st.integers(0, 30),
    held_out=st.sampled_from([None, True, False]),
    balanced=st.booleans(),
)
def test_any_call_keeps_the_promises(
    seed: int, n: int, held_out: bool | None, balanced: bool
) -> None:
    scripts = generate(n, seed, held_out=held_out, balanced=balanced)
    assert len({text_key(s.plain_text) for s in scripts}) == n
    for s in scripts:
        assert set(text_key(s.plain_text).split()) <= LEXICON
        assert estimated_seconds(s.tagged_text) <= 7.0
        assert held_out is None or s.held_out == held_out
        assert s.domain in DOMAINS
