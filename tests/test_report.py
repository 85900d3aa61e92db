"""A notebook's results: whole, locked, repeatable; the page made of them; what is stale and why."""

from __future__ import annotations

import html.parser
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.display import HTML, Image
from matplotlib.figure import Figure

from evoxtral import UserError, params, runs, tables
from evoxtral.cli import main
from evoxtral.params import REPORT_NOTEBOOKS
from evoxtral.report import Report, example, page, provenance

NAME = "04_benchmark"
CFG = params.profile(params.Benchmark, "smoke")


@pytest.fixture(autouse=True)
def folder(own_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports" / "smoke" / NAME


def table() -> tables.Table:
    return tables.Table(pd.DataFrame({"tag": ["a_b"], "f1": [1 / 3]}), {"tag": "Tag"}, "One row.")


def write() -> None:
    drawn = Figure()
    drawn.subplots().plot([0, 1], [1, 0])
    drawn.set_label("A falling line")
    report = Report(CFG)
    assert isinstance(report.table("scores", table()), HTML)
    shown = report.figure("line", drawn)
    assert isinstance(shown, Image)
    assert shown.alt == "A falling line"
    assert "8 files in" in report.finish(f1=1 / 3)


def test_everything_is_written_in_every_format_and_the_same_again(folder: Path) -> None:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures/old.png").touch()
    write()
    first = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert first.keys() == {
        *(f"tables/scores.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"figures/line.{suffix}" for suffix in ("svg", "png", "pdf")),
        "results.json",
        "provenance.json",
    }
    assert repr(1 / 3).encode() in first["tables/scores.csv"], "full precision"
    assert rb"\label{tab:scores}" in first["tables/scores.tex"]
    write()
    second = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= {"provenance.json"}
    said = json.loads(second["provenance.json"])
    assert said["parameters"] == CFG.model_dump()
    assert said["parameters_sha256"] == CFG.digest()
    assert said["code_sha256"] == runs.code_digest(["evoxtral"])
    assert said["versions"]["numpy"]
    assert said["started"] <= said["finished"]


def test_results_are_plain_and_rounded(folder: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.123456789, float("nan")]})
    report = Report(CFG)
    report.rows("rows", [{"id": "é"}])
    report.finish(frame=frame, deep={"x": (np.int64(3), None, "t", True)})
    assert (folder / "rows.jsonl").read_text(encoding="utf-8") == '{"id": "é"}\n'
    assert json.loads((folder / "results.json").read_text()) == {
        "frame": [{"a": 1, "b": 0.123457}, {"a": 2, "b": None}],
        "deep": {"x": [3, None, "t", True]},
    }


def test_a_name_is_used_once_and_a_cell_run_again_starts_over(folder: Path) -> None:
    Report(CFG).table("other", table())
    report = Report(CFG)
    report.show({"scores": table()})
    report.show({})
    with pytest.raises(ValueError, match="written twice"):
        report.table("scores", table())
    assert list(report.frames) == ["scores"]
    report.finish()
    assert {file.stem for file in (folder / "tables").iterdir()} == {"scores"}
    with pytest.raises(UserError, match="is finished: run it again"):
        report.table("more", table())


def test_another_process_is_refused_while_a_report_is_open(folder: Path) -> None:
    script = (
        "from evoxtral import params; from evoxtral.report import Report\n"
        "Report(params.profile(params.Benchmark, 'smoke'))\n"
    )
    report = Report(CFG)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "04_benchmark is being written by process" in done.stderr
    report.finish()
    assert folder not in Report._open


def test_the_report_runs_every_notebook_but_the_base_and_the_clock() -> None:
    apart = {"00_tiny_base", "05_speed"}
    assert [*REPORT_NOTEBOOKS] == [name for name in params.NOTEBOOKS if name not in apart]


# ---- the page ----

PNG = "iVBORw0KGgo="
CELLS = [
    nbformat.v4.new_markdown_cell("# 04 · Title\n\nProse with *stress*.", id="top"),
    nbformat.v4.new_code_cell("import this", id="one"),
    nbformat.v4.new_code_cell("cfg = params.load('04_benchmark', globals())\ncfg", id="two"),
    nbformat.v4.new_markdown_cell("## A section & more", id="section"),
    nbformat.v4.new_code_cell("report.show(x < y)", id="three"),
]


def output(kind: str, data: str, files: list[str] | None = None, alt: str = "") -> object:
    about = {"alt": alt, "evoxtral": {"files": files}} if files else {}
    return nbformat.v4.new_output("display_data", {kind: data}, metadata={kind: about})


@pytest.fixture
def reports(folder: Path) -> Path:
    """One executed notebook with its provenance, as the runner leaves it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(dict(cell)) for cell in CELLS])
    notebook.cells[2].outputs = [output("text/markdown", "| parameter |\n|---|\n| k |")]
    notebook.cells[4].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="building sft\n"),
        nbformat.v4.new_output("stream", name="stderr", text="/somewhere/tqdm: a bar"),
        output("text/html", "<b>table</b>", ["tables/t.csv", "tables/t.md"]),
        output("image/png", PNG, ["figures/f.svg", "figures/f.png"], "a line & a point"),
        nbformat.v4.new_output("execute_result", {"text/plain": "<script>1</script>"}),
    ]
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder.with_suffix(".ipynb"))
    origin = {
        "commit": "abcdef1234567890",
        "uncommitted_changes": True,
        "code_sha256": "1" * 64,
        "parameters_sha256": "2" * 64,
        "parameters": {"seed": 3},
    }
    (folder / "provenance.json").write_text(json.dumps(origin))
    return folder.parent


@pytest.fixture
def text(reports: Path) -> str:
    path = page.write_page("smoke", [NAME])
    assert path == reports / "index.html"
    return path.read_text(encoding="utf-8")


class Tags(html.parser.HTMLParser):
    """Start tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_it_runs_no_script_and_loads_nothing(text: str) -> None:
    found = Tags(text).found
    assert not {tag for tag, _ in found} & {"script", "iframe", "object", "embed"}
    assert "&lt;script&gt;" in text
    for tag, attributes in found:
        for name in ("src", "srcset", "data", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
        if tag == "link":
            assert (attributes["href"] or "").startswith("data:")
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [
        attributes for tag, attributes in found if tag == "meta"
    ]
    [policy] = [a["content"] for _, a in found if a.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def test_links_stay_beside_the_page(text: str) -> None:
    links = [a["href"] or "" for tag, a in Tags(text).found if tag == "a"]
    assert "04_benchmark/figures/f.svg" in links
    assert all(link.startswith(("#", "04_benchmark/")) for link in links)
    anchors = {a["id"] for _, a in Tags(text).found if "id" in a}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_under_each_result_stands_where_it_came_from(text: str) -> None:
    assert text.count("<figcaption") == 2
    said = "commit abcdef123456 with uncommitted changes · code 111111111111"
    assert text.count(f"{said} · parameters 222222222222 · seed 3") == 3, "and once above them"
    assert "04_benchmark, cell three" in text
    assert 'alt="a line &amp; a point"' in text


def test_code_and_parameters_are_folded_and_bars_left_out(reports: Path, text: str) -> None:
    kinds = [piece.kind for piece in page.read_pieces(reports, NAME)]
    assert kinds == [
        "heading", "text", "code", "parameters", "heading", "code", "log", "html", "image", "plain",
    ]  # fmt: skip
    assert "import this\n\ncfg = params.load" in text
    assert "tqdm" not in text


def test_a_notebook_that_was_not_run_is_named(reports: Path) -> None:
    with pytest.raises(UserError, match=r"02_sft\.ipynb does not exist: run `evoxtral report`"):
        page.write_page("smoke", ["02_sft", NAME])
    assert not (reports / "index.html").exists()


# ---- what is stale ----


@pytest.fixture
def run(folder: Path) -> Path:
    """A finished notebook that used one stage; returns its provenance."""
    runs.stage("made", "smoke", {"k": 1}, fill)
    Report(CFG).finish()
    return folder / "provenance.json"


def fill(folder: Path) -> None:
    runs.write_text(folder / "file.txt", "content")


def states() -> dict[str, tuple[str, str]]:
    """State and reason of the notebook and of each stage."""
    notebooks = provenance.notebook_statuses("smoke", [NAME])
    found = [*notebooks, *provenance.stage_statuses("smoke", notebooks)]
    return {one.name.partition("-")[0]: (one.state, one.why) for one in found}


def edit(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.usefixtures("run")
def test_what_was_just_made_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert states() == {NAME: ("fresh", ""), "made": ("fresh", "")}
    assert main(["status", "--profile", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "missing  02_sft                       not run yet" in printed
    assert "fresh    04_benchmark" in printed


def test_each_cause_is_named(run: Path, tmp_path: Path) -> None:
    said = json.loads(run.read_text())
    modules = said["modules"] | {"evoxtral.tags": "0" * 64, "evoxtral.gone": "0" * 64}
    edit(run, modules=modules, parameters=said["parameters"] | {"seed": 5}, cells_sha256="")
    found = states()
    state, why = found[NAME]
    assert state == "stale"
    assert "parameters changed: seed was 5, is 0" in why
    assert "its code cells changed" in why
    assert "code changed: evoxtral.gone, evoxtral.tags" in why
    assert found["made"] == ("stale", f"only used by {NAME}")
    next((tmp_path / "runs").rglob("file.txt")).unlink()
    assert "stages missing or damaged: made-" in states()[NAME][1]
    assert states()["made"] == ("missing", "file.txt is missing")
    del said["modules"]
    run.write_text(json.dumps(said))
    assert states()[NAME] == ("stale", "run by an earlier version")


def test_stages_that_nothing_uses_and_unfinished_ones(run: Path, tmp_path: Path) -> None:
    runs.stage("idle", "smoke", {}, fill)
    (tmp_path / "runs" / "smoke" / "torn-0123.partial").mkdir()
    found = states()
    assert found["idle"] == ("stale", "no report uses it")
    assert found["torn"] == ("missing", "unfinished: the next run of its notebook resumes it")


# ---- the committed example ----


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
    path = repo / "reports" / "example" / provenance.STAMP
    assert path.is_file(), f"no report is committed: {fix}"
    said = runs.read_json(path)
    parts = provenance.stamp(said["profile"])
    assert all(len(digest) == 64 for digest in parts.values())
    changed = sorted(name for name, _ in said["parts"].items() ^ parts.items())
    assert not changed, f"the committed report is older than {', '.join(changed)}: {fix}"
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    assert size <= example.MOST_BYTES
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert example.fill_readme(readme, example.numbers()) == readme, f"README.md is older: {fix}"


def test_every_part_is_in_the_stamp() -> None:
    names = {"evoxtral.metrics", "evoxtral.world", "notebooks/03_raft.ipynb"}
    names |= {"params/tiny/02_sft.yaml", "reports/paper/table2_core.csv"}
    parts = provenance.stamp("tiny")
    assert names <= parts.keys()
    assert any(name.endswith(".safetensors") for name in parts)
