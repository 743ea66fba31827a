"""The loss of single steps, for methods that do not wait for the end of a sequence.

A readout that joins the steps is read at every step instead: ``mean`` as the map of the step's
own spikes, ``last`` as the same at the last step alone, ``sum`` and ``leaky`` as the sum so far,
whose earlier part counts as a constant (sheets 06 2b.4 and 08 2). All steps that count weigh the same.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ..core.batch import UNLABELLED, Batch
from ..core.errors import ConfigError
from ..layers import Readout, ReadoutState
from .base import Objective


def check_step_loss(objective: Objective, method: str, hint: str) -> None:
    """Raise ConfigError where the objective has no loss of single steps.

    Args:
        method: that needs one, by name.
        hint: what can be done.
    """
    reason = getattr(objective, "whole_loss", None)
    if reason is not None:
        raise ConfigError(f"Method {method} learns from a loss at every step, and {reason}.", hint)


def counted(readout: Readout, batch: Batch, steps: int) -> Tensor:
    """Which steps of which sequence have a loss: bool ``[T, B]``."""
    device = batch.x.device
    valid = torch.ones(steps, batch.size, dtype=torch.bool, device=device) if batch.mask is None else batch.mask
    if batch.labelled:
        return valid & (batch.target.t() >= 0)
    if readout.config.kind != "last":
        return valid
    last = valid.sum(0) - 1
    return torch.arange(steps, device=device).unsqueeze(1) == last


def step_outputs(readout: Readout, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The readout at every step.

    Args:
        x: spikes of the last layer, ``[T, B, N, ...]``.
        before: what an earlier chunk returned as second value.

    Returns:
        Outputs ``[T, B, K]``, and what the next chunk needs: the weighted sum ``[B, N + 1]`` of the inputs and of
        the weights so far where the readout has one.
    """
    config, linear = readout.config, readout.linear
    x = readout.features(x)
    if config.kind not in ("sum", "leaky"):
        return config.scale * linear(x), None
    decay = config.decay if config.kind == "leaky" else 1.0
    total = torch.zeros_like(torch.cat([x[0], x[0, :, :1]], 1)) if before is None else before
    earlier = []
    with torch.no_grad():
        for now in x.unbind(0):
            earlier.append(decay * total)
            total = earlier[-1] + torch.cat([now, torch.ones_like(now[:, :1])], 1)
    held = torch.stack(earlier)
    weight = held[..., -1:] + 1.0
    y = torch.nn.functional.linear(x + held[..., :-1], linear.weight) + weight * linear.bias
    return config.scale * y, total


class Answers:
    """What a network puts out for a sequence that is run in chunks, apart from any graph.

    Attributes:
        state: of the readout, after the chunks so far.
    """

    def __init__(self, readout: Readout, state: ReadoutState | None = None) -> None:
        self.readout, self.state = readout, state
        self._found: list[Tensor] = []

    def add(self, features: Tensor, mask: Tensor | None) -> None:
        """Read the next chunk of what reaches the readout, ``[C, B, N, ...]``."""
        with torch.no_grad():
            answer, self.state = self.readout(features.detach(), self.state, mask)
        self.take(answer)

    def take(self, answer: Tensor) -> None:
        """The readout's answer after the next chunk, where it is known already."""
        every = self.readout.config.kind == "every"
        self._found = [*self._found, answer.detach()] if every else [answer.detach()]

    def whole(self) -> Tensor:
        """For all steps so far: ``[B, K]``, or ``[T, B, K]`` with a readout of every step."""
        return torch.cat(self._found) if len(self._found) > 1 else self._found[0]


def step_loss(objective: Objective, outputs: Tensor, batch: Batch, counts: Tensor, start: int, total: int) -> Tensor:
    """This chunk's share of the mean loss over all counted steps of a batch.

    Args:
        outputs: ``[C, B, K]``, steps ``start`` to ``start + C`` of the sequence.
        counts: ``[T, B]`` bool of :func:`counted`.
        total: number of counted steps in the whole batch.
    """
    steps = slice(start, start + len(outputs))
    if batch.tokens:
        here = dataclasses.replace(batch, x=batch.x[:, steps], target=batch.target[:, steps], mask=None)
        if not bool(counts[steps].all()):  # a method has chosen some steps: they stand one after another
            outputs = outputs[counts[steps]].unsqueeze(1)
            here = dataclasses.replace(here, target=here.target.t()[counts[steps]].unsqueeze(0))
        return objective.loss(outputs, here) * (here.target.numel() / total) if len(outputs) else outputs.sum()
    if batch.labelled:
        target = batch.target[:, steps].masked_fill(~counts[steps].t(), UNLABELLED)
        here = dataclasses.replace(batch, x=batch.x[steps], target=target, mask=None)
        return objective.loss(outputs, here) * (here.count / max(total, 1))
    kept = counts[steps].clone()  # autograd keeps all of what a view looks at
    rows = int(kept.sum())
    if not rows:
        return outputs.sum() * 0.0
    target = batch.target.expand(len(outputs), *batch.target.shape)
    if rows == kept.numel():  # no index to keep for backward
        outputs, target = outputs.flatten(0, 1), target.flatten(0, 1)
    else:
        outputs, target = outputs[kept], target[kept]
    return objective.loss(outputs, dataclasses.replace(batch, target=target, mask=None)) * (rows / total)
