"""The composition note: goals, texts alike, tables and checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, paper, runs, tags
from evoxtral.mix import composition
from evoxtral.mix.composition import (
    TARGETS,
    factors,
    goals,
    judge,
    keep_first,
    near_duplicates,
)
from evoxtral.world.scripts import read_released
from helpers import examples

TEXT = st.lists(st.sampled_from("abcde"), max_size=10).map(" ".join)


@pytest.fixture(scope="module")
def released(released_path: Path) -> pd.DataFrame:
    return composition.examples(read_released(released_path))


def measured(items: pd.DataFrame, table: str, window: float | None = None) -> dict[str, float]:
    made = goals(items, window)
    shares = pd.Series(made.measured(), made.rows["row"])
    return shares[(made.rows["table"] == table).to_numpy()].to_dict()


def test_targets_say_in_words_what_passes() -> None:
    for row in TARGETS[TARGETS["unit"] != "text"].itertuples():
        scale = 100 if row.unit == "share" else 1
        ends = [f"{round(scale * end, 1):g}" for end in (row.low, row.high) if end < np.inf]
        passing, *advised = row.target.split(" (")
        assert re.findall(r"[\d.]+", passing) == ends
        assert [re.findall(r"[\d.]+", text)[0] for text in advised] == ends * len(advised)
    shares = set(TARGETS["row"][TARGETS["table"] == "tags"])
    assert shares == {f"[{tag}]" for tag in tags.TAGS} | {"CAPS"}
    assert composition.targets_of("examples")["low"].max() == composition.EXAMPLES_PER_TAG


@pytest.mark.parametrize(
    ("table", "texts", "expected"),
    [
        ("tags", ("[sad] a [sad]", "[WHISPERS] [pause] B C", "[slams DOOR] x", "PLAIN", "plain"),
         {"[sad]": 1 / 3, "[whispers]": 1 / 3, "[pause]": 1 / 3}),
        ("density", ("a", *(f"{'[sad] ' * n} a" for n in (1, 2, 3, 5, 6, 9))),
         {"none (0 tags)": 1 / 7, "light (1–2 tags)": 2 / 7, "medium (3–5 tags)": 2 / 7,
          "heavy (6+ tags)": 2 / 7}),
        ("tags", ("[sad] I DO",), {"[sad]": 1, "CAPS": 1}),
        ("valence", ("[sad] and [excited]",), {"neutral": 1}),
        ("valence", ("[crying] [sad] [laughs]",), {"negative": 1}),
        ("valence", ("[excited] one [pause]",), {"positive": 1}),
        ("position", ("[sad] one two [pause] three FOUR [laughs]",),
         {"beginning": 1 / 3, "middle": 1 / 3, "end": 1 / 3}),
        ("position", ("[sighs] [laughs]",), {"beginning": 1}),
        ("spacing", ("[sad] a b c [pause]",), {"close (≤ 3 words)": 1}),
        ("spacing", ("[sad] a b c d [pause]",), {}),
        ("spacing", ("[sad] a b c d e f g h [pause]",), {"wide (≥ 8 words)": 1}),
        ("spacing", ("[sad] a b c d e f g [pause] h [pause]",), {"close (≤ 3 words)": 1 / 2}),
    ],
)  # fmt: skip
def test_what_is_counted(table: str, texts: tuple[str, ...], expected: dict[str, float]) -> None:
    shares = measured(examples(*texts), table)
    assert {row: share for row, share in shares.items() if share} == pytest.approx(expected)


def test_draws_weigh_hits_and_base() -> None:
    plain = goals(examples("plain", "[sad] a")).take([0])
    for draws, share, verdict in ((None, 0.5, "no"), ([1, 2], 1 / 3, "yes"), ([0, 0], None, "no")):
        weights = None if draws is None else np.array(draws, dtype=float)
        assert plain.measured(weights)[0] == pytest.approx(share or np.nan, nan_ok=True)
        assert plain.verdicts(weights) == [verdict]


def test_length_and_gender_are_measured_if_every_example_has_them() -> None:
    seconds, genders = [2.0, 5.0, 7.0, 31.0], ["male", "female", "female", "female"]
    clips = examples(*"abcd", seconds=seconds, gender=genders)
    assert measured(clips, "length") == {
        "short (< 10 s)": 0.75, "medium (10–30 s)": 0, "long (≥ 30 s)": 0.25,
    }  # fmt: skip
    assert measured(clips, "window", window=8.0) == {
        "short (< 2.67 s)": 0.25, "medium (2.67–5.33 s)": 0.25, "long (≥ 5.33 s)": 0.5,
    }  # fmt: skip
    for window, goal in ((None, "length"), (8.0, "window")):
        rows = goals(clips, window).rows
        lengths = rows[rows["table"].isin(["length", "window"]) & (rows["priority"] > 0)]
        assert lengths["table"].tolist() == [goal] * 3, "one reading is balanced for"
    assert measured(clips, "gender") == {"male": 0.25, "female": 0.75, "neutral": 0}
    half = goals(clips.assign(seconds=[1.0, 2.0, 3.0, None], gender=None))
    assert not half.rows["table"].isin(["length", "window", "gender"]).any()


def test_a_composition_needs_examples() -> None:
    with pytest.raises(UserError, match="no examples"):
        goals(composition.examples([]))


def rouge_l(first: str, second: str) -> float:
    """By the textbook table of the longest common subsequence."""
    a, b = first.split(), second.split()
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, j in product(range(len(a)), range(len(b))):
        same = a[i] == b[j]
        table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    return 2 * table[-1, -1] / (len(a) + len(b)) if a or b else 1.0


@settings(deadline=None)
@given(st.lists(TEXT, max_size=12), st.sampled_from([0.3, 0.5, 0.6, 2 / 3, 0.7, 0.8, 1.0]),
       st.sampled_from([3, 256]))  # fmt: skip
def test_the_search_is_the_full_comparison(texts: list[str], threshold: float, rows: int) -> None:
    scores = {(i, j): rouge_l(texts[i], texts[j]) for i, j in combinations(range(len(texts)), 2)}
    near = {pair: score for pair, score in scores.items() if score >= threshold - 1e-9}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "_BLOCK", rows)
        frame = near_duplicates(texts, threshold=threshold)
        kept = keep_first(texts, threshold)
    assert list(zip(frame["first"], frame["second"], strict=True)) == sorted(near)
    assert frame["rouge_l"].tolist() == pytest.approx([near[pair] for pair in sorted(near)])
    greedy: list[int] = []
    for i in range(len(texts)):
        greedy += [i] * (not any((k, i) in near for k in greedy))
    assert kept == greedy


def test_released_scripts_hold_texts_alike(released: pd.DataFrame) -> None:
    texts = released["tagged_text"]
    assert (len(near_duplicates(texts)), len(keep_first(texts))) == (22, 993)
    found = near_duplicates(texts)
    across = found[(found["first"] < 500) & (found["second"] >= 500)].to_numpy() - [0, 500, 0]
    assert across.tolist() == near_duplicates(texts[:500], texts[500:]).to_numpy().tolist()


def test_the_stored_counts_are_counted_from_the_scripts(
    released: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is all that the project has of the scripts."""
    stored = composition.read_released_composition()
    both = stored.merge(judge(released), on=["table", "row"], validate="one_to_one")
    assert len(both) == len(stored)
    assert both["pass_x"].equals(both["pass_y"])
    text = both["unit"] == "text"
    ours, theirs = both["measured_y"], both["measured_x"]
    assert ours[text].tolist() == theirs[text].tolist()
    expected = pytest.approx(theirs[~text].astype(float), abs=1e-6, rel=1e-5, nan_ok=True)
    assert ours[~text].astype(float).tolist() == expected
    assert "released_composition.csv" in set(paper.load().sources["file"])
    monkeypatch.setattr(runs, "root", lambda: tmp_path)
    with pytest.raises(UserError, match="git checkout reports/paper"):
        composition.read_released_composition()


def test_speakers() -> None:
    for voices, expected in (
        (list("aabbcc"), ["no", "yes"]),
        ([*"abcdef", None], ["yes", "not known"]),
        ([*"abc", None], ["not known", "not known"]),
        ([*"abcdef", *"aaaaaaa"], ["yes", "no"]),
    ):
        frame = judge(examples(*(f"text {k}" for k in range(len(voices))), voice=voices))
        assert frame.loc[frame["row"].str.startswith("speakers:"), "pass"].tolist() == expected


def test_factors_compare_shares_and_count_surroundings() -> None:
    before = examples("[sad] a", "[calm] b", "[calm] c", "[calm] d", voice=list("xyzz"))
    table = factors(before, before.iloc[[0, 0, 1, 2]]).set_index("tag")
    assert table.loc["[sad]", "drawn"] == pytest.approx(2)
    assert table.loc["[calm]", "drawn"] == pytest.approx(2 / 3)
    assert table.loc["[sad]", ["needed", "texts", "domains", "voices"]].to_list() == [1, 1, 1, 1]
    assert table.loc["[sad]", ["by_factor", "by_share"]].to_list() == ["no", "yes"], "2x, not 1x"
    again = factors(before, before.iloc[[0, 1, 2, 3, 1, 2, 3]]).set_index("tag")
    assert again.loc["[calm]", "drawn"] == pytest.approx(8 / 7)
    assert again["by_factor"][["[calm]", "[gasps]", "[scared]"]].tolist() == [
        "no",
        "no",
        "not known",
    ]
    assert factors(before, before).set_index("tag").loc["[sad]", "by_factor"] == "yes"
    assert table.loc["[angry]", ["needed", "drawn"]].isna().all()
    assert pd.isna(table.loc["CAPS", "texts"])


def test_contexts_count_examples_not_tags() -> None:
    texts = ("[sighs] a [sad] b [sighs]", "[sighs] [sad] [calm] c", "[shouts] d", "[sad] e", "f")
    found = composition.contexts(examples(*texts)).set_index("tag")
    assert found.loc["sighs", ["examples", "alone", "sad", "calm", "angry"]].tolist() == [
        2,
        0,
        2,
        1,
        0,
    ]
    assert found.loc["shouts", ["examples", "alone"]].tolist() == [1, 1]
    assert found.drop(["sighs", "shouts"]).to_numpy().sum() == 0


def checks(items: pd.DataFrame, *settings: object) -> list[str]:
    return judge(items, *settings).set_index("table").loc["checklist", "pass"].tolist()


def model_set() -> pd.DataFrame:
    """A set made to pass: tags at random places, positive ones drawn more often, a third plain."""
    rng = np.random.default_rng(0)
    weights = np.array([3.0 if tags.VALENCE[tag] == "positive" else 1.0 for tag in tags.TAGS])
    texts = []
    for k in range(600):
        words = [f"w{k}x{j}" for j in range(30)]
        words[15] += "."
        for name in rng.choice(tags.TAGS, (1, 2, 4, 4, 6)[k % 5], p=weights / weights.sum()):
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        texts.append(" ".join(words))
    texts += [" ".join(f"p{k}w{j}" for j in range(9)) for k in range(290)]
    k = np.arange(len(texts))
    columns = {"domain": np.take([*"abc"], k % 3), "seconds": np.take([5.0, 15.0, 40.0], k % 3)}
    return examples(*texts, voice=[f"v{n % 8}" for n in k], **columns)


@pytest.mark.parametrize(
    ("check", "keep"),
    [
        (0, lambda row: row.tagged_text.count("[") < 6),
        (1, lambda row: "[scared]" not in row.tagged_text),
        (3, lambda row: "[gasps]" not in row.tagged_text or row.domain == "a"),
        (4, lambda row: "[" in row.tagged_text or row.id < "7"),
        (5, lambda row: row.voice in {"v0", "v1"}),
        (6, lambda row: row.seconds < 30),
        (8, lambda row: "[laughs]" not in row.tagged_text and "[excited]" not in row.tagged_text),
        (10, lambda row: row.tagged_text.rfind("[") < 50),
        (11, lambda row: row.tagged_text.count("[") < 2),
    ],
)
def test_a_defect_fails_its_check(check: int, keep: Callable[[pd.Series], bool]) -> None:
    items = model_set()
    assert checks(items[items.apply(keep, axis=1)])[check] == "no"


def test_a_repeated_text_fails_one_check_and_what_is_missing_is_not_known() -> None:
    items = model_set()
    again = pd.concat([items, items[:1].assign(id="again")], ignore_index=True)
    assert [k for k, verdict in enumerate(checks(again)) if verdict == "no"] == [9]
    bare = checks(items.assign(voice=None, seconds=None))
    assert [k for k, verdict in enumerate(bare) if verdict != "yes"] == [2, 5, 6, 7]
    assert {bare[k] for k in (2, 5, 6, 7)} == {"not known"}


def test_two_checks_have_two_verdicts() -> None:
    """A tag frequent enough without a factor; lengths that vary, though only below ten seconds."""
    items = model_set().assign(seconds=lambda own: own["seconds"] / 8)
    assert [checks(items, 4.5, items)[k] for k in (2, 3, 6, 7)] == ["no", "yes", "no", "yes"]
