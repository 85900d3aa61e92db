"""`python -m evoxtral`: the report, and the benchmarks of its slow parts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evoxtral import __version__
from evoxtral.errors import UserError
from evoxtral.params import PROFILES

__all__ = ["main"]

# Commands import what they need when they run: `--help` must not wait for papermill or scipy.


def _report(chosen: argparse.Namespace) -> str:
    from evoxtral.report.runner import run_report

    return f"the report is in {run_report(chosen.profile)}"


def _near_duplicates(chosen: argparse.Namespace) -> str:
    from evoxtral import artifacts, paths, scripts
    from evoxtral.mix.benchmark import SIZES, near_duplicate_curve

    path = chosen.scripts or scripts.fetch_released(paths.runs_dir() / "released")
    texts = [script.tagged_text for script in scripts.read_released(path)]
    sizes = [n for n in SIZES if n <= chosen.largest]
    curve = near_duplicate_curve(texts, sizes, chosen.workers)
    if chosen.csv:
        artifacts.write_text(chosen.csv, curve.round(3).to_csv(index=False))
    return curve.round(2).to_string(index=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evoxtral", description="The Evoxtral report, from data to figures."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    report = commands.add_parser("report", help="run the notebooks in order")
    report.add_argument(
        "--profile",
        choices=PROFILES,
        default="tiny",
        help="smoke: seconds, numbers mean nothing; tiny: a laptop; paper: a GPU (default: tiny)",
    )
    report.set_defaults(run=_report)

    speed = commands.add_parser("speed", help="measure how long something takes")
    benchmarks = speed.add_subparsers(required=True, metavar="benchmark")
    near = benchmarks.add_parser(
        "near-duplicates", help="the ROUGE-L filter on growing sets of texts"
    )
    near.add_argument("--scripts", type=Path, help="the released scripts (default: fetch them)")
    near.add_argument("--largest", type=int, default=160_000, help="texts in the largest set")
    near.add_argument("--workers", type=int, help="cores (default: all)")
    near.add_argument("--csv", type=Path, help="also write the curve to this file")
    near.set_defaults(run=_near_duplicates)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, 1 with one sentence for an error a user can mend."""
    chosen = _parser().parse_args(arguments)
    try:
        sys.stdout.write(f"{chosen.run(chosen)}\n")
    except UserError as error:
        sys.stderr.write(f"evoxtral: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
