"""`make report` from nothing, in the smoke profile, then what stands on its results and stages.

No connection leaves the machine, and a secret in the environment is in no file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import pytest

from evoxtral import UserError, bench, params, runs
from evoxtral.params import REPORT_NOTEBOOKS, Benchmark
from evoxtral.report import page

pytestmark = pytest.mark.slow

CANARY = "canary-8f1d03c57be24e6a"
SECRETS = ("ELEVENLABS_API_KEY", "HF_TOKEN", "MISTRAL_API_KEY", "OPENAI_API_KEY", "WANDB_API_KEY")
GUARD = """
import os, socket
def _refuse(*address):
    with open(os.environ["CONNECTIONS"], "a") as log:
        log.write(f"{address}\\n")
    raise OSError(f"the guard refused {address}")
def _local(address):
    return not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1", "localhost")
def _guarded(name, original):
    def call(self, address):
        return original(self, address) if _local(address) else _refuse(name, address)
    return call
for _name in ("connect", "connect_ex"):
    setattr(socket.socket, _name, _guarded(_name, getattr(socket.socket, _name)))
_look_up = socket.getaddrinfo
def _asked(host, *rest, **more):
    known = host in (None, "", "127.0.0.1", "::1", "localhost", socket.gethostname())
    return _look_up(host, *rest, **more) if known else _refuse("getaddrinfo", host)
socket.getaddrinfo = _asked
"""


@dataclass(frozen=True)
class Made:
    """A folder with a finished run; `said` is what it printed."""

    folder: Path
    said: str = ""

    @property
    def reports(self) -> Path:
        return self.folder / "reports" / "smoke"

    def python(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A new interpreter that writes into the folder and has the guard."""
        kept = {name: value for name, value in os.environ.items() if not name.endswith("_PROXY")}
        path = os.pathsep.join([str(self.folder / "guard"), os.environ.get("PYTHONPATH", "")])
        places = {
            "CONNECTIONS": str(self.folder / "connections.log"),
            "EVOXTRAL_REPORTS": str(self.folder / "reports"),
            "EVOXTRAL_RUNS": str(self.folder / "runs"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }
        return subprocess.run(
            [sys.executable, *arguments],
            env=kept | dict.fromkeys(SECRETS, CANARY) | places | {"PYTHONPATH": path} | environment,
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
        )


def make(folder: Path) -> Made:
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    done = Made(folder).python("-m", "evoxtral", "report", "--profile", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(folder, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("report"))


def test_it_ends_by_printing_the_page(made: Made) -> None:
    assert f"the report is in {made.reports / 'index.html'}\n" in made.said
    text = (made.reports / "index.html").read_text(encoding="utf-8")
    assert text.count("<audio") > 30
    assert text.count('<figcaption class="from">') > 50
    assert not re.search(r"""(?:src|srcset|poster)\s*=\s*["'](?!data:)""", text)
    assert "<script" not in text


def test_every_notebook_ran_to_its_end_and_built_each_stage_once(made: Made) -> None:
    built: list[str] = []
    for name in REPORT_NOTEBOOKS:
        notebook = nbformat.read(made.reports / f"{name}.ipynb", as_version=4)
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1)), name
        said = runs.read_json(made.reports / name / "provenance.json")
        assert all(stage["seconds"] >= 0 for stage in said["stages"])
        built += [stage["digest"] for stage in said["stages"] if stage["executed"]]
        assert runs.read_json(made.reports / name / "results.json"), name
    assert len(built) == len(set(built))
    names = {path.name.rpartition("-")[0] for path in (made.folder / "runs/smoke").glob("*-*")}
    assert {"corpus", "training-mix", "sft", "completions", "raft", "transcripts"} <= names


def test_no_connection_was_tried_and_the_guard_guards(made: Made, tmp_path: Path) -> None:
    log = made.folder / "connections.log"
    assert not log.exists(), log.read_text()
    script = "import urllib.request as u; u.urlopen('http://192.0.2.1/', timeout=1)"
    assert made.python("-c", script, CONNECTIONS=str(tmp_path / "log")).returncode != 0
    assert "192.0.2.1" in (tmp_path / "log").read_text()


def test_a_secret_of_the_environment_is_in_no_output(made: Made) -> None:
    assert CANARY not in made.said
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) > 300
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_nothing_is_stale_afterwards(made: Made) -> None:
    done = made.python("-m", "evoxtral", "status", "--profile", "smoke")
    states = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert states == {"fresh"}, done.stdout


def test_it_can_become_the_committed_example(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout of its own: pages, few colours, no path of this machine, README's numbers."""
    (tmp_path / "params").mkdir()
    (tmp_path / "pyproject.toml").touch()
    marks = "<!-- numbers of reports/example -->\nold\n<!-- end of numbers -->"
    (tmp_path / "README.md").write_text(marks)
    monkeypatch.setenv("EVOXTRAL_ROOT", str(tmp_path))
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(made.folder / "reports"))
    folder = page.write_example("smoke")
    text = (folder / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((\d\d_[^)]+)\)", text)
    assert len(links) > 40
    assert [link for link in links if not (folder / link).is_file()] == []
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert not [path for path in files if str(made.folder).encode() in path.read_bytes()]
    assert "| Tag F1\u00a0↑ |" in (tmp_path / "README.md").read_text()


@pytest.mark.check
def test_two_runs_from_nothing_give_the_same_bytes(made: Made, tmp_path: Path) -> None:
    again = make(tmp_path)
    files = {
        file.relative_to(made.reports): file.read_bytes()
        for file in made.reports.glob("0*/**/*.*")
        if file.name != "provenance.json"
    }
    assert len(files) > 200
    assert [f for f, data in files.items() if data != (again.reports / f).read_bytes()] == []


RUNNERS = {
    "nbconvert": ("jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "o.ipynb"),
    "nbval": ("pytest", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "-q"),
}


# Of the four that the report runs anyway, one: the others are for `make check`.
RUN_ANYWAY = ("01_data_mix", "02_sft", "03_raft")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.check) if name in RUN_ANYWAY else name
        for name in params.NOTEBOOKS
    ],
)
def test_any_runner_in_any_folder_gives_the_same_results(
    made: Made, name: str, repo: Path, tmp_path: Path
) -> None:
    """On the stages of that run, or each from nothing: `00` makes the same bytes then."""
    values = params.profile(params.NOTEBOOKS[name], "smoke").model_dump()
    own = name in REPORT_NOTEBOOKS
    results = {(made.reports / name / "results.json").read_bytes()} if own else set()
    for (runner, command), cwd in zip(RUNNERS.items(), (repo / "notebooks", None), strict=True):
        folder = tmp_path / runner
        folder.mkdir()
        notebook = folder / f"{name}.ipynb"
        original = repo / "notebooks" / notebook.name
        papermill.execute_notebook(original, notebook, parameters=values, prepare_only=True)
        places = {"EVOXTRAL_REPORTS": str(folder / "reports"), "EVOXTRAL_ROOT": str(repo)}
        if not own:
            places["EVOXTRAL_RUNS"] = str(folder / "runs")
        done = made.python("-m", *command, str(notebook), cwd=cwd, **places)
        assert done.returncode == 0, done.stdout + done.stderr
        results.add((folder / "reports" / "smoke" / name / "results.json").read_bytes())
    assert len(results) == 1


def test_a_wrong_parameter_stops_before_any_work(repo: Path, tmp_path: Path) -> None:
    notebook = str(repo / "notebooks" / "02_sft.ipynb")
    done = Made(tmp_path).python("-m", "papermill", notebook, "out.ipynb", "-p", "prfile", "smoke")
    assert done.returncode != 0
    assert "unknown parameter 'prfile'" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "reports").exists()


# ---- measuring again, on the stages of that run ----


@pytest.fixture
def _on_its_stages(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOXTRAL_RUNS", str(made.folder / "runs"))
    monkeypatch.setattr(runs, "_used", {})


def _config(**changes: object) -> Benchmark:
    return params.profile(params.Benchmark, "smoke").model_copy(update=changes)


def _executed() -> list[str]:
    return [one.name for one in runs.used_stages() if one.executed]


@pytest.mark.usefixtures("_on_its_stages")
def test_a_deleted_stage_alone_is_built_again(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same adapter comes out again, so that what was made of it is still right."""
    first = bench.measure(_config())
    assert _executed() == []
    assert list(first.headline.evaluations) == [bench.NO_TAGS, "base", "SFT", "RL"]
    assert (first.headline.name, first.headline.clips) == ("natural", 12)
    assert (first.balanced.name, first.balanced.clips) == ("balanced", 34)
    folder = next(one.path for one in runs.used_stages() if one.name == "raft")
    learnt = list(runs.read_jsonl(folder / "targets.jsonl"))
    stamp = runs.read_json(folder / runs.STAMP)
    assert first.rl_settings["Learnt"].startswith(f"{len(learnt)} of these completions; 0 ref")
    assert first.rl_settings["Epochs"] == str(stamp["params"]["epochs"])
    assert first.numbers["learnt_completions"] == len(learnt)
    said = runs.read_json(made.reports / "03_raft" / "results.json")
    pair = bench.headline(first.headline, [("SFT", "RL")], more=["tag_recall"])
    drawn = {name: first.numbers[name] for name in said["recipe"]}
    assert said["recipe"] == pytest.approx(drawn, abs=1e-6)
    apart = [row["difference"] for row in said["paired"]]
    assert apart == pytest.approx([*pair["difference"]], abs=1e-6, nan_ok=True)
    predictions = made.reports / "04_benchmark" / "predictions"
    for name, rows in first.prediction_rows().items():
        assert list(runs.read_jsonl(predictions / f"{name}.jsonl")) == rows
    shutil.rmtree(next((made.folder / "runs/smoke").glob("sft-*")))
    monkeypatch.setattr(runs, "_used", {})
    again = bench.measure(_config())
    assert _executed() == ["sft"]
    assert again.prediction_rows() == first.prediction_rows()


@pytest.mark.usefixtures("_on_its_stages")
def test_any_adapter_and_any_file_of_predictions_can_be_added(made: Made, tmp_path: Path) -> None:
    first = bench.measure(_config())
    path = made.reports / "04_benchmark/predictions/natural-sft.jsonl"
    rl = next(one.path for one in runs.used_stages() if one.name == "raft") / "adapter"
    both = bench.measure(_config(adapter=str(rl), predictions=str(path)))
    names = [bench.NO_TAGS, "base", "SFT", "RL", "adapter", "predictions"]
    assert list(both.headline.evaluations) == names
    assert both.headline.evaluations["adapter"] == first.headline.evaluations["RL"]
    assert both.headline.evaluations["predictions"] == first.headline.evaluations["SFT"]
    assert list(both.balanced.evaluations) == names[:-1]
    assert set(both.origins) == set(names)
    assert bench.measure(_config(split="test")).headline.clips == 8
    with pytest.raises(UserError, match="holds no adapter_model"):
        bench.measure(_config(adapter=str(tmp_path)))


def test_a_wrong_file_of_predictions_stops_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path / "runs"))
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"id": "nobody", "text": ""}\n')
    with pytest.raises(UserError, match="clip 'nobody' is not in the split"):
        bench.measure(_config(predictions=str(wrong)))
    assert not list((tmp_path / "runs").rglob("sft-*"))


# ---- a full disk ----

FULL = """
import resource, sys
from evoxtral import UserError, params
from evoxtral.report.page import run_notebook

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    run_notebook(params.profile(params.Benchmark, "smoke", {"source": "paper"}))
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("limit", [20_000, 200_000], ids=["a figure", "the executed copy"])
def test_a_full_disk_is_named_and_earlier_results_stay(made: Made, limit: int) -> None:
    """`RLIMIT_FSIZE` stands for a full disk: no file may grow beyond it."""
    before = {path: path.read_bytes() for path in made.reports.glob("0[123]*/**/*.*")}
    copy = made.reports / "04_benchmark.ipynb"
    before[copy] = copy.read_bytes()
    done = made.python("-c", FULL, str(limit))
    assert done.returncode != 0
    assert f"cannot write {made.reports}" in done.stderr.replace("\n", " ")
    assert "free space" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
