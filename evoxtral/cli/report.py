"""`evoxtral report`: run the notebooks in order and write the page people read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("report", help="run the notebooks in order")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="tiny",
        help="smoke: seconds, numbers mean nothing; tiny: a laptop; paper: a GPU (default: tiny)",
    )
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral.report.runner import run_report

    return f"the report is in {run_report(chosen.profile)}"
