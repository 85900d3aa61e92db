"""What makes a committed report stale, and whether the one in the repository is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoxtral import UserError, runs
from evoxtral.report import example
from evoxtral.report.provenance import STAMP, stamp
from evoxtral.runs import code_text

SOURCE = '''"""Module."""

# why
def f(x):
    """One.

    More.
    """
    # how
    return x + 1  # here
'''


def test_prose_does_not_count() -> None:
    assert code_text(SOURCE) == "def f(x):\n    return x + 1  # here"
    reworded = SOURCE.replace("More.", "Other.\n    And more.").replace("# why", "# for whom")
    assert code_text(reworded) == code_text(SOURCE)


def test_code_does() -> None:
    assert code_text(SOURCE.replace("+ 1", "+ 2")) != code_text(SOURCE)


def test_every_part_is_there() -> None:
    parts = stamp("tiny")
    assert all(len(digest) == 64 for digest in parts.values())
    names = {"evoxtral.metrics", "evoxtral.world", "notebooks/03_raft.ipynb"}
    names |= {"params/tiny/02_sft.yaml", "reports/paper/table2_core.csv"}
    assert names <= parts.keys()
    assert any(name.endswith(".safetensors") for name in parts)


def test_numbers_go_between_their_lines() -> None:
    first, last = example.NUMBERS
    text = f"a\n{first}\nold\n{last}\nb"
    filled = example.fill_readme(text, "| new |")
    assert filled == f"a\n{first}\n\n| new |\n\n{last}\nb"
    assert example.fill_readme(filled, "| new |") == filled
    with pytest.raises(UserError, match="once each"):
        example.fill_readme("no such lines", "")


def test_the_committed_report_is_small_and_up_to_date(repo: Path) -> None:
    fix = "run `make report`, then `python -m evoxtral example`; commit reports/example, README.md"
    path = repo / "reports" / "example" / STAMP
    assert path.is_file(), f"no report is committed: {fix}"
    said = runs.read_json(path)
    parts = stamp(said["profile"])
    changed = sorted(name for name, _ in said["parts"].items() ^ parts.items())
    assert not changed, f"the committed report is older than {', '.join(changed)}: {fix}"
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    assert size <= example.MOST_BYTES
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert example.fill_readme(readme, example.numbers()) == readme, f"README.md is older: {fix}"
