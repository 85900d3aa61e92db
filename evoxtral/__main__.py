"""`python -m evoxtral`: what `make report` calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from evoxtral import __version__
from evoxtral.errors import UserError
from evoxtral.params import PROFILES

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evoxtral", description="The Evoxtral report, from data to figures."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    report = commands.add_parser("report", help="run the notebooks in order")
    report.add_argument(
        "--profile",
        choices=PROFILES,
        default="tiny",
        help="smoke: seconds, numbers mean nothing; tiny: a laptop; paper: a GPU (default: tiny)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, 1 with one sentence for an error a user can mend."""
    chosen = _parser().parse_args(arguments)
    from evoxtral.report.runner import run_report  # papermill is slow to import; --help is not

    try:
        folder = run_report(chosen.profile)
    except UserError as error:
        sys.stderr.write(f"evoxtral: {error}\n")
        return 1
    sys.stdout.write(f"the report is in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
