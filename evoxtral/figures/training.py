"""Figures of fine-tuning and of rejection sampling, and transcripts to read and to hear.

What is marked in a transcript is what the strict protocol counts: words are aligned by minimal
edit distance and compared as WER compares them, a tag is right if the reference has the same one
within two words. Colours are translucent and never the only sign, so that the page reads on a dark
ground, in grey, and at the width of a phone.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rapidfuzz.distance import Levenshtein

from evoxtral import UserError, tags
from evoxtral.figures.style import (
    GREY,
    INK,
    RULE,
    SYSTEMS,
    System,
    forest,
    looks,
    panels,
    styled,
    tint,
)
from evoxtral.metrics import TOLERANCE_WORDS, RewardWeights, places_in_reference
from evoxtral.tags import Transcript

_LEGEND = {"frameon": True, "edgecolor": "none", "framealpha": 1.0, "handlelength": 1.5,
           "fontsize": 8.5, "borderpad": 0.2}  # fmt: skip
_PLAIN = System("", "#009e73", "^")
_NAMES = {
    "reward": "Reward ↑",
    "wer": "WER ↓",
    "tag_f1": "Tag F1 ↑",
    "hallucination": "Tag hallucination ↓",
}
_LOSSES = {
    "frames": ("frames heard", "#0072b2"),
    "transcription": ("words written", "#d55e00"),
    "text": ("text read", "#009e73"),
}
_CSS = files("evoxtral").joinpath("report/templates/reading.css").read_text(encoding="utf-8")
_STYLE = f"<style>{_CSS}</style>"
_KEY = (
    '<p class="key"><span class="tag right">✓ tag</span> in the reference, within two words · '
    '<span class="tag wrong">✗ tag</span> not there · <ins>word</ins> written instead or too much '
    "· <del>word</del> spoken, not written</p>"
)


@styled
def training_curves(
    steps: pd.DataFrame, epochs: pd.DataFrame, best_epoch: float, plain_limit: float
) -> Figure:
    """Loss and learning rate at every step, validation scores at every epoch.

    Args:
        steps: `step`, `epoch` (a fraction of epochs), `loss`, `learning_rate`.
        epochs: `epoch`, `validation_loss`, and the fractions `validation_wer`,
            `validation_tag_f1` and, where the data has plain clips, `plain_wer`.
        best_epoch: the epoch that is kept; marked in every panel.
        plain_limit: by how much, a fraction, the WER on plain clips may exceed that of the first
            row, the model before training.
    """
    figure, axes = panels(4, 2, 2.4)
    loss, rate, errors, found = axes
    base, sft = SYSTEMS["base"], SYSTEMS["sft"]
    loss.plot(steps["epoch"], steps["loss"], color=base.color, lw=1, label="training")
    _per_epoch(loss, epochs, "validation_loss", "validation", sft, 1)
    rate.plot(steps["epoch"], 1e4 * steps["learning_rate"], color=base.color, lw=1.4)
    _per_epoch(errors, epochs, "validation_wer", "validation", sft)
    if "plain_wer" in epochs:
        _per_epoch(errors, epochs, "plain_wer", "plain clips", _PLAIN)
        highest = 100 * (epochs["plain_wer"].dropna().iloc[0] + plain_limit)
        errors.axhline(highest, color="#b5341d", label="limit, plain", lw=1.2, ls=(0, (5, 3)))
    _per_epoch(found, epochs, "validation_tag_f1", "validation", sft)
    loss.set(title="Loss, nats per token", ylim=(0, None))
    rate.set(title="Learning rate, 10⁻⁴", ylim=(0, None))
    errors.set(title="WER, % ↓", ylim=(0, 1.45 * errors.get_ylim()[1]))
    found.set(title="Tag F1, validation, % ↑", ylim=(0, 100))
    loss.legend(**_LEGEND)
    errors.legend(ncols=2, columnspacing=1.0, loc="upper left", **_LEGEND)
    end = max(float(steps["epoch"].max()), float(epochs["epoch"].max()))
    for ax in axes:
        ax.axvline(best_epoch, color=GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        ax.set_xlim(-0.03 * end, 1.03 * end)
        ax.grid(axis="y")
    for ax in axes[2:]:
        ax.set_xlabel(f"epochs (dotted: best, {best_epoch:g})")
    figure.set_label(f"Training curves; best epoch {best_epoch:g} of {end:g}")
    return figure


def _per_epoch(
    ax: Axes, epochs: pd.DataFrame, column: str, label: str, look: System, scale: float = 100
) -> None:
    rows = epochs.dropna(subset=[column])
    ax.plot(rows["epoch"], scale * rows[column], color=look.color, marker=look.marker, ms=5,
            lw=1.4, label=label)  # fmt: skip


@styled
def pretraining_curve(log: pd.DataFrame) -> Figure:
    """Losses and the word error rate on unseen speech against the base's training steps.

    Args:
        log: `step`, the losses `frames`, `transcription`, `text`, and `dev_wer` (NaN between
            evaluations).
    """
    figure, (losses, errors) = panels(2, 2, 3.1)
    for name, (label, color) in _LOSSES.items():
        losses.plot(log["step"], log[name], ".-", color=color, label=label, lw=1, markersize=2)
    losses.set(xlabel="optimiser steps", ylabel="loss (nats)", ylim=(0, None))
    losses.legend(loc="lower left", bbox_to_anchor=(0, 1))  # above: a cycle restarts anywhere
    watched = log.dropna(subset=["dev_wer"])
    errors.plot(watched["step"], 100 * watched["dev_wer"], "o-", color=SYSTEMS["base"].color)
    last = watched.iloc[-1]
    errors.annotate(f"{100 * last['dev_wer']:.1f}%", (last["step"], 100 * last["dev_wer"]), (0, 8),
                    ha="right", textcoords="offset points")  # fmt: skip
    errors.set(xlabel="optimiser steps", ylabel="WER, unseen neutral speech (%)", ylim=(0, None))
    figure.set_label("Losses and word error rate of the base model during training")
    return figure


@styled
def reward_distribution(
    rewards: Sequence[float], best: Sequence[float], threshold: float | None
) -> Figure:
    """Cumulative shares of the rewards of all completions and of the best of each clip.

    Many rewards are equal, most of them 1, which would make one bar of a histogram and dust.

    Args:
        rewards: of all completions, each in [0, 1].
        best: of each clip.
        threshold: that kept clips exceed, if any.
    """
    figure, [ax] = panels(1, 1, 3.1)
    low = min(*rewards, *best, 0.95)
    said = []
    drawn = (("all completions", rewards, SYSTEMS["sft"]), ("best of each", best, SYSTEMS["rl"]))
    for name, values, look in drawn:
        ordered = np.sort(np.asarray(values, dtype=float))
        share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
        said.append(f"{name}: {len(ordered):,}, mean {ordered.mean():.3f}")
        ax.step([low, *ordered, 1.0], [0.0, *share, 100.0], where="post", color=look.color,
                lw=2, label=said[-1])  # fmt: skip
    if threshold is not None:
        dropped = float(np.mean(np.asarray(best) <= threshold))
        said.append(f"threshold {threshold:.3f}: {dropped:.1%} of the best not above")
        ax.axvline(threshold, color=INK, lw=1.2, ls=(0, (4, 2)), label=said[-1])
    margin = 0.02 * (1 - low)
    ax.set(xlabel="reward", ylabel="% with at most this reward")
    ax.set(xlim=(low - margin, 1 + margin), ylim=(0, 102))
    ax.grid()
    figure.legend(loc="outside upper left", labelspacing=0.25)
    figure.set_label(f"Rewards, {'; '.join(said)}")
    return figure


@styled
def group_spread(groups: pd.DataFrame) -> Figure:
    """Clips by what there is to select from, and how far their best and worst rewards lie apart."""
    figure, (left, right) = panels(2, 2, 2.9)
    same, lively = groups["identical"].to_numpy(dtype=bool), groups["spread"].to_numpy() > 0
    shares = [100 * float(np.mean(part)) for part in (same, ~same & ~lively, lively)]
    colors = (RULE, tint(GREY, 0.6), SYSTEMS["rl"].color)
    bars = left.bar(("same\ntext", "same\nreward", "different\nrewards"), shares, 0.7, color=colors)
    left.bar_label(bars, fmt="%.0f", padding=2)
    left.set(title="Completions of one clip", ylabel="% of clips", ylim=(0, 1.12 * max(shares)))
    left.tick_params(axis="x", length=0)
    spreads = groups.loc[lively, "spread"]
    right.hist(spreads, bins=np.linspace(0, 1, 21), color=SYSTEMS["rl"].color, lw=0.5,
               weights=np.full(len(spreads), 100 / len(groups)), edgecolor="white")  # fmt: skip
    right.set(title="Best minus worst", xlabel="reward, where different", ylabel="% of clips")
    right.set_xlim(0, 1)
    for ax in (left, right):
        ax.grid(axis="y")
    gain = float(np.mean(groups["best"] - groups["mean"]))
    figure.set_label(
        f"Completions of one clip: same text {shares[0]:.1f}% of clips, same reward "
        f"{shares[1]:.1f}%, different rewards {shares[2]:.1f}%; best over mean {gain:.3f}"
    )
    return figure


@styled
def best_of_k(curve: pd.DataFrame) -> Figure:
    """Scores of the best of j completions, j up to k, with 95% intervals: what more would buy."""
    figure, axes = panels(4, 2, 2.5)
    look, said = SYSTEMS["rl"], []
    for (name, points), ax in zip(curve.groupby("column", sort=False), axes, strict=True):
        ax.fill_between(points["j"], points["low"], points["high"], color=look.color, alpha=0.2,
                        lw=0)  # fmt: skip
        ax.plot(points["j"], points["value"], color=look.color, marker=look.marker, ms=5, lw=1.5)
        ax.set(title=_NAMES[name], xlabel="completions to choose from")
        ax.set_xticks(points["j"][:: math.ceil(len(points) / 8)])
        ax.margins(x=0.06)
        ax.grid(axis="y")
        first, last = points["value"].iloc[[0, -1]]
        said.append(f"{_NAMES[name]} {first:.3f} to {last:.3f}")
    figure.set_label(f"From best of 1 to best of {curve['j'].max()}: {'; '.join(said)}")
    return figure


@styled
def raft_differences(frame: pd.DataFrame) -> Figure:
    """Forest plot: paired difference of each system to SFT, a panel per metric.

    A mark is filled where the 95% interval leaves out zero.

    Args:
        frame: of `tables.scores` with SFT as the reference.

    Raises:
        UserError: the frame has no difference.
    """
    low = "_difference_low"
    names = [str(c).removesuffix(low) for c in frame if str(c).endswith(low)]
    if not names:
        raise UserError("there are no differences to draw: compare at least two systems")
    figure, axes = panels(len(frame), 3, 0.85 + 0.27 * len(names), sharey=True)
    drawn, said = looks(names), []
    for row, ax in zip(frame.to_dict("records"), axes, strict=False):
        _forest(ax, row, drawn)
        changes = (f"{name} {row[f'{name}_difference']:+.3f}" for name in names)
        said.append(f"{row['metric']}: {', '.join(changes)}")
    figure.set_label(f"Differences to SFT with 95% intervals; {'; '.join(said)}")
    figure.supxlabel("difference to SFT, filled where the interval leaves out 0", fontsize=9)
    return figure


def _forest(ax: Axes, row: dict[str, Any], drawn: dict[str, System]) -> None:
    scale = 100 if row["unit"] == "percent" else 1
    ends = [
        [scale * row[f"{name}_difference{end}"] for end in ("", "_low", "_high")] for name in drawn
    ]
    ax.axvline(0, color=INK, linewidth=1)
    rows = zip(range(len(drawn)), ends, drawn.values(), strict=True)
    labels = {y: look.label for y, look in enumerate(drawn.values())}
    forest(ax, rows, labels, hollow=True)
    better = "← better" if row["direction"] == "lower" else "better →"
    lines = [*textwrap.wrap(row["metric"], 18), "points, " * (scale == 100) + better]
    ax.set_title("\n".join(lines), fontsize=8.5)
    reach = 1.15 * np.abs(np.nan_to_num(ends)).max() or 1.0
    ax.set(xlim=(-reach, reach), ylim=(len(drawn) - 0.4, -0.6))
    ax.locator_params(axis="x", nbins=4)


def masked_example(tokens: Sequence[tuple[str, bool]]) -> HTML:
    """One training example: tokens the loss is computed on in colour, masked ones grey.

    Args:
        tokens: text of each token in order, and whether it is a label, i.e. counts in the loss.
            Masked tokens that repeat (audio, padding) are written once with their number.
    """
    parts = []
    for (text, label), run in groupby(tokens):
        count = len(list(run))
        if not label and count > 3:
            parts.append(_token(f"{text} × {count}", label=False))
        else:
            parts += [_token(text, label=label)] * count
    learnt = sum(label for _, label in tokens)
    said = f"<p>{len(tokens)} tokens: {_token('masked', label=False)} {len(tokens) - learnt}, "
    said += f"{_token('label', label=True)} {learnt}, the only ones in the loss.</p>"
    return HTML(f'{_STYLE}<div class="evx-tokens">{said}<div>{"".join(parts)}</div></div>')


def _token(text: str, *, label: bool) -> str:
    visible = text.replace("\n", "⏎").replace(" ", "·") if label else text
    return f'<span class="{"label" if label else "masked"}">{html.escape(visible)}</span><wbr>'


def completions(reference: str, rows: pd.DataFrame, chosen: int, weights: RewardWeights) -> HTML:
    """The k completions of one clip with their rewards term by term, the chosen one outlined.

    Args:
        reference: tagged text of what was said.
        rows: of `selection.score`, one clip's.
        chosen: `index` of the completion that is kept.
        weights: of the reward.
    """
    cards = []
    first = rows.groupby("text")["index"].min()
    for row in rows.sort_values("index").to_dict("records"):
        marked, index, twin = mark(reference, row["text"]), row["index"], first[row["text"]]
        terms = (
            (weights.accuracy, max(0.0, 1.0 - row["wer"]), "accuracy"),
            (weights.tags, row["tag_f1"], "Tag F1"),
            (weights.hallucination, 1.0 - row["hallucination"], "no hallucination"),
        )
        total = " + ".join(f"{weight:g}\u202f×\u202f{value:.2f} {name}"
                           for weight, value, name in terms)  # fmt: skip
        kept, outlined = (" · kept", " chosen") if index == chosen else ("", "")
        same = f" <small>same text as {twin + 1}</small>" if twin != index else ""
        missed = "".join(f" {_chip(name, 'missed')}" for name in marked.missed)
        cards.append(
            f'<div class="card{outlined}">'
            f'<div class="top"><span>Completion {index + 1}{kept}{same}</span>'
            f"<span>{row['reward']:.3f}</span></div>"
            f'<div class="bar"><i style="width:{100 * row["reward"]:.1f}%"></i></div>'
            f"<div>{marked.html}{f' <small>missed:</small>{missed}' if missed else ''}</div>"
            f'<div class="sum">{total}</div></div>'
        )
    said = f"<div><b>Reference</b> {plain_chips(reference)}</div>"
    page = f'{said}<div class="cards">{"".join(cards)}</div>'
    return HTML(f'{_STYLE}<div class="evx-read evx-raft">{page}</div>')


def transcripts(clips: pd.DataFrame) -> HTML:
    """Clips with a player, their references, and each system's transcript with errors marked.

    Args:
        clips: `id`, `reference`, `audio` (a data URI), and a column of tagged text a system.
    """
    page = []
    for row in clips.to_dict("records"):
        name, source = html.escape(row.pop("id")), html.escape(row.pop("audio"))
        player = f'<audio controls preload="none" src="{source}" aria-label="{name}"></audio>'
        reference = row.pop("reference")
        page += [
            f'<div class="clip"><div class="head"><small>{name}</small>{player}</div>',
            _row("Reference", plain_chips(reference)),
            *(_prediction(reference, *item) for item in row.items()),
            "</div>",
        ]
    return HTML(f'{_STYLE}<div class="evx-read">{_KEY}{"".join(page)}</div>')


def _prediction(reference: str, system: str, text: str) -> str:
    """A row: the text with its errors marked, their counts, and the tags it misses.

    >>> _prediction("[sighs] not again", "SFT", "[sad] not a gain").partition("<small>")[2][:55]
    '2 errors in 2 words; tags: 0 right, 1 wrong, 1 missed: '
    """
    marked = mark(reference, text)
    counts = [len(names) for names in (marked.right, marked.wrong, marked.missed)]
    tagged = "tags: {} right, {} wrong, {} missed".format(*counts) if any(counts) else "no tags"
    errors, words = (
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in ((marked.errors, "error"), (marked.words, "word"))
    )
    missed = "".join(f" {_chip(name, 'missed')}" for name in marked.missed)
    note = f"<small>{errors} in {words}; {tagged}{':' if missed else ''}{missed}</small>"
    known = SYSTEMS.get(system.casefold())
    style = f' style="border-color:{known.color}"' if known else ""
    return _row(system, f"{marked.html}{note}", style)


def _row(who: str, said: str, style: str = "") -> str:
    name = f'<div class="who"{style}>{html.escape(who[:1].upper() + who[1:])}</div>'
    return f'<div class="row">{name}<div class="said">{said}</div></div>'


class Marked(NamedTuple):
    """A prediction as HTML with its errors marked, and what the strict protocol counts in it."""

    html: str
    words: int
    errors: int
    right: list[str]
    wrong: list[str]
    missed: list[str]


def mark(reference: str, prediction: str) -> Marked:
    """Compare a prediction with its reference, both tagged texts."""
    wanted, got = tags.parse(reference), tags.parse(prediction)
    found, missed = _match(wanted, got)
    keys = [[tags.plain_text(word) for word in own.words] for own in (wanted, got)]
    shown = [html.escape(word) for word in got.words] + [""]
    dropped = [""] * len(shown)
    errors = 0
    for operation, i1, i2, j1, j2 in Levenshtein.opcodes(*keys):
        if operation == "equal":
            continue
        errors += max(i2 - i1, j2 - j1)
        if i2 > i1:
            dropped[j1] += f"<del>{html.escape(' '.join(wanted.words[i1:i2]))}</del> "
        for j in range(j1, j2):
            shown[j] = f"<ins>{shown[j]}</ins>"
    names = [tag.name for tag in got.tags]
    signs = [("✓", "right") if hit else ("✗", "wrong") for hit in found]
    chips = [_chip(f"{sign} {name}", kind) for name, (sign, kind) in zip(names, signs, strict=True)]
    text = _woven(got, chips, [before + word for before, word in zip(dropped, shown, strict=True)])
    return Marked(
        html=text.rstrip() if got.words or got.tags else "<small>nothing written</small>",
        words=len(wanted.words),
        errors=errors,
        right=[name for name, hit in zip(names, found, strict=True) if hit],
        wrong=[name for name, hit in zip(names, found, strict=True) if not hit],
        missed=missed,
    )


def _match(wanted: Transcript, got: Transcript) -> tuple[list[bool], list[str]]:
    """Which predicted tags are right, and the tags of the reference that none matches.

    Each tag is matched in turn with the first free one in reach, as `metrics.aligned_matches` does.
    """
    places = places_in_reference(wanted.words, got.words)
    free, found = list(wanted.tags), []
    for tag in got.tags:
        low, high = places[tag.word_index]
        reach = range(low - TOLERANCE_WORDS, high + TOLERANCE_WORDS + 1)
        hit = next((t for t in free if t.name == tag.name and t.word_index in reach), None)
        if hit is not None:
            free.remove(hit)
        found.append(hit is not None)
    return found, [tag.name for tag in free]


def plain_chips(text: str) -> str:
    """A tagged text as HTML, its tags in neutral outlines."""
    parsed = tags.parse(text)
    chips = [_chip(tag.name, "neutral") for tag in parsed.tags]
    return _woven(parsed, chips, [*map(html.escape, parsed.words), ""])


def _woven(parsed: Transcript, chips: Sequence[str], words: Sequence[str]) -> str:
    """Tags at their places among the words; the last item stands behind all of them."""
    parts = []
    for place, word in enumerate(words):
        parts += [c for c, tag in zip(chips, parsed.tags, strict=True) if tag.word_index == place]
        parts.append(word)
    return " ".join(part for part in parts if part)


def _chip(text: str, kind: str) -> str:
    return f'<span class="tag {kind}">{html.escape(text)}</span>'
