"""Figures 1 and 2 of the report, drawn from counts: a measured run draws its own.

Boxes and arrows stand on a sheet measured in points, so that text sizes and boxes share one unit.
Counts are keyed as `evoxtral.paper.Published.numbers`; a measured run adds `sampled_clips` and
`unseen_clips`, those that the second stage samples and the first has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from evoxtral.figures.style import GREY, INK, RULE, SYSTEMS, WIDTH, styled, tint
from evoxtral.paper import scientific

_POINTS = 72  # of an inch
_DASHES = (0, (3, 2))
_Place = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Colours of a box: its edge, its inside, its heading."""

    edge: str
    fill: str
    ink: str = INK
    dashed: bool = False


PLAIN = Look(RULE, "#f6f8fa")
STEP = Look(GREY, "#ffffff")


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre, in points from the lower left corner."""

    x: float
    y: float
    width: float
    height: float

    def edge(self, across: int, up: int) -> _Place:
        """Middle of an edge: (0, 1) is the upper one, (-1, 0) the left one."""
        return self.x + across * self.width / 2, self.y + up * self.height / 2


class Sheet:
    """A figure to draw diagrams on; `height` is in points, the width that of all figures."""

    def __init__(self, height: float, label: str) -> None:
        self.width = WIDTH * _POINTS
        self.figure = Figure(figsize=(WIDTH, height / _POINTS))
        self.figure.set_label(label)
        self._ax = self.figure.add_axes((0, 0, 1, 1))
        self._ax.set(xlim=(0, self.width), ylim=(0, height))
        self._ax.set_axis_off()

    def box(
        self, box: Box, title: str, body: Sequence[str] = (), look: Look = STEP, size: float = 9
    ) -> Box:
        """Draw a box with a bold heading and lines below it, centred together."""
        corner = (box.edge(-1, 0)[0], box.edge(0, -1)[1])
        self._ax.add_patch(
            FancyBboxPatch(
                corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=5",
                edgecolor=look.edge, facecolor=look.fill, linewidth=1.3,
                linestyle=_DASHES if look.dashed else "-",
            )
        )  # fmt: skip
        lines = [(title, "bold", look.ink, size + 0.5)] if title else []
        lines += [(line, "normal", INK, size) for line in body]
        leading = 1.4 * size
        for index, (text, weight, color, points) in enumerate(lines):
            y = box.y + ((len(lines) - 1) / 2 - index) * leading
            self.text((box.x, y), text, size=points, weight=weight, color=color)
        return box

    def text(self, place: _Place, text: str, *, size: float = 9, **look: str) -> None:
        """Write one line, vertically centred on `place`; `look` goes to matplotlib."""
        style = {"color": INK, "ha": "center", "va": "center_baseline"} | look
        self._ax.text(*place, text, fontsize=size, **style)

    def arrow(self, start: _Place, end: _Place, *, dashed: bool = False) -> None:
        """Draw a straight arrow that leaves a small gap at both ends."""
        self._ax.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>,head_width=2.6,head_length=5", color=GREY,
                linewidth=1.3, linestyle=_DASHES if dashed else "-", shrinkA=1.5, shrinkB=1.5,
                mutation_scale=1,
            )
        )  # fmt: skip


@styled
def raft_pipeline(numbers: Mapping[str, float]) -> Figure:
    """Figure 1: sample, score, keep the best, filter, fine-tune."""
    clips = int(numbers["sampled_clips" if "sampled_clips" in numbers else "train_clips"])
    count, kept = int(numbers["completions"]), int(numbers["curated_clips"])
    threshold = f"{numbers['reward_threshold']:.3g}"
    sheet = Sheet(
        544,
        f"RAFT pipeline: {count} completions for each of {clips} clips, scored by a reward, best "
        f"of each kept, filtered at {threshold} to {kept} clips, then one more fine-tuning pass",
    )
    x, wide, wider = sheet.width / 2, 220, 264
    heat = f"temperature {numbers['temperature']:g}, top-p {numbers['top_p']:g}"
    rate = scientific(numbers["rl_learning_rate"])
    tuning = f"{_epochs(numbers['rl_epochs'])}, learning rate {rate}"
    prompts = "Clips that SFT has not seen" if numbers.get("unseen_clips") else "Training clips"
    lowest = f"drop the lowest {numbers['filtered_share']:.0%}"
    prompt = sheet.box(Box(x, 518, wider, 40), prompts, [f"{clips:,} clips"], PLAIN)
    sampling = f"{count} completions per clip, {heat}"
    policy = sheet.box(Box(x, 456, wider, 40), "Evoxtral SFT", [sampling], _look("sft"))
    reward = _reward(sheet, Box(x, 307, 384, 84), numbers)
    best = sheet.box(Box(x, 217, wide, 40), f"Best of {count}", ["highest reward of each clip"])
    keep = sheet.box(Box(x, 155, wide, 40), f"Keep R > {threshold}", [lowest])
    tune = sheet.box(Box(x, 93, wide, 40), "Fine-tune on the kept clips", [tuning])
    loss = [f"final loss {numbers['rl_final_loss']:.3g}"]
    final = sheet.box(Box(x, 28, wide, 40), "Evoxtral RL", loss, _look("rl"))
    _completions(sheet, policy, reward, count)
    for upper, lower in ((prompt, policy), *pairwise((reward, best, keep, tune, final))):
        sheet.arrow(upper.edge(0, -1), lower.edge(0, 1))
    left = f"{kept:,} clips, mean reward {numbers['mean_reward']:.3f}"
    sheet.text((x + 8, 124), left, ha="left")
    sheet.text((x + 8, 186), f"{clips:,} candidates", ha="left")
    gone = Look(RULE, "#ffffff", GREY, dashed=True)
    dropped = sheet.box(Box(364, 155, 62, 40), f"{clips - kept:,}", ["dropped"], gone)
    sheet.arrow(keep.edge(1, 0), dropped.edge(-1, 0), dashed=True)
    return sheet.figure


def _completions(sheet: Sheet, policy: Box, reward: Box, count: int) -> None:
    """A row of sampled completions between the model and the reward, at most six drawn."""
    names = [str(i + 1) for i in range(count)] if count <= 6 else ["1", "2", "3", "…", str(count)]
    step, y = 64, (policy.edge(0, -1)[1] + reward.edge(0, 1)[1]) / 2
    for index, name in enumerate(names):
        x = sheet.width / 2 + (index - (len(names) - 1) / 2) * step
        chip = Box(x, y, 52, 24)
        sheet.box(chip, "", [name if name == "…" else f"no. {name}"], PLAIN, size=8.5)
        sheet.arrow(policy.edge(0, -1), chip.edge(0, 1))
        sheet.arrow(chip.edge(0, -1), (x, reward.edge(0, 1)[1]))


def _reward(sheet: Sheet, box: Box, numbers: Mapping[str, float]) -> Box:
    """The reward with its three weighted parts."""
    sheet.box(box, "")
    terms = (
        ("accuracy", "1 − WER", 104), ("tag_f1", "Tag F1", 96),
        ("hallucination", "1 − hallucination", 140),
    )  # fmt: skip
    sheet.text((box.x, box.y + 28), "Reward R", size=9.5, weight="bold")
    gap = 10
    x = box.x - (sum(width for *_, width in terms) + 2 * gap) / 2
    for key, term, width in terms:
        if key != terms[0][0]:
            sheet.text((x - gap / 2, box.y - 12), "+", size=10, weight="bold")
        part = Box(x + width / 2, box.y - 12, width, 42)
        sheet.box(part, f"{numbers[f'weight_{key}']:g} ×", [term], PLAIN)
        x += width + gap
    return box


@styled
def two_stage_pipeline(
    numbers: Mapping[str, float], core: pd.DataFrame, base: str = "Voxtral-Mini-3B"
) -> Figure:
    """Figure 2: from the base model by two stages to the two released models.

    Args:
        numbers: counts and settings, see the module.
        core: rows with `key` `wer` and `tag_f1`, fractions of each system.
        base: name of the base model.
    """
    train, kept, tested = (
        int(numbers[key]) for key in ("train_clips", "curated_clips", "bench_clips")
    )
    sheet = Sheet(
        440,
        f"Two-stage pipeline: {base}, fine-tuned on {train} clips to Evoxtral SFT, then by RAFT on "
        f"{kept} to Evoxtral RL; all three scored on {tested} clips",
    )
    x, wide = sheet.width / 2, 164
    first = (
        f"LoRA rank {numbers['lora_rank']:.0f}, {_epochs(numbers['sft_epochs'])}",
        f"learning rate {scientific(numbers['sft_learning_rate'])}",
    )
    second = (
        f"best of {numbers['completions']:.0f}: {kept:,} clips",
        f"{_epochs(numbers['rl_epochs'])}, rate {scientific(numbers['rl_learning_rate'])}",
    )
    start = sheet.box(Box(x, 330, 140, 42), base, ["base model"], _look("base"))
    sft = sheet.box(Box(x, 186, 140, 42), "Evoxtral SFT", ["for accuracy"], _look("sft"))
    rl = sheet.box(Box(x, 42, 140, 42), "Evoxtral RL", ["for expression"], _look("rl"))
    stage1 = sheet.box(Box(x, 258, wide, 54), "Stage 1: SFT", first)
    stage2 = sheet.box(Box(x, 114, wide, 54), "Stage 2: RAFT", second)
    for upper, lower in pairwise((start, stage1, sft, stage2, rl)):
        sheet.arrow(upper.edge(0, -1), lower.edge(0, 1))
    _data(sheet, numbers, (stage1, stage2))
    _bench(sheet, tested, core, {"base": start, "sft": sft, "rl": rl})
    return sheet.figure


def _data(sheet: Sheet, numbers: Mapping[str, float], stages: tuple[Box, Box]) -> None:
    """The corpus, its splits, and the training clips beside the stages that read them."""
    unseen = int(numbers.get("unseen_clips", 0))
    parts = [
        f"{numbers[f'{part}_clips']:,.0f} {name}"
        for part, name in (("train", "training"), ("validation", "validation"), ("test", "test"))
    ]
    parts += [f"{unseen:,} to sample"] if unseen else []
    title = f"{numbers['scripts']:,.0f} tagged scripts, spoken by a TTS"
    sheet.box(Box(sheet.width / 2, 412, sheet.width - 14, 42), title, [", ".join(parts)], PLAIN)
    upper, lower = stages
    if unseen:
        train = Box(53, upper.y, 92, upper.height)
        below = Box(53, lower.y, 92, lower.height)
        sheet.box(below, f"{unseen:,}", ["clips unseen", "in stage 1"], PLAIN)
    else:
        train = Box(53, (upper.y + lower.y) / 2, 92, upper.edge(0, 1)[1] - lower.edge(0, -1)[1])
    sheet.box(train, f"{numbers['train_clips']:,.0f}", ["training clips"], PLAIN)
    sheet.arrow((train.x, 391), train.edge(0, 1))
    for stage in stages:
        sheet.arrow((train.edge(1, 0)[0], stage.y), stage.edge(-1, 0))


def _bench(sheet: Sheet, tested: int, core: pd.DataFrame, models: Mapping[str, Box]) -> None:
    """The benchmark, and what each model scores on it."""
    rows = core.set_index("key").rename(columns=str.lower)
    highest, lowest = models["base"].edge(0, 1)[1], models["rl"].edge(0, -1)[1]
    box = Box(sheet.width - 53, (highest + lowest) / 2, 92, highest - lowest)
    sheet.box(box, "", look=PLAIN)
    sheet.arrow((box.x, 391), box.edge(0, 1))
    sheet.text((box.x, 265), "Evoxtral-Bench", size=9, weight="bold")
    sheet.text((box.x, 251), f"{tested:,} test clips")
    for name, model in models.items():
        sheet.arrow(model.edge(1, 0), (box.edge(-1, 0)[0], model.y))
        sheet.text((box.x, model.y + 7), f"WER {rows.loc['wer', name]:.2%}")
        sheet.text((box.x, model.y - 7), f"Tag F1 {rows.loc['tag_f1', name]:.1%}")


def _look(key: str) -> Look:
    color = SYSTEMS[key].color
    return Look(color, tint(color, 0.12), color)


def _epochs(count: float) -> str:
    return f"{count:.0f} epoch{'' if count == 1 else 's'}"
