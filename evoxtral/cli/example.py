"""`evoxtral example`: commit a finished report as the small example, and its numbers in README."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "example", help="make reports/example and the README's numbers from a finished report"
    )
    parser.add_argument("--profile", choices=PROFILES, default="tiny", help="(default: tiny)")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral.report.example import write_example
    from evoxtral.report.runner import REPORT_NOTEBOOKS

    return f"the example is in {write_example(chosen.profile, REPORT_NOTEBOOKS)}"
