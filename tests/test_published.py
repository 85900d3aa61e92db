"""The typed-in numbers against the report, the card and the released scripts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from evoxtral import UserError, paper, tags
from evoxtral.world import scripts


@pytest.fixture
def editable(repo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repo / "reports" / "paper", tmp_path / "paper"))


def test_default_folder_is_the_checkouts(repo: Path) -> None:
    assert paper.folder() == repo / "reports" / "paper"


@pytest.mark.parametrize(
    ("key", "system", "expected"),
    [
        ("wer", "base", 0.0664),
        ("wer", "sft", 0.0447),
        ("wer", "rl", 0.0512),
        ("cer", "rl", 0.0148),
        ("tag_f1", "base", 0.22),
        ("tag_f1", "rl", 0.694),
        ("tag_recall", "rl", 0.727),
        ("hallucination", "sft", 0.193),
    ],
)
def test_table_2_cells(numbers: paper.Published, key: str, system: str, expected: float) -> None:
    assert numbers.core.set_index("key").loc[key, system] == expected


def test_shapes_and_totals(numbers: paper.Published) -> None:
    assert len(numbers.core) == 7
    assert len(numbers.per_tag) == numbers.numbers["tag_types"] == 17
    assert numbers.per_tag["support"].sum() == 130
    assert len(numbers.hyperparameters) == 13
    assert len(numbers.rl_settings) == 9


def _plain(text: str) -> str:
    """Source text without table and formula marks, white space collapsed."""
    for mark, sign in (
        (r"\rightarrow", "→"),
        (r"\times", "×"),
        ("10^{-4}", "10⁻⁴"),
        ("10^{-5}", "10⁻⁵"),
    ):
        text = text.replace(mark, sign)
    text = re.sub(r"\\text\{([^}]*)\}", r"\1", text)
    return re.sub(r"[\s|*`$\\]+", "", text)


@pytest.fixture(scope="module")
def sources(shared_dir: Path) -> dict[str, str]:
    folder = shared_dir / "sources"
    return {
        "report": (folder / "evoxtral-technical-report.md").read_text(encoding="utf-8"),
        "card": (folder / "evoxtral-model-card.md").read_text(encoding="utf-8"),
    }


def test_quotes_stand_in_their_sources(numbers: paper.Published, sources: dict[str, str]) -> None:
    plain = {name: _plain(text) for name, text in sources.items()}
    lost = [
        row.quote
        for row in numbers.quotes.itertuples()
        if _plain(row.quote.replace("per input:", "per input")) not in plain[row.source]
    ]
    assert lost == []


def test_tables_equal_the_report(numbers: paper.Published, sources: dict[str, str]) -> None:
    lines = [line.split("\t") for line in sources["report"].splitlines() if "\t" in line]
    core = [
        [
            r["metric"],
            *(f"{100 * r[s]:.{2 if r['key'] in ('wer', 'cer') else 1}f}%" for s in paper.SYSTEMS),
            r["best"].upper(),
        ]
        for r in numbers.core.to_dict("records")
    ]
    printed = [[re.sub(" [↓↑]", "", line[0]), *line[1:]] for line in lines]
    assert [row for row in core if row not in printed] == []
    per_tag = [
        [f"[{r.tag}]", f"{r.sft:.3f}", f"{r.rl:.3f}", r.delta, str(r.support)]
        for r in numbers.per_tag.itertuples()
    ]
    assert [row for row in per_tag if row not in printed] == []
    settings = [[_plain(cell) for cell in line] for line in lines]
    rows = numbers.hyperparameters.to_numpy().tolist()
    assert [row for row in rows if [_plain(cell) for cell in row] not in settings] == []


def test_rl_settings_equal_the_card(numbers: paper.Published, sources: dict[str, str]) -> None:
    settings = numbers.rl_settings.to_numpy().tolist()
    assert settings
    for name, value in settings:
        assert f"| {name} | {value} |" in sources["card"]


def test_released_counts_recounted(numbers: paper.Published, released_path: Path) -> None:
    split = scripts.split_released(scripts.read_released(released_path))
    bench = [row.tagged_text for row in split["test"][:50]]
    found = [tags.find_tags(text) for text in bench]
    counts = numbers.released
    assert counts.clips == len(bench)
    assert counts.untagged == sum(not names for names in found)
    assert counts.without_capitals == sum(not tags.emphasis_words(text) for text in bench)
    for tag, occurrences in counts.occurrences.items():
        assert occurrences == sum(names.count(tag) for names in found)
        assert counts.clips_with[tag] == sum(tag in names for names in found)
    assert sum(counts.occurrences.values()) == sum(len(names) for names in found)


def test_support_is_occurrences(numbers: paper.Published) -> None:
    support = dict(zip(numbers.per_tag["tag"], numbers.per_tag["support"], strict=True))
    assert support == dict(numbers.released.occurrences)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("table2_core", "0.0664", "6.64", "fractions in \\[0, 1\\], not percentages"),
        ("table2_core", "WER,lower", "WER,down", "'down' is none of lower, higher"),
        ("table2_core", ",rl\nhall", ",RL\nhall", "'RL' is none of base, sft, rl"),
        ("table2_core", "cer,CER", "wer,CER", "'wer' occurs twice"),
        ("table2_core", "key,", "id,", "must have the columns key, metric"),
        ("table3_per_tag", "gasps,0.957", "gasps,x", "'sft' must hold numbers"),
        ("table3_per_tag", "—,12", "—,1.5", "'support' must hold counts"),
        ("table3_per_tag", "—,12", "—,0", "support must be at least 1"),
        ("released_counts", "clips,,50\n", "", "lacks the row 'clips'"),
    ],
)
def test_a_damaged_file_is_refused(
    editable: Path, name: str, old: str, new: str, message: str
) -> None:
    path = editable / f"{name}.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        paper.load(editable)


def test_a_missing_file_names_the_fix(editable: Path) -> None:
    (editable / "sources.csv").unlink()
    with pytest.raises(UserError, match="restore it with git checkout"):
        paper.load(editable)


def test_every_file_has_a_source(numbers: paper.Published, repo: Path) -> None:
    files = {path.name for path in (repo / "reports" / "paper").glob("*.csv")}
    assert set(numbers.sources["file"]) == files - {"sources.csv"}
