"""Several runs under equal conditions; what is done is read, what was cut goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.errors import ConfigError, TrainingDiverged, UnknownName
from ..learning import METHODS, MethodConfig
from ..tasks import TaskConfig
from .budgets import match_parameters, match_time, parameters_of
from .config import RunConfig
from .progress import Progress
from .resolve import NeuronLike, describe_run
from .run import Run

BudgetKind = Literal["params", "time"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one run: its result, or why it has none."""

    config: RunConfig
    directory: Path
    result: dict[str, Any] | None
    error: TrainingDiverged | ConfigError | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is compared: every neuron with every method, each with several seeds.

    Attributes:
        task: a registered name or a description.
        neurons: names, classes or descriptions; the first sets the budget.
        seeds: how many, counted from 0, or which.
        methods: names or descriptions of learning methods; none: that of the task's recipe.
        budget: ``params`` scales widths to the first neuron's number of parameters, ``time``
            gives all the same training seconds; ``None`` compares the same widths.
        change: applied to every description before the budget, for instance to set epochs.

    Raises:
        UnknownName: no such budget; ConfigError: there are no neurons or no seeds.

    Example:
        >>> plan = Comparison("seq-digits", ["lif", "tc-lif"], seeds=[3]).plan()
        >>> [(config.shown, config.seed) for config in plan]
        [('lif', 3), ('tc-lif', 3)]
    """

    task: str | TaskConfig
    neurons: Sequence[NeuronLike]
    seeds: int | Sequence[int] = 3
    _: dataclasses.KW_ONLY
    methods: Sequence[str | MethodConfig] = ()
    budget: BudgetKind | None = None
    change: Callable[[RunConfig], RunConfig] | None = None

    def __post_init__(self) -> None:
        if self.budget not in (None, *get_args(BudgetKind)):
            raise UnknownName("budget", str(self.budget), get_args(BudgetKind))
        if not self.neurons or not self._numbers:
            counts = f"{len(self.neurons)} and {len(self._numbers)}"
            raise ConfigError(f"A comparison needs neurons and seeds, got {counts}.")

    @property
    def _numbers(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    def plan(self, root: str | Path = "runs", data_root: str | Path | None = None) -> list[RunConfig]:
        """The runs, all of a seed together.

        Args:
            root: folder of all runs, where a budget of time keeps what it measured.
            data_root: folder of the real data.

        Raises:
            UnknownName: no such task, neuron or method; else what building them raises.
        """
        configs = [describe_run(self.task, neuron) for neuron in self.neurons]
        methods = [METHODS.get(method)() if isinstance(method, str) else method for method in self.methods]
        if methods:
            configs = [dataclasses.replace(config, method=method) for config in configs for method in methods]
        if self.change is not None:
            configs = [self.change(config) for config in configs]
        if self.budget is not None:
            built = configs[0].task.build(data_root)
            if self.budget == "params":
                target = parameters_of(configs[0], built)
                configs = [configs[0], *(match_parameters(config, built, target) for config in configs[1:])]
            else:
                configs = match_time(configs, built, configs[0].directory(root).parent)
        return [dataclasses.replace(config, seed=seed) for seed in self._numbers for config in configs]


def compare(
    task: str | TaskConfig,
    neurons: Sequence[NeuronLike],
    seeds: int | Sequence[int] = 3,
    *,
    methods: Sequence[str | MethodConfig] = (),
    root: str | Path = "runs",
    data_root: str | Path | None = None,
    budget: BudgetKind | None = None,
    change: Callable[[RunConfig], RunConfig] | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
) -> list[Outcome]:
    """Train several neurons on one task, each with every method and several seeds.

    Args:
        task, neurons, seeds, methods, budget, change: see :class:`Comparison`.
        root: folder of all runs.
        data_root: folder of the real data.
        progress: hears what happens.
        checkpoint_seconds: longest time between two checkpoints within an epoch.

    Returns:
        One outcome for each run; one that diverged is recorded and does not stop the others.

    Raises:
        UnknownName: no such task, neuron, method or budget; else what :meth:`Run.execute` raises.
    """
    configs = Comparison(task, neurons, seeds, methods=methods, budget=budget, change=change).plan(root, data_root)
    return run_all(configs, root, data_root, progress=progress, checkpoint_seconds=checkpoint_seconds)


def run_all(
    configs: Iterable[RunConfig],
    root: str | Path = "runs",
    data_root: str | Path | None = None,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
) -> list[Outcome]:
    """Carry out descriptions one after another; one that diverges or is refused does not stop the rest.

    Raises:
        ConfigError: of all descriptions none can be carried out; the first reason.
    """
    outcomes = []
    progress = progress or Progress()
    for config in configs:
        run = Run(config, root, data_root)
        try:
            result = run.execute(progress, checkpoint_seconds=checkpoint_seconds)
        except (TrainingDiverged, ConfigError) as error:
            progress.failed(config, error)
            outcomes.append(Outcome(config, run.directory, None, error))
        else:
            outcomes.append(Outcome(config, run.directory, result))
    refused = [o.error for o in outcomes if isinstance(o.error, ConfigError)]
    if refused and len(refused) == len(outcomes):
        raise refused[0]
    return outcomes
