"""Scripts: vocabulary, slices, tags, diversity, what text gives away; the released ones."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from rapidfuzz.distance import Indel
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evoxtral import UserError, paper, runs, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import (
    DOMAINS,
    EMPHASIS_WORDS,
    LEXICON,
    RELEASED_SHA256,
    SLICES,
    Script,
    fetch_released,
    generate,
    plain_sentences,
    read_released,
    split_released,
    word_lists,
)
from evoxtral.world.scripts.draft import STATES
from evoxtral.world.scripts.grammar import FAMILIES, GRAMMAR, HELD_OUT_FAMILIES

N = 4000
_SYMBOL = re.compile(r"\{(\w+)\??\}")


@cache
def corpus() -> list[Script]:
    return generate(N, 7)


def spoken(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in text_key(text).split())


def test_the_corpora_of_a_seed_are_these() -> None:
    """Every published number of the synthetic world hangs on these texts.

    They come out in every process, whatever order hash randomisation gives to sets.
    """
    scripts = [[s.tagged_text, s.domain, s.template] for s in generate(300, 3)]
    assert runs.digest(scripts)[:12] == "16b93b757721"
    assert runs.digest(plain_sentences(300, 3))[:12] == "3429785fe4c4"
    assert runs.digest(word_lists(300, 3, 6))[:12] == "81ade3320780"


def test_every_symbol_is_defined_and_the_lexicon_is_exactly_what_can_be_said() -> None:
    def productions(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            for inner in part.values():
                yield from productions(inner)
        elif isinstance(part, tuple):
            yield from part

    lists = ("spelt_out", "emphasis", "leaning", "edge_cases", "stage_directions")
    texts = list(productions({k: v for k, v in GRAMMAR.items() if k not in lists}))
    named = {symbol for text in texts for symbol in _SYMBOL.findall(text)}
    assert named <= {*GRAMMAR["words"], *GRAMMAR["phrases"]}
    bare = {w.strip(".,!?").lower() for text in texts for w in _SYMBOL.sub(" ", text).split()}
    assert bare - {""} | {"an"} == LEXICON
    assert {word for tag in tags.TAGS for word in tag.split()} <= LEXICON
    assert EMPHASIS_WORDS <= LEXICON
    assert all(len(word) >= 2 and word.isalpha() for word in EMPHASIS_WORDS)


def test_slices_keep_their_shares_and_number_of_tags() -> None:
    assert len({text_key(s.plain_text) for s in corpus()}) == N
    counts = Counter(s.slice for s in corpus())
    assert counts == {name: round(share * N) for name, share in SLICES.items()}
    spans = {"plain": (0, 0), "light": (1, 2), "moderate": (3, 4), "dense": (5, 7), "edge": (0, 5)}
    for name, (low, high) in spans.items():
        found = [len(tags.find_tags(s.tagged_text)) for s in corpus() if s.slice == name]
        assert low <= min(found) <= max(found) <= high
    assert {s.slice for s in generate(40, 1, slices={"dense": 1.0})} == {"dense"}
    assert [s.id for s in generate(2, 1)] == ["g-1-000000", "g-1-000001"]
    with pytest.raises(UserError, match="fewer"):
        word_lists(len(LEXICON) + 1, 1, longest=1)


def test_form_of_a_transcript() -> None:
    """Known tags, single spaces, sentence form, capitals where stress may be, tags in place."""
    for s in corpus():
        text, words = tags.strip_tags(s.tagged_text), tags.parse(s.tagged_text).words
        assert s.tagged_text == " ".join(s.tagged_text.split())
        assert not re.search(r"\S\[|\]\S", s.tagged_text), s.tagged_text
        assert tags.is_balanced(s.tagged_text)
        assert len(words) <= 16
        assert set(tags.emphasis_words(text)) <= EMPHASIS_WORDS
        assert text[0].isupper(), text
        assert text[-1] in ".!?", text
        assert all(start.isupper() for start in re.findall(r"(?<!\.)[.!?] (\S)", text)), text
        assert not re.search(r"\ba [aeiou]", text), text
        places: Counter[tuple[int, str]] = Counter()
        for tag in tags.parse(s.tagged_text).tags:
            assert tag.name in tags.TAGS
            if tag.name in STATES:
                places[tag.word_index, tags.group_of(tag.name)] += 1
            if tag.name in STATES or tag.name == "stammers":
                assert tag.word_index < len(words), s.tagged_text
            if tag.name == "pause":
                assert 0 < tag.word_index < len(words), s.tagged_text
        assert max(places.values(), default=1) == 1, s.tagged_text


def test_tags_have_a_long_tail_or_are_balanced() -> None:
    """By the share of clips that hold a tag."""
    found = Counter(tag for s in corpus() for tag in set(tags.find_tags(s.tagged_text)))
    assert min(found[tag] for tag in tags.TAGS) >= 0.025 * N, found
    assert found.most_common(1)[0][0] == "pause"
    assert 0.35 * N <= found["pause"] <= 0.55 * N
    assert found["sighs"] > 2 * found["scared"]
    even = generate(1700, 8, balanced=True)
    found = Counter(tag for s in even for tag in set(tags.find_tags(s.tagged_text)))
    assert max(found.values()) <= 1.25 * min(found[tag] for tag in tags.TAGS), found


def test_edge_cases_occur() -> None:
    edge = [s for s in corpus() if s.slice == "edge"]
    for pattern in (
        r"\]$",  # something after the last word
        r"\] \[",  # several tags in one place
        r"(\[laughs\].*){2}",
        r"(\[pause\].*){3}",
        r"(\[stammers\].*){2}",
        r"^(\[[a-z ]+\] \w+\.|\w+\. \[[a-z ]+\])$",  # a tag and a word
        r"\[whispers\].*\[shouts\]",
        r"^[^\[]*\b[A-Z]{2,}\b[^\[]*$",  # capitals without tags
        r"^[^\[]*\b(laughs|whispers|crying|throat)\b[^\[]*$",  # the words without the tags
    ):
        assert any(re.search(pattern, s.tagged_text) for s in edge), pattern


def test_held_out_families_stay_out_of_training() -> None:
    names = HELD_OUT_FAMILIES
    assert len(names) >= 0.2 * len(FAMILIES)
    assert {s.template for s in generate(200, 1, held_out=True)} == names
    training = generate(3000, 2, held_out=False)
    assert not names & {s.template for s in training}
    assert not {"if", "because", "than"} & set(spoken([s.plain_text for s in training]))
    owners = Counter(
        frame for f in FAMILIES.values() for frame in {*f["long"], *f["mid"], *f["short"]}
    )
    assert max(owners.values()) == 1, owners.most_common(3)
    pairs = {(s.template, s.domain) for s in corpus()}
    assert pairs == {(family, domain) for family in FAMILIES for domain in DOMAINS}


def test_texts_are_diverse() -> None:
    """Greedy keep-first filter at ROUGE-L 0.7: more than 90 % of 1,500 scripts survive."""
    kept: list[list[str]] = []
    for words in (text_key(s.plain_text).split() for s in corpus()[:1500]):
        if all(Indel.normalized_similarity(words, other) < 0.7 for other in kept):
            kept.append(words)
    assert len(kept) > 0.90 * 1500


def test_words_alone_do_not_tell_the_tags() -> None:
    """A bag-of-words classifier stays near chance: the sound has to be heard."""
    keys = [text_key(s.plain_text) for s in corpus()]
    counts = CountVectorizer(token_pattern=r"\S+", binary=True).fit_transform(keys)
    half = N // 2
    for tag in tags.TAGS:
        present = np.array([tag in tags.find_tags(s.tagged_text) for s in corpus()])
        model = LogisticRegression(C=0.3).fit(counts[:half], present[:half])
        auc = roc_auc_score(present[half:], model.decision_function(counts[half:]))
        assert auc < 0.72, (tag, auc)


def test_plain_sentences_are_distinct_untagged_and_of_all_lengths() -> None:
    texts = plain_sentences(60_000, 1)
    assert len(set(map(text_key, texts))) == 60_000
    for text in texts:
        assert tags.plain_text(text) == text
        assert re.fullmatch(r"(?=[A-Z])[^\[]*[a-zA-Z][.!?]", text), text
    counts = Counter(len(text.split()) for text in texts)
    assert set(counts) == set(range(1, 15))
    assert all(counts[n] > 0.02 * 60_000 for n in range(2, 14)), counts
    words = spoken(texts)
    assert set(words) == LEXICON
    assert min(words.values()) >= 100


GOOD = {"tagged_text": "[sighs] No.", "domain": "podcast", "slice_type": "light"}


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Script]:
    return read_released(released_path)


def test_the_released_file(released_path: Path, released: list[Script]) -> None:
    assert hashlib.sha256(released_path.read_bytes()).hexdigest() == RELEASED_SHA256
    assert [s.id for s in released] == [f"r-{i:04d}" for i in range(1010)]
    slices = {"moderate": 253, "light": 252, "plain": 248, "dense": 153, "edge": 94, "demo": 10}
    assert Counter(s.slice for s in released) == slices
    assert len({s.domain for s in released}) == 17
    assert len({tag for s in released for tag in tags.find_tags(s.tagged_text)}) == 26


def test_split_is_a_partition_with_the_supports_of_table_3(released: list[Script]) -> None:
    split = split_released(released)
    sizes = {"train": 808, "validation": 101, "test": 101}
    assert {name: len(rows) for name, rows in split.items()} == sizes
    assert sorted(s.id for rows in split.values() for s in rows) == [s.id for s in released]
    bench = [s.tagged_text for s in split["test"][:50]]
    counts = Counter(tag for text in bench for tag in tags.find_tags(text))
    support = paper.load().per_tag.set_index("tag")["support"]
    assert {tag: counts[tag] for tag in tags.TAGS} == support.to_dict()
    with pytest.raises(UserError, match="at least 5"):
        split_released(released[:4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "readable JSON"),
        (json.dumps([GOOD, "text"]).encode(), "row 1"),
        (json.dumps([GOOD, {"domain": "podcast"}]).encode(), "row 1 .*tagged_text"),
        (json.dumps([GOOD, GOOD, {**GOOD, "slice_type": 3}]).encode(), "row 2 .*slice_type"),
    ],
)
def test_malformed_files_are_named_with_their_row(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "scripts.json"
    with pytest.raises(UserError, match="readable JSON"):
        read_released(path)
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_released(path)
    assert str(path) in str(caught.value)


def test_fetching(tmp_path: Path, released_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intact copy needs no network; a failed download is one sentence."""
    cached = tmp_path / "evoxtral_scripts.json"
    cached.write_bytes(released_path.read_bytes())
    assert fetch_released(tmp_path) == cached

    monkeypatch.setattr("pooch.retrieve", Mock(side_effect=OSError("no route to host")))
    with pytest.raises(UserError, match=r"by hand.*no route"):
        fetch_released(tmp_path)
