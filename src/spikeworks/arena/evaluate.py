"""Scores and spike rates of a network on one split of a task."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..core.batch import Batch
from ..measure import RateMeter
from ..tasks import Task


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One pass over one split.

    Attributes:
        loss: mean over all targets.
        values: what the task's meter computed, the task's metric among it.
        rates: mean spikes per neuron and step of each block.
        confusion: ``[true][predicted]`` counts, where the task classifies.
    """

    loss: float
    values: dict[str, float]
    rates: list[float]
    confusion: list[list[int]] | None


def evaluate(
    network: nn.Module,
    task: Task,
    split: str,
    batch_size: int,
    device: torch.device,
    on_batch: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Run over ``split`` in natural order, in eval mode; ``on_batch`` is called before each batch."""
    data = task.data(split)
    meter = task.meter()
    total, count = 0.0, 0
    state: Any = None
    network.eval()
    with torch.no_grad(), _watched(network) as rates:
        for item in data.plan(batch_size):
            on_batch()
            batch = data.batch(item).to(device)
            if rates is not None:
                rates.mask = batch.mask
            output, state = run_network(network, batch, state)
            total += task.loss(output, batch).item() * batch.count
            count += batch.count
            meter.update(output, batch)
    confusion = getattr(meter, "confusion", None)
    return Evaluation(
        loss=total / max(count, 1),
        values=meter.compute(),
        rates=[] if rates is None else rates.rates(),
        confusion=None if confusion is None else confusion.tolist(),
    )


def run_network(network: nn.Module, batch: Batch, state: Any = None) -> tuple[torch.Tensor, Any]:
    """Forward over one batch; ``state`` is that of the batch before and counts where this one continues it."""
    arguments = () if batch.mask is None else (batch.mask,)
    return network(batch.x, None if batch.fresh else state, *arguments)


def _watched(network: nn.Module) -> contextlib.AbstractContextManager[RateMeter | None]:
    return RateMeter(network) if hasattr(network, "blocks") else contextlib.nullcontext()
