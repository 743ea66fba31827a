"""SPAM and Stable-SPAM beside AdamW: on clean and on spoiled batches, and the time of one update.

    python benchmarks/bench_spam.py [--seeds 3 --steps 1500 --rounds 15]

A perceptron 64-64-64-10 learns 8 x 8 digits in batches of 64. "Spiky" replaces 1 % of the batches by
random labels and multiplies their loss by 1000. Loss is that of the whole training split after the
last update, score that of the test split; all optimisers meet the same weights and batches.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from side_by_side import Target, in_turns, parser, started, table, write
from torch import Tensor, nn

from spikeworks.core.seeds import stream
from spikeworks.optim import SPAM, StableSPAM
from spikeworks.tasks.seq_digits import SeqDigitsConfig

BATCH, RATE, SPIKES, FACTOR = 64, 1e-3, 0.01, 1000.0
Make = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)


def spam(**options: Any) -> Make:
    return lambda parameters: SPAM(parameters, lr=RATE, **options)


REFERENCE = {"bias_correction": "global", "zero_guard": False}
OPTIMIZERS: Mapping[str, tuple[Make, float | None]] = {
    "Adam": (adam, None),
    "Adam, norm clip 1": (adam, 1.0),
    "SPAM, global correction, no guard": (spam(**REFERENCE), None),
    "SPAM, no guard": (spam(zero_guard=False), None),
    "SPAM, no guard, no reset": (spam(zero_guard=False, reset_every=0), None),
    "SPAM, global correction": (spam(bias_correction="global"), None),
    "SPAM": (spam(), None),
    "SPAM, norm clip 1": (spam(), 1.0),
    "SPAM, density 0.25": (spam(density=0.25), None),
    "SPAM, reset every 100": (spam(reset_every=100, rewarm_steps=30), None),
    "SPAM, reset every 100, global": (spam(reset_every=100, rewarm_steps=30, bias_correction="global"), None),
    "Stable-SPAM": (lambda p: StableSPAM(p, lr=RATE), None),
}


@functools.cache
def digits(split: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, 64]`` from 0 to 1, and labels."""
    data = SeqDigitsConfig().build().data(split)
    batch = data.batch(data.plan(len(data))[0])
    return batch.x.squeeze(-1).t().contiguous(), batch.target


def perceptron(seed: int) -> nn.Sequential:
    """The same weights for the same seed."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for inputs, outputs in ((64, 64), (64, 64), (64, 10)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(make: Make, clip: float | None, seed: int, steps: int, spiky: bool) -> tuple[float, float]:
    """Loss on the training split and accuracy on the test split, in per cent."""
    images, labels = digits("train")
    network = perceptron(seed)
    optimizer = make(network.parameters())
    source = stream(seed, "batches")
    for _ in range(steps):
        chosen = torch.randint(len(images), (BATCH,), generator=source)
        target, factor = labels[chosen], 1.0
        noise = torch.randint(10, (BATCH,), generator=source)
        if torch.rand((), generator=source) < SPIKES and spiky:
            target, factor = noise, FACTOR
        loss = nn.functional.cross_entropy(network(images[chosen]), target) * factor
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
    with torch.no_grad():
        final = nn.functional.cross_entropy(network(images), labels).item()
        x, y = digits("test")
        return final, 100.0 * (network(x).argmax(1) == y).float().mean().item()


def behaviour(seeds: int, steps: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Loss and score of every optimiser, by kind of batches and seed."""
    return {
        name: {
            kind: [train(make, clip, seed, steps, kind == "spiky") for seed in range(seeds)]
            for kind in ("clean", "spiky")
        }
        for name, (make, clip) in OPTIMIZERS.items()
    }


FORMS: Mapping[str, Make] = {
    "AdamW": lambda p: torch.optim.AdamW(p, foreach=False),
    "AdamW, fused": lambda p: torch.optim.AdamW(p, fused=True),
    "SPAM": spam(),
    "SPAM, one by one": spam(foreach=False),
    "SPAM, foreach": spam(foreach=True),
    "SPAM, fused": spam(fused=True),
    "SPAM, density 0.25": spam(density=0.25),
    "Stable-SPAM": lambda p: StableSPAM(p),
}
SHAPES = {"2 matrices of 1024 x 1024": [(1024, 1024)] * 2, "20 layers of 64 x 64": [(64, 64), (64,)] * 20}


def update_times(shapes: list[tuple[int, ...]], rounds: int) -> Any:
    """Time of one update of every form, behind the hold-off of the clip."""
    runs = {}
    for name, make in FORMS.items():
        parameters = [nn.Parameter(torch.randn(s)) for s in shapes]
        for p in parameters:
            p.grad = torch.randn_like(p)
        optimizer = make(parameters)
        for _ in range(20):
            optimizer.step()
        runs[name] = optimizer.step
    return in_turns(runs, rounds)


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def main() -> None:
    """Measure, print tables, write ``spam.json``."""
    options = parser(__doc__, rounds=15)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=1500)
    given = options.parse_args()
    line = started(given)
    print(line)
    found = behaviour(given.seeds, given.steps)
    loss = {n: {k: mean(r[0] for r in rows) for k, rows in kinds.items()} for n, kinds in found.items()}
    score = {n: {k: mean(r[1] for r in rows) for k, rows in kinds.items()} for n, kinds in found.items()}
    print(f"\n{given.steps} updates, {given.seeds} seeds, loss of training / accuracy of test\n")
    cells = [[f"{loss[n][k]:.3f} / {score[n][k]:.1f}" for k in ("clean", "spiky")] for n in found]
    print(table(["optimizer", "clean", "spiky"], [[n, *row] for n, row in zip(found, cells, strict=True)]))
    guarded = loss["SPAM"]["spiky"] + loss["SPAM, global correction"]["spiky"]
    bare = loss["SPAM, no guard"]["spiky"] + loss["SPAM, global correction, no guard"]["spiky"]
    clean = abs(math.log(loss["SPAM"]["clean"] / loss["Adam"]["clean"]))
    targets = [
        Target("spiky loss, SPAM / Adam", loss["SPAM"]["spiky"] / loss["Adam"]["spiky"], 1.0, at_least=False),
        Target("spiky loss, guard / no guard, both corrections", guarded / bare, 1.1, at_least=False),
        Target("clean loss, SPAM against Adam, factor", math.exp(clean), 1.2, at_least=False),
    ]
    timed = {}
    for what, shapes in SHAPES.items():
        times = update_times(shapes, given.rounds)
        rows = [[n, f"{times.ms(n):.2f} ms", f"{times.ratio(n, 'AdamW'):.2f}"] for n in FORMS]
        print(f"\nOne update of {what}\n")
        print(table(["optimizer", "time", "time / AdamW"], rows))
        timed[what] = times.to_dict()
    write(given.out, "spam", {"line": line, "behaviour": found, "times": timed}, targets)


if __name__ == "__main__":
    main()
