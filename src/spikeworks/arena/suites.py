"""Suites: whole tables of runs as data, and what carries them out.

A suite is a frozen description: tasks, and for each of them models and learning methods, with seeds. It is laid out
seed by seed, so that a table with one seed stands early and the later ones only narrow its intervals. All runs are
ordinary ones: what is done is read, what was cut goes on, and processes that share a folder share the work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from ..core.errors import ConfigError, DataError, RunError, SpikeworksError, TrainingDiverged, UnknownName
from ..core.registry import Registry
from ..learning import BPTTConfig, MethodConfig
from ..models import ModelConfig
from ..optim import AdamWConfig, CosineConfig, OptimizerConfig, ScheduleConfig
from ..tasks import SPLITS, TaskConfig
from .comparison import Outcome
from .config import Budget, RunConfig
from .progress import Progress
from .run import Run

Size = Literal["small", "full"]
"""Sizes of a suite: minutes to an hour on two cores, or those of the papers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entrant:
    """One model of a table.

    Attributes:
        optimizer: where it has a recipe of its own; ``None`` takes that of the part.
        label: its name in tables; ``None`` is the model's.
    """

    model: ModelConfig
    optimizer: OptimizerConfig | None = None
    label: str | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.label or self.model.label


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """One task of a suite with all that is compared on it: every entrant learns by every method."""

    task: TaskConfig
    entrants: tuple[Entrant, ...]
    methods: tuple[MethodConfig, ...] = (BPTTConfig(),)
    optimizer: OptimizerConfig = AdamWConfig()
    schedule: ScheduleConfig = CosineConfig()
    budget: Budget = Budget()

    @property
    def task_name(self) -> str:
        """The task's registered name."""
        return str(getattr(self.task, "config_kind", type(self.task).__name__))

    def runs(self, seed: int) -> Iterator[RunConfig]:
        """The runs of one seed."""
        for entrant in self.entrants:
            for method in self.methods:
                yield RunConfig(
                    task=self.task,
                    model=entrant.model,
                    method=method,
                    optimizer=entrant.optimizer or self.optimizer,
                    schedule=self.schedule,
                    budget=self.budget,
                    seed=seed,
                    label=entrant.label,
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suite:
    """A table of runs.

    Attributes:
        name, size: of the suite; ``about``: one line.
        parts: in the order in which they are carried out.
        seeds: how many, counted from 0.
    """

    name: str
    size: Size
    about: str
    parts: tuple[Part, ...]
    seeds: int = 3

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return list(dict.fromkeys(part.task_name for part in self.parts))

    @property
    def models(self) -> list[str]:
        """Names of the entrants."""
        return list(dict.fromkeys(entrant.name for part in self.parts for entrant in part.entrants))

    def only(self, tasks: Sequence[str] = (), models: Sequence[str] = ()) -> Suite:
        """Some tasks and some models of it; all of them where none is named.

        Raises:
            UnknownName: the suite has no such task, or none of these tasks has such a model.
        """
        _check_names(f"task of suite {self.name}", tasks, self.tasks)
        parts = [part for part in self.parts if not tasks or part.task_name in tasks]
        chosen = dataclasses.replace(self, parts=tuple(parts))
        _check_names(f"model of suite {self.name}", models, chosen.models)
        if models:
            entrants = [tuple(entrant for entrant in part.entrants if entrant.name in models) for part in parts]
            pairs = zip(parts, entrants, strict=True)
            parts = [dataclasses.replace(part, entrants=some) for part, some in pairs if some]
        return dataclasses.replace(self, parts=tuple(parts))

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"A suite needs at least one seed, got {self.seeds}.")

    def plan(self) -> list[RunConfig]:
        """All runs, seed by seed."""
        return [config for seed in range(self.seeds) for part in self.parts for config in part.runs(seed)]


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownName(what, name, known)


class SuiteMaker(Protocol):
    """A function from a size to the description of a suite."""

    def __call__(self, size: Size = "small") -> Suite:
        """The description."""
        ...


SUITES: Registry[SuiteMaker] = Registry("suite", "'spikeworks arena list' shows what each of them trains")
"""All suites, by name."""


def suite_for(name: str, size: str = "small") -> Suite:
    """The suite called ``name`` at a size.

    Raises:
        UnknownName: no such suite or size.
    """
    if size not in get_args(Size):
        raise UnknownName("budget of a suite", size, get_args(Size))
    return SUITES.get(name)(size)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class SuiteOutcome:
    """What became of a suite: an outcome for each run that was tried, and tasks left out, each with the reason."""

    outcomes: tuple[Outcome, ...]
    skipped: dict[str, str]


def run_suite(
    configs: Sequence[RunConfig],
    root: str | Path = "runs",
    data_root: str | Path | None = None,
    *,
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    skip: Callable[[str, SpikeworksError], None] = lambda task, reason: None,
) -> SuiteOutcome:
    """Carry out the runs of a suite; nothing that goes wrong in one stops the others.

    A task whose data is missing is left out, with the reason. A run that another process is writing is passed by.

    Args:
        configs: from :meth:`Suite.plan`.
        root: folder of all runs.
        data_root: folder of the real data.
        skip: hears of each task that is left out.

    Raises:
        Interrupted: Ctrl-C; the same call goes on from there.
    """
    progress = progress or Progress()
    outcomes: list[Outcome] = []
    skipped: dict[str, str] = {}
    for config in configs:
        if config.task_name in skipped:
            continue
        run = Run(config, root, data_root)
        try:
            outcomes.append(
                Outcome(config, run.directory, run.execute(progress, checkpoint_seconds=checkpoint_seconds))
            )
        except DataError as error:
            skipped[config.task_name] = str(error)
            skip(config.task_name, error)
        except RunError as error:  # another process writes it, or it is damaged: the others go on
            progress.failed(config, error)
        except SpikeworksError as error:
            progress.failed(config, error)
            reason = error if isinstance(error, TrainingDiverged | ConfigError) else ConfigError(str(error))
            outcomes.append(Outcome(config, run.directory, None, reason))
    return SuiteOutcome(tuple(outcomes), skipped)


def missing_data(part: Part, data_root: str | Path | None = None) -> DataError | None:
    """Why a part cannot run here; ``None`` where its data is there and whole."""
    try:
        task = part.task.build(data_root)
        for split in SPLITS:
            task.data(split)
    except DataError as error:
        return error
    return None
