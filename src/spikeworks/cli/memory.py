"""``--predict-memory``: what training would keep for its backward pass; ``memory``: what each method holds."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any, get_args

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
from .gradients import WIDE, announce, batch_size, chosen_methods, plain_run
from .leaves import Values

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

    like = task.random_target(steps, size, torch.Generator())

    def loss(output: Tensor) -> Tensor:
        x = torch.zeros(shape, dtype=torch.int64) if tokens else torch.zeros(shape)
        return task.loss(output, Batch(x=x, target=torch.zeros(like.shape, dtype=like.dtype)))

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


def memory(args: argparse.Namespace, dotted: Values) -> int:
    """Measure one update of every method against length and depth; print tables and write the page."""
    from ..arena.distributed import resolve_device
    from ..arena.memories import study_memory
    from ..arena.memory_page import write_memory

    config = plain_run(args, dotted)
    study = study_memory(
        config,
        chosen_methods(args.methods),
        steps=_numbers("--steps", args.steps, (25, 50, 100, 200)),
        depths=_numbers("--depths", args.depths, (2, 4, 8)),
        batch_size=batch_size(args, config),
        run=not args.foretold,
        data_root=args.data,
        device=resolve_device(config.device),
        heard=None if args.quiet else announce,
    )
    announce(None)
    print_study(study)
    subject = f"{config.model_name} on {config.task_name}"
    print(f"Page: {write_memory(study, subject, args.output, shlex.join(['spikeworks', *sys.argv[1:]]))}")
    return 0


def _numbers(option: str, given: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if given is None:
        return default
    words = [word.strip() for word in given.split(",") if word.strip()]
    if not words or any(not word.isdigit() or int(word) < 1 for word in words):
        raise ConfigError(f"{option} is a list of whole numbers from 1 on, such as 25,50,100; got {given!r}.")
    return tuple(sorted({int(word) for word in words}))


def print_study(study: Any) -> None:
    """For each axis a table: what is kept and what is alive, and how the forecast did."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ..arena.memory_page import AXES, WHAT, deviation, growth, methods_of

    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for axis, points in (("steps", study.by_steps), ("depth", study.by_depth)):
        values = sorted({getattr(point, axis) for point in points})
        for what in WHAT if points else ():
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            table.add_column("method", no_wrap=True)
            for head in (*map(str, values), "grows", "forecast off by"):
                table.add_column(head, justify="right")
            for method in methods_of(points):
                own = [point for point in points if point.method == method]
                by = {getattr(point, axis): point.best(what) for point in own}
                cells = [quantities.size(by.get(value)) for value in values]
                table.add_row(method, *cells, growth(own, axis, what), deviation(own, what))
            console.print(f"Bytes {WHAT[what]}, by {AXES[axis]}; {study.size} sequences", style="bold", markup=False)
            console.print(table)
    for note in study.notes:
        console.print(note, markup=False)
    for name, reason in study.refused.items():
        console.print(f"{name} cannot learn this network: {' '.join(reason.split())}", markup=False)
