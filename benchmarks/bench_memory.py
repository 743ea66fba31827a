"""Bytes kept for backward, and what keeping few of them costs in time.

    python benchmarks/bench_memory.py [--steps 784 --batch 64 --width 256 --rounds 5]

Four blocks of a linear map and neurons: the loop, the kernels, and packed blocks, which keep
their input as bits and run again in backward. One LIF layer of ours and of the peers, by what
autograd saves and by the highest memory of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from bench_layers import build, own
from peak import peak_bytes
from peers import FORMS as FORMS_OF_PEERS
from peers import Layer, forms, installed
from side_by_side import Contestant, Target, check_close, in_turns, parser, started, table, write
from torch import Tensor, nn

from spikeworks import kernels
from spikeworks.measure import memory
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import NEURONS, config_for

HERE = "bench_memory"
BLOCKS = 4
MIB = 2**20
SPIKE_RATE = 0.2
OWN = {"spikeworks, loop": "loop", "spikeworks, kernel": "c"}
FORMS = {"loop": ("loop", "full"), "fused": ("c", "full"), "packed": ("c", "packed")}


def network(neuron: str, width: int, keep: str) -> Network:
    """Four blocks and a small readout; the same weights whatever is kept."""
    config = StackConfig(hidden=(width,) * BLOCKS, neuron=config_for(neuron), memory=keep)  # type: ignore[arg-type]
    return config.build(width, 10, torch.Generator().manual_seed(0))


def training(made: Network, backend: str, x: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """Forward and backward; returns the gradients of all parameters."""
    trained = list(made.parameters())

    def run() -> tuple[Tensor, ...]:
        with kernels.use(backend):
            return torch.autograd.grad(made(x)[0].square().sum(), trained)

    return run


def saved(made: Network, backend: str, x: Tensor) -> int:
    """Bytes that autograd keeps."""
    with kernels.use(backend):
        return memory(made, x).saved_bytes


class _Graph(nn.Module):
    """A function as a module, for the meter."""

    def __init__(self, run: Layer) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


def signal(shape: Sequence[int]) -> Tensor:
    """Random spikes."""
    return (torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0)) < SPIKE_RATE).float()


def stack_run(neuron: str, form: str, shape: Sequence[int]) -> Contestant:
    """For :mod:`peak`: training of the stack in one of :data:`FORMS`."""
    backend, keep = FORMS[form]
    return training(network(neuron, shape[2], keep), backend, signal(shape))


def layer_run(label: str, shape: Sequence[int]) -> Contestant:
    """For :mod:`peak`: one LIF layer, of ours or of a peer."""
    x, gradient = (torch.randn(tuple(shape), generator=torch.Generator().manual_seed(s)) * 0.5 for s in (0, 1))
    if label in OWN:
        return own(build("lif", shape[2]), OWN[label], x, gradient)
    return next(form for form in FORMS_OF_PEERS if form.label == label).build(x, gradient)


def saved_by_layer(layer: Layer, shape: Sequence[int]) -> float:
    """Saved bytes of one layer, its input not counted."""
    return memory(_Graph(layer), torch.randn(tuple(shape)).requires_grad_()).saved_bytes


def one_layer(shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Saved bytes and the peak of one LIF layer, ours and the peers'."""
    found = []
    for label, backend in OWN.items():
        neuron = build("lif", shape[2])
        with kernels.use(backend):
            kept = saved_by_layer(lambda x, n=neuron: n(x)[0], shape)
        found.append({"layer": label, "saved_bytes": kept, "peak_bytes": peak_bytes(HERE, "layer_run", label, shape)})
    for form in forms(quadratic=False):
        kept = None if form.layer is None else saved_by_layer(form.layer(shape[2]), shape)
        peak = peak_bytes(HERE, "layer_run", form.label, shape)
        found.append({"layer": form.label, "saved_bytes": kept, "peak_bytes": peak})
    return found


def mib(size: float | None) -> str:
    """Mebibytes, or a dash."""
    return "–" if size is None else f"{size / MIB:.1f} MiB"


def main() -> None:
    """Measure, print tables, write ``memory.json``."""
    options = parser(__doc__, rounds=5)
    for name, value in {"steps": 784, "batch": 64, "width": 256}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--neurons", nargs="+", default=["lif", "plif", "alif", "tc-lif"], choices=NEURONS.names())
    given = options.parse_args()
    line = started(given)
    print(line)
    here = installed()
    shape = (given.steps, given.batch, given.width)
    x = signal(shape)
    rows, found, targets = [], [], []
    for neuron in given.neurons:
        runs, kept = {}, {}
        for form, (backend, keep) in FORMS.items():
            made = network(neuron, given.width, keep)
            kept[form] = saved(made, backend, x)
            runs[form] = training(made, backend, x)
        expected = runs["fused"]()
        for a, b in zip(runs["packed"](), expected, strict=True):
            check_close(f"{neuron}, packed", a, b)
        times = in_turns({form: runs[form] for form in ("fused", "packed")}, given.rounds)
        slower = times.ratio("packed", "fused")
        less = [f"{kept['loop'] / kept['fused']:.1f}", f"{kept['loop'] / kept['packed']:.0f}"]
        sizes = [f"{kept[form] / MIB:.1f} MiB" for form in FORMS]
        rows.append([neuron, *sizes, *less, f"{times.ms('fused'):.0f} ms", f"{slower:.2f}"])
        targets += [
            Target(f"{neuron}, saved bytes, fused / loop", kept["fused"] / kept["loop"], 1 / 2, at_least=False),
            Target(f"{neuron}, saved bytes, packed / loop", kept["packed"] / kept["loop"], 1 / 12, at_least=False),
            Target(f"{neuron}, time, packed / fused", slower, 1.6, at_least=False),
        ]
        found.append({"neuron": neuron, "saved_bytes": kept, "times": times.to_dict()})
    print(f"\n{BLOCKS} blocks of {given.width}, T={given.steps} B={given.batch}, bytes kept for backward\n")
    head = ["neuron", *FORMS, "loop / fused", "loop / packed", "fused, time", "packed / fused, time"]
    print(table(head, rows))
    peaks = {form: peak_bytes(HERE, "stack_run", "lif", form, shape) for form in FORMS}
    shown = ", ".join(f"{form} {mib(peak)}" for form, peak in peaks.items())
    print(f"\npeak of the lif stack above what the process held before: {shown}")

    if peaks["loop"] and peaks["fused"]:
        targets.append(Target("lif, peak, fused / loop", peaks["fused"] / peaks["loop"], 1 / 2, at_least=False))
    layers = one_layer(shape)
    array = x.numel() * x.element_size()
    print("\nOne LIF layer: bytes kept for backward without its input, and peak above what was held before\n")
    sizes = [[d["saved_bytes"], d["peak_bytes"]] for d in layers]
    in_arrays = [["–" if s is None else f"{s / array:.1f}" for s in pair] for pair in sizes]
    rows = [[d["layer"], mib(s[0]), a[0], mib(s[1]), a[1]] for d, s, a in zip(layers, sizes, in_arrays, strict=True)]
    print(table(["", "kept", "in arrays of [T, B, N]", "peak", "in arrays"], rows))
    write(
        given.out,
        "memory",
        {"line": line, "peers": here, "stacks": found, "lif_peaks": peaks, "one_layer": layers},
        targets,
    )


if __name__ == "__main__":
    main()
