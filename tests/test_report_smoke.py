"""`make report` from nothing, in the smoke profile, while it is watched.

One run serves every test here: no connection leaves the machine, a secret in the environment is in
no file, whoever looks on meets whole files only.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

from evoxtral import UserError, bench, params, runs
from evoxtral.params import REPORT_NOTEBOOKS, Benchmark
from evoxtral.report import example

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


@dataclass
class Watch:
    """Looks at every result again and again while the report is being made."""

    folder: Path
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    polls: int = 0
    torn: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.wait(0.05):
            for path in self.folder.rglob("*.*"):
                if ".partial" not in path.name and not path.name.startswith("."):
                    self.look(path)

    def look(self, path: Path) -> None:
        self.polls += 1
        try:
            about = path.stat()
        except FileNotFoundError:
            return
        if self.seen.get(path) != (about.st_mtime_ns, about.st_ino):
            self.seen[path] = (about.st_mtime_ns, about.st_ino)
            if not _whole(path):
                self.torn.append(path.name)


def _whole(path: Path) -> bool:
    """Whether a file that is there can be read to its end."""
    ends = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>\n", ".html": b"</html>", ".pdf": b"%%EOF\n"}
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return True
    if path.suffix == ".json":
        return _parses(data)
    return data.endswith(ends.get(path.suffix, b""))


def _parses(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Made:
    """A finished run."""

    done: subprocess.CompletedProcess[str]
    folder: Path
    watch: Watch

    @property
    def reports(self) -> Path:
        return self.folder / "reports" / "smoke"

    def environment(self) -> dict[str, str]:
        return _environment(self.folder)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_PROXY")}
    return kept | {
        "CONNECTIONS": str(folder / "connections.log"),
        "EVOXTRAL_REPORTS": str(folder / "reports"),
        "EVOXTRAL_RUNS": str(folder / "runs"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join([str(folder / "guard"), os.environ.get("PYTHONPATH", "")]),
        **dict.fromkeys(SECRETS, CANARY),
    }


def _make(folder: Path) -> Made:
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    (folder / "reports").mkdir()
    watch = Watch(folder / "reports")
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "evoxtral", "report", "--profile", "smoke"],
            env=_environment(folder),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        watch.stop.set()
        thread.join()
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(done, folder, watch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return _make(tmp_path_factory.mktemp("report"))


def test_it_ends_by_printing_the_page(made: Made) -> None:
    last = made.done.stdout.strip().splitlines()[-1]
    assert last == f"the report is in {made.reports / 'index.html'}"
    page = (made.reports / "index.html").read_text(encoding="utf-8")
    assert page.count("<audio") > 30
    assert page.count('<figcaption class="from">') > 80
    assert not re.search(r"""(?:src|srcset|poster)\s*=\s*["'](?!data:)""", page)
    assert "<script" not in page


def test_every_notebook_ran_to_its_end_and_built_each_stage_once(made: Made) -> None:
    built: list[str] = []
    for name in REPORT_NOTEBOOKS:
        notebook = nbformat.read(made.reports / f"{name}.ipynb", as_version=4)
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1)), name
        said = json.loads((made.reports / name / "provenance.json").read_text())
        built += [stage["digest"] for stage in said["stages"] if stage["executed"]]
        assert json.loads((made.reports / name / "results.json").read_text()), name
    assert len(built) == len(set(built))
    names = {path.name.rpartition("-")[0] for path in (made.folder / "runs/smoke").glob("*-*")}
    assert {"corpus", "training-mix", "sft", "completions", "raft", "transcripts"} <= names


def test_no_connection_was_tried(made: Made) -> None:
    log = made.folder / "connections.log"
    assert not log.exists(), log.read_text()


def test_the_guard_guards(made: Made, tmp_path: Path) -> None:
    log = tmp_path / "connections.log"
    environment = made.environment() | {"CONNECTIONS": str(log)}
    script = "import urllib.request as u; u.urlopen('http://192.0.2.1/', timeout=1)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert "192.0.2.1" in log.read_text()


def test_a_secret_of_the_environment_is_in_no_output(made: Made) -> None:
    assert CANARY not in made.done.stdout + made.done.stderr
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) > 300
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_an_onlooker_never_saw_a_torn_file(made: Made) -> None:
    assert made.watch.polls > 1_000
    assert len(made.watch.seen) > 200
    assert made.watch.torn == []


def test_nothing_is_stale_afterwards(made: Made) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evoxtral", "status", "--profile", "smoke"],
        env=made.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    states = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert states == {"fresh"}, done.stdout


def test_it_can_become_the_committed_example(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout of its own: pages, few colours, no path of this machine, README's numbers."""
    root = tmp_path / "clone"
    (root / "params").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "README.md").write_text("\n".join(example.NUMBERS))
    (root / "reports/example").mkdir(parents=True)
    (root / "reports/example/two_stage_pipeline.png").touch()
    monkeypatch.setenv("EVOXTRAL_ROOT", str(root))
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(made.folder / "reports"))
    folder = example.write_example("smoke")
    text = (folder / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((\d\d_[^)]+)\)", text):
        assert (folder / link).is_file(), link
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < example.MOST_BYTES
    assert not [path for path in files if str(made.folder).encode() in path.read_bytes()]
    assert "| Tag F1, paper protocol |" in (root / "README.md").read_text()


@pytest.mark.check
def test_two_runs_from_nothing_give_the_same_bytes(made: Made, tmp_path: Path) -> None:
    again = _make(tmp_path)
    kept = {".csv", ".json", ".jsonl", ".md", ".pdf", ".png", ".svg", ".tex"}
    files = [
        path.relative_to(made.reports)
        for path in made.reports.glob("0*/**/*")
        if path.suffix in kept and path.name != "provenance.json"
    ]
    assert len(files) > 200
    differ = [
        f for f in files if (made.reports / f).read_bytes() != (again.reports / f).read_bytes()
    ]
    assert differ == []


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
import sys
from pathlib import Path
from evoxtral import params
from evoxtral import UserError
from evoxtral.report.page import run_notebook

cfg = params.profile(params.Benchmark, "smoke").model_copy(update={"source": "paper"})
params.profile = lambda notebook, name: cfg
try:
    run_notebook("04_benchmark", "smoke", Path(sys.argv[1]))
except UserError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("limit", [20_000, 400_000], ids=["a figure", "the executed copy"])
def test_a_full_disk_is_named_and_earlier_results_stay(made: Made, limit: int) -> None:
    """`RLIMIT_FSIZE` stands for a full disk: no file may grow beyond it."""
    before = {path: path.read_bytes() for path in made.reports.glob("0[123]*/**/*.*")}
    output = made.reports / "04_benchmark.ipynb"
    copy = output.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(output)],
        env=made.environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode != 0
    assert f"cannot write {made.reports}" in done.stderr.replace("\n", " ")
    assert "free space" in done.stderr
    assert output.read_bytes() == copy
    assert {path: path.read_bytes() for path in before} == before
    for path in made.reports.rglob("*.*"):
        assert ".partial" in path.name or path.name.startswith(".") or _whole(path), path
