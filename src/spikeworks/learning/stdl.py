"""STDL: learning decoupled in space and time, planned for the memory at hand (arXiv 2506.01117)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from torch import nn

from ..core.batch import Batch
from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.units import parse_bytes
from ..models import Network
from . import planner
from .base import METHODS, Objective, Plan
from .budget import MemoryPlan, make_parts, measured, optimizer_bytes
from .decoupled import Decoupled
from .exchange import largest
from .local import CutConfig, build_parts, segments_of
from .partition import partition
from .parts import check_blocks
from .rehearsal import batch_of

Selector = Literal["uniform", "exact"]


@METHODS.register("stdl")
@config_kind("method", "stdl")
@dataclasses.dataclass(frozen=True, kw_only=True)
class STDLConfig(CutConfig):
    """Parts with the largest auxiliary networks that fit, and credit within a window of steps.

    Without ``memory`` the network is cut into ``count`` parts and ``ratio`` bounds what a part and its
    auxiliary network keep for backward. With it, cuts, auxiliary networks and the length of a chunk are
    planned for what training takes as a whole: weights, the optimiser's state, gradients, states, what is kept
    for backward, and the spikes that wait at the cuts.

    Attributes:
        memory: for instance ``2GB``; ``None``: by ratio.
        ratio: bound on what a part and its auxiliary network keep, as a share of what the whole network
            keeps for a step, in (0, 1]; ``None``: one half, or what the dearest part takes where that is more.
        count: number of parts; ``None``: 4 or, with few blocks, as many as there are; with ``memory``
            the fewest that fit.
        cuts: blocks after which to cut, instead.
        selector: ``uniform``: evenly spread later blocks, as many as fit; ``exact``: the largest choice of all.
    """

    window: int | None = 1
    memory: str | None = None
    ratio: float | None = None
    count: int | None = None
    cuts: tuple[int, ...] = ()
    selector: Selector = "uniform"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory is not None:
            parse_bytes(self.memory)
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ConfigError(f"STDL's ratio lies in (0, 1], got {self.ratio}.")
        if self.memory is not None and self.order != "space":
            raise ConfigError("STDL plans memory for the order space, which takes less; leave out order or memory.")

    def plan(self, network: Network, objective: Objective, plan: Plan) -> MemoryPlan:
        """Cuts, auxiliary networks and bytes for a network and the batches that it will meet.

        Of several processes each holds its share of a batch; all plan for the largest of these.

        Raises:
            ConfigError: the budget or the ratio cannot be met.
        """
        if plan.example is None:
            raise ConfigError(
                "STDL plans its memory for the size of the batches, which it was not told.",
                "give an example of a batch: Plan(..., example=batch)",
            )
        example = _resized(plan.example)
        cutting = self.cutting()
        if self.memory is not None:
            return planner.fit(
                network, parse_bytes(self.memory), cutting, objective, example,
                selector=self.selector, optimizer=plan.optimizer, parts=self.count,
            )  # fmt: skip
        costs = planner.Costs(network)
        blocks = len(network.blocks)
        count = min(4, blocks) if self.count is None else self.count
        segments = segments_of(blocks, None, self.cuts) if self.cuts else partition(costs.blocks, count)
        whole = sum(costs.blocks)
        least = max(sum(costs.blocks[a : e + 1]) for a, e in segments) / whole
        ratio = max(0.5, least) if self.ratio is None else self.ratio
        chosen = planner.choose(network, costs, segments, ratio * whole, self.selector)
        if chosen is None:
            raise ConfigError(
                f"STDL with a ratio of {ratio:g} leaves no room for the parts themselves: the dearest of "
                f"{len(segments)} keeps {least:.3f} of what the network keeps.",
                f"allow a ratio of {least:.3f} or more, or cut into more parts",
            )
        parts = make_parts(network, segments, chosen)
        cutting.begin(parts, example)
        return measured(network, parts, cutting, objective, example, optimizer_bytes(plan.optimizer))

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> Decoupled:
        """A learner for ``network`` whose notes tell the plan; raises ConfigError where none fits."""
        self.check_loss(objective)
        whole = check_blocks(network)
        found = self.plan(whole, objective, plan)
        parts = build_parts(whole, [p.segment for p in found.parts], [p.chosen for p in found.parts], plan.seed)
        chunked = self.window is not None and self.loss == "step"
        cutting = dataclasses.replace(self.cutting(), chunk=found.chunk if chunked else None)
        learner = Decoupled(whole, objective, plan, parts, cutting)
        learner.notes = [*found.lines(), *learner.notes]
        return learner


def _resized(example: Batch) -> Batch:
    """A batch like the largest that any process has; takes no memory."""
    steps, size = largest(example.length, example.size)
    x = example.x
    shape = (size, steps) if example.tokens else (steps, size, *x.shape[2:])
    return batch_of(x.new_zeros(()).expand(*shape))
