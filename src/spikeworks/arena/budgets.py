"""Equal conditions: the same number of parameters, or the same training time, for every model."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.batch import Batch
from ..core.config import config_id
from ..core.errors import ConfigError, RunError
from ..core.files import write_json
from ..core.seeds import stream
from ..learning import Plan
from ..models import StackConfig
from ..tasks import Task
from .config import RunConfig
from .distributed import resolve_device
from .finish import count_parameters
from .run import Run, read_object

TOLERANCE = 0.02
"""Largest relative difference of parameter counts."""
_WARM, _TIMED = 2, 6


def match_parameters(config: RunConfig, task: Task, target: int) -> RunConfig:
    """``config`` with its widths scaled so that it has ``target`` parameters, within 2 %.

    All widths get one common factor, found by bisection, then single widths are moved by up to two.
    The last width stays where it is tied to an embedding.

    Raises:
        ConfigError: the model has no widths, or none come close enough.
    """
    model = config.model
    if not isinstance(model, StackConfig):
        raise ConfigError(f"Widths of {type(model).__name__} are not known.", "budget 'params' works with stacks")
    tied = model.embedding is not None and model.embedding.tied

    def scaled(factor: float) -> StackConfig:
        widths = [max(1, round(width * factor)) for width in model.hidden]
        if tied:
            widths[-1] = model.hidden[-1]
        return dataclasses.replace(model, hidden=tuple(widths))

    def missed(candidate: StackConfig) -> int:
        return parameters_of(dataclasses.replace(config, model=candidate), task) - target

    low, high = 0.0, 1.0
    while missed(scaled(high)) < 0 and high < 64:
        high *= 2
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if missed(scaled(middle)) < 0 else (low, middle)
    best = min((scaled(low), scaled(high)), key=lambda m: abs(missed(m)))
    if abs(missed(best)) > TOLERANCE * target:
        best = min(_neighbours(best, len(best.hidden) - tied), key=lambda m: abs(missed(m)))
    if abs(missed(best)) > TOLERANCE * target:
        raise ConfigError(
            f"No widths like {model.hidden} give {config.shown} the {target} parameters that the first model has; "
            f"the nearest, {best.hidden}, miss them by {missed(best):+d}.",
            "begin with wider layers, for instance --model.hidden 64 64",
        )
    return dataclasses.replace(config, model=best)


def _neighbours(model: StackConfig, free: int) -> Iterator[StackConfig]:
    """All stacks whose first three ``free`` widths differ by at most two."""
    for moves in itertools.product(range(-2, 3), repeat=min(free, 3)):
        widths = [max(1, width + by) for width, by in itertools.zip_longest(model.hidden, moves, fillvalue=0)]
        yield dataclasses.replace(model, hidden=tuple(widths))


def parameters_of(config: RunConfig, task: Task) -> int:
    """Trainable parameters of the network of a run."""
    return count_parameters(Run(config).network(task))


def match_time(configs: list[RunConfig], task: Task, folder: Path) -> list[RunConfig]:
    """``configs`` with one common limit of training seconds, and as many epochs as fit into it.

    The limit is what the first description allows or, where it sets none, the time that its
    epochs take by a short trial. Trials are kept in ``folder``, so that the same comparison
    started again means the same runs.
    """
    seconds = [seconds_per_epoch(config, task, folder) for config in configs]
    limit = configs[0].budget.max_seconds or _rounded(seconds[0] * configs[0].budget.epochs)
    return [
        dataclasses.replace(
            config,
            budget=dataclasses.replace(config.budget, max_seconds=limit, epochs=max(1, math.ceil(limit / each))),
        )
        for config, each in zip(configs, seconds, strict=True)
    ]


def seconds_per_epoch(config: RunConfig, task: Task, folder: Path) -> float:
    """Training seconds of an epoch, by a short trial that ``folder`` remembers."""
    plain = dataclasses.replace(config, seed=0)
    path = folder / f".time-{config_id(plain)}.json"
    if path.exists():
        try:
            return float(read_object(path)["seconds_per_epoch"])
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{path} is damaged.", "remove it; the speed is then measured again") from None
    measured = _time_updates(plain, task)
    write_json(path, {"seconds_per_epoch": measured})
    return measured


def _time_updates(config: RunConfig, task: Task) -> float:
    """Seconds of an epoch, from the median of a few updates after warm-up."""
    device = resolve_device(config.device)
    data = task.data("train")
    items = data.plan(config.budget.batch_size, stream(config.seed, "order", 1))
    plan = Plan(
        optimizer=config.optimizer,
        schedule=config.schedule,
        steps_per_epoch=len(items),
        epochs=config.budget.epochs,
        example=data.batch(items[0]),
    )
    learner = config.method.build(Run(config).network(task, device), task, plan)
    spent: list[float] = []
    for index in range(_WARM + _TIMED):
        began = time.perf_counter()
        batch: Batch = data.batch(items[index % len(items)]).to(device)
        learner.update(dataclasses.replace(batch, fresh=True), _ignore)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[_WARM:]) * len(items)


def _ignore(output: Any, batch: Batch) -> None:
    """The meter's place."""


def _rounded(seconds: float) -> float:
    """Three significant digits: nobody wants to read more."""
    return float(f"{seconds:.3g}")
