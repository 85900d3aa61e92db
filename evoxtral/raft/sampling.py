"""Sample k completions of every prompt clip, as a stage that survives being killed.

Batches are planned from the full list of clips, so that a resumed run, or another process, takes
whole batches of the same plan; each completion's random numbers come from (seed, clip, index).
Each process appends to a part of its own; the parts become one file, in the order of clips. In
float32 on one thread per process that file is the same, byte for byte, however many there were.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from evoxtral import UserError, processes, runs
from evoxtral.decode import Batch, Decoding, decode, plan_batches
from evoxtral.model import adapter_digest
from evoxtral.pipeline import Setup, listener
from evoxtral.progress import progress
from evoxtral.raft.records import Completion, append_completions, read_completions

COMPLETIONS = "completions.jsonl"
_PARTS = "part-*.jsonl"
_CODE = ("evoxtral.model", "evoxtral.raft.sampling", "evoxtral.decode")


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn.

    Attributes:
        k: completions per clip.
        temperature: above 0.
        top_p: nucleus, in (0, 1].
        batch: clips prefilled at once; k times as many rows are decoded.
        seed: of all draws.

    Raises:
        UserError: a value is out of range.
    """

    k: int
    temperature: float
    top_p: float
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"k is {self.k}: sample at least one completion per clip")
        if self.temperature <= 0:
            raise UserError(f"temperature is {self.temperature}: sampling needs more than 0")


def sample(
    setup: Setup, split: str, clips: Sequence[str], adapter: Path, how: Sampling
) -> list[Completion]:
    """Completions of clips by an adapter, in the order of clips and indices.

    Args:
        setup: clips and base.
        split: that the clips are in.
        clips: their ids.
        adapter: folder of the adapter that writes.
        how: k, temperature, seed.
    """
    wanted = set(clips)
    rows = [i for i, clip in enumerate(setup.clips(split)) if clip.id in wanted]
    chosen = [setup.clips(split)[i] for i in rows]
    params = {
        **asdict(how),
        "base": setup.base.digest,
        "adapter": adapter_digest(adapter),
        "clips": runs.digest([[clip.id, clip.sha256] for clip in chosen]),
        "max_new_tokens": setup.max_new_tokens,
    }
    made = runs.stage(
        "completions",
        setup.cfg.profile,
        params,
        lambda folder: _sample_all(folder, setup, split, rows, adapter, how),
        code=_CODE,
        together=True,
    )
    return read_completions(made.path / COMPLETIONS, [clip.id for clip in chosen])


def _sample_all(
    folder: Path, setup: Setup, split: str, rows: Sequence[int], adapter: Path, how: Sampling
) -> None:
    clips = [setup.clips(split)[i] for i in rows]
    ids = [clip.id for clip in clips]
    model, heard = listener(setup, split, adapter)
    windows = [heard.windows[i] for i in rows]
    plan = plan_batches(windows, [clip.seconds or 0.0 for clip in clips], how.batch)
    have = {(row.clip, row.index) for row in _parts(folder, ids)}
    mine = processes.share([batch for batch in plan if _lacks(batch, ids, how.k, have)])
    processes.barrier()  # nobody writes before everybody has read
    part = folder / _PARTS.replace("*", f"{processes.index():03d}")
    total = how.k * sum(map(len, mine))
    with progress(total, "completions", unit="completion") as bar:
        for batch in mine:
            features = torch.cat([heard[rows[i]] for i in batch])
            chosen = [ids[i] for i in batch]
            made = _complete(setup, model, windows[batch[0]], features, chosen, how)
            append_completions(part, [one for one in made if (one.clip, one.index) not in have])
            bar.update(len(made))
    processes.barrier()
    if processes.is_main():
        _join(folder, ids)


def _complete(
    setup: Setup,
    model: nn.Module,
    windows: int,
    features: Tensor,
    clips: Sequence[str],
    how: Sampling,
) -> list[Completion]:
    """All completions of a batch."""
    made = decode(
        model,
        setup.prompter.prompt(windows),
        features,
        Decoding(setup.max_new_tokens, how.temperature, how.top_p),
        setup.prompter.eos,
        [[_seed(how.seed, clip, index) for index in range(how.k)] for clip in clips],
        how.k,
    )
    return [
        Completion(clip, index, setup.prompter.text(one.ids), len(one.ids), one.finished)
        for clip, group in zip(clips, made, strict=True)
        for index, one in enumerate(group)
    ]


def _lacks(batch: Batch, ids: Sequence[str], k: int, have: Container[tuple[str, int]]) -> bool:
    return any((ids[i], index) not in have for i in batch for index in range(k))


def _parts(folder: Path, ids: Sequence[str]) -> Iterator[Completion]:
    """What is there already, by however many processes it was written."""
    for part in sorted(folder.glob(_PARTS)):
        yield from read_completions(part, ids)


def _join(folder: Path, ids: Sequence[str]) -> None:
    place = {name: i for i, name in enumerate(ids)}
    everything = sorted(_parts(folder, ids), key=lambda row: (place[row.clip], row.index))
    runs.write_jsonl(folder / COMPLETIONS, [asdict(row) for row in everything])
    for part in folder.glob(_PARTS):
        part.unlink()


def _seed(seed: int, clip: str, index: int) -> int:
    return int(runs.digest([seed, clip, index])[:16], 16)
