"""The note's tables and checks: the stored counts of the released scripts, and small sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evoxtral import paper, tags
from evoxtral.mix.balance import rebalance
from evoxtral.mix.composition import factors, judge
from evoxtral.mix.duplicates import keep_first
from evoxtral.mix.goals import Item
from evoxtral.world.scripts import read_released

DOMAINS = ("podcast", "argument", "interview")


def items(texts: list[str], voices: list[str | None] | None = None) -> list[Item]:
    spoken = voices or [None] * len(texts)
    return [
        Item(str(k), text, tags.plain_text(text), "d", voice=voice)
        for k, (text, voice) in enumerate(zip(texts, spoken, strict=True))
    ]


def checks(rows: list[Item], natural: list[Item] | None = None) -> list[str]:
    frame = judge(rows, natural=natural, workers=1)
    return frame.loc[frame["table"] == "checklist", "pass"].tolist()


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Item]:
    return [Item.of(row) for row in read_released(released_path)]


def test_the_stored_counts_are_counted_from_the_scripts(repo: Path, released: list[Item]) -> None:
    """The file is all that the project has of the scripts; written again, it is the same."""
    judged = judge(released, workers=1)
    judged["measured"] = [
        "" if pd.isna(value) else value if unit == "text" else f"{round(value, 6):.6g}"
        for value, unit in zip(judged["measured"], judged["unit"], strict=True)
    ]
    written = judged[["table", "row", "measured", "pass"]].to_csv(index=False)
    assert (repo / "reports/paper/released_composition.csv").read_text() == written
    assert "released_composition.csv" in set(paper.load().sources["file"])


def test_speakers() -> None:
    for voices, expected in (
        (list("aabbcc"), ["no", "yes"]),
        ([*"abcdef", None], ["yes", "not known"]),
        ([*"abc", None], ["not known", "not known"]),
        ([*"abcdef", *"aaaaaaa"], ["yes", "no"]),
    ):
        frame = judge(items([f"text {k}" for k in range(len(voices))], voices))
        assert frame.loc[frame["table"] == "speakers", "pass"].tolist() == expected


def test_factors_compare_shares_and_count_surroundings() -> None:
    before = items(["[sad] a", "[calm] b", "[calm] c", "[calm] d"], list("xyzz"))
    table = factors(before, [before[0], before[0], before[1], before[2]]).set_index("tag")
    assert table.loc["[sad]", "drawn"] == pytest.approx(2)
    assert table.loc["[calm]", "drawn"] == pytest.approx(2 / 3)
    assert table.loc["[sad]", ["needed", "texts", "domains", "voices"]].to_list() == [1, 1, 1, 1]
    assert table.loc["[angry]", ["needed", "drawn"]].isna().all()
    assert pd.isna(table.loc["CAPS", "texts"])


def model_set() -> list[Item]:
    """A set made to pass: tags at random places, positive ones drawn more often, a third plain."""
    rng = np.random.default_rng(0)
    weights = np.array([3.0 if tags.VALENCE[tag] == "positive" else 1.0 for tag in tags.TAGS])
    made = []
    for k in range(600):
        words = [f"w{k}x{j}" for j in range(30)]
        words[15] += "."
        names = rng.choice(tags.TAGS, (1, 2, 4, 4, 6)[k % 5], p=weights / weights.sum())
        for name in names:
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        made.append(_clip(f"t{k}", " ".join(words), k))
    plain = [_clip(f"p{k}", " ".join(f"p{k}w{j}" for j in range(9)), k) for k in range(290)]
    return made + plain


def _clip(name: str, text: str, k: int) -> Item:
    return Item(name, text, tags.plain_text(text), DOMAINS[k % 3], voice=f"v{k % 8}",
                seconds=(5.0, 15.0, 40.0)[k % 3])  # fmt: skip


def test_a_good_set_passes_every_check() -> None:
    assert checks(model_set()) == ["yes"] * 10


@pytest.mark.parametrize(
    ("check", "keep"),
    [
        (0, lambda row: row.tagged_text.count("[") < 6),
        (1, lambda row: "[scared]" not in row.tagged_text),
        (2, lambda row: "[gasps]" not in row.tagged_text or row.domain == "podcast"),
        (3, lambda row: "[" in row.tagged_text or row.id < "p2"),
        (4, lambda row: row.voice in {"v0", "v1"}),
        (5, lambda row: row.seconds < 30),
        (6, lambda row: "[laughs]" not in row.tagged_text and "[excited]" not in row.tagged_text),
        (8, lambda row: row.tagged_text.rfind("[") < 50),
        (9, lambda row: row.tagged_text.count("[") < 2),
    ],
)
def test_a_defect_fails_its_check(check: int, keep: Callable[[Item], bool]) -> None:
    assert checks([row for row in model_set() if keep(row)])[check] == "no"


def test_a_repeated_text_fails_one_check_and_what_is_missing_two_others() -> None:
    rows = model_set()
    again = checks([*rows, replace(rows[0], id="again")])
    assert [k for k, verdict in enumerate(again) if verdict != "yes"] == [7]
    bare = checks([replace(row, voice=None, seconds=None) for row in rows])
    assert [k for k, verdict in enumerate(bare) if verdict == "not known"] == [4, 5]


def test_rebalancing_the_released_scripts_mends_two_checks(released: list[Item]) -> None:
    distinct = [released[i] for i in keep_first([row.tagged_text for row in released])]
    before = checks(released, released)
    after = checks(rebalance(distinct, 0, size=800)[0], released)
    assert before == ["yes", "no", "yes", "no", "not known", "not known", "yes", "no", "yes", "yes"]
    changed = [k for k, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert changed == [3, 7]
    assert after[3] == after[7] == "yes"
