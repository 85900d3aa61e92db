"""Texts the embedded base was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from evoxtral.world import base as heard


def test_fingerprints_are_of_the_words_alone() -> None:
    """Tags, capitals and punctuation are how, not what."""
    same = heard.fingerprints(["[sad] It is NOT late.", "it is not late"])
    assert len(same) == 1
    assert len(heard.fingerprints(["it is late", "it is not late"])) == 2
    assert same.dtype == np.uint64


def test_what_the_base_was_trained_on_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the words of a text, in their order."""
    trained = frozenset(heard.fingerprints(["It is late."]).tolist())
    monkeypatch.setattr(heard, "_known", lambda: trained)
    texts = ["[sighs] It is LATE.", "Late it is.", "Something else."]
    assert heard.heard_by_base(texts) == [True, False, False]


def test_the_shipped_fingerprints_can_be_read() -> None:
    """One per text, and a sentence of another world is not among them."""
    assert len(heard._known()) > 1000
    assert heard.heard_by_base(["Colourless green ideas sleep furiously."]) == [False]
