"""How long things take, beside the straightforward way of doing them and beside the limit.

* `measure`, `machine`, `results`, `reading`: taking turns, ratios with their spread, files.
* `plain`: the straightforward ways, with transformers and peft alone.
* `encode`, `finetuning` (over `steps`), `evaluate`, `sampling`: ours against them.
* `near_duplicates`, `mixing`, `synthesis`: the same for what needs no model.
* `roofline`, `floors`, `ceilings`: the least time that work can take, from shapes and lengths.
* `points`, `growth`: time, memory and prefill as sizes grow, each point in its own process.
* `real`: the method's steps at Voxtral's size on random weights, for a GPU.
* `suite`: everything in parts that go on where a stopped run was; `views`: what 05 shows.
"""
