"""The typed-in numbers against the report, the card and the released scripts."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest

from evoxtral import UserError, bench, metrics, paper, params, tags
from evoxtral.bench import Split
from evoxtral.world import scripts


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
    quotes = pd.read_csv(paper.folder() / "text_numbers.csv")
    lost = [
        row.quote
        for row in quotes.itertuples()
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
    rows = [row.tagged_text for row in split["test"][:50]]
    found = [tags.find_tags(text) for text in rows]
    assert numbers.released == {
        "clips": len(rows),
        "clips without tags": sum(not names for names in found),
        "clips without capitals": sum(not tags.emphasis_words(text) for text in rows),
    }
    assert numbers.clips_with == {
        tag: sum(tag in names for names in found) for tag in numbers.clips_with
    }
    for row in numbers.per_tag.itertuples():
        assert row.support == sum(names.count(row.tag) for names in found)


def test_a_missing_file_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "folder", lambda: tmp_path)
    with pytest.raises(UserError, match="restore it with git checkout"):
        paper.load()


def test_every_file_has_a_source(numbers: paper.Published, repo: Path) -> None:
    files = {path.name for path in (repo / "reports" / "paper").glob("*.csv")}
    assert set(numbers.sources["file"]) == files - {"sources.csv"}


TEXTS = ["[sad] oh no", "well then", "[pause] and so", "[sighs] it IS so", "[laughs] fine"]
WROTE = {
    "base": ["oh no", "well than", "and", "it is so", "fine"],
    "SFT": ["[sad] oh no", "well then", "[pause] and so", "it IS so", "[sad] fine"],
    "RL": TEXTS,
}
SYSTEMS = Split("test", {name: metrics.evaluate(TEXTS, own) for name, own in WROTE.items()})
SCORES = bench.score_frame(SYSTEMS)
STEP = bench.paired_frame(SYSTEMS.only("base", "SFT"), "base")


@pytest.mark.parametrize("profile", params.PROFILES)
def test_a_tiny_run_is_the_same_method_whatever_its_numbers(
    numbers: paper.Published, profile: str
) -> None:
    for frame in (
        paper.core_compared(numbers, SCORES, profile),
        paper.per_tag_compared(numbers, SCORES, profile),
        paper.changes(numbers, STEP, profile),
    ):
        measured = frame["measured"].notna()
        assert measured.any()
        assert set(frame.loc[~measured, "verdict"]) <= {paper.NOT_MEASURED}
        said = set(frame.loc[measured, "verdict"])
        assert (said == {paper.TINY_WORLD}) == (profile != "paper")
        assert frame["protocol"].unique().tolist() == [bench.PAPER]


def test_a_tiny_run_with_the_published_numbers_themselves_reproduces_nothing(
    numbers: paper.Published,
) -> None:
    exact, printed = bench.overall(SCORES).copy(), numbers.core.set_index("key")
    for row in exact[exact["protocol"] == bench.PAPER].itertuples():
        value = printed.loc[row.metric, row.system.lower()]
        exact.loc[row.Index, ["value", "low", "high"]] = (value, value - 0.01, value + 0.01)
    for profile, said in (("tiny", paper.TINY_WORLD), ("paper", "within interval")):
        assert set(paper.core_compared(numbers, exact, profile)["verdict"]) == {said}


@pytest.mark.parametrize(
    ("printed", "low", "high", "expected"),
    [
        (0.672, 0.60, 0.70, "within interval"),
        (0.672, 0.68, 0.70, "outside interval"),
        (0.672, 0.6724, 0.70, "within interval"),  # printed digits are rounded
        (0.672, 0.6726, 0.70, "outside interval"),
        (0.672, 0.60, 0.6716, "within interval"),
        (0.672, math.nan, math.nan, "no interval"),
    ],
)
def test_verdicts_of_the_real_experiment(
    printed: float, low: float, high: float, expected: str
) -> None:
    assert paper.verdict("paper", printed, 0.66, low, high, 0.0005) == expected


def test_rows_of_tables_2_and_3(numbers: paper.Published) -> None:
    frame = paper.core_compared(numbers, SCORES, "tiny").set_index(["system", "key"])
    assert len(frame) == 3 * len(numbers.core)
    row = frame.loc[("SFT", "tag_f1")]
    assert (row["paper"], row["n_paper"], row["n"]) == (0.672, 50, 5)
    assert row["measured"] == SYSTEMS.evaluations["SFT"].table("paper")["tag_f1"].value
    assert row["delta"] == pytest.approx(row["measured"] - 0.672)
    alone = paper.core_compared(numbers, SCORES[SCORES["system"] == "RL"], "paper")
    absent = alone[alone["system"] != "RL"]
    assert set(absent["verdict"]) == {paper.NOT_MEASURED}
    assert set(absent["n"]) == {0}
    frame = paper.per_tag_compared(numbers, SCORES, "paper").set_index(["system", "key"])
    assert len(frame) == 2 * 17
    assert tuple(frame.loc[("RL", "sad"), ["paper", "measured", "n_paper", "n"]]) == (0.75, 1, 4, 1)
    # [calm] occurs in no reference: a score of nothing would not be a measurement.
    assert frame.loc[("RL", "calm"), "verdict"] == paper.NOT_MEASURED


def test_changes_are_paired(numbers: paper.Published) -> None:
    frame = paper.changes(numbers, STEP, "tiny").set_index(["step", "key"])
    step = frame.loc[("base → SFT", "tag_f1")]
    pair = (SYSTEMS.evaluations[name] for name in ("SFT", "base"))
    paired = metrics.compare(*pair, "paper")["tag_f1"]
    assert step["paper"] == pytest.approx(0.452)
    assert tuple(step[["measured", "low", "high"]]) == (paired.value, paired.low, paired.high)
    absent = frame.loc["SFT → RL"]
    assert set(absent["verdict"]) == set(absent["direction"]) == {paper.NOT_MEASURED}


@pytest.mark.parametrize(
    ("printed", "low", "high", "expected"),
    [
        (0.02, 0.01, 0.03, "same"),
        (-0.02, 0.01, 0.03, "opposite"),
        (-0.02, -0.03, -0.01, "same"),
        (0.02, -0.01, 0.03, "not shown"),
        (0.02, 0.0, 0.03, "not shown"),
        (0.02, math.nan, math.nan, "not shown"),
    ],
)
def test_direction(printed: float, low: float, high: float, expected: str) -> None:
    assert paper._direction(printed, 0.0, low, high) == expected
