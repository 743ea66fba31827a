"""The cuts and auxiliary networks of local learning that fit a budget of memory.

What a choice keeps for a step is estimated block by block, and what remains is measured as a whole, see
:mod:`~spikeworks.learning.budget`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..core.quantities import size as show_bytes
from ..core.state import tensor_bytes
from ..measure.memory import predict
from ..models import Network
from ..models.plan import Shape
from ..optim import OptimizerConfig
from .base import Objective
from .budget import MemoryPlan, make_parts, measured, optimizer_bytes
from .decoupled import Cutting
from .partition import Segment, partition, select_exact, select_uniform
from .parts import plan_of, shape_in, shape_out, stride_to

_METERED = 16
"""Steps on which the cost of a step is measured; kernels keep states every 64 steps, which is less than a percent."""
_SHARES = 24
"""How many allowances are tried between nothing and everything."""


class Costs:
    """Bytes of the blocks of a network and of their copies, for one sequence of one step.

    Args:
        network: has blocks with plans.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._known: dict[Any, tuple[float, int, Shape]] = {}
        self.blocks = [_a_step(block, shape_in(network, i)) for i, block in enumerate(network.blocks)]

    def copy(self, q: int, shape: Shape) -> tuple[float, int, Shape]:
        """Saved bytes, bytes of weights and output shape of a copy of block ``q`` fed with ``shape``."""
        plan, stride = plan_of(self.network, q), stride_to(shape, shape_out(self.network, q))
        key = (plan, shape, stride)
        if key not in self._known:
            block = plan.build(shape, stride, torch.Generator())
            self._known[key] = _a_step(block, shape), tensor_bytes(block.parameters()), block.shape_out
        return self._known[key]


def _a_step(block: nn.Module, shape: Shape) -> float:
    """Bytes that a block keeps for one sequence of one step."""
    return predict(_Fed(block), (_METERED, 1, *shape)).saved_bytes / _METERED


class _Fed(nn.Module):
    """A block whose input was computed, so that it counts where the block keeps it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Any:
        return self.block(x.clone())


def choose(
    network: Network,
    costs: Costs,
    segments: Sequence[Segment],
    allowance: float,
    selector: str,
    weight: float = 0.0,
) -> list[tuple[int, ...]] | None:
    """The auxiliary blocks of each part such that part and auxiliary network cost at most ``allowance``.

    Args:
        allowance: bytes of one sequence and step.
        selector: ``uniform`` or ``exact``.
        weight: what a byte of a copy's weights adds to its cost.

    Returns:
        One choice a part, or ``None`` where a part alone costs more.
    """
    select = select_uniform if selector == "uniform" else select_exact
    blocks = len(network.blocks)

    def cost_at(q: int, shape: Shape) -> tuple[float, Shape]:
        saved, weights, after = costs.copy(q, shape)
        return saved + weight * weights, after

    chosen: list[tuple[int, ...]] = []
    for first, last in segments:
        room = allowance - sum(costs.blocks[first : last + 1])
        if room < -1e-6 * allowance:
            return None
        done = last == blocks - 1
        chosen.append(() if done else select(last, blocks, room, shape_out(network, last), cost_at))
    return chosen


def fit(
    network: Network,
    budget: int,
    cutting: Cutting,
    objective: Objective,
    example: Batch,
    *,
    selector: str,
    optimizer: OptimizerConfig,
    parts: int | None = None,
) -> MemoryPlan:
    """The fewest cuts whose training fits into ``budget`` bytes with an auxiliary network behind each of them.

    Where no number of cuts leaves room for that, the one with the most auxiliary blocks is taken. Of the
    lengths of a chunk the longest that fits is.

    Args:
        cutting: its chunk, where it has one, is kept.
        parts: fixed by the user, or ``None``.

    Raises:
        ConfigError: it cannot be met; the message says what is possible and what takes it.
    """
    search = _Search(network, budget, objective, example, selector, optimizer)
    blocks = len(network.blocks)
    counts = [parts] if parts is not None else range(1, blocks + 1)
    divided = [s for n in counts if len(s := partition(search.costs.blocks, n)) == n or parts is not None]
    tried = [(segments, cut) for segments in divided for cut in _cuttings(cutting, example.length)]
    best: MemoryPlan | None = None
    for segments, cut in tried:
        if search.at_least(segments, cut) > budget:
            continue
        bare = search.bare(segments, cut)
        if bare.total > budget:
            continue
        found = search.largest(segments, cut) or bare
        if all(part.chosen for part in found.parts[:-1]):
            return found
        if best is None or _chosen(found) > _chosen(best):
            best = found
    if best is not None:
        return best
    least = min((search.bare(segments, cut) for segments, cut in tried), key=lambda plan: plan.total)
    dearest = max(least.parts, key=lambda part: part.running)
    raise ConfigError(
        f"A memory of {show_bytes(budget)} is too small: the least for this network is {show_bytes(least.total)} in "
        f"{len(least.parts)} parts and chunks of {least.chunk} steps. Weights and optimiser take "
        f"{show_bytes(least.weights)}; blocks {dearest.segment[0]} to {dearest.segment[1]} take "
        f"{show_bytes(dearest.running - dearest.waiting)} while they learn, of it {show_bytes(dearest.saved)} for "
        f"backward, and {show_bytes(dearest.waiting)} for spikes at their cuts.",
        "allow more memory, take smaller batches, or an optimizer with less state",
    )


def _chosen(plan: MemoryPlan) -> int:
    return sum(len(part.chosen) for part in plan.parts)


def _cuttings(cutting: Cutting, steps: int) -> list[Cutting]:
    """``cutting`` with its own chunk, or with every length that comes into question, from the longest on."""
    if cutting.chunk is not None or cutting.window is None:
        return [cutting]
    return [dataclasses.replace(cutting, chunk=length) for length in chunk_lengths(steps, cutting.window)]


class _Search:
    """Plans of one network for one budget; parts that were measured once are remembered."""

    def __init__(
        self,
        network: Network,
        budget: int,
        objective: Objective,
        example: Batch,
        selector: str,
        optimizer: OptimizerConfig,
    ) -> None:
        self.network, self.budget, self.selector = network, budget, selector
        self.objective, self.example, self.optimizer = objective, example, optimizer_bytes(optimizer)
        self.costs = Costs(network)
        self._known: dict[Any, Any] = {}

    def plan(self, segments: Sequence[Segment], chosen: Sequence[tuple[int, ...]], cutting: Cutting) -> MemoryPlan:
        """The bytes of these parts."""
        parts = make_parts(self.network, segments, chosen)
        cutting.begin(parts, self.example)
        return measured(self.network, parts, cutting, self.objective, self.example, self.optimizer, self._known)

    def bare(self, segments: Sequence[Segment], cutting: Cutting) -> MemoryPlan:
        """Without auxiliary blocks."""
        return self.plan(segments, [()] * len(segments), cutting)

    def at_least(self, segments: Sequence[Segment], cutting: Cutting) -> float:
        """Bytes that no plan of these parts stays below: the network's weights, and what its dearest part keeps."""
        sequences = cutting.size(self.example.length) * self.example.size
        dearest = max(sum(self.costs.blocks[first : last + 1]) for first, last in segments)
        return tensor_bytes(self.network.parameters()) * (1 + self.optimizer.state) + sequences * dearest

    def largest(self, segments: Sequence[Segment], cutting: Cutting) -> MemoryPlan | None:
        """The choice of the largest allowance a part that fits; found among evenly spaced allowances."""
        whole = sum(self.costs.blocks)
        sequences = cutting.size(self.example.length) * self.example.size
        weight = (2 + self.optimizer.state) / sequences  # as bytes of a sequence and step
        low, high = 0, _SHARES
        best = None
        while low < high:
            middle = (low + high + 1) // 2
            allowance = whole * 1.5 * middle / _SHARES
            chosen = choose(self.network, self.costs, segments, allowance, self.selector, weight)
            plan = None if chosen is None else self.plan(segments, chosen, cutting)
            if plan is None or plan.total <= self.budget:
                low, best = middle, plan or best
            else:
                high = middle - 1
        return best


def chunk_lengths(steps: int, window: int | None) -> list[int]:
    """Lengths of a chunk that hold whole windows, from all steps down to one window."""
    if window is None:
        return [steps]
    lengths, size = [], steps
    while size > window:
        lengths.append(-(-size // window) * window)
        size //= 2
    return [*dict.fromkeys(lengths), window]
