"""How one run went, as inline SVG: score and loss against epoch, of training and of validation."""

from __future__ import annotations

from ..core import quantities
from .labels import label_ends, label_room
from .store import RunRecord
from .summary import metric_of, number, summarize
from .svg import INK, MUTED, WIDTH, box, drawing, grid, styles, to_svg

_HEIGHT = 2.7
_LOOK = styles(["validation", "training"])


def score_curve(record: RunRecord, name: str) -> str | None:
    """Score of training and validation; a dashed line at the epoch whose weights were tested."""
    metric = metric_of(summarize([record]))
    chosen = number(record.result, "score", "chosen_epoch")
    return _curves(record, name, ("validation_score", "train_score"), metric.axis, metric.scale, chosen)


def loss_curve(record: RunRecord, name: str) -> str | None:
    """Loss of training and validation."""
    return _curves(record, name, ("validation_loss", "train_loss"), "loss", 1.0, None)


def _curves(
    record: RunRecord, name: str, keys: tuple[str, str], axis: str, scale: float, chosen: float | None
) -> str | None:
    lines = {}
    for kind, key in zip(_LOOK, keys, strict=True):
        points = [
            (epoch, scale * value)
            for epoch, line in enumerate(record.metrics, start=1)
            if (value := number(line, key)) is not None
        ]
        if points:
            lines[kind] = points
    if not lines:
        return None
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT, right=label_room(list(lines))))
        ends = []
        for kind, points in lines.items():
            style = _LOOK[kind]
            marker = style.marker if len(points) == 1 else None
            axes.plot(*zip(*points, strict=True), color=style.color, linestyle=style.dash, marker=marker)
            ends.append((*points[-1], kind, style))
        if chosen is not None:
            axes.axvline(chosen, color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)))
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis, color=INK)
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.02)
        grid(axes, "y")
        label_ends(axes, ends, _HEIGHT)
        said = ", ".join(f"{kind} ends at {quantities.score(points[-1][1])}" for kind, points in lines.items())
        return to_svg(figure, name, f"{axis} against epoch: {said}")
