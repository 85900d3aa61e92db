"""Rebalancing: every goal reached or named with its shortfall, no text drawn too often."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evoxtral import UserError, tags
from evoxtral.mix.checklist import checklist
from evoxtral.mix.duplicates import keep_first
from evoxtral.mix.goals import MAX_DRAWS, all_goals
from evoxtral.mix.items import Features, Item
from evoxtral.mix.rebalance import Rebalanced, check_splits, rebalance
from evoxtral.tags import text_key
from evoxtral.world.scripts import read_released


@pytest.fixture(scope="module")
def released(released_path: Path) -> list[Item]:
    return [Item.of(script) for script in read_released(released_path)]


def missed(table: pd.DataFrame) -> dict[str, str]:
    rows = table[table["reached"] != "yes"]
    return {
        f"{t} {r}": s for t, r, s in zip(rows["table"], rows["row"], rows["shortfall"], strict=True)
    }


def skewed() -> list[Item]:
    """Too few plain texts, four sad ones, none confused, nearly everything in capitals."""
    rng = np.random.default_rng(0)
    names = [tag for tag in tags.TAGS if tag not in {"sad", "confused"}]
    items = []
    for k in range(400):
        words = [f"w{k}x{j}" for j in range(24)] + (["LOUD"] if k % 10 else [])
        chosen = list(rng.choice(names, (0, 1, 2, 3, 4, 5, 7, 8)[k % 8] if k > 40 else 0))
        chosen += ["sad"] * (60 <= k < 64)
        for name in chosen:
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        text = " ".join(words)
        items.append(Item(str(k), text, " ".join(w for w in words if "[" not in w), "d", "s"))
    return items


def audit(items: list[Item], result: Rebalanced, size: int) -> None:
    """What the result says is what was drawn, and no text is drawn more than five times."""
    assert Counter(item.id for item in result.items) == Counter(
        {name: count for name, count in result.draws.items() if count}
    )
    assert list(result.draws) == [item.id for item in items]
    assert len(result.items) == size
    assert max(Counter(text_key(item.plain_text) for item in result.items).values()) <= MAX_DRAWS
    after = [goal.measured() for goal in all_goals(Features.of(result.items))]
    assert result.table["after"].tolist() == pytest.approx(after, nan_ok=True)
    assert (result.table["shortfall"] == "").equals(result.table["reached"] == "yes")


def test_released_scripts_reach_all_goals_but_those_two_tags_forbid(released: list[Item]) -> None:
    result = rebalance(released)
    audit(released, result, 1010)
    assert missed(result.table) == {
        "tags [confused]": "at most 0.8 % within the density bands: 1 distinct text, 5 draws each",
        "tags [scared]": "at most 3.0 % within the density bands: 4 distinct texts, 5 draws each",
        "examples [confused]": "at most 5 within the density bands: 1 distinct text, 5 draws each",
        "examples [scared]": "at most 20 within the density bands: 4 distinct texts, 5 draws each",
    }


def test_checklist_before_and_after(released: list[Item]) -> None:
    distinct = [released[i] for i in keep_first([item.tagged_text for item in released])]
    before = Features.of(released)
    after = Features.of(rebalance(distinct, size=800).items)
    rows = pd.DataFrame(
        {"before": checklist(before, natural=before)["pass"],
         "after": checklist(after, natural=before)["pass"]}
    )  # fmt: skip
    assert rows.index[(rows["before"] == "no") & (rows["after"] == "yes")].tolist() == [3, 7]
    assert not ((rows["before"] == "yes") & (rows["after"] != "yes")).any()


def test_a_skewed_set_names_what_it_lacks() -> None:
    items = skewed()
    result = rebalance(items, seed=3)
    audit(items, result, 400)
    reasons = missed(result.table)
    assert reasons["tags [confused]"] == "no example has it"
    assert reasons["tags [sad]"].endswith("4 distinct texts, 5 draws each")
    assert result.table.set_index("row").loc["none (0 tags)", "reached"] == "yes"
    assert result.table.set_index("row").loc["CAPS", "reached"] == "yes"
    assert (result.table["reached"] == "yes").sum() > result.table.pipe(
        lambda t: sum(goal.verdict() == "yes" for goal in all_goals(Features.of(items)))
    )


def test_goals_that_fight_each_other_say_so() -> None:
    plain = [Item(f"p{k}", f"plain {k}", f"plain {k}", "d", "s") for k in range(40)]
    sad = [Item(f"s{k}", f"[sad] s{k}", f"s{k}", "d", "s") for k in range(40)]
    loud = [Item(f"l{k}", f"[sad] [pause] LOUD l{k}", f"loud l{k}", "d", "s") for k in range(60)]
    shortfalls = missed(rebalance(plain + sad + loud).table)
    assert "in conflict" in " ".join(shortfalls.values())


def test_same_seed_same_draws_and_another_seed_others(released: list[Item]) -> None:
    part = released[:300]
    assert rebalance(part, seed=1).items == rebalance(part, seed=1).items
    assert rebalance(part, seed=1).draws != rebalance(part, seed=2).draws


def test_clips_of_one_text_share_its_five_draws(released: list[Item]) -> None:
    spoken = [replace(item, id=f"{item.id}-{voice}", voice=voice)
              for item in released[:200] for voice in ("a", "b", "c")]  # fmt: skip
    result = rebalance(spoken, size=900)
    audit(spoken, result, 900)
    per_text = np.array(list(result.draws.values())).reshape(200, 3)
    assert (np.ptp(per_text, axis=1) <= 1).all()


def test_only_the_named_split_is_drawn(released: list[Item]) -> None:
    keys: dict[str, str] = {}
    items = [
        replace(
            item,
            split=keys.setdefault(text_key(item.plain_text), "test" if k % 5 == 0 else "train"),
        )
        for k, item in enumerate(released[:300])
    ]
    result = rebalance(items, split="train")
    assert {item.split for item in result.items} == {"train"}
    assert set(result.draws) == {item.id for item in items if item.split == "train"}
    with pytest.raises(UserError, match="name the one"):
        rebalance(items)


def test_a_text_in_two_splits_is_refused() -> None:
    items = [Item("a", "[sad] Go!", "Go!", "d", "s", split="train"),
             Item("b", "GO", "go", "d", "s", split="test")]  # fmt: skip
    with pytest.raises(UserError, match=r"'b'.*'train' and 'test'"):
        check_splits(items)
    with pytest.raises(UserError, match="same split"):
        rebalance(items, split="train")


@pytest.mark.parametrize("size", [0, 11])
def test_sizes_out_of_reach_are_refused(size: int) -> None:
    items = [Item("a", "one", "one", "d", "s"), Item("b", "two", "two", "d", "s")]
    with pytest.raises(UserError, match="give 1 to 10"):
        rebalance(items, size)


def test_repeated_ids_are_refused() -> None:
    with pytest.raises(UserError, match="'a' occurs more than once"):
        rebalance([Item("a", "one", "one", "d", "s"), Item("a", "two", "two", "d", "s")])


def test_the_largest_size_draws_every_text_five_times() -> None:
    items = [Item("a", "one", "one", "d", "s"), Item("b", "[sad] two", "two", "d", "s")]
    assert rebalance(items, 10).draws == {"a": 5, "b": 5}
