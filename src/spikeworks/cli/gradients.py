"""``gradients``: what every learning method keeps of the full gradient."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from typing import Any

from ..arena.config import RunConfig
from ..core.errors import ConfigError
from ..learning import METHODS, BPTTConfig, MethodConfig
from ..learning.terms import TERMS
from .describe import described_run, plugins
from .leaves import Values

LARGEST = 32
"""Sequences of a batch where nobody says."""
MOST = 8
"""Layers up to which a terminal gets lengths beside cosines."""
WIDE = 160
"""Characters a line where the output is no terminal."""


def gradients(args: argparse.Namespace, dotted: Values) -> int:
    """Print the table of one network, or of a run before and after training, and write the page."""
    from ..arena.distributed import resolve_device
    from ..arena.gradient_page import write_gradients
    from ..arena.gradients import study_gradients
    from ..arena.run import Run

    run = None if args.trained is None else _trained(args, dotted)
    config = plain_run(args, dotted) if run is None else run.config
    methods = chosen_methods(args.methods)  # a plugin may have brought some of them
    start = Run(dataclasses.replace(config, method=BPTTConfig()), args.out, args.data)
    task = config.task.build(args.data)
    device = resolve_device(config.device)
    networks = {f"untrained, seed {config.seed}": start.network(task, device)}
    if run is not None:
        networks[f"trained: {run.directory.name}"] = run.trained(task, device)
    studies = [
        study_gradients(
            network,
            task,
            methods,
            batches=args.batches,
            batch_size=batch_size(args, config),
            seed=config.seed,
            title=title,
            heard=None if args.quiet else announce,
        )
        for title, network in networks.items()
    ]
    announce(None)
    for study in studies:
        print_gradients(study)
    subject = f"{config.model_name} on {config.task_name}"
    print(f"Page: {write_gradients(studies, subject, args.output, shlex.join(['spikeworks', *sys.argv[1:]]))}")
    return 0


def chosen_methods(given: str | None) -> dict[str, MethodConfig]:
    """Methods by name with their default settings; all where none are named."""
    if given is None:
        names = list(dict.fromkeys([*(name for name in TERMS if name in METHODS), *METHODS.names()]))
    else:
        names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise ConfigError("--methods names none.", "spikeworks list methods shows all")
    return {name: METHODS.get(name)() for name in names}


def plain_run(args: argparse.Namespace, dotted: Values) -> RunConfig:
    """The run whose network is looked at; how it would be trained is no part of the question."""
    size, args.batch_size = args.batch_size, None
    for path in dotted:
        if path.partition(".")[0] not in ("task", "model"):
            raise ConfigError(f"--{path} changes how a run is trained, which is not asked here; leave it out.")
    config = described_run(args, dotted)
    args.batch_size = size
    return config


def batch_size(args: argparse.Namespace, config: RunConfig) -> int:
    """Sequences of a batch: as many as asked for, else the recipe's, but not many."""
    if args.batch_size is None:
        return min(config.budget.batch_size, LARGEST)
    if not str(args.batch_size).isdigit() or int(args.batch_size) < 1:
        raise ConfigError(f"--batch-size is a number of sequences from 1 on, got {args.batch_size}.")
    return int(args.batch_size)


def _trained(args: argparse.Namespace, dotted: Values) -> Any:
    """The run called for, with its own task and network."""
    from ..arena.run import Run
    from ..arena.store import load_run

    given = [f"--{name}" for name in ("task", "csv", "neuron", "recipe", "network", "hidden") if getattr(args, name)]
    given += [f"--{name}" for name in dotted]
    if given:
        raise ConfigError(f"--trained brings its own task and network; leave out {', '.join(given)}.")
    plugins(args)
    return Run.stored(load_run(args.trained, args.out), args.data, else_says="has no trained network")


def announce(name: str | None) -> None:
    """Say on a terminal which method is at work; ``None`` clears the line."""
    if sys.stderr.isatty():
        print("\r\033[K" + ("" if name is None else f"{name} ..."), end="", file=sys.stderr, flush=True)


def print_gradients(study: Any) -> None:
    """One table: cosine and ratio of lengths of every method and layer."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ..arena.gradient_page import about, figure_of, loss_name

    many = len(study.layers) > MOST
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("loss of", no_wrap=True)
    for layer in study.layers:
        table.add_column(layer.replace("block ", "") if many else layer, justify="right", no_wrap=True)
    for name in study.methods:
        rows = [study.rows[name, layer] for layer in study.layers]
        lengths = ["" if many else f" × {figure_of(row.ratio)}".replace(" ", "\xa0") for row in rows]
        cells = [figure_of(row.cosine) + length for row, length in zip(rows, lengths, strict=True)]
        table.add_row(name, loss_name(study.losses[name]), *cells)
    console.print(f"{study.title}: {about(study)}", style="bold", markup=False)
    console.print(table)
    shown = "cosine; lengths stand on the page" if many else "cosine × ratio of lengths"
    console.print(f"{shown}; of each method's gradient and that of BPTT for the same loss")
    for name, reason in study.refused.items():
        console.print(f"{name} cannot learn this network: {' '.join(reason.split())}", markup=False)
