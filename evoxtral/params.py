"""Parameters: one strict model per notebook, read from a cell, a file or the command line.

Every notebook has one cell tagged `parameters` with typed literals. The cell after it calls
`load`, which refuses unknown names and wrong values in one sentence before any work starts:
papermill itself only warns about a mistyped name, and hands YAML's `1e-5` over as a string.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evoxtral import UserError, runs

Profile = Literal["smoke", "tiny", "paper"]
PROFILES: tuple[str, ...] = get_args(Profile)


class Parameters(BaseModel):
    """What every notebook takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    notebook: ClassVar[str]

    profile: Profile = Field(description="names the files that describe the stages before this one")
    seed: int = Field(ge=0, lt=2**31, description="all randomness derives from it")

    def digest(self) -> str:
        """SHA-256 of the resolved values."""
        return runs.digest({"notebook": self.notebook, **self.model_dump(mode="json")})

    def _repr_markdown_(self) -> str:
        """A table of the resolved values, shown in notebooks."""
        rows = [
            f"| `{name}` | `{getattr(self, name)!r}` | {field.description or ''} |"
            for name, field in type(self).model_fields.items()
        ]
        return "\n".join(["| parameter | value | meaning |", "|---|---|---|", *rows])


class Benchmark(Parameters):
    """Parameters of `04_benchmark.ipynb`."""

    notebook: ClassVar[str] = "04_benchmark"

    source: Literal["measured", "paper"] = Field(
        description="measured runs the systems, and trains what is missing; paper only draws the "
        "published numbers"
    )
    split: str = Field(
        description="test split of the headline numbers; empty takes natural, or test"
    )
    adapter: str = Field(
        description="folder of one more adapter to measure, from the checkout; empty for none"
    )
    predictions: str = Field(
        description="JSON lines (id, text) of one more system on that split; empty for none"
    )
    tracker: Literal["disabled", "offline", "online"] = Field(
        description="Weights & Biases, one run for each system; online needs its key in the "
        "environment"
    )


class TinyBase(Parameters):
    """Parameters of `00_tiny_base.ipynb`."""

    notebook: ClassVar[str] = "00_tiny_base"

    neutral: int = Field(ge=64, description="plain utterances to learn from")
    refine: int = Field(ge=64, description="plain utterances for the second cycle")
    expressive: int = Field(ge=64, description="tagged utterances that the encoder hears framewise")
    dev: int = Field(ge=1, description="plain utterances to watch progress on")
    test: int = Field(ge=2, description="unseen plain utterances in training voices")
    test_voices: int = Field(ge=2, description="unseen plain utterances in held-out voices")
    expressive_test: int = Field(ge=2, description="unseen tagged utterances")
    probe: int = Field(ge=16, description="clips of each tag for the linear probes")
    lines: int = Field(ge=32, description="lines of text read without audio")
    merges: int = Field(ge=1, le=850, description="merges of the byte-level tokenizer")
    steps: int = Field(ge=1, description="optimiser steps")
    batch: int = Field(ge=1, description="utterances per step")
    learning_rate: float = Field(gt=0, le=0.1, description="peak of the one-cycle schedule")
    refine_steps: int = Field(ge=1, description="optimiser steps of the second cycle")
    refine_learning_rate: float = Field(gt=0, le=0.1, description="peak of the second cycle")
    perturb: float = Field(
        ge=0, le=0.3, description="second cycle: largest change of vocal tract and of tempo"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto takes a GPU if there is one")
    workers: int = Field(ge=0, description="synthesis processes; 0 takes one per processor")
    ship: bool = Field(description="replace the checkpoint that ships with the package")


class DataMix(Parameters):
    """Parameters of `01_data_mix.ipynb`."""

    notebook: ClassVar[str] = "01_data_mix"

    source: str = Field(
        min_length=1,
        description="generated, released, llm, elevenlabs, hub:owner/name, or a path: scripts as "
        "JSON, a folder or manifest of clips; a relative one starts at the checkout",
    )
    train: int = Field(ge=1, description="generated clips for fine-tuning")
    validation: int = Field(ge=0, description="generated clips to watch fine-tuning on")
    test: int = Field(ge=0, description="generated test clips, as many as the report has")
    natural: int = Field(ge=0, description="generated test clips for the headline numbers")
    balanced: int = Field(ge=0, description="generated test clips with all tags about as often")
    raft_prompts: int = Field(ge=0, description="generated clips for rejection sampling")
    plain_val: int = Field(ge=0, description="generated plain clips to watch forgetting on")
    base_test: int = Field(ge=0, description="generated neutral clips the base is measured on")
    unknown_tags: Literal["keep", "warn", "reject"] = Field(
        description="what to do with clips that carry a tag outside the vocabulary"
    )
    train_pairs: int = Field(ge=2, description="pairs of clips that each audibility probe learns")
    test_pairs: int = Field(ge=2, description="pairs of clips it is tested on, in unheard voices")
    threshold: float = Field(gt=0, le=1, description="ROUGE-L from which texts are alike")
    mix: Literal["written", "targets", "1:1", "3:1", "7:1", "15:1"] = Field(
        description="draws: each clip once, what meets the targets, or tagged : plain"
    )
    class_balance: Literal["none", "oversample", "weighted"] = Field(
        description="rare tags on top of that: as drawn, drawn more often, or weighted in the loss"
    )
    beta: float = Field(ge=0, lt=1, description="of class balance; towards 1 rare tags weigh more")
    workers: int = Field(ge=0, description="synthesis processes; 0 takes one per processor")
    real: str = Field(
        description="recordings to test on beside the source, as split real; empty for none"
    )
    columns: str = Field(
        description="their columns and ours, for recordings and hub: transcript:tagged_text, ..."
    )
    tag_names: str = Field(
        description="their notation and ours, in their texts: <laughter>:[laughs], ..."
    )
    scripts: str = Field(
        min_length=1,
        description="what elevenlabs speaks: released, generated, llm, or a path: scripts as JSON",
    )
    voices: str = Field(
        min_length=1,
        description="of elevenlabs: premade, or ids with commas between; id:female says the gender",
    )
    speech_model: str = Field(min_length=1, description="of elevenlabs")
    stability: float = Field(
        ge=0, le=1, description="of elevenlabs: 0 creative, 0.5 natural, 1 hardly follows tags"
    )
    speech_price: float = Field(
        ge=0, description="of a million characters in your plan, for the estimate; 0 if unknown"
    )
    allow_characters: int = Field(
        ge=0, description="most characters that elevenlabs may be paid for; 0 only estimates"
    )
    speech_url: str = Field(min_length=1, description="of elevenlabs; its regions have their own")
    script_model: str = Field(description="model id of the language model that writes scripts")
    votes: int = Field(
        ge=0, le=9, description="of the same model as judge on each script; 0 for no judge"
    )
    allow_requests: int = Field(
        ge=0, description="most requests the language model may be paid for; 0 only estimates"
    )
    script_url: str = Field(min_length=1, description="OpenAI or a server with its protocol")
    concurrency: int = Field(ge=1, description="requests to a provider at a time")


class FineTuning(Parameters):
    """What every fine-tuning notebook takes: the report's Table 1."""

    base: str = Field(min_length=1, description="base model: tiny, a folder, or an id on the hub")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto takes a GPU if there is one")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="of the arithmetic in training; auto takes bfloat16 where that is faster"
    )
    epochs: int = Field(ge=1, description="passes over the training mix")
    learning_rate: float = Field(gt=0, le=0.1, description="its peak")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        description="of the learning rate, after the warm-up"
    )
    warmup: float = Field(ge=0, lt=1, description="share of steps in which it rises")
    batch: int = Field(ge=1, description="examples per optimiser step")
    micro_batch: int = Field(ge=1, description="examples per forward pass; divides batch")
    weight_decay: float = Field(ge=0, description="of AdamW")
    neftune_alpha: float = Field(ge=0, description="noise on the embeddings of text; 0 for none")
    label_smoothing: float = Field(
        ge=0, lt=1, description="share of each label spread over all tokens; 0 for none"
    )
    checkpointing: bool = Field(description="recompute activations, to save memory")
    plain_limit: float = Field(
        gt=0, description="rise of the word error rate on plain speech that stops training"
    )
    plain_patience: int = Field(ge=0, description="epochs in a row beyond it that are borne")
    decode_batch: int = Field(ge=1, description="clips of a batch that is transcribed")
    tracker: Literal["disabled", "offline", "online"] = Field(
        description="Weights & Biases; online needs its key in the environment"
    )


class Sft(FineTuning):
    """Parameters of `02_sft.ipynb`."""

    notebook: ClassVar[str] = "02_sft"

    lora_rank: int = Field(ge=1, description="rank of the adapters")
    lora_alpha: int = Field(ge=1, description="adapters are scaled by alpha / rank")
    lora_dropout: float = Field(ge=0, lt=1, description="on the adapters' input")
    encoder_lora: bool = Field(
        description="adapt the audio encoder too, as the published run did; no feature cache then"
    )
    shown: int = Field(ge=1, description="clips whose transcripts are shown before and after")


class Raft(FineTuning):
    """Parameters of `03_raft.ipynb`; fine-tuning's own are those of its last step."""

    notebook: ClassVar[str] = "03_raft"

    adapter: str = Field(
        description="folder of the SFT adapter to start from; empty takes that of 02_sft"
    )
    prompts: Literal["raft_prompts", "train"] = Field(
        description="split that is sampled: unseen in SFT, or SFT's own as in the report"
    )
    k: int = Field(ge=1, le=1024, description="completions per clip")
    temperature: float = Field(gt=0, le=10, description="of sampling")
    top_p: float = Field(gt=0, le=1, description="nucleus of sampling")
    sample_batch: int = Field(ge=1, description="clips sampled at once")
    accuracy_weight: float = Field(ge=0, le=1, description="of 1 - WER in the reward")
    tag_weight: float = Field(ge=0, le=1, description="of Tag F1 in the reward")
    hallucination_weight: float = Field(
        ge=0, le=1, description="of the absence of hallucinated tags in the reward"
    )
    convention: Literal["report", "strict"] = Field(
        description="of the reward: tags anywhere, or tags at their place"
    )
    curation: Literal["report", "exact"] = Field(
        description="rule by which the worst clips are dropped"
    )
    drop_share: float = Field(ge=0, lt=1, description="share of clips it drops")
    drop_flat: bool = Field(description="leave out clips whose completions all earn the same")
    untagged: float = Field(
        ge=0, lt=1, description="share of untagged clips with their references; 0 leaves it be"
    )
    rounds: int = Field(ge=1, description="times to sample, select and fine-tune")
    compare: Literal["none", "controls", "grid"] = Field(
        description="what else to train: nothing, the report's recipe and controls, the whole grid"
    )
    shown: int = Field(ge=1, description="clips whose transcripts are shown before and after")


class Speed(Parameters):
    """Parameters of `05_speed.ipynb`."""

    notebook: ClassVar[str] = "05_speed"

    measure: Literal["none", "quick", "full"] = Field(
        description="whether to measure anew what is not measured yet, on the profile's clips: "
        "nothing, a minute or two to see that it works, or everything"
    )
    results: str = Field(
        pattern="^[a-z0-9]+$", description="measurements to show: the name their files end with"
    )


NOTEBOOKS: dict[str, type[Parameters]] = {
    model.notebook: model for model in (TinyBase, DataMix, Sft, Raft, Benchmark, Speed)
}

REPORT_NOTEBOOKS = ("01_data_mix", "02_sft", "03_raft", "04_benchmark")
"""The notebooks of the report, in the order of its sections."""

AnyParameters = TypeVar("AnyParameters", bound=Parameters)
_SEEN = "_evoxtral_parameter_names"


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a parameter file: a flat mapping of identifiers to scalars.

    papermill pastes keys into a code cell as they are, so a key that is no identifier would be
    code; such a file is refused.

    Raises:
        UserError: missing, no mapping, a key that is no identifier, a value that is no scalar.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"the parameter file {path} does not exist")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
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


def profile(
    model: type[AnyParameters], name: str, changes: Mapping[str, Any] | None = None
) -> AnyParameters:
    """The parameters of a notebook in a profile: tiny's file, under the profile's own, and changes.

    Raises:
        UserError: no such profile, a bad file, or a bad change.
    """
    if name not in PROFILES:
        raise UserError(f"profile {name!r} does not exist: choose one of {', '.join(PROFILES)}")
    values: dict[str, Any] = {}
    for one in dict.fromkeys(("tiny", name)):
        values |= read_yaml(runs.params_dir() / one / f"{model.notebook}.yaml")
    return _validated(model, {**values, **(changes or {})})


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
