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


def _says(meaning: str, **limits: Any) -> Any:
    """A field with its meaning, which notebooks show, and the limits of its values."""
    return Field(description=meaning, **limits)


class Parameters(BaseModel):
    """What every notebook takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    notebook: ClassVar[str]

    profile: Profile = _says("names the files that describe the stages before this one")
    seed: int = _says("all randomness derives from it", ge=0, lt=2**31)

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

    source: Literal["measured", "paper"] = _says(
        "measured runs the systems, and trains what is missing; paper only draws "
        "the published numbers"
    )
    split: str = _says("test split of the headline numbers; empty takes natural, or test")
    adapter: str = _says("folder of one more adapter to measure, from the checkout; empty for none")
    predictions: str = _says(
        "JSON lines (id, text) of one more system on that split; empty for none"
    )
    tracker: Literal["disabled", "offline", "online"] = _says(
        "Weights & Biases, one run for each system; online needs its key in the environment"
    )


class TinyBase(Parameters):
    """Parameters of `00_tiny_base.ipynb`."""

    notebook: ClassVar[str] = "00_tiny_base"

    neutral: int = _says("plain utterances to learn from", ge=64)
    refine: int = _says("plain utterances for the second cycle", ge=64)
    expressive: int = _says("tagged utterances that the encoder hears framewise", ge=64)
    dev: int = _says("plain utterances to watch progress on", ge=1)
    test: int = _says("unseen plain utterances in training voices", ge=2)
    test_voices: int = _says("unseen plain utterances in held-out voices", ge=2)
    expressive_test: int = _says("unseen tagged utterances", ge=2)
    probe: int = _says("clips of each tag for the linear probes", ge=16)
    lines: int = _says("lines of text read without audio", ge=32)
    merges: int = _says("merges of the byte-level tokenizer", ge=1, le=850)
    steps: int = _says("optimiser steps", ge=1)
    batch: int = _says("utterances per step", ge=1)
    learning_rate: float = _says("peak of the one-cycle schedule", gt=0, le=0.1)
    refine_steps: int = _says("optimiser steps of the second cycle", ge=1)
    refine_learning_rate: float = _says("peak of the second cycle", gt=0, le=0.1)
    perturb: float = _says("second cycle: largest change of vocal tract and of tempo", ge=0, le=0.3)
    device: Literal["auto", "cpu", "cuda"] = _says("auto takes a GPU if there is one")
    workers: int = _says("synthesis processes; 0 takes one per processor", ge=0)
    ship: bool = _says("replace the checkpoint that ships with the package")


class DataMix(Parameters):
    """Parameters of `01_data_mix.ipynb`."""

    notebook: ClassVar[str] = "01_data_mix"

    source: str = _says(
        "generated, released, llm, elevenlabs, hub:owner/name, or a path: scripts as "
        "JSON, a folder or manifest of clips; a relative one starts at the checkout",
        min_length=1,
    )
    train: int = _says("generated clips for fine-tuning", ge=1)
    validation: int = _says("generated clips to watch fine-tuning on", ge=0)
    test: int = _says("generated test clips, as many as the report has", ge=0)
    natural: int = _says("generated test clips for the headline numbers", ge=0)
    balanced: int = _says("generated test clips with all tags about as often", ge=0)
    raft_prompts: int = _says("generated clips for rejection sampling", ge=0)
    plain_val: int = _says("generated plain clips to watch forgetting on", ge=0)
    base_test: int = _says("generated neutral clips the base is measured on", ge=0)
    unknown_tags: Literal["keep", "warn", "reject"] = _says(
        "what to do with clips that carry a tag outside the vocabulary"
    )
    train_pairs: int = _says("pairs of clips that each audibility probe learns", ge=2)
    test_pairs: int = _says("pairs of clips it is tested on, in unheard voices", ge=2)
    threshold: float = _says("ROUGE-L from which texts are alike", gt=0, le=1)
    mix: Literal["written", "targets", "1:1", "3:1", "7:1", "15:1"] = _says(
        "draws: each clip once, what meets the targets, or tagged : plain"
    )
    class_balance: Literal["none", "oversample", "weighted"] = _says(
        "rare tags on top of that: as drawn, drawn more often, or weighted in the loss"
    )
    beta: float = _says("of class balance; towards 1 rare tags weigh more", ge=0, lt=1)
    workers: int = _says("synthesis processes; 0 takes one per processor", ge=0)
    real: str = _says("recordings to test on beside the source, as split real; empty for none")
    columns: str = _says(
        "their columns and ours, for recordings and hub: transcript:tagged_text, ..."
    )
    tag_names: str = _says("their notation and ours, in their texts: <laughter>:[laughs], ...")
    scripts: str = _says(
        "what elevenlabs speaks: released, generated, llm, or a path: scripts as JSON", min_length=1
    )
    voices: str = _says(
        "of elevenlabs: premade, or ids with commas between; id:female says the gender",
        min_length=1,
    )
    speech_model: str = _says("of elevenlabs", min_length=1)
    stability: float = _says(
        "of elevenlabs: 0 creative, 0.5 natural, 1 hardly follows tags", ge=0, le=1
    )
    speech_price: float = _says(
        "of a million characters in your plan, for the estimate; 0 if unknown", ge=0
    )
    allow_characters: int = _says(
        "most characters that elevenlabs may be paid for; 0 only estimates", ge=0
    )
    speech_url: str = _says("of elevenlabs; its regions have their own", min_length=1)
    script_model: str = _says("model id of the language model that writes scripts")
    votes: int = _says("of the same model as judge on each script; 0 for no judge", ge=0, le=9)
    allow_requests: int = _says(
        "most requests the language model may be paid for; 0 only estimates", ge=0
    )
    script_url: str = _says("OpenAI or a server with its protocol", min_length=1)
    concurrency: int = _says("requests to a provider at a time", ge=1)


class FineTuning(Parameters):
    """What every fine-tuning notebook takes: the report's Table 1."""

    base: str = _says("base model: tiny, a folder, or an id on the hub", min_length=1)
    device: Literal["auto", "cpu", "cuda"] = _says("auto takes a GPU if there is one")
    precision: Literal["auto", "float32", "bfloat16"] = _says(
        "of the arithmetic in training; auto takes bfloat16 where that is faster"
    )
    epochs: int = _says("passes over the training mix", ge=1)
    learning_rate: float = _says("its peak", gt=0, le=0.1)
    schedule: Literal["cosine", "linear", "constant"] = _says(
        "of the learning rate, after the warm-up"
    )
    warmup: float = _says("share of steps in which it rises", ge=0, lt=1)
    batch: int = _says("examples per optimiser step", ge=1)
    micro_batch: int = _says("examples per forward pass; divides batch", ge=1)
    weight_decay: float = _says("of AdamW", ge=0)
    neftune_alpha: float = _says("noise on the embeddings of text; 0 for none", ge=0)
    label_smoothing: float = _says(
        "share of each label spread over all tokens; 0 for none", ge=0, lt=1
    )
    checkpointing: bool = _says("recompute activations, to save memory")
    plain_limit: float = _says(
        "rise of the word error rate on plain speech that stops training", gt=0
    )
    plain_patience: int = _says("epochs in a row beyond it that are borne", ge=0)
    decode_batch: int = _says("clips of a batch that is transcribed", ge=1)
    tracker: Literal["disabled", "offline", "online"] = _says(
        "Weights & Biases; online needs its key in the environment"
    )


class Sft(FineTuning):
    """Parameters of `02_sft.ipynb`."""

    notebook: ClassVar[str] = "02_sft"

    lora_rank: int = _says("rank of the adapters", ge=1)
    lora_alpha: int = _says("adapters are scaled by alpha / rank", ge=1)
    lora_dropout: float = _says("on the adapters' input", ge=0, lt=1)
    encoder_lora: bool = _says(
        "adapt the audio encoder too, as the published run did; no feature cache then"
    )
    shown: int = _says("clips whose transcripts are shown before and after", ge=1)


class Raft(FineTuning):
    """Parameters of `03_raft.ipynb`; fine-tuning's own are those of its last step."""

    notebook: ClassVar[str] = "03_raft"

    adapter: str = _says("folder of the SFT adapter to start from; empty takes that of 02_sft")
    prompts: Literal["raft_prompts", "train"] = _says(
        "split that is sampled: unseen in SFT, or SFT's own as in the report"
    )
    k: int = _says("completions per clip", ge=1, le=1024)
    temperature: float = _says("of sampling", gt=0, le=10)
    top_p: float = _says("nucleus of sampling", gt=0, le=1)
    sample_batch: int = _says("clips sampled at once", ge=1)
    accuracy_weight: float = _says("of 1 - WER in the reward", ge=0, le=1)
    tag_weight: float = _says("of Tag F1 in the reward", ge=0, le=1)
    hallucination_weight: float = _says(
        "of the absence of hallucinated tags in the reward", ge=0, le=1
    )
    convention: Literal["report", "strict"] = _says(
        "of the reward: tags anywhere, or tags at their place"
    )
    curation: Literal["report", "exact"] = _says("rule by which the worst clips are dropped")
    drop_share: float = _says("share of clips it drops", ge=0, lt=1)
    drop_flat: bool = _says("leave out clips whose completions all earn the same")
    untagged: float = _says(
        "share of untagged clips with their references; 0 leaves it be", ge=0, lt=1
    )
    rounds: int = _says("times to sample, select and fine-tune", ge=1)
    compare: Literal["none", "controls", "grid"] = _says(
        "what else to train: nothing, the report's recipe and controls, the whole grid"
    )
    shown: int = _says("clips whose transcripts are shown before and after", ge=1)


class Speed(Parameters):
    """Parameters of `05_speed.ipynb`."""

    notebook: ClassVar[str] = "05_speed"

    measure: Literal["none", "quick", "full"] = _says(
        "whether to measure anew what is not measured yet, on the profile's clips: "
        "nothing, a minute or two to see that it works, or everything"
    )
    results: str = _says(
        "measurements to show: the name their files end with", pattern="^[a-z0-9]+$"
    )


NOTEBOOKS: dict[str, type[Parameters]] = {
    model.notebook: model for model in (TinyBase, DataMix, Sft, Raft, Benchmark, Speed)
}

REPORT_NOTEBOOKS = ("01_data_mix", "02_sft", "03_raft", "04_benchmark")
"""The notebooks of the report, in the order of its sections."""

AnyParameters = TypeVar("AnyParameters", bound=Parameters)
_SEEN = "_evoxtral_parameter_names"
_PLAIN = (str, int, float, bool, list, dict, tuple, type(None))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a parameter file: a flat mapping of identifiers to scalars.

    papermill pastes keys into a code cell as they are, so a key that is no identifier would be
    code; such a file is refused.

    Raises:
        UserError: missing, no mapping, a key that is no identifier, a value that is no scalar.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise UserError(f"the parameter file {path} does not exist") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not plain YAML: {' '.join(str(error).split())}") from error
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
    files = (runs.root() / "params" / one / f"{model.notebook}.yaml" for one in ("tiny", name))
    tiny, own = map(read_yaml, files)
    return _validated(model, {**tiny, **own, **(changes or {})})


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
        namespace[_SEEN] = frozenset(
            name
            for name, value in namespace.items()
            if isinstance(value, _PLAIN) and not name.startswith("_") and name not in {"In", "Out"}
        )
    names = set(namespace[_SEEN]) | (set(model.model_fields) & set(namespace))
    return _validated(model, {name: namespace[name] for name in sorted(names)})


def _validated(model: type[AnyParameters], values: Mapping[str, Any]) -> AnyParameters:
    known = set(model.model_fields)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise UserError(f"unknown parameter {name!r} of {model.notebook}: {hint}")
    missing = sorted(known - set(values))  # none has a default
    if missing:
        raise UserError(f"parameter {missing[0]!r} of {model.notebook} is missing")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        value, hint = first["input"], ""
        if first["type"] == "string_type" and isinstance(value, int | float):
            hint = " (papermill reads it as a number: pass it with -r to keep it as text)"
        elif isinstance(value, float) and not math.isfinite(value):
            hint = " (it must be a finite number)"
        raise UserError(
            f"parameter {name!r} of {model.notebook} is {value!r}: {first['msg']}{hint}"
        ) from error
