"""Closed forms over time against each other and against the neuron's own loop, forward and backward.

    python benchmarks/bench_scans.py [--device cpu --steps 1024 --batch 64 --neurons 128 --rounds 5 --threads 2]

Every line is timed in turn, round after round; ratios are medians over rounds. The form that is
chosen where nobody asks is marked. No speed is reported for a form that disagrees with the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from side_by_side import Contestant, Times, in_turns, parser, started, table, write

from spikeworks import kernels
from spikeworks.kernels.scan import FAMILIES, planned_form, use_forms
from spikeworks.neurons import PMSN, Neuron, SlidingPSN

Run = Callable[[], torch.Tensor]


def compare(runs: Mapping[str, Run]) -> None:
    """Refuse forms that disagree with the first; single spikes at the threshold may differ."""
    first = {name: run() for name, run in runs.items()}
    reference = next(iter(first.values()))
    for name, result in first.items():
        apart = (result - reference).abs() > 1e-3 * reference.abs().max()
        if apart.double().mean() > 1e-2:
            raise SystemExit(f"{name} disagrees with {next(iter(first))}; no speed is reported")


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


def measure(title: str, runs: Mapping[str, Run], chosen: str, rounds: int, device: torch.device) -> Times:
    """Print medians, and how many times the first line each line is."""
    compare(runs)

    def finished(run: Run) -> Contestant:
        def wait() -> None:
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return wait

    times = in_turns({name: finished(run) for name, run in runs.items()}, rounds)
    slow = next(iter(runs))
    rows = [
        [f"{name} (chosen)" if name == chosen else name, f"{times.ms(name):.1f} ms", f"{times.ratio(slow, name):.1f}"]
        for name in runs
    ]
    print(f"\n{title}\n\n{table(['form', 'forward + backward', f'{slow} / form'], rows)}")
    return times


def main() -> None:
    """Time everything, print the tables, write ``scans.json``."""
    options = parser(__doc__, rounds=5)
    for name, value in {"steps": 1024, "batch": 64, "neurons": 128}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    given = options.parse_args()
    device: torch.device = given.device
    shape = (given.steps, given.batch, given.neurons)
    x, gradient = ((0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(s))).to(device) for s in (0, 1))
    line = started(given)
    print(f"{line}\nT={shape[0]} B={shape[1]} N={shape[2]}, {device}")
    found: dict[str, Times] = {}

    neuron: Neuron = PMSN(given.neurons, generator=torch.Generator().manual_seed(0)).to(device)
    runs = {"loop": pass_through(neuron, x, gradient, "loop")}
    if device.type == "cpu":
        runs["c"] = pass_through(neuron, x, gradient, "c")
    direct = given.steps <= 256  # its matrices grow with the square of T
    for form in FAMILIES["diagonal"]:
        if form not in ("loop", "associative") and (form != "direct" or direct):
            runs[form] = pass_through(neuron, x, gradient, "parallel", diagonal=form)
    title = "PMSN, hidden compartments"
    found[title] = measure(title, runs, planned_form("diagonal", x)[0], given.rounds, device)

    runs = {f: pass_through(neuron, x, gradient, "parallel", modulo=f) for f in FAMILIES["modulo"]}
    title = "PMSN, modulo reset"
    found[title] = measure(title, runs, planned_form("modulo", x)[0], given.rounds, device)

    for window in (8, 32, 256):
        neuron = SlidingPSN(given.neurons, window=window).to(device)
        forms = [f for f in FAMILIES["window"] if f != "shifted" or window < 100]
        runs = {f: pass_through(neuron, x, gradient, "parallel", window=f) for f in forms}
        chosen = planned_form("window", x, window)[0]
        title = f"Sliding PSN, window {window}"
        found[title] = measure(title, runs, chosen, max(1, given.rounds // 2), device)
    times = {name: one.to_dict() for name, one in found.items()}
    write(given.out, "scans", {"line": line, "shape": shape, "times": times})


if __name__ == "__main__":
    main()
