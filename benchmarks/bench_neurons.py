"""Speed of one neuron layer, forward and backward, side by side with the loop and with peers.

    python benchmarks/bench_neurons.py [--steps 784 --batch 64 --neurons 256 --repeats 7]

Every line is timed in turn, round after round, so that a busy machine slows all alike; ratios
are medians over rounds. Peers are used where they are installed (``pip install --no-deps
snntorch spikingjelly norse sinabs`` in an environment of their own); spikeworks never needs
them. A kernel's line is refused unless it agrees with the loop on the same input.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable

import torch

from spikeworks import kernels
from spikeworks.measure import machine
from spikeworks.neurons import NEURONS, config_for

Pass = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def own(name: str, backend: str, neurons: int) -> Pass:
    """Forward and backward of a registered neuron by one backend; returns the input's gradient."""
    neuron = config_for(name).build(neurons, torch.Generator().manual_seed(0))

    def run(x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        with kernels.use(backend):
            y, _ = neuron(x)
        y.backward(gradient)
        assert x.grad is not None
        return x.grad

    return run


def peer(package: str) -> Pass | None:
    """LIF of another library over the same input, by its documented multi-step use."""
    try:
        importlib.import_module(package)
    except ImportError:
        return None

    def spikingjelly(x: torch.Tensor) -> torch.Tensor:
        from spikingjelly.activation_based import functional, neuron

        node = neuron.LIFNode(tau=10.0, decay_input=False, v_reset=None, step_mode="m")
        y = node(x)
        functional.reset_net(node)
        return y

    def snntorch(x: torch.Tensor) -> torch.Tensor:
        import snntorch as snn

        node = snn.Leaky(beta=0.9)
        memory, out = node.init_leaky(), []
        for step in x:
            y, memory = node(step, memory)
            out.append(y)
        return torch.stack(out)

    def norse(x: torch.Tensor) -> torch.Tensor:
        from norse.torch import LIFBoxCell

        node, state, out = LIFBoxCell(), None, []
        for step in x:
            y, state = node(step, state)
            out.append(y)
        return torch.stack(out)

    def sinabs(x: torch.Tensor) -> torch.Tensor:
        from sinabs.layers import LIF

        return LIF(tau_mem=10.0, norm_input=False)(x.transpose(0, 1)).transpose(0, 1)

    forward = {"spikingjelly": spikingjelly, "snntorch": snntorch, "norse": norse, "sinabs": sinabs}[package]

    def run(x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        forward(x).backward(gradient)
        assert x.grad is not None
        return x.grad

    return run


def main() -> None:
    """Time everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"steps": 784, "batch": 64, "neurons": 256, "repeats": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shape = (options.steps, options.batch, options.neurons)
    x, gradient = (torch.randn(shape, generator=torch.Generator().manual_seed(s)) * 0.5 for s in (0, 1))
    target = torch.empty_like(x)

    rows: dict[str, Pass] = {}
    for name in NEURONS.names():
        rows[f"{name} loop"], rows[f"{name} c"] = own(name, "loop", options.neurons), own(name, "c", options.neurons)
        loop, fused = rows[f"{name} loop"](x, gradient), rows[f"{name} c"](x, gradient)
        scale = loop.abs().nan_to_num().max()
        if not torch.allclose(loop, fused, rtol=1e-3, atol=1e-5 * scale.item(), equal_nan=True):
            raise SystemExit(f"{name}: the kernel disagrees with the loop; no speed is reported")
    peers = {package: run for package in ("spikingjelly", "snntorch", "norse", "sinabs") if (run := peer(package))}
    rows |= {f"LIF of {package}": run for package, run in peers.items()}

    seconds: dict[str, list[float]] = {name: [] for name in ["copy", *rows]}
    for _ in range(options.repeats):
        start = time.perf_counter()
        target.copy_(x)
        seconds["copy"].append(time.perf_counter() - start)
        for name, run in rows.items():
            start = time.perf_counter()
            run(x, gradient)
            seconds[name].append(time.perf_counter() - start)

    def ratio(slow: str, fast: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))

    print(f"T={shape[0]} B={shape[1]} N={shape[2]}, {options.threads} threads, {machine()}")
    print(f"\none copy of the input: {1e3 * statistics.median(seconds['copy']):.1f} ms\n")
    print("| neuron | C kernel, forward + backward | in copies | Python loop | loop / kernel |")
    print("|---|---|---|---|---|")
    for name in NEURONS.names():
        fused, loop = (1e3 * statistics.median(seconds[f"{name} {b}"]) for b in ("c", "loop"))
        copies = ratio(f"{name} c", "copy")
        print(f"| {name} | {fused:.1f} ms | {copies:.1f} | {loop:.0f} ms | {ratio(f'{name} loop', f'{name} c'):.1f} |")
    if peers:
        print("\n| LIF of | forward + backward | times our kernel | times our loop |")
        print("|---|---|---|---|")
        for package in peers:
            mine = f"LIF of {package}"
            time_ms = 1e3 * statistics.median(seconds[mine])
            print(f"| {package} | {time_ms:.0f} ms | {ratio(mine, 'lif c'):.1f} | {ratio(mine, 'lif loop'):.1f} |")


if __name__ == "__main__":
    main()
