"""Commands of `python -m evoxtral`.

A command imports what it needs when it runs: `--help` must not wait for papermill or torch.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from evoxtral import UserError, __version__
from evoxtral.params import PROFILES, Parameters

_NOTEBOOKS = ("02_sft", "03_raft", "04_benchmark")  # the others' stages are light, or among these
_SUFFIXES = {"json": ".json", "text": ".txt", "srt": ".srt", "vtt": ".vtt"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code, 1 with one sentence for an error a user can mend."""
    parser = _parser()
    chosen, more = parser.parse_known_args(arguments)
    if chosen.run is _transcribe and not any(one.startswith("-") for one in more):
        chosen.files += map(Path, more)  # those behind an option
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may have no letters for 名前
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        chosen.run(chosen)
    except UserError as error:
        sys.stderr.write(f"evoxtral: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evoxtral", description="The Evoxtral report, from data to figures."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    added = {}
    for run in (_report, _status, _card, _example, _run, _transcribe, _speed):
        name, said = run.__name__.strip("_"), run.__doc__ or ""
        command = commands.add_parser(name, help=said.splitlines()[0], description=said)
        command.set_defaults(run=run)
        added[name] = command.add_argument
        if run is not _transcribe:
            sizes = "smoke: seconds, numbers mean nothing; tiny: a laptop (default); paper: a GPU"
            command.add_argument("--profile", choices=PROFILES, default="tiny", help=sizes)
    added["card"]("adapter", type=Path, help="folder of a LoRA adapter")
    added["run"]("notebook", choices=_NOTEBOOKS, help="whose stages")
    what = "all: the profile's steps, in parts; real: Voxtral's size, on a GPU"
    added["speed"]("what", choices=("all", "real"), help=what)
    add = added["transcribe"]
    add("files", nargs="+", type=Path, help="WAV, FLAC, MP3 or OGG")
    add("--adapter", default="", help="a LoRA adapter: folder or id on the hub (default: none)")
    add("--base", default="tiny", help="tiny, a folder, or an id on the hub (default: tiny)")
    add("--language", default="en", help="of the speech, a code of two letters (default: en)")
    add("--format", choices=_SUFFIXES, default="text", help="of the result (default: text)")
    add("--tags", choices=("keep", "drop"), default="keep", help="in text and subtitles")
    add("--out", type=Path, help="folder for one result per file (default: print)")
    return parser


def _say(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # its reader, such as `head`, has seen enough: the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(chosen: Namespace) -> None:
    """Run the notebooks in order."""
    from evoxtral.report.page import run_report

    _say(f"the report is in {run_report(chosen.profile)}")


def _status(chosen: Namespace) -> None:
    """Say what is fresh, stale or missing, and why."""
    from evoxtral.report import status

    for what, states in zip(("notebooks", "stages"), status(chosen.profile), strict=True):
        _say(f"{what} of {chosen.profile}")
        for name, state, why in states:
            _say(f"  {state:8} {name:28} {why}".rstrip())


def _card(chosen: Namespace) -> None:
    """Write an adapter's README.md and .eval_results."""
    from evoxtral.cards import write_card

    card = write_card(chosen.adapter, chosen.profile)
    _say(f"the card is in {card}; nothing was uploaded. To publish the adapter:")
    _say(f"  hf upload YOUR-NAME/evoxtral-{chosen.profile} {chosen.adapter}")


def _example(chosen: Namespace) -> None:
    """Make reports/example and the README's numbers from a finished report."""
    from evoxtral.report.page import write_example

    _say(f"the example is in {write_example(chosen.profile)}")


def _run(chosen: Namespace) -> None:
    """Build a notebook's stages, which finds them in runs/ afterwards.

    Under `accelerate launch -m evoxtral run …` all processes share the work; `--multi_gpu` is
    accelerate's word for several processes, also where there is no GPU.
    """
    from evoxtral import params

    if made := build(params.profile(params.NOTEBOOKS[chosen.notebook], chosen.profile)):
        _say(f"{chosen.notebook} is ready: {made}")


def build(cfg: Parameters) -> str:
    """Build the stages of 02, 03 or 04, together with the other processes of the launch.

    Returns how many were built, and where the adapter of 02 or 03 lies (of several, that of the
    first seed); nothing in a process that is not the main one.
    """
    from evoxtral import bench, params, pipeline, processes, raft, runs
    from evoxtral.mix.source import TRAIN
    from evoxtral.model import device

    tuning = cfg if isinstance(cfg, params.FineTuning) else params.profile(params.Sft, cfg.profile)
    adapter = ""
    with processes.together(cpu=device(tuning.device).type == "cpu"):
        if isinstance(cfg, params.Benchmark):
            bench.measure(cfg)
        else:
            setup = pipeline.open_setup(cfg)
            if isinstance(cfg, params.Raft):
                recipe = raft.recipe_of(cfg)
                starts = raft.start_adapters(cfg, setup)
                made = raft.repeat(recipe, setup, starts, "RAFT")
                systems = raft.compared(recipe, setup, starts, made)
                raft.best_by_validation(setup, systems)
                last = systems[raft.RL]
            else:
                last = [own.adapter for own in pipeline.sft_adapters(cfg, setup)]
                systems = {"base": [None], "SFT": last}
                for split in (TRAIN, setup.balanced):
                    setup.heard(split)
                pipeline.evaluate(setup, setup.balanced, systems)
            pipeline.evaluate(setup, setup.headline, systems)
            adapter = f", the adapter is in {last[0]}"
        used = runs.used_stages()
        built = sum(stage.executed for stage in used)
        return f"{built} of {len(used)} stages built{adapter}" if processes.is_main() else ""


def _transcribe(chosen: Namespace) -> None:
    """Transcribe recordings of any length."""
    names = [f"{file.stem}{_SUFFIXES[chosen.format]}" for file in chosen.files]
    twice = [name for name in names if names.count(name) > 1]
    if chosen.out and twice:
        raise UserError(f"several files would be written to {twice[0]}: give them different names")
    if not chosen.out and chosen.format in ("srt", "vtt") and len(names) > 1:
        raise UserError("subtitles of several files are no subtitles: give a folder by --out")
    from evoxtral import runs
    from evoxtral.transcribe import SILENT, Transcript, render, transcribe_files

    failed, keep_tags = [], chosen.tags == "keep"
    how = {"language": chosen.language, "shown": chosen.out is not None}
    made = transcribe_files(chosen.files, chosen.adapter, chosen.base, **how)
    for file, name, one in zip(chosen.files, names, made, strict=True):
        if not isinstance(one, Transcript):
            failed.append(f"{file}: {one}")
            continue
        if one.damage:
            sys.stderr.write(f"evoxtral: {file}: {one.damage}\n")
        if not one.text:
            level = "" if one.chunks else f": all of it is below {SILENT:.0f} dB of full scale"
            sys.stderr.write(f"evoxtral: {file}: no words were heard{level}\n")
        shown = render(one, chosen.format, keep_tags)
        if chosen.out:
            _say(str(runs.write_text(chosen.out / name, shown)))
        else:
            head = f"{one.file}\n" if chosen.format == "text" and len(names) > 1 else ""
            _say(head + shown.rstrip("\n"))
    if failed:
        raise UserError(
            f"{len(failed)} of {len(names)} files could not be transcribed: {'; '.join(failed)}"
        )


def _speed(chosen: Namespace) -> None:
    """Measure speed beside the straightforward way."""
    from evoxtral import cost, speed

    if chosen.what == "real":
        _say(cost.measure_real(160).to_string(index=False, na_rep="—"))
    else:
        speed.measure(chosen.profile, "full")


if __name__ == "__main__":
    sys.exit(main())
