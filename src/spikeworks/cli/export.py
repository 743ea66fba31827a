"""``export``: the network of a run in a form that other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from .describe import plugins
from .leaves import Values


def export(args: argparse.Namespace, dotted: Values) -> int:
    """Write the weights that a run chose on validation as a NIR file or as C, and print where."""
    plugins(args)
    from ..arena.run import Run
    from ..arena.store import load_run

    if args.weights is not None and args.target != "c":
        raise ConfigError(f"--weights {args.weights} is there for C alone.", "add --target c")
    record = load_run(args.run, args.out)
    run = Run.stored(record, args.data, else_says="cannot be exported")
    ending = ".c" if args.target == "c" else ".nir"
    target = Path(args.output or f"{record.id}{ending}")
    if target.is_dir():
        target = target / f"{record.id}{ending}"
    if args.target == "c":
        _write_c(run.trained(), target, args.weights or "float32")
        return 0
    from ..deploy import write_nir

    print(write_nir(run.trained(), target, dt=args.dt, discretisation=args.discretisation))
    return 0


def _write_c(network: Any, target: Path, weights: Any) -> None:
    from ..deploy.c import write_c

    path, made = write_c(network, target, weights=weights)
    print(f"{path}  with {path.stem}.h and {path.stem}_weights.h")
    print("\n".join(made.summary()))
