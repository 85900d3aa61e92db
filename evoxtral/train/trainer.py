"""The Hugging Face Trainer, for adapters on cached features.

It brings gradient accumulation, NEFTune, data parallelism, checkpoints and trackers. What is
ours: the loss over transcripts only, batches of like length, validation that transcribes, and
randomness that depends on (seed, step) alone, so that a resumed run sees what an uninterrupted
one would.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from evoxtral import UserError, processes
from evoxtral.model import fold, last_logits, settle
from evoxtral.progress import progress
from evoxtral.train.examples import FILLER, IGNORED, Examples
from evoxtral.train.listen import Watched


def token_loss(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    tokens: Tensor | int | None,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the label tokens, each clip times its weight, per token.

    Args:
        logits: shape (batch, kept, vocabulary); column i predicts label i + 1.
        labels: shape (batch, kept), -100 where nothing is learnt.
        weights: factor per clip, shape (batch,).
        tokens: label tokens of the optimiser step, over all its micro-batches; None for those
            of this batch.
        smoothing: share of each label that is spread over all tokens (Szegedy et al. 2016), in
            [0, 1). Only the gradient has it: the value stays comparable with validation's.

    Returns:
        A scalar.
    """
    wanted, scores = labels[:, 1:], logits[:, :-1].float().flatten(0, 1)

    def total(spread: float) -> Tensor:
        losses = nn.functional.cross_entropy(
            scores,
            wanted.flatten(),
            ignore_index=IGNORED,
            reduction="none",
            label_smoothing=spread,
        )
        return (losses.view_as(wanted).sum(dim=1) * weights).sum()

    loss = total(smoothing)
    if smoothing:
        with torch.no_grad():
            unsmoothed = total(0.0)
        loss = loss + (unsmoothed - loss.detach())
    return loss / (wanted.ne(IGNORED).sum() if tokens is None else tokens)


class LengthSampler(Sampler[int]):
    """Batches of like length in random order; the order is one of (seed, epoch).

    The Trainer's own grouping gives them from long to short, over and over. Length says much about
    a clip here (plain ones are short), so neighbouring steps would learn from like clips.

    Args:
        lengths: of the examples.
        batch: examples per optimiser step, over all processes.
        seed: of the order.
        even: the end is filled up to a multiple of it with examples in which nothing is learnt,
            so that several processes take equally many micro-batches.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, even: int = 1) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, 0
        self.fillers = -len(self.lengths) % even

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths) + self.fillers

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator()
        generator.manual_seed(_mixed(self.seed, self.epoch))
        order = get_length_grouped_indices(self.lengths, self.batch, generator=generator)
        whole = len(order) // self.batch
        # The first batch has the longest example, so that a lack of memory shows at once.
        for i in (0, *(1 + torch.randperm(max(0, whole - 1), generator=generator)).tolist()):
            yield from order[i * self.batch : (i + 1) * self.batch]
        yield from order[max(1, whole) * self.batch :]
        yield from [FILLER] * self.fillers


def _mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1


class Seeded(TrainerCallback):
    """Seeds dropout and NEFTune anew in each step from (seed, step, process)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Called before the first micro-batch of a step."""
        torch.manual_seed(_mixed(self.seed, state.global_step, args.process_index))


class Shown(TrainerCallback):
    """Progress in our own bar."""

    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Open the bar where the run goes on."""
        self.bar = progress(state.max_steps, self.what, unit="step", done=state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """One step more."""
        self.bar.update()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Close the bar."""
        self.bar.close()


class FineTuner(Trainer):
    """Trainer over `Examples`.

    Args:
        watched: splits transcribed after every epoch; the first is validation, whose scores are
            logged as `eval_*`; of the others the word error rate as `eval_<name>_wer`.
        limits: by name of a watched split, the highest word error rate allowed above the first
            one measured; training stops where it is passed in more than `patience` epochs in a row.
        patience: epochs.
        max_new_tokens: most tokens of a validation transcript.
        batch_heard: clips of a batch that is transcribed.
        options: of `Trainer`.
    """

    def __init__(
        self,
        *,
        watched: Sequence[Watched],
        limits: Mapping[str, float],
        patience: int,
        max_new_tokens: int,
        batch_heard: int,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.watched, self.limits, self.patience = list(watched), dict(limits), patience
        self.max_new_tokens, self.batch_heard = max_new_tokens, batch_heard
        self._weights = self.model.num_parameters(exclude_embeddings=True)
        self._on_cpu = self.args.device.type == "cpu"
        self._choose_kernels(for_training=True)

    def _choose_kernels(self, *, for_training: bool) -> None:
        """What is quickest on a CPU: adapters folded into the weights, and the kernel of attention.

        The fused kernel's backward pass takes longer than plain products: a step of the embedded
        model takes a fifth less without it in bfloat16, a fiftieth in float32. Decoding is quicker
        with it.
        """
        if not self._on_cpu:
            return
        model = self.accelerator.unwrap_model(self.model)
        if for_training:
            fold(model)
        else:
            settle(model)
        kernel = "eager" if for_training else "sdpa"
        model.get_base_model().set_attn_implementation({"text_config": kernel})

    def floating_point_ops(self, inputs: Mapping[str, Tensor]) -> int:
        """Six for each token and weight, as the Trainer says, which counts them in every step."""
        return 6 * inputs["input_ids"].numel() * self._weights

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        examples: Examples = self.train_dataset
        at_once = self.args.train_batch_size * self.args.world_size
        together = at_once * self.args.gradient_accumulation_steps
        even = at_once if self.args.world_size > 1 else 1
        return LengthSampler(examples.lengths, together, int(self.args.seed), even)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Loss over the transcripts; the output layer runs on their positions only.

        Raises:
            UserError: it is not finite. The last checkpoint is whole and stays.
        """
        smoothing = self.args.label_smoothing_factor
        loss, outputs = self._loss(model, inputs, num_items_in_batch, smoothing)
        self._check_finite(float(loss.detach()), self.state.global_step + 1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _check_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is not finite at step {step}: lower learning_rate; the last "
                "checkpoint is kept"
            )

    def _loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        tokens: Tensor | int | None,
        smoothing: float = 0.0,
    ) -> tuple[Tensor, Any]:
        inputs = dict(inputs)
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        asked = last_logits(inputs.pop("logits_to_keep"), self.args.device)
        outputs = model(**inputs, **asked, use_cache=False)
        return token_loss(outputs.logits, labels, weights, tokens, smoothing), outputs

    def validation_loss(self) -> float:
        """Loss per label token of the validation examples; how they are batched is no matter."""
        examples, size = self.eval_dataset, self.args.per_device_eval_batch_size
        starts = processes.share(range(0, len(examples), size))
        total, tokens = 0.0, 0
        for start in starts:
            rows = [examples[i] for i in range(start, min(start + size, len(examples)))]
            inputs = self._prepare_inputs(self.data_collator(rows))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += float(self._loss(self.model, inputs, tokens=1)[0])
            tokens += int(inputs["labels"][:, 1:].ne(IGNORED).sum())
        totals, counts = zip(*processes.gather((total, tokens)), strict=True)
        return sum(totals) / sum(counts)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Validation loss, and what greedy transcripts of the watched splits score.

        Raises:
            UserError: the loss is not finite. No checkpoint of such weights is written.
        """
        self.model.eval()
        self._choose_kernels(for_training=False)
        prompter = self.train_dataset.prompter
        heard = {"eval_loss": self.validation_loss()}
        self._check_finite(heard["eval_loss"], self.state.global_step)
        for i, split in enumerate(self.watched):
            texts = split.heard(self.model, prompter, self.max_new_tokens, self.batch_heard)
            scores = split.scores(texts)
            prefix = "eval_" if i == 0 else f"eval_{split.name}_"
            heard |= {prefix + name: value for name, value in scores.items() if value == value}
        self.log(heard)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, heard)
        if self.degraded(self.state.log_history):
            self.control.should_training_stop = True
        self._choose_kernels(for_training=True)
        return heard

    def degraded(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Whether a split with a limit has been beyond it for longer than is borne.

        Args:
            history: rows of the Trainer's log, the validation before training among them.
        """
        for name, limit in self.limits.items():
            key = f"eval_{name}_wer"
            measured = [row[key] for row in history if key in row]
            beyond = [value - measured[0] > limit for value in measured[-1 - self.patience :]]
            if len(beyond) > self.patience and all(beyond):
                return True
        return False

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Write the adapter; peft's default asks the hub what the base's vocabulary was."""
        if self.args.should_save:
            self.model.save_pretrained(
                output_dir, state_dict=state_dict, save_embedding_layers=False
            )
