"""Training examples, and the Hugging Face Trainer for adapters on cached features.

The Trainer brings gradient accumulation, NEFTune, data parallelism, checkpoints and trackers. What
is ours: the loss over transcripts only, batches of like length, validation that transcribes, and
randomness that depends on (seed, step) alone, so that a resumed run sees what an uninterrupted
one would.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer
from transformers.trainer_pt_utils import get_length_grouped_indices

from evoxtral import UserError, metrics, processes, tags
from evoxtral.decode import transcribe
from evoxtral.model import Listened, Prompter, fold, last_logits, settle
from evoxtral.params import FineTuning

IGNORED = -100
"""Label of a position that is not learnt."""

FILLER = -1
"""Stands for an example in which nothing is learnt: it evens out the batches of processes."""

_COLUMNS = 8


@dataclass(frozen=True, eq=False)
class Examples(Dataset[dict[str, Any]]):
    """Examples of a split, each as often as it is drawn per epoch.

    Attributes:
        heard: features of the clips.
        texts: transcript to learn, per clip.
        draws: clip of each example.
        prompter: makes token ids.
        weights: factor of the loss, per clip.
    """

    heard: Listened
    texts: Sequence[str]
    draws: Sequence[int]
    prompter: Prompter
    weights: Sequence[float]

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, example: int) -> dict[str, Any]:
        clip = self.draws[0 if example == FILLER else example]
        return {
            "input_features": self.heard[clip],
            "prompt": self.prompter.prompt(self.heard.windows[clip]),
            "target": [] if example == FILLER else self.prompter.target(self.texts[clip]),
            "weight": self.weights[clip],
        }

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example, from which batches of like length are made."""
        own = [
            len(self.prompter.prompt(windows)) + len(self.prompter.target(text))
            for windows, text in zip(self.heard.windows, self.texts, strict=True)
        ]
        return [own[clip] for clip in self.draws]

    @property
    def longest_target(self) -> int:
        """Tokens of the longest transcript, its end included.

        Raises:
            UserError: there is no example.
        """
        if not self.texts:
            raise UserError("there is no transcript to learn from: the split is empty")
        return max(len(self.prompter.target(text)) for text in self.texts)


def collate(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """A batch whose transcripts all start in one column: requests padded left, transcripts right.

    The output layer is then needed for the last columns only (`logits_to_keep`): of 430 positions
    of a Voxtral-Mini example about fifty are learnt, and each costs a row of 131,072 logits.

    Transcripts get columns by the eight. On a CPU each new shape makes oneDNN build kernels of
    its own and keep them, where it multiplies in bfloat16: 240 steps of the embedded model with
    columns to fit took a sixth more time and half as much memory again.

    Returns:
        `input_ids` and `attention_mask`, shape (batch, positions); `labels`, shape (batch,
        kept), -100 where nothing is learnt; `logits_to_keep`, the number of columns kept, which
        is one more than those of transcripts: a label is predicted one column earlier;
        `input_features`, all windows of all clips; `weights`, shape (batch,).
    """
    before = max(len(row["prompt"]) for row in rows)
    after = _COLUMNS * math.ceil(max(len(row["target"]) for row in rows) / _COLUMNS)
    ids = torch.full((len(rows), before + after), pad)
    seen = torch.zeros_like(ids)
    labels = torch.full((len(rows), after + 1), IGNORED)
    for i, row in enumerate(rows):
        prompt, target = row["prompt"], row["target"]
        tokens = torch.tensor([*prompt, *target])
        start = before - len(prompt)
        ids[i, start : start + len(tokens)] = tokens
        seen[i, start : start + len(tokens)] = 1
        labels[i, 1 : 1 + len(target)] = torch.tensor(target)
    return {
        "input_ids": ids,
        "attention_mask": seen,
        "labels": labels,
        "logits_to_keep": after + 1,
        "input_features": torch.cat([row["input_features"] for row in rows]),
        "weights": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
    }


def masked(examples: Examples, example: int) -> list[tuple[str, bool]]:
    """An example as it is learnt: each token's text, and whether it is a label."""
    row = examples[example]
    pieces = examples.prompter.pieces([*row["prompt"], *row["target"]])
    return [(piece, place >= len(row["prompt"])) for place, piece in enumerate(pieces)]


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


def mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:8], "big") >> 1


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
        generator.manual_seed(mixed(self.seed, self.epoch))
        order = get_length_grouped_indices(self.lengths, self.batch, generator=generator)
        whole = len(order) // self.batch
        # The first batch has the longest example, so that a lack of memory shows at once.
        for i in (0, *(1 + torch.randperm(max(0, whole - 1), generator=generator)).tolist()):
            yield from order[i * self.batch : (i + 1) * self.batch]
        yield from order[max(1, whole) * self.batch :]
        yield from [FILLER] * self.fillers


@dataclass(frozen=True, eq=False)
class Watched:
    """A split that is transcribed after every epoch: its name, each clip once, their durations."""

    name: str
    examples: Examples
    seconds: Sequence[float]

    def scores(self, model: nn.Module, max_new_tokens: int, batch: int) -> dict[str, float]:
        """Word error rate (as written), Tag F1 (`paper`) and strict Tag F1 of greedy transcripts.

        The last is missing where no reference has a tag.
        """
        texts, prompter = self.examples.texts, self.examples.prompter
        heard = transcribe(
            model, prompter, self.examples.heard, self.seconds, max_new_tokens, batch
        )
        made = metrics.evaluate(texts, [prompter.text(one.ids) for one in heard])
        scores = {
            "wer": made.table("strict")["wer"].value,
            "tag_f1": made.table("paper")["tag_f1"].value,
        }
        if any(tags.find_tags(text) for text in texts):
            scores["strict_tag_f1"] = made.tagged().table("strict")["tag_f1"].value
        return scores


class FineTuner(Trainer):
    """Trainer over `Examples`.

    Args:
        cfg: training stops where the word error rate on a split other than validation has risen
            by more than `plain_limit` in more than `plain_patience` epochs in a row.
        watched: splits transcribed after every epoch; the first is validation, whose scores are
            logged as `eval_*`, of the others as `eval_<name>_*`.
        options: of `Trainer`.
    """

    def __init__(self, cfg: FineTuning, watched: Sequence[Watched], **options: Any) -> None:
        super().__init__(eval_dataset=watched[0].examples, **options)
        self.cfg, self.watched = cfg, watched
        learnt = (self.train_dataset, self.eval_dataset)
        self.max_new_tokens = 2 * max(examples.longest_target for examples in learnt)
        self._weights = self.model.num_parameters(exclude_embeddings=True)
        self._choose_kernels(for_training=True)

    def _choose_kernels(self, *, for_training: bool) -> None:
        """What is quickest on a CPU: adapters folded into the weights, and the kernel of attention.

        The fused kernel's backward pass takes longer than plain products: a step of the embedded
        model takes a fifth less without it in bfloat16, a fiftieth in float32. Decoding is quicker
        with it.
        """
        if self.args.device.type == "cpu":
            model = self.accelerator.unwrap_model(self.model)
            (fold if for_training else settle)(model)
            kernel = "eager" if for_training else "sdpa"
            model.get_base_model().set_attn_implementation({"text_config": kernel})

    def floating_point_ops(self, inputs: Mapping[str, Tensor]) -> int:
        """Six for each token and weight, as the Trainer says, which counts them in every step."""
        return 6 * inputs["input_ids"].numel() * self._weights

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        at_once = self.args.train_batch_size * self.args.world_size
        together = at_once * self.args.gradient_accumulation_steps
        even = at_once if self.args.world_size > 1 else 1
        return LengthSampler(self.train_dataset.lengths, together, int(self.args.seed), even)

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
        loss = self._loss(model, inputs, num_items_in_batch, smoothing)
        self._check_finite(float(loss.detach()), self.state.global_step + 1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes
        return loss

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
    ) -> Tensor:
        inputs = dict(inputs)
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        asked = last_logits(inputs.pop("logits_to_keep"), self.args.device)
        outputs = model(**inputs, **asked, use_cache=False)
        return token_loss(outputs.logits, labels, weights, tokens, smoothing)

    def validation_loss(self) -> float:
        """Loss per label token of the validation examples; how they are batched is no matter."""
        examples, size = self.eval_dataset, self.args.per_device_eval_batch_size
        total, tokens = 0.0, 0
        for start in processes.share(range(0, len(examples), size)):
            rows = [examples[i] for i in range(start, min(start + size, len(examples)))]
            inputs = self._prepare_inputs(self.data_collator(rows))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += float(self._loss(self.model, inputs, tokens=1))
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
        heard = {"eval_loss": self.validation_loss()}
        self._check_finite(heard["eval_loss"], self.state.global_step)
        for split in self.watched:
            scores = split.scores(self.model, self.max_new_tokens, max(64, self.cfg.batch))
            prefix = "eval_" if split is self.watched[0] else f"eval_{split.name}_"
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
        for split in self.watched[1:]:
            key = f"eval_{split.name}_wer"
            measured = [row[key] for row in history if key in row]
            last = measured[-1 - self.cfg.plain_patience :]
            beyond = [value - measured[0] > self.cfg.plain_limit for value in last]
            if len(beyond) > self.cfg.plain_patience and all(beyond):
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
