"""Boxes and arrows on a sheet measured in points, so that text sizes and boxes share one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from evoxtral.figures.style import GREY, INK, RULE, WIDTH

_POINTS = 72


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

    @property
    def top(self) -> tuple[float, float]:
        """Middle of the upper edge."""
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        """Middle of the lower edge."""
        return self.x, self.y - self.height / 2

    @property
    def left(self) -> tuple[float, float]:
        """Middle of the left edge."""
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        """Middle of the right edge."""
        return self.x + self.width / 2, self.y


class Sheet:
    """A figure to draw diagrams on.

    Args:
        height: in points; the width is that of all figures.
        label: what the figure shows, in words.
    """

    def __init__(self, height: float, label: str) -> None:
        self.width, self.height = WIDTH * _POINTS, height
        self.figure = Figure(figsize=(WIDTH, height / _POINTS))
        self.figure.set_label(label)
        self._ax = self.figure.add_axes((0, 0, 1, 1))
        self._ax.set(xlim=(0, self.width), ylim=(0, height))
        self._ax.set_axis_off()

    def box(
        self, box: Box, title: str, body: Sequence[str] = (), look: Look = STEP, size: float = 9
    ) -> Box:
        """Draw a box with a bold heading and lines below it, centred together."""
        self._ax.add_patch(
            FancyBboxPatch(
                (box.x - box.width / 2, box.y - box.height / 2),
                box.width,
                box.height,
                boxstyle="round,pad=0,rounding_size=5",
                edgecolor=look.edge,
                facecolor=look.fill,
                linewidth=1.3,
                linestyle=(0, (3, 2)) if look.dashed else "-",
            )
        )
        lines = [(title, "bold", look.ink, size + 0.5)] if title else []
        lines += [(line, "normal", INK, size) for line in body]
        leading = 1.4 * size
        for index, (text, weight, color, points) in enumerate(lines):
            y = box.y + ((len(lines) - 1) / 2 - index) * leading
            self.text((box.x, y), text, size=points, weight=weight, color=color)
        return box

    def text(
        self,
        place: tuple[float, float],
        text: str,
        *,
        size: float = 9,
        weight: str = "normal",
        color: str = INK,
        align: str = "center",
    ) -> None:
        """Write one line, vertically centred on `place`."""
        self._ax.text(
            *place, text, fontsize=size, weight=weight, color=color, ha=align, va="center_baseline"
        )

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], *, dashed: bool = False
    ) -> None:
        """Draw a straight arrow that leaves a small gap at both ends."""
        self._ax.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>,head_width=2.6,head_length=5",
                color=GREY,
                linewidth=1.3,
                linestyle=(0, (3, 2)) if dashed else "-",
                shrinkA=1.5,
                shrinkB=1.5,
                mutation_scale=1,
            )
        )


def scientific(value: float) -> str:
    """A number as mantissa and power of ten.

    >>> scientific(0.0002), scientific(2.5e-5)
    ('2×10⁻⁴', '2.5×10⁻⁵')
    """
    mantissa, exponent = f"{value:e}".split("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{float(mantissa):g}×10{digits}"
