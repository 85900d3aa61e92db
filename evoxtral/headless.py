"""What a notebook builds, without the notebook: several processes can share this work.

The same stages from the same parameters: the notebook, run afterwards, finds them all in `runs/`
and only draws.
"""

from __future__ import annotations

from collections.abc import Callable

from evoxtral import UserError, params, pipeline, processes, raft, runs
from evoxtral.bench import measure
from evoxtral.mix.source import TRAIN
from evoxtral.model import device
from evoxtral.params import Benchmark, FineTuning, Parameters, Raft, Sft


def _sft(cfg: Sft) -> None:
    setup = pipeline.open_setup(cfg)
    systems = {"base": None, "SFT": pipeline.sft_adapter(cfg, setup).adapter}
    for split in (setup.headline, setup.balanced):
        pipeline.evaluate(setup, split, systems)
    for split in (TRAIN, setup.balanced):
        setup.heard(split)


def _raft(cfg: Raft) -> None:
    recipe = raft.recipe_of(cfg)
    setup = pipeline.open_setup(cfg)
    start = raft.start_adapter(cfg, setup)
    rounds = raft.refine(recipe, setup, start, "RAFT")
    adapters = raft.compared(recipe, setup, start, rounds)
    raft.best_by_validation(setup, adapters)
    pipeline.evaluate(setup, setup.headline, adapters)
    pair = {name: adapters[name] for name in (raft.SFT, raft.RL)}
    pipeline.evaluate(setup, setup.balanced, pair)


_BUILDERS: dict[str, Callable[..., object]] = {
    Sft.notebook: _sft,
    Raft.notebook: _raft,
    Benchmark.notebook: measure,
}

NOTEBOOKS = tuple(_BUILDERS)
"""Those whose stages can be built without them; the others' are light, or built by these."""


def build(cfg: Parameters) -> str:
    """Build the stages of a notebook, together with the other processes of the launch.

    Returns how many were built; nothing in a process that is not the main one.

    Raises:
        UserError: there is nothing to build for it, or a stage fails; one sentence.
    """
    if cfg.notebook not in _BUILDERS:
        raise UserError(f"{cfg.notebook} has no stages of its own: choose {' or '.join(NOTEBOOKS)}")
    chosen = cfg if isinstance(cfg, FineTuning) else params.profile(Sft, cfg.profile)
    with processes.together(cpu=device(chosen.device).type == "cpu"):
        _BUILDERS[cfg.notebook](cfg)
        used = runs.used_stages()
        built = sum(stage.executed for stage in used)
        return f"{built} of {len(used)} stages built" if processes.is_main() else ""
