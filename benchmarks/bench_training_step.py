"""A whole training step, forward, backward and Adam, against its matrix products and against peers.

    python benchmarks/bench_training_step.py [--shapes 100x64x256-512-512-20] [--rounds 7] [--breakdown]

The floor is the same network with the neurons taken out: its matrix products over all steps,
forward and backward, readout, loss and Adam. Peers run their neurons the same way, products over
all steps at once and their LIF over the result, which is the faster way for each of them; Spyx
also as its documentation shows it, everything inside one scan.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch
from peers import DECAY, Layer, forms, installed, load
from side_by_side import Contestant, Target, Times, check_close, in_turns, parser, started, table, write
from torch import Tensor, nn
from torch.nn import functional

from spikeworks import kernels
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LIF

SHAPES = ("100x64x256-512-512-20", "784x64x1-256-256-10")
RATE = 1e-3
SPIKE_RATE = 0.1
WARMUPS = 4
"""Spyx compiles its step in each of the first three calls."""
OURS, FLOOR = "spikeworks", "matrix products alone"


class Shape:
    """``TxBxinputs-hidden-...-outputs``."""

    def __init__(self, text: str) -> None:
        try:
            steps, batch, widths = text.split("x")
            self.steps, self.batch = int(steps), int(batch)
            self.widths = [int(w) for w in widths.split("-")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected for instance {SHAPES[0]}, got {text!r}") from None
        if len(self.widths) < 3 or min(self.steps, self.batch, *self.widths) < 1:
            raise argparse.ArgumentTypeError(f"a network has at least one hidden layer, got {text!r}")
        self.text = text

    def data(self) -> tuple[Tensor, Tensor]:
        """Random spikes where the input is wide, random values where it is one number a step; labels."""
        source = torch.Generator().manual_seed(0)
        x = torch.rand(self.steps, self.batch, self.widths[0], generator=source)
        if self.widths[0] > 1:
            x = (x < SPIKE_RATE).float()
        return x, torch.randint(self.widths[-1], (self.batch,), generator=source)


def stack(shape: Shape) -> Network:
    """Our network; the same seed gives the same weights."""
    config = StackConfig(hidden=tuple(shape.widths[1:-1]), neuron=LIF)  # type: ignore[arg-type]
    return config.build(shape.widths[0], shape.widths[-1], torch.Generator().manual_seed(1))


def without_neurons(shape: Shape) -> Network:
    """The same network, its neurons handing currents on."""

    class Nothing(nn.Module):
        def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
            return x, None

    network = stack(shape)
    for block in network.blocks:
        block.neuron = Nothing()
    return network


class PeerNetwork(nn.Module):
    """Linear maps over all steps, a peer's neurons between them, the mean over time, a linear readout."""

    def __init__(self, shape: Shape, layer: Callable[[int], Layer]) -> None:
        super().__init__()
        widths = shape.widths
        self.maps = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.neurons = [layer(width) for width in widths[1:-1]]

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        for current, neuron in zip(self.maps, self.neurons, strict=False):
            x = neuron(current(x))
        return self.maps[-1](x.mean(0)), None


def torch_step(network: nn.Module, x: Tensor, target: Tensor) -> Callable[[], Tensor]:
    """Forward, cross entropy, backward, Adam."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)

    def run() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(x)[0], target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def spyx(shape: Shape, x: Tensor, target: Tensor, *, whole_scan: bool) -> Contestant:
    """``make_train_step`` of Spyx with Adam of optax.

    Args:
        shape, x, target: the network and one batch.
        whole_scan: everything inside one ``spyx.nn.run``, as documented; else products over all
            steps at once and only the neurons in a scan.
    """
    jax, snn, axn, optimize = load("jax"), load("spyx.nn"), load("spyx.axn"), load("spyx.optimize")
    nnx, optax = load("flax.nnx"), load("optax")
    rngs, triangle, widths = nnx.Rngs(0), axn.triangular(k=1.0), shape.widths
    layers: list[Any] = []
    for a, b in itertools.pairwise(widths):
        layers.append(nnx.Linear(a, b, rngs=rngs))
        if len(layers) < 2 * len(widths) - 3:
            layers.append(snn.LIF((b,), beta=DECAY, activation=triangle, rngs=rngs))
    model = snn.Sequential(*layers)

    def loss(model: Any, x: Any, target: Any) -> Any:
        if whole_scan:
            logits = snn.run(model, x)[0].mean(0)
        else:
            for layer in model.layers[:-1]:
                x = snn.run(layer, x)[0] if isinstance(layer, snn.LIF) else layer(x)
            logits = model.layers[-1](x.mean(0))
        return optax.softmax_cross_entropy_with_integer_labels(logits, target).mean()

    optimizer = nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param)
    step = optimize.make_train_step(loss)
    given = jax.numpy.asarray(x.numpy()), jax.numpy.asarray(target.numpy())

    def run() -> object:
        value = step(model, optimizer, *given)
        # the update of the weights is part of the step
        return jax.block_until_ready((value, nnx.state(model)))

    return run


def checked(shape: Shape, x: Tensor, target: Tensor) -> None:
    """Loss and all weight gradients of the fused network against the loop."""
    found = {}
    for backend in ("loop", "c"):
        network = stack(shape)
        with kernels.use(backend):
            loss = functional.cross_entropy(network(x)[0], target)
            loss.backward()
        found[backend] = {"loss": loss.detach(), **{n: p.grad for n, p in network.named_parameters()}}
    for name, expected in found["loop"].items():
        check_close(f"training step, {name}", found["c"][name], expected)


def measure(shape: Shape, rounds: int, here: dict[str, str]) -> Times:
    """Times of all networks at one shape."""
    x, target = shape.data()
    checked(shape, x, target)
    contestants: dict[str, Contestant] = {
        FLOOR: torch_step(without_neurons(shape), x, target),
        OURS: torch_step(stack(shape), x, target),
    }
    for form in forms(quadratic=False):
        if form.layer is not None and form.package in ("spikingjelly", "snntorch"):
            contestants[form.label] = torch_step(PeerNetwork(shape, form.layer), x, target)
    if "spyx" in here:
        contestants["Spyx, neurons in a scan"] = spyx(shape, x, target, whole_scan=False)
        contestants["Spyx, all in a scan"] = spyx(shape, x, target, whole_scan=True)
    return in_turns(contestants, rounds, warmups=WARMUPS)


def breakdown(shape: Shape, rounds: int) -> str:
    """Where the time of our step goes: medians of its parts, run one after the other."""
    x, target = shape.data()
    network = stack(shape)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    spent: dict[str, list[float]] = {}

    def part(name: str, run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        spent.setdefault(name, []).append(1e3 * (time.perf_counter() - start))
        return result

    for _ in range(rounds + 1):
        optimizer.zero_grad(set_to_none=True)
        signal, marks = x, []
        for i, block in enumerate(network.blocks):
            synapse: Any = block.synapse
            neurons: Any = block.neuron
            leaf = signal.detach().requires_grad_(i > 0)
            current = part(f"product {i + 1}, forward", lambda b=synapse, s=leaf: b(s))
            inner = current.detach().requires_grad_()
            signal = part(f"neurons {i + 1}, forward", lambda b=neurons, c=inner: b(c))[0]
            marks.append((leaf, current, inner, signal))
        leaf = signal.detach().requires_grad_()
        loss = part("readout and loss, forward", lambda s=leaf: functional.cross_entropy(network.readout(s)[0], target))
        part("readout and loss, backward", lambda v=loss: v.backward())
        gradient = leaf.grad
        for i, (leaf, current, inner, signal) in reversed(list(enumerate(marks))):
            part(f"neurons {i + 1}, backward", lambda s=signal, g=gradient: s.backward(g))
            part(f"product {i + 1}, backward", lambda c=current, g=inner: c.backward(g.grad))
            gradient = leaf.grad
        part("Adam", optimizer.step)
    middle = {name: sorted(values[1:])[len(values[1:]) // 2] for name, values in spent.items()}
    total = sum(middle.values())
    return table(["part", "ms", "share"], [[n, f"{v:.2f}", f"{100 * v / total:.0f} %"] for n, v in middle.items()])


def main() -> None:
    """Measure, print tables, write ``training_step.json``."""
    options = parser(__doc__, rounds=9)
    options.add_argument("--shapes", nargs="+", type=Shape, default=[Shape(s) for s in SHAPES])
    options.add_argument("--breakdown", action="store_true", help="also show the parts of our own step")
    given = options.parse_args()
    line = started(given)
    print(line)
    here = installed()
    found, targets = [], []
    for shape in given.shapes:
        times = measure(shape, given.rounds, here)
        others = [name for name in times.seconds if name not in (FLOOR, OURS)]
        rows = [
            [name, f"{times.ms(name):.0f} ms", f"{times.ratio(name, FLOOR):.2f}", f"{times.ratio(name, OURS):.2f}"]
            for name in times.seconds
        ]
        print(f"\nT={shape.steps} B={shape.batch}, {'-'.join(map(str, shape.widths))}\n")
        print(table(["training step", "time", "times the products", "times ours"], rows))
        if given.breakdown:
            print(f"\n{breakdown(shape, given.rounds)}")
        targets.append(Target(f"{OURS} / products, {shape.text}", times.ratio(OURS, FLOOR), 1.25, at_least=False))
        if scans := [name for name in others if name.startswith("Spyx")]:
            fastest = min(scans, key=times.ms)
            targets.append(Target(f"{fastest} / ours, {shape.text}", times.ratio(fastest, OURS), 1))
        found.append({"shape": shape.text, "times": times.to_dict()})
    write(given.out, "training_step", {"line": line, "peers": here, "steps": found}, targets)


if __name__ == "__main__":
    main()
