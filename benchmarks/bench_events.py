"""Event-driven products against torch's dense products of the same spikes.

    python benchmarks/bench_events.py [--rows 50176 --shapes 256x256 --rates 0.02 0.05 --rounds 7]

For each shape of the weights and each rate: the product alone, the gradient of the weights with
that of the bias alone, and forward + backward as autograd runs it, without and with the dense
gradient of the input. ``alone`` columns force adding rows, so that the rate shows at which a
dense product is as fast; the other columns are what :func:`spike_linear` chooses by itself.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence

import torch
from side_by_side import Target, Times, check_close, in_turns, parser, started, table, write
from torch import Tensor
from torch.nn import functional

from spikeworks.kernels.events import masked_gradient, selected_sum, spike_linear, weight_gradient
from spikeworks.kernels.packing import Packed, pack

PAIRS = {
    "forward": ("events forward", "dense forward"),
    "weights": ("events weights", "dense weights"),
    "input": ("masked input", "dense input"),
    "training, first layer": ("chosen, first layer", "dense, first layer"),
    "training": ("chosen", "dense"),
}


@dataclasses.dataclass
class Case:
    """Spikes, weights and a gradient of one shape and rate."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    gradient: Tensor

    @classmethod
    def build(cls, rows: int, inputs: int, outputs: int, rate: float) -> Case:
        """Independent spikes; the same numbers each time."""
        source = torch.Generator().manual_seed(0)
        return cls(
            (torch.rand(rows, 1, inputs, generator=source) < rate).float(),
            torch.randn(outputs, inputs, generator=source).requires_grad_(),
            torch.randn(outputs, generator=source).requires_grad_(),
            torch.randn(rows, 1, outputs, generator=source),
        )

    def contestants(self) -> dict[str, Callable[[], Tensor]]:
        """Every product by both means, checked against each other."""
        packed, g = pack(self.x), self.gradient.flatten(0, 1)
        weight, bias, flat = self.weight.detach(), self.bias.detach(), self.x.flatten(0, 1)
        inputs = flat.shape[1]
        found = {
            "dense forward": lambda: functional.linear(flat, weight, bias),
            "events forward": lambda: selected_sum(packed.bits, weight, bias),
            "dense weights": lambda: torch.cat([g.t() @ flat, g.sum(0).unsqueeze(1)], 1),
            "events weights": lambda: _joined(*weight_gradient(packed.bits, g, inputs)),
            "dense input": lambda: g @ weight,
            "masked input": lambda: masked_gradient(packed.bits, g, weight),
        }
        for suffix, wanted in ((", first layer", False), ("", True)):
            found["dense" + suffix] = self.training(lambda x: functional.linear(x, self.weight, self.bias), wanted)
            found["chosen" + suffix] = self.training(
                # new bits each time, so that their rate is counted again as in training
                lambda x: spike_linear(x, Packed(packed.bits, x.shape, x.dtype), self.weight, self.bias),
                wanted,
            )
        for what, (event, dense) in PAIRS.items():
            expected = found[dense]() * flat if what == "input" else found[dense]()
            check_close(what, found[event](), expected)
        return found

    def training(self, product: Callable[[Tensor], Tensor], input_wanted: bool) -> Callable[[], Tensor]:
        """Forward and backward; returns the gradient of the weights."""

        def run() -> Tensor:
            self.weight.grad = self.bias.grad = None
            product(self.x.detach().requires_grad_(input_wanted)).backward(self.gradient)
            assert self.weight.grad is not None
            return self.weight.grad

        return run


def _joined(weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([weight, bias.unsqueeze(1)], 1)


def crossover(rates: Sequence[float], ratios: Sequence[float]) -> float:
    """The rate at which ``dense / events`` falls to 1, between neighbours in a straight line; nan where it never does.

    Example:
        >>> crossover([0.1, 0.3], [2.0, 0.0])
        0.2
    """
    for (low, above), (high, below) in itertools.pairwise(zip(rates, ratios, strict=True)):
        if above >= 1 > below:
            return low + (high - low) * (above - 1) / (above - below)
    return float("nan")


def shape_of(text: str) -> tuple[int, int]:
    """``256x512`` as inputs and outputs."""
    inputs, outputs = text.split("x")
    return int(inputs), int(outputs)


def main() -> None:
    """Measure, print the tables, write ``events.json``."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--rows", type=int, default=784 * 64, help="steps times sequences")
    options.add_argument("--shapes", nargs="+", default=["256x256", "512x512", "128x512"], help="inputs x outputs")
    options.add_argument("--rates", nargs="+", type=float, default=[0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5])
    given = options.parse_args()
    line = started(given)
    print(line)
    # what else runs on the machine should not count; the time of one thread is the process's
    clock = time.process_time if given.threads == 1 else time.perf_counter
    print("processor time" if given.threads == 1 else "time on the wall")
    found, targets = {}, []
    for shape in given.shapes:
        inputs, outputs = shape_of(shape)
        times: dict[float, Times] = {}
        for rate in given.rates:
            case = Case.build(given.rows, inputs, outputs, rate)
            times[rate] = in_turns(case.contestants(), given.rounds, clock=clock)
        ratios = {what: [times[r].ratio(dense, event) for r in given.rates] for what, (event, dense) in PAIRS.items()}
        rows = [
            [f"{100 * rate:g} %"]
            + [
                f"{times[rate].ms(event):.1f} / {times[rate].ms(dense):.1f} = {ratios[what][k]:.2f}"
                for what, (event, dense) in PAIRS.items()
            ]
            for k, rate in enumerate(given.rates)
        ]
        crossings = {what: crossover(given.rates, ratios[what]) for what in ("forward", "weights", "input")}
        print(f"\n{given.rows} rows, {inputs} inputs, {outputs} outputs: events / dense in ms = times faster\n")
        heads = ["forward alone", "weights alone", "input alone, masked", "training, first layer", "training"]
        print(table(["rate", *heads], rows))
        print(
            "\nas fast as dense at a rate of", ", ".join(f"{100 * r:.0f} % ({what})" for what, r in crossings.items())
        )
        for k, rate in enumerate(given.rates):
            if rate <= 0.05:
                targets += [
                    Target(f"{shape}, {100 * rate:g} %, {what}: dense / events", ratios[what][k], 1.5)
                    for what in ("forward", "weights")
                ]
        targets += [
            Target(f"{shape}, any rate, {what}: dense / chosen", min(ratios[what]), 0.95)
            for what in ("training, first layer", "training")
        ]
        found[shape] = {"crossover": crossings, "times": {str(r): times[r].to_dict() for r in given.rates}}
    write(given.out, "events", {"line": line, "rows": given.rows, "shapes": found}, targets)


if __name__ == "__main__":
    main()
