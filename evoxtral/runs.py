"""Where things are, files that are whole or absent, and stages: expensive steps run once.

A stage is a function of (parameters, upstream digests, code); its result lives in
`runs/<profile>/<stage>-<digest>/`. It is built in a folder beside, stamped with the hashes of what
went in and what came out, and renamed into place: a finished folder is whole. A killed stage
leaves its `.partial` folder, from which its maker may resume.

Where several processes do one run's work (`evoxtral.processes`), all ask for the same stages in
the same order; the main process looks, locks, stamps and renames.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import secrets
import shutil
import socket
import time
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from evoxtral import UserError, processes


def root() -> Path:
    """The checkout that holds `notebooks/`, `params/` and `reports/`; a `UserError` without one.

    It is what `EVOXTRAL_ROOT` names, else where an editable install lies, else the nearest parent
    of the working directory that looks like a checkout.
    """
    chosen = os.environ.get("EVOXTRAL_ROOT")
    here = Path.cwd()
    places = [Path(chosen)] if chosen else [Path(__file__).parents[1], here, *here.parents]
    for place in places:
        folder = place.expanduser().resolve()
        if (folder / "pyproject.toml").is_file() and (folder / "params").is_dir():
            return folder
    raise UserError(
        f"{places[0]} is no Evoxtral checkout, with pyproject.toml and params/: work inside a "
        "clone, or set EVOXTRAL_ROOT to one"
    )


def named(path: str) -> Path:
    """What a parameter means by a path: a relative one starts at the checkout."""
    return root() / Path(path).expanduser()


def _place(variable: str, default: str) -> Path:
    moved = os.environ.get(variable)
    return Path(moved).expanduser().resolve() if moved else root() / default


def runs_dir() -> Path:
    """Heavy artefacts (audio, features, adapters): `runs/`, or `EVOXTRAL_RUNS`."""
    return _place("EVOXTRAL_RUNS", "runs")


def bought_dir() -> Path:
    """What was paid for, which cleaning must not take: `bought/`, or `EVOXTRAL_BOUGHT`."""
    return _place("EVOXTRAL_BOUGHT", "bought")


def reports_dir() -> Path:
    """Generated tables and figures: `reports/`, or `EVOXTRAL_REPORTS`."""
    return _place("EVOXTRAL_REPORTS", "reports")


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        UserError: the file cannot be written (disk full, no permission); names path and size.
            What was at `path` before is untouched.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        raise UserError(
            f"cannot write {target} ({len(data):,} bytes): {error.strerror or error}; "
            "free space or choose another place, then run again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_bytes(path, text.encode("utf-8"))


def json_text(value: Any) -> str:
    """A JSON document: sorted keys, two spaces, no NaN, one newline at the end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def write_json(path: Path | str, value: Any) -> Path:
    """Write a JSON document atomically."""
    return write_text(path, json_text(value))


def write_jsonl(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object per line atomically."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    return write_text(path, "".join(f"{line}\n" for line in lines))


def read_json(path: Path | str) -> Any:
    """Read one JSON file.

    Raises:
        UserError: the file is missing or no JSON; names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); delete it and run again") from error


def read_jsonl(path: Path | str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON-lines file.

    Raises:
        UserError: a line is no JSON object; names file and line.
    """
    with Path(path).open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}: not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: expected a JSON object")
            yield row


def digest(value: Any) -> str:
    """Hex SHA-256 of a JSON-serialisable value, independent of key order.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


STAMP = "stage.json"


@dataclass(frozen=True)
class StageResult:
    """A finished stage: where its files are, its digest, and whether this process made it.

    It took so many seconds since it was last started; None if an older version made it.
    """

    name: str
    path: Path
    digest: str
    executed: bool
    seconds: float | None


_used: dict[Path, StageResult] = {}


def used_stages() -> list[StageResult]:
    """The stages this process asked for, in order; the provenance of a report lists them."""
    return list(_used.values())


def code_digest(modules: Sequence[str]) -> str:
    """SHA-256 over the sources of modules or packages, e.g. `["evoxtral.world.speech"]`.

    Docstrings, comments and blank lines decide nothing and are left out; a package's data in YAML
    counts, and a YAML file of a module's name. Of a package its own file alone is
    `evoxtral.clips.__init__`. Read once a process: an edit counts from the next one on.
    """
    total = "".join(_module_digest(module) for module in sorted(modules))
    return hashlib.sha256(total.encode()).hexdigest()


# Cached, since Python imports a module once: after an edit a kernel that lives on still runs what
# it has loaded, and a digest of the file as it is now would name code that made nothing.
@cache
def _module_digest(module: str) -> str:
    origin = Path(find_spec(module).origin)
    package = origin.parent
    files = [file for file in (origin, origin.with_suffix(".yaml")) if file.is_file()]
    if origin.name == "__init__.py" and not module.endswith(".__init__"):
        files = sorted([*package.rglob("*.py"), *package.rglob("*.yaml")])
    total = hashlib.sha256()
    for file in files:
        text = file.read_text(encoding="utf-8")
        text = code_text(text) if file.suffix == ".py" else text
        total.update(f"{module}:{file.relative_to(package)}\0{text}\0".encode())
    return total.hexdigest()


def code_text(source: str) -> str:
    r"""Python source without docstrings, comments and blank lines; of one text in every Python.

    A blank line inside a string stays.

    >>> code_text("'Said.'\n\n# said\nx = '#'  # why")
    "x = '#'"
    """
    kept, spoken = source.split("\n"), set[int]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        spoken.update(range(token.start[0], token.end[0]))  # only strings go over several lines
        if token.type == tokenize.COMMENT:
            row, column = token.start
            kept[row - 1] = kept[row - 1][:column].rstrip()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            said = node.body[0]
            kept[said.lineno - 1 : said.end_lineno] = [""] * (said.end_lineno - said.lineno + 1)
            spoken.difference_update(range(said.lineno, said.end_lineno))
    rows = enumerate(kept, start=1)
    return "\n".join(line for row, line in rows if line.strip() or row in spoken)


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock of a folder; a second run is refused, naming the holder.

    The operating system drops the lock with the process, so a killed run leaves none behind.

    Raises:
        UserError: another process holds it.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    holder = target.with_name(f".{target.name}.holder")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        who = holder.read_text() if holder.exists() else "another process"
        raise UserError(
            f"{target.name} is being written by {who}: wait for it or stop it, then run again"
        ) from error
    try:
        write_text(holder, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def why_build(folder: Path) -> str:
    """Why a stage has to be built; empty if it is whole.

    Files are held against its stamp by size: hashing gigabytes at every look costs too much.
    """
    if not (folder / STAMP).is_file():
        return "not made yet"
    for name, facts in read_json(folder / STAMP)["outputs"].items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["bytes"]:
            return f"{name} has changed size"
    return ""


def stage(
    name: str,
    profile: str,
    params: Mapping[str, Any],
    make: Callable[[Path], None],
    *,
    inputs: Mapping[str, str] | None = None,
    code: Sequence[str] = (),
    together: bool = False,
) -> StageResult:
    """Return the result of a stage, building it if it is missing or damaged.

    Args:
        name: what the stage makes, e.g. `"corpus"`.
        profile: whose folder holds it.
        params: everything that decides the result, JSON-serialisable.
        make: called with the folder to fill; may find there what a killed run left.
        inputs: digests of upstream stages by name.
        code: modules whose source decides the result.
        together: of several processes, all call `make` with the same folder and share the work;
            otherwise the main process does and the others wait.

    Raises:
        UserError: another run is building the same stage.
    """
    key = {"name": name, "params": dict(params), "inputs": dict(inputs or {})}
    if code:
        key["code"] = code_digest(code)
    full = digest(key)
    folder = runs_dir() / profile / f"{name}-{full[:12]}"
    executed = False
    if processes.told(lambda: why_build(folder)):
        with exclusive(folder) if processes.is_main() else nullcontext():
            # Another run may have finished it between the look and the lock.
            if reason := processes.told(lambda: why_build(folder)):
                _say(f"building {folder.name} ({reason})")
                _build(folder, {**key, "digest": full}, make, together=together)
                executed = True
    seconds = read_json(folder / STAMP).get("seconds")
    if executed:
        _say(f"built {folder.name} in {seconds:.0f} s")
    result = StageResult(name, folder, full, executed, seconds)
    if executed or folder not in _used:
        _used[folder] = result
    return result


def _build(
    folder: Path, key: Mapping[str, Any], make: Callable[[Path], None], *, together: bool
) -> None:
    partial, start = folder.with_name(f"{folder.name}.partial"), time.monotonic()
    if processes.is_main():
        if folder.exists():
            shutil.rmtree(folder)
        partial.mkdir(parents=True, exist_ok=True)
    processes.barrier()
    if together:
        make(partial)
    elif processes.is_main():
        with processes.alone():
            make(partial)
    processes.barrier()
    if processes.is_main():
        outputs = {
            file.relative_to(partial).as_posix(): {
                "bytes": file.stat().st_size,
                "sha256": digest_file(file),
            }
            for file in sorted(partial.rglob("*"))
            if file.is_file() and file.name != STAMP
        }
        seconds = round(time.monotonic() - start, 1)
        write_json(partial / STAMP, {**key, "outputs": outputs, "seconds": seconds})
        partial.replace(folder)
    processes.barrier()


def _say(line: str) -> None:
    if processes.is_main():
        print(line, flush=True)  # noqa: T201
