"""Look of all figures, and their bytes.

Colours are Okabe and Ito's, told apart by readers with any colour vision and, by lightness and
marker shape, in grey print. Sizes are for a width of 400 px on a phone: at 5.6 inches a 9-point
letter is 9 px high there. Only fonts that ship with matplotlib are used, so that a figure has the
same bytes wherever matplotlib has the same version.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import cycle
from typing import Any, ParamSpec

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 5.6  # inches
INK, GREY, RULE = "#1f2328", "#59636e", "#d0d7de"
DASHED = (0, (4, 3))
BAND = {"color": "#d8f0e3", "edgecolor": GREY, "linewidth": 0.5}  # of a target
_STYLE = {
    "font.family": ["DejaVu Sans"], "font.size": 9.5, "text.color": INK,
    "axes.titlesize": 10, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 9.5, "axes.labelcolor": INK, "axes.edgecolor": GREY, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "grid.color": RULE, "grid.linewidth": 0.7,
    "xtick.color": GREY, "xtick.labelcolor": INK, "xtick.labelsize": 9,
    "ytick.color": GREY, "ytick.labelcolor": INK, "ytick.labelsize": 9,
    "legend.frameon": False, "legend.fontsize": 9.5,
    "savefig.dpi": 200, "svg.hashsalt": "evoxtral", "pdf.fonttype": 42,
}  # fmt: skip
_Args = ParamSpec("_Args")


@dataclass(frozen=True)
class System:
    """How one system is drawn everywhere."""

    label: str
    color: str
    marker: str


SYSTEMS = {
    "base": System("Base", "#6e7781", "s"),
    "sft": System("SFT", "#0072b2", "o"),
    "rl": System("RL", "#d55e00", "D"),
}
_KNOWN = {"no tags": System("No tags", "#9aa3ad", "v"), **SYSTEMS}
_OTHERS = (("#a8558c", "v"), ("#b58900", "P"), ("#56b4e9", "X"), ("#009e73", "^"))


def looks(names: Iterable[str]) -> dict[str, System]:
    """How systems are drawn: the known ones as everywhere, others in colours of their own.

    >>> [look.color for look in looks(["SFT", "random of 4"]).values()]
    ['#0072b2', '#a8558c']
    """
    others = cycle(_OTHERS)
    return {name: _KNOWN.get(name.casefold()) or System(name, *next(others)) for name in names}


def applied(draw: Callable[_Args, Figure]) -> Callable[_Args, Figure]:
    """Draw under this style, whatever the reader's own matplotlib settings are.

    The figure's label, which says in words what is drawn, begins with the function's summary.
    """

    @wraps(draw)
    def wrapper(*args: _Args.args, **kwargs: _Args.kwargs) -> Figure:
        with mpl.style.context(["default", _STYLE]):
            figure = draw(*args, **kwargs)
            summary = str(draw.__doc__).partition("\n")[0]
            figure.set_label(f"{summary} {figure.get_label()}".strip())
            _legend(figure)
            # A layout engine moves the axes a little at every draw: let it settle, then stop it,
            # or saving a figure twice gives different bytes.
            figure.draw_without_rendering()
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            return figure

    return wrapper


def _legend(figure: Figure) -> None:
    """Name what the panels draw, each label once, above them, unless it is all the same."""
    named: dict[str, Any] = {}
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        named |= zip(labels, handles, strict=True)
    if len(named) > 1:
        columns = max(1, 70 // (6 + max(map(len, named))))  # as many as a row has room for
        figure.legend(named.values(), named, loc="outside upper left", ncols=columns)


def words(values: pd.Series, form: str = "{:.1f}%") -> str:
    """Numbers with their names, for a figure's label."""
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.dropna().items())


def panels(count: int, columns: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows of `height` inches; `options` go to `subplots`."""
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, list(axes[:count])


def dots(ax: Axes, places: Any, scores: Any, name: str, look: System, scale: float = 1) -> None:
    """Scores times `scale` as dots with their intervals, `places` down the side.

    `scores` is a frame, or a row of it, with `name` and perhaps `<name>_low` and `<name>_high`; NaN
    is not drawn.
    """
    value, low, high = (
        scale * np.asarray(scores.get(f"{name}{end}", np.nan), dtype=float)
        for end in ("", "_low", "_high")
    )
    ax.plot([low, high], [places, places], color=look.color, linewidth=1.8)
    ax.scatter(value, places, 36, look.color, marker=look.marker, label=look.label, zorder=3)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Names down the side, the first one at the top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def line(ax: Axes, frame: pd.DataFrame, x: str, y: str, look: System, scale: float = 1) -> None:
    """Column `y` times `scale` against `x`, over a band from `low` to `high` where it has those."""
    own = frame.dropna(subset=[y])
    if "low" in own:
        ends = scale * own["low"], scale * own["high"]
        ax.fill_between(own[x], *ends, color=look.color, alpha=0.25, linewidth=0)
    ax.plot(own[x], scale * own[y], color=look.color, marker=look.marker, markersize=4.5,
            label=look.label)  # fmt: skip
    ax.grid(axis="y")


def save_figure(fig: Figure) -> dict[str, bytes]:
    """The figure as SVG, PNG and PDF: bytes by format name.

    The same figure gives the same bytes: no date, no random ids. The figure's label, which says in
    words what is drawn, goes into the metadata.
    """
    said = str(fig.get_label())
    metadata: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Description": said},
        "png": {"Description": said},
        "pdf": {"CreationDate": None, "Title": said},
    }
    saved = {}
    with mpl.style.context(["default", _STYLE]):
        for name, own in metadata.items():
            buffer = io.BytesIO()
            fig.savefig(buffer, format=name, metadata=own)
            saved[name] = buffer.getvalue()
    return saved
