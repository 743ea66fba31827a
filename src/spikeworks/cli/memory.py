"""``--predict-memory``: what training would keep for its backward pass, known from shapes alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from ..arena.config import RunConfig
from ..arena.run import Run
from ..core import quantities
from ..core.batch import Batch
from ..core.errors import ConfigError
from ..measure.memory import MemoryReport, predict
from ..models import FrameNetworkConfig, StackConfig
from ..models.network import Memory
from ..tasks import Task

CHOOSING = (StackConfig, FrameNetworkConfig)
"""Networks with a choice of what they keep."""


def print_memory(configs: Sequence[RunConfig], root: str, data: str | None) -> int:
    """One table a run: bytes by part of the network, for each way to keep less."""
    for number, config in enumerate(configs):
        task = config.task.build(data)
        modes = get_args(Memory) if isinstance(config.model, CHOOSING) else ("as described",)
        reports = {mode: predicted(config, task, mode) for mode in modes}
        some = next(iter(reports.values()))
        print(f"{'' if number == 0 else chr(10)}# {config.directory(root)}")
        print(f"kept for the gradient over all {some.steps:g} steps of {some.samples} sequences, float32, on the CPU")
        rows = [("part", *reports)]
        for name in some.parts:
            rows.append((name, *(quantities.size(r.parts.get(name, 0)) for r in reports.values())))
        rows.append(("total", *(quantities.size(r.saved_bytes) for r in reports.values())))
        rows.append(("parameters", *(quantities.size(r.parameter_bytes) for r in reports.values())))
        for name, *sizes in rows:
            print(f"  {name:<12}" + "".join(f"{size:>14}" for size in sizes))
        if isinstance(config.model, CHOOSING):
            print(f"  this run has --model.memory {config.model.memory}")
    return 0


def predicted(config: RunConfig, task: Task, mode: str) -> MemoryReport:
    """The memory of one training batch of a run, with another ``memory`` of its model."""
    if isinstance(config.model, CHOOSING):
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, memory=mode))
    signature, size = task.signature, config.budget.batch_size
    steps = _steps(task, size)
    tokens = signature.kind == "tokens"
    shape = (size, steps) if tokens else (steps, size, *signature.shape)

    def loss(output: Tensor) -> Tensor:
        x = torch.zeros(shape, dtype=torch.int64) if tokens else torch.zeros(shape)
        target = torch.zeros(shape if tokens else (size,), dtype=torch.int64)
        return task.loss(output, Batch(x=x, target=target))

    return predict(Run(config).network(task), shape, torch.int64 if tokens else torch.float32, loss)


def _steps(task: Task, size: int) -> int:
    """Steps of a sequence; where they differ, those of the longest training batch."""
    if task.signature.steps is not None:
        return task.signature.steps
    data = task.data("train")
    lengths = [data.batch(item).x.shape[1 if task.signature.kind == "tokens" else 0] for item in data.plan(size)]
    if not lengths:
        raise ConfigError(f"Task {task.name} has no training data to take a length from.")
    return max(lengths)
