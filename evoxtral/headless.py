"""What a notebook builds, without the notebook: several processes can share this work.

The same stages from the same parameters: the notebook, run afterwards, finds them all in `runs/`
and only draws.
"""

from __future__ import annotations

from collections.abc import Callable

from evoxtral import UserError, datamix, processes, runs, sft
from evoxtral.bench.measured import measure
from evoxtral.model import device
from evoxtral.params import Benchmark, FineTuning, Parameters, Raft, Sft
from evoxtral.pipeline import open_setup, transcripts
from evoxtral.raft import recipes, run, views


def _sft(cfg: Sft) -> None:
    setup = open_setup(cfg, encoder_learns=cfg.encoder_lora)
    tuned = sft.adapter(cfg, setup)
    for split in (setup.headline, setup.balanced):
        for adapter in (None, tuned.adapter):
            transcripts(setup, split, adapter)
    for split in (datamix.TRAIN, setup.balanced):
        setup.features(split)


def _raft(cfg: Raft) -> None:
    recipe = recipes.of_parameters(cfg)
    setup = open_setup(cfg)
    start = run.start_adapter(cfg, setup)
    refined = run.refine(cfg, setup, start, recipe, "RAFT")
    adapters = views.compared(cfg, setup, start, recipe, refined)
    views.best_by_validation(setup, adapters)
    for adapter in adapters.values():
        transcripts(setup, setup.headline, adapter)
    for name in (views.SFT, views.RL):
        transcripts(setup, setup.balanced, adapters[name])


_BUILDERS: dict[str, Callable[..., object]] = {
    Sft.notebook: _sft,
    Raft.notebook: _raft,
    Benchmark.notebook: measure,
}

NOTEBOOKS = tuple(_BUILDERS)
"""Those whose stages can be built without them; the others' are light, or built by these."""


def build(cfg: Parameters) -> str:
    """Build the stages of a notebook, together with the other processes of the launch.

    Args:
        cfg: its parameters.

    Returns:
        How many were built; nothing in a process that is not the main one.

    Raises:
        UserError: there is nothing to build for it, or a stage fails; one sentence.
    """
    if cfg.notebook not in _BUILDERS:
        raise UserError(f"{cfg.notebook} has no stages of its own: choose {' or '.join(NOTEBOOKS)}")
    chosen = cfg if isinstance(cfg, FineTuning) else sft.parameters_of(cfg.profile)
    with processes.together(cpu=device(chosen.device).type == "cpu"):
        _BUILDERS[cfg.notebook](cfg)
        used = runs.used_stages()
        built = sum(stage.executed for stage in used)
        return f"{built} of {len(used)} stages built" if processes.is_main() else ""
