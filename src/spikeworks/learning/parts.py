"""A network in parts that learn apart: each a few blocks with an auxiliary network and a head of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.credit import set_credit
from ..core.errors import ConfigError
from ..core.state import State, detach
from ..kernels.marks import bits_of
from ..kernels.packing import Packed
from ..models import Network
from ..models.network import parameter_groups
from .jacobian import Spikes
from .partition import Segment
from .stepwise import step_outputs
from .traced import AT_ONCE, TracedLayers
from .traces_cell import Traces


class PartState(NamedTuple):
    """States of a part's blocks and of the blocks of its auxiliary network."""

    blocks: tuple[State, ...]
    auxiliary: tuple[State, ...]


class Part(nn.Module):
    """Blocks ``segment`` of a network, and what tells them their loss.

    Args:
        network: shares its blocks with the part.
        segment: first and last of them.
        auxiliary: fresh blocks behind them; thrown away after training.
        readout: the head; that of the network for its last part.
        chosen: the later blocks that the auxiliary ones are like.

    Attributes:
        final: whether this is the network's last part, with its real readout.
        layers: its layers of neurons with traces, where it learns forward in time; see :meth:`trace`.
    """

    def __init__(
        self,
        network: Network,
        segment: Segment,
        auxiliary: Sequence[nn.Module],
        readout: nn.Module,
        chosen: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.segment, self.chosen = segment, chosen
        self.final = segment[1] == len(network.blocks) - 1
        self.embedding = network.embedding if segment[0] == 0 else None
        self.blocks = nn.ModuleList(network.blocks[i] for i in range(segment[0], segment[1] + 1))
        self.auxiliary = nn.ModuleList(auxiliary)
        self.dropout = network.output_dropout if self.final else None
        self.readout: Any = readout
        self.layers: TracedLayers | None = None

    def trace(self, traces: Traces, spikes: Spikes, *, chunked: bool) -> None:
        """Let its neurons keep traces of the past, for :meth:`differentiate` to count in.

        Raises:
            ConfigError: they cannot have these; says why and what can.
        """
        like = next(self.parameters())
        blocks = nn.ModuleList([*self.blocks, *self.auxiliary])
        set_credit(blocks, AT_ONCE)
        self.layers = TracedLayers(blocks, traces, spikes, like.dtype, chunked=chunked)

    def differentiate(
        self, x: Tensor, state: PartState | None, mask: Tensor | None, loss: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor | Packed | None, PartState, Tensor]:
        """Run some steps and add the gradients of the loss of what reaches the head.

        Returns:
            What leaves for the next part, as bits where it is spikes, the state, and the loss; all cut from the graph.
        """
        with contextlib.nullcontext([]) if self.layers is None else self.layers.watch() as calls:
            leaving, features, after = self.advance(x, state, mask)
        after = detach(after)
        passed = None if self.final else bits_of(leaving) or leaving.detach()
        value = loss(features)
        del x, leaving, features  # not needed any more, and backward takes as much again
        if value.requires_grad:
            value.backward()
        if self.layers is not None:
            self.layers.learn(calls, [call.y.grad for call in calls])
        return passed, after, value.detach()

    def advance(self, x: Tensor, state: PartState | None, mask: Tensor | None) -> tuple[Tensor, Tensor, PartState]:
        """Run some steps: what leaves the last block, what reaches the head, and the state."""
        before, beside = ((), ()) if state is None else state
        x = x if self.embedding is None else self.embedding(x)
        again = self.layers is None  # traces need what packed blocks would compute a second time
        leaving, blocks = _through(self.blocks, x, before, mask, again=again)
        features, auxiliary = _through(self.auxiliary, leaving, beside, mask, again=again)
        if self.dropout is not None:
            features = self.dropout(features)
        return leaving, features, PartState(blocks, auxiliary)

    def forward(self, x: Tensor, state: PartState | None = None) -> tuple[Tensor, PartState]:
        """The head's output at every step ``[T, B, K]``; what a meter of memory calls."""
        _, features, state = self.advance(x, state, None)
        return step_outputs(self.readout, features)[0], state

    def parameter_groups(self, weight_decay: float = 0.0) -> list[dict[str, Any]]:
        """Groups for the part's optimiser, as for a network."""
        return parameter_groups(self, weight_decay)

    @property
    def thrown_away(self) -> list[nn.Module]:
        """What is of no use after training: the auxiliary network and its head."""
        return [] if self.final else [self.auxiliary, self.readout]


def _through(
    blocks: nn.ModuleList, x: Tensor, states: Sequence[State], mask: Tensor | None, *, again: bool
) -> tuple[Tensor, tuple[State, ...]]:
    after = []
    for i, block in enumerate(blocks):
        run = block if again else getattr(block, "run", block)
        x, state = run(x, states[i] if states else None, mask)
        after.append(state)
    return x, tuple(after)


def check_blocks(network: nn.Module) -> Network:
    """The network, if it can be cut.

    Raises:
        ConfigError: it has no blocks, or its decoder shares the embedding's weights.
    """
    if not isinstance(network, Network) or not network.blocks:
        raise ConfigError(
            f"Local learning cuts a network between its blocks, and {type(network).__name__} has none.",
            "build it as spikeworks.models.Network of blocks, or use the method bptt",
        )
    if network.embedding is not None and network.embedding.weight is network.readout.linear.weight:
        raise ConfigError(
            "The decoder shares the weights of the embedding, which would learn from two losses that know nothing of "
            "each other.",
            "set --model.embedding.tied False",
        )
    return network


def auxiliary_network(
    network: Network, last: int, chosen: Sequence[int], generator: torch.Generator
) -> tuple[list[nn.Module], nn.Module]:
    """Fresh blocks like the later ones ``chosen``, and a head, for what block ``last`` puts out.

    A copy halves the resolution where what reaches it is finer than what the original puts out, once a block
    (sheet of AugLocal, its rule of strides).

    Raises:
        ConfigError: a block does not know how it was made.
    """
    shape = shape_out(network, last)
    blocks = []
    for q in chosen:
        plan = plan_of(network, q)
        block = plan.build(shape, stride_to(shape, shape_out(network, q)), generator)
        shape = block.shape_out
        blocks.append(block)
    return blocks, network.readout.fresh(shape, generator)


def stride_to(shape: tuple[int, ...], wanted: tuple[int, ...]) -> int:
    """2 where ``shape`` is finer than ``wanted`` in space, else 1."""
    return 2 if len(shape) > 1 and shape[-1] > wanted[-1] else 1


def plan_of(network: Network, index: int) -> Any:
    """How block ``index`` was made; see :mod:`spikeworks.models.plan`."""
    return _known(network, index, "plan")


def shape_in(network: Network, index: int) -> tuple[int, ...]:
    """What block ``index`` takes, a step and sample."""
    return _known(network, index, "shape_in")


def shape_out(network: Network, index: int) -> tuple[int, ...]:
    """What block ``index`` puts out, a step and sample."""
    return _known(network, index, "shape_out")


def _known(network: Network, index: int, name: str) -> Any:
    value = getattr(network.blocks[index], name, None)
    if value is None:
        block = type(network.blocks[index]).__name__
        raise ConfigError(
            f"Block {index} ({block}) has no {name}, so no auxiliary block can be made like it.",
            "give the block a plan as spikeworks.models.plan describes, or use heads without auxiliary blocks",
        )
    return value
