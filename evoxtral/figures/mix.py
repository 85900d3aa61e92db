"""Figures of a training set: compositions, durations, and each tag to hear and to see.

Compositions are frames of `composition.judge` by set, such as `{"before": ..., "after": ...}`, in
the order in which they are drawn; the targets are those the sets were judged by.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from evoxtral import tags
from evoxtral.clips import to_mp3
from evoxtral.figures.style import GREY, INK, RULE, SYSTEMS, WIDTH, panels, styled
from evoxtral.mix.chapter import Specimen
from evoxtral.mix.goals import DENSITY, FREQUENT, MINIMUMS, length_edges

RATE = 16_000

_COLORS = tuple(system.color for system in SYSTEMS.values())
_MARKERS = tuple(system.marker for system in SYSTEMS.values())
_BAND = "#d8f0e3"
_VERDICTS = {"yes": ("✓", "#00775a"), "no": ("✗", "#b5341d"), "not known": ("?", GREY)}
_VALENCE = {"positive": "#56b4e9", "neutral": "#c9d1d9", "negative": "#cc79a7"}
_GROUPS = {"nonverbal": "#d55e00", "delivery": "#0072b2", "pause": "#6e7781",
           "emotion": "#a8558c", "other": "#59636e"}  # fmt: skip
_WINDOW, _HOP, _POINTS, _FLOOR_DB = 400, 80, 512, -65.0
_STYLE = """<style>
.evx-listen{max-width:1000px}
.evx-listen section{border-top:1px solid rgba(128,128,128,.35);padding:.6em 0 .3em}
.evx-listen h4{margin:0 0 .3em;font-size:1em}
.evx-listen small{font-weight:400;opacity:.75}
.evx-listen div{display:flex;flex-wrap:wrap;gap:.3em 2em}
.evx-listen figure{margin:0;flex:1 1 300px;min-width:0}
.evx-listen figcaption{font-size:.9em;margin-bottom:.2em}
.evx-listen audio{width:100%;max-width:420px;height:34px}
.evx-listen img{width:100%;height:auto;margin-top:.3em;background:#fff}
</style>"""

_Sets = Mapping[str, pd.DataFrame]


def _shares(sets: _Sets, table: str, prefix: str = "") -> pd.DataFrame:
    """Percentages of one table, a column per set."""
    columns = {}
    for name, judged in sets.items():
        rows = judged[(judged["table"] == table) & judged["row"].str.startswith(prefix)]
        names = rows["row"].str.removeprefix(prefix)
        columns[name] = pd.Series(100 * rows["measured"].to_numpy(float), names)
    return pd.DataFrame(columns)


def _said(shares: pd.DataFrame) -> str:
    parts = (", ".join(f"{row} {value:.1f}%" for row, value in shares[name].items())
             for name in shares)  # fmt: skip
    return "; ".join(f"{name}: {part}" for name, part in zip(shares, parts, strict=True))


def _legend(figure: Figure, names: Sequence[str], *, band: str | None = None) -> None:
    handles = [Patch(color=c, label=name) for name, c in zip(names, _COLORS, strict=False)]
    if band:
        handles.append(Patch(facecolor=_BAND, edgecolor=GREY, linewidth=0.6, label=band))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))


@styled
def tag_shares(sets: _Sets) -> Figure:
    """The long tail: share of tagged examples that carry each tag, with its target band."""
    shares = _shares(sets, "tags")
    shares = shares.sort_values(shares.columns[0])
    figure, [ax] = panels(1, 1, 0.9 + 0.24 * len(shares))
    rows = range(len(shares))
    for row, tag in enumerate(shares.index):
        low, high, *_ = MINIMUMS.get(tag.strip("[]"), FREQUENT)
        _band(ax, 100 * low, row - 0.36, 100 * (high - low), 0.72)
    ax.hlines(rows, shares.min(axis=1), shares.max(axis=1), color=GREY, lw=1)
    for name, color, marker in zip(shares, _COLORS, _MARKERS, strict=False):
        ax.scatter(shares[name], rows, s=30, color=color, marker=marker, zorder=3)
    ax.set(yticks=rows, yticklabels=[tag.strip("[]") for tag in shares.index],
           xlabel="% of tagged examples", xlim=(-1.5, 1.06 * shares.to_numpy().max()),
           ylim=(-0.7, len(shares) - 0.3))  # fmt: skip
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    _legend(figure, list(sets), band="minimum (CAPS, pause: band)")
    figure.set_label(f"Share of tagged examples, {_said(shares.iloc[:, -1:])}")
    return figure


def _band(ax: Axes, left: float, bottom: float, width: float, height: float) -> None:
    style = {"facecolor": _BAND, "edgecolor": GREY, "linewidth": 0.5}
    ax.add_patch(Rectangle((left, bottom), width, height, **style))


@styled
def density(sets: _Sets) -> Figure:
    """Share of examples per tag density, each stratum with its target band."""
    shares = _shares(sets, "density")
    figure, [ax] = panels(1, 1, 2.9)
    width = 0.8 / len(sets)
    for k, (_, low, high) in enumerate(DENSITY.values()):
        _band(ax, k - 0.46, 100 * low, 0.92, 100 * (high - low))
    for j, (name, color) in enumerate(zip(shares, _COLORS, strict=False)):
        places = np.arange(len(shares)) + (j - (len(sets) - 1) / 2) * width
        bars = ax.bar(places, shares[name], width=0.86 * width, color=color)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=8.5)
    names = [name.replace(" (", "\n(") for name in shares.index]
    ax.set(xticks=range(len(names)), xticklabels=names, ylabel="% of examples", ylim=(0, 42))
    ax.tick_params(axis="x", length=0)
    _legend(figure, list(sets), band="target")
    figure.set_label(_said(shares))
    return figure


@styled
def durations(sets: Mapping[str, Sequence[float]], window_seconds: float | None = None) -> Figure:
    """Distribution of clip durations, with the edges of short, medium and long.

    Args:
        sets: durations in seconds of each set; may be empty.
        window_seconds: the model's window; `None` for real data (10 and 30 s).
    """
    if not sets:
        return _words("No durations: this source has no sound.")
    figure, [ax] = panels(1, 1, 2.6)
    edges = length_edges(window_seconds)
    longest = max(max(values) for values in sets.values())
    end = max(longest, window_seconds or edges[1] * 1.2)
    bins = np.linspace(0, end, 49)
    for (name, values), color in zip(sets.items(), _COLORS, strict=False):
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, bins=bins, weights=share, histtype="step", color=color, lw=1.6, label=name)
    bounds = [0.0, *edges, end]
    for name, low, high in zip(("short", "medium", "long"), bounds, bounds[1:], strict=False):
        ax.axvline(high, color=RULE, lw=1)
        ax.annotate(name, ((low + high) / 2, 1), (0, -2), xycoords=("data", "axes fraction"),
                    textcoords="offset points", ha="center", va="top", color=GREY)  # fmt: skip
    ax.set(xlabel="duration, s", ylabel="% of clips", xlim=(0, end))
    ax.set_ylim(0, 1.15 * ax.get_ylim()[1])
    _legend(figure, list(sets))
    medians = (f"{name} median {np.median(v):.1f} s" for name, v in sets.items())
    figure.set_label("Clip durations: " + ", ".join(medians))
    return figure


@styled
def valence(sets: _Sets) -> Figure:
    """Positive, neutral and negative examples, one bar per set."""
    shares = _shares(sets, "axes", "valence: ")
    figure, [ax] = panels(1, 1, 0.8 + 0.42 * len(sets))
    left = np.zeros(len(sets))
    for name, color in _VALENCE.items():
        widths = shares.loc[name].to_numpy()
        bars = ax.barh(range(len(sets)), widths, left=left, height=0.7, color=color,
                       edgecolor="white")  # fmt: skip
        ax.bar_label(bars, fmt="%.0f", label_type="center", color=INK)
        left = left + widths
    ax.set(yticks=range(len(sets)), yticklabels=list(sets), xlim=(0, 100), xlabel="% of examples")
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    handles = [Patch(color=color, label=name) for name, color in _VALENCE.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    figure.set_label(_said(shares))
    return figure


@styled
def checklist(sets: _Sets) -> Figure:
    """The quality checklist: a row per check, a column of verdicts per set."""
    own = {name: judged[judged["table"] == "checklist"] for name, judged in sets.items()}
    checks = next(iter(own.values()))["row"].tolist()
    figure, [ax] = panels(1, 1, 0.45 + 0.27 * len(checks))
    ax.set(xlim=(0, 1), ylim=(len(checks) - 0.4, -1.4))
    ax.set_axis_off()
    columns = np.linspace(0.7, 0.9, len(sets)) if len(sets) > 1 else np.array([0.85])
    for row, check in enumerate(checks):
        ax.text(0, row, check, va="center_baseline")
        ax.axhline(row - 0.5, color=RULE, lw=0.7)
    for place, (name, table) in zip(columns, own.items(), strict=True):
        ax.text(place, -0.95, name, ha="center", va="center_baseline", weight="bold")
        for row, verdict in enumerate(table["pass"]):
            sign, color = _VERDICTS[verdict]
            ax.text(place, row, sign, ha="center", va="center_baseline", color=color, size=12)
    passed = (f"{name}: {(t['pass'] == 'yes').sum()} of {len(checks)}" for name, t in own.items())
    figure.set_label("Quality checks passed, " + ", ".join(passed))
    return figure


@styled
def audibility(frame: pd.DataFrame) -> Figure:
    """AUC of each tag's probe with two standard errors, over the band it was made for.

    Args:
        frame: `tag`, `group`, `auc`, `se`, `low`, `high` (`chapter.audible`); may be empty.
    """
    if frame.empty:
        return _words("No clips with and without a tag to compare in this source.")
    rows = frame.sort_values("auc", ignore_index=True)
    figure, [ax] = panels(1, 1, 0.9 + 0.24 * len(rows))
    spans = rows["high"] - rows["low"]
    ax.barh(rows.index, spans, left=rows["low"], height=0.72, color=_BAND, edgecolor=GREY,
            linewidth=0.5, label="made for")  # fmt: skip
    for group, own in rows.groupby("group", sort=False):
        error = np.minimum(2 * own["se"], np.array([own["auc"], 1 - own["auc"]]))
        ax.errorbar(own["auc"], own.index, xerr=error, fmt="o", ms=5, lw=1.2, label=group,
                    color=_GROUPS[str(group)])  # fmt: skip
    ax.axvline(0.5, color=GREY, lw=0.8, ls=":")
    ax.set(yticks=range(len(rows)), yticklabels=rows["tag"], ylim=(-0.7, len(rows) - 0.3),
           xlabel="area under the ROC curve, unheard voices (0.5 is chance)")  # fmt: skip
    ax.set_xlim(min(0.45, float(rows["auc"].min()) - 0.03), 1.02)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    figure.legend(loc="outside upper left", ncols=5, columnspacing=1.0, handletextpad=0.3)
    said = ", ".join(f"{tag} {auc:.2f}" for tag, auc in zip(rows["tag"], rows["auc"], strict=True))
    figure.set_label(f"Audibility: {said}")
    return figure


def _words(text: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.axhline(0, color=RULE)
    ax.text(0.01, 0.5, text, va="center", color=GREY)
    figure.set_label(text)
    return figure


def listening_page(shown: Sequence[Specimen]) -> HTML:
    """Each tag with players and pictures, in one self-contained fragment."""
    if not shown:
        return HTML("<p><em>This source has no sound to listen to.</em></p>")
    sections = []
    for specimen in shown:
        tag, about = specimen.tag, f"{tags.group_of(specimen.tag)} · {specimen.voice}"
        players = "".join(
            f"<figure><figcaption>{html.escape(heard.text)}</figcaption><audio controls "
            f'preload="metadata" src="{_uri("audio/mpeg", to_mp3(heard.audio))}"></audio></figure>'
            for heard in specimen.heard
        )
        sections.append(
            f"<section><h4>[{html.escape(tag)}] <small>{html.escape(about)}</small></h4>"
            f'<div>{players}</div><img alt="waveforms and spectrograms of [{html.escape(tag)}]" '
            f'src="{_uri("image/webp", _webp(_picture(specimen)))}"></section>'
        )
    return HTML(f'{_STYLE}<div class="evx-listen">{"".join(sections)}</div>')


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _webp(figure: Figure) -> bytes:
    """A third of the size of a PNG."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    with Image.open(drawn) as image:
        image.convert("RGB").save(small, format="WEBP", quality=75, method=6)
    return small.getvalue()


@styled
def _picture(specimen: Specimen) -> Figure:
    """Waveforms and spectrograms beside one another, on one time scale."""
    figure = Figure(figsize=(7.6, 1.75))
    color = _GROUPS[tags.group_of(specimen.tag)]
    end = max(len(heard.audio) for heard in specimen.heard) / RATE
    for column, heard in enumerate(specimen.heard):
        left, width = (0.045, 0.53)[column], 0.46
        wave = figure.add_axes((left, 0.66, width, 0.24))
        sound = figure.add_axes((left, 0.17, width, 0.47))
        _waveform(wave, heard.audio)
        wave.set_title("without" if column else "with the tag", fontsize=8.5, pad=3)
        power = _spectrogram(heard.audio)
        sound.imshow(power, extent=(0, len(heard.audio) / RATE, 0, RATE / 2000), origin="lower",
                     aspect="auto", cmap="magma", vmin=_FLOOR_DB, vmax=0,
                     interpolation="antialiased")  # fmt: skip
        for start, stop in heard.marks:
            wave.axvspan(start, stop, color=color, alpha=0.3, linewidth=0)
            sound.axvspan(start, stop, ymin=0.965, color=color, linewidth=0)
        sound.tick_params(labelsize=7, length=2, pad=2)
        sound.set(yticks=(0, 4, 8), yticklabels=("", "", "") if column else ("0", "4", "8 kHz"))
        ticks = np.arange(0, end, 1 if end > 1.5 else 0.5)
        sound.set_xticks(ticks, [f"{tick:g} s" for tick in ticks])
        for ax in (wave, sound):
            ax.set_xlim(0, end)
    return figure


def _spectrogram(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Level in dB below the clip's loudest point, shape (bins up to 8 kHz, frames)."""
    padded = np.pad(audio, (0, max(0, _WINDOW - len(audio))))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(blocks * np.hanning(_WINDOW), _POINTS)) ** 2
    level = 10 * np.log10(power + 1e-12)
    return np.clip(level - level.max(), _FLOOR_DB, 0).T


def _waveform(ax: Axes, audio: npt.NDArray[np.float32]) -> None:
    """Least and greatest sample of every 4 ms: a line through every sample would only be slower."""
    step = RATE // 250
    whole = audio[: len(audio) // step * step].reshape(-1, step)
    times = (np.arange(len(whole)) + 0.5) * step / RATE
    ax.fill_between(times, whole.min(axis=1), whole.max(axis=1), color=INK, linewidth=0)
    top = max(1e-3, float(np.abs(audio).max()))
    ax.set(ylim=(-top, top), yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
