"""Figures of fine-tuning and rejection sampling draw what their frames hold; marks are counts."""

from __future__ import annotations

import re
from dataclasses import asdict
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, figures, raft, tables, tags
from evoxtral.figures.training import mark, plain_chips
from evoxtral.metrics import RewardWeights, evaluate, reward

STEPS = pd.DataFrame(
    {
        "step": [1, 2, 3, 4],
        "epoch": [0.5, 1.0, 1.5, 2.0],
        "loss": [2.0, 1.0, 0.5, 0.4],
        "learning_rate": [2e-4, 1e-4, 5e-5, 0.0],
    }
)
EPOCHS = pd.DataFrame(
    {
        "epoch": [1, 2],
        "validation_loss": [0.9, 0.6],
        "validation_wer": [0.08, 0.06],
        "validation_tag_f1": [0.5, float("nan")],
        "plain_wer": [0.02, 0.03],
    }
)
REFERENCES = {"a": "[sad] oh no", "b": "hi there", "c": "[calm] all is well"}
ROWS = raft.score(
    pd.DataFrame(
        {
            "clip": list("aabbcc"),
            "index": [0, 1] * 3,
            "text": ["[sad] oh no", "oh no", *["hi there"] * 2, "all is well", "[calm] all is"],
            "tokens": 4,
            "finished": True,
        }
    ),
    REFERENCES,
    RewardWeights(),
    "strict",
)
TEXTS = list(REFERENCES.values())
SCORED = {
    "SFT": evaluate(TEXTS, ["oh no", "[sad] hi there", "all is well"]),
    "RL": evaluate(TEXTS, TEXTS),
    "random of 4": evaluate(TEXTS, ["oh so", "hi there", "all is well"]),
}


def test_curves_are_drawn_in_percent_with_limit_and_best_epoch() -> None:
    figure = figures.training_curves(STEPS, EPOCHS, 1, 0.021)
    loss, rate, errors, found = figure.axes
    assert loss.lines[0].get_ydata().tolist() == [2.0, 1.0, 0.5, 0.4]
    assert rate.lines[0].get_ydata() == pytest.approx([2, 1, 0.5, 0])
    assert errors.lines[0].get_ydata() == pytest.approx([8, 6])
    assert errors.lines[1].get_ydata() == pytest.approx([2, 3])
    assert errors.lines[2].get_ydata() == pytest.approx([4.1, 4.1])
    assert found.lines[0].get_xydata().tolist() == [[1, 50]]
    assert [ax.lines[-1].get_xdata() for ax in figure.axes] == [[1, 1]] * 4
    bare = figures.training_curves(STEPS, EPOCHS.drop(columns="plain_wer"), 1, 0.021)
    assert len(bare.axes[2].lines) == 2


def test_rewards_are_cumulative_shares() -> None:
    figure = figures.reward_distribution([0.2, 0.4, 1.0, 1.0], [0.4, 1.0], 0.4)
    every, best, threshold = figure.axes[0].lines
    at = dict(zip(every.get_xdata().tolist(), every.get_ydata().tolist(), strict=True))
    assert (at[0.4], at[1.0]) == (50.0, 100.0)
    assert best.get_ydata().tolist() == [0, 50, 100, 100]
    assert threshold.get_xdata() == [0.4, 0.4]
    assert "all completions: 4, mean 0.650" in figure.get_label()
    assert "threshold 0.400: 50.0% of the best not above" in figure.get_label()
    assert len(figures.reward_distribution([1.0] * 3, [1.0], None).axes[0].lines) == 2


def test_groups_are_counted_by_what_can_be_chosen() -> None:
    figure = figures.group_spread(raft.group_table(ROWS))
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx([100 / 3, 0, 200 / 3])
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == pytest.approx(200 / 3)
    assert "same text 33.3% of clips" in figure.get_label()
    same = figures.group_spread(raft.group_table(ROWS[ROWS["clip"] == "b"]))
    assert sum(bar.get_height() for bar in same.axes[1].patches) == 0


def test_best_of_k_draws_a_panel_per_score() -> None:
    curve = raft.best_of_curve(ROWS)
    figure = figures.best_of_k(curve)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Reward ↑", "WER ↓", "Tag F1 ↑", "Tag hallucination ↓"]
    wanted = curve.loc[curve["column"] == "reward", "value"]
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(wanted.to_numpy())
    assert "From best of 1 to best of 2" in figure.get_label()


def test_differences_are_in_points_around_zero() -> None:
    frame = tables.scores(SCORED, ("wer", "tag_f1", "hallucinated_per_untagged")).frame
    figure = figures.raft_differences(frame)
    ax = figure.axes[1]
    assert ax.lines[0].get_xdata() == [0, 0]
    assert ax.lines[2].get_xdata() == pytest.approx([100 * frame["RL_difference"].iloc[1]])
    assert sum(ax.get_xlim()) == pytest.approx(0)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["RL", "random of 4"]
    assert [panel.get_title(loc="left").splitlines()[-1] for panel in figure.axes] == [
        "points, ← better",
        "points, better →",
        "← better",
    ]
    for low, filled in ((-0.1, False), (0.1, True)):
        ends = {"RL_difference": 0.2, "RL_difference_low": low, "RL_difference_high": 0.3}
        dot = figures.raft_differences(frame.assign(**ends)).axes[0].lines[2]
        assert (dot.get_markerfacecolor() == dot.get_color()) is filled
    with pytest.raises(UserError, match="compare at least two"):
        figures.raft_differences(tables.scores({"SFT": SCORED["SFT"]}, ("wer",)).frame)


# Pages

WORDS = st.sampled_from(["a", "dog", "NOT", "it's", "<b>", "[sad]", "[pause]", "[odd tag]", "[x"])
SENTENCES = st.lists(WORDS, max_size=9).map(" ".join)
HOSTILE = '<script>alert("1")</script> & <img src=x onerror=y>'
OURS = {"style", "div", "p", "b", "i", "span", "small", "audio", "ins", "del"}


class Reader(HTMLParser):
    """Collects text and elements, and refuses what is not closed in order."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
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
            self.text.append(data)


def test_masked_example_shows_labels_and_collapses_audio() -> None:
    tokens = [("<s>", False), *[("[AUDIO]", False)] * 100, (" a\n", True), *[("ha", True)] * 5]
    page = figures.masked_example(tokens).data
    text = "".join(Reader(page).text)
    assert text.startswith("107 tokens: masked 101, label 6")
    assert text.endswith("<s>[AUDIO] × 100·a⏎hahahahaha")
    assert page.count('class="label"') == 7
    assert page.count('class="masked"') == 3


@given(SENTENCES, SENTENCES)
def test_marks_are_the_strict_counts(reference: str, prediction: str) -> None:
    marked = mark(reference, prediction)
    counts = evaluate([reference], [prediction]).clips[0].strict
    assert (marked.errors, marked.words) == (counts.words.errors, counts.words.reference_length)
    assert (len(marked.right), len(marked.wrong)) == (counts.tags.tp, counts.tags.fp)
    for name, found in counts.per_tag.items():
        assert marked.right.count(name) == found.tp
        assert marked.missed.count(name) == found.fn
    fragment = re.sub(r"<del>.*?</del>", "", marked.html)
    shown = " ".join("".join(Reader(fragment).text).split())
    wanted = tags.render(tags.parse(prediction)).replace("[", "").replace("]", "")
    assert shown.replace("✓ ", "").replace("✗ ", "") == (wanted or "nothing written")


def test_page_names_systems_and_plays_sound() -> None:
    row = {"id": "1", "reference": "[sad] oh", "audio": "data:audio/mp3,A", "base": "oh"}
    clips = pd.DataFrame([row | {"SFT": "[sad] oh", "new": "["}])
    page = Reader(figures.transcripts(clips).data)
    names = [text for text in page.text if text in ("Reference", "Base", "SFT", "New")]
    assert names == ["Reference", "Base", "SFT", "New"]
    assert [own["src"] for tag, own in page.seen if tag == "audio"] == ["data:audio/mp3,A"]
    assert "nothing written" in page.text
    assert "0 errors in 1 word; tags: 1 right, 0 wrong, 0 missed" in page.text


def test_everything_is_escaped() -> None:
    tagged = f"[{HOSTILE}] {HOSTILE}"
    clips = pd.DataFrame({"id": [HOSTILE], "reference": tagged, "audio": HOSTILE, HOSTILE: tagged})
    page = Reader(figures.transcripts(clips).data)
    assert {tag for tag, _ in page.seen} <= OURS
    assert "script" in "".join(page.text)
    assert {tag for tag, _ in Reader(plain_chips(tagged)).seen} == {"span"}
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
    fragment = figures.completions("[sad] a b", rows, 0, RewardWeights()).data
    page = "".join(Reader(fragment).text)
    assert len(re.findall('class="card( chosen)?"', fragment)) == 4
    assert fragment.count('class="card chosen"') == 1
    assert "Completion 1 · kept1.000" in page
    assert "Completion 4 same text as 2" in page
    assert page.count("missed:") == 3
    terms = re.findall(r"([\d.]+)\u202f×\u202f([\d.]+)", page)
    assert sum(float(a) * float(b) for a, b in terms) == pytest.approx(
        rows["reward"].sum(), abs=0.02
    )
