"""The figure of ``bench_layers.py``: times of one layer as bars, with the copy limit as a line."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = {"kernel": "#1b7f4d", "ours": "#8cc4a5", "peer": "#8d99ae"}


def plot(found: Sequence[Mapping[str, Any]], target: Path, line: str) -> None:
    """Write ``target.png`` and ``target.svg``.

    Args:
        found: a mapping a shape with ``shape`` and ``times`` (name to ``ms``), as in ``layers.json``.
        target: path without an ending.
        line: machine and versions, for the foot of the figure.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    bars = max(len(_rows(one["times"])) for one in found)
    style: Any = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "spikeworks"}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            1, len(found), figsize=(1.2 + 3.9 * len(found), 1.5 + 0.27 * bars), sharey=True, squeeze=False
        )
        for axis, one in zip(axes[0], found, strict=True):
            _panel(axis, one)
        figure.suptitle("One layer, forward and backward, float32; shorter is better", x=0.01, ha="left", fontsize=11)
        figure.text(0.01, 0.005, textwrap.fill(line, 150), fontsize=7, color="#555555", va="bottom")
        figure.tight_layout(rect=(0, 0.03, 1, 1))
        for ending in ("png", "svg"):
            file = target.with_suffix(f".{ending}")
            figure.savefig(file, dpi=150, metadata={"Date": None} if ending == "svg" else None)
            print(f"written: {os.path.relpath(file)}")
        plt.close(figure)


def _rows(times: Mapping[str, Any]) -> list[str]:
    """Names from the fastest neuron of ours down to the slowest peer; the limit is a line, not a bar."""
    names = [name for name in times if name != "copy limit"]
    return [n for n in names if _group(n) != "peer"] + [n for n in names if _group(n) == "peer"]


def _group(name: str) -> str:
    if name.endswith((", kernel", ", kernel on kept buffers")):
        return "kernel"
    return "ours" if name.endswith((", loop", ", traced torch")) else "peer"


def _panel(axis: Any, one: Mapping[str, Any]) -> None:
    times = one["times"]
    names = _rows(times)
    values = [times[name]["ms"] for name in names]
    places = range(len(names))
    axis.barh(places, values, color=[COLOURS[_group(name)] for name in names], height=0.72)
    for place, value in zip(places, values, strict=True):
        text = f"{value:.1f}" if value < 100 else f"{value:,.0f}".replace(",", " ")
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axis.text(value * 1.08, place, text, va="center", fontsize=7.5, color="#333333", bbox=behind)
    limit = times["copy limit"]["ms"]
    axis.axvline(limit, color="#c1121f", linewidth=1.2)
    axis.text(limit * 1.08, -0.62, f"copy limit {limit:.1f}", color="#c1121f", fontsize=7.5, va="bottom")
    axis.set_yticks(list(places), [_label(name) for name in names])
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(min(limit, *values) / 3, max(values) * 3.2)
    axis.set_ylim(len(names) - 0.4, -1.3)
    axis.set_xlabel("milliseconds")
    steps, batch, size = one["shape"]
    axis.set_title(f"T={steps}  B={batch}  N={size}", fontsize=9, loc="left")
    axis.grid(axis="x", which="major", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _label(name: str) -> str:
    neuron, comma, form = name.partition(", ")
    return neuron.upper() + comma + form if _group(name) != "peer" else f"LIF of {name}"
