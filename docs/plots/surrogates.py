"""Draws docs/images/surrogates.svg and writes the table of docs/surrogates.md, both from the code.

Run it after a change of the table of forms:

    python docs/plots/surrogates.py
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch

from spikeworks.arena.svg import INK, LIGHT, MUTED, drawing, grid, to_svg
from spikeworks.neurons import SURROGATES, Surrogate

DOCS = Path(__file__).resolve().parents[1]
WIDTH = 1.0
COLUMNS = 3


def _number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3g}"


def table() -> str:
    """The forms at width 1 with the default of their second number, as Markdown."""
    lines = ["| name | area | peak | even | second number | source |", "|---|---|---|---|---|---|"]
    for kind in SURROGATES.names():
        surrogate, form = Surrogate(kind=kind, width=WIDTH), SURROGATES.get(kind)
        second = "" if form.shape is None else f"{form.shape.default:g}: {form.shape.meaning}; {form.shape.range}"
        cells = (f"`{kind}`", _number(surrogate.area), _number(surrogate.peak), "yes" if form.symmetric else "no")
        lines.append("| " + " | ".join((*cells, second, form.source)) + " |")
    return "\n".join(lines)


def figure() -> str:
    """One panel a form, widths 0.5, 1 and 2, as SVG."""
    kinds = SURROGATES.names()
    rows = -(-len(kinds) // COLUMNS)
    width, height = 2.3 * COLUMNS, 1.35 * rows
    x = torch.linspace(-3, 3, 601)
    with drawing(width, height) as drawn:
        drawn.subplots_adjust(0.05, 0.35 / height, 0.99, 1 - 0.25 / height, wspace=0.22, hspace=0.62)
        for place, kind in enumerate(kinds):
            axes = drawn.add_subplot(rows, COLUMNS, place + 1)
            for scale, color in zip((0.5, 1.0, 2.0), LIGHT, strict=False):
                y = Surrogate(kind=kind, width=scale).derivative(x)
                axes.plot(x.numpy(), y.numpy(), color=color, linewidth=1.4, label=f"{scale:g}")
            axes.set_title(kind, loc="left", fontsize=9, color=INK)
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=2.1)
            axes.set_xticks([-2, 0, 2])
            grid(axes, "both")
        legend = drawn.axes[0].legend(title="width", frameon=False, fontsize=7, labelcolor=MUTED, handlelength=1.2)
        legend.get_title().set(color=MUTED, fontsize=7)
        return to_svg(drawn, "surrogates", "The derivatives of all surrogates against the distance from the threshold.")


def with_table(page: str) -> str:
    """The page with the present table between its marks."""
    marks = re.compile(r"(<!-- table of forms -->\n).*?(\n<!-- end of table -->)", re.DOTALL)
    return marks.sub(lambda found: found[1] + table() + found[2], page)


if __name__ == "__main__":
    page = DOCS / "surrogates.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    (DOCS / "images" / "surrogates.svg").write_text(figure() + "\n", encoding="utf-8")
