"""The figures of a report as inline SVG: learning curves, cost against score, rasters, confusion, rates.

Every function returns one ``<svg>`` element, or ``None`` where the runs hold nothing to draw.
T time, C channels, N neurons, K classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spikeworks.measure import stats

from ..core import quantities
from .labels import CHARACTER, label_ends, label_points, label_room, short
from .store import Sample
from .summary import Estimate, Metric, Row, frontier, number
from .svg import FONT, INK, MUTED, PAPER, WIDTH, Style, box, drawing, grid, to_svg

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_MOST_SPIKES = 4000  # drawn per raster: more are indistinguishable and make the page heavy
_MOST_NUMBERED = 12  # classes up to which a confusion cell carries its number


def learning_curves(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Validation score against epoch: mean over seeds, band of one standard deviation.

    A curve ends where its first seed stopped, so that its mean never changes members.
    """
    curves = [(row, curve) for row in rows if (curve := _validation(row))]
    if not curves:
        return None
    metric = _metric(rows)
    scale = _scale(metric)
    with drawing(WIDTH, 3.1) as figure:
        axes = figure.add_axes(box(WIDTH, 3.1, right=label_room([row.label for row, _ in curves])))
        ends = []
        for row, curve in curves:
            style = look[row.label]
            epochs = [epoch for epoch, _, _ in curve]
            middle = [scale * mean for _, mean, _ in curve]
            low = [scale * (mean - spread) for _, mean, spread in curve]
            high = [scale * (mean + spread) for _, mean, spread in curve]
            if any(spread for _, _, spread in curve):
                axes.fill_between(epochs, low, high, color=style.color, alpha=0.16, linewidth=0)
            marker = style.marker if len(epochs) == 1 else None
            axes.plot(epochs, middle, color=style.color, linestyle=style.dash, marker=marker, markersize=5)
            ends.append((epochs[-1], middle[-1], row.label, style))
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"validation {_axis_name(metric)}")
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.02)
        grid(axes, "y")
        label_ends(axes, ends, 3.1)
        return to_svg(figure, name, f"Validation {metric.name} against epoch for {_joined(rows)}")


def score_against_energy(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Test score against memory-aware energy per inference, with the frontier."""
    return _pareto(rows, look, name, lambda row: row.energy_memory, "energy per inference", quantities.energy, 1.0)


def score_against_time(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Test score against time spent training, with the frontier."""
    longest = max((row.train_seconds.mean for row in rows if row.train_seconds is not None), default=0.0)
    unit = 1.0 if longest < 120 else 60.0 if longest < 7200 else 3600.0
    return _pareto(rows, look, name, lambda row: row.train_seconds, "training time", quantities.duration, unit)


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
    metric = _metric(rows)
    scale = _scale(metric)
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
        axes.set_ylabel(f"test {_axis_name(metric)}")
        grid(axes, "both")
        label_points(axes, placed, bars, _frontier_line(axes, frontier(points, cost), cost, metric))
        return to_svg(figure, name, f"Test {metric.name} against {axis} for {_joined(points)}")


def raster(sample: Sample, style: Style, name: str) -> str | None:
    """Input on top, below it one panel per block with a tick for every spike.

    Wide layers show evenly spaced neurons, few enough that single spikes stay visible.
    """
    if not sample.spikes or not len(sample.input):
        return None
    import numpy as np

    heights = [0.62, *([0.95] * len(sample.spikes))]
    gap, top, bottom, left, right = 0.26, 0.24, 0.42, 0.12, 0.12
    total = sum(heights) + gap * (len(heights) - 1) + top + bottom
    steps = len(sample.input)
    with drawing(WIDTH, total) as figure:
        y = total - top
        for index, height in enumerate(heights):
            y -= height
            axes = figure.add_axes((left / WIDTH, y / total, (WIDTH - left - right) / WIDTH, height / total))
            y -= gap
            axes.set_xlim(-0.5, steps - 0.5)
            axes.set_yticks([])
            for side in ("left", "bottom") if index < len(heights) - 1 else ("left",):
                axes.spines[side].set_visible(False)
            if index == 0:
                title = _draw_input(axes, sample.input)
            else:
                spikes = np.asarray(sample.spikes[index - 1])
                title = f"block {index}: {_draw_spikes(axes, spikes.reshape(len(spikes), -1), style)}"
            axes.set_title(title, loc="left", fontsize=FONT - 1, color=MUTED, pad=3)
            if index < len(heights) - 1:
                axes.set_xticks([])
            else:
                axes.set_xlabel("time step")
                axes.locator_params(axis="x", integer=True)
        return to_svg(figure, name, f"Input and spikes of {len(sample.spikes)} blocks over {steps} steps")


def confusion(matrix: np.ndarray, classes: Sequence[str], style: Style, name: str) -> str:
    """Row-normalised confusion: true class down, answered class across, strength as opacity.

    Args:
        matrix: ``[K, K]`` counts, summed over seeds.
        classes: K names.
    """
    from matplotlib.patches import Rectangle

    size = len(matrix)
    share = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    names = [short(c, 10) for c in classes]
    longest = max(map(len, names), default=1)
    margin = 0.34 + CHARACTER * min(longest, 10)
    slanted = longest > 2
    side = 3.4
    width, height = side + margin + 0.1, side + (margin if slanted else 0.5) + 0.1
    with drawing(width, height) as figure:
        axes = figure.add_axes((margin / width, (height - side - 0.1) / height, side / width, side / height))
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        for row, column in zip(*share.nonzero(), strict=True):
            value = float(share[row, column])
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=style.color, alpha=0.08 + 0.92 * value, linewidth=0)
            )
            if size <= _MOST_NUMBERED and value >= 0.005:
                axes.text(
                    column + 0.5, row + 0.53, f"{100 * value:.0f}", ha="center", va="center", fontsize=FONT - 2,
                    color=PAPER if value > 0.55 else INK,
                )  # fmt: skip
        every = max(1, math.ceil(size / 20))
        ticks = range(0, size, every)
        axes.set_xticks([t + 0.5 for t in ticks], [names[t] for t in ticks], rotation=90 if slanted else 0)
        axes.set_yticks([t + 0.5 for t in ticks], [names[t] for t in ticks])
        axes.tick_params(length=0)
        axes.set_xlabel("answered")
        axes.set_ylabel("true class")
        for spine in axes.spines.values():
            spine.set_visible(True)
        return to_svg(figure, name, f"Confusion matrix over {size} classes, rows in percent")


def spike_rate_bars(rows: Sequence[Row], look: Mapping[str, Style], name: str) -> str | None:
    """Share of neurons and steps that spike, per block, one group of bars a model."""
    shown = [row for row in rows if row.spike_rates]
    if not shown:
        return None
    groups = [
        (row.label, look[row.label], [(100 * rate, f"{quantities.percent(rate)}") for rate in row.spike_rates])
        for row in shown
    ]
    return _bars(groups, name, "neurons that spike in a step, %", f"Spike rates per block for {_joined(shown)}")


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
        axes.xaxis.set_major_formatter(lambda value, _: _round(quantities.energy(value)) if value else "0")
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel("energy per inference, by layer from the input to the readout")
        return to_svg(figure, name, f"Energy per layer for {_joined([row for row, _ in shown])}")


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


def _validation(row: Row) -> list[tuple[int, float, float]]:
    """Epoch, mean and spread over seeds, as far as every seed has a finite value."""
    seeds = []
    for record in row.records:
        values = [number(line, "validation_score") for line in record.metrics]
        if any(value is not None for value in values):
            seeds.append(values)
    curve = []
    for epoch, values in enumerate(zip(*seeds, strict=False), start=1):
        if all(value is not None for value in values):
            curve.append((epoch, stats.mean(values), stats.spread(values) or 0.0))
    return curve


def _metric(rows: Sequence[Row]) -> Metric:
    return next((row.metric for row in rows if row.metric is not None), Metric("score", "", True))


def _scale(metric: Metric) -> float:
    return 100.0 if metric.unit == "fraction" else 1.0


def _axis_name(metric: Metric) -> str:
    unit = quantities.shown_unit(metric.unit)
    return f"{metric.name}{f', {unit}' if unit else ''}{'' if metric.higher_is_better else ' (lower is better)'}"


def _joined(rows: Sequence[Row]) -> str:
    return ", ".join(row.label for row in rows)


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
    scale = _scale(metric)
    xs = [price.mean for row in chosen if (price := cost(row)) is not None]
    ys = [scale * row.score.mean for row in chosen if row.score is not None]
    limits = axes.get_ylim()
    ends = zip([*xs[1:], axes.get_xlim()[1]], ys, strict=True)
    corners = [corner for x, (end, y) in zip(xs, ends, strict=True) for corner in ((x, y), (end, y))]
    axes.plot(*zip(*corners, strict=True), color=MUTED, linewidth=1.0, linestyle=(0, (3, 2)), zorder=1)
    axes.set_ylim(limits)
    return corners


def _draw_input(axes: Axes, signal: np.ndarray) -> str:
    """Up to four channels as lines, more as an image; returns the panel's title."""
    import numpy as np

    signal = np.nan_to_num(np.asarray(signal, dtype=np.float64))
    steps, channels = signal.shape
    if channels <= 4:
        for channel in range(channels):
            axes.plot(range(steps), signal[:, channel], color=INK, linewidth=1.1, alpha=1 - 0.22 * channel)
        axes.margins(y=0.12)
        return "input" if channels == 1 else f"input, {channels} channels"
    low, high = np.percentile(signal, (1, 99))
    strength = ((signal - low) / (high - low if high > low else 1.0)).clip(0, 1).T
    image = np.full((channels, steps, 4), 0.5)  # mid grey, opacity carries the value: right on any page
    image[..., 3] = strength
    axes.imshow(image, aspect="auto", origin="lower", interpolation="nearest", extent=(-0.5, steps - 0.5, 0, channels))
    return f"input, {channels} channels"


def _draw_spikes(axes: Axes, spikes: np.ndarray, style: Style) -> str:
    """One path of short vertical ticks; returns how many neurons are shown and how often they spike."""
    import numpy as np
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    neurons = spikes.shape[1]
    rate = float((spikes != 0).mean()) if spikes.size else 0.0
    fair = int(_MOST_SPIKES / max(rate * len(spikes), 1e-9))
    shown = max(1, min(neurons, 64, fair))
    chosen = np.linspace(0, neurons - 1, shown).round().astype(int)
    time, row = np.nonzero(spikes[:, chosen])
    axes.set_ylim(shown - 0.5, -0.5)
    if len(time):
        ends = np.stack([np.stack([time, row - 0.42], 1), np.stack([time, row + 0.42], 1)], 1).reshape(-1, 2)
        codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(time))
        per_step = (WIDTH - 0.24) * 72 / len(spikes)
        axes.add_patch(
            PathPatch(
                Path(ends, codes), fill=False, edgecolor=style.color, linewidth=min(2.2, max(0.6, 0.55 * per_step))
            )
        )
    which = f"{neurons} neurons" if shown == neurons else f"{shown} of {neurons} neurons"
    return f"{which}, {quantities.percent(rate)} spiking" if rate else f"{which}, silent"


def _bars(
    groups: Sequence[tuple[str, Style, Sequence[tuple[float, str]]]], name: str, axis: str, description: str
) -> str:
    """Horizontal bars in groups, a value at the end of each."""
    most = max(len(bars) for _, _, bars in groups)
    height = 0.62 + len(groups) * (0.12 + 0.17 * max(most, 1.5))
    with drawing(WIDTH, height) as figure:
        room = label_room([label for label, _, _ in groups])
        axes = figure.add_axes(box(WIDTH, height, left=room, right=1.0 if most > 1 else 0.6, top=0.1))
        for i, (_, style, bars) in enumerate(groups):
            thick = 0.78 / most
            for j, (value, text) in enumerate(bars):
                y = i + (j - (len(bars) - 1) / 2) * thick
                axes.barh(y, value, height=0.86 * thick, color=style.color, alpha=1 - 0.18 * min(j, 3))
                axes.annotate(text if len(bars) == 1 else f"{text}  block {j + 1}", (value, y), (4, 0),
                              textcoords="offset points", va="center", fontsize=FONT - 1.5, color=INK)  # fmt: skip
        _bar_axes(axes, [label for label, _, _ in groups])
        axes.set_xlabel(axis)
        return to_svg(figure, name, description)


def _bar_axes(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [short(label) for label in labels])
    axes.tick_params(axis="y", labelcolor=INK, labelsize=FONT)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    grid(axes, "x")
