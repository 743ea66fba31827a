"""Closed forms over time against each other and against the neuron's own loop, forward and backward.

    python benchmarks/bench_scans.py [--device cpu --steps 1024 --batch 64 --neurons 128 --repeats 5]

Every line is timed in turn, round after round; ratios are medians over rounds. The form that is
chosen where nobody asks is marked. No speed is reported for a form that disagrees with the others.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch

from spikeworks import kernels
from spikeworks.kernels.scan import FAMILIES, planned_form, use_forms
from spikeworks.measure import machine
from spikeworks.neurons import PMSN, Neuron, SlidingPSN

Run = Callable[[], torch.Tensor]


def timed(runs: Mapping[str, Run], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every run, taken in turn after one round that warms up and compares the results."""
    first = {name: run() for name, run in runs.items()}
    reference = next(iter(first.values()))
    for name, result in first.items():
        apart = (result - reference).abs() > 1e-3 * reference.abs().max()
        if apart.double().mean() > 1e-2:  # single spikes at the threshold may differ
            raise SystemExit(f"{name} disagrees with {next(iter(first))}; no speed is reported")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def pass_through(neuron: Neuron, x: torch.Tensor, gradient: torch.Tensor, backend: str, **forms: str) -> Run:
    """Forward and backward in one form; returns the input's gradient."""

    def run() -> torch.Tensor:
        signal = x.detach().requires_grad_()
        with kernels.use(backend), use_forms(**forms):
            y, _ = neuron(signal)
        y.backward(gradient)
        assert signal.grad is not None
        return signal.grad

    return run


def table(title: str, runs: Mapping[str, Run], chosen: str, repeats: int, device: torch.device) -> None:
    """Print medians, and how many times the first line each line is."""
    seconds = timed(runs, repeats, device)
    slow = next(iter(runs))
    print(f"\n{title}\n\n| form | forward + backward | {slow} / form |\n|---|---:|---:|")
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[slow], times, strict=True))
        mark = " (chosen)" if name == chosen else ""
        print(f"| {name}{mark} | {1e3 * statistics.median(times):.1f} ms | {ratio:.1f} |")


def main() -> None:
    """Time everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"steps": 1024, "batch": 64, "neurons": 128, "repeats": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    options = parser.parse_args()
    device: torch.device = options.device
    shape = (options.steps, options.batch, options.neurons)
    x, gradient = ((0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(s))).to(device) for s in (0, 1))
    print(f"T={shape[0]} B={shape[1]} N={shape[2]}, {device}, {torch.get_num_threads()} threads, {machine()}")

    neuron: Neuron = PMSN(options.neurons, generator=torch.Generator().manual_seed(0)).to(device)
    runs = {"loop": pass_through(neuron, x, gradient, "loop")}
    if device.type == "cpu":
        runs["c"] = pass_through(neuron, x, gradient, "c")
    direct = options.steps <= 256  # its matrices grow with the square of T
    for form in FAMILIES["diagonal"]:
        if form not in ("loop", "associative") and (form != "direct" or direct):
            runs[form] = pass_through(neuron, x, gradient, "parallel", diagonal=form)
    table("PMSN, hidden compartments", runs, planned_form("diagonal", x)[0], options.repeats, device)

    runs = {f: pass_through(neuron, x, gradient, "parallel", modulo=f) for f in FAMILIES["modulo"]}
    table("PMSN, modulo reset", runs, planned_form("modulo", x)[0], options.repeats, device)

    for window in (8, 32, 256):
        neuron = SlidingPSN(options.neurons, window=window).to(device)
        forms = [f for f in FAMILIES["window"] if f != "shifted" or window < 100]
        runs = {f: pass_through(neuron, x, gradient, "parallel", window=f) for f in forms}
        chosen = planned_form("window", x, window)[0]
        table(f"Sliding PSN, window {window}", runs, chosen, max(1, options.repeats // 2), device)


if __name__ == "__main__":
    main()
