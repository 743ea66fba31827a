"""From parsed options to the description of a run."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..arena.config import RunConfig
from ..arena.plugins import load_plugin
from ..arena.resolve import describe_network, describe_run
from ..core.errors import ConfigError, DataError
from ..learning import METHODS
from ..optim import OPTIMIZERS, SCHEDULES
from ..tasks import TaskConfig, task_for
from .leaves import Values, apply_leaves

_SHORT = {
    "epochs": "budget.epochs",
    "batch_size": "budget.batch_size",
    "patience": "budget.patience",
    "max_seconds": "budget.max_seconds",
    "learning_rate": "optimizer.learning_rate",
    "hidden": "model.hidden",
}


def described_run(args: argparse.Namespace, dotted: Values) -> RunConfig:
    """The run that ``spikeworks run`` was asked for."""
    plugged = plugins(args)
    neuron = args.neuron or (plugged[0] if len(plugged) == 1 else None)
    if args.recipe is not None:
        if args.task or args.csv:
            raise ConfigError("--recipe brings its own task; leave out --task and --csv.")
        from ..recipes import RECIPES

        recipe = RECIPES.get(args.recipe)
        config = recipe(seed=args.seed) if neuron is None else recipe(neuron, args.seed)
    else:
        if neuron is None and args.network is None:
            raise ConfigError(
                "Which neuron? Give --neuron NAME, or a network that has its own by --network NAME.",
                "spikeworks list neurons shows all",
            )
        config = describe_run(task_of(args, dotted), neuron, network=args.network, seed=args.seed)
    return dataclasses.replace(change(args, dotted)(config), label=args.label)


def task_of(args: argparse.Namespace, dotted: Values) -> TaskConfig:
    """The task, by name or as the user's own CSV file."""
    named = {"label_column": args.label_column, "id_column": args.id_column, "time_column": args.time_column}
    given = {name: value for name, value in named.items() if value is not None}
    if args.csv is not None:
        if args.task not in (None, "csv"):
            raise ConfigError(f"--csv is a task of its own; leave out --task {args.task}.")
        return task_for("csv", path=args.csv, sha256=_sha256(args.csv), **given)
    if given:
        raise ConfigError(f"--{next(iter(given)).replace('_', '-')} belongs to --csv FILE.")
    if args.task is None:
        raise ConfigError("Which task? Give --task NAME, or --csv FILE.", "spikeworks list tasks shows all")
    if args.task == "csv":
        raise ConfigError("Task csv needs a file.", "give it by --csv FILE")
    return task_for(args.task)


def _sha256(path: str) -> str | None:
    """The content is part of a run's identity: a changed file is another run."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None  # it may lie in the data directory; the task says where it looked
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error


def plugins(args: argparse.Namespace) -> list[str]:
    """Load the user's files, whatever they register; the names of the neurons among it."""
    if not args.plugin:
        return []
    from ..recipes import RECIPES

    beside = {"recipes": RECIPES}
    return [name for path in args.plugin for name in load_plugin(path, beside).get("neurons", [])]


def change(args: argparse.Namespace, dotted: Values) -> Callable[[RunConfig], RunConfig]:
    """What the options say about a description, as a function."""

    def apply(config: RunConfig) -> RunConfig:
        if args.device is not None:
            config = dataclasses.replace(config, device=args.device)
        if getattr(args, "network", None) is not None:
            neuron: Any = getattr(config.model, "neuron", None)
            model = describe_network(args.network, config.task.defaults(), neuron)
            config = dataclasses.replace(config, model=model)
        if getattr(args, "optimizer", None) is not None:
            common = _common(config.optimizer, ("learning_rate", "weight_decay", "clip"))
            config = dataclasses.replace(config, optimizer=OPTIMIZERS.get(args.optimizer)(**common))
        if getattr(args, "method", None) is not None:
            config = dataclasses.replace(config, method=METHODS.get(args.method)())
        if getattr(args, "schedule", None) is not None:
            common = _common(config.schedule, ("warmup",))
            config = dataclasses.replace(config, schedule=SCHEDULES.get(args.schedule)(**common))
        return apply_leaves(config, {**_short(args), **dotted})

    return apply


def _short(args: argparse.Namespace) -> Values:
    found: Values = {}
    for option, path in _SHORT.items():
        value = getattr(args, option, None)
        if value is not None:
            found[path] = value if isinstance(value, list) else [value]
    return found


def _common(config: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names}
