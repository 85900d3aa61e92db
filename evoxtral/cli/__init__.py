"""Commands of `python -m evoxtral`, one module each.

A module has `add_parser(commands)`, which adds its parser and sets `run`: a function from the
parsed arguments to the text to print, empty for none. Modules import what they need when a
command runs, not when they are loaded: `--help` must not wait for papermill or torch.
"""

from evoxtral.cli import card, example, report, run, status, transcribe

COMMANDS = (report, status, card, example, run, transcribe)
"""In the order in which `--help` lists them."""
