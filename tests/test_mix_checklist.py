"""The ten checks: each can pass, fail, and say that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evoxtral import tags
from evoxtral.mix.checklist import checklist
from evoxtral.mix.items import Features, Item
from evoxtral.world.scripts import read_released

DOMAINS = ("podcast", "argument", "interview")


def verdicts(table: pd.DataFrame) -> list[str]:
    return table["pass"].tolist()


def model_set() -> list[Item]:
    """A set made to pass: tags at random places, positive ones drawn more often, a third plain."""
    rng = np.random.default_rng(0)
    weights = np.array([3.0 if tags.VALENCE[tag] == "positive" else 1.0 for tag in tags.TAGS])
    items = []
    for k in range(600):
        words = [f"w{k}x{j}" for j in range(30)]
        words[15] += "."
        names = rng.choice(tags.TAGS, (1, 2, 4, 4, 6)[k % 5], p=weights / weights.sum())
        for name in names:
            words.insert(rng.integers(len(words) + 1), f"[{name}]")
        items.append(_clip(f"t{k}", " ".join(words), k))
    plain = [_clip(f"p{k}", " ".join(f"p{k}w{j}" for j in range(9)), k) for k in range(290)]
    return items + plain


def _clip(name: str, text: str, k: int) -> Item:
    return Item(
        name, text, tags.plain_text(text), DOMAINS[k % 3], "light",
        voice=f"v{k % 8}", seconds=(5.0, 15.0, 40.0)[k % 3],
    )  # fmt: skip


def test_a_good_set_passes_every_check() -> None:
    table = checklist(Features.of(model_set()))
    assert len(table) == 10
    assert set(verdicts(table)) == {"yes"}, table.to_string()


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
    rows = [row for row in model_set() if keep(row)]
    assert verdicts(checklist(Features.of(rows)))[check] == "no"


def test_a_repeated_text_fails_the_diversity_check_alone() -> None:
    rows = model_set()
    found = verdicts(checklist(Features.of([*rows, replace(rows[0], id="again")])))
    assert [k for k, verdict in enumerate(found) if verdict != "yes"] == [7]


def test_missing_information_is_not_known() -> None:
    bare = [replace(row, voice=None, seconds=None) for row in model_set()]
    found = verdicts(checklist(Features.of(bare)))
    assert [k for k, verdict in enumerate(found) if verdict == "not known"] == [4, 5]


def test_rare_tags_pass_when_oversampled_two_to_five_times() -> None:
    rest = [_clip(f"s{k}", f"[sad] s{k} t{k} u{k}.", k) for k in range(970)]
    six = "[gasps] [crying] [whispers] [shouts] [stammers] [clears throat]"
    rare = [_clip(f"g{k}", f"{six} g{k}", k) for k in range(12)]
    natural = Features.of(rest + rare)
    assert verdicts(checklist(natural, natural=natural))[2] == "no"
    assert verdicts(checklist(natural))[2] == "not known"
    assert verdicts(checklist(Features.of(rest + rare * 3), natural=natural))[2] == "yes"


def test_released_scripts(released_path: Path) -> None:
    features = Features.of(read_released(released_path))
    assert verdicts(checklist(features, natural=features)) == [
        "yes", "no", "yes", "no", "not known", "not known", "yes", "no", "yes", "yes",
    ]  # fmt: skip
