"""Figures of the benchmark: Figures 1 and 2 of the report, and scores of systems and of tags.

Diagrams are drawn from counts, keyed as `evoxtral.paper.Published.numbers`; a measured run adds
what `raft.facts` says.

A frame of fractions has a column for each system; columns `<system>_low` and `<system>_high` are
drawn as intervals. A frame of metrics has a row for each, with `key`, `metric`, `direction`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from evoxtral import tags
from evoxtral.bench import HEADLINE
from evoxtral.figures import style
from evoxtral.figures.style import DASHED, GREY, INK, SYSTEMS, WIDTH
from evoxtral.paper import scientific
from evoxtral.tables import MEASURES

_ARROWS = {"lower": "↓", "higher": "↑"}
_RIGHT, _WRONG, _LOST = "#0072b2", "#d55e00", "#6e7781"
_SHOWN = 0.01  # smaller shares have a colour only
_DARK = 0.33  # from here on a cell is dark enough for white letters
_MARGINS = frozenset({"missed", "invented"})
_GROUPS = {"nonverbal": ("#d55e00", "D"), "delivery": ("#0072b2", "o"), "pause": ("#6e7781", "s"),
           "emotion": ("#a8558c", "^")}  # fmt: skip
_GAP, _LINE = 18, 12.6  # points between boxes, and from one line to the next
_RAFT = (
    {"clips": "{sampled_clips:,.0f} clips\n{source}",
     "sft": "Evoxtral SFT\n{completions:.0f} completions per clip\ntemperature {temperature:g}\n"
     "top-p {top_p:g}",
     "reward": "Reward R\n{weight_accuracy:g} × (1 − WER)\n+ {weight_tag_f1:g} × Tag F1\n"
     "+ {weight_hallucination:g} × (1 − hallucination)"},
    {"rl": "Evoxtral RL\n{final}",
     "tune": "Fine-tune\n{learnt_completions:,.0f} completions\n"
     "mean reward {mean_reward:.3f}{plain}\n{rl_epochs}, rate {rl_learning_rate}",
     "best": "Best of {completions:.0f}\nlowest {filtered_share:.0%} dropped\n"
     "kept: {kept}\n{curated_clips:,.0f} of {ranked_clips:,.0f} clips"},
)  # fmt: skip
_SCORES = "{bench_clips:,.0f} test clips\nWER {%s_wer:.2%%}\nTag F1 {%s_tag_f1:.1%%}"
_STAGES = (
    {"corpus": "{scripts:,.0f} clips with tagged transcripts\n{train_clips:,.0f} training, "
     "{validation_clips:,.0f} validation, {test_clips:,.0f} test"},
    {"": "", "base": "Voxtral-Mini-3B\nbase model", "base scores": _SCORES % ("base", "base")},
    {"train": "{train_clips:,.0f}\ntraining clips",
     "sft": "Evoxtral SFT\nstage 1, LoRA rank {lora_rank:.0f}\n"
     "{sft_epochs}, rate {sft_learning_rate}", "sft scores": _SCORES % ("sft", "sft")},
    {"sampled": "the same\n{train_clips:,.0f} clips",
     "rl": "Evoxtral RL\nstage 2, RAFT: best of {completions:.0f}\n"
     "{curated_clips:,.0f} completions\n{rl_epochs}, rate {rl_learning_rate}",
     "rl scores": _SCORES % ("rl", "rl")},
)  # fmt: skip


def _diagram(
    rows: Iterable[Mapping[str, str]],
    arrows: Iterable[tuple[str, str]],
    numbers: Mapping[str, Any],
    widths: Sequence[float],
    **more: object,
) -> Figure:
    """Rows of boxes and arrows from one to another, in a row or down.

    Into their texts go the numbers, epochs and learning rates in words. The first line is bold; an
    empty text has no box, that of a system its colour. `widths` are those of three boxes; one alone
    is as wide as the figure.
    """
    for key, number in numbers.items():
        if key.endswith("_epochs"):
            more[key] = f"{number:.0f} epoch{'' if number == 1 else 's'}"
        elif key.endswith("_learning_rate"):
            more[key] = scientific(number)
    values = {**numbers, **more}
    texts = [{name: text.format(**values) for name, text in row.items()} for row in rows]
    sizes = [16 + _LINE * max(1 + text.count("\n") for text in row.values()) for row in texts]
    height = sum(sizes) + _GAP * len(texts)
    figure = Figure(figsize=(WIDTH, height / 72))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 72 * WIDTH), ylim=(-height, 0))
    ax.set_axis_off()
    places = {}
    top = -_GAP / 2
    for row, size in zip(texts, sizes, strict=True):
        shares = np.array(widths if len(row) > 1 else [1])
        edges = 72 * WIDTH * np.cumsum([0, *shares]) / shares.sum()
        for (name, text), (left, right) in zip(row.items(), pairwise(edges), strict=True):
            if text:
                x, y, width = (left + right) / 2, top - size / 2, right - left - _GAP
                places[name] = x, y, width / 2, size / 2
                color, ink = (SYSTEMS[name].color,) * 2 if name in SYSTEMS else (GREY, INK)
                ax.add_patch(FancyBboxPatch((x - width / 2, top - size), width, size,
                                            edgecolor=color, facecolor=(color, 0.08), linewidth=1.2,
                                            boxstyle="round,pad=0,rounding_size=5"))  # fmt: skip
                title, _, lines = text.partition("\n")
                up = _LINE / 2 * text.count("\n")
                ax.text(x, y + up, title, weight="bold", color=ink, ha="center", va="center")
                ax.text(x, y - _LINE / 2, lines, size=9, linespacing=1.4, ha="center", va="center")
        top -= size + _GAP
    for start, end in arrows:
        (x1, y1, across1, up1), (x2, y2, across2, up2) = places[start], places[end]
        way = np.sign(x2 - x1)
        ends = (x2 - way * across2, y2), (x1 + way * across1, y1)
        if y1 > y2:
            ends = (x2, y2 + up2), (x1, y1 - up1)
        ax.annotate("", *ends, arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 1.5,
                                           "shrinkB": 1.5})  # fmt: skip
    said = (text.replace("\n", ", ") for row in texts for text in row.values() if text)
    figure.set_label("; ".join(said))
    return figure


@style.applied
def raft_pipeline(numbers: Mapping[str, Any]) -> Figure:
    """Figure 1, RAFT: sample, score, keep the best, filter, fine-tune."""
    final = "training loss\n{rl_final_loss:.3g}, mean of\nthe last tenth"
    if "sampled_clips" not in numbers:  # as printed
        final = "final loss {rl_final_loss:.3g}"
        clips, rule = numbers["train_clips"], f"R > {numbers['reward_threshold']:g}"
        more = {"sampled_clips": clips, "ranked_clips": clips, "kept_rule": rule,
                "learnt_completions": numbers["curated_clips"], "learnt_references": 0}  # fmt: skip
        numbers = {**numbers, **more}
    plain = numbers["learnt_references"]
    return _diagram(
        _RAFT,
        pairwise(("clips", "sft", "reward", "best", "tune", "rl")),
        numbers,
        (1, 1.2, 1.35),
        source="unseen in SFT" if numbers.get("unseen_clips") else "of SFT's training",
        kept=numbers["kept_rule"].replace(" and", "\nand"),
        plain=f"\n{plain:,} untagged clips" if plain else "",
        final=final.format(**numbers),
    )


@style.applied
def two_stage_pipeline(numbers: Mapping[str, Any], core: pd.DataFrame) -> Figure:
    """Figure 2: from the base model by two stages to the two released models.

    `core` has rows with `key` `wer` and `tag_f1`, fractions of each system.
    """
    scores = core.set_index("key")
    found = {f"{s}_{key}": scores.loc[key, s] for s in SYSTEMS for key in ("wer", "tag_f1")}
    arrows = [*pairwise(SYSTEMS), ("train", "sft"), ("sampled", "rl"),
              *((key, f"{key} scores") for key in SYSTEMS)]  # fmt: skip
    return _diagram(_STAGES, arrows, numbers, (1, 1.5, 1), **found)


@style.applied
def forest(frame: pd.DataFrame) -> Figure:
    """A panel for each metric, a row for each system, with 95 % intervals.

    `frame` is one of `bench.headline`; paired rows are drawn as differences to their reference.
    """
    paired = "difference" in frame
    rows = frame.assign(name=frame["system"])
    if paired:
        rows["name"] += " − " + frame["reference"]
    rows = rows.rename(columns={"difference": "value", "low": "value_low", "high": "value_high"})
    names, looks = [*dict.fromkeys(rows["name"])], style.looks(dict.fromkeys(rows["system"]))
    metrics = [metric for metric in HEADLINE if metric in set(rows["metric"])]
    figure, axes = style.panels(len(metrics), 3, 0.95 + 0.24 * len(names), sharey=True)
    said = []
    for ax, metric in zip(axes, metrics, strict=True):
        own, measure = rows[rows["metric"] == metric], MEASURES[metric]
        scale, unit = (100, ", %") if measure.rule.startswith("percent") else (1, "")
        for row in own.to_dict("records"):
            look = replace(looks[row["system"]], label="")  # its row is named
            style.dots(ax, names.index(row["name"]), row, "value", look, scale)
        ax.margins(x=0.14)
        if paired:
            unit = unit.replace("%", "points")
            ax.axvline(0, color=INK, linewidth=1)
        else:
            ax.set_xlim(left=-0.06 * ax.get_xlim()[1])  # zero is in sight
        title = f"{measure.label}{unit}\u00a0{_ARROWS[measure.direction]}"
        ax.set_title(textwrap.fill(title, 19), fontsize=8.5)
        ax.locator_params(axis="x", nbins=4)
        style.name_rows(ax, names)
        said.append(f"{title}: {style.words(scale * own.set_index('name')['value'], '{:.3g}')}")
    figure.set_label("; ".join(said))
    return figure


@style.applied
def tag_f1(frame: pd.DataFrame, auc: Mapping[str, float] | None = None) -> Figure:
    """F1 of each tag and system with its 95 % interval, by group, the best first.

    `frame` is that of `tables.tag_scores`; behind a tag's name stands its support, and tags that do
    not occur are left out. With `auc`, that of each tag's probe, a second panel shows what the
    encoder holds.
    """
    rows = frame.rename(columns=str.lower).query("support > 0")
    systems = [name for name in SYSTEMS if name in rows]
    names: list[str] = []
    places: dict[str, int] = {}
    for group, members in tags.GROUPS.items():
        own = rows[rows["tag"].isin(members)].sort_values(systems[-1], ascending=False)
        names += [group] if len(own) else []
        places |= {tag: len(names) + k for k, tag in enumerate(own["tag"])}
        names += [f"[{tag}]  {n}" for tag, n in zip(own["tag"], own["support"], strict=True)]
    rows = rows.set_index("tag").loc[[*places]]
    y = np.array([*places.values()])
    count = 2 if auc else 1
    figure, axes = style.panels(count, count, 1.1 + 0.24 * len(names), sharey=True)
    shifts = 0.3 * (np.arange(len(systems)) - (len(systems) - 1) / 2)
    for shift, name in zip(shifts, systems, strict=True):
        style.dots(axes[0], y + shift, rows, name, SYSTEMS[name])
    axes[0].set(xlim=(-0.03, 1.03), xlabel="F1")
    for ax in axes[1:]:
        heard = np.array([auc[tag] for tag in places])
        ax.barh(y, heard - 0.5, 0.4, 0.5, color=GREY)
        ax.set(xlim=(min([0.5, *heard]), 1), xlabel="AUC of a linear probe")
    for ax in axes:
        style.name_rows(ax, names)
    for label in axes[0].get_yticklabels():
        label.set_weight("normal" if label.get_text().startswith("[") else "bold")
    figure.set_label("; ".join(f"{n}: {style.words(rows[n], '{:.3f}')}" for n in systems))
    return figure


@style.applied
def audibility(frame: pd.DataFrame) -> Figure:
    """Area under the ROC curve of each tag's linear probe, best first, with chance and 0.9 marked.

    `frame` has `tag`, `group`, `auc`; with `se` two standard errors are drawn, with `low` and
    `high` the band that the tag was made for.
    """
    rows = frame.sort_values("auc", ascending=False, ignore_index=True)
    figure, [ax] = style.panels(1, 1, 0.9 + 0.24 * len(rows))
    if "low" in rows:
        spans = rows["high"] - rows["low"]
        ax.barh(rows.index, spans, 0.72, rows["low"], label="made for", **style.BAND)
    for end, reach in (("low", -2), ("high", 2)):
        rows[f"auc_{end}"] = (rows["auc"] + reach * rows.get("se", np.nan)).clip(0, 1)
    for group, own in rows.groupby("group", sort=False):
        look = style.System(str(group), *_GROUPS[str(group)])
        style.dots(ax, own.index, own, "auc", look)
    for place in (0.5, 0.9):
        ax.axvline(place, color=GREY, linewidth=0.8, linestyle=":")
    style.name_rows(ax, rows["tag"])
    ax.set_xlabel("AUC of a linear probe, unheard voices (0.5 is chance)")
    ax.set_xlim(min(0.45, rows["auc"].min() - 0.03), 1.02)
    figure.set_label(style.words(rows.set_index("tag")["auc"], "{:.2f}"))
    return figure


@style.applied
def confusion_matrix(frame: pd.DataFrame) -> Figure:
    """Which tag is written for which, in percent of the true tag's occurrences.

    Hits are blue, confusions orange, what was missed or invented grey; shares below 1 % have no
    number. The bottom row is the share of each predicted tag that stands where no tag is. `frame`
    is `analyses.confusion` of one system.
    """
    wide = frame.pivot_table("share", "true", "predicted", sort=False, dropna=False).fillna(0)
    counts = frame.groupby("true", sort=False)["count"].sum()
    figure, [ax] = style.panels(1, 1, 1.75 + 0.23 * len(wide))
    cells = np.zeros((*wide.shape, 4))
    for (y, x), share in np.ndenumerate(wide.to_numpy()):
        pair = {wide.index[y], wide.columns[x]}
        color = _LOST if pair & _MARGINS else _WRONG if len(pair) > 1 else _RIGHT
        cells[y, x] = to_rgba(color, share)
        if share >= _SHOWN:
            dark = share * (1 - np.mean(to_rgb(color))) > _DARK
            ax.text(x, y, f"{100 * share:.0f}", ha="center", va="center_baseline", fontsize=8.1,
                    color="white" if dark else INK)  # fmt: skip
    ax.imshow(cells, aspect="auto")
    for place, names in enumerate(pairwise(wide.index)):
        if len({*map(tags.group_of, names)}) > 1:
            ax.axhline(place + 0.5, color=GREY, linewidth=0.6)
            ax.axvline(place + 0.5, color=GREY, linewidth=0.6)
    ax.set_xticks(range(wide.shape[1]), wide.columns, rotation=90)
    ax.set_yticks(range(len(wide)), [f"{name}  {counts[name]:,}" for name in wide.index])
    ax.tick_params(length=0, pad=2, labelsize=8.5, top=False, labeltop=True, labelbottom=False)
    ax.set_title("predicted tag", loc="center", weight="normal", fontsize=9.5)
    ax.set_xlabel("% of the true tag; last row: % of the predicted tag", fontsize=8.5, color=GREY)
    ax.set_ylabel("true tag and its number")
    ax.spines[:].set_visible(False)
    hits = pd.Series({name: 100 * wide.loc[name, name] for name in wide.index[:-1]})
    figure.set_label(f"Right are {style.words(hits, '{:.0f}%')}")
    return figure


@style.applied
def label_noise(frame: pd.DataFrame, printed: float) -> Figure:
    """Hallucination rate of RL's fixed predictions against the share of labels that are missing.

    `frame` is that of `analyses.noise_curve`, one protocol; `printed` the published rate.
    """
    figure, [ax] = style.panels(1, 1, 3.3)
    own = frame.sort_values("share").assign(missing=100 * frame["share"])
    style.line(ax, own, "missing", "value", SYSTEMS["rl"], 100)
    ax.axhline(100 * printed, color=GREY, linestyle=DASHED, label=f"published {printed:.1%}")
    ax.set(xlabel="labels missing from the references, %", ylabel="hallucinated, mean of clips, %")
    ax.set_ylim(0)
    figure.set_label(style.words(100 * own.set_index("missing")["value"]))
    return figure
