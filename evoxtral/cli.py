"""Commands of `python -m evoxtral`.

A command imports what it needs when it runs: `--help` must not wait for papermill or torch.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evoxtral import UserError, __version__
from evoxtral.params import PROFILES

if TYPE_CHECKING:
    from evoxtral.transcribe import Transcript

_SUFFIXES = {"json": ".json", "text": ".txt", "srt": ".srt"}
_PROCESSES = (
    "Build the stages of a notebook, which finds them in runs/ afterwards. Under `accelerate "
    "launch -m evoxtral run …` all processes share the work; `--multi_gpu` is accelerate's "
    "word for several processes, also where there is no GPU."
)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evoxtral", description="The Evoxtral report, from data to figures."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(
        run: Callable[[argparse.Namespace], str],
        does: str,
        profile: str | None = None,
        more: str | None = None,
    ) -> Callable[..., argparse.Action]:
        """Add a command, of a profile unless that is None; returns what adds its arguments."""
        one = commands.add_parser(run.__name__.strip("_"), help=does, description=more)
        one.set_defaults(run=run)
        if profile is not None:
            told = f"{profile} (default: tiny)".strip()
            one.add_argument("--profile", choices=PROFILES, default="tiny", help=told)
        return one.add_argument

    sizes = "smoke: seconds, numbers mean nothing; tiny: a laptop; paper: a GPU"
    command(_report, "run the notebooks in order", sizes)
    command(_status, "what is fresh, stale or missing, and why", "")
    add = command(_card, "write an adapter's README.md and .eval_results", "base and clips")
    add("adapter", type=Path, help="folder of a LoRA adapter")
    add("--name", help="of the model (default: evoxtral-<profile>)")
    command(_example, "make reports/example and the README's numbers from a finished report", "")
    add = command(
        _run, "build a notebook's stages without the notebook", "of the parameters", _PROCESSES
    )
    add("notebook", choices=("02_sft", "03_raft", "04_benchmark"), help="whose stages")
    change = "a parameter that differs from the profile's, as for papermill; may be repeated"
    add("-p", dest="changes", metavar=("NAME", "VALUE"), nargs=2, action="append", default=[],
        help=change)  # fmt: skip
    add = command(_transcribe, "transcribe recordings of any length")
    add("files", nargs="+", type=Path, help="WAV, FLAC, MP3 or OGG")
    add("--adapter", type=Path, help="folder of a LoRA adapter (default: none)")
    add("--base", default="tiny", help="tiny, a folder, or an id on the hub (default: tiny)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--format", choices=[*_SUFFIXES], default="text", help="of the result (default: text)")
    add("--out", type=Path, help="folder for one result per file (default: print)")
    add("--batch", type=int, default=16, help="chunks at once (default: 16)")
    about = "measure speed beside the straightforward way, in parts"
    add = command(_speed, about, "whose clips, base and recipes")
    add("what", choices=("all", "real"), help="all: a profile's steps; real: Voxtral's size, a GPU")
    add("--quick", action="store_true", help="few clips, one round")
    add("--clips", type=int, default=160, help="of the real size (default: 160)")
    return parser


def _report(chosen: argparse.Namespace) -> str:
    from evoxtral.report.page import run_report

    return f"the report is in {run_report(chosen.profile)}"


def _status(chosen: argparse.Namespace) -> str:
    from evoxtral.report.provenance import notebook_statuses, stage_statuses

    notebooks = notebook_statuses(chosen.profile)
    lines = [f"notebooks of {chosen.profile}", *map(str, notebooks)]
    made = [*map(str, stage_statuses(chosen.profile, notebooks))]
    return "\n".join([*lines, f"stages of {chosen.profile}", *(made or ["  none"])])


def _card(chosen: argparse.Namespace) -> str:
    from evoxtral import cards

    name = chosen.name or f"evoxtral-{chosen.profile}"
    facts = cards.card_facts(chosen.adapter, chosen.profile, name)
    path = cards.write_card(chosen.adapter, facts)
    return (
        f"the card is in {path}; nothing was uploaded. To publish the adapter:\n"
        f"  hf upload YOUR-NAME/{name} {chosen.adapter}"
    )


def _example(chosen: argparse.Namespace) -> str:
    from evoxtral.report.example import write_example

    return f"the example is in {write_example(chosen.profile)}"


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral import headless, params

    model = params.NOTEBOOKS[chosen.notebook]
    cfg = params.profile(model, chosen.profile, dict(chosen.changes))
    made = headless.build(cfg)
    return f"{chosen.notebook} is ready: {made}" if made else ""


def _speed(chosen: argparse.Namespace) -> str:
    from evoxtral import speed

    if chosen.what == "real":
        return speed.measure_real(chosen.clips).to_string(index=False)
    speed.measure(chosen.profile, "quick" if chosen.quick else "full")
    rounds = speed.read(chosen.profile)["rounds"]
    return speed.speed_ups(rounds).round(3).to_string(index=False)


def _transcribe(chosen: argparse.Namespace) -> str:
    _check_outputs(chosen)
    from evoxtral import runs
    from evoxtral.transcribe import Failure, Transcript, render, transcribe_files

    how = {"device": chosen.device, "batch": chosen.batch, "shown": chosen.out is not None}
    results = transcribe_files(chosen.files, chosen.adapter, chosen.base, **how)
    done = [one for one in results if isinstance(one, Transcript)]
    failed = [one for one in results if isinstance(one, Failure)]
    if chosen.out:
        for one in done:
            name = f"{one.path.stem}{_SUFFIXES[chosen.format]}"
            runs.write_text(chosen.out / name, render(one, chosen.format))
        said = f"{len(done)} transcripts are in {chosen.out}" if done else ""
    else:
        said = _printed(done, chosen.format)
    if failed:
        sys.stdout.write(f"{said}\n" if said else "")
        reasons = "; ".join(f"{one.path}: {one.reason}" for one in failed)
        raise UserError(
            f"{len(failed)} of {len(results)} files could not be transcribed: {reasons}"
        )
    return said


def _check_outputs(chosen: argparse.Namespace) -> None:
    if chosen.batch < 1:
        raise UserError(f"--batch is {chosen.batch}: it must be 1 or more")
    if chosen.out is None and chosen.format == "srt" and len(chosen.files) > 1:
        raise UserError(
            "subtitles of several files cannot be printed one after another: give a folder by --out"
        )
    twice = [stem for stem, n in Counter(file.stem for file in chosen.files).items() if n > 1]
    if chosen.out and twice:
        name = f"{twice[0]}{_SUFFIXES[chosen.format]}"
        raise UserError(f"several files would be written to {name}: give them different names")


def _printed(done: Sequence[Transcript], form: str) -> str:
    from evoxtral import runs
    from evoxtral.transcribe import render

    if len(done) == 1:
        return render(done[0], form).rstrip("\n")
    if form == "json":
        return runs.json_text([one.to_dict() for one in done]).rstrip("\n")
    return "\n\n".join(f"{one.path.name}\n{render(one, form)}".rstrip("\n") for one in done)
