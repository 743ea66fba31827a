"""The probe as one page: the verdict, scores, gains with their intervals, and both horizon curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikeworks.core.config import to_dict

from ..core import quantities
from .labels import label_ends, label_room
from .page import render_page, write_page
from .probe_gain import Difference
from .probe_plan import MODES, NAMES
from .probe_run import Probe
from .probe_verdict import Curve, gain_text, spoken
from .store import load_run
from .svg import FONT, INK, MUTED, WIDTH, box, drawing, grid, styles, to_svg

ABOUT = {
    "notd": "no memory: every step starts from rest",
    "sdbp": "memory, but no credit through time: the same forward pass as STBP",
    "stbp": "complete: backpropagation through time",
}
_LINES = {"memory": "memory cleared every K steps", "credit": "credit cut every K steps"}
_HEIGHT = 3.1


def write_probe(probe: Probe, output: str | Path, command: str | None = None) -> Path:
    """Write the page of a probe and return its path.

    Args:
        probe: what was found.
        output: the HTML file, or an existing folder that gets ``probe-TASK-MODEL.html``.
        command: the command line that asked for it, printed on the page.
    """
    return write_page(render(probe, command), output, f"probe-{probe.task}-{probe.model}.html")


def render(probe: Probe, command: str | None = None) -> str:
    """The page as text."""
    unit = probe.metric.unit
    readouts = list(dict.fromkeys(score.readout for score in probe.scores))
    return render_page(
        "probe.html.j2",
        probe=probe,
        readouts=readouts,
        spoken=spoken,
        modes=[(NAMES[mode], ABOUT[mode], [_score(probe, mode, kind) for kind in readouts]) for mode in MODES],
        chance=None if probe.chance is None else quantities.percent(probe.chance),
        gains=[
            (name, gains.readout, gain_text(getattr(gains, key), unit))
            for gains in probe.gains
            for name, key in (("SDBP − NoTD", "state"), ("STBP − SDBP", "credit"), ("STBP − NoTD", "total"))
        ],
        overall=gain_text(probe.overall, unit),
        forest=_forest(probe),
        curves=[_panel(probe, kind) for kind in dict.fromkeys(curve.readout for curve in probe.curves)],
        facts=_facts(probe),
        failed=[outcome for outcome in probe.outcomes if outcome.result is None],
        least=f"{100 * probe.least:g} points" if unit == "fraction" else f"{probe.least:g} nats",
        command=command,
    )


def _score(probe: Probe, mode: str, readout: str) -> str:
    test = probe.score(mode, readout).test
    return "failed" if test is None else quantities.score(test.mean, test.spread, probe.metric.unit)


def _rows(probe: Probe) -> list[tuple[str, Difference, str]]:
    """Name, gain and look of every line of the forest."""
    found = []
    for gains in probe.gains:
        for name, key in (("S − N", "state"), ("T − S", "credit"), ("T − N", "total")):
            gain = getattr(gains, key)
            if gain is not None:
                found.append((f"{name}, {gains.readout}", gain, key))
    if probe.overall is not None and len(probe.gains) > 1:
        found.append(("best T − best N", probe.overall, "overall"))
    return found


def _forest(probe: Probe) -> str | None:
    """All gains with their intervals beside the band that does not count."""
    rows = _rows(probe)
    if not rows:
        return None
    scale = 100 if probe.metric.unit == "fraction" else 1
    look = styles(["state", "credit", "total", "overall"])
    room = label_room([name for name, _, _ in rows]) + 0.1
    height = 0.75 + 0.3 * len(rows)
    with drawing(WIDTH, height) as figure:
        axes = figure.add_axes(box(WIDTH, height, left=room))
        axes.axvspan(-scale * probe.least, scale * probe.least, color=MUTED, alpha=0.15, linewidth=0)
        axes.axvline(0, color=MUTED, linewidth=1)
        for y, (_, gain, key) in enumerate(rows):
            style = look[key]
            axes.plot([scale * gain.low, scale * gain.high], [y, y], color=style.color)
            axes.plot(scale * gain.mean, y, style.marker, color=style.color, markersize=6)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("gain in points" if scale == 100 else "gain in nats a token")
        grid(axes, "x")
        for text in axes.get_yticklabels():
            text.set_color(INK)
            text.set_fontsize(FONT)
        names = ", ".join(f"{name} {gain_text(gain, probe.metric.unit)}" for name, gain, _ in rows)
        return to_svg(figure, "gains", f"Gains with their intervals: {names}")


def _panel(probe: Probe, readout: str) -> dict[str, Any]:
    """The curves of one readout as a figure and a table."""
    curves = [curve for curve in probe.curves if curve.readout == readout]
    reaches = sorted({point.reach for curve in curves for point in curve.points})
    table = [(reach, [_at(curve, reach, probe.metric.unit) for curve in curves]) for reach in reaches]
    return {
        "readout": spoken(readout),
        "heads": [_LINES[curve.kind] for curve in curves],
        "table": table,
        "svg": _curves(probe, curves, reaches, readout),
    }


def _at(curve: Curve, reach: int, unit: str) -> str:
    found = [point for point in curve.points if point.reach == reach]
    return quantities.score(found[0].test.mean, found[0].test.spread, unit) if found else quantities.MISSING


def _curves(probe: Probe, curves: Sequence[Curve], reaches: Sequence[int], readout: str) -> str:
    scale = 100 if probe.metric.unit == "fraction" else 1
    look = styles(["credit", "memory"])
    with drawing(WIDTH, _HEIGHT) as figure:
        axes = figure.add_axes(box(WIDTH, _HEIGHT, right=label_room([curve.kind for curve in curves])))
        axes.set_xscale("log", base=2)
        ends = []
        for curve in curves:
            style = look[curve.kind]
            x = [point.reach for point in curve.points]
            y = [scale * point.test.mean for point in curve.points]
            bars = [scale * (point.test.spread or 0.0) for point in curve.points]
            if any(bars):
                axes.errorbar(x, y, yerr=bars, fmt="none", ecolor=style.color, elinewidth=1.2)
            axes.plot(x, y, color=style.color, marker=style.marker, markersize=5)
            ends.append((x[-1], y[-1], curve.kind, style))
        if probe.chance is not None:
            axes.axhline(scale * probe.chance, color=MUTED, linestyle=(0, (3, 2)), linewidth=1)
        axes.set_xticks(reaches, [str(reach) for reach in reaches])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("steps that the answer can draw on")
        axes.set_ylabel(f"test {probe.metric.name}" + (" in %" if scale == 100 else ""))
        axes.margins(x=0.04)
        grid(axes, "y")
        label_ends(axes, ends, _HEIGHT)
        said = "; ".join(
            f"{curve.kind}: " + ", ".join(f"{p.reach} steps {scale * p.test.mean:.1f}" for p in curve.points)
            for curve in curves
        )
        return to_svg(figure, f"curve-{readout}", f"Test {probe.metric.name} against steps, {said}")


def _facts(probe: Probe) -> list[tuple[str, str]]:
    """Conditions that all runs share, and where they ran."""
    config = probe.outcomes[0].config
    optimizer = {k: v for k, v in to_dict(config.optimizer).items() if k != "kind"}
    described = to_dict(config.model).get("neuron") or {}
    neuron = {k: v for k, v in described.items() if k != "definition"}
    facts = [
        ("task", _listed(to_dict(config.task))),
        ("network", f"{probe.model}, hidden {' × '.join(map(str, getattr(config.model, 'hidden', ()))) or '–'}"),
        ("neuron", _listed(neuron)),
        ("optimiser", f"{to_dict(config.optimizer)['kind']}: {_listed(optimizer)}"),
        ("schedule", _listed(to_dict(config.schedule))),
        ("budget", f"{config.budget.epochs} epochs, batches of {config.budget.batch_size}"),
        ("seeds", ", ".join(map(str, probe.seeds))),
        ("runs", f"{len(probe.outcomes)}, in {probe.outcomes[0].directory.parent}"),
    ]
    done = [outcome.directory for outcome in probe.outcomes if outcome.result is not None]
    around = load_run(done[0]).environment if done else {}
    for key in ("machine", "torch", "spikeworks", "commit"):
        value = around.get(key)
        if value:
            facts.append((key, _listed(value) if isinstance(value, dict) else str(value)))
    return facts


def _listed(values: dict[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        text = f"({_listed(value)})" if isinstance(value, dict) else value
        if value not in (None, [], "", {}):
            parts.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(parts)
