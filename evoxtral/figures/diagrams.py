"""Figures 1 and 2 of the report, drawn from counts: a measured run draws its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import pandas as pd
from matplotlib.figure import Figure

from evoxtral.figures.canvas import PLAIN, STEP, Box, Look, Sheet, scientific
from evoxtral.figures.style import GREY, RULE, SYSTEMS, styled, tint


@dataclass(frozen=True)
class RaftFacts:
    """What Figure 1 says of a run.

    Attributes:
        clips: clips sampled from.
        completions: samples per clip.
        temperature: of sampling.
        top_p: nucleus of sampling.
        weights: of accuracy, Tag F1 and absence of hallucination in the reward; sum 1.
        filtered_share: share of clips the filter means to drop.
        threshold: reward a kept clip exceeds.
        kept: clips left.
        mean_reward: over the kept clips.
        epochs: of the final fine-tuning pass.
        learning_rate: of that pass.
        final_loss: its last training loss; not shown where None.
        prompts: what the sampled clips are called.
    """

    clips: int
    completions: int
    temperature: float
    top_p: float
    weights: tuple[float, float, float]
    filtered_share: float
    threshold: float
    kept: int
    mean_reward: float
    epochs: int
    learning_rate: float
    final_loss: float | None = None
    prompts: str = "Training clips"

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, float]) -> Self:
        """From numbers keyed as in `evoxtral.paper.Published.numbers`."""
        return cls(
            clips=int(numbers["train_clips"]),
            completions=int(numbers["completions"]),
            temperature=numbers["temperature"],
            top_p=numbers["top_p"],
            weights=(
                numbers["weight_accuracy"],
                numbers["weight_tag_f1"],
                numbers["weight_hallucination"],
            ),
            filtered_share=numbers["filtered_share"],
            threshold=numbers["reward_threshold"],
            kept=int(numbers["curated_clips"]),
            mean_reward=numbers["mean_reward"],
            epochs=int(numbers["rl_epochs"]),
            learning_rate=numbers["rl_learning_rate"],
            final_loss=numbers["rl_final_loss"],
        )


@dataclass(frozen=True)
class PipelineFacts:
    """What Figure 2 says of a run.

    Attributes:
        base: name of the base model.
        scripts: all clips.
        train: training clips.
        validation: validation clips.
        test: test clips.
        bench: test clips evaluated.
        rank: of LoRA.
        sft_epochs: of the first stage.
        sft_learning_rate: of the first stage.
        completions: samples per clip in the second stage.
        kept: clips the second stage trains on.
        rl_epochs: of the second stage.
        rl_learning_rate: of the second stage.
        scores: WER and Tag F1 (fractions) by system, shown beside the models.
        unseen: clips the second stage samples that the first has not seen; 0 where it samples the
            training clips.
    """

    base: str
    scripts: int
    train: int
    validation: int
    test: int
    bench: int
    rank: int
    sft_epochs: int
    sft_learning_rate: float
    completions: int
    kept: int
    rl_epochs: int
    rl_learning_rate: float
    scores: Mapping[str, tuple[float, float]]
    unseen: int = 0

    @classmethod
    def from_numbers(
        cls,
        numbers: Mapping[str, float],
        core: pd.DataFrame,
        base: str = "Voxtral-Mini-3B",
    ) -> Self:
        """From numbers and core metrics as `evoxtral.paper.Published` holds them."""
        rows = core.set_index("key")
        return cls(
            base=base,
            scripts=int(numbers["scripts"]),
            train=int(numbers["train_clips"]),
            validation=int(numbers["validation_clips"]),
            test=int(numbers["test_clips"]),
            bench=int(numbers["bench_clips"]),
            rank=int(numbers["lora_rank"]),
            sft_epochs=int(numbers["sft_epochs"]),
            sft_learning_rate=numbers["sft_learning_rate"],
            completions=int(numbers["completions"]),
            kept=int(numbers["curated_clips"]),
            rl_epochs=int(numbers["rl_epochs"]),
            rl_learning_rate=numbers["rl_learning_rate"],
            scores={s: (rows.loc["wer", s], rows.loc["tag_f1", s]) for s in SYSTEMS},
        )


@styled
def raft_pipeline(facts: RaftFacts) -> Figure:
    """Figure 1: sample, score, keep the best, filter, fine-tune."""
    sheet = Sheet(544, _raft_words(facts))
    x, wide, wider = sheet.width / 2, 220, 264
    heat = f"temperature {facts.temperature:g}, top-p {facts.top_p:g}"
    sampling = f"{facts.completions} completions per clip, {heat}"
    tuning = f"{_epochs(facts.epochs)}, learning rate {scientific(facts.learning_rate)}"
    loss = [] if facts.final_loss is None else [f"final loss {facts.final_loss:.3g}"]
    clips = sheet.box(Box(x, 518, wider, 40), facts.prompts, [f"{facts.clips:,} clips"], PLAIN)
    policy = sheet.box(Box(x, 456, wider, 40), "Evoxtral SFT", [sampling], _look("sft"))
    reward = _reward(sheet, Box(x, 307, 384, 84), facts.weights)
    best = sheet.box(
        Box(x, 217, wide, 40), f"Best of {facts.completions}", ["highest reward of each clip"]
    )
    lowest = f"drop the lowest {facts.filtered_share:.0%}"
    keep = sheet.box(Box(x, 155, wide, 40), f"Keep R > {facts.threshold:.3g}", [lowest])
    tune = sheet.box(Box(x, 93, wide, 40), "Fine-tune on the kept clips", [tuning])
    final = sheet.box(Box(x, 28, wide, 40), "Evoxtral RL", loss, _look("rl"))
    _completions(sheet, policy, reward, facts.completions)
    for upper, lower in (
        (clips, policy),
        (reward, best),
        (best, keep),
        (keep, tune),
        (tune, final),
    ):
        sheet.arrow(upper.bottom, lower.top)
    left = f"{facts.kept:,} clips, mean reward {facts.mean_reward:.3f}"
    sheet.text((x + 8, 124), left, align="left")
    sheet.text((x + 8, 186), f"{facts.clips:,} candidates", align="left")
    dropped = Box(364, 155, 62, 40)
    sheet.box(
        dropped, f"{facts.clips - facts.kept:,}", ["dropped"], Look(RULE, "#ffffff", GREY, True)
    )
    sheet.arrow(keep.right, dropped.left, dashed=True)
    return sheet.figure


def _completions(sheet: Sheet, policy: Box, reward: Box, count: int) -> None:
    """A row of sampled completions between the model and the reward, at most six drawn."""
    names = [str(i + 1) for i in range(count)] if count <= 6 else ["1", "2", "3", "…", str(count)]
    step, y = 64, (policy.bottom[1] + reward.top[1]) / 2
    for index, name in enumerate(names):
        x = sheet.width / 2 + (index - (len(names) - 1) / 2) * step
        chip = Box(x, y, 52, 24)
        sheet.box(chip, "", [name if name == "…" else f"no. {name}"], PLAIN, size=8.5)
        sheet.arrow(policy.bottom, chip.top)
        sheet.arrow(chip.bottom, (x, reward.top[1]))


def _reward(sheet: Sheet, box: Box, weights: tuple[float, float, float]) -> Box:
    """The reward with its three weighted parts."""
    sheet.box(box, "", look=STEP)
    terms = ("1 − WER", "Tag F1", "1 − hallucination")
    sheet.text((box.x, box.y + 28), "Reward R", size=9.5, weight="bold")
    widths, gap = (104, 96, 140), 10
    x = box.x - (sum(widths) + 2 * gap) / 2
    for weight, term, width in zip(weights, terms, widths, strict=True):
        part = Box(x + width / 2, box.y - 12, width, 42)
        sheet.box(part, f"{weight:g} ×", [term], PLAIN)
        x += width + gap
        if term != terms[-1]:
            sheet.text((x - gap / 2, part.y), "+", size=10, weight="bold")
    return box


def _raft_words(facts: RaftFacts) -> str:
    return (
        f"RAFT pipeline: {facts.completions} completions for each of {facts.clips} clips, scored "
        f"by a reward, best of each kept, filtered at {facts.threshold:.3g} to {facts.kept} clips, "
        "then one more fine-tuning pass"
    )


@styled
def two_stage_pipeline(facts: PipelineFacts) -> Figure:
    """Figure 2: from the base model by two stages to the two released models."""
    sheet = Sheet(440, _pipeline_words(facts))
    x, wide = sheet.width / 2, 164
    first = (
        f"LoRA rank {facts.rank}, {_epochs(facts.sft_epochs)}",
        f"learning rate {scientific(facts.sft_learning_rate)}",
    )
    second = (
        f"best of {facts.completions}: {facts.kept:,} clips",
        f"{_epochs(facts.rl_epochs)}, rate {scientific(facts.rl_learning_rate)}",
    )
    base = sheet.box(Box(x, 330, 140, 42), facts.base, ["base model"], _look("base"))
    sft = sheet.box(Box(x, 186, 140, 42), "Evoxtral SFT", ["for accuracy"], _look("sft"))
    rl = sheet.box(Box(x, 42, 140, 42), "Evoxtral RL", ["for expression"], _look("rl"))
    stage1 = sheet.box(Box(x, 258, wide, 54), "Stage 1: SFT", first)
    stage2 = sheet.box(Box(x, 114, wide, 54), "Stage 2: RAFT", second)
    for upper, lower in pairwise((base, stage1, sft, stage2, rl)):
        sheet.arrow(upper.bottom, lower.top)
    _data(sheet, facts, (stage1, stage2))
    _bench(sheet, facts, {"base": base, "sft": sft, "rl": rl})
    return sheet.figure


def _data(sheet: Sheet, facts: PipelineFacts, stages: tuple[Box, ...]) -> None:
    """The corpus, its splits, and the training clips beside the stages that read them."""
    split = f"{facts.train:,} training, {facts.validation:,} validation, {facts.test:,} test"
    if facts.unseen:
        split += f", {facts.unseen:,} to sample"
    title = f"{facts.scripts:,} tagged scripts, spoken by a TTS"
    sheet.box(Box(sheet.width / 2, 412, sheet.width - 14, 42), title, [split], PLAIN)
    upper, lower = stages
    if facts.unseen:
        train = Box(53, upper.y, 92, upper.top[1] - upper.bottom[1])
        unseen = Box(53, lower.y, 92, lower.top[1] - lower.bottom[1])
        sheet.box(unseen, f"{facts.unseen:,}", ["clips unseen", "in stage 1"], PLAIN)
    else:
        train = Box(53, (upper.y + lower.y) / 2, 92, upper.top[1] - lower.bottom[1])
    sheet.box(train, f"{facts.train:,}", ["training clips"], PLAIN)
    sheet.arrow((train.x, 391), train.top)
    for stage in stages:
        sheet.arrow((train.right[0], stage.y), stage.left)


def _bench(sheet: Sheet, facts: PipelineFacts, models: Mapping[str, Box]) -> None:
    """The benchmark, and what each model scores on it."""
    highest, lowest = models["base"].top[1], models["rl"].bottom[1]
    box = Box(sheet.width - 53, (highest + lowest) / 2, 92, highest - lowest)
    sheet.box(box, "", look=PLAIN)
    sheet.arrow((box.x, 391), box.top)
    sheet.text((box.x, 265), "Evoxtral-Bench", size=9, weight="bold")
    sheet.text((box.x, 251), f"{facts.bench:,} test clips")
    for name, model in models.items():
        sheet.arrow(model.right, (box.left[0], model.y))
        wer, tag_f1 = facts.scores[name]
        sheet.text((box.x, model.y + 7), f"WER {wer:.2%}")
        sheet.text((box.x, model.y - 7), f"Tag F1 {tag_f1:.1%}")


def _pipeline_words(facts: PipelineFacts) -> str:
    return (
        f"Two-stage pipeline: {facts.base}, fine-tuned on {facts.train} clips to Evoxtral SFT, "
        f"then by RAFT on {facts.kept} to Evoxtral RL; all three scored on {facts.bench} clips"
    )


def _look(key: str) -> Look:
    color = SYSTEMS[key].color
    return Look(color, tint(color, 0.12), color)


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"
