"""Every registered neuron against LIF: forward and backward in the form that training takes.

    python benchmarks/bench_neurons.py [--neurons lif alif tc-lif] [--shape 128x32x256] [--rounds 7]

All neurons run once in every round, LIF among them, so that "times LIF" is a median of ratios within
rounds. The step-by-step loop runs once. A neuron with several inputs gets one array for each, so it
reads more memory than LIF. Operations are those of one neuron and step, counted as in the
documentation's page on neurons.

A figure is told only if outputs and gradients agree with those of the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from bench_layers import build, checked, shape_of
from side_by_side import Contestant, Times, in_turns, parser, started, table, write
from torch import Tensor

from spikeworks import kernels
from spikeworks.neurons import NEURONS, Neuron
from spikeworks.neurons.costs import Cost, cost

SHAPE = (128, 32, 256)
REFERENCE = "lif"
DRAWS_SEED = 0


def through(neuron: Neuron, backend: str, signals: list[Tensor], gradient: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward by one backend; returns output, gradients of the inputs and of the parameters."""
    trained = list(neuron.parameters())

    def run() -> tuple[Tensor, ...]:
        leaves = [signal.detach().requires_grad_() for signal in signals]
        with kernels.use(backend):
            y, _ = neuron(leaves[0] if len(leaves) == 1 else tuple(leaves))
        return (y.detach(), *torch.autograd.grad(y, [*leaves, *trained], gradient))

    return run


def form_of(neuron: Neuron, signals: list[Tensor]) -> str:
    """What carries out a call in training, in a word."""
    backend = neuron.decide(signals[0]).backend
    return {"c": "kernel", "torch": "traced torch"}.get(backend, backend)


def seeded(run: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """With the same random numbers as any other seeded run, for neurons that draw."""
    torch.manual_seed(DRAWS_SEED)
    return run()


def measure(
    shape: tuple[int, int, int], names: list[str], rounds: int
) -> tuple[Times, dict[str, str], dict[str, Cost]]:
    """Times of all neurons and loops, the form of each neuron, and what a step costs."""
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.5
    contestants: dict[str, Contestant] = {}
    ways: dict[str, str] = {}
    costs: dict[str, Cost] = {}
    for name in names:
        neuron = build(name, shape[2])
        drawn = (torch.Generator().manual_seed(1 + k) for k in range(len(neuron.inputs)))
        signals = [0.5 * torch.randn(shape, generator=generator) for generator in drawn]
        fast = through(neuron, "auto", signals, gradient)
        contestants[name] = fast
        ways[name], costs[name] = form_of(neuron, signals), cost(neuron)
        if ways[name] == "loop" or getattr(neuron, "whole_sequence", False):
            continue
        loop = through(neuron, "loop", signals, gradient)
        checked(f"{name}, {ways[name]}", seeded(fast), seeded(loop))
        contestants[f"{name}, loop"] = loop
    loops = [name for name in contestants if name.endswith(", loop")]
    return in_turns(contestants, rounds, once=loops), ways, costs


def shown(times: Times, ways: dict[str, str], costs: dict[str, Cost]) -> str:
    """The table, fastest neuron first."""
    rows = []
    for name in sorted(ways, key=times.ms):
        one, loop = costs[name], f"{name}, loop"
        slow = [f"{times.ms(loop):.0f} ms", f"{times.ratio(loop, name):.1f}"] if loop in times.seconds else ["–", "–"]
        rows.append(
            [name, ways[name], f"{times.ms(name):.1f} ms", f"{times.ratio(name, REFERENCE):.2f}", *slow]
            + [str(one.states), f"{one.per_neuron:g}", f"{one.per_layer:g}"]
            + [f"{count:g}" for count in (one.multiplications, one.additions, one.comparisons, one.specials)]
        )
    head = ["neuron", "form", "forward + backward", "times LIF", "loop", "loop / form", "states"]
    head += ["trained, a neuron", "trained, a layer", "×", "+", "≥", "special"]
    return table(head, rows)


def main() -> None:
    """Measure, print the table, write ``neurons.json``."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--neurons", nargs="+", default=list(NEURONS.names()), choices=NEURONS.names())
    options.add_argument("--shape", type=shape_of, default=SHAPE)
    given = options.parse_args()
    line = started(given)
    print(line)
    names = list(dict.fromkeys([REFERENCE, *given.neurons]))
    times, ways, costs = measure(given.shape, names, given.rounds)
    ratios = {name: times.ratio(name, REFERENCE) for name in names}
    print(f"\nT={given.shape[0]} B={given.shape[1]} N={given.shape[2]}, float32; × + ≥: a neuron and step\n")
    print(shown(times, ways, costs))
    middle = sorted(ratios.values())[len(ratios) // 2]
    print(f"\n{len(names)} neurons; half of them within {middle:.1f} times LIF, the slowest {max(ratios.values()):.0f}")
    found: dict[str, Any] = {
        name: {"form": ways[name], "times_lif": ratios[name], **vars(costs[name])} for name in names
    }
    assert all(math.isfinite(ratio) for ratio in ratios.values())
    write(given.out, "neurons", {"line": line, "shape": given.shape, "neurons": found, "times": times.to_dict()})


if __name__ == "__main__":
    main()
