"""``export``: the network of a run in a form that other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..core.errors import RunError
from .describe import plugins
from .leaves import Values


def export(args: argparse.Namespace, dotted: Values) -> int:
    """Write the weights that a run chose on validation as a NIR file and print where."""
    plugins(args)
    from ..arena.config import RunConfig
    from ..arena.run import Run
    from ..arena.store import load_run
    from ..deploy import write_nir

    record = load_run(args.run, args.out)
    if not record.finished:
        raise RunError(f"{record.path} cannot be exported: {record.problem}.", "start the same command again")
    config = RunConfig.from_dict(record.config)
    run = Run(config, record.path.parent.parent, args.data)
    run.directory = record.path  # where it lies now, whatever the folder is called
    target = Path(args.output or f"{record.id}.nir")
    if target.is_dir():
        target = target / f"{record.id}.nir"
    print(write_nir(run.trained(), target, dt=args.dt, discretisation=args.discretisation))
    return 0
