"""`evoxtral run`: build what a notebook needs without it, in as many processes as were launched.

accelerate launch --multi_gpu --num_processes 8 -m evoxtral run 02_sft --profile paper
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="build a notebook's stages without the notebook",
        description="Build the stages of a notebook, which finds them in runs/ afterwards. Under "
        "`accelerate launch -m evoxtral run …` all processes share the work; `--multi_gpu` is "
        "accelerate's word for several processes, also where there is no GPU.",
    )
    parser.add_argument(
        "notebook", choices=("02_sft", "03_raft", "04_benchmark"), help="whose stages"
    )
    parser.add_argument(
        "--profile", choices=PROFILES, default="tiny", help="of the parameters (default: tiny)"
    )
    parser.add_argument(
        "-p",
        dest="changes",
        metavar=("NAME", "VALUE"),
        nargs=2,
        action="append",
        default=[],
        help="a parameter that differs from the profile's, as for papermill; may be repeated",
    )
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral import headless, params

    cfg = params.profile(chosen.notebook, chosen.profile, dict(chosen.changes))
    made = headless.build(cfg)
    return f"{chosen.notebook} is ready: {made}" if made else ""
