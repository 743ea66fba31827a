"""``arena``: suites, what they would take, and what came out."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from ..arena.config import RunConfig
from ..arena.estimate import estimate_run
from ..arena.plugins import load_plugin
from ..arena.run import Run
from ..arena.store import load_run
from ..arena.suites import SUITES, Suite, missing_data, run_suite, suite_for
from ..core import quantities
from ..core.errors import ConfigError, RunError, SpikeworksError
from .leaves import Values
from .train import print_table
from .watch import Watch

_WIDE = 160
"""Characters a line where the output is no terminal."""


def arena(args: argparse.Namespace, dotted: Values) -> int:
    """List suites, estimate one, or carry one out."""
    from ..recipes import RECIPES  # registers the suites

    for path in args.plugin:
        load_plugin(path, {"recipes": RECIPES, "suites": SUITES})
    if args.action == "list":
        if args.suite is not None:
            raise ConfigError(f"spikeworks arena list takes no name, got {args.suite}.")
        return _list(args.data)
    if args.suite is None:
        raise ConfigError(f"Which suite? There are {', '.join(SUITES)}.", "spikeworks arena list shows what they train")
    suite = suite_for(args.suite, args.budget)
    suite = suite.only(args.only, args.model)
    if args.seeds is not None:
        suite = dataclasses.replace(suite, seeds=args.seeds)
    configs = [_placed(config, args.device) for config in suite.plan()]
    return _estimate(suite, len(configs), args) if args.dry_run else _run(configs, args)


def _placed(config: RunConfig, device: Any) -> RunConfig:
    return config if device is None else dataclasses.replace(config, device=device)


def _list(data: str | None) -> int:
    for name in SUITES:
        small, full = suite_for(name, "small"), suite_for(name, "full")
        print(f"{name}: {small.about}")
        for suite in (small, full):
            count = len(suite.plan())
            print(f"  {suite.size:<6} {count} runs with {suite.seeds} seeds: {', '.join(suite.tasks)}")
        missing = {part.task_name: why for part in full.parts if (why := missing_data(part, data)) is not None}
        if missing:
            print(f"  data is missing for: {', '.join(missing)}")
    print("\nspikeworks arena run SUITE --dry-run shows every run with its time and memory")
    return 0


def _estimate(suite: Suite, runs: int, args: argparse.Namespace) -> int:
    """A line for each model with what is done of its seeds, and the total of what is left."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for head in ("done", "params", "time a run", "time left", "memory"):
        table.add_column(head, justify="right", no_wrap=True)
    total, largest = 0.0, 0
    notes = []
    for part in suite.parts:
        missing = missing_data(part, args.data)
        if missing is not None:
            notes.append(f"{part.task_name} is left out: {missing}")
            continue
        task = part.task.build(args.data)
        for config in (_placed(config, args.device) for config in part.runs(0)):
            done = sum(_is_done(dataclasses.replace(config, seed=seed), args.out) for seed in range(suite.seeds))
            if not args.quiet:
                print(f"trying {config.subject}", file=sys.stderr)
            try:
                found = estimate_run(config, task, args.out)
            except RunError:
                raise
            except SpikeworksError as error:
                notes.append(f"{config.subject} cannot be carried out: {error}")
                continue
            left = found.seconds * (suite.seeds - done)
            total, largest = total + left, max(largest, found.live_bytes or 0)
            table.add_row(
                _with_protocol(config), config.shown, f"{done} of {suite.seeds}", quantities.count(found.parameters),
                quantities.duration(found.seconds), quantities.duration(left), quantities.size(found.live_bytes),
            )  # fmt: skip
    console.print(table)
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    console.print(
        f"{runs} runs, about {quantities.duration(total)} left; up to {quantities.size(largest)} in an update.\n"
        "Times come from a few updates here and now, evaluation counted as a third of an update; memory is what an "
        "update holds beside weights, the optimiser's state and data.",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def _is_done(config: RunConfig, root: str) -> bool:
    return Run(config, root).result() is not None


def _with_protocol(config: RunConfig) -> str:
    protocol = getattr(config.task, "protocol", None)
    return config.task_name if protocol is None else f"{config.task_name} ({protocol})"


def _run(configs: Sequence[RunConfig], args: argparse.Namespace) -> int:
    from ..arena.site import write_site

    with Watch(len(configs), args.quiet) as watch:

        def skip(task: str, reason: SpikeworksError) -> None:
            watch.console.print(f"{task} is left out: {reason}", markup=False)

        found = run_suite(
            configs, args.out, args.data, progress=watch, checkpoint_seconds=args.checkpoint_seconds, skip=skip
        )
    records = [load_run(o.directory) for o in found.outcomes if not isinstance(o.error, ConfigError)]
    if not records:
        raise ConfigError(f"No run of the suite could be carried out: {' '.join(found.skipped.values())}")
    print_table(records)
    for task, reason in found.skipped.items():
        print(f"{task} was left out: {reason}")
    if not args.no_site and any(record.finished for record in records):
        print(f"Site: {write_site(args.out, args.site, command=shlex.join(['spikeworks', *sys.argv[1:]]))}")
    return 0 if any(outcome.result for outcome in found.outcomes) else 2
