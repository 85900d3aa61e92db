"""The core needs no deep-learning framework and loads none."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "peft", "accelerate", "mistral_common", "safetensors", "wandb")
CORE = (
    *("artifacts", "bench", "datamix", "dataset", "errors", "figures", "metrics", "mix", "params"),
    *("paths", "progress", "providers", "published", "raft", "report", "scripts", "speech"),
    *("stages", "stats", "tables", "tags"),
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
