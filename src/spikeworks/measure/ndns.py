"""Costs by the formulas of Intel's neuromorphic denoising challenge: latency, operations a frame, power proxy, PDP.

    P = (SynOps + 10 NeuronOps) / dt        operations a second, dt the time of a frame
    PDP = P * latency                       operations within the latency

A SynOp is one weight met by one spike, recurrent weights included. NeuronOps are the widths of all layers, inputs and
outputs included. Two ways of counting are in print, and a third is ours:

- ``published``: a model that runs for several units (parts of a spectrum, in the rows of its batch) is counted once, by
  the mean rate of its units, and a weight that meets a real number costs nothing, as the first layers of
  Spiking-FullSubNet do.
- ``all-units``: the same, times the units that run.
- ``everything``: beside that one SynOp for each weight that meets a real number other than 0.

Where nothing spikes, the first two charge real numbers as well: the challenge counts so for networks of other kinds.

Source: arXiv 2303.09503 (formulas), arXiv 2410.04785 and its program (``published``).

    found = proxies(network, x, frame=0.008, latency=Latency.of_window(512, 16_000))
    found.power("published"), found.pdp("all-units"), found.table()
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from torch import Tensor, nn

from ..core.errors import ConfigError
from .energy_by import energy_by
from .operations import count_operations
from .subject import extent, infer
from .walk import Kind, Walk

Mode = Literal["published", "all-units", "everything"]
MODES: tuple[Mode, ...] = get_args(Mode)
NEURON_WEIGHT = 10
"""What an update of a neuron costs, in SynOps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """What stands between sound in and sound out, in seconds.

    Attributes:
        buffer: until a frame is full: its window, since frames are added up.
        codec: of the transform and its inverse.
        network: of the network, where it needs more than the frame in which it is asked.
        algorithmic: frames that the network looks ahead or is late, by its structure.
    """

    buffer: float
    codec: float = 3e-5
    network: float = 0.0
    algorithmic: float = 0.0

    @classmethod
    def of_window(cls, window: int, rate: int, **others: float) -> Latency:
        """That of a transform with a window of so many samples at ``rate`` a second, added up frame by frame.

        The challenge's winner counts 0.03 ms for the transforms on a processor and nothing for the network.

        Example:
            >>> round(1000 * Latency.of_window(512, 16_000).total, 6)
            32.03
        """
        return cls(buffer=window / rate, **others)

    @property
    def total(self) -> float:
        """The sum."""
        return self.buffer + self.codec + self.network + self.algorithmic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fan:
    """Weights that signals meet, for one frame of one sequence.

    Attributes:
        name: of the module.
        units: how often it runs in a frame.
        spikes: whether it reads spikes alone.
        rate: share of what it reads that is not 0.
        synops: weights met, over all units.
    """

    name: str
    units: float
    spikes: bool
    rate: float
    synops: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """Neurons, or the inputs or outputs of a model.

    Attributes:
        name: of the module.
        kind: which of them it is.
        width: of one unit.
        units: how often it runs in a frame.
    """

    name: str
    kind: Kind
    width: int
    units: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proxies:
    """The challenge's figures of a network.

    Attributes:
        frame: seconds between two frames, dt.
        latency: from sound to sound.
        fans: every map, in the order of calls.
        layers: every layer, in the order of calls.
        unseen: modules that compute what no formula looks at: norms, attention and others.
    """

    frame: float
    latency: Latency
    fans: tuple[Fan, ...]
    layers: tuple[Layer, ...]
    unseen: tuple[str, ...]

    def synops(self, mode: Mode) -> float:
        """SynOps of a frame."""
        known(mode)
        real = mode == "everything" or not any(fan.spikes for fan in self.fans)
        fans = [fan for fan in self.fans if fan.spikes or real]
        return sum(fan.synops / (fan.units if mode == "published" else 1) for fan in fans)

    def neuronops(self, mode: Mode) -> float:
        """NeuronOps of a frame."""
        known(mode)
        return sum(layer.width * (1 if mode == "published" else layer.units) for layer in self.layers)

    def power(self, mode: Mode) -> float:
        """The proxy of power P, in operations a second."""
        return (self.synops(mode) + NEURON_WEIGHT * self.neuronops(mode)) / self.frame

    def pdp(self, mode: Mode) -> float:
        """Power times delay, in operations."""
        return self.power(mode) * self.latency.total

    def table(self) -> list[dict[str, Any]]:
        """One row for each way of counting."""
        return [
            {
                "counted": mode,
                "synops": self.synops(mode),
                "neuronops": self.neuronops(mode),
                "power": self.power(mode),
                "pdp": self.pdp(mode),
            }
            for mode in MODES
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self) | {"latency_s": self.latency.total, "counted": self.table()}


def known(mode: Mode) -> None:
    """Raise ConfigError for a way of counting that does not exist."""
    if mode not in MODES:
        raise ConfigError(f"Ways of counting are {', '.join(MODES)}; got {mode!r}.")


def proxies(network: nn.Module, x: Tensor, mask: Tensor | None = None, *, frame: float, latency: Latency) -> Proxies:
    """The challenge's figures of ``network`` by the spikes that ``x`` makes, in eval mode and without gradients.

    Maps are those that :func:`~spikeworks.measure.energy_by.energy_by` sees, and gated cells. Neurons are modules that
    write a word of state or more for each value they return. A map that no neurons follow makes outputs; one that
    reads real numbers that no neurons made has inputs. Units are rows of the batch: a module that runs for three times
    as many rows as there are sequences runs for three units.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject`.
        x: ``[T, B, ...]`` floats, one step a frame; real samples.
        mask: ``[T, B]`` bool; padded steps cost nothing.
        frame: seconds between two frames.
        latency: from sound to sound.

    Raises:
        ConfigError: ``frame`` is no time.
        ShapeError: ``x`` is empty, or the mask does not fit or has gaps.
    """
    if not 0 < frame < float("inf"):
        raise ConfigError(f"The time of a frame is a number of seconds above 0, got {frame}.")
    size = extent(x, mask)
    maps = energy_by(network, x, mask, "neurobench")
    counted = {layer.name: layer.operations for layer in count_operations(network, x, mask).layers}
    walk = Walk(network, {layer.name for layer in maps.layers}, counted)
    try:
        infer(network, x, mask)
    finally:
        walk.close()
    frames = size.samples * size.steps
    rows = walk.rows
    fans = []
    for layer in maps.layers:
        met = layer.macs + layer.acs
        fans.append(
            Fan(
                name=layer.name,
                units=rows[layer.name] / frames,
                spikes=layer.spikes,
                rate=met / layer.dense,
                synops=met / size.steps,
            )
        )
    for name, spikes in walk.cells().items():
        met = counted[name].weight_reads / size.steps
        fans.append(Fan(name=name, units=rows[name] / frames, spikes=spikes, rate=1.0, synops=met))
    return Proxies(
        frame=frame,
        latency=latency,
        fans=tuple(fans),
        layers=tuple(
            Layer(name=name, kind=kind, width=width, units=rows / frames)
            for (name, kind), (width, rows) in walk.layers().items()
        ),
        unseen=tuple(name for name in maps.unseen if name not in walk.neurons()),
    )
