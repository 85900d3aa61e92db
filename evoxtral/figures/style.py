"""Look of all figures, and their bytes.

Colours are Okabe and Ito's, told apart by readers with any colour vision and, by lightness and
marker shape, in grey print. Sizes are for a width of 400 px on a phone: at 5.6 inches a 9-point
letter is 9 px high there. Only fonts that ship with matplotlib are used, so that a figure has the
same bytes wherever matplotlib has the same version.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 5.6  # inches
INK, GREY, RULE = "#1f2328", "#59636e", "#d0d7de"
FORMATS = ("svg", "png", "pdf")
_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "evoxtral",
    "pdf.fonttype": 42,
}
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
_BASELINE = {"no tags": System("No tags", "#9aa3ad", "v")}
_OTHERS = (("#009e73", "^"), ("#a8558c", "v"), ("#b58900", "P"), ("#56b4e9", "X"))


def looks(names: Sequence[str]) -> dict[str, System]:
    """How systems are drawn: the known ones as everywhere, others in colours of their own.

    >>> [look.color for look in looks(["SFT", "random of 4"]).values()]
    ['#0072b2', '#009e73']
    """
    known = _BASELINE | SYSTEMS
    others = [name for name in names if name.casefold() not in known]
    own = {name: System(name, *_OTHERS[k % len(_OTHERS)]) for k, name in enumerate(others)}
    return {name: known.get(name.casefold()) or own[name] for name in names}


def styled(draw: Callable[_Args, Figure]) -> Callable[_Args, Figure]:
    """Draw under this style, whatever the reader's own matplotlib settings are."""

    @wraps(draw)
    def wrapper(*args: _Args.args, **kwargs: _Args.kwargs) -> Figure:
        with mpl.style.context(["default", _STYLE]):
            figure = draw(*args, **kwargs)
            # A layout engine moves the axes a little at every draw: let it settle, then stop it,
            # or saving a figure twice gives different bytes.
            figure.draw_without_rendering()
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            return figure

    return wrapper


def tint(color: str, strength: float) -> str:
    """A colour mixed with white: unlike transparency it hides what is drawn beneath.

    Args:
        color: any matplotlib colour.
        strength: share of the colour, 0 (white) to 1.

    >>> tint("#0072b2", 0.5)
    '#80b9d9'
    """
    return to_hex([strength * part + 1 - strength for part in to_rgb(color)])


def panels(
    count: int, columns: int, height: float, *, top: float = 0.0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows of `height` inches, and `top` inches beside them."""
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, top + rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, list(axes[:count])


def legend(figure: Figure | Axes, drawn: Iterable[System], **options: Any) -> None:
    """Name the systems, by default above the axes."""
    handles = [
        Line2D([], [], color=look.color, marker=look.marker, label=look.label) for look in drawn
    ]
    figure.legend(handles=handles, **{"loc": "outside upper left", "ncols": 4} | options)


def forest(
    ax: Axes,
    rows: Iterable[tuple[float, Sequence[float], System]],
    labels: Mapping[float, str],
    *,
    size: float = 6,
    width: float = 1.8,
    hollow: bool = False,
) -> None:
    """Dots with their intervals, one below the other, named down the side.

    Args:
        ax: where.
        rows: place, (value, low, high) and look of each; without a value nothing is drawn.
        labels: by place.
        size: of a dot in points.
        width: of a line in points.
        hollow: do not fill a dot whose interval is missing or holds 0.
    """
    for y, (value, low, high), look in rows:
        if math.isnan(value):
            continue
        if not math.isnan(low):
            ax.plot([low, high], [y, y], color=look.color, linewidth=width)
        fill = "white" if hollow and not (low > 0 or high < 0) else look.color
        ax.plot([value], [y], look.marker, color=look.color, markersize=size, markerfacecolor=fill)
    ax.set_yticks(list(labels), list(labels.values()))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def save_figure(fig: Figure) -> dict[str, bytes]:
    """The figure as SVG, PNG and PDF.

    The same figure gives the same bytes: no date, no random ids. The figure's label, which says in
    words what is drawn, goes into the metadata.

    Returns:
        Bytes by format name.
    """
    said = str(fig.get_label()) or None
    metadata: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Creator": "evoxtral", "Description": said},
        "png": {"Software": None} | ({"Description": said} if said else {}),
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Title": said},
    }
    saved = {}
    with mpl.style.context(["default", _STYLE]):
        for name in FORMATS:
            buffer = io.BytesIO()
            fig.savefig(buffer, format=name, metadata=metadata[name])
            saved[name] = buffer.getvalue()
    return saved
