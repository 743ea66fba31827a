"""Figures of a report as inline SVG: learning curves, rasters, confusion; those of costs stand in ``costs.py``.

Every function returns one ``<svg>`` element, or ``None`` where the runs hold nothing to draw.
T time, C channels, N neurons, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spikeworks.measure import stats

from ..core import quantities
from .labels import CHARACTER, label_ends, label_room, short
from .store import Sample
from .summary import Row, metric_of, number
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
    metric = metric_of(rows)
    scale = metric.scale
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
        axes.set_ylabel(f"validation {metric.axis}")
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.02)
        grid(axes, "y")
        label_ends(axes, ends, 3.1)
        names = ", ".join(row.label for row in rows)
        return to_svg(figure, name, f"Validation {metric.name} against epoch for {names}")


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
