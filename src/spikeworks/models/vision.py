"""Networks for frames ``[T, B, C, H, W]``: what they have in common, and the plain convolutional block.

A block shrinks its input first and then convolves it, so that what crosses from one block to the next
are the spikes of neurons, 0 or 1, which wait as bits at a cut. As a function the network is the usual
one, whose pooling stands behind the neurons.

A frame that is repeated at every step as a view (``frame.expand(T, ...)``, direct encoding) is
convolved once; values and gradients are those of every step by itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.state import State
from ..kernels import recomputed
from ..layers import (
    AveragePool2d,
    BatchNorm,
    Conv2d,
    MaxPool2d,
    PooledReadout,
    ReadoutConfig,
    ThresholdBatchNorm,
)
from ..neurons import LIF, Neuron, NeuronConfig
from .network import Memory, Network
from .plan import BlockPlan, Emits, Shape
from .stack import ModelConfig, initial_threshold

Norm = Literal["none", "batch", "batch-step", "tdbn"]
Downsample = Literal["average", "max", "stride"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FramePlan:
    """What all plans of blocks for frames say.

    Args:
        outputs: channels that leave the block.
        stride: by how much it shrinks both axes in its own network.
        neuron: description of its neurons.
        norm: normalisation behind each convolution, which then has no bias: ``none``; ``batch``, over time,
            batch and frame; ``batch-step``, with the moments of each step alone; ``tdbn``, over all and
            scaled to the neurons' initial threshold.
        memory: as for :class:`~spikeworks.models.network.Block`.
    """

    outputs: int
    stride: int = 1
    neuron: NeuronConfig | None = dataclasses.field(default_factory=LIF.Config)
    norm: Norm = "batch"
    memory: Memory = "full"

    def checked(self, shape: Shape, stride: int) -> tuple[int, int, int]:
        """The shape as channels, height and width; raises ConfigError where no block can be built for it."""
        if len(shape) != 3 or min(shape) < 1:
            raise ConfigError(f"A block for frames needs an input of shape (C, H, W), got {tuple(shape)}.")
        if stride < 1:
            raise ConfigError(f"A block has a stride of at least 1, got {stride}.")
        channels, height, width = shape
        if min(height, width) < stride:
            raise ConfigError(
                f"Frames of {height} x {width} are too small for a block with a stride of {stride}.",
                "take larger frames, or a network that shrinks them less often",
            )
        return channels, height, width

    def neurons(self, channels: int, generator: torch.Generator | None) -> Neuron:
        """A layer of neurons as described, one parameter a channel."""
        assert self.neuron is not None  # asked for by blocks that have neurons
        made = self.neuron.build(channels, generator)
        if len(made.inputs) != 1:
            raise ConfigError(
                f"{type(made).__name__} has {len(made.inputs)} inputs and needs dense blocks.",
                "take another neuron, or a network of vectors: --network stack",
            )
        return made

    def convolution(
        self, channels: int, outputs: int, kernel: int, stride: int, generator: torch.Generator | None
    ) -> Conv2d:
        """A convolution with a bias only where no normalisation brings one."""
        made = Conv2d(channels, outputs, kernel=kernel, stride=stride, generator=generator)
        if self.norm != "none":
            made.register_parameter("bias", None)
        return made

    def normalisation(self, channels: int, *, added: int = 1) -> nn.Module | None:
        """What stands behind a convolution whose currents are one of ``added`` terms of a sum."""
        if self.norm == "none":
            return None
        if self.norm == "tdbn":
            threshold = initial_threshold((self.neuron or LIF.Config()).build(1))
            return ThresholdBatchNorm(channels, threshold=threshold, alpha=added**-0.5)
        return BatchNorm(channels, per_step=self.norm == "batch-step")


def normalised(norm: nn.Module | None, x: Tensor, mask: Tensor | None) -> Tensor:
    """``norm(x, mask)``, or ``x`` where there is none."""
    return x if norm is None else norm(x, mask)


class FrameBlock(nn.Module):
    """Base of the blocks for frames: ``x [T, B, C, H, W]`` and a state in, both of them out.

    Attributes:
        plan: makes others like it, see :mod:`~spikeworks.models.plan`.
        shape_in, shape_out: what it was built for, ``(C, H, W)``; other frames of as many channels
            work as well.
        memory: ``full`` or ``packed``, as for :class:`~spikeworks.models.network.Block`.
    """

    def __init__(self, plan: FramePlan, shape_in: Shape, shape_out: Shape) -> None:
        super().__init__()
        self.plan: Any = plan
        self.shape_in, self.shape_out = tuple(shape_in), tuple(shape_out)
        self.memory = plan.memory

    def forward(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over time; ``mask [T, B]`` keeps padded steps out of normalisation."""
        return recomputed(self, x, state, mask) if self.memory == "packed" else self.run(x, state, mask)

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """The computation, by plain autograd."""
        raise TypeError(f"{type(self).__name__} defines no run.")

    def extra_repr(self) -> str:
        return f"{self.shape_in} -> {self.shape_out}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvPlan(FramePlan):
    """Plan of a :class:`ConvBlock`.

    Args:
        downsample: how a stride above 1 shrinks the frame: by means or maxima over windows before the
            convolution (what fills no window is left out), or by the stride of the convolution.
        kernel: side of the convolution.
        pool: side of overlapping windows behind the neurons, 2 apart, whose maximum is taken; 0: none.
            The stem of residual networks for large images has one. The block's stride counts it in.
        neuron: ``None`` lets the currents out.
    """

    downsample: Downsample = "max"
    kernel: int = 3
    pool: int = 0

    @property
    def emits(self) -> Emits:
        """Spikes, or the currents where there are no neurons."""
        return "currents" if self.neuron is None else "spikes"

    def shape_after(self, shape: Shape, stride: int) -> Shape:
        return self._parts(shape, stride)[1]

    def build(self, shape: Shape, stride: int, generator: torch.Generator | None) -> ConvBlock:
        return ConvBlock(self, shape, stride, generator)

    def _parts(self, shape: Shape, stride: int) -> tuple[int, Shape]:
        """By how much the frame shrinks before or in the convolution, and the shape behind the block."""
        _, *sides = self.checked(shape, stride)
        inner = max(1, stride // 2) if self.pool else stride
        up = self.downsample == "stride"  # a strided convolution begins at the border, a last window may overhang
        sides = [-(-side // inner) if up else side // inner for side in sides]
        if self.pool:
            sides = [(side + 2 * (self.pool // 2) - self.pool) // 2 + 1 for side in sides]
        return inner, (self.outputs, *sides)


class ConvBlock(FrameBlock):
    """Shrink, convolve, normalise, fire."""

    def __init__(self, plan: ConvPlan, shape: Shape, stride: int, generator: torch.Generator | None) -> None:
        inner, after = plan._parts(shape, stride)
        super().__init__(plan, shape, after)
        pool = {"average": AveragePool2d, "max": MaxPool2d}.get(plan.downsample)
        self.shrink = None if pool is None or inner == 1 else pool(inner)
        strided = inner if pool is None else 1
        self.synapse = plan.convolution(shape[0], plan.outputs, plan.kernel, strided, generator)
        self.norm = plan.normalisation(plan.outputs)
        self.neuron = None if plan.neuron is None else plan.neurons(plan.outputs, generator)
        self.pool = MaxPool2d(plan.pool, stride=2, padding=plan.pool // 2) if plan.pool else None

    def run(self, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
        steps = len(x)
        x = x[:1] if steps > 1 and x.stride(0) == 0 else x
        current = self.synapse(x if self.shrink is None else self.shrink(x))
        current = current if len(current) == steps else current.expand(steps, *current.shape[1:])
        y, after = normalised(self.norm, current, mask), None
        if self.neuron is not None:
            y, after = self.neuron(y, state)
        return y if self.pool is None else self.pool(y), after


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameNetworkConfig(ModelConfig):
    """Base of all descriptions of networks for frames.

    Args:
        width: factor on all numbers of channels.
        neuron: description of the neurons, the same everywhere; a class or an instance of a neuron's
            ``Config``.
        norm: behind each convolution: none, batch, batch-step or tdbn, see :class:`FramePlan`.
        dropout: of the pooled features before the linear readout, tied over time.
        readout: how the answer is read from the means over each channel.
        memory: ``full``, or ``packed``: backward runs each block again from its input, kept as bits
            where it is spikes.
    """

    frames: ClassVar[bool] = True

    width: float = 1.0
    neuron: NeuronConfig = dataclasses.field(default_factory=LIF.Config)
    norm: Norm = "batch-step"
    dropout: float = 0.0
    readout: ReadoutConfig = dataclasses.field(default_factory=ReadoutConfig)
    memory: Memory = "full"

    def __post_init__(self) -> None:
        if isinstance(self.neuron, type) and issubclass(self.neuron, Neuron):
            object.__setattr__(self, "neuron", self.neuron.Config())
        if not self.width > 0:
            raise ConfigError(f"width must be above 0, got {self.width}.")
        for name, known in (("norm", get_args(Norm)), ("memory", get_args(Memory))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is one of {', '.join(known)}; got {getattr(self, name)!r}.")

    @property
    def label(self) -> str:
        """The network's name and the neuron's."""
        return f"{vars(type(self)).get('config_kind')}-{self.neuron.label}"

    def scaled(self, channels: int) -> int:
        """A number of channels times the width, at least 1."""
        return max(1, round(channels * self.width))

    def plans(self) -> tuple[BlockPlan, ...]:
        """The blocks in order; none of them knows a shape."""
        raise TypeError(f"{type(self).__name__} defines no plans.")

    def build(
        self,
        inputs: int | Shape,
        outputs: int,
        generator: torch.Generator,
        *,
        tokens: bool = False,
    ) -> Network:
        """The network for frames of shape ``inputs = (C, H, W)``; see :meth:`ModelConfig.build`.

        Raises:
            ConfigError: the input is no frame, or too small to be shrunk so often.
        """
        name = vars(type(self)).get("config_kind")
        if tokens or not isinstance(inputs, tuple | list) or len(inputs) != 3:
            raise ConfigError(
                f"Network {name} takes frames (C, H, W), and the input is "
                f"{'tokens' if tokens else f'{inputs} values a step'}.",
                "take a network of vectors: --network stack",
            )
        shape: Shape = tuple(inputs)
        shrunk = least_side(self.plans())
        if min(shape) < 1 or min(shape[1:]) < shrunk:
            raise ConfigError(
                f"Network {name} shrinks frames {shrunk} times along each axis and needs at least {shrunk} x {shrunk} "
                f"pixels of at least one channel, got (C, H, W) = {shape}.",
                "take larger frames, or a network that shrinks them less: --network conv8",
            )
        blocks: list[Any] = []
        for plan in self.plans():
            blocks.append(plan.build(shape, plan.stride, generator))
            shape = blocks[-1].shape_out
        readout = PooledReadout(shape[0], outputs, self.readout, dropout=self.dropout, generator=generator)
        return Network(blocks, readout)


def least_side(plans: tuple[BlockPlan, ...]) -> int:
    """Pixels along an axis of which one is left behind all blocks, if their strides divide it."""
    side = 1
    for plan in plans:
        side *= plan.stride
    return side
