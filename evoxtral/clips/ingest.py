"""Foreign recordings become a clean corpus: validated, converted, in AudioFolder layout."""

from __future__ import annotations

from pathlib import Path

from evoxtral import UserError, runs
from evoxtral.clips.audio import read_audio, write_audio
from evoxtral.clips.folder import folder_of, write_card, write_split
from evoxtral.clips.loading import Dataset, load
from evoxtral.clips.reading import Reading
from evoxtral.clips.validate import Policy, Validation, validate, write_findings


def ingest(
    source: Path | str,
    target: Path | str,
    policy: Policy | None = None,
    reading: Reading | None = None,
) -> tuple[Dataset, Validation]:
    """Copy the usable clips of a dataset as 16 kHz mono FLAC.

    Beside the splits, `rejects.csv`, `warnings.csv` and `repairs.csv` say what was left out, what
    is odd, and what was converted.

    Args:
        source: An AudioFolder or a JSON-lines manifest (`folder.read_rows`).
        target: A new folder.
        policy: The defaults of `Policy` if None.
        reading: What to change in every row before it is judged; nothing if None.

    Returns:
        The new dataset, and the judgement of the old one.

    Raises:
        UserError: Too many rejects (see `validate`), or the target exists.
    """
    target = Path(target).absolute()
    if target.exists() and any(path.name != "rejects.csv" for path in target.iterdir()):
        raise UserError(f"{target} is not empty: choose a new folder")
    with runs.exclusive(target):
        judged = validate(source, policy, target / "rejects.csv", reading)
        write_findings(target / "warnings.csv", judged.warnings)
        write_findings(target / "repairs.csv", judged.repairs)
        for split, clips in judged.dataset.splits.items():
            rows = []
            for clip in clips:
                row = clip.model_copy(update={"file_name": f"{clip.id}.flac"})
                samples = read_audio(judged.dataset.audio_path(clip))
                write_audio(target / folder_of(split) / row.file_name, samples)
                rows.append(row)
            write_split(target, split, rows)
        write_card(target, judged.dataset.splits)
    return load(target), judged
