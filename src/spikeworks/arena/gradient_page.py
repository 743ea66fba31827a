"""The gradients of learning methods as one page: a picture of what each keeps, and the figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.quantities import MISSING
from ..learning.observatory import Agreement
from ..learning.terms import TERMS
from .gradients import GradientStudy
from .labels import label_room, short
from .page import render_page, write_page
from .svg import FONT, INK, LIGHT, PAPER, WIDTH, box, drawing, to_svg

_CELL = 0.36
"""Least width of a cell of the picture in inches."""
_MOST = 14
"""Layers up to which a cell carries its number."""


def write_gradients(
    studies: Sequence[GradientStudy], subject: str, output: str | Path, command: str | None = None
) -> Path:
    """Write the page of one or several networks and return its path.

    Args:
        studies: of the same methods.
        subject: what was looked at, for the headline: a model on a task.
        output: the HTML file, or an existing folder that gets ``gradients.html``.
        command: the command line that asked for it, printed on the page.
    """
    return write_page(render(studies, subject, command), output, "gradients.html")


def render(studies: Sequence[GradientStudy], subject: str, command: str | None = None) -> str:
    """The page as text."""
    shown = list(dict.fromkeys(name for study in studies for name in study.methods))
    return render_page(
        "gradients.html.j2",
        subject=subject,
        studies=[_section(index, study) for index, study in enumerate(studies)],
        terms=[(name, TERMS[name]) for name in shown if name in TERMS],
        command=command,
    )


def about(study: GradientStudy) -> str:
    """On how much data a network was looked at."""
    many = "one batch" if study.batches == 1 else f"means over {study.batches} batches"
    return f"{many} of {study.size} training sequences, up to {study.steps} steps"


def figure_of(value: float) -> str:
    """A cosine or a ratio of lengths; small differences from 1 stay visible."""
    if not math.isfinite(value):
        return MISSING
    nearly = f"{value:.2f}" == "1.00" and f"{value:.5f}" != "1.00000"
    return f"{value:.5f}" if nearly else f"{value:.2f}"


def loss_name(kind: str) -> str:
    """Of what loss a method has the gradient."""
    return {"step": "each step", "sequence": "sequence"}[kind]


def _section(index: int, study: GradientStudy) -> dict[str, Any]:
    return {
        "title": study.title,
        "about": about(study),
        "layers": study.layers,
        "cosine": _map(study, "cosine", f"cosine{index}"),
        "ratio": _map(study, "ratio", f"ratio{index}"),
        "rows": [
            (name, loss_name(study.losses[name]), [_cell(study.rows.get((name, layer))) for layer in study.layers])
            for name in study.methods
        ],
        "refused": list(study.refused.items()),
    }


def _cell(row: Agreement | None) -> tuple[str, str]:
    return (MISSING, MISSING) if row is None else (figure_of(row.cosine), figure_of(row.ratio))


def _map(study: GradientStudy, what: str, name: str) -> str:
    """Methods down, layers across: colour for the sign or the side of 1, strength for how much."""
    from matplotlib.patches import Rectangle

    methods, layers = study.methods, study.layers
    room, head, foot = label_room(methods) + 0.05, 0.1, 0.68
    width, height = max(WIDTH, room + _CELL * len(layers) + 0.1), head + 0.26 * len(methods) + foot
    with drawing(width, height) as figure:
        axes = figure.add_axes(box(width, height, left=room, right=0.1, top=head, bottom=foot))
        axes.set_xlim(0, len(layers))
        axes.set_ylim(len(methods), 0)
        for y, method in enumerate(methods):
            for x, layer in enumerate(layers):
                row = study.rows.get((method, layer))
                value = math.nan if row is None else getattr(row, what)
                share = _share(what, value)
                if share is None:
                    continue
                color = LIGHT[0] if share >= 0 else LIGHT[1]
                strong = abs(share)
                axes.add_patch(
                    Rectangle((x, y), 1, 1, facecolor=color, alpha=0.05 + 0.95 * strong, edgecolor=PAPER, linewidth=1.5)
                )
                if len(layers) <= _MOST:
                    axes.text(
                        x + 0.5, y + 0.53, f"{value:.2f}", ha="center", va="center", fontsize=FONT - 1.5,
                        color=PAPER if strong > 0.55 else INK,
                    )  # fmt: skip
        every = max(1, math.ceil(len(layers) / 24))
        ticks = [x for x in range(len(layers)) if x % every == 0 or x == len(layers) - 1]
        axes.set_xticks([x + 0.5 for x in ticks], [layers[x] for x in ticks], rotation=90)
        axes.set_yticks([y + 0.5 for y in range(len(methods))], [short(method) for method in methods])
        axes.tick_params(length=0, labelcolor=INK, labelsize=FONT - 0.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        rows = ", ".join(f"{m} {figure_of(getattr(study.rows[m, 'all'], what))}" for m in methods)
        return to_svg(figure, name, f"{what.capitalize()} of all layers together: {rows}")


def _share(what: str, value: float) -> float | None:
    """Strength of a cell in [-1, 1]: the cosine itself; of ratios their distance from 1, a factor of 4 being most."""
    if not math.isfinite(value) or (what == "ratio" and value <= 0):
        return None
    return max(-1.0, min(1.0, value if what == "cosine" else math.log(value, 4)))
