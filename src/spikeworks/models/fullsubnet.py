"""Spiking-FullSubNet: a small model of the whole spectrum, and models of sections of it that see it in detail.

The first block hears the lower part of the spectrum as a whole and answers some numbers a frame. The second cuts the
spectrum into units, coarser towards high frequencies; a unit hears its own frequencies, its neighbours on both sides
and, of the first block's answer tiled along the spectrum, its place; the units of a section share one model. The
readout turns every unit's spikes into filters for its frequencies.

Legend: ``T`` frames, ``B`` batch, ``F`` frequencies, ``U`` units of a section.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State, map_state
from ..layers import Dense, FrequencyReadout, LayerNorm, Readout, ReadoutConfig, Section, SectionDense
from ..layers.synapse import uniform_
from ..neurons import GSN, Neuron, NeuronConfig, NormedGSN
from .network import Block, Memory, Network
from .plan import Emits, Shape
from .registry import NETWORKS
from .stack import ModelConfig, StackConfig
from .vision import FrameBlock


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layers(StackConfig):
    """Recurrent layers without a readout; neurons that have biases get none from their synapses, as published."""

    def block(self, index: int, shape: Shape, stride: int, generator: torch.Generator | None) -> tuple[Block, Shape]:
        made, after = super().block(index, shape, stride, generator)
        made.plan = None
        if _neurons_of(made).own_biases:
            synapses: tuple[Any, ...] = (made.synapse, getattr(made.neuron, "synapse", None))
            for synapse in synapses:
                if synapse is not None:
                    synapse.register_parameter("bias", None)
                    uniform_(synapse.weight, self.hidden[index] ** -0.5, generator)
        return made, after

    def layers(self, inputs: int, generator: torch.Generator | None) -> nn.ModuleList:
        """All of them, for vectors of ``inputs`` values."""
        made, shape = nn.ModuleList(), (inputs,)
        for index in range(len(self.hidden)):
            block, shape = self.block(index, shape, 1, generator)
            made.append(block)
        return made


def _neurons_of(block: Block) -> Neuron:
    """The neurons of a block, whether recurrent or not."""
    neuron: Any = block.neuron
    return neuron if isinstance(neuron, Neuron) else neuron.neuron


def _through(layers: nn.ModuleList, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
    after = []
    for index, layer in enumerate(layers):
        x, now = layer(x, None if state is None else state[index], mask)
        after.append(now)
    return x, tuple(after)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FullBandPlan:
    """Plan of a :class:`FullBandBlock`: ``answers`` numbers a frame beside the ``bins`` frequencies."""

    layers: _Layers
    bins: int
    answers: int
    input_norm: bool
    memory: Memory
    stride: int = 1
    emits: Emits = "currents"

    @property
    def outputs(self) -> int:
        """Frequencies, and the answers for all of them."""
        return self.bins + self.answers

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        _check_shape(shape, self.bins)
        return (self.outputs,)

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> FullBandBlock:
        return FullBandBlock(self, shape, generator)


class FullBandBlock(FrameBlock):
    """``[T, B, F]`` to the frequencies that are worked on and the answers of a model of them all, side by side."""

    def __init__(self, plan: FullBandPlan, shape: Shape, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, plan.shape_after(shape, 1))  # type: ignore[arg-type]
        self.norm = LayerNorm(plan.answers) if plan.input_norm else None
        self.layers = plan.layers.layers(plan.answers, generator)
        self.answer = Dense(plan.layers.hidden[-1], plan.answers, generator=generator)

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        bins = x[:, :, : self.plan.bins]
        low = bins[:, :, : self.plan.answers]
        y, after = _through(self.layers, low if self.norm is None else self.norm(low, mask), state, mask)
        return torch.cat([bins, self.answer(y)], 2), after


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubBandPlan:
    """Plan of a :class:`SubBandBlock`: one model for each of the ``sections`` of ``bins`` frequencies."""

    layers: _Layers
    sections: tuple[Section, ...]
    bins: int
    neighbours: int
    input_norm: bool
    memory: Memory
    stride: int = 1
    emits: Emits = "spikes"

    @property
    def outputs(self) -> int:
        """Neurons of all units."""
        return sum(section.units for section in self.sections) * self.layers.hidden[-1]

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        _check_shape(shape, self.bins + 1)
        return (self.outputs,)

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> SubBandBlock:
        return SubBandBlock(self, shape, generator)


class SubBandBlock(FrameBlock):
    """Frequencies and answers of the whole, side by side, to the spikes of all units, section by section."""

    def __init__(self, plan: SubBandPlan, shape: Shape, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, plan.shape_after(shape, 1))  # type: ignore[arg-type]
        sizes = [2 * (section.width + plan.neighbours) for section in plan.sections]
        norms = [LayerNorm(size) if plan.input_norm else nn.Identity() for size in sizes]
        self.norms = nn.ModuleList(norms)
        self.models = nn.ModuleList([plan.layers.layers(size, generator) for size in sizes])

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        bins = x[:, :, : self.plan.bins]
        whole = x[:, :, self.plan.bins :]
        tiled = whole.repeat(1, 1, -(-self.plan.bins // whole.shape[2]))[:, :, : self.plan.bins]
        spikes, after = [], []
        for index, (section, norm, layers) in enumerate(zip(self.plan.sections, self.norms, self.models, strict=True)):
            count = section.units
            seen = torch.cat([section.unfold(bins, self.plan.neighbours), section.unfold(tiled)], 3)
            y, end = _through(
                layers,  # type: ignore[arg-type]
                norm(seen.flatten(1, 2)),
                None if state is None else map_state(lambda s: s.flatten(0, 1), state[index]),
                None if mask is None else mask.repeat_interleave(count, 1),
            )
            spikes.append(y.unflatten(1, (-1, count)).flatten(2))
            after.append(map_state(lambda s, count=count: s.unflatten(0, (-1, count)), end))
        return torch.cat(spikes, 2), tuple(after)


def _check_shape(shape: Shape, least: int) -> None:
    if len(shape) != 1 or shape[0] < least:
        raise ConfigError(f"A block for spectra needs vectors of at least {least} values, got the shape {shape}.")


@NETWORKS.register("spiking-fullsubnet")
@config_kind("model", "spiking-fullsubnet")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSubNetConfig(ModelConfig):
    """Spiking-FullSubNet: full-band and sub-band models of spiking recurrent layers for spectra.

    The input is frames of F frequencies. An odd F is taken for a spectrum from 0 to half the sampling rate, whose last
    frequency is not worked on. For tasks that ask for F numbers a frame (masks of magnitudes) or ``2 F d`` (complex
    filters of d taps) the readout answers each frequency from its own unit; for all others it is a dense one of all
    units, with any rule over time.

    What is ``None`` follows from F in the proportions of the published sizes, for 256 frequencies: ``full_bins`` 64,
    ``cuts`` 32, 128, 256, ``widths`` 4, 32, 64, ``neighbours`` 15. The published sizes are networks of their own:
    ``spiking-fullsubnet-s``, ``-m``, ``-l`` and ``-xl``.

    Args:
        full_hidden, sub_hidden: neurons of each layer of the full-band model, and of each section's.
        full_bins: lowest frequencies that the full-band model hears, and numbers that it answers.
        cuts: where the sections end, ascending; the last is the number of frequencies worked on.
        widths: frequencies of a unit, for each section.
        neighbours: frequencies beside its own that a unit hears on each side.
        orders: taps of each section's filters; ``None``: those of the task.
        neuron: of all layers; published: GSN with shared (XL: separate) weights of gate and cell.
        recurrent: whether the layers hear themselves.
        norm: ``none``; ``layer``: layer norm of the currents of each layer; ``memory``: batch norm of the memory
            inside of the recurrence at every step, as published, which only GSN has and which trains slowly.
        input_norm: whether every model normalises what it hears, frame by frame (later versions do).
        start: factor on the initial weights of filters; 0 begins with the identity exactly.
        dropout: before each layer but the first.
        readout: rule over time of a dense readout.
        memory: as for a stack.

    Source: arXiv 2410.04785. Here filters start near the identity and gates half open, which trains many times faster.

    Example:
        >>> config = FullSubNetConfig(full_hidden=(16,), sub_hidden=(8,))
        >>> config.build(129, 258, torch.Generator().manual_seed(0))(torch.rand(30, 2, 129))[0].shape
        torch.Size([30, 2, 258])
    """

    published_cuts: ClassVar[tuple[int, ...]] = (32, 128, 256)
    published_widths: ClassVar[tuple[int, ...]] = (4, 32, 64)

    full_hidden: tuple[int, ...] = (96, 96)
    sub_hidden: tuple[int, ...] = (64, 64)
    full_bins: int | None = None
    cuts: tuple[int, ...] | None = None
    widths: tuple[int, ...] | None = None
    neighbours: int | None = None
    orders: tuple[int, ...] | None = None
    neuron: NeuronConfig = dataclasses.field(default_factory=lambda: GSN.Config(gate_bias=0.5))  # type: ignore[call-arg]
    recurrent: bool = True
    norm: Literal["none", "layer", "memory"] = "none"
    input_norm: bool = False
    start: float = 0.3
    dropout: float = 0.0
    readout: ReadoutConfig = dataclasses.field(default_factory=lambda: ReadoutConfig(kind="every"))
    memory: Memory = "full"

    @property
    def label(self) -> str:
        """The network's name, and the neuron's where it is not GSN."""
        name = str(vars(type(self))["config_kind"])
        return name + ("" if isinstance(self.neuron, GSN.Config) else f"-{self.neuron.label}")

    def __post_init__(self) -> None:
        if isinstance(self.neuron, type) and issubclass(self.neuron, Neuron):
            object.__setattr__(self, "neuron", self.neuron.Config())
        if self.norm not in ("none", "layer", "memory"):
            raise ConfigError(f"norm is none, layer or memory; got {self.norm!r}.")
        if self.norm == "memory" and not isinstance(self.neuron, GSN.Config):
            raise ConfigError(f"Norm memory is one of GSN, and the neurons are {self.neuron.label}.", "take norm layer")
        for name in ("full_hidden", "sub_hidden"):
            self._layers(getattr(self, name))
        if not 0 <= self.start < math.inf:
            raise ConfigError(f"start is a factor from 0 on, got {self.start}.")
        if self.neighbours is not None and self.neighbours < 0:
            raise ConfigError(f"neighbours is a number from 0 on, got {self.neighbours}.")

    def _layers(self, hidden: tuple[int, ...]) -> _Layers:
        neuron: Any = self.neuron
        if self.norm == "memory":
            fields = {field.name: getattr(neuron, field.name) for field in dataclasses.fields(neuron)}
            fields["trainable"] = (*neuron.trainable, "gain", "offset")
            neuron = NormedGSN.Config(**fields)
        return _Layers(
            hidden=hidden,
            neuron=neuron,
            recurrent=(self.recurrent,) * len(hidden),
            norm="layer" if self.norm == "layer" else "none",
            dropout=self.dropout,
        )

    def sections(self, bins: int, taps: int = 1) -> tuple[Section, ...]:
        """The sections of ``bins`` frequencies, for filters of ``taps`` taps.

        Raises:
            ConfigError: cuts, widths or orders that do not fit each other or ``bins``.
        """
        cuts = self.cuts or tuple(max(1, bins * part // 256) for part in self.published_cuts)
        widths = self.widths or tuple(max(1, bins * part // 256) for part in self.published_widths)
        orders = self.orders or (taps,) * len(cuts)
        if not len(widths) == len(orders) == len(cuts):
            raise ConfigError(
                f"Each section has a cut, a width and an order, got {len(cuts)}, {len(widths)} and {len(orders)}."
            )
        if cuts[-1] != bins or list(cuts) != sorted(cuts):
            raise ConfigError(f"Sections end at ascending frequencies, the last at {bins}; got cuts={cuts}.")
        found = []
        for low, high, width, order in zip((0, *cuts[:-1]), cuts, widths, orders, strict=True):
            if high > low:  # of a short spectrum a published section may be empty, or no whole number of its units
                found.append(Section(low, high, width if self.widths else _divisor(high - low, width), order))
        return tuple(found)

    def build(self, inputs: Any, outputs: int, generator: torch.Generator, *, tokens: bool = False) -> Network:
        """The network for spectra of ``inputs`` frequencies; see :meth:`ModelConfig.build`.

        Raises:
            ConfigError: the input is a frame or tokens, or the sections do not fit it.
        """
        if not isinstance(inputs, int) or tokens:
            raise ConfigError(
                "Network spiking-fullsubnet takes frames of a spectrum, and the input is "
                + ("tokens." if tokens else f"of shape {inputs}."),
                "take another network: spikeworks list networks",
            )
        bins = inputs - 1 if inputs % 2 and inputs > 1 else inputs
        parts, taps = self._answers(inputs, outputs)
        sections = self.sections(bins, max(1, taps))
        full, apart = self._layers(self.full_hidden), self._layers(self.sub_hidden)
        low = self.full_bins or max(1, bins // 4)
        if not 1 <= low <= bins:
            raise ConfigError(f"The full-band model hears 1 to {bins} frequencies, got full_bins={low}.")
        neighbours = bins * 15 // 256 if self.neighbours is None else self.neighbours
        if neighbours >= bins:
            raise ConfigError(f"A unit has fewer neighbours than there are frequencies, {bins}; got {neighbours}.")
        common: dict[str, Any] = {"input_norm": self.input_norm, "memory": self.memory, "bins": bins}
        plans = (
            FullBandPlan(layers=full, answers=low, **common),
            SubBandPlan(layers=apart, sections=sections, neighbours=neighbours, **common),
        )
        first = plans[0].build((inputs,), 1, generator)
        second = plans[1].build(first.shape_out, 1, generator)
        if parts:
            widths = [self.sub_hidden[-1]] * len(sections)
            dense = SectionDense(
                sections, widths, inputs, parts=parts, taps=taps, start=self.start, generator=generator
            )
            readout: Readout = FrequencyReadout(dense, self.readout)
        else:
            readout = Readout(plans[1].outputs, outputs, self.readout, generator=generator)
        return Network([first, second], readout, inputs=inputs)  # type: ignore[list-item]

    def _answers(self, inputs: int, outputs: int) -> tuple[int, int]:
        """Parts and taps of an answer for each frequency; 0 parts where the answer is something else."""
        if self.readout.kind == "every" and outputs == inputs:
            return 1, 1
        if self.readout.kind == "every" and outputs % (2 * inputs) == 0:
            return 2, outputs // (2 * inputs)
        return 0, 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Published(FullSubNetConfig):
    """What the published sizes share: batch norm of the memories, and gates and filters that start at random."""

    neuron: NeuronConfig = dataclasses.field(default_factory=GSN.Config)
    norm: Literal["none", "layer", "memory"] = "memory"
    start: float = 1.0


@NETWORKS.register("spiking-fullsubnet-s")
@config_kind("model", "spiking-fullsubnet-s")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSubNetSConfig(_Published):
    """Spiking-FullSubNet S as published: 520 920 parameters at 257 frequencies, filters of 3 taps at most."""

    full_hidden: tuple[int, ...] = (240, 240)
    sub_hidden: tuple[int, ...] = (160, 160)
    orders: tuple[int, ...] | None = (3, 1, 1)


@NETWORKS.register("spiking-fullsubnet-m")
@config_kind("model", "spiking-fullsubnet-m")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSubNetMConfig(_Published):
    """Spiking-FullSubNet M as published: 953 704 parameters at 257 frequencies, filters of 5 taps at most."""

    full_hidden: tuple[int, ...] = (320, 320)
    sub_hidden: tuple[int, ...] = (224, 224)
    orders: tuple[int, ...] | None = (5, 3, 1)


@NETWORKS.register("spiking-fullsubnet-l")
@config_kind("model", "spiking-fullsubnet-l")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSubNetLConfig(_Published):
    """Spiking-FullSubNet L as published: 1 289 004 parameters at 257 frequencies, filters of 5 taps at most."""

    published_cuts: ClassVar[tuple[int, ...]] = (32, 128, 192, 256)
    published_widths: ClassVar[tuple[int, ...]] = (2, 4, 32, 64)

    full_hidden: tuple[int, ...] = (320, 320)
    sub_hidden: tuple[int, ...] = (256, 256)
    orders: tuple[int, ...] | None = (5, 3, 1, 1)


@NETWORKS.register("spiking-fullsubnet-xl")
@config_kind("model", "spiking-fullsubnet-xl")
@dataclasses.dataclass(frozen=True, kw_only=True)
class FullSubNetXLConfig(FullSubNetMConfig):
    """Spiking-FullSubNet XL as published, M with separate weights of gate and cell: 1 797 928 parameters."""

    neuron: NeuronConfig = dataclasses.field(default_factory=lambda: GSN.Config(shared=False))  # type: ignore[call-arg]


def _divisor(total: int, most: int) -> int:
    """The largest divisor of ``total`` up to ``most``."""
    return next(width for width in range(min(total, most), 0, -1) if total % width == 0)
