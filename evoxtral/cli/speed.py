"""`evoxtral speed`: measure how long something takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands
    from evoxtral.speed.measure import Comparison

__all__ = ["add_parser"]


def add_parser(commands: Commands) -> None:
    """Add the command and its benchmarks."""
    speed = commands.add_parser("speed", help="measure how long something takes")
    benchmarks = speed.add_subparsers(required=True, metavar="benchmark")
    everything = benchmarks.add_parser(
        "all", help="everything, part by part; goes on where a stopped run was"
    )
    everything.add_argument("--profile", choices=PROFILES, default="tiny", help="(default: tiny)")
    everything.add_argument(
        "--quick", action="store_true", help="a minute or two, to see that everything works"
    )
    everything.add_argument("--only", nargs="+", default=[], metavar="PART", help="these parts")
    everything.add_argument("--again", action="store_true", help="measure also what is there")
    everything.set_defaults(run=_all)
    real = benchmarks.add_parser(
        "real", help="the method's steps at Voxtral's size on random weights; needs a GPU"
    )
    real.add_argument(
        "--clips", type=_positive, default=800, help="clips, in whole steps of 16 (default: 800)"
    )
    real.add_argument("--repeats", type=_positive, default=2, help="rounds (default: 2)")
    real.add_argument("--at-once", type=_positive, default=256, help="clips decoded together")
    real.set_defaults(run=_real)
    near = benchmarks.add_parser(
        "near-duplicates", help="the ROUGE-L filter on growing sets of texts"
    )
    near.add_argument("--scripts", type=Path, help="the released scripts (default: fetch them)")
    near.add_argument("--largest", type=int, default=160_000, help="texts in the largest set")
    near.add_argument("--workers", type=int, help="cores (default: all)")
    near.add_argument("--csv", type=Path, help="also write the curve to this file")
    near.set_defaults(run=_near_duplicates)
    _add_benchmark(benchmarks, "sft", "a step of fine-tuning", _sft)
    for name, what, run in (
        ("evaluate", "greedy transcripts", _evaluate),
        ("raft", "k completions per clip", _raft),
    ):
        decoding = _add_benchmark(benchmarks, name, what, run)
        decoding.add_argument(
            "--adapter", type=Path, help="folder of the adapter (default: that of 02_sft)"
        )
    decoding.add_argument(
        "-k", type=_positive, nargs="+", default=[4], help="completions per clip (default: 4)"
    )


def _add_benchmark(
    benchmarks: Commands, name: str, what: str, run: Callable[[argparse.Namespace], str]
) -> argparse.ArgumentParser:
    """A benchmark of ours against the straightforward way."""
    parser = benchmarks.add_parser(name, help=f"{what}, beside the straightforward way")
    parser.add_argument("--profile", choices=PROFILES, default="tiny", help="(default: tiny)")
    parser.add_argument(
        "--repeats", type=_positive, default=3, help="rounds after the warm-up (default: 3)"
    )
    parser.add_argument("--clips", type=_positive, help="clips per round (default: up to 128)")
    parser.set_defaults(run=run)
    return parser


def _positive(text: str) -> int:
    """An argument that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _all(chosen: argparse.Namespace) -> str:
    from evoxtral import runs, tables
    from evoxtral.speed import growth, reading
    from evoxtral.speed.suite import measure_parts

    folder, depth = runs.reports_dir() / "speed", "quick" if chosen.quick else "full"
    parts = measure_parts(folder, chosen.profile, depth, chosen.only, again=chosen.again)
    for name, now in parts:
        sys.stderr.write(f"{name}: {'measured' if now else 'measured before'}\n")
    found = reading.read(reading.find([folder], chosen.profile))
    shown = [] if found.ratios.empty else [tables.speed_ups(found.ratios)]
    fitted = growth.slopes(found.growth)
    if not fitted.empty:
        shown.append(tables.speed_slopes(fitted))
    return "\n\n".join(tables.to_markdown(table).strip() for table in shown)


def _real(chosen: argparse.Namespace) -> str:
    import torch
    from transformers import VoxtralConfig

    from evoxtral import UserError, runs, tables
    from evoxtral.speed import reading, results
    from evoxtral.speed.machine import conditions
    from evoxtral.speed.real import Real, draw_lengths, real_speed

    if not torch.cuda.is_available():
        raise UserError("the real size needs a GPU of 48 GB or more: measure the tiny one instead")
    folder = runs.reports_dir() / "speed"
    lengths = draw_lengths(runs.root() / "reports" / "speed" / "target_lengths.csv", chosen.clips)
    said = conditions("real", "as asked")
    real = Real(VoxtralConfig(), lengths, torch.device("cuda"), at_once=chosen.at_once)
    results.write(folder, "gpu_real", real_speed(real, chosen.repeats), said)
    found = reading.read(reading.find([folder], "real"))
    return tables.to_markdown(tables.speed_floors(found.ways)).strip()


def _near_duplicates(chosen: argparse.Namespace) -> str:
    from evoxtral import runs
    from evoxtral.speed.near_duplicates import SIZES, near_duplicate_curve
    from evoxtral.world import scripts

    path = chosen.scripts or scripts.fetch_released(runs.runs_dir() / "released")
    texts = [script.tagged_text for script in scripts.read_released(path)]
    sizes = [n for n in SIZES if n <= chosen.largest]
    curve = near_duplicate_curve(texts, sizes, chosen.workers)
    if chosen.csv:
        runs.write_text(chosen.csv, curve.round(3).to_csv(index=False))
    return curve.round(2).to_string(index=False)


def _sft(chosen: argparse.Namespace) -> str:
    from evoxtral.speed.run import sft_speed

    return _measured("sft", chosen, lambda: sft_speed(chosen.profile, chosen.repeats, chosen.clips))


def _evaluate(chosen: argparse.Namespace) -> str:
    from evoxtral.speed.run import evaluation_speed

    asked = (chosen.profile, chosen.repeats, chosen.clips, chosen.adapter)
    return _measured("evaluate", chosen, lambda: evaluation_speed(*asked))


def _raft(chosen: argparse.Namespace) -> str:
    from evoxtral.speed.run import raft_speed

    asked = (chosen.profile, chosen.repeats, chosen.clips, chosen.adapter, chosen.k)
    return _measured("raft", chosen, lambda: raft_speed(*asked))


def _measured(
    name: str, chosen: argparse.Namespace, measure: Callable[[], list[Comparison]]
) -> str:
    """Measure, write the files, and show the table."""
    from evoxtral import runs, tables
    from evoxtral.speed import results
    from evoxtral.speed.machine import conditions

    said = conditions(chosen.profile, "as asked")
    made = measure()
    file = f"{name}_{chosen.profile}"
    results.write(runs.reports_dir() / "speed", file, made, said)
    found = [results.facts_text(one) for one in made]
    table = tables.to_markdown(tables.speed_ups(results.ratios(made))).strip()
    return "\n\n".join([table, *found])
