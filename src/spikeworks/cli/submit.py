"""``submit``: a run from somewhere else, checked on its way in."""

from __future__ import annotations

import argparse

from ..arena.submit import check, submit
from ..core.errors import ConfigError
from .describe import plugins
from .leaves import Values


def take_in(args: argparse.Namespace, dotted: Values) -> int:
    """Check a run directory and copy it into a folder of runs."""
    if not 0 <= args.tolerance < 1:
        raise ConfigError(f"--tolerance must be at least 0 and below 1, got {args.tolerance}.")
    plugins(args)
    target = submit(args.directory, args.to, anew=args.re_evaluate, tolerance=args.tolerance, data_root=args.data)
    for note in check(target).notes:
        print(f"Note: {note}")
    print(f"{target}: {'checked, and its score computed anew' if args.re_evaluate else 'checked'}")
    if not args.re_evaluate:
        print("A digest without a key shows accidents, not forgery; --re-evaluate computes the score from the weights.")
    return 0
