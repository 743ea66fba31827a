"""One layer of neurons on a GPU, forward and backward: Triton kernels, traced torch, loop, peers and the copy limit.

    python benchmarks/bench_gpu.py [--neurons lif alif tc-lif pmsn] [--shapes 784x64x256] [--rounds 7] [--tune]
    python benchmarks/bench_gpu.py --interpret        # no GPU: tiny shapes in Triton's interpreter, checks the script

Needs a CUDA device and the package triton; everything is measured in one run. Peers, where they are installed:
SpikingJelly's LIF, which on a GPU runs its own Triton or CUDA kernels, and its FlexSN around the step of a neuron
of ours, the form that it offers for neurons of one's own.

"device" is the time on the GPU alone: the calls are recorded once as a CUDA graph and replayed, so that neither
Python nor the launching of kernels counts. "called" is a plain call from Python under autograd. "kernels" are the
two launches on kept buffers, recorded likewise. The copy limit is as in bench_layers.py: five passes over
``[T, B, N]``, as two and a half copies of the very arrays. Memory is the peak above the arrays given, in arrays.

No figure is told unless spikes and gradients agree with the step-by-step loop.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
from bench_layers import COPY, PARAMETER_SEED, SHAPES, checked, copies, own, shape_of
from peers import DECAY, load, spikingjelly, under_autograd, version
from side_by_side import DisagreementError, Target, Times, check_spikes, parser, started, table, write
from torch import Tensor

from spikeworks.kernels import run_triton
from spikeworks.kernels.emit_triton import Pipeline
from spikeworks.neurons import LIF, NEURONS, Neuron, config_for

LARGER = ((100, 512, 1024), (784, 512, 256), (4, 64, 131072))
"""Beside the shapes of the CPU benchmark: enough neurons to fill a GPU, and few steps as in vision."""
TINY = ((5, 1, 3), (9, 2, 5))
FLEXIBLE = ("lif", "tc-lif")
"""Neurons whose step FlexSN is given: one number a coefficient."""
SETTLE = 0.03
"""Seconds of work in one measurement, so that the clock's own steps do not count."""

Run = Callable[[], Any]


def on_gpu() -> bool:
    """Whether figures come from a GPU; otherwise the script only checks itself."""
    return torch.cuda.is_available() and not run_triton.interpreting()


def per_call(run: Run, repeats: int) -> float:
    """Seconds of one call, from ``repeats`` calls in a row."""
    if not on_gpu():
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / repeats / 1e3


def in_turns(contestants: Mapping[str, Run], rounds: int) -> Times:
    """All contestants round after round, each round in another order."""
    repeats = {}
    for name, run in contestants.items():
        run()
        repeats[name] = max(1, min(300, int(SETTLE / max(per_call(run, 1), 1e-6))))
        per_call(run, repeats[name])
    rows: dict[str, list[float | None]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            rows[name].append(per_call(contestants[name], repeats[name]))
    return Times(rows)


def recorded(run: Run) -> Run:
    """The same work replayed as a CUDA graph; plain calls where there is no GPU."""
    if not on_gpu():
        return run
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def lone(neuron: Neuron, x: Tensor, gradient: Tensor) -> tuple[Run, Tensor, Tensor]:
    """The two launches of a call on its own buffers, poisoned first; with output and gradient of the input."""
    calls: list[tuple[Any, ...]] = []
    launch = run_triton.launch

    def noted(*call: Any) -> None:
        calls.append(call)
        launch(*call)

    with mock.patch.object(run_triton, "launch", noted):
        y, gx, *_ = own(neuron, "triton", x, gradient)()
    if len(calls) != 2:
        raise SystemExit(f"a call of {type(neuron).__name__} made {len(calls)} launches, expected 2")
    y.fill_(float("nan"))
    gx.fill_(float("nan"))

    def run() -> None:
        for call in calls:
            launch(*call)

    return run, y, gx


def peak(run: Run, x: Tensor) -> float:
    """Memory that a call needs at its height, in arrays of the size of ``x``; not a number without a GPU."""
    if not on_gpu():
        return float("nan")
    run()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / (x.numel() * x.element_size())


def build(name: str, size: int, device: torch.device) -> Neuron:
    """A registered neuron with reproducible initial values."""
    return config_for(name).build(size, torch.Generator().manual_seed(PARAMETER_SEED)).to(device).eval()


def flexible(neuron: Neuron, x: Tensor) -> Callable[[Tensor], Tensor]:
    """FlexSN around the step of a neuron of ours, with its coefficients as fixed inputs."""
    with torch.no_grad():
        coefficients = neuron.coefficients(**neuron.values())
    if not all(isinstance(c, Tensor) and c.dim() == 0 for c in coefficients.values()):
        raise ValueError("FlexSN is given neurons with one number a coefficient")
    keys, first = list(coefficients), 1 + len(neuron.states)

    def step(*arguments: Tensor) -> Any:
        return neuron.step(*arguments[:first], **dict(zip(keys, arguments[first:], strict=True)))

    # it counts the inputs in the signature
    names = ", ".join(f"a{k}" for k in range(first + len(keys)))
    core = eval(f"lambda {names}: step({names})", {"step": step})
    flex = load("spikingjelly.activation_based.neuron").FlexSN
    reset = load("spikingjelly.activation_based.functional").reset_net
    static = tuple(c.detach().to(x.device) for c in coefficients.values())  # type: ignore[union-attr]
    layer = flex(core, num_states=len(neuron.states), static_inputs=static, step_mode="m").to(x.device)

    def forward(signal: Tensor) -> Tensor:
        y = layer(signal)
        reset(layer)
        return y[0] if isinstance(y, tuple) else y

    return forward


def peers(x: Tensor, gradient: Tensor, expected: Mapping[str, Tensor]) -> tuple[dict[str, Run], list[str]]:
    """SpikingJelly's forms that run here and agree, and why others do not."""
    if not on_gpu():
        return {}, ["SpikingJelly: its GPU kernels need a GPU"]
    if version("spikingjelly") is None:
        return {}, ["SpikingJelly: not installed (see benchmarks/requirements.txt)"]
    forms: dict[str, tuple[str, Callable[[], Callable[[Tensor], Tensor]]]] = {
        "SpikingJelly LIF": ("lif", lambda: spikingjelly(x.shape[2]))
    }
    for name in FLEXIBLE:
        if name in expected:
            layer = build(name, x.shape[2], x.device)
            forms[f"SpikingJelly FlexSN, {name}"] = (name, lambda layer=layer: flexible(layer, x))
    found, left_out = {}, []
    for label, (name, make) in forms.items():
        if name not in expected:
            continue
        try:
            run = under_autograd(make(), x, gradient)
            y, gx = run()
            check_spikes(label, y, expected[name])
            if gx is None or not bool(gx.isfinite().all()):
                raise DisagreementError(f"{label} gives no usable gradient")
            found[label] = run
        except Exception as error:  # a peer that fails in whatever way must not end the benchmark
            left_out.append(f"{label}: {type(error).__name__}: {str(error).splitlines()[0]}")
    return found, left_out


def measure(shape: tuple[int, int, int], names: list[str], device: torch.device, rounds: int) -> dict[str, Any]:
    """Times, memory and notes of all contestants at one shape."""
    x, gradient = (0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(s)).to(device) for s in (0, 1))
    contestants: dict[str, Run] = {COPY: recorded(copies(x, gradient))}
    memory: dict[str, float] = {}
    spikes: dict[str, Tensor] = {}
    for name in names:
        neuron = build(name, shape[2], device)
        runs = {form: own(neuron, form, x, gradient) for form in ("triton", "torch", "loop")}
        expected = runs["loop"]()
        spikes[name] = expected[0]
        for form in ("triton", "torch"):
            checked(f"{name}, {form}", runs[form](), expected)
        alone, y, gx = lone(neuron, x, gradient)
        alone()
        checked(f"{name}, kernels", (y, gx), expected[:2])
        contestants[f"{name}, kernels"] = recorded(alone)
        contestants[f"{name}, device"] = recorded(runs["triton"])
        contestants |= {f"{name}, {'called' if form == 'triton' else form}": run for form, run in runs.items()}
        memory |= {f"{name}, called": peak(runs["triton"], x), f"{name}, loop": peak(runs["loop"], x)}
    others, left_out = peers(x, gradient, spikes)
    for label, run in others.items():
        contestants[f"{label}, called"] = run
        memory[f"{label}, called"] = peak(run, x)
        try:
            contestants[f"{label}, device"] = recorded(run)
        except Exception as error:  # not every library can be recorded
            left_out.append(f"{label}, device: {type(error).__name__}: {str(error).splitlines()[0]}")
            torch.cuda.synchronize()
    return {"times": in_turns(contestants, rounds), "memory": memory, "left_out": left_out, "peers": list(others)}


def show(found: Mapping[str, Any], names: list[str]) -> str:
    """Tables of one shape."""
    times, memory = found["times"], found["memory"]

    def ms(name: str) -> str:
        return f"{times.ms(name):.3f} ms" if name in times.seconds else "–"

    def share(name: str) -> str:
        return f"{100 * times.ratio(COPY, name):.0f} %" if name in times.seconds else "–"

    def needs(name: str) -> str:
        return f"{memory[name]:.1f}"

    rows = []
    for name in names:
        forms = [f"{name}, {form}" for form in ("kernels", "device", "called", "torch", "loop")]
        row = [ms(forms[0]), share(forms[0]), ms(forms[1]), share(forms[1]), *map(ms, forms[2:])]
        row += [needs(f"{name}, {form}") for form in ("called", "loop")]
        rows.append([name, *row, f"{times.ratio(forms[4], forms[2]):.1f}"])
    head = ["neuron", "kernels", "of copy", "device", "of copy", "called", "traced torch", "loop"]
    lines = [table([*head, "memory", "memory of loop", "loop / called"], rows)]
    if found["peers"]:
        rows = [
            [
                label,
                *(tell(f"{label}, device") for tell in (ms, share)),
                ms(f"{label}, called"),
                needs(f"{label}, called"),
            ]
            for label in found["peers"]
        ]
        lines.append(table(["peer", "device", "of copy", "called", "memory"], rows))
    return "\n\n".join([*lines, *(f"left out: {reason}" for reason in found["left_out"])])


def promised(shape: tuple[int, int, int], found: Mapping[str, Any]) -> list[Target]:
    """What is promised of a GPU at this shape."""
    times, at = found["times"], "x".join(map(str, shape))
    made = []
    if "lif, kernels" in times.seconds:
        made.append(Target(f"lif kernels, share of the copy limit, {at}", times.ratio(COPY, "lif, kernels"), 0.7))
    for label in found["peers"]:
        name = label.partition(", ")[2] or "lif"
        for form in ("device", "called"):
            if f"{label}, {form}" in times.seconds:
                ratio = times.ratio(f"{label}, {form}", f"{name}, {form}")
                made.append(Target(f"{label} / {name}, {form}, {at}", ratio, 1.0))
    return made


def tune(shape: tuple[int, int, int], device: torch.device, rounds: int) -> str:
    """LIF's kernels in every sensible form at a shape, the one that is chosen marked."""
    x, gradient = (0.5 * torch.randn(shape, generator=torch.Generator().manual_seed(s)).to(device) for s in (0, 1))
    neuron = LIF(shape[2], decay=DECAY).to(device)
    contestants: dict[str, Run] = {COPY: recorded(copies(x, gradient))}
    traced = neuron._trace(torch.float32)
    assert not isinstance(traced, str)
    chosen = run_triton.choose_pipeline(traced, 4, shape[0], shape[1] * shape[2])
    forms = {Pipeline(c, f, b) for c, f, b in itertools.product((4, 8, 16), (1, 2, 4), (1, 2)) if c < shape[0]}
    for form in sorted(forms | {chosen}, key=lambda p: (p.chunk, p.forward, p.backward)):
        with mock.patch.object(run_triton, "choose_pipeline", lambda *_, form=form: form):
            run, *_ = lone(neuron, x, gradient)
        contestants[f"{form.chunk} {form.forward} {form.backward}{' (chosen)' if form == chosen else ''}"] = recorded(
            run
        )
    times = in_turns(contestants, rounds)
    rows = [[name, f"{times.ms(name):.3f} ms", f"{100 * times.ratio(COPY, name):.0f} %"] for name in contestants]
    return table(["chunk, chunks ahead forward, backward", "kernels", "of copy"], rows)


def bandwidth(rounds: int) -> float:
    """Bytes read and written a second by a copy of 1 GiB."""
    source = torch.empty(1 << 28, device="cuda").normal_()
    sink = torch.empty_like(source)
    times = in_turns({COPY: recorded(lambda: sink.copy_(source))}, rounds)
    return 2 * source.numel() * 4 / (times.ms(COPY) / 1e3)


def ready(interpret: bool) -> torch.device:
    """The device to run on; ends with a message where there is none."""
    if importlib.util.find_spec("triton") is None:
        raise SystemExit(
            "bench_gpu needs the package triton: pip install triton (constraints-triton.txt has a version)"
        )
    if interpret:
        os.environ["TRITON_INTERPRET"] = "1"
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SystemExit(
            "bench_gpu measures on a CUDA device and torch sees none here; "
            "--interpret runs tiny shapes in Triton's interpreter instead, to check the script"
        )
    device = torch.device("cuda")
    if reason := run_triton.obstacle_to_triton(device, torch.float32, None):
        raise SystemExit(f"bench_gpu cannot run: {reason}")
    return device


def main() -> None:
    """Measure, print tables, write ``gpu.json``."""
    options = parser(__doc__, rounds=7)
    options.add_argument("--neurons", nargs="+", default=["lif", "alif", "tc-lif", "pmsn"], choices=NEURONS.names())
    options.add_argument("--shapes", nargs="+", type=shape_of, default=None)
    options.add_argument("--tune", action="store_true", help="also every form of LIF's kernels, at each shape")
    options.add_argument(
        "--interpret", action="store_true", help="check the script without a GPU; figures mean nothing"
    )
    given = options.parse_args()
    device = ready(given.interpret)
    line = started(given)
    about: dict[str, Any] = {"triton": load("triton").__version__}
    if on_gpu():
        properties = torch.cuda.get_device_properties(device)
        about |= {"gpu": properties.name, "processors": properties.multi_processor_count}
        about |= {"copy_bytes_per_second": bandwidth(given.rounds)}
        speed = about["copy_bytes_per_second"] / 1e12
        line = f"{properties.name}, copy {speed:.2f} TB/s; Triton {about['triton']}; {line}"
    print(line)
    shapes = given.shapes or (TINY if given.interpret else SHAPES + LARGER)
    found, targets = [], []
    for shape in shapes:
        try:
            one = measure(shape, given.neurons, device, given.rounds)
            tuned = f"\n{tune(shape, device, given.rounds)}" if given.tune else ""
        except torch.cuda.OutOfMemoryError:
            print(f"\n{'x'.join(map(str, shape))}: does not fit into the memory of the device")
            continue
        print(f"\nT={shape[0]} B={shape[1]} N={shape[2]}; two and a half copies: {one['times'].ms(COPY):.3f} ms\n")
        print(show(one, given.neurons) + tuned)
        targets += promised(shape, one) if on_gpu() else []
        found.append({"shape": shape, **one, "times": one["times"].to_dict()})
    write(given.out, "gpu", {"line": line, **about, "layers": found}, targets)


if __name__ == "__main__":
    main()
