"""``site``: all runs as a folder of pages."""

from __future__ import annotations

import argparse
import shlex
import sys

from .leaves import Values


def site(args: argparse.Namespace, dotted: Values) -> int:
    """Write the site and print its first page."""
    from ..arena.site import write_site

    command = shlex.join(["spikeworks", *sys.argv[1:]])
    print(write_site(args.runs, args.out, command=command, portraits=not args.no_portraits))
    return 0
