"""The memory of learning methods as one page: against length, against depth, measured and foretold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import quantities
from ..learning.terms import TERMS
from .labels import label_ends, label_room
from .memories import MemoryPoint, MemoryStudy
from .page import render_page, write_page
from .svg import WIDTH, Style, box, drawing, grid, styles, to_svg

WHAT = {"saved": "kept for backward", "live": "alive at once"}
"""The two figures, in words."""
AXES = {"steps": "steps of a sequence", "depth": "blocks"}
_HEIGHT = 3.6


def write_memory(study: MemoryStudy, subject: str, output: str | Path, command: str | None = None) -> Path:
    """Write the page of a study and return its path.

    Args:
        study: what was found.
        subject: what was looked at, for the headline: a model on a task.
        output: the HTML file, or an existing folder that gets ``memory.html``.
        command: the command line that asked for it, printed on the page.
    """
    return write_page(render(study, subject, command), output, "memory.html")


def render(study: MemoryStudy, subject: str, command: str | None = None) -> str:
    """The page as text."""
    shown = methods_of(study.by_steps)
    look = styles(shown)
    axes = {"steps": study.by_steps, "depth": study.by_depth}
    return render_page(
        "memory.html.j2",
        subject=subject,
        study=study,
        sections=[_section(axis, points, look) for axis, points in axes.items() if points],
        terms=[(name, TERMS[name].saved) for name in shown if name in TERMS],
        command=command,
    )


def methods_of(points: Sequence[MemoryPoint]) -> list[str]:
    """Methods in the order of their points."""
    return list(dict.fromkeys(point.method for point in points))


def growth(points: Sequence[MemoryPoint], axis: str, what: str) -> str:
    """By what factor a method's memory grows along an axis, beside that of the axis itself."""
    ordered = sorted((getattr(p, axis), value) for p in points if (value := p.best(what)) is not None)
    if len(ordered) < 2 or not ordered[0][1] or ordered[0][0] == ordered[-1][0]:
        return quantities.MISSING
    return f"× {ordered[-1][1] / ordered[0][1]:.2f} for × {ordered[-1][0] / ordered[0][0]:g}"


def deviation(points: Sequence[MemoryPoint], what: str) -> str:
    """The largest distance between forecast and measurement, in percent."""
    errors = [error for point in points if (error := point.error(what)) is not None]
    return f"{100 * max(errors, key=abs):+.1f} %" if errors else quantities.MISSING


def _section(axis: str, points: Sequence[MemoryPoint], look: Mapping[str, Style]) -> dict[str, Any]:
    values = sorted({getattr(point, axis) for point in points})
    tables = []
    for what, words in WHAT.items():
        rows = []
        for method in methods_of(points):
            own = [point for point in points if point.method == method]
            by = {getattr(point, axis): point for point in own}
            cells = [_cell(by.get(value), what) for value in values]
            rows.append((method, look[method].index, cells, growth(own, axis, what), deviation(own, what)))
        tables.append({"what": words, "rows": rows, "svg": _curves(axis, points, what, look, values)})
    return {"axis": AXES[axis], "title": {"steps": "Against length", "depth": "Against depth"}[axis],
            "values": values, "tables": tables}  # fmt: skip


def _cell(point: MemoryPoint | None, what: str) -> tuple[str, str]:
    """Measured, and foretold."""
    if point is None:
        return quantities.MISSING, quantities.MISSING
    foretold = None if point.foretold is None else getattr(point.foretold, what)
    return quantities.size(getattr(point, what)), quantities.size(foretold)


def _curves(
    axis: str, points: Sequence[MemoryPoint], what: str, look: Mapping[str, Style], values: Sequence[int]
) -> str:
    """Bytes against steps or depth on two logarithmic axes; circles are forecasts."""
    methods = methods_of(points)
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT, left=0.72, right=label_room(methods)))
        ends, heights = [], []
        for method in methods:
            own = sorted((p for p in points if p.method == method), key=lambda p: getattr(p, axis))
            x = [math.log2(getattr(p, axis)) for p in own]
            y = [math.log10(p.best(what) or 1) for p in own]
            style = look[method]
            axes.plot(x, y, color=style.color, linestyle=style.dash)
            told = [(a, math.log10(getattr(p.foretold, what))) for a, p in zip(x, own, strict=True) if p.foretold]
            if told:
                axes.plot(
                    *zip(*told, strict=True), "o", markersize=4, markerfacecolor="none", markeredgecolor=style.color
                )
            ends.append((x[-1], y[-1], method, style))
            heights += y
        axes.set_xticks([math.log2(value) for value in values], [str(value) for value in values])
        low, high = math.floor(2 * min(heights)) / 2, math.ceil(2 * max(heights)) / 2
        axes.set_ylim(low - 0.1, high + 0.1)
        ticks = [power + add for power in range(math.floor(low), math.ceil(high) + 1) for add in (0, math.log10(3))]
        ticks = [tick for tick in ticks if low - 0.1 <= tick <= high + 0.1]
        axes.set_yticks(
            ticks, [quantities.size(float(f"{10**tick:.0e}")).replace(".00", "").replace(".0", "") for tick in ticks]
        )
        axes.set_xlabel(AXES[axis])
        axes.margins(x=0.03)
        grid(axes, "y")
        label_ends(axes, ends, _HEIGHT)
        said = "; ".join(
            f"{method} {growth([p for p in points if p.method == method], axis, what)}" for method in methods
        )
        return to_svg(figure, f"{axis}-{what}", f"Bytes {WHAT[what]} against {AXES[axis]}: {said}")
