"""A leader board as one drawing: every model with its interval, and what stands beside the leader."""

from __future__ import annotations

from collections.abc import Mapping

from ..core import quantities
from .labels import label_room, short
from .leaderboard import Board
from .svg import FONT, INK, MUTED, PAPER, WIDTH, Style, box, drawing, grid, to_svg


def intervals(board: Board, look: Mapping[str, Style], name: str, most: int = 24) -> str | None:
    """Mean scores of the first ``most`` models, the best on top, with 95 % intervals and single seeds as small dots.

    ``None`` where no model has a score.
    """
    entries = board.entries[:most]
    if not entries:
        return None
    scale = board.metric.scale
    height = 0.62 + 0.24 * max(len(entries), 2)
    labels = [entry.row.label for entry in entries]
    with drawing(WIDTH, height) as figure:
        axes = figure.add_axes(box(WIDTH, height, left=label_room(labels), right=0.12, top=0.1))
        for y, entry in enumerate(entries):
            style, score = look[entry.row.label], entry.row.score
            assert score is not None
            if entry.low is not None and entry.high is not None:
                low, high = (scale * end for end in clipped(board, entry.low, entry.high))
                axes.plot([low, high], [y, y], color=style.color, linewidth=2.2, alpha=0.45, solid_capstyle="butt")
            axes.plot(
                [scale * value for value in score.values], [y] * score.n, "o", color=style.color, markersize=2.6,
                alpha=0.6, markeredgewidth=0,
            )  # fmt: skip
            axes.plot(
                scale * score.mean, y, style.marker, color=style.color, markersize=7, markeredgecolor=PAPER,
                markeredgewidth=0.8,
            )  # fmt: skip
        top = entries[0].row.score
        assert top is not None
        axes.axvline(scale * top.mean, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=0)
        axes.set_yticks(range(len(entries)), [short(label) for label in labels])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=FONT)
        axes.set_ylim(len(entries) - 0.5, -0.5)
        axes.set_xlabel(f"test {board.metric.axis}")
        grid(axes, "x")
        said = "; ".join(f"{e.row.label} {_said(board, e.row.score)}" for e in entries)
        return to_svg(figure, name, f"Test {board.metric.name} with intervals: {said}")


def clipped(board: Board, low: float, high: float) -> tuple[float, float]:
    """An interval cut to what a score can be."""
    if board.metric.unit != "fraction":
        return low, high
    return max(low, 0.0), min(high, 1.0) if board.metric.higher_is_better else high  # error rates can be above 1


def _said(board: Board, score: object) -> str:
    return quantities.score(score.mean, score.spread, board.metric.unit)  # type: ignore[attr-defined]
