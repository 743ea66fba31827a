"""What a run is going to take: seconds from a short trial, memory from shapes alone."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from ..core.config import config_id
from ..core.errors import RunError, SpikeworksError
from ..core.files import write_json
from ..learning.forecast import forecast
from ..tasks import Task
from .budgets import seconds_per_epoch
from .config import RunConfig
from .finish import count_parameters
from .run import Run, read_object

_FORWARD = 1 / 3
"""Part of an update's time that the same batch takes in evaluation: forward without backward."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What one run takes.

    Attributes:
        seconds: training, validation and test; early stopping is not foreseen.
        live_bytes: the most that an update holds alive at once, beside weights, the optimiser's state and the
            batch; ``None`` where shapes do not tell.
        parameters: trainable numbers.
    """

    seconds: float
    live_bytes: int | None
    parameters: int


def estimate_run(config: RunConfig, task: Task, root: str | Path = "runs") -> RunEstimate:
    """What a run takes on this machine. A few updates are timed, once for all seeds; the answer is kept in ``root``.

    Args:
        config: the run; its seed does not matter.
        task: built from the description, with its data.
        root: folder of all runs.

    Raises:
        DataError: the task's data is missing; RunError: what was kept is damaged, or cannot be written.
    """
    plain = dataclasses.replace(config, seed=0)
    folder = plain.directory(root).parent
    path = folder / f".estimate-{config_id(plain)}.json"
    if path.exists():
        try:
            return RunEstimate(**read_object(path))
        except TypeError:
            raise RunError(f"{path} is damaged.", "remove it; the run is then tried again") from None
    found = RunEstimate(
        seconds=_seconds(plain, task, folder),
        live_bytes=_live_bytes(plain, task),
        parameters=count_parameters(Run(plain).network(task)),
    )
    write_json(path, dataclasses.asdict(found))
    return found


def _seconds(config: RunConfig, task: Task, folder: Path) -> float:
    budget = config.budget
    unlimited = dataclasses.replace(config, budget=dataclasses.replace(budget, max_seconds=None))
    per_epoch = seconds_per_epoch(unlimited, task, folder)
    training = min(per_epoch * budget.epochs, budget.max_seconds or math.inf)
    updates = len(task.data("train").plan(budget.batch_size))
    looks = {split: len(task.data(split).plan(budget.batch_size)) / updates for split in ("validation", "test")}
    epochs = min(budget.epochs, math.ceil(training / per_epoch))
    return training + _FORWARD * per_epoch * (epochs * looks["validation"] + looks["test"])


def _live_bytes(config: RunConfig, task: Task) -> int | None:
    data = task.data("train")
    example = data.batch(data.plan(config.budget.batch_size)[0])
    network: Any = Run(config).network(task)
    try:
        found = forecast(network, config.method, task, tuple(example.x.shape))
    except (SpikeworksError, RuntimeError, NotImplementedError):  # what does not run without real numbers
        return None
    return None if found is None else found.live
