"""How long things take, beside the straightforward way of doing them.

* `measure`, `machine`, `results`: taking turns, ratios with their spread, files.
* `plain`: the straightforward ways, with transformers and peft alone.
* `finetuning` (over `steps`), `evaluate`, `sampling`: ours against them.
* `near_duplicates`: the text filter on growing sets.
"""
