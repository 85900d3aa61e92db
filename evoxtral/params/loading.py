"""Parameters from a cell, a file or the command line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from evoxtral import UserError, runs
from evoxtral.params.models import NOTEBOOKS, PROFILES, Parameters

MAX_YAML_BYTES = 100_000
_SEEN = "_evoxtral_parameter_names"

AnyParameters = TypeVar("AnyParameters", bound=Parameters)


class _PlainLoader(yaml.SafeLoader):
    """YAML without anchors: an alias bomb of a few lines expands to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise UserError("YAML aliases are refused: write the value out")
        return super().compose_node(parent, index)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a parameter file: a flat mapping of identifiers to scalars.

    papermill pastes keys into a code cell as they are, so a key that is no identifier would be
    code; such a file is refused.

    Raises:
        UserError: missing, too large, no mapping, a key that is no identifier, an alias or tag.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the parameter file {path} does not exist")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise UserError(f"{path} is larger than {MAX_YAML_BYTES:,} bytes: no parameter file is")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        summary = " ".join(str(error).split())
        raise UserError(f"{path} is not plain YAML: {summary}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold `name: value` lines")
    for key, value in values.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise UserError(f"{path}: {key!r} is not a parameter name")
        if not isinstance(value, str | int | float | bool | None):
            raise UserError(f"{path}: {key} must be one value, not a {type(value).__name__}")
    return values


def profile(notebook: str, name: str, changes: Mapping[str, Any] | None = None) -> Parameters:
    """The parameters of a notebook in a profile, from `params/<name>/<notebook>.yaml`.

    Args:
        notebook: its name.
        name: of the profile.
        changes: values by name that differ from the file's.

    Raises:
        UserError: no such profile, a bad file, or a bad change.
    """
    if name not in PROFILES:
        raise UserError(f"profile {name!r} does not exist: choose one of {', '.join(PROFILES)}")
    values = read_yaml(runs.params_dir() / name / f"{notebook}.yaml")
    return _validated(NOTEBOOKS[notebook], {**values, **(changes or {})})


def load(notebook: str, namespace: MutableMapping[str, Any]) -> Parameters:
    """Build the parameters from a notebook's global names.

    Call it as `params.load("04_benchmark", globals())` in the cell after the `parameters` cell,
    when the only plain values in the namespace are parameters. The names seen by the first call
    are remembered in the namespace, so that the cell can be run again in JupyterLab.

    Raises:
        UserError: a name is unknown or missing, or a value is out of range; one sentence.
    """
    model = NOTEBOOKS[notebook]
    if _SEEN not in namespace:
        namespace[_SEEN] = frozenset(_plain_names(namespace))
    names = set(namespace[_SEEN]) | (set(model.model_fields) & set(namespace))
    return _validated(model, {name: namespace[name] for name in sorted(names)})


def _plain_names(namespace: Mapping[str, Any]) -> list[str]:
    plain = (str, int, float, bool, list, dict, tuple, type(None))
    return [
        name
        for name, value in namespace.items()
        if isinstance(value, plain) and not name.startswith("_") and name not in {"In", "Out"}
    ]


def _validated(model: type[AnyParameters], values: Mapping[str, Any]) -> AnyParameters:
    known = set(model.model_fields)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise UserError(f"unknown parameter {name!r} of {model.notebook}: {hint}")
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    missing = sorted(required - set(values))
    if missing:
        raise UserError(f"parameter {missing[0]!r} of {model.notebook} is missing")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = _hint(first)
        raise UserError(
            f"parameter {name!r} of {model.notebook} is {first['input']!r}: {first['msg']}{hint}"
        ) from error


def _hint(problem: Mapping[str, Any]) -> str:
    value = problem["input"]
    if problem["type"] == "string_type" and isinstance(value, int | float):
        return " (papermill reads it as a number: pass it with -r to keep it as text)"
    if isinstance(value, float) and not math.isfinite(value):
        return " (it must be a finite number)"
    return ""
