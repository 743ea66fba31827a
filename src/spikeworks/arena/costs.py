"""What models cost, as inline SVG: score against energy, time and memory; bars of memory, spikes and energy.

Every function returns one ``<svg>`` element, or ``None`` where the runs hold nothing to draw.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spikeworks.measure import stats

from ..core import quantities
from .labels import label_points, label_room, short
from .summary import Estimate, Metric, Row, frontier, metric_of, number
from .svg import FONT, INK, MUTED, PAPER, WIDTH, Style, box, drawing, grid, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEXT = 0.55 * (FONT - 1.5) / 72
"""Mean width in inches of a character beside a bar."""


def score_against_energy(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Test score against memory-aware energy per inference, with the frontier."""
    return _pareto(rows, look, name, lambda row: row.energy_memory, "energy per inference", quantities.energy, 1.0)


def score_against_time(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Test score against time spent training, with the frontier."""
    longest = max((row.train_seconds.mean for row in rows if row.train_seconds is not None), default=0.0)
    unit = 1.0 if longest < 120 else 60.0 if longest < 7200 else 3600.0
    return _pareto(rows, look, name, lambda row: row.train_seconds, "training time", quantities.duration, unit)


def score_against_memory(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Test score against the most that an update keeps for backward, with the frontier."""
    axis = "memory kept for backward"
    return _pareto(rows, look, name, lambda row: row.saved_bytes, axis, quantities.size, 1.0)


def _pareto(
    rows: Sequence[Row],
    look: Mapping[str, Style],
    name: str,
    cost: Callable[[Row], Estimate | None],
    axis: str,
    show: Callable[[float], str],
    unit: float,
) -> str | None:
    """Score against a cost on a logarithmic axis whose ticks are round multiples of ``unit``.

    Rows without the cost or with zero cost are left out.
    """
    points = [row for row in rows if row.score is not None and (c := cost(row)) is not None and c.mean > 0]
    if not points:
        return None
    metric = metric_of(rows)
    scale = metric.scale
    with drawing(WIDTH, 3.1) as figure:
        axes = figure.add_axes(box(WIDTH, 3.1, right=0.15))
        axes.set_xscale("log")
        placed, bars = [], []
        for row in points:
            style, score, price = look[row.label], row.score, cost(row)
            assert score is not None and price is not None
            x, y = price.mean, scale * score.mean
            wide, high = min(price.spread or 0.0, 0.9 * x), scale * (score.spread or 0.0)
            axes.errorbar(
                x, y, yerr=high or None, xerr=wide or None, fmt=style.marker, color=style.color, markersize=8,
                elinewidth=1.3, markeredgecolor=PAPER, markeredgewidth=0.8, zorder=3,
            )  # fmt: skip
            bars += [((x - wide, y), (x + wide, y)), ((x, y - high), (x, y + high))]
            placed.append((x, y, row.label, style))
        _log_ticks(axes, [x for x, _, _, _ in placed], show, unit)
        axes.margins(y=0.16)
        axes.set_xlabel(f"{axis} (log scale)")
        axes.set_ylabel(f"test {metric.axis}")
        grid(axes, "both")
        label_points(axes, placed, bars, _frontier_line(axes, frontier(points, cost), cost, metric))
        return to_svg(figure, name, f"Test {metric.name} against {axis} for {_names(points)}")


def spike_rate_bars(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Share of neurons and steps that spike, per block, one group of bars a model."""
    shown = [row for row in rows if row.spike_rates]
    if not shown:
        return None
    groups = []
    for row in shown:
        rates = [(100 * rate, quantities.percent(rate)) for rate in row.spike_rates]
        if len(rates) > 1:
            rates = [(height, f"{text}  block {block}") for block, (height, text) in enumerate(rates, start=1)]
        groups.append((row.label, look[row.label], rates))
    return _bars(groups, name, "neurons that spike in a step, %", f"Spike rates per block for {_names(shown)}")


def memory_bars(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """What an update keeps for backward at most, and what it holds alive at most, side by side for each model."""
    groups = []
    for row in rows:
        both = [(row.saved_bytes, "kept"), (row.live_bytes, "alive")]
        bars = [(cost.mean, f"{quantities.size(cost.mean)} {what}") for cost, what in both if cost is not None]
        if bars:
            groups.append((row.label, look[row.label], bars))
    if not any(value for _, _, bars in groups for value, _ in bars):
        return None
    said = "; ".join(f"{label} {', '.join(text for _, text in bars)}" for label, _, bars in groups)
    return _bars(groups, name, "memory of an update", f"Memory of an update: {said}", quantities.size)


def energy_bars(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Memory-aware energy per inference, stacked over layers; a model with an unknown part is left out."""
    shown = [(row, layers) for row in rows if (layers := _known_layers(row))]
    if not any(sum(layers) for _, layers in shown):
        return None
    height = 0.62 + 0.44 * len(shown)
    with drawing(WIDTH, height) as figure:
        room = label_room([row.label for row, _ in shown])
        axes = figure.add_axes(box(WIDTH, height, left=room, right=0.72, top=0.1))
        for i, (row, layers) in enumerate(shown):
            start = 0.0
            for j, nanojoule in enumerate(layers):
                axes.barh(
                    i, nanojoule, left=start, height=0.6, color=look[row.label].color,
                    alpha=(1.0, 0.55, 0.78, 0.38)[j % 4], edgecolor=PAPER, linewidth=0.8,
                )  # fmt: skip
                start += nanojoule
            axes.annotate(
                quantities.energy(start), (start, i), (4, 0), textcoords="offset points", va="center",
                fontsize=FONT - 1, color=INK,
            )  # fmt: skip
        _bar_axes(axes, [row.label for row, _ in shown])
        _ticks(axes, quantities.energy)
        axes.set_xlabel("energy per inference, by layer from the input to the readout")
        return to_svg(figure, name, f"Energy per layer for {_names([row for row, _ in shown])}")


def _known_layers(row: Row) -> list[float]:
    parts = [aware for _, _, aware in energy_layers(row)]
    known = [part for part in parts if part is not None]
    return known if len(known) == len(parts) else []


def energy_layers(row: Row) -> list[tuple[str, float | None, float | None]]:
    """Per layer: name, convention nJ and memory-aware nJ, mean over seeds; ``None`` where one is not known."""
    tables = []
    for record in row.records:
        layers = (record.result.get("energy") or {}).get("layers")
        if isinstance(layers, list):
            tables.append([layer for layer in layers if isinstance(layer, dict)])
    tables = [table for table in tables if [x.get("name") for x in table] == [x.get("name") for x in tables[0]]]
    return [
        (str(same[0].get("name")), _known_mean(same, "convention_nj"), _known_mean(same, "memory_aware_nj"))
        for same in zip(*tables, strict=True)
    ]


def _known_mean(layers: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [value for layer in layers if (value := number(layer, key)) is not None]
    return stats.mean(values) if len(values) == len(layers) else None


def _log_ticks(axes: Axes, values: Sequence[float], show: Callable[[float], str], unit: float) -> None:
    """Limits with air on both sides and as many round ticks as can be read."""
    low, high = math.log10(min(values) / unit), math.log10(max(values) / unit)
    air = max(0.12 * (high - low), 0.18)
    low, high = low - air, high + air
    width = high - low
    steps = (1, 1.5, 2, 3, 5, 7) if width < 0.9 else (1, 2, 5) if width < 1.9 else (1, 3) if width < 2.8 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [unit * m * 10.0**d for d in decades for m in steps if 10**low <= m * 10.0**d <= 10**high]
    axes.set_xlim(unit * 10**low, unit * 10**high)
    axes.set_xticks(ticks, [_round(show(tick)) for tick in ticks])
    axes.set_xticks([], minor=True)


def _round(text: str) -> str:
    """A tick without trailing zeros: ``20 nJ`` for ``20.0 nJ``."""
    return re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text).replace(".\u00a0", "\u00a0")


def _frontier_line(
    axes: Axes, chosen: Sequence[Row], cost: Callable[[Row], Estimate | None], metric: Metric
) -> list[tuple[float, float]]:
    """What is reachable at a cost: a staircase through the frontier, out to the right border; its corners."""
    scale = metric.scale
    xs = [price.mean for row in chosen if (price := cost(row)) is not None]
    ys = [scale * row.score.mean for row in chosen if row.score is not None]
    limits = axes.get_ylim()
    ends = zip([*xs[1:], axes.get_xlim()[1]], ys, strict=True)
    corners = [corner for x, (end, y) in zip(xs, ends, strict=True) for corner in ((x, y), (end, y))]
    axes.plot(*zip(*corners, strict=True), color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
    axes.set_ylim(limits)
    return corners


def _bars(
    groups: Sequence[tuple[str, Style, Sequence[tuple[float, str]]]],
    name: str,
    axis: str,
    description: str,
    show: Callable[[float], str] | None = None,
) -> str:
    """Horizontal bars in groups, a text at the end of each; ``show`` writes the ticks."""
    most = max(len(bars) for _, _, bars in groups)
    longest = max(len(text) for _, _, bars in groups for _, text in bars)
    height = 0.62 + len(groups) * (0.12 + 0.17 * max(most, 1.5))
    with drawing(WIDTH, height) as figure:
        room = label_room([label for label, _, _ in groups])
        axes = figure.add_axes(box(WIDTH, height, left=room, right=0.12 + _TEXT * longest, top=0.1))
        for i, (_, style, bars) in enumerate(groups):
            thick = 0.78 / most
            for j, (value, text) in enumerate(bars):
                y = i + (j - (len(bars) - 1) / 2) * thick
                axes.barh(y, value, height=0.86 * thick, color=style.color, alpha=1 - 0.18 * min(j, 3))
                axes.annotate(text, (value, y), (4, 0), textcoords="offset points", va="center", fontsize=FONT - 1.5,
                              color=INK)  # fmt: skip
        _bar_axes(axes, [label for label, _, _ in groups])
        if show is not None:
            _ticks(axes, show)
        axes.set_xlabel(axis)
        return to_svg(figure, name, description)


def _ticks(axes: Axes, show: Callable[[float], str]) -> None:
    """Few round ticks with their unit."""
    axes.xaxis.set_major_formatter(lambda value, _: _round(show(value)) if value else "0")
    axes.locator_params(axis="x", nbins=4)


def _bar_axes(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [short(label) for label in labels])
    axes.tick_params(axis="y", labelcolor=INK, labelsize=FONT)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    grid(axes, "x")


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(row.label for row in rows)
