"""The core needs no deep-learning framework and loads none."""

from __future__ import annotations

from helpers import fresh_python

HEAVY = ("torch", "transformers", "peft", "accelerate", "mistral_common", "safetensors", "wandb")
CORE = (
    *("analyses", "bench"),
    *("__main__", "clips.corpus", "clips.ingest", "figures", "metrics", "mix", "params"),
    *("processes", "providers.llm", "paper", "report", "runs", "stats"),
    *("tables", "tags", "world.base", "world.scripts", "world.speech"),
)


def test_the_core_loads_no_deep_learning_framework():
    """One after the other in one process, so that the module that does is named."""
    code = f"""
import importlib, sys
for name in {CORE}:
    importlib.import_module("evoxtral." + name)
    loaded = sorted(set({HEAVY}) & set(sys.modules))
    assert not loaded, f"evoxtral.{{name}} loads {{loaded}}"
"""
    fresh_python(code)
