"""The composition note: goals, texts alike, tables and checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evoxtral import UserError, paper, runs, tags
from evoxtral.mix import composition
from evoxtral.mix.balance import rebalance
from evoxtral.mix.composition import (
    TARGETS,
    factors,
    goals,
    judge,
    keep_first,
    near_duplicates,
    near_duplicates_between,
)
from evoxtral.world.scripts import read_released, split_released
from helpers import examples

DOMAINS = ("podcast", "argument", "interview")
TEXT = st.lists(st.sampled_from("abcde"), max_size=10).map(" ".join)


@pytest.fixture(scope="module")
def released(released_path: Path) -> pd.DataFrame:
    return composition.examples(read_released(released_path))


def measured(items: pd.DataFrame, table: str, window: float | None = None) -> dict[str, float]:
    made = goals(items, window)
    shares = pd.Series(made.measured(), made.rows["row"])
    return shares[(made.rows["table"] == table).to_numpy()].to_dict()


def test_targets_are_those_of_the_note() -> None:
    targets = TARGETS.groupby("table")["target"].agg(list)
    assert targets["density"] == ["30–35 %", "25–30 %", "25–30 %", "10–15 %"]
    assert targets["emotion"] == ["≥ 8.3 %"] * 6
    assert set(targets["examples"]) == {"≥ 40"} == {f"≥ {composition.EXAMPLES_PER_TAG}"}
    shares = TARGETS[TARGETS["table"] == "tags"].set_index("row")
    assert set(shares.index) == {f"[{tag}]" for tag in tags.TAGS} | {"CAPS"}
    assert shares.loc["[gasps]", ["target", "advised"]].tolist() == ["≥ 8 %", "8–12 %"]
    assert shares.loc["CAPS", ["target", "advised"]].tolist() == ["40–60 %", "40–60 %"]
    rare = "[gasps] [crying] [whispers] [shouts] [stammers] [clears throat]"
    assert sorted(composition.RARE) == sorted(re.findall(r"\[.*?\]", rare))
    for row in TARGETS[TARGETS["unit"] == "share"].itertuples():
        numbers = [f"{round(100 * end, 1):g}" for end in (row.low, row.high) if end < np.inf]
        assert re.findall(r"[\d.]+", row.target) == numbers


def test_density_strata() -> None:
    for n_tags, stratum in ((0, 0), (1, 1), (2, 1), (3, 2), (5, 2), (6, 3), (9, 3)):
        shares = measured(examples("[sad] " * n_tags + "words"), "density")
        assert list(shares.values()) == [float(k == stratum) for k in range(4)]


def test_tag_shares_are_of_tagged_examples() -> None:
    texts = ("[sad] a [sad]", "[WHISPERS] [pause] B C", "[slams DOOR] x", "PLAIN caps", "plain")
    shares = measured(examples(*texts), "tags")
    found = {name: share for name, share in shares.items() if share}
    assert found == {"[sad]": 1 / 3, "[whispers]": 1 / 3, "[pause]": 1 / 3}
    assert measured(examples("[sad] I DO"), "tags")["CAPS"] == 1


def test_draws_weigh_hits_and_base() -> None:
    plain = goals(examples("plain", "[sad] a")).take([0])
    for draws, share, verdict in ((None, 0.5, "no"), ([1, 2], 1 / 3, "yes"), ([0, 0], None, "no")):
        weights = None if draws is None else np.array(draws, dtype=float)
        assert plain.measured(weights)[0] == pytest.approx(share or np.nan, nan_ok=True)
        assert plain.verdicts(weights) == [verdict]


def test_valence_is_the_sign_of_the_sum() -> None:
    texts = {"[sad] and [excited]": "neutral", "[crying] [sad] [laughs]": "negative",
             "[excited] one [pause]": "positive"}  # fmt: skip
    for text, valence in texts.items():
        assert measured(examples(text), "valence")[valence] == 1


def test_length_and_gender_are_measured_if_every_example_has_them() -> None:
    seconds, genders = [2.0, 5.0, 7.0, 31.0], ["male", "female", "female", "female"]
    clips = examples(*"abcd", seconds=seconds, gender=genders)
    assert measured(clips, "length") == {
        "short (< 10 s)": 0.75, "medium (10–30 s)": 0, "long (≥ 30 s)": 0.25,
    }  # fmt: skip
    assert measured(clips, "length", window=8.0) == {
        "short (< 2.67 s)": 0.25, "medium (2.67–5.33 s)": 0.25, "long (≥ 5.33 s)": 0.5,
    }  # fmt: skip
    assert measured(clips, "gender") == {"male": 0.25, "female": 0.75, "neutral": 0}
    half = goals(clips.assign(seconds=[1.0, 2.0, 3.0, None], gender=None))
    assert not half.rows["table"].isin(["length", "gender"]).any()


def test_positions_and_spacing() -> None:
    texts = {"[sad] one two [pause] three FOUR [laughs]": 1 / 3, "[sighs] [laughs]": 1}
    for text, beginning in texts.items():
        assert measured(examples(text), "position")["beginning"] == pytest.approx(beginning)
    gaps = {"a b c": [1, 0], "a b c d": [0, 0], "a b c d e f g h": [0, 1],
            "a b c d e f g [pause] h": [1 / 2, 0]}  # fmt: skip
    for words, spacing in gaps.items():
        shares = measured(examples(f"[sad] {words} [pause]"), "spacing")
        assert list(shares.values()) == spacing


def test_examples_come_from_anything_with_the_attributes() -> None:
    row = SimpleNamespace(id="c", tagged_text="[sad] a", plain_text="a", domain="d", seconds=2.5)
    [made] = composition.examples([row]).dropna(axis=1).to_dict("records")
    assert made == vars(row)
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
        frame = near_duplicates(texts, threshold)
        kept = keep_first(texts, threshold)
    assert list(zip(frame["first"], frame["second"], strict=True)) == sorted(near)
    assert frame["rouge_l"].tolist() == pytest.approx([near[pair] for pair in sorted(near)])
    greedy: list[int] = []
    for i in range(len(texts)):
        greedy += [i] * (not any((k, i) in near for k in greedy))
    assert kept == greedy


@pytest.mark.parametrize(
    ("text", "same"),
    [("[clears throat] Well...", "clears throat well"), ("CAN'T stop-go 3.5", "can t stop go 3 5"),
     ("naïve ...!", "na ve")],
)  # fmt: skip
def test_words_are_lowercased_runs_of_ascii_letters_and_digits(text: str, same: str) -> None:
    assert near_duplicates([text, same], 1.0)["rouge_l"].tolist() == [1]


def test_released_scripts_hold_texts_alike(released_path: Path) -> None:
    scripts = read_released(released_path)
    tagged = [script.tagged_text for script in scripts]
    assert (len(near_duplicates(tagged)), len(keep_first(tagged))) == (22, 993)
    parts = split_released(scripts)
    train, test = ([row.plain_text for row in parts[name]] for name in ("train", "test"))
    found = near_duplicates_between(train, test)
    joined = near_duplicates([*train, *test])
    across = joined[(joined["first"] < len(train)) & (joined["second"] >= len(train))]
    assert found["first"].tolist() == across["first"].tolist()
    assert (found["second"] + len(train)).tolist() == across["second"].tolist()


def test_the_stored_counts_are_counted_from_the_scripts(
    released: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is all that the project has of the scripts."""
    stored = composition.read_released_composition()
    key = ["table", "row"]
    judged = judge(released).set_index(key).loc[list(map(tuple, stored[key].to_numpy()))]
    assert len(judged) == len(stored)
    assert judged["pass"].tolist() == stored["pass"].tolist()
    text = (judged["unit"] == "text").to_numpy()
    assert judged["measured"][text].tolist() == stored["measured"][text].tolist()
    numbers = [frame["measured"][~text].astype(float).tolist() for frame in (judged, stored)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-6, rel=1e-5, nan_ok=True)
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
        assert frame.loc[frame["table"] == "speakers", "pass"].tolist() == expected


def test_factors_compare_shares_and_count_surroundings() -> None:
    before = examples("[sad] a", "[calm] b", "[calm] c", "[calm] d", voice=list("xyzz"))
    table = factors(before, before.iloc[[0, 0, 1, 2]]).set_index("tag")
    assert table.loc["[sad]", "drawn"] == pytest.approx(2)
    assert table.loc["[calm]", "drawn"] == pytest.approx(2 / 3)
    assert table.loc["[sad]", ["needed", "texts", "domains", "voices"]].to_list() == [1, 1, 1, 1]
    assert table.loc["[angry]", ["needed", "drawn"]].isna().all()
    assert pd.isna(table.loc["CAPS", "texts"])


def checks(items: pd.DataFrame, natural: pd.DataFrame | None = None) -> list[str]:
    frame = judge(items, natural=natural)
    return frame.loc[frame["table"] == "checklist", "pass"].tolist()


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
    columns = {"domain": np.take(DOMAINS, k % 3), "seconds": np.take([5.0, 15.0, 40.0], k % 3)}
    return examples(*texts, voice=[f"v{n % 8}" for n in k], **columns)


def test_a_good_set_passes_every_check() -> None:
    assert checks(model_set()) == ["yes"] * 10


@pytest.mark.parametrize(
    ("check", "keep"),
    [
        (0, lambda row: row.tagged_text.count("[") < 6),
        (1, lambda row: "[scared]" not in row.tagged_text),
        (2, lambda row: "[gasps]" not in row.tagged_text or row.domain == "podcast"),
        (3, lambda row: "[" in row.tagged_text or row.id < "7"),
        (4, lambda row: row.voice in {"v0", "v1"}),
        (5, lambda row: row.seconds < 30),
        (6, lambda row: "[laughs]" not in row.tagged_text and "[excited]" not in row.tagged_text),
        (8, lambda row: row.tagged_text.rfind("[") < 50),
        (9, lambda row: row.tagged_text.count("[") < 2),
    ],
)
def test_a_defect_fails_its_check(check: int, keep: Callable[[pd.Series], bool]) -> None:
    items = model_set()
    assert checks(items[items.apply(keep, axis=1)])[check] == "no"


def test_a_repeated_text_fails_one_check_and_what_is_missing_two_others() -> None:
    items = model_set()
    again = checks(pd.concat([items, items[:1].assign(id="again")], ignore_index=True))
    assert [k for k, verdict in enumerate(again) if verdict != "yes"] == [7]
    bare = checks(items.assign(voice=None, seconds=None))
    assert [k for k, verdict in enumerate(bare) if verdict == "not known"] == [4, 5]


def test_rebalancing_the_released_scripts_mends_two_checks(released: pd.DataFrame) -> None:
    distinct = released.iloc[keep_first(released["tagged_text"])].reset_index(drop=True)
    before = checks(released, released)
    after = checks(rebalance(distinct, 0, size=800)[0], released)
    assert before == ["yes", "no", "yes", "no", "not known", "not known", "yes", "no", "yes", "yes"]
    changed = [k for k, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert changed == [3, 7]
    assert after[3] == after[7] == "yes"
