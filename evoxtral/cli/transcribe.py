"""`evoxtral transcribe`: recordings in, transcripts with their expression out."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evoxtral import UserError

if TYPE_CHECKING:
    from evoxtral.cli.kinds import Commands
    from evoxtral.transcribe import Failure, Transcript


_SUFFIXES = {"json": ".json", "text": ".txt", "srt": ".srt"}


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("transcribe", help="transcribe recordings of any length")
    parser.add_argument("files", nargs="+", type=Path, help="WAV, FLAC, MP3 or OGG")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter (default: none)")
    parser.add_argument(
        "--base", default="tiny", help="tiny, a folder, or an id on the hub (default: tiny)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--format", choices=tuple(_SUFFIXES), default="text", help="of the result (default: text)"
    )
    parser.add_argument("--out", type=Path, help="folder for one result per file (default: print)")
    parser.add_argument("--batch", type=int, default=16, help="chunks at once (default: 16)")
    parser.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> str:
    from evoxtral.transcribe import Failure, Transcript, transcribe_files

    _check(chosen)
    results = transcribe_files(
        chosen.files,
        chosen.adapter,
        chosen.base,
        device=chosen.device,
        batch=chosen.batch,
        shown=chosen.out is not None,
    )
    done = [one for one in results if isinstance(one, Transcript)]
    failed = [one for one in results if isinstance(one, Failure)]
    if chosen.out:
        said = _written(done, chosen.out, chosen.format)
    else:
        said = _printed(done, chosen.format)
    if failed:
        sys.stdout.write(f"{said}\n" if said else "")
        raise _refusal(failed, len(results))
    return said


def _check(chosen: argparse.Namespace) -> None:
    if chosen.batch < 1:
        raise UserError(f"--batch is {chosen.batch}: it must be 1 or more")
    if chosen.out is None:
        if chosen.format == "srt" and len(chosen.files) > 1:
            raise UserError("subtitles of several files cannot be printed one after another: "
                            "give a folder by --out")  # fmt: skip
        return
    twice = [stem for stem, n in Counter(file.stem for file in chosen.files).items() if n > 1]
    if twice:
        name = f"{twice[0]}{_SUFFIXES[chosen.format]}"
        raise UserError(f"several files would be written to {name}: give them different names")


def _written(done: Sequence[Transcript], folder: Path, form: str) -> str:
    from evoxtral import runs
    from evoxtral.transcribe import render

    for one in done:
        runs.write_text(folder / f"{one.path.stem}{_SUFFIXES[form]}", render(one, form))
    return f"{len(done)} transcripts are in {folder}" if done else ""


def _printed(done: Sequence[Transcript], form: str) -> str:
    from evoxtral import runs
    from evoxtral.transcribe import render

    if len(done) == 1:
        return render(done[0], form).rstrip("\n")
    if form == "json":
        return runs.json_text([one.to_dict() for one in done]).rstrip("\n")
    return "\n\n".join(f"{one.path.name}\n{render(one, form)}".rstrip("\n") for one in done)


def _refusal(failed: Sequence[Failure], total: int) -> UserError:
    reasons = "; ".join(f"{one.path}: {one.reason}" for one in failed)
    return UserError(f"{len(failed)} of {total} files could not be transcribed: {reasons}")
