"""What a profile has: which notebooks and stages are fresh, stale or missing, and why.

A notebook is fresh if nothing that it was run with has changed since: its parameters, its code
cells, the modules it had loaded, the published numbers, the embedded weights, and the stages it
used. A stage is fresh if it is whole and a fresh notebook uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evoxtral import params, runs
from evoxtral.report.provenance import cells_digest, files_digests, module_digest

State = Literal["fresh", "stale", "missing"]
_MOST = 3  # names in a reason


@dataclass(frozen=True)
class Status:
    """One notebook or stage.

    Attributes:
        name: of it.
        state: `fresh`, `stale` or `missing`.
        why: the reason, empty if fresh.
        stages: folders of the stages that a notebook used.
    """

    name: str
    state: State
    why: str = ""
    stages: tuple[str, ...] = ()


def notebook_statuses(profile: str, notebooks: Sequence[str]) -> list[Status]:
    """State of each notebook's results in `reports/<profile>/`.

    Raises:
        UserError: a parameter file or a provenance file cannot be read.
    """
    return [_notebook(profile, name) for name in notebooks]


def _notebook(profile: str, name: str) -> Status:
    path = runs.reports_dir() / profile / name / "provenance.json"
    if not path.is_file():
        return Status(name, "missing", "not run yet")
    said = runs.read_json(path)
    if not {"cells_sha256", "modules", "files"} <= said.keys():
        return Status(name, "stale", "run by an earlier version")
    used = tuple(f"{stage['name']}-{stage['digest'][:12]}" for stage in said["stages"])
    why = [
        _parameters(said["parameters"], params.profile(name, profile).model_dump(mode="json")),
        "" if said["cells_sha256"] == cells_digest(name) else "its code cells changed",
        _changed("code changed", said["modules"], {m: module_digest(m) for m in said["modules"]}),
        _changed("files changed", said["files"], files_digests()),
        _gone(profile, used),
    ]
    reasons = "; ".join(reason for reason in why if reason)
    return Status(name, "stale" if reasons else "fresh", reasons, used)


def _parameters(run: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in now if run.get(name, None) != now[name]]
    changes = [f"{name} was {run.get(name)!r}, is {now[name]!r}" for name in names]
    return _listed("parameters changed", changes)


def _changed(what: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(before.keys() | now.keys())
    return _listed(what, [name for name in names if before.get(name) != now.get(name)])


def _gone(profile: str, used: Sequence[str]) -> str:
    damaged = [name for name in used if runs.why_build(runs.runs_dir() / profile / name)]
    return _listed("stages missing or damaged", damaged)


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{what}: {', '.join(names[:_MOST])}{more}" if names else ""


def stage_statuses(profile: str, notebooks: Sequence[Status]) -> list[Status]:
    """State of every stage in `runs/<profile>/`, and of those that a notebook used.

    Args:
        profile: whose.
        notebooks: as `notebook_statuses` returns them.
    """
    folder = runs.runs_dir() / profile
    there = {path.parent.name for path in folder.glob("*/stage.json")}
    unfinished = {path.name for path in folder.glob("*.partial") if path.is_dir()}
    used = {name for one in notebooks for name in one.stages}
    return [_stage(folder / name, notebooks) for name in sorted(there | used | unfinished)]


def _stage(folder: Path, notebooks: Sequence[Status]) -> Status:
    name = folder.name
    if name.endswith(".partial"):
        return Status(name, "missing", "unfinished: the next run of its notebook resumes it")
    damage = runs.why_build(folder)
    if damage:
        return Status(name, "missing", damage)
    users = [one for one in notebooks if name in one.stages]
    if any(one.state == "fresh" for one in users):
        return Status(name, "fresh")
    if users:
        return Status(name, "stale", f"only used by {', '.join(one.name for one in users)}")
    return Status(name, "stale", "no report uses it")
