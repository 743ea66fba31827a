"""What learning methods hold in memory against the length of sequences and the depth of the network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..core.seeds import stream
from ..learning import BPTTConfig, MethodConfig, Plan
from ..learning.forecast import Forecast, forecast
from ..learning.watch import watched_update
from ..measure import LiveMemory
from ..models import ModelConfig
from ..optim import OptimizerConfig
from ..tasks import Task
from .config import RunConfig
from .run import Run


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryPoint:
    """One update by one method.

    Attributes:
        steps, depth: length of the sequences and number of blocks.
        saved, live: bytes measured, ``None`` where nothing was run; see :class:`~spikeworks.measure.LiveMemory`.
        foretold: bytes known from shapes, ``None`` for methods of which nothing is known.
    """

    method: str
    steps: int
    depth: int
    saved: int | None
    live: int | None
    foretold: Forecast | None

    def best(self, what: str) -> int | None:
        """``saved`` or ``live`` as measured, else as foretold."""
        value = getattr(self, what)
        return value if value is not None or self.foretold is None else getattr(self.foretold, what)

    def error(self, what: str) -> float | None:
        """How far the forecast lies from what was measured, as a share of that."""
        value = getattr(self, what)
        return None if not value or self.foretold is None else getattr(self.foretold, what) / value - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryStudy:
    """All points, along both axes.

    Attributes:
        by_steps, by_depth: points; the second is empty for networks whose depth cannot be chosen.
        refused: by method why it cannot learn this network.
        size: sequences of a batch.
        notes: what the reader should know.
    """

    by_steps: tuple[MemoryPoint, ...]
    by_depth: tuple[MemoryPoint, ...]
    refused: Mapping[str, str]
    size: int
    notes: tuple[str, ...]


def study_memory(
    config: RunConfig,
    methods: Mapping[str, MethodConfig],
    *,
    steps: Sequence[int] = (25, 50, 100, 200),
    depths: Sequence[int] = (2, 4, 8),
    batch_size: int = 32,
    run: bool = True,
    data_root: str | None = None,
    device: torch.device | str = "cpu",
    heard: Callable[[str], None] | None = None,
) -> MemoryStudy:
    """Measure and foretell one update of every method, on random inputs of the task's shape.

    Against depth, the sequences have the median length of ``steps``, and all blocks the width of the first.

    Args:
        config: task, network, optimiser and seed; its method does not count.
        methods: by the name that tables show.
        run: measure; else only what shapes tell.
        heard: gets what is looked at next.

    Raises:
        ConfigError: a length or depth below 1, or none of the methods can learn the network.
    """
    for name, values in (("length", steps), ("depth", depths), ("batch size", [batch_size])):
        if not values or min(values) < 1:
            raise ConfigError(f"Every {name} must be at least 1, got {', '.join(map(str, values)) or 'none'}.")
    config = dataclasses.replace(config, model=longer(config.model, max(steps)), method=BPTTConfig())
    task = config.task.build(data_root)
    middle = sorted(steps)[len(steps) // 2]
    deep = {depth: deeper(config.model, depth) for depth in depths}
    found: dict[str, list[MemoryPoint]] = {"steps": [], "depth": []}
    refused: dict[str, str] = {}
    for name, method in methods.items():
        wanted: list[tuple[str, ModelConfig, int]] = [("steps", config.model, length) for length in steps]
        wanted += [("depth", model, middle) for model in deep.values() if model is not None]
        for axis, model, length in wanted:
            if heard is not None:
                heard(f"{name}, {length} steps")
            network = Run(dataclasses.replace(config, model=model)).network(task, device)
            try:
                point = _point(name, method, network, task, length, batch_size, config, run)
            except ConfigError as error:
                refused.setdefault(name, str(error))
                break
            found[axis].append(point)
    if not found["steps"]:
        raise ConfigError(
            f"None of {', '.join(methods)} can learn this network. {next(iter(refused.values()))}",
            "spikeworks list methods shows all",
        )
    notes = [f"Against depth, sequences have {middle} steps, and all blocks the width of the first."]
    if any(model is None for model in deep.values()):
        notes = ["The depth of this network cannot be chosen; take --network stack or --network conv to see it."]
    return MemoryStudy(
        by_steps=tuple(found["steps"]),
        by_depth=tuple(found["depth"]),
        refused=refused,
        size=batch_size,
        notes=tuple(notes),
    )


def _point(
    name: str,
    method: MethodConfig,
    network: nn.Module,
    task: Task,
    steps: int,
    size: int,
    config: RunConfig,
    run: bool,
) -> MemoryPoint:
    batch = random_batch(task, steps, size, config.seed).to(next(network.parameters()).device)
    foretold = forecast(network, method, task, batch.x.shape)
    seen = update_memory(network, method, task, batch, config.optimizer, config.seed) if run else None
    return MemoryPoint(
        method=name,
        steps=steps,
        depth=len(getattr(network, "blocks", ())),
        saved=None if seen is None else seen.saved_peak,
        live=None if seen is None else seen.live_peak,
        foretold=foretold,
    )


def update_memory(
    network: nn.Module, method: MethodConfig, task: Task, batch: Batch, optimizer: OptimizerConfig, seed: int = 0
) -> LiveMemory:
    """What the second update of a copy of ``network`` holds, beside weights, optimiser and batch."""
    twin = copy.deepcopy(network)
    method.prepare(twin)
    learner = method.build(twin, task, Plan.of_one(batch, optimizer, seed))
    learner.update(batch)
    return watched_update(learner, batch)


def random_batch(task: Task, steps: int, size: int, seed: int = 0) -> Batch:
    """Inputs of a task's shape and of any length: uniform numbers, or random tokens."""
    signature, source = task.signature, stream(seed, "memory")
    if signature.kind == "tokens":
        x: Tensor = torch.randint(signature.outputs, (size, steps), generator=source)
    else:
        x = torch.rand(steps, size, *signature.shape, generator=source)
    labelled = signature.kind == "labelling"
    return Batch(x=x, target=task.random_target(steps, size, source), labelled=labelled)


def longer(model: ModelConfig, steps: int) -> ModelConfig:
    """``model``, with what is made for a longest sequence made for ``steps`` at least."""
    described: Any = model
    changes: dict[str, Any] = {}
    if getattr(described, "norm_steps", None):
        changes["norm_steps"] = max(described.norm_steps, steps)
    longest = getattr(getattr(described, "neuron", None), "steps", None)
    if isinstance(longest, int):
        changes["neuron"] = dataclasses.replace(described.neuron, steps=max(longest, steps))
    return dataclasses.replace(described, **changes) if changes else model


def deeper(model: ModelConfig, depth: int) -> ModelConfig | None:
    """``model`` with ``depth`` blocks like its first; ``None`` where it has no such choice."""
    described: Any = model
    repeated = ("hidden", "recurrent") if hasattr(model, "hidden") else ("channels", "strides")
    if not isinstance(getattr(described, repeated[0], None), tuple):
        return None
    changes = {name: (getattr(described, name)[0],) * depth for name in repeated if getattr(described, name)}
    if "strides" in changes:
        changes["strides"] = (1,) * depth
    return dataclasses.replace(described, **changes)
