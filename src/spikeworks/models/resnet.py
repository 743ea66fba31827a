"""Residual networks of 18 and 34 layers with three ways past a block, and their stems.

A block is two convolutions of 3 x 3 and a way around them, an identity or, where the shape changes, a
convolution of 1 x 1. The forms differ in what is added and so in what crosses a cut:

- ``spiking``: currents are added before the last neurons; spikes leave (tdBN, arXiv 2011.05280).
- ``sew``: spikes are added behind the last neurons; whole numbers leave, in a stage of n blocks up to n
  or n + 1, which are spikes to be counted but no bits (arXiv 2102.04159, the form ADD).
- ``membrane``: currents go around both neurons and are added; real numbers leave (MS-ResNet, arXiv 2112.08954).
  The last block of the network ends with neurons, so that the readout sees spikes.

For bits at a cut take ``spiking``.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.state import State
from .plan import BlockPlan, Emits, Shape
from .registry import NETWORKS
from .vision import ConvPlan, FrameBlock, FrameNetworkConfig, FramePlan, normalised

Form = Literal["spiking", "sew", "membrane"]
Stem = Literal["small", "pooled", "strided"]


class ResidualState(NamedTuple):
    """States of the neurons of a block: on the main way, and on the way around or behind it, if any."""

    first: State
    second: State
    other: State = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualPlan(FramePlan):
    """Plan of a residual block.

    Args:
        form: see the module.
        closing: whether a block of the form ``membrane`` ends with neurons.
    """

    form: Form = "spiking"
    closing: bool = False

    @property
    def emits(self) -> Emits:
        """What the sum is made of."""
        if self.form == "membrane" and not self.closing:
            return "currents"
        return "counts" if self.form == "sew" else "spikes"

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        _, height, width = self.checked(shape, stride)
        return self.outputs, -(-height // stride), -(-width // stride)

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> ResidualBlock:
        kinds = {"spiking": SpikingBlock, "sew": SEWBlock, "membrane": MembraneBlock}
        return kinds[self.form](self, shape, stride, generator)


class ResidualBlock(FrameBlock):
    """Two convolutions with normalisation, and the convolution around them where the shape changes."""

    def __init__(self, plan: ResidualPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        after = plan.shape_after(shape, stride)
        super().__init__(plan, shape, after)
        inputs, outputs = shape[0], plan.outputs
        self.first = plan.convolution(inputs, outputs, 3, stride, generator)
        self.first_norm = plan.normalisation(outputs)
        self.second = plan.convolution(outputs, outputs, 3, 1, generator)
        added = 2 if plan.form == "spiking" else 1  # currents that meet before the last neurons
        self.second_norm = plan.normalisation(outputs, added=added)
        straight = stride == 1 and inputs == outputs
        self.around = None if straight else plan.convolution(inputs, outputs, 1, stride, generator)
        self.around_norm = None if straight else plan.normalisation(outputs, added=added)

    def _main(self, index: Literal["first", "second"], x: Tensor, mask: Tensor | None) -> Tensor:
        conv: nn.Module = getattr(self, index)
        return normalised(getattr(self, f"{index}_norm"), conv(x), mask)

    def _past(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x if self.around is None else normalised(self.around_norm, self.around(x), mask)


class SpikingBlock(ResidualBlock):
    """Convolve, fire, convolve, add what came around, fire."""

    def __init__(self, plan: ResidualPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        self.first_neuron = plan.neurons(plan.outputs, generator)
        self.second_neuron = plan.neurons(plan.outputs, generator)

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        before = state or ResidualState(None, None)
        y, first = self.first_neuron(self._main("first", x, mask), before.first)
        y, second = self.second_neuron(self._main("second", y, mask) + self._past(x, mask), before.second)
        return y, ResidualState(first, second)


class SEWBlock(ResidualBlock):
    """Convolve, fire, convolve, fire, add the spikes that came around; neurons stand there too if it convolves."""

    def __init__(self, plan: ResidualPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        self.first_neuron = plan.neurons(plan.outputs, generator)
        self.second_neuron = plan.neurons(plan.outputs, generator)
        self.around_neuron = None if self.around is None else plan.neurons(plan.outputs, generator)

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        before = state or ResidualState(None, None)
        y, first = self.first_neuron(self._main("first", x, mask), before.first)
        y, second = self.second_neuron(self._main("second", y, mask), before.second)
        other, past = None, self._past(x, mask)
        if self.around_neuron is not None:
            past, other = self.around_neuron(past, before.other)
        return y + past, ResidualState(first, second, other)


class MembraneBlock(ResidualBlock):
    """Fire, convolve, fire, convolve, add the currents that came around; then fire if it is the last."""

    def __init__(self, plan: ResidualPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        super().__init__(plan, shape, stride, generator)
        self.first_neuron = plan.neurons(shape[0], generator)
        self.second_neuron = plan.neurons(plan.outputs, generator)
        self.closing_neuron = plan.neurons(plan.outputs, generator) if plan.closing else None

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        before = state or ResidualState(None, None)
        y, first = self.first_neuron(x, before.first)
        y, second = self.second_neuron(self._main("first", y, mask), before.second)
        y, other = self._main("second", y, mask) + self._past(x, mask), None
        if self.closing_neuron is not None:
            y, other = self.closing_neuron(y, before.other)
        return y, ResidualState(first, second, other)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetConfig(FrameNetworkConfig):
    """Base of the residual networks.

    Args:
        depths: blocks of each stage; each stage has twice the channels of the one before and, but for the
            first, half its resolution.
        channels: of the first stage, before ``width``.
        stem: ``small``: a convolution of 3 x 3, for 32 x 32 pixels; for 224 x 224 a convolution of 7 x 7
            with a stride of 2 and then ``pooled``: a maximum over 3 x 3 with a stride of 2, or
            ``strided``: the first stage shrinks instead.

    Attributes:
        form: what is added where, see the module.
    """

    form: ClassVar[Form] = "spiking"

    depths: tuple[int, ...] = (2, 2, 2, 2)
    channels: int = 64
    stem: Stem = "small"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.depths or min(self.depths) < 1 or self.channels < 1:
            raise ConfigError(
                f"A residual network needs stages of at least one block and one channel, got depths={self.depths} "
                f"and channels={self.channels}."
            )
        if self.stem not in get_args(Stem):
            raise ConfigError(f"stem is one of {', '.join(get_args(Stem))}; got {self.stem!r}.")

    def plans(self) -> tuple[BlockPlan, ...]:
        small, pooled = self.stem == "small", self.stem == "pooled"
        stem = ConvPlan(
            outputs=self.scaled(self.channels),
            stride=1 if small else 4 if pooled else 2,
            neuron=None if self.form == "membrane" else self.neuron,
            norm=self.norm,
            memory=self.memory,
            downsample="stride",
            kernel=3 if small else 7,
            pool=3 if pooled else 0,
        )
        last = (len(self.depths) - 1, self.depths[-1] - 1)
        blocks = [
            ResidualPlan(
                outputs=self.scaled(self.channels * 2**stage),
                stride=2 if block == 0 and (stage > 0 or self.stem == "strided") else 1,
                neuron=self.neuron,
                norm=self.norm,
                memory=self.memory,
                form=self.form,
                closing=self.form == "membrane" and (stage, block) == last,
            )
            for stage, depth in enumerate(self.depths)
            for block in range(depth)
        ]
        return (stem, *blocks)


@NETWORKS.register("resnet18")
@config_kind("model", "resnet18")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet18Config(ResNetConfig):
    """ResNet-18 that adds currents before its neurons; spikes cross every cut (arXiv 2011.05280)."""


@NETWORKS.register("resnet34")
@config_kind("model", "resnet34")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet34Config(ResNetConfig):
    """ResNet-34 that adds currents before its neurons; spikes cross every cut (arXiv 2011.05280)."""

    depths: tuple[int, ...] = (3, 4, 6, 3)


@NETWORKS.register("sew-resnet18")
@config_kind("model", "sew-resnet18")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SEWResNet18Config(ResNetConfig):
    """Spike-element-wise ResNet-18, form ADD: whole numbers cross the cuts (arXiv 2102.04159)."""

    form: ClassVar[Form] = "sew"


@NETWORKS.register("sew-resnet34")
@config_kind("model", "sew-resnet34")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SEWResNet34Config(SEWResNet18Config):
    """Spike-element-wise ResNet-34, form ADD: whole numbers cross the cuts (arXiv 2102.04159)."""

    depths: tuple[int, ...] = (3, 4, 6, 3)


@NETWORKS.register("ms-resnet18")
@config_kind("model", "ms-resnet18")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MSResNet18Config(ResNetConfig):
    """Membrane-shortcut ResNet-18: membrane currents cross the cuts (arXiv 2112.08954)."""

    form: ClassVar[Form] = "membrane"


@NETWORKS.register("ms-resnet34")
@config_kind("model", "ms-resnet34")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MSResNet34Config(MSResNet18Config):
    """Membrane-shortcut ResNet-34: membrane currents cross the cuts (arXiv 2112.08954)."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
