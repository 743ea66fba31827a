"""Methods that cut a network in space: local heads, AugLocal and, without a cut, truncated BPTT."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import nn

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.seeds import stream
from ..models import Network
from .base import METHODS, MethodConfig, Objective, Plan
from .decoupled import Cutting, Decoupled, Loss, Order
from .jacobian import Spikes
from .partition import Segment, equal_parts, evenly_after, from_cuts, pyramid
from .parts import Part, auxiliary_network, check_blocks
from .stepwise import check_step_loss
from .traces_cell import Traces

Heads = Literal["linear", "random"]


def build_parts(
    network: Network,
    segments: list[Segment],
    chosen: list[tuple[int, ...]],
    seed: int,
    *,
    heads: Heads = "linear",
) -> list[Part]:
    """Parts of a network with auxiliary networks like the blocks ``chosen`` for all but the last.

    Args:
        seed: of the run; auxiliary weights depend on it and on the number of the part.
        heads: ``linear`` learn, ``random`` ones stay as they start.
    """
    like = next(network.parameters())
    parts = []
    for index, segment in enumerate(segments[:-1]):
        blocks, head = auxiliary_network(network, segment[1], chosen[index], stream(seed, "auxiliary", index))
        head.requires_grad_(heads == "linear")
        fresh = [module.to(like.device, like.dtype) for module in (*blocks, head)]
        parts.append(Part(network, segment, fresh[:-1], fresh[-1], chosen[index]))
    return [*parts, Part(network, segments[-1], (), network.readout)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutConfig(MethodConfig):
    """Base of the methods of :class:`~spikeworks.learning.decoupled.Decoupled`.

    Attributes:
        window, chunk, loss, order, traces, spikes: see :class:`~spikeworks.learning.decoupled.Cutting`.
    """

    window: int | None = None
    chunk: int | None = None
    loss: Loss = "step"
    order: Order = "space"
    traces: Traces = "none"
    spikes: Spikes = "neuron"

    def __post_init__(self) -> None:
        self.cutting()

    def cutting(self) -> Cutting:
        """What these settings say about time."""
        return Cutting(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Cutting)})

    def check_loss(self, objective: Objective) -> None:
        """Raise ConfigError where it wants the loss of every step and there is none."""
        if self.loss == "step":
            check_step_loss(objective, self.name, "use the method bptt, or set loss sequence and chunk None")

    def divide(self, network: Network, plan: Plan) -> list[Part]:
        """The network in parts."""
        raise TypeError(f"{type(self).__name__} defines no parts.")

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> Decoupled:
        """A learner for ``network``.

        Raises:
            ConfigError: the network has no blocks, or none of which others can be made; or the objective has no loss
                of single steps, and this method needs one.
        """
        self.check_loss(objective)
        return Decoupled(network, objective, plan, self.divide(check_blocks(network), plan), self.cutting())


@METHODS.register("tbptt")
@config_kind("method", "tbptt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncatedConfig(CutConfig):
    """Truncated BPTT: credit within windows of steps, memory of one chunk of them.

    A window of 1 is SLTT (arXiv 2302.14311), one of all steps BPTT with the loss of every step.
    """

    window: int | None = 16
    chunk: int | None = 16

    def divide(self, network: Network, plan: Plan) -> list[Part]:
        return [Part(network, (0, len(network.blocks) - 1), (), network.readout)]


@METHODS.register("local")
@config_kind("method", "local")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LocalConfig(CutConfig):
    """A head behind every cut and nothing else: local learning in the manner of DECOLLE (Kaiser et al. 2020).

    Attributes:
        count: number of parts of as many blocks each; ``None``: every block is one.
        cuts: blocks after which to cut, instead.
        heads: ``linear`` heads learn; ``random`` ones stay as they start, as in DECOLLE.
    """

    window: int | None = 1
    count: int | None = None
    cuts: tuple[int, ...] = ()
    heads: Heads = "linear"

    def divide(self, network: Network, plan: Plan) -> list[Part]:
        segments = segments_of(len(network.blocks), self.count, self.cuts)
        return build_parts(network, segments, [()] * len(segments), plan.seed, heads=self.heads)


@METHODS.register("auglocal")
@config_kind("method", "auglocal")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AugLocalConfig(CutConfig):
    """AugLocal (arXiv 2402.17318): every block learns from a copy of a few later ones, evenly chosen.

    The last ``depth + 1`` blocks and the readout are one part. In time it is BPTT, unless a window is set.

    Attributes:
        depth: blocks of the first auxiliary network, at least 1.
        slope: how fast the depth falls towards the output, in [0, 1]; 0: not at all.
        cut_all: cut after every block (the ImageNet form of the source), instead of leaving the last part whole.
    """

    loss: Loss = "sequence"
    depth: int = 2
    slope: float = 0.5
    cut_all: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1 or not 0 <= self.slope <= 1:
            raise ConfigError(
                f"AugLocal needs a depth of at least 1 and a slope in [0, 1], got {self.depth} and {self.slope}.",
                "method local has heads without auxiliary blocks",
            )

    def divide(self, network: Network, plan: Plan) -> list[Part]:
        blocks = len(network.blocks)
        modules = blocks if self.cut_all else max(1, blocks - self.depth)
        segments = from_cuts(blocks, range(modules - 1))
        depths = pyramid(self.depth, modules - 1, self.slope)
        chosen = [evenly_after(e, blocks, d) for (_, e), d in zip(segments[:-1], depths, strict=True)]
        return build_parts(network, segments, [*chosen, ()], plan.seed)


def segments_of(blocks: int, parts: int | None, cuts: tuple[int, ...]) -> list[Segment]:
    """Segments by explicit cuts, by a number of parts, or one a block."""
    if cuts:
        return from_cuts(blocks, cuts)
    return equal_parts(blocks, blocks if parts is None else parts)
