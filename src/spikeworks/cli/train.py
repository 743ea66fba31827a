"""``run``, ``compare`` and ``quickstart``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ..arena.comparison import Comparison, run_all
from ..arena.config import RunConfig
from ..arena.distributed import first
from ..arena.report import write_records, write_report
from ..arena.run import Run
from ..arena.store import RunRecord, load_run
from ..core.config import to_dict
from ..core.errors import ConfigError
from .describe import change, described_run, plugins, task_of
from .leaves import Values, leaves
from .memory import print_memory
from .watch import Watch

_WIDE = 160
"""Characters a line where the output is no terminal."""


def run(args: argparse.Namespace, dotted: Values) -> int:
    """Train one neuron on one task, or read what was trained."""
    config = described_run(args, dotted)
    if args.describe:
        return _print_settings([config], args.out)
    if args.predict_memory:
        return print_memory([config], args.out, args.data)
    with Watch(quiet=args.quiet) as watch:
        one = Run(config, args.out, args.data)
        one.execute(watch, checkpoint_seconds=args.checkpoint_seconds)
    _print_run(one.directory)
    return 0


def compare(args: argparse.Namespace, dotted: Values) -> int:
    """Train several neurons with several seeds, print the table and write the report."""
    plugins(args)
    names, methods = _names(args.neurons), _names(args.methods)
    if methods and args.method:
        raise ConfigError(f"--methods names all that are compared; leave out --method {args.method}.")
    if not names and methods:
        names = ["lif"]
    if not names:
        raise ConfigError(
            "What is compared? Give --neurons A,B,C, --methods A,B,C, or both.",
            "spikeworks list neurons and spikeworks list methods show all",
        )
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {args.seeds}.")
    comparison = Comparison(
        task_of(args, dotted), names, args.seeds, methods=methods, budget=args.budget, change=change(args, dotted)
    )
    configs = comparison.plan(args.out, args.data)
    once = configs[: len(configs) // args.seeds]
    if args.describe:
        return _print_settings(once, args.out)
    if args.predict_memory:
        return print_memory(once, args.out, args.data)
    code, records = _carry_out(configs, args)
    page = configs[0].directory(args.out).parent / "comparison.html"
    if first():
        print(f"Report: {write_records(records, page, shlex.join(['spikeworks', *sys.argv[1:]]), args.data)}")
    return code


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def quickstart(args: argparse.Namespace, dotted: Values) -> int:
    """Four neurons on the built-in digits: table and report."""
    from ..recipes import quickstart_suite

    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {args.seeds}.")
    configs = [change(args, dotted)(config) for config in quickstart_suite(args.seeds)]
    code, _ = _carry_out(configs, args)
    page = write_report(args.out, Path(args.out) / "report.html", task=configs[0].task_name)
    print(f"Report: {page}")
    return code


def _carry_out(configs: Sequence[RunConfig], args: argparse.Namespace) -> tuple[int, list[RunRecord]]:
    """The exit code, and what was found."""
    with Watch(len(configs), args.quiet) as watch:
        outcomes = run_all(
            configs,
            args.out,
            args.data,
            progress=watch,
            checkpoint_seconds=args.checkpoint_seconds,
        )
    records = [load_run(o.directory) for o in outcomes if not isinstance(o.error, ConfigError)]
    print_table(records)
    return 0 if any(outcome.result for outcome in outcomes) else 2, records


def print_table(records: Sequence[RunRecord]) -> None:
    """The comparison of some runs, as wide as the terminal."""
    from rich.console import Console

    from ..arena.summary import summarize
    from ..arena.table import tables

    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    for table in tables(summarize(records), console.width):
        console.print(table)


def _print_run(directory: Path) -> None:
    from rich.console import Console

    from ..arena.table import run_table

    Console(soft_wrap=True).print(run_table(load_run(directory)))


def _print_settings(configs: Sequence[RunConfig], root: str) -> int:
    for number, config in enumerate(configs):
        print(f"# {config.directory(root)}")
        if number == 0 and (notes := config.task.defaults().notes):
            print(f"# {config.task_name}: {notes}")
        for name in ("method", "optimizer", "schedule"):
            print(f"--{name} {to_dict(getattr(config, name))['kind']}")
        for name, value in leaves(config):
            words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            print(f"--{name} {words}".rstrip())
    return 0
