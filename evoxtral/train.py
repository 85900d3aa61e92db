"""Fine-tune adapters on a frozen model, from cached features: what SFT and RAFT share.

Ours are the loss over transcripts only, validation that transcribes, and randomness of (seed, step)
alone. A checkpoint's seal, written last, tells a whole one from a torn or damaged one.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from evoxtral import UserError, metrics, processes, runs
from evoxtral.decode import transcribe
from evoxtral.examples import IGNORED, Examples, LengthSampler, collate, seed_of
from evoxtral.model import (
    ADAPTER_FILE,
    CONFIG_FILE,
    LoraShape,
    arithmetic,
    attach,
    device,
    fold,
    last_logits,
    load,
    open_base,
    read_cached,
    settle,
    shape_of,
)
from evoxtral.params import FineTuning
from evoxtral.processes import progress

ADAPTER, LOG, SUMMARY, SEAL = "adapter", "log.csv", "summary.json", "whole.json"

_CHECKPOINTS, _PREFIX = "checkpoints", "checkpoint-"
_PLAIN_WER = "eval_plain_val_wer"
_SCORES = {
    "eval_loss": "validation_loss",
    "eval_wer": "validation_wer",
    "eval_tag_f1": "validation_tag_f1",
    "eval_strict_tag_f1": "validation_strict_tag_f1",
    _PLAIN_WER: "plain_wer",
}


def token_loss(
    logits: Tensor, labels: Tensor, weights: Tensor, tokens: Tensor | int, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of the label tokens, each clip times its weight, per token; a scalar.

    Args:
        logits: shape (batch, kept, vocabulary); column i predicts label i + 1.
        labels: shape (batch, kept), -100 where nothing is learnt.
        weights: factor per clip, shape (batch,).
        tokens: label tokens of the optimiser step, over all its micro-batches.
        smoothing: share of each label that is spread over all tokens (Szegedy et al. 2016), in
            [0, 1). Only the gradient has it: the value stays comparable with validation's.
    """
    wanted, scores = labels[:, 1:], logits[:, :-1].float().flatten(0, 1)
    entropy = partial(nn.functional.cross_entropy, ignore_index=IGNORED, reduction="none")

    def total(spread: float) -> Tensor:
        losses = entropy(scores, wanted.flatten(), label_smoothing=spread)
        return (losses.view_as(wanted).sum(dim=1) * weights).sum()

    loss = total(smoothing)
    if smoothing:
        with torch.no_grad():
            unsmoothed = total(0.0)
        loss = loss + (unsmoothed - loss.detach())
    return loss / tokens


# The Trainer


class FineTuner(Trainer):
    """Trainer over `Examples`.

    The splits watched are transcribed after every epoch, by what their scores in the log begin
    with: `eval` is validation, `eval_plain_val` plain speech. Training stops where the word error
    rate on the latter has risen by more than `plain_limit` for more than `plain_patience` epochs.
    """

    def __init__(
        self, cfg: FineTuning, watched: Mapping[str, Examples], learnt: Examples, **options: Any
    ) -> None:
        data = {"train_dataset": learnt, "eval_dataset": watched["eval"]}
        super().__init__(data_collator=partial(collate, pad=learnt.prompter.pad), **data, **options)
        self.remove_callback(PrinterCallback)
        self.cfg, self.watched = cfg, watched
        texts = [*learnt.texts, *watched["eval"].texts]
        self.max_new_tokens = 2 * max(len(learnt.prompter.target(text)) for text in texts)
        self._choose_kernels(for_training=True)

    def _choose_kernels(self, *, for_training: bool) -> None:
        """What is quickest on a CPU: adapters folded into the weights, and the kernel of attention.

        The fused kernel is quicker in decoding; its backward pass takes longer than plain products.
        """
        if self.args.device.type == "cpu":
            model = self.accelerator.unwrap_model(self.model)
            (fold if for_training else settle)(model)
            kernel = "eager" if for_training else "sdpa"
            model.get_base_model().set_attn_implementation({"text_config": kernel})

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthSampler:
        at_once = self.args.train_batch_size * self.args.world_size
        together = at_once * self.args.gradient_accumulation_steps
        even = at_once if self.args.world_size > 1 else 1
        return LengthSampler(self.train_dataset.lengths, together, int(self.args.seed), even)

    def compute_loss(
        self, model: nn.Module, inputs: Mapping[str, Any], *_: Any, num_items_in_batch: Any
    ) -> Tensor:
        """Loss over the transcripts; the output layer runs on their positions only."""
        inputs = dict(inputs)
        labels, weights = inputs.pop("labels"), inputs.pop("weights")
        asked = last_logits(inputs.pop("logits_to_keep"), self.args.device)
        logits = model(**inputs, **asked, use_cache=False).logits
        smoothing = self.args.label_smoothing_factor if model.training else 0.0
        loss = token_loss(logits, labels, weights, num_items_in_batch, smoothing)
        if not math.isfinite(loss.item()):
            step = self.state.global_step + model.training
            raise UserError(
                f"the loss is not finite at step {step}: lower learning_rate; the last "
                "checkpoint is kept"
            )
        # in training the Trainer takes the mean over processes
        return loss * self.accelerator.num_processes if model.training else loss

    def validation_loss(self) -> float:
        """Loss per label token of the validation examples; how they are batched is no matter."""
        examples, size = self.watched["eval"], self.args.per_device_train_batch_size
        total, tokens = 0.0, 0
        for start in processes.share(range(0, len(examples), size)):
            rows = [examples[i] for i in range(len(examples))[start : start + size]]
            inputs = self._prepare_inputs(self.data_collator(rows))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += float(self.compute_loss(self.model, inputs, num_items_in_batch=1))
            tokens += int(inputs["labels"].ne(IGNORED).sum())
        totals, counts = zip(*processes.gather((total, tokens)), strict=True)
        return sum(totals) / sum(counts)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Validation loss, and what greedy transcripts of the watched splits score.

        A loss that is not finite is a `UserError`, before a checkpoint of such weights is written.
        """
        self.model.eval()
        self._choose_kernels(for_training=False)
        found = {"eval_loss": self.validation_loss()}
        for split, examples in self.watched.items():
            scores = self._scores(examples)
            found |= {f"{split}_{name}": value for name, value in scores.items() if value == value}
        self.log(found)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        self.control.should_training_stop |= self.degraded(self.state.log_history)
        self._choose_kernels(for_training=True)
        return found

    def _scores(self, split: Examples) -> dict[str, float]:
        """Word error rate (as written), Tag F1 (`paper`), and strict Tag F1 on clips with tags."""
        batch, limit, prompter = max(64, self.cfg.batch), self.max_new_tokens, split.prompter
        made = transcribe(self.model, prompter, split.heard, limit, batch)
        found = metrics.evaluate(split.texts, [prompter.text(one.ids) for one in made])
        strict, paper = found.table("strict"), found.table("paper")
        scores = {"wer": strict["wer"], "tag_f1": paper["tag_f1"]}
        scores["strict_tag_f1"] = strict["tag_f1_tagged"]
        return {name: metric.value for name, metric in scores.items()}

    def degraded(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Whether by a log plain speech was beyond its limit for longer than is borne."""
        patience = self.cfg.plain_patience
        rates = [row[_PLAIN_WER] for row in history if _PLAIN_WER in row]
        beyond = [rate - rates[0] > self.cfg.plain_limit for rate in rates[-1 - patience :]]
        return len(beyond) > patience and all(beyond)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the adapter; peft's default asks the hub what the base's vocabulary was."""
        if self.args.should_save:
            self.model.save_pretrained(
                output_dir, state_dict=state_dict, save_embedding_layers=False
            )


class EveryStep(TrainerCallback):
    """Seeds dropout and NEFTune anew in each step, shows progress, and seals checkpoints."""

    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Open the bar where the run goes on."""
        self.bar = progress(state.max_steps, self.what, unit="step", done=state.global_step)

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """A seed of (seed, step, process), before the first micro-batch of a step."""
        torch.manual_seed(seed_of(args.seed, state.global_step, args.process_index))

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """One step more."""
        self.bar.update()

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def on_save(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Write the seal after the last file."""
        processes.barrier()  # each process has a file of its own in the checkpoint
        if state.is_world_process_zero:
            saved = Path(args.output_dir) / f"{_PREFIX}{state.global_step}"
            runs.write_text(saved / SEAL, _seal(saved))


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint below a folder that is as it was written, to its end, or None."""
    seals = sorted(folder.glob(f"{_PREFIX}*/{SEAL}"), key=lambda seal: _step(seal.parent))
    whole = (seal.parent for seal in reversed(seals) if seal.read_text() == _seal(seal.parent))
    return next(whole, None)


def _step(saved: Path) -> int:
    return int(saved.name.removeprefix(_PREFIX))


def _seal(saved: Path) -> str:
    """Digests of a checkpoint's files."""
    files = sorted(file for file in saved.iterdir() if file.is_file() and file.name != SEAL)
    return runs.json_text({file.name: runs.digest_file(file) for file in files})


# A run


def finetune(
    folder: Path,
    cfg: FineTuning,
    start: LoraShape | Path,
    training: Examples,
    watched: Mapping[str, Examples],
    *,
    what: str = "SFT",
    report_to: str = "none",
) -> None:
    """Train adapters and leave the best epoch's in `folder/adapter`; resumes after a kill.

    Where the memory is exhausted it says so and goes on from the last whole checkpoint with half
    as many examples at a time; the optimiser's steps stay what they were. It starts with a shape of
    fresh adapters, or the folder of those to go on from; `FineTuner` says what is watched; `what`
    is named in the progress bar, `report_to` is the Trainer's tracker.

    Raises:
        UserError: the loss is not finite, the batch does not divide, or memory does not suffice.
    """
    checkpoints = folder / _CHECKPOINTS
    if (folder / SUMMARY).exists():  # the last file written; a kill came between it and the end
        shutil.rmtree(checkpoints, ignore_errors=True)
        return
    options = {"output_dir": str(checkpoints), "report_to": report_to}
    while not (state := _trained(cfg, start, training, watched, EveryStep(what), options)):
        cfg = smaller(cfg)
    if processes.is_main():
        _finish(folder, state, cfg.plain_limit)


def _trained(
    cfg: FineTuning,
    start: LoraShape | Path,
    training: Examples,
    watched: Mapping[str, Examples],
    every_step: EveryStep,
    options: Mapping[str, str],
) -> TrainerState | None:
    """The state at the end of training, from the newest checkpoint on; None if memory ran out."""
    clear_device_cache(garbage_collection=True)  # what an attempt with more at a time has left
    found, fresh = newest_whole(Path(options["output_dir"])), isinstance(start, LoraShape)
    every_epoch = {"eval_strategy": "epoch", "save_strategy": "epoch", "eval_on_start": not found}
    args = arguments(cfg, **options, **every_epoch)
    model = open_base(cfg.base, cfg.device).model
    if not (start if fresh else shape_of(start)).encoder_lora:
        model = read_cached(model)
    model = attach(model, start, cfg.seed) if fresh else load(model, start, trainable=True)
    trainer = FineTuner(cfg, watched, training, model=model, args=args, callbacks=[every_step])
    if found:
        state = TrainerState.load_from_json(str(found / TRAINER_STATE_NAME))
        if trainer.degraded(state.log_history):  # the run had stopped itself there
            return state
    try:
        trainer.train(resume_from_checkpoint=str(found) if found else None)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        return None
    return trainer.state


def arguments(cfg: FineTuning, **options: Any) -> TrainingArguments:
    """What the Trainer is told; a `UserError` where the batch cannot be shared out."""
    micro, where = _at_once(cfg), device(cfg.device)
    share, rest = divmod(cfg.batch, micro * processes.count())
    if rest or not share:
        raise UserError(
            f"batch {cfg.batch} is no multiple of micro_batch {cfg.micro_batch} times "
            f"{processes.count()} processes: change one of them"
        )
    # NEFTune's scale follows the padded length, audio positions included, and those get none.
    args = TrainingArguments(
        **options,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share,
        num_train_epochs=cfg.epochs,
        learning_rate=cfg.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(cfg.schedule, cfg.schedule),
        warmup_steps=cfg.warmup,
        weight_decay=cfg.weight_decay,
        neftune_noise_alpha=cfg.neftune_alpha or None,
        label_smoothing_factor=cfg.label_smoothing,
        activation_checkpointing=cfg.checkpointing,
        ddp_find_unused_parameters=False,
        bf16=arithmetic(cfg.precision, where) == "bfloat16",
        logging_steps=1,
        seed=cfg.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=where.type != "cpu",
        use_cpu=where.type == "cpu",
        disable_tqdm=True,
    )
    if args.n_gpu > 1:  # in one process: the Trainer would share each batch out by DataParallel
        sys.stdout.write(
            f"one of {args.n_gpu} GPUs is used: start it by `accelerate launch --multi_gpu "
            f"--num_processes {args.n_gpu} -m evoxtral run {cfg.notebook} "
            f"--profile {cfg.profile}` to use all\n"
        )
        args._n_gpu = 1
    return args


def _at_once(cfg: FineTuning) -> int:
    """Examples that a process takes in a forward pass: no more than its share of a step."""
    return max(1, min(cfg.micro_batch, cfg.batch // processes.count()))


def smaller(cfg: FineTuning) -> FineTuning:
    """The same with half as many examples at a time, and one line that says so.

    A `UserError` where there is one already, or several processes, which all have to start again.
    """
    micro, share = _at_once(cfg), cfg.batch // processes.count()
    full = f"out of memory with {micro} examples at a time:"
    half = next((n for n in range(micro // 2, 0, -1) if share % n == 0), 0)
    if not half:
        raise UserError(f"{full} set checkpointing to true, lower lora_rank, or take a larger GPU")
    if processes.count() > 1:
        raise UserError(f"{full} set micro_batch to {half}; a new run goes on where this one was")
    sys.stdout.write(f"{full} going on with {half}, accumulated over {share // half}\n")
    sys.stdout.flush()
    return cfg.model_copy(update={"micro_batch": half})


# What a run leaves


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished fine-tuning run: the folder of the best epoch's adapter, and the log.

    `steps` are `step | epoch | loss | learning_rate`; `epochs` has a row per validation, the first
    before training: `step | epoch | validation_loss | validation_wer | plain_wer` and more. It has
    `stopped` if speech without tags had suffered too much to go on.
    """

    adapter: Path
    steps: pd.DataFrame
    epochs: pd.DataFrame
    best_epoch: int
    stopped: bool


def read_log(folder: Path) -> Tuned:
    """What a finished run left in its folder."""
    history = pd.read_csv(folder / LOG)
    steps = history[["step", "epoch", "loss", "learning_rate"]].dropna(subset="loss")
    epochs, summary = _epochs(history), runs.read_json(folder / SUMMARY)
    return Tuned(folder / ADAPTER, steps.reset_index(drop=True), epochs, **summary)


def _finish(folder: Path, state: TrainerState, plain_limit: float) -> None:
    """Keep the best epoch's adapter and the log; drop the checkpoints."""
    history = pd.DataFrame(state.log_history)
    runs.write_text(folder / LOG, history.to_csv(index=False))
    best = best_epoch(_epochs(history), plain_limit)
    source = folder / _CHECKPOINTS / f"{_PREFIX}{int(best['step'])}"
    for name in (CONFIG_FILE, ADAPTER_FILE):
        runs.write_bytes(folder / ADAPTER / name, (source / name).read_bytes())
    stopped = state.global_step < state.max_steps
    runs.write_json(folder / SUMMARY, {"best_epoch": round(best["epoch"]), "stopped": stopped})
    shutil.rmtree(folder / _CHECKPOINTS)


def best_epoch(epochs: pd.DataFrame, plain_limit: float) -> pd.Series:
    """The epoch with the lowest validation loss, of those that keep to the limit if any does."""
    trained = epochs[epochs["step"] > 0]
    if "plain_wer" in epochs:
        kept = trained[trained["plain_wer"] - epochs["plain_wer"].iloc[0] <= plain_limit]
        trained = trained if kept.empty else kept
    return trained.loc[trained["validation_loss"].idxmin()]


def _epochs(history: pd.DataFrame) -> pd.DataFrame:
    """One row per validation."""
    rows = history.dropna(subset="eval_loss").filter(["step", "epoch", *_SCORES])
    return rows.rename(columns=_SCORES).reset_index(drop=True)
