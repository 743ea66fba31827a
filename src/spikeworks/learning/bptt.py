"""Backpropagation through time over whole batches, by autograd."""

from __future__ import annotations

import dataclasses

from torch import nn

from ..core.batch import Batch
from ..core.config import config_kind
from .base import METHODS, MethodConfig, Objective, Observer, Plan
from .descent import Descent


@METHODS.register("bptt")
@config_kind("method", "bptt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BPTTConfig(MethodConfig):
    """Backpropagation through time.

    Attributes:
        mixed_precision: bfloat16 where the device computes it natively (CUDA); parameters,
            membrane states and losses stay float32.
    """

    mixed_precision: bool = True

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> BPTT:
        """A learner for ``network``, on the device where its parameters lie."""
        return BPTT(network, objective, plan, self)


class BPTT(Descent):
    """One gradient and one optimiser step a batch."""

    def __init__(self, network: nn.Module, objective: Objective, plan: Plan, config: BPTTConfig) -> None:
        super().__init__(network, objective, plan, mixed_precision=config.mixed_precision)

    def gradients(self, batch: Batch, observe: Observer | None) -> tuple[float, int]:
        """Leave ``.grad`` on the parameters for this process' batch; returns its loss and target count."""
        if batch.size == 0:  # more processes than sequences
            return 0.0, 0
        state = self.state_for(batch)
        with self.precision():
            arguments = () if batch.mask is None else (batch.mask,)
            output, state = self.network(batch.x, state, *arguments)
            loss = self.objective.loss(output, batch)
        loss.backward()
        self.carry(state)
        if observe is not None:
            observe(output.detach(), batch)
        return loss.item(), batch.count
