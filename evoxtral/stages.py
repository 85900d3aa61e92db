"""Expensive steps as functions of (parameters, upstream digests, code).

A stage's result lives in `runs/<profile>/<stage>-<digest>/`. It is built in a folder beside,
stamped with the hashes of what went in and what came out, and renamed into place: a finished
folder is whole. A killed stage leaves its `.partial` folder, from which its maker may resume.

Where several processes do one run's work (`evoxtral.processes`), all ask for the same stages in
the same order; the main process looks, locks, stamps and renames.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from evoxtral import artifacts, paths, processes
from evoxtral.errors import UserError

__all__ = ["StageResult", "code_digest", "exclusive", "stage", "used_stages", "why_build"]

STAMP = "stage.json"


@dataclass(frozen=True)
class StageResult:
    """A finished stage: where its files are, its digest, and whether this process made it."""

    name: str
    path: Path
    digest: str
    executed: bool


_used: dict[Path, StageResult] = {}


def used_stages() -> list[StageResult]:
    """The stages this process asked for, in order; the provenance of a report lists them."""
    return list(_used.values())


def code_digest(modules: Sequence[str]) -> str:
    """SHA-256 over the Python sources of modules or packages, e.g. `["evoxtral.speech"]`.

    Part of a stage's digest, so that a changed generator never serves an old corpus. Read once a
    process: an edit counts from the next one on.

    Raises:
        ValueError: there is no such module.
    """
    return _code_digest(tuple(sorted(modules)))


# Cached, since Python imports a module once: after an edit a kernel that lives on still runs what
# it has loaded, and a digest of the file as it is now would name code that made nothing.
@cache
def _code_digest(modules: tuple[str, ...]) -> str:
    total = hashlib.sha256()
    for module in modules:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ValueError(f"no such module: {module}")
        origin = Path(spec.origin)
        is_package = spec.submodule_search_locations is not None
        files = sorted(origin.parent.rglob("*.py")) if is_package else [origin]
        for file in files:
            total.update(f"{module}:{file.relative_to(origin.parent)}\0".encode())
            total.update(file.read_bytes())
    return total.hexdigest()


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock of a folder; a second run is refused, naming the holder.

    The operating system drops the lock with the process, so a killed run leaves none behind.

    Raises:
        UserError: another process holds it.
    """
    lock_path = target.with_name(f".{target.name}.lock")
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    holder = lock_path.with_suffix(".holder")
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        who = holder.read_text() if holder.exists() else "another process"
        raise UserError(
            f"{target.name} is being written by {who}: wait for it or stop it, then run again"
        ) from error
    try:
        artifacts.write_text(holder, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _outputs(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != STAMP)
    return {
        p.relative_to(folder).as_posix(): {
            "bytes": p.stat().st_size,
            "sha256": artifacts.digest_file(p),
        }
        for p in files
    }


def why_build(folder: Path) -> str:
    """Why a stage has to be built; empty if it is whole.

    The files are held against the stage's stamp by their sizes: hashing gigabytes at every look
    would cost more than the damage it finds.

    Args:
        folder: of the stage, `runs/<profile>/<stage>-<digest>`.
    """
    if not (folder / STAMP).is_file():
        return "not made yet"
    for name, facts in artifacts.read_json(folder / STAMP)["outputs"].items():
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
        profile: the profile whose folder holds it.
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
    full = artifacts.digest(key)
    folder = paths.runs_dir() / profile / f"{name}-{full[:12]}"
    executed = False
    if processes.told(lambda: why_build(folder)):
        with exclusive(folder) if processes.is_main() else nullcontext():
            # Another run may have finished it between the look and the lock.
            reason = processes.told(lambda: why_build(folder))
            if reason:
                _build(folder, key, full, make, reason, together=together)
                executed = True
    result = StageResult(name, folder, full, executed)
    known = _used.get(folder)
    _used[folder] = known if known is not None and known.executed else result
    return result


def _build(
    folder: Path,
    key: Mapping[str, Any],
    full: str,
    make: Callable[[Path], None],
    reason: str,
    *,
    together: bool,
) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    start = time.monotonic()
    if processes.is_main():
        _say(f"building {folder.name} ({reason})")
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
        stamp = {**key, "digest": full, "outputs": _outputs(partial)}
        artifacts.write_json(partial / STAMP, stamp)
        partial.replace(folder)
        _say(f"built {folder.name} in {time.monotonic() - start:.0f} s")
    processes.barrier()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
