"""`evoxtral status`: what is fresh, stale or missing, and why."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands
    from evoxtral.report.status import Status


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="what is fresh, stale or missing, and why")
    parser.add_argument("--profile", choices=PROFILES, default="tiny", help="(default: tiny)")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral.report.runner import REPORT_NOTEBOOKS
    from evoxtral.report.status import notebook_statuses, stage_statuses

    notebooks = notebook_statuses(chosen.profile, REPORT_NOTEBOOKS)
    made = stage_statuses(chosen.profile, notebooks)
    return "\n".join(
        [
            f"notebooks of {chosen.profile}",
            *map(_line, notebooks),
            f"stages of {chosen.profile}",
            *(map(_line, made) if made else ["  none"]),
        ]
    )


def _line(status: Status) -> str:
    return f"  {status.state:8} {status.name:28} {status.why}".rstrip()
