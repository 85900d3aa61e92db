"""Transcripts and completions to read: what is marked is what the metrics count."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, figures, tags
from evoxtral.figures.transcripts import mark, plain_chips
from evoxtral.metrics import RewardWeights, evaluate, reward

WORDS = st.sampled_from(["a", "dog", "NOT", "it's", "<b>", "[sad]", "[pause]", "[odd tag]", "[x"])
TEXTS = st.lists(WORDS, max_size=9).map(" ".join)
HOSTILE = '<script>alert("1")</script> & <img src=x onerror=y>'
OURS = {"style", "div", "p", "b", "i", "span", "small", "audio", "ins", "del"}
_VOID = {"meta", "br", "img", "wbr"}


class Reader(HTMLParser):
    """Collects text and elements, and refuses what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def read(fragment: str) -> Reader:
    reader = Reader()
    reader.feed(fragment)
    reader.close()
    assert reader.open == []
    return reader


@given(TEXTS, TEXTS)
def test_marks_are_the_strict_counts(reference: str, prediction: str) -> None:
    marked = mark(reference, prediction)
    counts = evaluate([reference], [prediction]).clips[0].strict
    assert (marked.errors, marked.words) == (counts.words.errors, counts.words.reference_length)
    assert (len(marked.right), len(marked.wrong)) == (counts.tags.tp, counts.tags.fp)
    assert len(marked.missed) == counts.tags.fn
    for name, found in counts.per_tag.items():
        assert marked.right.count(name) == found.tp
        assert marked.missed.count(name) == found.fn


@given(TEXTS, TEXTS)
def test_the_marked_text_is_the_prediction(reference: str, prediction: str) -> None:
    fragment = re.sub(r"<del>.*?</del>", "", mark(reference, prediction).html)
    shown = " ".join("".join(read(fragment).text).split())
    wanted = tags.render(tags.parse(prediction)).replace("[", "").replace("]", "")
    wanted = wanted or "nothing written"
    assert shown.replace("✓ ", "").replace("✗ ", "") == wanted


def test_signs_of_each_kind() -> None:
    marked = mark("[sighs] I told you so", "[sighs] [sad] I sold you")
    assert '<span class="tag right">✓ sighs</span>' in marked.html
    assert '<span class="tag wrong">✗ sad</span>' in marked.html
    assert "<del>told</del> <ins>sold</ins>" in marked.html
    assert marked.html.endswith("<del>so</del>")
    assert mark("[calm] hi", "hi").missed == ("calm",)


def test_emphasis_is_no_word_error() -> None:
    assert mark("I am NOT", "I am not").errors == 0


def test_a_tag_far_from_its_place_is_wrong_and_missed() -> None:
    marked = mark("one two three four [pause]", "[pause] one two three four")
    assert (marked.right, marked.wrong, marked.missed) == ((), ("pause",), ("pause",))


def test_page_names_systems_and_plays_sound() -> None:
    row = figures.Transcribed(
        "clip 1",
        "[sad] oh",
        {"base": "oh", "SFT": "[sad] oh", "new": "["},
        "data:audio/mp3,A",
    )
    page = read(figures.transcripts([row, figures.Transcribed("2", "hi", {"base": "hi"})]).data)
    names = [text for text in page.text if text in ("Reference", "Base", "SFT", "New")]
    assert names == ["Reference", "Base", "SFT", "New", "Reference", "Base"]
    players = [attributes["src"] for tag, attributes in page.seen if tag == "audio"]
    assert players == ["data:audio/mp3,A"]
    assert "nothing written" in page.text
    assert "0 errors in 1 word; tags: 1 right, 0 wrong, 0 missed" in page.text


def test_everything_is_escaped() -> None:
    tagged = f"[{HOSTILE}] {HOSTILE}"
    row = figures.Transcribed(HOSTILE, tagged, {HOSTILE: tagged, "SFT": tagged + HOSTILE}, HOSTILE)
    page = read(figures.transcripts([row]).data)
    assert {tag for tag, _ in page.seen} <= OURS
    assert "script" in "".join(page.text)
    assert {t for t, _ in read(plain_chips(tagged)).seen} == {"span"}


def test_no_clips_are_refused() -> None:
    with pytest.raises(UserError, match="give at least one clip"):
        figures.transcripts([])


def scored(reference: str, texts: list[str]) -> pd.DataFrame:
    found = [reward(reference, text, convention="strict") for text in texts]
    return pd.DataFrame(
        {
            "index": range(len(texts)),
            "text": texts,
            "reward": [r.total for r in found],
            "wer": [r.wer for r in found],
            "tag_f1": [r.tag_f1 for r in found],
            "hallucination": [r.hallucination for r in found],
        }
    )


def test_completions_lay_out_their_rewards() -> None:
    rows = scored("[sad] a b", ["[sad] a b", "a c", "[calm] a b", "a c"])
    fragment = figures.completions("[sad] a b", rows, 0).data
    page = "".join(read(fragment).text)
    assert len(re.findall('class="card( chosen)?"', fragment)) == 4
    assert fragment.count('class="card chosen"') == 1
    assert "Completion 1 · kept1.000" in page
    assert "0.4\u202f×\u202f0.50 accuracy + 0.4\u202f×\u202f0.00 Tag F1" in page
    assert "Completion 4 same text as 2" in page
    assert page.count("missed:") == 3


@pytest.mark.parametrize("weights", [RewardWeights(), RewardWeights(0.2, 0.7, 0.1)])
def test_terms_add_up_to_the_reward(weights: RewardWeights) -> None:
    total = reward("[sad] a b", "[calm] a c", weights, convention="strict").total
    rows = scored("[sad] a b", ["[calm] a c"]).assign(reward=total)
    page = "".join(read(figures.completions("[sad] a b", rows, 0, weights).data).text)
    terms = re.findall(r"([\d.]+)\u202f×\u202f([\d.]+)", page)
    assert sum(float(a) * float(b) for a, b in terms) == pytest.approx(total, abs=0.005)


def test_completions_are_escaped() -> None:
    page = read(figures.completions(HOSTILE, scored(HOSTILE, [HOSTILE, f"[{HOSTILE}]"]), 1).data)
    assert {tag for tag, _ in page.seen} <= OURS


@pytest.mark.parametrize("rows", [scored("a", []), scored("a", ["a"])])
def test_a_choice_that_is_not_there_is_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="no completion has the index 7"):
        figures.completions("a", rows, 7)
