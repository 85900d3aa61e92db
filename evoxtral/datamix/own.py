"""One's own recordings: a folder, a manifest or a dataset of the Hub, copied into a stage."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from evoxtral import UserError, runs
from evoxtral import clips as dataset
from evoxtral.clips import Policy, Reading
from evoxtral.clips.clip import RowError
from evoxtral.clips.folder import read_clip, read_rows
from evoxtral.clips.hub import fetch
from evoxtral.params import DataMix

HUB = "hub:"
"""Before the name of a dataset of the Hugging Face Hub."""

_KNOWN = {
    "source": "generated, released, llm, elevenlabs, hub:owner/name, or the path of a JSON of "
    "scripts, a folder or a manifest of clips",
    "scripts": "released, generated, llm, or the path of a JSON of scripts",
    "real": "hub:owner/name, or the path of a folder or a manifest of clips",
}

INGEST_CODE = ("evoxtral.clips", "evoxtral.tags")


def reading(cfg: DataMix) -> Reading:
    """How rows are read, as the parameters say.

    Raises:
        UserError: a parameter is not written as pairs, or names a field that no clip has.
    """
    columns = dataset.pairs(cfg.columns, "columns")
    return Reading(columns, dataset.pairs(cfg.tag_names, "tag_names"))


def existing(parameter: str, named: str) -> Path:
    """The path that a parameter names; a relative one starts at the checkout.

    Raises:
        UserError: it does not exist.
    """
    path = runs.named(named)
    if not path.exists():
        raise UserError(f"{parameter} {named!r} does not exist: give {_KNOWN[parameter]}")
    return path


def place(cfg: DataMix, parameter: str, named: str) -> Path:
    """Where recordings lie; those of the Hub are fetched first, once.

    Raises:
        UserError: they do not exist, or cannot be fetched.
    """
    if not named.startswith(HUB):
        return existing(parameter, named)
    name = named.removeprefix(HUB)
    return runs.stage("hub", cfg.profile, {"name": name}, lambda folder: _fetch(name, folder)).path


def _fetch(name: str, folder: Path) -> None:
    shutil.rmtree(folder)  # a killed run's half copy: `datasets` has its own cache
    fetch(name, folder)


def clips(cfg: DataMix, path: Path, reading: Reading) -> runs.StageResult:
    """The stage that holds recordings as 16 kHz mono FLAC; the copy is what is used.

    Raises:
        UserError: they are unusable in too large a part.
    """
    policy = Policy(unknown_tags=cfg.unknown_tags)

    def make(folder: Path) -> None:
        shutil.rmtree(folder)  # a killed run's half copy is of no use: `ingest` starts over
        dataset.ingest(path, folder, policy, reading)

    params = {
        "source": _content(path, reading),
        "unknown_tags": cfg.unknown_tags,
        "reading": reading.key,
    }
    return runs.stage("clips", cfg.profile, params, make, code=INGEST_CODE)


def _content(path: Path, reading: Reading) -> str:
    """SHA-256 over the rows of a dataset and the files they name; a bad row is only itself."""
    total = hashlib.sha256()
    for row in read_rows(path):
        total.update(f"{row.file.relative_to(path.parent)}:{row.line}:{row.value}\0".encode())
        try:
            audio = read_clip(reading(row))[1]
        except RowError:
            continue
        with audio.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
