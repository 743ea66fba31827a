"""How many threads small networks deserve: one, all for everything, or what the rule gives.

    python benchmarks/bench_threads.py [--threads 2 --rounds 7]

With threads that sleep while they wait (OMP_WAIT_POLICY=passive, which the command line sets because threads that spin
stop each other where several runs share the cores), waking one takes longer than a small product does. The rule is
:func:`spikeworks.kernels.threads.products_of`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch loads its threads

import contextlib
from collections.abc import Callable, Iterator
from unittest import mock

import torch
from side_by_side import Contestant, in_turns, parser, started, table, write

from spikeworks.arena.resolve import describe_run
from spikeworks.core.batch import Batch
from spikeworks.kernels import feedback
from spikeworks.layers import Recurrent
from spikeworks.learning import METHODS, Learner, Plan, descent
from spikeworks.neurons import LIF

LAYERS = ((126, 64, 64), (100, 64, 128), (100, 256, 256), (50, 256, 512))
UPDATES = (
    ("bptt", "stack", 64),
    ("bptt", "stack", 256),
    ("bptt", "gru", 128),
    ("ottt", "stack", 128),
    ("stdl", "stack", 128),
)
WAYS = ("one thread", "all threads", "by the rule")


@contextlib.contextmanager
def way(name: str, threads: int) -> Iterator[None]:
    """Run what stands inside in one of the ways."""
    torch.set_num_threads(1 if name == "one thread" else threads)
    no_rule = mock.Mock(return_value=contextlib.nullcontext())
    with contextlib.ExitStack() as stack:
        if name == "all threads":
            for module in (feedback, descent):
                stack.enter_context(mock.patch.object(module, "products_of", no_rule))
        yield
    torch.set_num_threads(threads)


def layer(steps: int, batch: int, size: int) -> Callable[[], object]:
    """Forward and backward of a recurrent layer."""
    recurrent = Recurrent(LIF(size), generator=torch.Generator().manual_seed(0))
    x = torch.randn(steps, batch, size, requires_grad=True)
    return lambda: torch.autograd.grad(recurrent(x)[0].sum(), x)


def update(method: str, network: str, hidden: int) -> Callable[[], object]:
    """An update on 64 sequences of 72 steps, as spoken digits are."""
    batch = Batch(x=torch.rand(72, 64, 40), target=torch.zeros(64, dtype=torch.int64))
    config = describe_run("seq-digits", None, network=network, hidden=(hidden, hidden))
    model = config.model.build(40, 10, torch.Generator().manual_seed(0))
    learner: Learner = METHODS.get(method)().build(model, config.task.build(), Plan.of_one(batch, config.optimizer))
    return lambda: learner.update(batch)


def main() -> None:
    """Measure, print the table, write ``threads.json``."""
    asked = parser(__doc__, rounds=7).parse_args()
    print(started(asked))
    works: dict[str, Callable[[], object]] = {}
    for steps, batch, size in LAYERS:
        works[f"recurrent LIF, T={steps} B={batch} N={size}"] = layer(steps, batch, size)
    for method, network, hidden in UPDATES:
        works[f"update: {method}, {network} {hidden}-{hidden}"] = update(method, network, hidden)

    def contestant(work: Callable[[], object], name: str) -> Contestant:
        def run() -> None:
            with way(name, asked.threads):
                work()

        return run

    rows, found = [], {}
    for what, work in works.items():
        times = in_turns({name: contestant(work, name) for name in WAYS}, asked.rounds, warmups=2)
        rows.append([what, *(f"{times.ms(name):.1f} ms" for name in WAYS), f"{times.ratio(WAYS[1], WAYS[2]):.2f}"])
        found[what] = times.to_dict()
    print(table(["", *WAYS, "all / rule"], rows))
    write(asked.out, "threads", {"times": found})


if __name__ == "__main__":
    main()
