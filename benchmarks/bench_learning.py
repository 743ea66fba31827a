"""Memory and time of learning methods on a spiking ResNet-18 at the size of ImageNet.

    python benchmarks/bench_learning.py [--size 224 --steps 4 --batch 2 --rounds 3]

One update each on random frames: the most that autograd keeps at once, the most that is alive at once (weights,
optimiser and batch not counted, gradients counted), the time of an update, and for STDL what its planner foretold.
Exact backpropagation in packed form is the honest rival: the same gradient as BPTT, blocks run again in backward.
"""

from __future__ import annotations

from typing import Any

import torch
from side_by_side import in_turns, parser, started, table, write
from torch import Tensor, nn

from spikeworks.core.batch import Batch
from spikeworks.learning import (
    AugLocalConfig,
    BPTTConfig,
    LocalConfig,
    MethodConfig,
    Plan,
    STDLConfig,
    TruncatedConfig,
)
from spikeworks.learning.decoupled import Decoupled
from spikeworks.learning.watch import watched_update
from spikeworks.models import Network
from spikeworks.models.resnet import ResNet18Config
from spikeworks.optim import SGDConfig

HERE = "bench_learning"
CLASSES = 1000
METHODS: dict[str, tuple[str, MethodConfig]] = {
    "BPTT": ("full", BPTTConfig()),
    "BPTT, packed blocks": ("packed", BPTTConfig()),
    "SLTT (a step at once)": ("full", TruncatedConfig(window=1, chunk=1)),
    "local heads": ("full", LocalConfig(window=1, chunk=1)),
    "AugLocal, depth 2, all steps": ("full", AugLocalConfig(depth=2)),
    "STDL, 4 parts, ratio 0.4": ("full", STDLConfig(count=4, ratio=0.4, chunk=1)),
    "STDL, 4 parts, ratio 0.6": ("full", STDLConfig(count=4, ratio=0.6, chunk=1)),
    "STDL, 7 parts, ratio 0.4, exact": ("full", STDLConfig(count=7, ratio=0.4, chunk=1, selector="exact")),
    "STDL, 4 parts, ratio 0.4, packed": ("packed", STDLConfig(count=4, ratio=0.4, chunk=1)),
}


class CrossEntropy:
    """The loss of class scores."""

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean over the batch."""
        return nn.functional.cross_entropy(output, batch.target)


def network(memory: Any, size: int) -> Network:
    """A ResNet-18 with spiking blocks and the stem for large images."""
    config = ResNet18Config(stem="pooled" if size > 64 else "small", memory=memory)
    return config.build((3, size, size), CLASSES, torch.Generator().manual_seed(0))


def frames(size: int, steps: int, batch: int) -> Batch:
    """Random frames that differ at every step, so that none is computed once for all."""
    x = torch.rand(steps, batch, 3, size, size, generator=torch.Generator().manual_seed(1))
    return Batch(x=x, target=torch.arange(batch) % CLASSES)


def measure(keep: str, method: MethodConfig, data: Batch, size: int) -> tuple[Any, dict[str, Any]]:
    """A learner, and the peaks of one of its updates."""
    plan = Plan.of_one(data, SGDConfig(learning_rate=0.1, momentum=0.9))
    learner: Any = method.build(network(keep, size), CrossEntropy(), plan)
    learner.update(data)
    seen = watched_update(learner, data)
    foretold = method.plan(learner.network, learner.objective, plan).saved if isinstance(method, STDLConfig) else None
    parts = [part.chosen for part in learner.parts] if isinstance(learner, Decoupled) else []
    return learner, {
        "saved_bytes": seen.saved_peak,
        "live_bytes": seen.live_peak,
        "foretold_bytes": foretold,
        "auxiliary": [list(chosen) for chosen in parts[:-1]],
        "auxiliary_parameters": sum(p.numel() for p in learner.beside.parameters()),
    }


def main() -> None:
    """Measure all methods and print the table."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--batch", type=int, default=2)
    options.add_argument("--only", nargs="+", default=list(METHODS), help="these methods alone")
    given = options.parse_args()
    print(started(given))
    data = frames(given.size, given.steps, given.batch)
    learners, found = {}, {}
    for name in METHODS:
        if name in given.only:
            learners[name], found[name] = measure(*METHODS[name], data, given.size)
    times = in_turns({name: (lambda one=one: one.update(data)) for name, one in learners.items()}, rounds=given.rounds)
    first = next(iter(found))
    whole = found[first]
    rows = [
        [
            name,
            f"{f['saved_bytes'] / 1e6:.1f}",
            f"{whole['saved_bytes'] / f['saved_bytes']:.1f}",
            "" if f["foretold_bytes"] is None else f"{f['foretold_bytes'] / 1e6:.1f}",
            f"{f['live_bytes'] / 1e6:.1f}",
            f"{whole['live_bytes'] / f['live_bytes']:.1f}",
            f"{times.ratio(name, first):.2f}",
            ", ".join(str(len(chosen)) for chosen in f["auxiliary"]),
        ]
        for name, f in found.items()
    ]
    head = ["method", "saved MB", "BPTT / it", "foretold", "alive MB", "BPTT / it", "time / BPTT", "auxiliary blocks"]
    print(f"ResNet-18, {given.size} x {given.size}, T={given.steps}, B={given.batch}")
    print(table(head, rows))
    print(write(given.out, HERE, {"methods": found, **times.to_dict()}))


if __name__ == "__main__":
    main()
