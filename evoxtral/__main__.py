"""`python -m evoxtral`: a dispatcher; each command is a module of `evoxtral.cli`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from evoxtral import UserError, __version__
from evoxtral.cli import COMMANDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evoxtral", description="The Evoxtral report, from data to figures."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, 1 with one sentence for an error a user can mend."""
    chosen = _parser().parse_args(arguments)
    try:
        said = chosen.run(chosen)
    except UserError as error:
        sys.stderr.write(f"evoxtral: {error}\n")
        return 1
    if said:
        sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
