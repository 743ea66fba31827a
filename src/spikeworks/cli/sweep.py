"""``sweep``: many settings of one run, chosen on validation."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from ..arena.sweep import Range, Sweep, option_words, sweep
from ..core import quantities
from ..core.errors import ConfigError
from .describe import described_run
from .leaves import Values
from .watch import Watch

_OWN = {"--trials": 1, "--study": 1, "--param": 1, "--sampler-seed": 1, "--no-prune": 0}


def search(args: argparse.Namespace, dotted: Values) -> int:
    """Carry out a sweep, print the best trial and the command that trains it again."""
    if not args.param:
        raise ConfigError("What is varied? Give --param NAME=LOW..HIGH, or NAME=A,B,C.", "spikeworks sweep --help")
    plan = Sweep(
        config=described_run(args, dotted),
        ranges=tuple(Range.read(text) for text in args.param),
        root=args.out,
        data_root=args.data,
        prune=not args.no_prune,
        sampler_seed=args.sampler_seed,
    )
    with Watch(args.trials, args.quiet) as watch:
        best = sweep(
            plan, args.study, args.trials, progress=watch, checkpoint_seconds=args.checkpoint_seconds,
            heard=lambda text: watch.console.print(text, markup=False),
        )  # fmt: skip
    metric = plan.config.task.build(args.data).metric
    counts = ", ".join(f"{count} {state}" for state, count in best.trials.items())
    print(f"Trials: {counts}")
    print(f"Best: trial {best.number}, validation {metric.name} {quantities.score(best.validation, None, metric.unit)}")
    for path, value in best.values.items():
        print(f"  {path} = {value}")
    print(f"Run: {best.directory}")
    print(f"Again, for instance with other seeds:\n  {shlex.join(_again(sys.argv[1:], best.values))}")
    return 0


def _again(words: Sequence[str], values: dict[str, object]) -> list[str]:
    """The same words as a single run with the values found.

    Example:
        >>> _again(["sweep", "--task", "ptb", "--trials", "9", "--param=epochs=1..3"], {"budget.epochs": 2})
        ['spikeworks', 'run', '--task', 'ptb', '--budget.epochs', '2']
    """
    kept, skip = [], 0
    for word in words[1:]:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in _OWN:
            skip = 0 if equals else _OWN[name]
        else:
            kept.append(word)
    return ["spikeworks", "run", *kept, *option_words(values)]
