"""A notebook's results: whole, locked, repeatable; the page made of them; what is stale and why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from IPython.display import Image
from matplotlib.figure import Figure

from evoxtral import UserError, params, report, runs, tables
from evoxtral.__main__ import main
from evoxtral.params import REPORT_NOTEBOOKS
from evoxtral.report import Report, page

NAME = "04_benchmark"
CFG = params.profile(params.Benchmark, "smoke")


@pytest.fixture(autouse=True)
def folder(own_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "reports"))
    for module in (report, page):
        monkeypatch.setattr(module, "REPORT_NOTEBOOKS", (NAME,))
    return tmp_path / "reports" / "smoke" / NAME


def write() -> None:
    drawn = Figure()
    drawn.subplots().plot([0, 1], [1, 0])
    drawn.set_label("A falling line")
    frame = pd.DataFrame({"tag": ["a_b"], "f1": [1 / 3]})
    made = Report(CFG)
    made.show({"scores": tables.Table(frame, {"tag": "Tag"}, "One row.")})
    made.show({})
    assert list(made.frames) == ["scores"]
    shown = made.figure("line", drawn)
    assert isinstance(shown, Image)
    assert shown.alt == "A falling line"
    made.rows("rows", [{"id": "é"}])
    more = {"deep": {"x": (np.int64(3), None, "t", True)}}
    holes = pd.DataFrame({"a": [1, 2], "b": [0.123456789, float("nan")]})
    assert "9 files in" in made.finish(frame=holes, **more)


def test_everything_is_written_in_every_format_and_the_same_again(folder: Path) -> None:
    (folder / "figures").mkdir(parents=True)
    (folder / "figures/old.png").touch()
    write()
    first = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert first.keys() == {
        *(f"tables/scores.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"figures/line.{suffix}" for suffix in ("svg", "png", "pdf")),
        *("rows.jsonl", "results.json", "provenance.json"),
    }
    assert repr(1 / 3).encode() in first["tables/scores.csv"], "full precision"
    assert rb"\label{tab:scores}" in first["tables/scores.tex"]
    assert first["rows.jsonl"].decode() == '{"id": "é"}\n'
    assert json.loads(first["results.json"]) == {
        "frame": [{"a": 1, "b": 0.123457}, {"a": 2, "b": None}],
        "deep": {"x": [3, None, "t", True]},
    }
    write()
    second = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= {"provenance.json"}
    said = json.loads(second["provenance.json"])
    assert said["parameters"] == CFG.model_dump()
    assert said["code_sha256"] == runs.code_digest(["evoxtral"])
    assert said["versions"]["numpy"]
    assert said["started"] <= said["finished"]


def test_another_process_is_refused_while_a_report_is_open(folder: Path) -> None:
    script = (
        "from evoxtral import params; from evoxtral.report import Report\n"
        "Report(params.profile(params.Benchmark, 'smoke')).finish()\n"
    )
    command = [sys.executable, "-c", script]
    Report(CFG)
    again = Report(CFG)  # the cell is run again
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "04_benchmark is being written by process" in done.stderr
    again.finish()
    subprocess.run(command, check=True)


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "root", lambda: tmp_path)
    assert report.commit() is None
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a commit -qm made"):
        (tmp_path / "file").write_text("one")
        subprocess.run(["git", "-C", str(tmp_path), *command.split()], check=True)
    found = report.commit()
    assert re.fullmatch("[0-9a-f]{40}", found)
    (tmp_path / "file").write_text("two")
    assert report.commit() == f"{found}-dirty"


# ---- the page ----

PNG = "iVBORw0KGgo="
CELLS = [
    nbformat.v4.new_markdown_cell("# 04 · Title\n\nProse with *stress*.", id="top"),
    nbformat.v4.new_code_cell("import this", id="one"),
    nbformat.v4.new_code_cell("cfg = params.load('04_benchmark', globals())\ncfg", id="two"),
    nbformat.v4.new_markdown_cell("## A section & more", id="section"),
    nbformat.v4.new_code_cell("report.show(x < y)", id="three"),
    nbformat.v4.new_markdown_cell("## In short\n\nWhat was done.", id="short"),
    nbformat.v4.new_markdown_cell("### What failed\n\nThis.", id="failed"),
    nbformat.v4.new_markdown_cell("## Results\n\n| one |\n|---|\n| two |", id="last"),
]


def output(kind: str, data: str, files: list[str] | None = None, alt: str = "") -> object:
    about = {"alt": alt, "evoxtral": {"files": files}} if files else {}
    return nbformat.v4.new_output("display_data", {kind: data}, metadata={kind: about})


@pytest.fixture
def reports(folder: Path) -> Path:
    """One executed notebook with its provenance, as the runner leaves it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(dict(cell)) for cell in CELLS])
    notebook.cells[2].outputs = [output("text/markdown", CFG._repr_markdown_())]
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
        "commit": "abcdef1234567890-dirty",
        "code_sha256": "1" * 64,
        "parameters_sha256": "2" * 64,
        "parameters": {"seed": 3},
    }
    (folder / "provenance.json").write_text(json.dumps(origin))
    return folder.parent


@pytest.fixture
def text(reports: Path) -> str:
    path = page.write_page("smoke")
    assert path == reports / "index.html"
    return path.read_text(encoding="utf-8")


def test_it_runs_no_script_loads_nothing_and_links_beside_itself(text: str) -> None:
    assert not re.search("<(script|iframe|object|embed)", text)
    assert "&lt;script&gt;" in text
    loaded = re.findall(r'(?:src|srcset|data|poster|<link .*href)="([^"]*)', text)
    assert [what[:5] for what in loaded] == ["data:", "data:"]
    [policy] = re.findall('Content-Security-Policy" content="(.*)"', text)
    assert policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    links = re.findall('<a href="([^"]*)"', text)
    assert "04_benchmark/figures/f.svg" in links
    anchors = {f"#{name}" for name in re.findall(' id="([^"]*)"', text)}
    assert all(link in anchors or link.startswith("04_benchmark/") for link in links)


def test_each_result_says_where_it_came_from_and_what_few_want_is_folded_or_left_out(
    reports: Path, text: str
) -> None:
    assert text.count("<figcaption") == 2
    said = "commit abcdef123456 with uncommitted changes · code 111111111111"
    assert text.count(f"{said} · parameters 222222222222 · seed 3") == 3, "and once above them"
    assert "04_benchmark, cell three" in text
    assert 'alt="a line &amp; a point"' in text
    kinds = [piece.kind for piece in page.read_pieces(reports, NAME)]
    assert kinds == [
        "heading", "text", "code", "parameters", "heading", "code", "log", "html", "image", "plain",
        *["heading", "text"] * 3,
    ]  # fmt: skip
    assert "import this\n\ncfg = params.load" in text
    assert "tqdm" not in text


def test_it_opens_with_the_summary_which_its_chapter_only_links_to(text: str) -> None:
    ids = re.findall('<h[1-6] id="([^"]*)"', text)
    assert ids == ["in-short", f"{NAME}-failed", NAME, f"{NAME}-section", f"{NAME}-last"]
    assert text.count("What was done.") == text.count("<main>") == 1
    assert text.count('href="#in-short"') == 2
    assert '<th scope="col">one</th>' in text
    assert not re.search("<th(?! scope)[ >]", text)


def test_a_parameters_meaning_is_text_whatever_stands_in_it(own_runs: Path) -> None:
    said = params.profile(params.DataMix, "smoke")._repr_markdown_()
    assert "as in &lt;laughter&gt;:[laughs] |" in said


def test_a_notebook_that_was_not_run_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"04_benchmark\.ipynb does not exist: run `evoxtral rep"):
        page.write_page("smoke")
    assert not (folder.parent / "index.html").exists()


def test_an_error_that_is_no_users_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = papermill.PapermillExecutionError(1, 1, "x = y", "NameError", "no y", ["line 1"])
    monkeypatch.setattr(papermill, "execute_notebook", Mock(side_effect=failed))
    with pytest.raises(papermill.PapermillExecutionError, match="line 1"):
        page.run_notebook(CFG)


# ---- what is stale ----


def fill(folder: Path) -> None:
    runs.write_text(folder / "file.txt", "content")


def states() -> dict[str, tuple[str, str]]:
    """State and reason of the notebook and of each stage."""
    notebooks, stages = report.status("smoke")
    return {name.partition("-")[0]: (state, why) for name, state, why in notebooks + stages}


def test_what_was_just_made_is_fresh(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert states() == {NAME: ("missing", "not run yet")}
    runs.stage("made", "smoke", {"k": 1}, fill)
    Report(CFG).finish()
    assert states() == {NAME: ("fresh", ""), "made": ("fresh", "")}
    assert main(["status", "--profile", "smoke"]) == 0
    assert "stages of smoke\n  fresh    made-" in capsys.readouterr().out


def test_each_cause_is_named(folder: Path, tmp_path: Path) -> None:
    runs.stage("made", "smoke", {"k": 1}, fill)
    Report(CFG).finish()
    run = folder / "provenance.json"
    said = json.loads(run.read_text())
    odd = {"evoxtral.gone": "0" * 64, "parameter seed": 5, "code cells": ""}
    run.write_text(json.dumps(said | {"parts": said["parts"] | odd}))
    runs.stage("idle", "smoke", {}, fill)
    found = states()
    assert found[NAME] == ("stale", "changed: code cells, evoxtral.gone, parameter seed")
    assert found["made"] == ("stale", f"only used by {NAME}")
    assert found["idle"] == ("stale", "only used by no report")
    run.write_text(json.dumps(said))
    next((tmp_path / "runs").glob("smoke/made-*/file.txt")).unlink()
    assert states()[NAME][1].startswith("changed: stage made-")
    assert states()["made"] == ("missing", "file.txt is missing")


# ---- the committed example ----

DRAWING = re.compile(r"evoxtral\.(cards|cost|figures|processes|report|runs|speed|tables)")


@pytest.mark.parametrize("name", REPORT_NOTEBOOKS)
def test_the_committed_report_is_up_to_date(name: str, repo: Path) -> None:
    fix = "run `make report`, then `python -m evoxtral example`; commit reports/example, README.md"
    said = runs.read_json(repo / page.EXAMPLE / name / "provenance.json")
    changed = report.changed(said, name, said["parameters"]["profile"])
    changed = [part for part in changed if not DRAWING.match(part)]
    assert not changed, f"the committed report is older than {', '.join(changed)}: {fix}"


def test_the_committed_report_is_small_and_its_numbers_are_the_readmes(repo: Path) -> None:
    files = [path for path in (repo / page.EXAMPLE).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3_000_000
    readme = (repo / "README.md").read_text(encoding="utf-8")
    assert page.with_numbers(readme) == readme
    assert page.with_numbers(readme.replace("| WER ↓ |", "| |")) == readme


# ---- what people read first ----


@pytest.mark.parametrize("name", ["README.md", "reports/README.md"])
def test_what_a_readme_names_exists(name: str, repo: Path) -> None:
    text = (repo / name).read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", text):
        target = (repo / name).parent / path if path else repo / name
        assert target.exists(), path
        heads = re.findall("^#+ (.*)", target.read_text("utf-8"), re.MULTILINE) if anchor else []
        heads = [re.sub(r"[^\w ]", "", head).lower().replace(" ", "-") for head in heads]
        assert anchor in ["", *heads]
    for notebook, given in re.findall(r"papermill notebooks/(\w+)\.ipynb out\.ipynb(.*)", text):
        names = re.findall(r"-p (\w+)", given)
        assert {*names} <= params.NOTEBOOKS[notebook].model_fields.keys()
        assert all((repo / file).is_file() for file in re.findall(r"-f ([\w./]+)", given))
    for command in {*re.findall(r"-m evoxtral (\w+)", text)}:
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])


def test_the_readme_is_short(repo: Path) -> None:
    assert len((repo / "README.md").read_text(encoding="utf-8").split()) <= 1000
