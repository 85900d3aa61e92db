"""The typed-in numbers against the report, the card and the released scripts, and recomputed."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoxtral import UserError, bench, metrics, paper, params, runs, tags
from evoxtral.bench import Split
from evoxtral.world import scripts


def _plain(text: str) -> str:
    """Source text without table and formula marks, white space collapsed."""
    signs = {r"\rightarrow": "→", r"\times": "×", "10^{-4}": "10⁻⁴", "10^{-5}": "10⁻⁵"}
    for mark, sign in signs.items():
        text = text.replace(mark, sign)
    return re.sub(r"[\s|*`$\\]+", "", re.sub(r"\\text\{([^}]*)\}", r"\1", text))


@pytest.fixture(scope="module")
def sources(shared_dir: Path) -> dict[str, str]:
    files = {"report": "technical-report", "card": "model-card"}
    folder = shared_dir / "sources"
    return {name: (folder / f"evoxtral-{file}.md").read_text() for name, file in files.items()}


def test_quotes_stand_in_their_sources(sources: dict[str, str]) -> None:
    plain = {name: _plain(text) for name, text in sources.items()}
    for row in paper.read("text_numbers").itertuples():
        assert _plain(row.quote.replace("per input:", "per input")) in plain[row.source]


def test_tables_equal_the_report(numbers: paper.Published, sources: dict[str, str]) -> None:
    lines = [line.split("\t") for line in sources["report"].splitlines() if "\t" in line]
    printed = [[re.sub(" [↓↑]", "", line[0]), *line[1:]] for line in lines]
    for r in numbers.core.to_dict("records"):
        digits = 2 if r["key"] in ("wer", "cer") else 1
        cells = [f"{100 * r[system]:.{digits}f}%" for system in paper.SYSTEMS]
        assert [r["metric"], *cells, r["best"].upper()] in printed
    for r in numbers.per_tag.itertuples():
        row = [f"[{r.tag}]", f"{r.sft:.3f}", f"{r.rl:.3f}", r.delta, str(r.support)]
        assert row in printed
    settings = [[_plain(cell) for cell in line] for line in lines]
    for row in numbers.hyperparameters.to_numpy():
        assert [_plain(cell) for cell in row] in settings
    for name, value in numbers.rl_settings.to_numpy():
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


def test_a_missing_file_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "root", lambda: tmp_path)
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
STEP = bench.paired_frame(SYSTEMS, [("base", "SFT")])


def _compared(numbers: paper.Published, profile: str) -> list[pd.DataFrame]:
    return [
        paper.core_compared(numbers, SCORES, profile),
        paper.per_tag_compared(numbers, SCORES, profile),
    ]


@pytest.mark.parametrize("profile", params.PROFILES)
def test_only_the_real_experiment_gets_verdicts(numbers: paper.Published, profile: str) -> None:
    for frame in [*_compared(numbers, profile), paper.changes(numbers, STEP)]:
        assert frame["protocol"].unique().tolist() == [bench.PAPER]
        assert ("verdict" in frame) == (profile == "paper" and "system" in frame)
        if "verdict" in frame:
            unknown = frame["measured"].isna()
            assert ((frame["verdict"] == paper.NOT_MEASURED) == unknown).all()


INTERVALS = [
    (0.60, 0.70, "within interval"),
    (0.68, 0.70, "outside interval"),
    (0.6724, 0.70, "within interval"),  # the printed 67.2 % is rounded
    (0.6726, 0.70, "outside interval"),
    (0.60, 0.6716, "within interval"),
    (math.nan, math.nan, "no interval"),
]


@pytest.mark.parametrize(("low", "high", "expected"), INTERVALS)
def test_verdicts_of_the_real_experiment(
    numbers: paper.Published, low: float, high: float, expected: str
) -> None:
    scores = SCORES[SCORES["system"] == "SFT"].assign(low=low, high=high)
    frame = paper.core_compared(numbers, scores, "paper").set_index(["system", "key"])
    assert frame.loc[("SFT", "tag_f1"), "verdict"] == expected


def test_rows_of_tables_2_and_3(numbers: paper.Published) -> None:
    core, per_tag = _compared(numbers, "paper")
    assert (len(core), len(per_tag)) == (3 * len(numbers.core), 2 * len(numbers.per_tag))
    row = core.set_index(["system", "key"]).loc[("SFT", "tag_f1")]
    assert (row["paper"], row["n_paper"], row["n"]) == (0.672, 50, 5)
    assert row["measured"] == SYSTEMS.evaluations["SFT"].table("paper")["tag_f1"].value
    assert row["delta"] == pytest.approx(row["measured"] - 0.672)
    alone = paper.core_compared(numbers, SCORES[SCORES["system"] == "RL"], "paper")
    absent = alone[alone["system"] != "RL"]
    assert (set(absent["verdict"]), set(absent["n"])) == ({paper.NOT_MEASURED}, {0})
    per_tag = per_tag.set_index(["system", "key"])
    row = per_tag.loc[("RL", "sad"), ["paper", "measured", "n_paper", "n"]]
    assert tuple(row) == (0.75, 1, 4, 1)
    assert per_tag.loc[("RL", "calm"), "verdict"] == paper.NOT_MEASURED


DIRECTIONS = [
    (0.01, 0.03, "same"),
    (-0.03, -0.01, "opposite"),
    (0.0, 0.03, "not shown"),
    (math.nan, math.nan, "not shown"),
]


@pytest.mark.parametrize(("low", "high", "expected"), DIRECTIONS)
def test_changes_are_paired(
    numbers: paper.Published, low: float, high: float, expected: str
) -> None:
    own = STEP[STEP["protocol"] == bench.PAPER].set_index("metric").loc["tag_f1"]
    moved = paper.changes(numbers, STEP.assign(low=low, high=high))
    moved = moved.set_index(["step", "key"])
    step = moved.loc[("base → SFT", "tag_f1")]
    assert step["paper"] == pytest.approx(0.452)
    assert (step["measured"], step["direction"]) == (own["difference"], expected)
    # The printed error rate falls.
    fall = moved.loc[("base → SFT", "wer"), "direction"]
    assert fall == {"same": "opposite", "opposite": "same"}.get(expected, expected)
    absent = moved.loc["SFT → RL"]
    assert set(absent["direction"]) == {paper.NOT_MEASURED}


CLAIMS = [
    ("The three splits hold all scripts", 1010, 1010, "holds"),
    ("Effective batch size", 16, 16, "holds"),
    ("Clips the filter keeps", 727, 727, "holds"),
    ("Trainable parameters, encoder frozen", 124.8e6, 109_051_904, "explained"),
    ("SFT lowers WER, relative", 0.33, 217 / 664, "holds"),
    ("SFT raises Tag F1", 0.45, 0.452, "holds"),
    ("RAFT raises Tag F1", 0.022, 0.022, "holds"),
    ("RAFT raises Tag Recall", 0.033, 0.033, "holds"),
    ("RAFT raises Emphasis F1", 0.02, 0.02, "holds"),
    ("SFT closes the headroom of Tag F1", None, 452 / 780, "not printed"),
    ("Card: RL gains Tag F1, percent", 0.022, 22 / 672, "explained"),
    ("Card: RL costs WER, percent", 0.0065, 65 / 447, "explained"),
    ("SFT Tag F1 from its precision and recall", 0.672, 2 * 674 * 694 / 1368e3, "differs"),
    ("Best Tag Hallucination", 0.193, 0.0, "differs"),
    ("Base Tag F1", 0.22, 11 / 50, "explained"),
    ("Base Emphasis F1", 0.42, 21 / 50, "explained"),
    ("SFT Tag F1 on the 39 tagged clips", None, 22.6 / 39, "not printed"),
    ("Tags improved after RAFT", 9, 8, "differs"),
    ("Tags stable after RAFT", 4, 6, "differs"),
    ("Tags regressed after RAFT", 3, 3, "holds"),
    ("Tag types", 17, 17, "holds"),
    ("Changes of Table 3 that are relative, of 11", None, 11, "not printed"),
    ("F1 scores of Table 3 that whole counts can give, of 34", None, 34, "not printed"),
    ("Supports of Table 3 that count samples, of 17", None, 14, "not printed"),
    ("Most events needed to explain a change", None, 2, "not printed"),
    ("Standard error of SFT Tag F1 if per-clip sd is 0.30", None, 0.3 / 50**0.5, "not printed"),
    ("RL beats SFT in Tag F1", None, 0.022, "not resolved"),
    ("RL costs WER", None, 0.0065, "not resolved"),
]
"""Name, printed value if there is one, recomputed value, verdict."""


def test_every_claim(numbers: paper.Published) -> None:
    checked = paper.claims(numbers)
    assert list(checked["claim"]) == [claim for claim, *_ in CLAIMS]
    assert list(checked["verdict"]) == [verdict for *_, verdict in CLAIMS]
    assert list(checked["recomputed"]) == pytest.approx([value for *_, value, _ in CLAIMS])
    printed = [math.nan if value is None else value for _, value, *_ in CLAIMS]
    assert list(checked["printed"]) == pytest.approx(printed, nan_ok=True)
    text = paper.summary(checked)
    assert text.startswith(
        "Of 19 printed numbers checked, **10 hold**. Numbers and claims that do not:\n"
    )
    assert text.count("\n- ") == 9 + 2, "and two that the numbers cannot decide"
    assert "*Tags improved after RAFT*: **differs**." in text


def test_what_is_called_printed_is_printed_and_counted_once(numbers: paper.Published) -> None:
    names = [claim["printed"] for claim in paper._CLAIMS if "printed" in claim]
    cells = {f"{system}_{key}" for system in paper.SYSTEMS for key in numbers.core["key"]}
    assert set(names) <= numbers.numbers.keys() | cells
    assert len(set(names)) == len(names)


def test_notes_and_verdicts_follow_the_numbers(numbers: paper.Published) -> None:
    core = numbers.core.copy()
    core.loc[core["key"] == "tag_f1", "rl"] = 0.9
    released = numbers.released | {"clips without tags": 10, "clips without capitals": 20}
    other = dataclasses.replace(numbers, core=core, released=released)
    rows = paper.claims(other).set_index("claim")
    assert rows.loc["Base Tag F1", "verdict"] == "differs"
    assert rows.loc["Base Tag F1", "note"].startswith("10 of 50 clips")
    assert "SFT Tag F1 on the 40 tagged clips" in rows.index
    assert rows.loc["RAFT raises Tag F1", "verdict"] == "differs"
    assert rows.loc["RL beats SFT in Tag F1", "verdict"] == "holds"


def test_deltas(numbers: paper.Published) -> None:
    rows = paper.deltas(numbers.per_tag).set_index("tag")
    assert rows["agrees"].all()
    known = {"sighs": (None, 0), "clears throat": (111 / 889, 2), "pause": (17 / 885, 1),
             "crying": (-179 / 750, 1), "calm": (1.0, 2)}  # fmt: skip
    for tag, (relative, events) in known.items():
        assert rows.loc[tag, "fewest_events"] == events
        wanted = math.nan if relative is None else relative
        assert rows.loc[tag, "relative"] == pytest.approx(wanted, nan_ok=True)
    wrong = numbers.per_tag.assign(delta=numbers.per_tag["delta"].replace({"+1.9%": "+1.7%"}))
    rows = paper.deltas(wrong).set_index("tag")
    assert list(rows.index[~rows["agrees"]]) == ["pause", "laughs"]


@given(st.integers(1, 30), st.data())
def test_printed_counts_are_among_the_attainable(support: int, data: st.DataObject) -> None:
    predicted = data.draw(st.integers(0, 3 * support))
    hits = data.draw(st.integers(0, min(support, predicted)))
    printed = round(2 * hits / (support + predicted), 3)
    found = paper.attainable_counts(printed, support)
    assert (hits, predicted) in found
    assert all(abs(2 * h / (support + p) - printed) <= 0.0005 + 1e-9 for h, p in found)


def test_standard_errors_of_fifty_clips(numbers: paper.Published) -> None:
    rows = paper.tag_f1_errors(numbers)
    assert list(rows["metric"]) == ["sft"] * 5 + ["rl"] * 5
    sft = rows[rows["metric"] == "sft"]
    assert [f"{100 * se:.1f}" for se in sft["se"]] == ["2.5", "3.5", "4.2", "4.9", "6.7"]
    assert list(sft["sd"]) == sorted(sft["sd"])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.lists(st.booleans(), max_size=10))
def test_no_scores_spread_less_than_the_smallest_sd(scores: list[float], binary: list) -> None:
    values = np.array([*scores, *map(float, binary)])
    mean, sd = min(1.0, values.mean()), values.std(ddof=1)
    assert sd >= paper.smallest_sd(mean, len(values), len(binary)) - 1e-9


@pytest.mark.parametrize(("scores", "binary"), [([1.0] * 11 + [0.5] * 39, 11), ([0.4] * 7, 0)])
def test_the_smallest_spread_is_reached(scores: list[float], binary: int) -> None:
    least = paper.smallest_sd(np.mean(scores), len(scores), binary)
    assert least == pytest.approx(np.std(scores, ddof=1), abs=1e-9)
