"""The folder of one notebook's results: what is in it, where it came from, what is stale since.

`reports/<profile>/<notebook>/` holds `tables/` (CSV in full precision, Markdown, LaTeX),
`figures/` (SVG, PNG, PDF), JSON lines such as predictions, `results.json` (no time, path or commit
in it: the same run gives the same bytes) and `provenance.json` (all of those).

A result is fresh if nothing that it was run with has changed since. A stage is fresh if it is whole
and a fresh notebook uses it.
"""

from __future__ import annotations

import math
import platform
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from evoxtral import figures, params, runs, tables
from evoxtral.params import REPORT_NOTEBOOKS, Parameters

SOURCE = "evoxtral"  # key of an output's metadata that names the files it was written to
State = tuple[str, str, str]  # of a notebook or stage: name; fresh, stale or missing; why

_PACKAGES = ("evoxtral", "accelerate", "espeakng-loader", "jiwer", "matplotlib", "mistral-common",
             "numpy", "pandas", "peft", "scipy", "torch", "transformers")  # fmt: skip
_DATA = ("reports/paper/*.csv", "evoxtral/world/base/checkpoint/*.safetensors")


class Report:
    """Collects what a notebook shows and writes it; holds the folder's lock until `finish`.

    `frames` are those of the tables that `show` wrote, by name, for `results.json`.

    Raises:
        UserError: another process is writing the same folder.
    """

    _locks: ClassVar[dict[Path, ExitStack]] = {}

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.folder = runs.reports_dir() / parameters.profile / parameters.notebook
        self.frames: dict[str, pd.DataFrame] = {}
        self._started = datetime.now(UTC)
        self._written: set[Path] = set()
        # A cell run again in JupyterLab starts over: the kernel's earlier report gives way.
        lock = self._locks.setdefault(self.folder, ExitStack())
        lock.close()
        lock.enter_context(runs.exclusive(self.folder))

    def _file(self, relative: str) -> Path:
        """A file of this report, which `finish` keeps."""
        self._written.add(self.folder / relative)
        return self.folder / relative

    def _save(self, stem: str, rendered: Mapping[str, bytes]) -> dict[str, Any]:
        """Write one thing in several formats; an output's metadata, from which the page links."""
        for suffix, data in rendered.items():
            runs.write_bytes(self._file(f"{stem}.{suffix}"), data)
        return {SOURCE: {"files": [f"{stem}.{suffix}" for suffix in rendered]}}

    def table(self, name: str, table: tables.Table) -> HTML:
        """Write a table as `tables/<name>.{csv,md,tex}` and return it for display."""
        rendered = {
            "csv": tables.to_csv(table).encode(),
            "md": tables.to_markdown(table).encode(),
            "tex": tables.to_latex(table, f"tab:{name}").encode(),
        }
        return HTML(tables.to_html(table), metadata=self._save(f"tables/{name}", rendered))

    def figure(self, name: str, figure: Figure) -> Image:
        """Write a figure as `figures/<name>.{svg,png,pdf}` and return the PNG for display."""
        rendered = figures.save_figure(figure)
        source, said = self._save(f"figures/{name}", rendered), str(figure.get_label())
        return Image(rendered["png"], format="png", width=760, alt=said, metadata=source)

    def show(
        self,
        made: Mapping[str, tables.Table | Figure],
        absent: str = "Not measured: `source` is `paper`.",
    ) -> None:
        """Write and display tables and figures by name, or one sentence where there are none."""
        if not made:
            display(Markdown(f"*{absent}*"))
        for name, one in made.items():
            if isinstance(one, tables.Table):
                self.frames[name] = one.frame
                display(self.table(name, one))
            else:
                display(self.figure(name, one))

    def rows(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        """Write JSON lines as `<name>.jsonl`, such as predictions that others may score."""
        runs.write_jsonl(self._file(f"{name}.jsonl"), rows)

    def finish(self, **results: Any) -> str:
        """Write `results.json` and `provenance.json`, drop files of earlier runs, unlock.

        Floats keep six decimals, the same on every platform. Returns a line that says where it is.
        """
        runs.write_json(self._file("results.json"), _plain(results))
        runs.write_json(self._file("provenance.json"), origin(self.parameters, self._started))
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self._written:
                path.unlink()
        self._locks[self.folder].close()
        shown = self.folder.relative_to(self.folder.parents[2]).as_posix()
        return f"{len(self._written)} files in {shown}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: frames as records, NaN as null, whole floats as integers."""
    if isinstance(value, pd.DataFrame):
        return _plain(value.to_dict("records"))
    if isinstance(value, dict):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    if value is None or isinstance(value, str | bool):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else round(number, 6)


def origin(parameters: Parameters, started: datetime) -> dict[str, Any]:
    """Everything needed to say how a result was made; the one file that holds times and paths."""
    loaded = {".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("evoxtral.")}
    installed = {
        one.name.lower().replace("_", "-"): one.version for one in metadata.distributions()
    }
    torch = sys.modules.get("torch")
    return {
        "parameters": parameters.model_dump(mode="json"),
        "parameters_sha256": parameters.digest(),
        "code_sha256": runs.code_digest(["evoxtral"]),
        "parts": parts(parameters, loaded),
        "commit": commit(),
        "stages": [
            {"name": s.name, "digest": s.digest, "executed": s.executed, "seconds": s.seconds}
            for s in runs.used_stages()
        ],
        "versions": {name: installed[name] for name in _PACKAGES if name in installed},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def parts(cfg: Parameters, modules: Iterable[str]) -> dict[str, Any]:
    """What decides a notebook's results: its parameters; digests of code, modules and data."""
    values = cfg.model_dump(mode="json")
    made: dict[str, Any] = {f"parameter {name}": value for name, value in values.items()}
    cells = runs.read_json(runs.named(f"notebooks/{cfg.notebook}.ipynb"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    made["code cells"] = runs.digest(code)
    made |= {module: runs.code_digest([module]) for module in modules if find_spec(module)}
    files = [file for pattern in _DATA for file in runs.root().glob(pattern)]
    return made | {str(file.relative_to(runs.root())): runs.digest_file(file) for file in files}


def changed(said: Mapping[str, Any], notebook: str, profile: str) -> list[str]:
    """Names of the parts that differ between a notebook's provenance and now."""
    before = said.get("parts", {})
    modules = [name for name in before if name.startswith("evoxtral.")]
    now = parts(params.profile(params.NOTEBOOKS[notebook], profile), modules)
    return [name for name in sorted(before | now) if before.get(name) != now.get(name)]


def commit() -> str | None:
    """Commit of the checkout, then `-dirty` if tracked files differ from it; None without git."""
    describe = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    with suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(describe, cwd=runs.root(), capture_output=True, text=True, check=True)
        return done.stdout.strip()
    return None


def status(profile: str) -> tuple[list[State], list[State]]:
    """States of the report's notebooks, and of the stages in `runs/<profile>/`."""
    folder = runs.runs_dir() / profile
    notebooks: list[State] = []
    users: dict[str, dict[str, str]] = {}  # of each stage: notebooks, and their state
    for name in REPORT_NOTEBOOKS:
        file = runs.reports_dir() / profile / name / "provenance.json"
        if not file.is_file():
            notebooks.append((name, "missing", "not run yet"))
            continue
        said = runs.read_json(file)
        used = [f"{stage['name']}-{stage['digest'][:12]}" for stage in said["stages"]]
        differ = changed(said, name, profile)
        differ += [f"stage {stage}" for stage in used if runs.why_build(folder / stage)]
        state = "stale" if differ else "fresh"
        why = textwrap.shorten(f"changed: {', '.join(differ)}", 120, placeholder=" ...")
        notebooks.append((name, state, why if differ else ""))
        for stage in used:
            users.setdefault(stage, {})[name] = state
    stages: list[State] = []
    for path in sorted(folder.glob("[!.]*-*")):
        damage, using = runs.why_build(path), users.get(path.name, {})
        if not damage and "fresh" in using.values():
            stages.append((path.name, "fresh", ""))
        else:
            why = damage or f"only used by {', '.join(using) or 'no report'}"
            stages.append((path.name, "missing" if damage else "stale", why))
    return notebooks, stages


def render(template: str, **facts: object) -> str:
    """A text of `templates/` with facts filled in; HTML escapes them."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evoxtral.report"),
        autoescape=jinja2.select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**facts)
