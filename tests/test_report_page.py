"""The page people read: whole, without script, without a request, traced to its files."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path

import nbformat
import pytest

from evoxtral import UserError
from evoxtral.report import page

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
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One executed notebook with its provenance, as the runner leaves it."""
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.from_dict(dict(cell)) for cell in CELLS])
    notebook.cells[2].outputs = [output("text/markdown", "| parameter |\n|---|\n| k |")]
    notebook.cells[4].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="building sft\n"),
        nbformat.v4.new_output("stream", name="stderr", text="/somewhere/tqdm: a bar"),
        output("text/html", "<b>table</b>", ["tables/t.csv", "tables/t.md"]),
        output("image/png", PNG, ["figures/f.svg", "figures/f.png"], "a line & a point"),
        nbformat.v4.new_output("execute_result", {"text/plain": "<script>1</script>"}),
    ]
    folder = tmp_path / "smoke"
    (folder / "04_benchmark").mkdir(parents=True)
    nbformat.write(notebook, folder / "04_benchmark.ipynb")
    origin = {
        "commit": "abcdef1234567890",
        "uncommitted_changes": True,
        "code_sha256": "1" * 64,
        "parameters_sha256": "2" * 64,
        "parameters": {"seed": 3},
    }
    (folder / "04_benchmark" / "provenance.json").write_text(json.dumps(origin))
    return folder


@pytest.fixture
def text(reports: Path) -> str:
    path = page.write_page("smoke", ["04_benchmark"])
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


def test_a_phone_is_told_its_width(text: str) -> None:
    metas = [a for tag, a in Tags(text).found if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas


def test_code_and_parameters_are_folded_and_bars_left_out(reports: Path, text: str) -> None:
    kinds = [piece.kind for piece in page.read_pieces(reports, "04_benchmark")]
    assert kinds == [
        "heading", "text", "code", "parameters", "heading", "code", "log", "html", "image", "plain",
    ]  # fmt: skip
    assert "import this\n\ncfg = params.load" in text
    assert "tqdm" not in text


def test_a_notebook_that_was_not_run_is_named(reports: Path) -> None:
    with pytest.raises(UserError, match=r"02_sft\.ipynb does not exist: run `evoxtral report`"):
        page.write_page("smoke", ["02_sft", "04_benchmark"])
    assert not (reports / "index.html").exists()
