"""Families, diversity, and what the text alone gives away about the tags."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
from rapidfuzz.distance import Indel
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evoxtral import tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import DOMAINS, Script, generate
from evoxtral.world.scripts.families import FAMILIES
from evoxtral.world.scripts.lexicon import CLASSES

N = 4000


@cache
def corpus() -> list[Script]:
    return generate(N, 17)


def is_tagged(script: Script) -> bool:
    return bool(tags.find_tags(script.tagged_text))


def test_families_held_out() -> None:
    names = {family.name for family in FAMILIES if family.held_out}
    assert len(names) >= 0.2 * len(FAMILIES)
    assert {s.template for s in generate(200, 1, held_out=True)} == names
    training = generate(400, 1, held_out=False)
    assert not names & {s.template for s in training}
    assert not any(s.held_out for s in training)
    assert {s.held_out for s in corpus()} == {True, False}


def test_families_share_no_frame_and_span_all_domains() -> None:
    owners = Counter(frame for f in FAMILIES for frame in {*f.long, *f.mid, *f.short})
    assert max(owners.values()) == 1, owners.most_common(3)
    pairs = {(s.template, s.domain) for s in corpus()}
    assert pairs == {(family.name, domain) for family in FAMILIES for domain in DOMAINS}


def test_held_out_constructions_are_absent_from_training() -> None:
    words = {w for s in generate(3000, 2, held_out=False) for w in text_key(s.plain_text).split()}
    assert not words & {"if", "because", "than"}


def test_texts_are_diverse() -> None:
    """Greedy keep-first filter at ROUGE-L 0.7: more than 85 % of 1,500 scripts survive."""
    kept: list[list[str]] = []
    for s in corpus()[:1500]:
        words = text_key(s.plain_text).split()
        if all(Indel.normalized_similarity(words, other) < 0.7 for other in kept):
            kept.append(words)
    assert len(kept) > 0.90 * 1500


def test_words_alone_do_not_tell_the_tags() -> None:
    """A bag-of-words classifier stays near chance: the sound has to be heard."""
    counts = CountVectorizer(token_pattern=r"\S+", binary=True).fit_transform(
        [text_key(s.plain_text) for s in corpus()]
    )
    half = N // 2
    for tag in tags.TAGS:
        present = np.array([tag in tags.find_tags(s.tagged_text) for s in corpus()])
        model = LogisticRegression(C=0.3).fit(counts[:half], present[:half])
        auc = roc_auc_score(present[half:], model.decision_function(counts[half:]))
        assert auc < 0.72, (tag, auc)


def test_feeling_words_are_spoken_without_tags() -> None:
    untagged = {w for s in corpus() if not is_tagged(s) for w in text_key(s.plain_text).split()}
    classes = [name for name in CLASSES if re.match("(adj|feel)_", name)]
    feelings = {word for name in classes for word in CLASSES[name]}
    assert len(feelings & untagged) > 0.9 * len(feelings)
