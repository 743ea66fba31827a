"""One page about one neuron: its conventions, its cost and four pictures of what it does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .page import render_page, write_page
from .svg import INK, MUTED, PAPER, WIDTH, Style, box, drawing, grid, styles, to_svg

if TYPE_CHECKING:
    from spikeworks.neurons import Neuron

_HEIGHT = 3.1
_LONGEST = 400
"""Steps of the longest run that is looked at."""
_NEURONS = 32
"""Neurons of the layer that is looked at, for those whose parameters start at random."""


def write_portrait(neuron: Any, output: str | Path, command: str | None = None) -> Path:
    """Write the page of a neuron and return its path.

    Args:
        neuron: its configuration.
        output: the HTML file, or an existing folder that gets ``NAME.html``.
        command: the command line that asked for it, printed on the page.
    """
    return write_page(render(neuron, command), output, f"{neuron.label}.html")


def render(config: Any, command: str | None = None) -> str:
    """The page as text."""
    import inspect

    import torch

    from spikeworks.neurons.describe import conventions

    if hasattr(config, "steps"):  # neurons built for a longest sequence
        config = dataclasses.replace(config, steps=max(config.steps, _LONGEST))
    neuron = config.build(_NEURONS, torch.Generator().manual_seed(0))
    text = inspect.getdoc(type(neuron)) or ""
    summary, *rest = [part.replace("``", "") for part in text.split("\n\n")]
    return render_page(
        "neuron.html.j2",
        name=config.label,
        summary=summary.replace("\n", " "),
        about=rest,
        conventions=conventions(neuron),
        cost=_cost(neuron),
        panels=_panels(neuron),
        step=inspect.getsource(getattr(type(neuron), "parallel" if _whole(neuron) else "step")),
        command=command,
    )


def _whole(neuron: Neuron) -> bool:
    """Whether the neuron reads a sequence at once: without a step and without states to look at."""
    return getattr(neuron, "whole_sequence", False)


def _cost(neuron: Neuron) -> dict[str, str]:
    import torch

    one = torch.zeros(1, 1, neuron.size)
    operations = neuron.operations(one, one).scaled(1 / neuron.size)
    backend, reason = neuron.backend_report()
    return {
        "states a neuron": str(len(neuron.states)),
        "trained numbers a layer": f"{sum(p.numel() for p in neuron.parameters())} for {neuron.size} neurons",
        "multiply-adds a step": f"{operations.macs:g}",
        "additions and comparisons a step": f"{operations.acs:g}",
        "divisions, roots, exponentials a step": f"{operations.specials:g}",
        "runs as": f"{backend}: {reason}",
    }


def _panels(neuron: Neuron) -> list[dict[str, str]]:
    from spikeworks.measure import portrait

    current = portrait.firing_current(neuron)
    panels = []
    if current is not None:
        panels.append(_rate(neuron, current))
    if _whole(neuron):
        return panels
    panels.append(_impulse(neuron, 0.1 * current if current is not None else 0.1))
    panels.append(_memory(neuron, current or 1.0))
    if len(neuron.states) >= 2:
        panels.append(_phase(neuron, 1.5 * current if current is not None else 1.0))
    return panels


def _rate(neuron: Neuron, current: float) -> dict[str, str]:
    import torch

    from spikeworks.measure.portrait import rate_curve

    currents = torch.linspace(0, 5 * current, 101)
    style = _style(neuron)
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT))
        axes.plot(currents, rate_curve(neuron, currents), color=style.color)
        axes.axvline(current, color=MUTED, linestyle=(0, (3, 2)), linewidth=1)
        _label(axes, "constant input current", "spikes a step")
        svg = to_svg(figure, "rate", f"Spikes a step against constant input current, firing from {current:.3g}")
    return {"title": "f-I curve", "note": f"Firing starts at a current of {current:.3g} (dashed).", "svg": svg}


def _impulse(neuron: Neuron, amplitude: float) -> dict[str, str]:
    from spikeworks.measure.portrait import impulse_response

    traces = impulse_response(neuron, amplitude)
    shown = {name: trace / amplitude for name, trace in traces.items() if bool(trace.any())}
    look = styles(shown)
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT))
        for name, trace in shown.items():
            axes.plot(trace, color=look[name].color, linestyle=look[name].dash, label=name)
        _label(axes, "steps after the input", "state / input")
        if 0 < len(shown) <= 8:
            axes.legend(
                facecolor=PAPER, edgecolor="none", framealpha=0.8, loc="upper right", labelcolor=INK, fontsize=8
            )
        svg = to_svg(figure, "impulse", f"Response of the states {', '.join(shown)} to one input")
    note = f"All {len(shown)} states that answer, after one input of {amplitude:.3g}, less what they do without it."
    return {"title": "Impulse response", "note": note, "svg": svg}


def _memory(neuron: Neuron, drive: float) -> dict[str, str]:
    from spikeworks.measure.portrait import memory_horizon

    memory = memory_horizon(neuron, drive)
    positive = memory.gradient > 0
    lags = positive.nonzero()[:, 0]
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT))
        axes.plot(lags, memory.gradient[positive], color=_style(neuron).color)
        if len(lags):
            largest = memory.gradient.max().item()
            axes.set_yscale("log")
            axes.set_ylim(bottom=max(memory.gradient[positive].min().item(), 1e-6 * largest), top=2 * largest)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
            axes.set_yticks([], minor=True)
        axes.axvline(memory.horizon, color=MUTED, linestyle=(0, (3, 2)), linewidth=1)
        _label(axes, "steps between input and state", "gradient")
        svg = to_svg(figure, "memory", f"Gradient of the state by earlier inputs, horizon {memory.horizon} steps")
    longest = "at least " if memory.horizon == len(memory.gradient) - 1 else ""
    note = (
        f"Of the states by the input k steps ago, under noise; it falls to a hundredth after {longest}{memory.horizon}."
    )
    return {"title": "Memory horizon", "note": note, "svg": svg}


def _phase(neuron: Neuron, current: float) -> dict[str, str]:
    from spikeworks.measure.portrait import phase_plane

    (first, second), path = phase_plane(neuron, current)
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT))
        axes.plot(path[:, 0], path[:, 1], ".-", color=_style(neuron).color, linewidth=0.5, markersize=3)
        axes.plot(path[:1, 0], path[:1, 1], "o", color=INK, markersize=4)
        _label(axes, first, second)
        svg = to_svg(figure, "phase", f"Path in the plane of {first} and {second}")
    note = f"{len(path)} steps under a constant current of {current:.3g}; the dot is the first."
    return {"title": "Phase plane", "note": note, "svg": svg}


def _label(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    grid(axes, "both")


def _style(neuron: Neuron) -> Style:
    return styles([type(neuron).__name__])[type(neuron).__name__]
