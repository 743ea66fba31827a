"""``query``: SQL over results."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from ..arena.query import Answer, Format, cell, query, schema
from ..core.errors import UnknownName
from .leaves import Values


def ask(args: argparse.Namespace, dotted: Values) -> int:
    """Answer one query, or show the tables."""
    if args.format not in get_args(Format):
        raise UnknownName("format", args.format, get_args(Format))
    if args.sql is None:
        print(schema())
        return 0
    answer = query(args.sql, args.out)
    if args.format == "table":
        _print(answer)
    else:
        print(answer.shown(args.format), end="")
    return 0


def _print(answer: Answer) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(answer.columns):
        numbers = any(isinstance(row[place], int | float) for row in answer.rows)
        table.add_column(Text(column), justify="right" if numbers else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    count = len(answer.rows)
    print(f"{count} row{'' if count == 1 else 's'}")
