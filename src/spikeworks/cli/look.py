"""``list``, ``show`` and ``report``: what there is, and what came out."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import UnknownName
from .leaves import Values
from .parser import LISTS

Lines = Iterator[tuple[str, str]]


def show_list(args: argparse.Namespace, dotted: Values) -> int:
    """Names and one line for each."""
    wanted = args.what
    if wanted is not None and wanted not in LISTS:
        raise UnknownName("list", wanted, LISTS)
    if wanted == "neurons":
        _neuron_table()
        return 0
    for number, what in enumerate([wanted] if wanted else LISTS):
        if wanted is None:
            print(("\n" if number else "") + what)
        lines = list(_lines(what))
        width = max(len(name) for name, _ in lines)
        for name, about in lines:
            print(f"{'  ' if wanted is None else ''}{name:<{width}}  {about}".rstrip())
    return 0


def _neuron_table() -> None:
    """Each neuron with its states, what training changes, what a step costs and where it comes from."""
    from rich.console import Console
    from rich.table import Table

    from ..neurons.describe import card

    table = Table(box=None, padding=(0, 1))
    for head, justify in (
        ("neuron", "left"), ("states", "right"), ("trained", "left"), ("MAC", "right"), ("AC", "right"),
        ("special", "right"), ("what it is", "left"), ("source", "left"),
    ):  # fmt: skip
        table.add_column(head, justify=justify, overflow="fold", no_wrap=head in ("neuron", "MAC", "AC"))  # type: ignore[arg-type]
    from ..neurons import NEURONS

    for name in NEURONS:
        one = card(name)
        table.add_row(name, one.states, one.trained, *one.costs, one.about, one.source)
    Console(width=None if Console().is_terminal else 160).print(table)
    print(
        "MAC: multiply-adds, AC: additions and comparisons, special: divisions, roots, exponentials; a neuron and step."
    )


def _lines(what: str) -> Lines:
    if what == "tasks":
        from ..tasks import TASKS, describe

        for name in TASKS:
            about = describe(name)
            yield name, f"{about.summary}; {about.shape}"
        return
    if what == "energy-profiles":
        from ..measure import PROFILES

        for name in PROFILES:
            one = PROFILES.get(name)
            memory = f"{', '.join(tier.name for tier in one.tiers)} for words of {one.weight_bits} bits"
            yield name, f"{one.mac_pj:g} pJ a multiply-accumulate, {one.ac_pj:g} pJ an accumulate; {memory}"
        return
    registry = _registry(what)
    for name in registry:
        yield name, _first_line(registry.get(name))


def _registry(what: str) -> Any:
    if what == "neurons":
        from ..neurons import NEURONS

        return NEURONS
    if what == "networks":
        from ..models import NETWORKS

        return NETWORKS
    if what == "recipes":
        from ..recipes import RECIPES

        return RECIPES
    if what == "methods":
        from ..learning import METHODS

        return METHODS
    if what == "surrogates":
        from ..neurons import SURROGATES

        return SURROGATES
    if what == "energy-conventions":
        from ..measure import CONVENTIONS

        return CONVENTIONS
    from .. import optim

    return optim.OPTIMIZERS if what == "optimizers" else optim.SCHEDULES


def _first_line(member: Any) -> str:
    text = getattr(member, "source", None) if not inspect.isroutine(member) and not isinstance(member, type) else None
    text = text if isinstance(text, str) else inspect.getdoc(member) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("``", "")


def show(args: argparse.Namespace, dotted: Values) -> int:
    """One run in numbers, or by measures of speech."""
    if args.metrics is not None or args.dnsmos is not None:
        from .hear import hear

        return hear(args)
    from rich.console import Console

    from ..arena.store import load_run
    from ..arena.table import run_table

    Console(soft_wrap=True).print(run_table(load_run(args.run, args.out)))
    return 0


def report(args: argparse.Namespace, dotted: Values) -> int:
    """All runs as one page, or as a Markdown table."""
    if args.markdown:
        from ..arena.store import load_runs
        from ..arena.summary import summarize
        from ..arena.table import to_markdown

        print(to_markdown(summarize(load_runs(args.runs, task=args.task))), end="")
        return 0
    from ..arena.report import write_report
    from .describe import plugins

    plugins(args)
    output = args.output or Path(args.runs) / "report.html"
    print(write_report(args.runs, output, task=args.task, data_root=args.data))
    return 0
