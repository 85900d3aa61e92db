"""Sample k completions of every prompt clip, as a stage that survives being killed.

Batches are planned from the full list of clips, so that a resumed run, or another process, takes
whole batches of the same plan; each completion's random numbers come from (seed, clip, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from evoxtral import artifacts, stages
from evoxtral.errors import UserError
from evoxtral.experiment import Setup, listener
from evoxtral.model import adapter_digest
from evoxtral.progress import progress
from evoxtral.raft.records import Completion, append_completions, read_completions
from evoxtral.sample import Decoding, decode, plan_batches

__all__ = ["COMPLETIONS", "Sampling", "sample"]

COMPLETIONS = "completions.jsonl"
_PART = "part.jsonl"
_CODE = ("evoxtral.model", "evoxtral.raft.sampling", "evoxtral.sample")


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
        "clips": artifacts.digest([[clip.id, clip.sha256] for clip in chosen]),
        "max_new_tokens": setup.max_new_tokens,
    }
    made = stages.stage(
        "completions",
        setup.cfg.profile,
        params,
        lambda folder: _sample_all(folder, setup, split, rows, adapter, how),
        code=_CODE,
    )
    return read_completions(made.path / COMPLETIONS, [clip.id for clip in chosen])


def _sample_all(
    folder: Path, setup: Setup, split: str, rows: Sequence[int], adapter: Path, how: Sampling
) -> None:
    clips = [setup.clips(split)[i] for i in rows]
    ids = [clip.id for clip in clips]
    part = folder / _PART
    found = read_completions(part, ids) if part.exists() else []
    have = {(row.clip, row.index) for row in found}
    model, heard = listener(setup, split, adapter)
    windows = [heard.windows[i] for i in rows]
    settings = Decoding(setup.max_new_tokens, how.temperature, how.top_p)
    plan = plan_batches(windows, [clip.seconds or 0.0 for clip in clips], how.batch)
    total = len(clips) * how.k
    with progress(total, "completions", unit="completion", done=len(have)) as bar:
        for batch in plan:
            missing = [
                (ids[i], index)
                for i in batch
                for index in range(how.k)
                if (ids[i], index) not in have
            ]
            if not missing:
                continue
            seeds = [[_seed(how.seed, ids[i], index) for index in range(how.k)] for i in batch]
            made = decode(
                model,
                setup.prompter.prompt(windows[batch[0]]),
                torch.cat([heard[rows[i]] for i in batch]),
                settings,
                setup.prompter.eos,
                seeds,
                how.k,
            )
            new = [
                Completion(ids[i], j, setup.prompter.text(one.ids), len(one.ids), one.finished)
                for i, group in zip(batch, made, strict=True)
                for j, one in enumerate(group)
                if (ids[i], j) not in have
            ]
            append_completions(part, new)
            bar.update(len(new))
    place = {name: i for i, name in enumerate(ids)}
    everything = sorted(read_completions(part, ids), key=lambda row: (place[row.clip], row.index))
    artifacts.write_jsonl(folder / COMPLETIONS, [asdict(row) for row in everything])
    part.unlink()


def _seed(seed: int, clip: str, index: int) -> int:
    return int(artifacts.digest([seed, clip, index])[:16], 16)
