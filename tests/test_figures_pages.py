"""Pages of a notebook: marks are the counts, everything is escaped, sounds and pictures inside."""

from __future__ import annotations

import re
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import figures, tags
from evoxtral.figures import pages
from evoxtral.metrics import evaluate
from evoxtral.metrics.rewards import RewardWeights, reward
from evoxtral.mix.chapter import Heard, Specimen
from helpers import written

WORDS = st.sampled_from(
    ["a", "NOT", "it's", "it’s", "ÉTÉ", "<b>", "[sad]", "[sad],", "[pause]", "[odd tag]", "[x"]
)
SENTENCES = st.lists(WORDS, max_size=9).map(" ".join)
HOSTILE = '<script>alert("1")</script> & <img src=x onerror=y>'
OURS = {"style", "div", "p", "b", "span", "small", "audio", "ins", "del"}
RATE = 16_000


class Reader(HTMLParser):
    """Collects text and elements, and refuses what is not closed in order."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(fragment)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.open += [tag] * (tag != "wbr")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def test_masked_example_shows_labels_and_collapses_audio() -> None:
    tokens = [("<s>", False), *[("[AUDIO]", False)] * 100, (" a\n", True), *[("ha", True)] * 5]
    page = figures.masked_example(tokens).data
    text = Reader(page).text
    assert text.startswith("107 tokens: masked 101, label 6")
    assert text.endswith("<s>[AUDIO] × 100·a⏎hahahahaha")
    assert page.count('class="label"') == 7
    assert page.count('class="masked"') == 3


@given(SENTENCES, SENTENCES)
def test_marks_are_the_strict_counts(reference: str, prediction: str) -> None:
    marked = pages.marked(reference, prediction)
    text, _, note = marked.rpartition("<small>word errors")
    counts = evaluate([reference], [prediction]).clips[0].strict
    found = [int(number) for number in re.findall(r"\d+", note)[:5]]
    words, own = counts.words, counts.tags
    assert found == [words.errors, words.reference_length, own.tp, own.fp, own.fn]
    for name, per_tag in counts.per_tag.items():
        assert text.count(f"✓ {name}<") == per_tag.tp
        assert note.count(f">{name}<") == per_tag.fn
    shown = " ".join(Reader(re.sub(r"<del>.*?</del>", "", text)).text.split())
    wanted = written(tags.parse(prediction)).replace("[", "").replace("]", "")
    assert shown.replace("✓ ", "").replace("✗ ", "") == (wanted or "nothing written")


def test_page_names_systems_and_plays_sound() -> None:
    row = {"id": "1", "reference": "[sad] oh", "audio": "data:audio/mp3,A", "base": "oh"}
    page = Reader(figures.transcripts(pd.DataFrame([row | {"SFT": "[sad] oh", "new": "["}])).data)
    for name in ("Reference", "Base", "SFT", "New"):
        assert name in page.text
    assert [own["src"] for tag, own in page.seen if tag == "audio"] == ["data:audio/mp3,A"]
    assert "nothing written" in page.text
    assert "word errors: 0 in 1; tags: 1 right, 0 wrong, 0 missed" in page.text


def test_everything_is_escaped() -> None:
    tagged = f"[{HOSTILE}] {HOSTILE}"
    clips = pd.DataFrame({"id": [HOSTILE], "reference": tagged, "audio": HOSTILE, HOSTILE: tagged})
    page = Reader(figures.transcripts(clips).data)
    assert {tag for tag, _ in page.seen} <= OURS
    assert "script" in page.text
    cards = figures.completions(HOSTILE, scored(HOSTILE, [HOSTILE, tagged]), 1, RewardWeights())
    assert {tag for tag, _ in Reader(cards.data).seen} <= OURS
    assert "<i>" not in figures.masked_example([("<i>", False), ("<i>", True)]).data


def scored(reference: str, texts: list[str]) -> pd.DataFrame:
    rows = [asdict(reward(reference, text, convention="strict")) for text in texts]
    return pd.DataFrame(rows).assign(
        index=range(len(texts)), text=texts, reward=[row["total"] for row in rows]
    )


def test_completions_lay_out_their_rewards() -> None:
    rows = scored("[sad] a b", ["[sad] a b", "a c", "[calm] a b", "a c"])
    page = Reader(figures.completions("[sad] a b", rows, 0, RewardWeights()).data).text
    assert "No. 1, learnt" in page
    assert page.count("learnt") == 1
    assert page.count("1 missed: sad") == 3
    terms = re.findall(r"([\d.]+) × ([\d.]+)", page)
    total = sum(float(a) * float(b) for a, b in terms)
    assert total == pytest.approx(rows["reward"].sum(), abs=0.02)


def tone(hertz: float, seconds: float) -> np.ndarray:
    times = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


PAIR = (Heard("[sighs] a", tone(440, 1.0), ((0.2, 0.5),)), Heard("<b>a</b>", tone(220, 0.4)))


def test_clips_share_one_time_scale_and_show_their_marks() -> None:
    axes = pages._picture(Specimen("sighs", "ada", PAIR)).axes
    assert len({ax.get_xlim() for ax in axes}) == 1
    assert axes[0].get_xlim()[1] >= 1
    [mark] = axes[0].patches
    assert (mark.get_x(), mark.get_width()) == pytest.approx((0.2, 0.3))
    assert len(axes[1].patches) == 0
    level = axes[2].images[0].get_array().mean(axis=1)
    assert level[::-1].argmax() * 8000 / (len(level) - 1) == pytest.approx(440, abs=40)


def test_pages_hold_sounds_and_pictures_and_are_the_same_bytes_again() -> None:
    shown = [Specimen("sighs", "ada", PAIR), Specimen("odd", "b", (Heard("x", tone(440, 0.04)),))]
    page = figures.listening_page(shown).data
    assert figures.listening_page(shown).data == page
    assert (page.count("<audio "), page.count("<img "), page.count("&lt;b&gt;a")) == (3, 2, 1)
    assert "http" not in page
    assert "both a tag and sound" in figures.listening_page([]).data
