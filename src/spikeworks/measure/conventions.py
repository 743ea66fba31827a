"""How papers count the cost of a network, by name: descriptions, each with its source and its known faults.

Our own count, :func:`~spikeworks.measure.energy.energy`, sees neurons, norms, attention and memory as well. These are
for comparing with printed figures; :func:`~spikeworks.measure.energy_by.energy_by` applies them.

Example:
    >>> CONVENTIONS.get("neurobench").counts
    'effective'
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from ..core.registry import Registry
from .constants import FP32_45NM, Constant

Counts = Literal["effective", "rate"]
"""What is counted.

``effective``: each weight that meets an input other than 0; accumulates where a call reads -1, 0 and 1 alone, else
multiply-accumulates. ``rate``: mean magnitude of the input times all weights, accumulates whatever is read.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convention:
    """A rule of counting; all of them look at linear maps and convolutions alone.

    Attributes:
        name: under which it is registered.
        source: where it stands in print.
        counts: which synaptic operations there are.
        first: what the first map in the order of calls costs: ``as others``; ``macs``: one MAC for each weight and
            step, whatever it reads; ``once``: that, but for one step of T.
        graded: how spikes larger than 1 count, in words.
        per: operations of a batch are divided by the ``sample`` s in it, or by its number of ``step`` s.
        mac, ac: energy of one operation in pJ.
        faults: what is wrong with it, or left out, in words.
    """

    name: str
    source: str
    counts: Counts
    first: Literal["as others", "macs", "once"] = "as others"
    graded: str
    per: Literal["sample", "step"] = "sample"
    mac: Constant = Constant(FP32_45NM.mac_pj, "pJ", FP32_45NM.multiply.source)
    ac: Constant = Constant(FP32_45NM.ac_pj, "pJ", FP32_45NM.add.source)
    faults: str


_HOOKS = (
    "Neurons, norms, attention, state spaces and gates cost nothing. A single value other than -1, 0 and 1 makes all "
    "of a layer multiply-accumulates: sums of spikes, averages and scaled dropout do."
)

NEUROBENCH = Convention(
    name="neurobench",
    source="NeuroBench, Nature Communications 16, 1545 (2025): effective synaptic operations; prices of Horowitz 2014",
    counts="effective",
    graded="one MAC for each weight, whatever the value",
    faults=_HOOKS,
)
"""One operation for each weight that meets an input other than 0: AC where a layer reads -1, 0 and 1 only, else MAC."""

NEUROBENCH_NSA = dataclasses.replace(
    NEUROBENCH,
    name="neurobench-nsa",
    source="Neuromorphic Sequential Arena, arXiv 2505.22035, as its program computes it",
    per="step",
    faults="Batches are [T, B, ...] and the operations of all B sequences are divided by T, so that a figure is off by "
    f"the factor B / T and doubles with the batch. {_HOOKS}",
)
"""The same divided by the number of steps instead of sequences: a fault, kept to recognise printed figures."""

SOP = Convention(
    name="sop",
    source="spiking Transformers since Spikformer, arXiv 2209.15425; here with a first layer that works at every step",
    counts="rate",
    first="macs",
    graded="by their value",
    faults="Neurons, norms, attention and memory cost nothing. Real values behind the first layer are charged as if "
    "their mean were a firing rate, and borders of convolutions as if they were not there.",
)
"""4.6 pJ for each MAC of the first layer; 0.9 pJ for the rate times the MACs of every other, at all T steps."""

SOP_STILL = dataclasses.replace(
    SOP,
    name="sop-still",
    source="spiking Transformers since Spikformer, arXiv 2209.15425, as printed for still images",
    first="once",
    faults=f"{SOP.faults} The first layer is charged for one step: right only where all T frames are the same image.",
)
"""E = 4.6 pJ FLOPs(1) + 0.9 pJ sum_l rate(l) T FLOPs(l): the first layer is charged once, not T times."""

CONVENTIONS: Registry[Convention] = Registry("energy convention", hint="or pass a Convention of your own")
for _known in (NEUROBENCH, NEUROBENCH_NSA, SOP, SOP_STILL):
    CONVENTIONS.register(_known.name)(_known)
