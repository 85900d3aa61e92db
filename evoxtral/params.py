"""Parameters: one strict model per notebook, read from a cell, a file or the command line.

Every notebook has one cell tagged `parameters` with typed literals. The cell after it calls
`load`, which refuses unknown names and wrong values in one sentence before any work starts:
papermill itself only warns about a mistyped name, and hands YAML's `1e-5` over as a string.
"""

from __future__ import annotations

import ast
import difflib
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evoxtral import UserError, runs

Profile = Literal["smoke", "tiny", "paper"]
PROFILES: tuple[str, ...] = get_args(Profile)

Text = Annotated[str, Field(min_length=1)]
Size = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Amount = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=0.1)]
Device = Literal["auto", "cpu", "cuda"]
Language = Annotated[str, Field(pattern="^[a-z]{2}$")]
Tracker = Literal["disabled", "offline", "online"]


class Parameters(BaseModel):
    """What every notebook takes; what a parameter means stands beside it in `params/tiny`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    notebook: ClassVar[str]

    profile: Profile
    seed: Annotated[int, Field(ge=0, lt=2**31)]

    def digest(self) -> str:
        """SHA-256 of the resolved values."""
        return runs.digest({"notebook": self.notebook, **self.model_dump(mode="json")})

    def _repr_markdown_(self) -> str:
        """A table of the resolved values, shown in notebooks."""
        file = runs.root() / "params" / "tiny" / f"{self.notebook}.yaml"
        said = dict(re.findall(r"^(\w+):.*?  # (.*)$", file.read_text("utf-8"), re.MULTILINE))
        rows = [f"| `{name}` | `{value!r}` | {html.escape(said[name])} |" for name, value in self]
        return "\n".join(["| parameter | value | meaning |", "|---|---|---|", *rows])


class Benchmark(Parameters):
    """Parameters of `04_benchmark.ipynb`."""

    notebook: ClassVar[str] = "04_benchmark"

    seeds: Size
    language: Language
    source: Literal["measured", "paper"]
    split: str
    adapter: str
    predictions: str
    tracker: Tracker


class TinyBase(Parameters):
    """Parameters of `00_tiny_base.ipynb`."""

    notebook: ClassVar[str] = "00_tiny_base"

    neutral: Annotated[int, Field(ge=64)]
    refine: Annotated[int, Field(ge=64)]
    expressive: Annotated[int, Field(ge=64)]
    dev: Size
    test: Annotated[int, Field(ge=2)]
    test_voices: Annotated[int, Field(ge=2)]
    expressive_test: Annotated[int, Field(ge=2)]
    probe: Annotated[int, Field(ge=16)]
    lines: Annotated[int, Field(ge=32)]
    merges: Annotated[int, Field(ge=1, le=850)]
    steps: Size
    batch: Size
    learning_rate: Rate
    refine_steps: Size
    refine_learning_rate: Rate
    perturb: Annotated[float, Field(ge=0, le=0.3)]
    device: Device
    workers: Number
    ship: bool


class DataMix(Parameters):
    """Parameters of `01_data_mix.ipynb`."""

    notebook: ClassVar[str] = "01_data_mix"

    source: Text
    train: Size
    validation: Number
    test: Number
    natural: Number
    balanced: Number
    raft_prompts: Number
    plain_val: Number
    base_test: Number
    unknown_tags: Literal["keep", "warn", "reject"]
    train_pairs: Annotated[int, Field(ge=2)]
    test_pairs: Annotated[int, Field(ge=2)]
    threshold: Annotated[float, Field(gt=0, le=1)]
    mix: Literal["written", "targets", "1:1", "3:1", "7:1", "15:1"]
    class_balance: Literal["none", "oversample", "weighted"]
    beta: Part
    workers: Number
    real: str
    columns: str
    tag_names: str
    shared_texts: Literal["warn", "reject"]
    scripts: Text
    voices: Text
    speech_model: Text
    stability: Share
    speech_price: Amount
    allow_characters: Number
    speech_url: Text
    script_model: str
    votes: Annotated[int, Field(ge=0, le=9)]
    allow_requests: Number
    script_url: Text
    concurrency: Size


class FineTuning(Parameters):
    """What every fine-tuning notebook takes: the report's Table 1."""

    seeds: Size
    base: Text
    language: Language
    device: Device
    precision: Literal["auto", "float32", "bfloat16"]
    epochs: Size
    learning_rate: Rate
    schedule: Literal["cosine", "linear", "constant"]
    warmup: Part
    batch: Size
    micro_batch: Size
    weight_decay: Amount
    neftune_alpha: Amount
    label_smoothing: Part
    checkpointing: bool
    plain_limit: Annotated[float, Field(gt=0)]
    plain_patience: Number
    decode_batch: Size
    tracker: Tracker


class Sft(FineTuning):
    """Parameters of `02_sft.ipynb`."""

    notebook: ClassVar[str] = "02_sft"

    lora_rank: Size
    lora_alpha: Size
    lora_dropout: Part
    encoder_lora: bool
    shown: Size


class Raft(FineTuning):
    """Parameters of `03_raft.ipynb`; fine-tuning's own are those of its last step."""

    notebook: ClassVar[str] = "03_raft"

    adapter: str
    prompts: Literal["raft_prompts", "train"]
    k: Annotated[int, Field(ge=1, le=1024)]
    temperature: Annotated[float, Field(gt=0, le=10)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    sample_batch: Size
    accuracy_weight: Share
    tag_weight: Share
    hallucination_weight: Share
    convention: Literal["report", "strict"]
    curation: Literal["report", "exact"]
    drop_share: Part
    drop_flat: bool
    untagged: Part
    rounds: Size
    compare: Literal["none", "controls", "grid"]
    shown: Size


class Speed(Parameters):
    """Parameters of `05_speed.ipynb`."""

    notebook: ClassVar[str] = "05_speed"

    measure: Literal["none", "quick", "full"]
    results: Annotated[str, Field(pattern="^[a-z0-9]+$")]


NOTEBOOKS: dict[str, type[Parameters]] = {
    model.notebook: model for model in (TinyBase, DataMix, Sft, Raft, Benchmark, Speed)
}

REPORT_NOTEBOOKS = ("01_data_mix", "02_sft", "03_raft", "04_benchmark")
"""The notebooks of the report, in the order of its sections."""

AnyParameters = TypeVar("AnyParameters", bound=Parameters)
_PAPERMILL = "# Parameters\n"  # opens the cell that papermill injects
_PLAIN = (str, int, float, bool, list, dict, tuple, type(None))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a parameter file, names with values; a `UserError` where it is missing or no such."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise UserError(f"the parameter file {path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold `name: value` lines")
    return values


def profile(
    model: type[AnyParameters], name: str, changes: Mapping[str, Any] | None = None
) -> AnyParameters:
    """The parameters of a notebook in a profile: tiny's file, under the profile's own, and changes.

    A `UserError` for a bad file or change.
    """
    files = (runs.root() / "params" / one / f"{model.notebook}.yaml" for one in ("tiny", name))
    tiny, own = map(read_yaml, files)
    return _validated(model, {**tiny, **own, **(changes or {})})


def load(notebook: str, namespace: Mapping[str, Any]) -> Parameters:
    """Build the parameters from a notebook's global names.

    Call it as `params.load("04_benchmark", globals())` in a cell after the `parameters` cell. What
    that cell assigned when it last ran counts, and what papermill's cell after it did: either can
    be mended and run again. Where no sources of cells are kept, as in a script or by nbval, every
    plain value counts.

    Raises:
        UserError: a name is unknown or missing, or a value is out of range; one sentence.
    """
    model = NOTEBOOKS[notebook]
    fields = set(model.model_fields)
    plain = {name for name, value in namespace.items() if isinstance(value, _PLAIN)}
    names = {name for name in plain if not name.startswith("_")} - {"In", "Out"}
    names |= fields & set(namespace)
    if assigned := _assigned(namespace.get("In", ()), fields):
        names &= assigned
    return _validated(model, {name: namespace[name] for name in sorted(names)})


def _assigned(cells: Iterable[str], fields: set[str]) -> set[str]:
    """The names assigned by the last of IPython's cells that annotates a field, and papermill's."""
    own, injected = set[str](), set[str]()
    for source in cells:
        try:
            tree = ast.parse(source)
        except SyntaxError:  # it did not run
            continue
        names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
        stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        # Not inside functions and classes, whose names are their own.
        if fields & {ast.unparse(n.target) for n in tree.body if isinstance(n, ast.AnnAssign)}:
            own, injected = stored, set()
        elif source.startswith(_PAPERMILL):
            injected = stored
    return own | injected


def _validated(model: type[AnyParameters], values: Mapping[str, Any]) -> AnyParameters:
    known = set(model.model_fields)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise UserError(f"unknown parameter {name!r} of {model.notebook}: {hint}")
    missing = sorted(known - set(values))  # none has a default
    if missing:
        raise UserError(
            f"parameter {missing[0]!r} of {model.notebook} is missing: run the cell that assigns it"
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        [name], value, hint = first["loc"], first["input"], ""
        if first["type"] == "string_type" and isinstance(value, int | float):
            hint = " (papermill reads it as a number: pass it with -r to keep it as text)"
        raise UserError(
            f"parameter {name!r} of {model.notebook} is {value!r}: {first['msg']}{hint}"
        ) from error
