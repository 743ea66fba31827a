"""One layer of neurons, forward and backward: kernels, traced torch, loop, peers and the copy limit.

    python benchmarks/bench_layers.py [--neurons lif alif tc-lif | --all] [--shapes 784x64x256] [--rounds 7]

The copy limit: forward must read x and write y, backward read x and dL/dy and write dL/dx. Five
passes over ``[T, B, N]`` are what two and a half copies move, and no kernel that touches
memory once can be faster than those. The copies run over the very arrays of the layer.

A figure is told only if the kernel's output and gradient agree with the step-by-step loop, and
a peer's spikes with those of the same neuron here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from kernel_alone import alone
from peers import Form, forms, installed, to_torch
from plot_layers import plot
from side_by_side import Contestant, Target, Times, check_close, check_spikes, in_turns, parser, started, table, write
from torch import Tensor

from spikeworks import kernels
from spikeworks.neurons import LIF, NEURONS, Neuron, Reset, config_for

SHAPES = ((100, 64, 512), (784, 64, 256), (2000, 16, 256))
BACKENDS = {"c": "kernel", "torch": "traced torch", "loop": "loop"}
COPY = "copy limit"
PARAMETER_SEED = 0
QUADRATIC_FROM = 500
"""Steps from which a backward pass that is quadratic in time is run once."""


def build(name: str, size: int) -> Neuron:
    """A registered neuron with reproducible initial values."""
    return config_for(name).build(size, torch.Generator().manual_seed(PARAMETER_SEED))


def own(neuron: Neuron, backend: str, x: Tensor, gradient: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward by one backend; returns output, gradient of the input and of the parameters."""
    trained = list(neuron.parameters())

    def run() -> tuple[Tensor, ...]:
        leaf = x.detach().requires_grad_()
        with kernels.use(backend):
            y, _ = neuron(leaf)
        return (y.detach(), *torch.autograd.grad(y, [leaf, *trained], gradient))

    return run


def copies(x: Tensor, gradient: Tensor) -> Contestant:
    """Five array passes, as two and a half copies between four arrays."""
    y, out = torch.empty_like(x), torch.empty_like(x)
    half = len(x) // 2

    def run() -> None:
        y.copy_(x)
        out.copy_(gradient)
        y[:half].copy_(x[:half])

    return run


def checked(name: str, found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """The output and all gradients of a fused layer against those of the loop."""
    check_spikes(f"{name}, output", found[0], expected[0])
    for what, a, b in zip(("input", *["parameters"] * len(expected)), found[1:], expected[1:], strict=False):
        check_close(f"{name}, gradient of the {what}", a, b)


def expected_of_peers(x: Tensor) -> dict[str, Tensor]:
    """Spikes of our loop in the orders of charge and reset that peers have."""
    with kernels.use("loop"), torch.no_grad():
        after, _ = LIF(x.shape[2])(x)
        before, _ = LIF(x.shape[2], reset=Reset(order="before_charge"))(x)
    late = torch.cat([torch.zeros_like(before[:1]), before[:-1]])
    return {"after_fire": after, "before_charge": before, "one step late": late}


def measure(
    shape: tuple[int, int, int], names: list[str], peer_forms: list[Form], rounds: int
) -> tuple[Times, dict[str, str]]:
    """Times of all contestants at one shape, and which contestant is which neuron's kernel alone."""
    x, gradient = (torch.randn(shape, generator=torch.Generator().manual_seed(s)) * 0.5 for s in (0, 1))
    contestants: dict[str, Contestant] = {COPY: copies(x, gradient)}
    lone: dict[str, str] = {}
    for name in names:
        neuron = build(name, shape[2])
        runs = {form: own(neuron, backend, x, gradient) for backend, form in BACKENDS.items()}
        expected = runs["loop"]()
        for form in ("kernel", "traced torch"):
            checked(f"{name}, {form}", runs[form](), expected)
        warm = alone(neuron, x, gradient)
        if warm is not None:
            warm.run()
            checked(f"{name}, kernel on kept buffers", (warm.y, warm.gx), expected[:2])
            lone[name] = f"{name}, kernel on kept buffers"
            contestants[lone[name]] = warm.run
        contestants |= {f"{name}, {form}": run for form, run in runs.items()}
    spikes = expected_of_peers(x)
    for form in peer_forms:
        run = form.build(x, gradient)
        if not form.quadratic:  # half a minute a call: its spikes are those of the same library's other form
            y, gx = map(to_torch, run())
            check_spikes(form.label, y, spikes[form.order])
            if gx.shape != x.shape or not bool(gx.isfinite().all()):
                raise SystemExit(f"{form.label} gives no usable gradient; no speed is told")
        contestants[form.label] = run
    slow = [form.label for form in peer_forms if form.quadratic and shape[0] >= QUADRATIC_FROM]
    return in_turns(contestants, rounds, once=slow), lone


def own_table(times: Times, names: list[str], lone: dict[str, str]) -> str:
    """Our forms, and how near the kernels come to the copy limit."""
    rows = []
    for name in names:
        kernel = f"{name}, kernel"
        near = f"{100 * times.ratio(COPY, lone[name]):.0f} %" if name in lone else "–"
        warm = f"{times.ms(lone[name]):.1f} ms" if name in lone else "–"
        rows.append(
            [name, f"{times.ms(kernel):.1f} ms", f"{100 * times.ratio(COPY, kernel):.0f} %", warm, near]
            + [f"{times.ms(f'{name}, {form}'):.0f} ms" for form in ("traced torch", "loop")]
            + [f"{times.ratio(f'{name}, loop', kernel):.1f}"]
        )
    head = ["neuron", "kernel from autograd", "of the copy limit", "kernel on kept buffers", "of the copy limit"]
    return table([*head, "traced torch", "loop", "loop / kernel"], rows)


def peer_table(times: Times, peer_forms: list[Form]) -> str:
    """LIF of the peers against our kernel and loop."""
    rows = []
    for form in peer_forms:
        runs = times.runs(form.label)
        ratios = [f"{times.ratio(form.label, ours):.1f}" for ours in ("lif, kernel", "lif, loop")]
        rows.append([form.label, f"{times.ms(form.label):.0f} ms{' (one run)' if runs == 1 else ''}", *ratios])
    return table(["LIF of", "forward + backward", "times our kernel", "times our loop"], rows)


def promised(shape: tuple[int, int, int], times: Times, peer_forms: list[Form], lone: dict[str, str]) -> list[Target]:
    """What issue text and documentation promise at this shape."""
    at = "x".join(map(str, shape))
    made = [
        Target(f"{name} kernel on kept buffers, share of the copy limit, {at}", times.ratio(COPY, lone[name]), 0.7)
        for name in ("lif", "alif", "tc-lif")
        if name in lone
    ]
    if "lif, kernel" not in times.seconds:
        return made
    made.append(Target(f"lif, loop / kernel, {at}", times.ratio("lif, loop", "lif, kernel"), 10))
    fastest = {form.package: min((f.label for f in peer_forms if f.package == form.package), key=times.ms)
               for form in peer_forms}  # fmt: skip
    wanted = {"spikingjelly": 20 if shape[0] >= 2000 else 12, "spyx": 1.5}
    for package, factor in wanted.items():
        if package in fastest:
            label = fastest[package]
            made.append(Target(f"{label} / kernel, lif, {at}", times.ratio(label, "lif, kernel"), factor))
    return made


def shape_of(text: str) -> tuple[int, int, int]:
    """``784x64x256`` as T, B, N."""
    parts = text.split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"a shape is TxBxN, for instance 784x64x256; got {text!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def main() -> None:
    """Measure, print tables, write ``layers.json``, ``layers.png`` and ``layers.svg``."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--neurons", nargs="+", default=["lif", "alif", "tc-lif"], choices=NEURONS.names())
    options.add_argument("--all", action="store_true", help="every registered neuron")
    options.add_argument("--shapes", nargs="+", type=shape_of, default=list(SHAPES))
    options.add_argument("--no-quadratic", action="store_true", help="without the forms that take half a minute a call")
    given = options.parse_args()
    names = list(NEURONS.names()) if given.all else given.neurons
    line = started(given)
    print(line)
    versions = installed()
    peer_forms = forms(quadratic=not given.no_quadratic) if "lif" in names else []
    found: list[dict[str, Any]] = []
    targets: list[Target] = []
    for shape in given.shapes:
        times, lone = measure(shape, names, peer_forms, given.rounds)
        print(f"\nT={shape[0]} B={shape[1]} N={shape[2]}; two and a half copies: {times.ms(COPY):.1f} ms\n")
        print(own_table(times, names, lone))
        if peer_forms:
            print(f"\n{peer_table(times, peer_forms)}")
        targets += promised(shape, times, peer_forms, lone)
        found.append({"shape": shape, "times": times.to_dict()})
    write(given.out, "layers", {"line": line, "peers": versions, "layers": found}, targets)
    plot(found, given.out / "layers", line)


if __name__ == "__main__":
    main()
