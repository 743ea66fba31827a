"""Names written beside what they name, moved apart where they would collide: no legend to look up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from .svg import FONT, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHARACTER = 0.62 * FONT / 72
"""Mean width of a bold character in inches."""


def short(text: str, most: int = 22) -> str:
    """One line of at most ``most`` printable characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def label_room(labels: Sequence[str]) -> float:
    """Inches for the longest label beside the axes."""
    return 0.16 + CHARACTER * max(len(short(label)) for label in labels)


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, Style]], height: float) -> None:
    """Names at the right border, pushed apart where curves end close together."""
    low, high = axes.get_ylim()
    span = high - low
    step = 1.25 * FONT / 72 / (height - 0.62) * span
    ordered = sorted(ends, key=lambda end: end[1])
    heights: list[float] = []
    for _, y, _, _ in ordered:
        heights.append(max(y, heights[-1] + step) if heights else y)
    for i in range(len(heights) - 1, -1, -1):  # from the top down again, should the stack leave the axes
        ceiling = high if i == len(heights) - 1 else heights[i + 1] - step
        heights[i] = min(heights[i], ceiling)
    right = axes.get_xlim()[1]
    for (_, _, label, style), y in zip(ordered, heights, strict=True):
        axes.annotate(
            short(label), (right, y), (4, 0), textcoords="offset points", va="center", color=style.color,
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str, Style]],
    bars: Sequence[tuple[tuple[float, float], tuple[float, float]]],
    line: Sequence[tuple[float, float]],
) -> None:
    """A name at each point, at that of eight places that hits least of points, bars, line, border and other names."""
    figure = axes.get_figure()
    assert figure is not None
    inch = figure.dpi
    border = axes.get_window_extent()
    pixels = [tuple(axes.transData.transform((x, y))) for x, y, _, _ in points]
    taken = [(x - 0.07 * inch, y - 0.07 * inch, x + 0.07 * inch, y + 0.07 * inch) for x, y in pixels]
    for ends in (*bars, *pairwise(line)):
        (x0, y0), (x1, y1) = (axes.transData.transform(end) for end in ends)
        taken.append((min(x0, x1) - 2, min(y0, y1) - 2, max(x0, x1) + 2, max(y0, y1) + 2))
    high = 1.2 * FONT / 72 * inch
    near, far = 0.1 * inch, 0.06 * inch
    for (x, y), (_, _, label, style) in zip(pixels, points, strict=True):
        wide = CHARACTER * len(short(label)) * inch
        places = [
            ("left", near, 0.0), ("right", -near, 0.0),
            ("center", 0.0, near + high / 2), ("center", 0.0, -near - high / 2),
            ("left", far, far + high / 2), ("right", -far, far + high / 2),
            ("left", far, -far - high / 2), ("right", -far, -far - high / 2),
        ]  # fmt: skip
        limits = (border.x0, border.y0, border.x1, border.y1)
        boxes = [_text_box(side, x + dx, y + dy, wide, high) for side, dx, dy in places]
        chosen = min(range(len(places)), key=lambda i: _crowding(boxes[i], taken, limits))
        side, dx, dy = places[chosen]
        taken.append(boxes[chosen])
        spot = axes.transAxes.inverted().transform((x + dx, y + dy))
        axes.text(
            spot[0], spot[1], short(label), transform=axes.transAxes, ha=side, va="center", color=style.color,
            fontweight="bold", zorder=4,
        )  # fmt: skip


def _text_box(side: str, x: float, y: float, wide: float, high: float) -> tuple[float, float, float, float]:
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[side] * wide
    return left, y - high / 2, left + wide, y + high / 2


def _crowding(box: tuple, taken: Sequence[tuple], border: tuple) -> float:
    """Area shared with what is there already, plus area outside the border."""

    def shared(a: tuple, b: tuple) -> float:
        return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))

    area = (box[2] - box[0]) * (box[3] - box[1])
    return sum(shared(box, other) for other in taken) + 2 * (area - shared(box, border))
