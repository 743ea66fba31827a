"""What the probe trains: three networks for each readout, and those of the horizon curves, under equal conditions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.errors import ConfigError, UnknownName
from ..layers import ReadoutConfig
from ..learning import BPTTConfig, MethodConfig, NoTDConfig, SDBPConfig
from ..tasks import Task, TaskConfig
from .config import RunConfig
from .resolve import NeuronLike, describe_run
from .run import Run

Horizons = Literal["none", "short", "full"]
Mode = Literal["notd", "sdbp", "stbp", "credit", "memory"]
MODES: tuple[Mode, ...] = ("notd", "sdbp", "stbp")
"""The three networks, from the least of time to the whole of it."""
CURVES: tuple[Mode, ...] = ("credit", "memory")
NAMES = {"notd": "NoTD", "sdbp": "SDBP", "stbp": "STBP", "credit": "credit", "memory": "memory"}
POOLING = ("mean", "sum", "leaky")
"""Readouts that join the steps themselves."""
SPACING = {"short": 4, "full": 2}
"""Factor between two windows of a curve."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of the probe.

    Attributes:
        mode: which network.
        readout: kind of the readout.
        window: of a curve's network: steps between two cuts of credit or clearings of memory.
        reach: most steps that the answer can thus draw on; ``None`` where nothing is cut.
        config: the run.
    """

    mode: Mode
    readout: str
    config: RunConfig
    window: int | None = None
    reach: int | None = None


def plan_probe(
    task: str | TaskConfig,
    neuron: NeuronLike = "lif",
    *,
    seeds: Sequence[int] = (0, 1, 2),
    readouts: Sequence[str] | None = None,
    horizons: Horizons = "short",
    data_root: str | Path | None = None,
    change: Callable[[RunConfig], RunConfig] = lambda config: config,
) -> list[Trial]:
    """All runs of the probe, those of a seed together.

    Args:
        task: a registered name or a description.
        neuron: as for :func:`~spikeworks.arena.resolve.describe_run`.
        seeds: of weights and order; for each, all networks start from the same weights.
        readouts: kinds; ``None`` takes ``mean`` and ``last``, with a target at every step ``every``.
        horizons: ``none``; ``short``: windows a factor of 4 apart, the recipe's own readout, or the first;
            ``full``: a factor of 2, all readouts.
        data_root: folder of the real data.
        change: applied to the recipe, for instance to set epochs.

    Raises:
        UnknownName: no such task, neuron, readout or horizons.
        ConfigError: a task whose answer is neither a class nor a token, nothing to train, another method than BPTT,
            or a network or neuron that cannot be probed.
    """
    if horizons not in get_args(Horizons):
        raise UnknownName("horizons", horizons, get_args(Horizons))
    if not seeds:
        raise ConfigError("A probe needs at least one seed.")
    base = change(describe_run(task, neuron))
    built = base.task.build(data_root)
    if built.signature.kind not in ("classification", "labelling", "tokens"):
        raise ConfigError(
            f"A probe judges answers that are a class or the next token, and task {built.name} asks for a "
            f"{built.signature.kind}.",
            "its methods are there all the same: run the task with --method notd, sdbp and bptt",
        )
    kinds = readouts_for(built, readouts)
    if type(base.method) is not BPTTConfig:
        raise ConfigError(f"A probe compares NoTD, SDBP and BPTT by itself; leave out method {base.method.name}.")
    if not isinstance(getattr(base.model, "readout", None), ReadoutConfig):
        raise ConfigError(f"Network {base.model_name} has no choice of a readout, so it cannot be probed.")
    trials = [_trial(base, mode, kind) for kind in kinds for mode in MODES]
    if horizons != "none":
        steps = length(built, base.budget.batch_size)
        own = base.model.readout.kind  # type: ignore[attr-defined]
        for kind in kinds if horizons == "full" else (own,) if own in kinds else kinds[:1]:
            last = kind == "last" and built.signature.steps is not None
            for reach, window in windows(steps, SPACING[horizons], last=last):
                trials += [_trial(base, curve, kind, window, reach) for curve in CURVES]
    for trial in trials:  # what a method refuses shows before anything is trained
        Run(trial.config, data_root=data_root).network(built)
    return [
        dataclasses.replace(trial, config=dataclasses.replace(trial.config, seed=seed))
        for seed in seeds
        for trial in trials
    ]


def readouts_for(task: Task, asked: Sequence[str] | None) -> tuple[str, ...]:
    """The readouts to train with.

    Raises:
        UnknownName: no such readout for this kind of task; ConfigError: none.
    """
    every = task.signature.step_targets
    known = ("every",) if every else (*POOLING, "last")
    if asked is None:
        return known if every else ("mean", "last")
    for kind in asked:
        if kind not in known:
            raise UnknownName(f"readout for task {task.name}", kind, known)
    if not asked:
        raise ConfigError("A probe needs at least one readout.", f"for task {task.name}: {', '.join(known)}")
    return tuple(dict.fromkeys(asked))


def length(task: Task, batch_size: int) -> int:
    """Steps T of a sequence; where they differ, those of the longest in training."""
    if task.signature.steps is not None:
        return task.signature.steps
    data = task.data("train")
    return max(data.batch(item).length for item in data.plan(batch_size))


def windows(steps: int, factor: int, *, last: bool) -> list[tuple[int, int]]:
    """Pairs of reach and window between no time (reach 1) and all of it (reach ``steps``), both left out.

    Windows are counted from the first step. An answer read at the ``last`` of T steps draws on what is left of
    the last window, ``(T - 1) % K + 1`` steps; K is chosen so that this is the reach that was wanted: the reach
    itself where it divides T, else ``T - reach``, which makes one cut.

    Args:
        steps: T.
        factor: between two reaches.
        last: whether the answer is that of step T, for all sequences.

    Example:
        >>> windows(64, 4, last=True), windows(30, 2, last=True)
        ([(4, 4), (16, 16)], [(2, 2), (4, 26), (8, 22), (15, 15)])
    """
    reaches = []
    reach = factor
    while reach < steps:
        reaches.append(reach)
        reach *= factor
    if not last:
        return [(reach, reach) for reach in reaches]
    half = steps // 2
    fitting = dict.fromkeys(r if steps % r == 0 or r <= half else half for r in reaches)
    return [(r, r if steps % r == 0 else steps - r) for r in fitting if r > 1]


def _trial(base: RunConfig, mode: Mode, readout: str, window: int | None = None, reach: int | None = None) -> Trial:
    model: Any = base.model
    model = dataclasses.replace(model, readout=dataclasses.replace(model.readout, kind=readout))
    name = NAMES[mode] if reach is None else f"{NAMES[mode]} {reach}"
    label = f"{base.label or base.model_name} {name} {readout}"
    config = dataclasses.replace(base, model=model, method=_method(base.method, mode, window), label=label)
    return Trial(mode=mode, readout=readout, config=config, window=window, reach=reach)


def _method(complete: Any, mode: Mode, window: int | None) -> MethodConfig:
    if mode == "stbp":
        return complete
    kind = SDBPConfig if mode in ("sdbp", "credit") else NoTDConfig
    return kind(mixed_precision=complete.mixed_precision, window=window or 1)
