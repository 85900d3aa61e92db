"""`evoxtral card`: write an adapter's card, with its scores on a profile's test set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cards import CardFacts
    from evoxtral.cli.kinds import Commands


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("card", help="write an adapter's README.md and .eval_results")
    parser.add_argument("adapter", type=Path, help="folder of a LoRA adapter")
    parser.add_argument(
        "--profile", choices=PROFILES, default="tiny", help="base and clips (default: tiny)"
    )
    parser.add_argument("--name", help="of the model (default: evoxtral-<profile>)")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral.cards import write_card

    name = chosen.name or f"evoxtral-{chosen.profile}"
    path = write_card(chosen.adapter, _facts(chosen.adapter, chosen.profile, name))
    return (
        f"the card is in {path}; nothing was uploaded. To publish the adapter:\n"
        f"  hf upload YOUR-NAME/{name} {chosen.adapter}"
    )


def _facts(folder: Path, profile: str, name: str) -> CardFacts:
    from evoxtral import sft
    from evoxtral.bench.systems import ADAPTER, BASE
    from evoxtral.cards import CardFacts, training_of
    from evoxtral.model import shape_of
    from evoxtral.pipeline import open_setup

    shape = shape_of(folder)  # first: a folder that is no adapter stops before any work
    tuning = sft.parameters_of(profile)
    setup = open_setup(tuning)
    evaluations = sft.evaluate(setup, setup.headline, {BASE: None, ADAPTER: folder})
    return CardFacts(
        name, tuning.base, shape, training_of(folder), profile, setup.headline, evaluations
    )
