"""Pieces of an update run on fake tensors, which have shapes and no memory, under the meter of real updates.

Nothing is computed, nothing is learnt, and nothing changes: what a part of a network holds at once is
known before any memory is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..core.state import state_bytes
from ..measure.live import LiveMemory, watch_memory
from ..measure.untouched import untouched
from .base import Objective
from .parts import Part
from .stepwise import step_outputs


class UnforeseeableError(ConfigError):
    """What is held depends on the numbers, so that shapes do not tell it."""


def rehearse(run: Callable[[Tensor], Any], module: nn.Module, like: Tensor) -> LiveMemory:
    """What ``run``, which uses the weights of ``module`` in train mode, would hold on an input like ``like``.

    Raises:
        UnforeseeableError: the code asks for the numbers in a tensor, as CTC does.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    called = _Called(module, run)
    with untouched(module):
        module.train()
        values: dict[str, Tensor] = {
            name: fake.from_tensor(t) for name, t in (*called.named_parameters(), *called.named_buffers())
        }
        with fake, torch.enable_grad():
            x = torch.empty(like.shape, dtype=like.dtype, device=like.device)
            with watch_memory([x, *values.values()]) as seen:
                try:
                    torch.func.functional_call(called, values, (x,))
                except (DataDependentOutputException, DynamicOutputShapeException) as error:
                    raise UnforeseeableError(
                        f"What an update holds cannot be known from shapes: {error.func} reads the numbers.",
                        "methods that plan their memory cannot learn this task; use bptt or auglocal",
                    ) from error
    return seen


class _Called(nn.Module):
    """A function as the forward pass of a module, whose weights it uses."""

    def __init__(self, module: nn.Module, run: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.module, self.run = module, run

    def forward(self, x: Tensor) -> None:
        self.run(x)


def rehearse_part(
    part: Part, objective: Objective, x: Tensor, lengths: Sequence[int], *, sequence_loss: bool, words: bool
) -> tuple[LiveMemory, int, int]:
    """What a part holds while it runs and differentiates chunks, and the bytes of states and of traces behind them.

    Args:
        part: of a network that learns in parts.
        objective: its loss counts.
        x: an input of the longest chunk, of which only shape and dtype count.
        lengths: of the chunks, in order; the second one meets what the first has left.
        sequence_loss: the loss of the answer instead of that of every step.
        words: whether every step has a target of its own.
    """
    held = [0, 0]
    tokens = not x.is_floating_point()

    def run(x: Tensor) -> None:
        state: Any = None
        if part.layers is not None:
            part.layers.begin()
        for length in lengths:
            given = x[:, :length] if tokens else x[:length]
            unpacked = part.segment[0] > 0  # from its bits
            passed, state, _ = part.differentiate(given.clone() if unpacked else given, state, None, loss)
            del passed
        held[0] = state_bytes(state)
        if part.layers is not None:
            held[1] = part.layers.held_bytes()
            part.layers.begin()

    def loss(features: Tensor) -> Tensor:
        if sequence_loss:
            output, _ = part.readout(features, None, None)
            return objective.loss(output, batch_for(objective, features))
        return loss_of_steps(objective, step_outputs(part.readout, features)[0], words=words)

    seen = rehearse(run, part, x)
    return seen, held[0], held[1]


def loss_of_steps(objective: Objective, outputs: Tensor, *, words: bool) -> Tensor:
    """The loss of every step, for outputs ``[C, B, K]`` and targets of zeros."""
    if words:
        return objective.loss(outputs, batch_of(outputs.new_zeros(outputs.shape[1::-1], dtype=torch.int64)))
    rows = outputs.flatten(0, 1).clone()  # learners pick the steps that count
    return objective.loss(rows, Batch(x=rows, target=rows.new_zeros(len(rows), dtype=torch.int64)))


def two_chunks(steps: int, chunk: int) -> list[int]:
    """Lengths of the first two chunks, of the one that there is where all steps fit into it."""
    return [length for length in (min(chunk, steps), min(chunk, steps - chunk)) if length > 0]


def steps_have_targets(network: nn.Module, objective: Objective) -> bool:
    """Whether every step has a target of its own: for words always, else where the objective says so."""
    return getattr(network, "embedding", None) is not None or getattr(objective, "step_targets", False)


def batch_for(objective: Objective, x: Tensor) -> Batch:
    """An input with a target that the objective takes."""
    if x.is_floating_point() and getattr(objective, "step_targets", False):
        return Batch(x=x, target=zeros(x.shape[1::-1]))
    if getattr(objective, "whole_loss", None) is None:
        return batch_of(x)
    target = objective.random_target(x.shape[0], x.shape[1], torch.Generator())  # type: ignore[attr-defined]
    return Batch(x=x, target=target)


def batch_of(x: Tensor) -> Batch:
    """An input, floats ``[T, B, ...]`` or ids ``[B, T]``, with zeros for targets."""
    return Batch(x=x, target=zeros(x.shape if not x.is_floating_point() else x.shape[1:2]))


def zeros(shape: Sequence[int]) -> Tensor:
    """Targets that take no memory."""
    return torch.zeros((), dtype=torch.int64).expand(*shape)
