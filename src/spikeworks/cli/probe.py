"""``probe``: does a task need temporal processing, and how long a memory?"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arena.probe_plan import MODES, NAMES, plan_probe
from ..core import quantities
from ..core.errors import ConfigError
from .describe import change, plugins, task_of
from .leaves import Values, leaves
from .watch import Watch

if TYPE_CHECKING:
    from ..arena.probe_run import Probe

_WIDE = 160
"""Characters a line where the output is no terminal."""


def probe(args: argparse.Namespace, dotted: Values) -> int:
    """Train the three networks, and those of the curves; print tables and verdict, write the page."""
    plugged = plugins(args)
    if args.probed is not None:
        if args.task is not None:
            raise ConfigError(f"The task is named twice: {args.probed} and --task {args.task}.")
        args.task = args.probed
    if args.method is not None:
        raise ConfigError(f"A probe compares NoTD, SDBP and BPTT by itself; leave out --method {args.method}.")
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, got {args.seeds}.")
    if not args.least > 0:
        raise ConfigError(f"--least must be above 0, got {args.least}.")
    wanted: dict[str, Any] = {
        "readouts": None if args.readouts is None else [kind.strip() for kind in args.readouts.split(",") if kind],
        "horizons": args.horizons,
        "data_root": args.data,
        "change": change(args, dotted),
    }
    task, neuron = task_of(args, dotted), args.neuron or (plugged[0] if len(plugged) == 1 else "lif")
    trials = plan_probe(task, neuron, seeds=range(args.seeds), **wanted)
    if args.describe:
        for trial in trials[: len(trials) // args.seeds]:
            print(f"# {trial.config.label}: {trial.config.directory(args.out)}")
            for name, value in leaves(trial.config):
                words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                print(f"--{name} {words}".rstrip())
        return 0
    if args.predict_memory:
        from .memory import print_memory

        return print_memory([trial.config for trial in trials[: len(trials) // args.seeds]], args.out, args.data)
    return _carry_out(args, task, neuron, len(trials), wanted)


def _carry_out(args: argparse.Namespace, task: Any, neuron: Any, runs: int, wanted: dict[str, Any]) -> int:
    from ..arena.probe_page import write_probe
    from ..arena.probe_run import probe as train_and_judge

    with Watch(runs, args.quiet) as watch:
        found = train_and_judge(
            task,
            neuron,
            seeds=args.seeds,
            least=args.least,
            root=args.out,
            progress=watch,
            checkpoint_seconds=args.checkpoint_seconds,
            **wanted,
        )
    print_probe(found)
    page = write_probe(found, args.output or Path(args.out), shlex.join(["spikeworks", *sys.argv[1:]]))
    print(f"Page: {page}")
    return 0 if any(score.test is not None for score in found.scores) else 2


def print_probe(found: Probe) -> None:
    """Scores, gains and curves as tables, and the verdict in words."""
    from rich.console import Console

    from ..arena.probe_verdict import gain_text, spoken

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    unit = found.metric.unit
    readouts = [gains.readout for gains in found.gains]
    chance = "" if found.chance is None else f", chance {quantities.percent(found.chance)}"
    table = _table("network", readouts)
    for mode in MODES:
        tests = [found.score(mode, kind).test for kind in readouts]
        cells = ["failed" if t is None else quantities.score(t.mean, t.spread, unit) for t in tests]
        table.add_row(NAMES[mode], *cells)
    console.print(f"{found.task}, {found.model}: test {found.metric.name}{chance}", style="bold", markup=False)
    console.print(table)
    table = _table("gain", readouts)
    for name, key in (("state, S − N", "state"), ("credit, T − S", "credit"), ("both, T − N", "total")):
        table.add_row(name, *(gain_text(getattr(gains, key), unit) for gains in found.gains))
    console.print("What time brings", style="bold")
    console.print(table)
    for curve in found.curves:
        reaches = [str(point.reach) for point in curve.points]
        table = _table("steps", reaches)
        tests = [point.test for point in curve.points]
        table.add_row(found.metric.name, *(quantities.score(t.mean, t.spread, unit) for t in tests))
        console.print(f"{curve.kind.capitalize()} horizon, read by {spoken(curve.readout)}", style="bold")
        console.print(table)
    console.print(found.verdict.sentence, style="bold", markup=False)
    for line in (*found.verdict.details, *found.notes):
        console.print(f"- {line}", markup=False)


def _table(first: str, columns: list[str]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
