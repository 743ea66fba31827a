"""A denoiser frame by frame, its network by PyTorch and by C, on one core, and where the time of a frame goes.

    OMP_NUM_THREADS=1 python benchmarks/bench_stream.py [--rounds 9 --frames 125 --networks recipe s m l xl]

Spiking-FullSubNet in the published sizes at 16 kHz and that of the recipe ``denoise`` at 8 kHz, with random weights:
half of the neurons fire, as after training. Every push brings the samples of one frame, 8 ms of sound. In turns within
one process: the denoiser on the network itself, on the network compiled (float32 and int8), and on a network that
answers zeros, which is what the transform and the filter around it take. Times are of the processor: those of the
clock on the wall are its neighbours' as well. The network alone is called on frames that lie ready; the weights that it
reads are those of inputs that are not 0, next to one reading of all of them by PyTorch.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch
from side_by_side import check_close, in_turns, parser, started, table, write
from torch import Tensor, nn

from spikeworks.core.errors import KernelError
from spikeworks.deploy import Denoiser
from spikeworks.deploy.c import CompiledNetwork, compiled
from spikeworks.measure import count_operations
from spikeworks.models import NETWORKS, Network
from spikeworks.tasks import task_for
from spikeworks.tasks.denoise_stream import DenoisingStream
from spikeworks.tasks.denoising import DenoisingTask

TAPS = {"recipe": 3, "s": 3, "m": 5, "l": 5, "xl": 5}
CHECKED = 60
"""Frames on which both engines are compared, in float64."""
ENGINES = ("PyTorch", "C", "C, int8", "no network")


class Silent(nn.Module):
    """Answers zeros, at no cost, with a state."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.answer = torch.zeros(1, 1, outputs)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Tensor]:
        return self.answer.expand(len(x), -1, -1), torch.zeros(1)


def built(size: str) -> tuple[DenoisingTask, Network]:
    """The task of a size, without data, and its network."""
    name = "denoise-digits" if size == "recipe" else "ndns"
    task: Any = task_for(name, mask="complex", taps=TAPS[size]).build()
    options = {"widths": (4, 16, 32), "orders": (3, 1, 1)} if size == "recipe" else {}
    config = NETWORKS.get("spiking-fullsubnet" + ("" if size == "recipe" else f"-{size}"))(**options)
    network = config.build(task.signature.inputs, task.signature.outputs, torch.Generator().manual_seed(0))
    return task, network.eval()


@dataclasses.dataclass
class Stream:
    """A denoiser that is pushed frame after frame of an endless noise; notes what each push takes of the processor."""

    denoiser: Denoiser
    frames: int
    spent: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        hop = self.denoiser.path.hop
        drawn = torch.Generator().manual_seed(1)
        self.pieces = list(0.1 * torch.randn(self.frames, hop, generator=drawn))
        self.denoiser.push(torch.zeros(8 * hop))

    def __call__(self) -> None:
        for piece in self.pieces:
            begun = time.process_time()
            self.denoiser.push(piece)
            self.spent.append(time.process_time() - begun)

    def slow(self) -> float:
        """Milliseconds that all pushes but a hundredth stay below."""
        return 1e3 * sorted(self.spent)[int(0.99 * len(self.spent))]


def alone(network: nn.Module, frames: Tensor) -> Callable[[], None]:
    """A network on frames ``[T, 1, F]`` one by one, the state carried."""
    held: list[Any] = [None]

    def run() -> None:
        with torch.no_grad():
            for frame in frames.split(1):
                _, held[0] = network(frame, held[0])

    return run


def checked(size: str, network: Network, x: Tensor) -> None:
    """Refuse a figure where the compiled network says something else, in float64."""
    with torch.no_grad():
        expected, _ = network.double()(x.double())
    found, _ = compiled(network, dtype=torch.float64)(x.double())
    network.float()
    check_close(f"{size}, compiled", found, expected, rtol=1e-9, atol=1e-10)


def one(size: str, frames: int, rounds: int) -> dict[str, Any]:
    """All figures of a size."""
    task, network = built(size)
    x = torch.rand(CHECKED, 1, task.signature.inputs, generator=torch.Generator().manual_seed(2))
    checked(size, network, x)
    fast, small = compiled(network), compiled(network, weights="int8")
    forms = dict(zip(ENGINES, (network, fast, small, Silent(task.signature.outputs)), strict=True))
    streams = {name: Stream(Denoiser(form, DenoisingStream(task)), frames) for name, form in forms.items()}
    times = in_turns(streams, rounds, clock=time.process_time)
    ready = x.repeat(-(-frames // CHECKED), 1, 1)[:frames]
    bare = {name: alone(forms[name], ready) for name in ENGINES[:3]}
    values = fast.tables.view(torch.float32)
    calls = in_turns(
        {**bare, "all weights": lambda: [values.sum() for _ in range(frames)]}, rounds, clock=time.process_time
    )
    return {
        "network": size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "frame_ms": 1e3 * task.front.stft.hop / task.rate,
        "cpu_ms": {name: times.ms(name) / frames for name in ENGINES},
        "p99_ms": {name: stream.slow() for name, stream in streams.items()},
        "faster": {name: times.ratio("PyTorch", name) for name in ENGINES[1:3]},
        "network_us": {name: 1e3 * calls.ms(name) / frames for name in bare},
        "read_bytes": read_bytes(network, x),
        "table_bytes": {"C": len(fast.tables), "C, int8": len(small.tables)},
        "table_us": 1e3 * calls.ms("all weights") / frames,
        "state_bytes": fast.state_bytes,
        "rounds": times.to_dict(),
    }


def read_bytes(network: Network, x: Tensor) -> float:
    """Bytes of float32 weights that a frame of ``x [T, B, F]`` reads: the columns of inputs that are not 0."""
    counted = count_operations(network, x)
    return 4.0 * counted.total.weight_reads / len(x)


def compile_seconds(network: CompiledNetwork) -> float:
    """Seconds that the compiler takes for a source that it has not seen."""
    from spikeworks.kernels import build

    begun = time.perf_counter()
    build.load(f"{network.source}\n/* {time.time_ns()} */\n")
    return time.perf_counter() - begun


def main() -> None:
    """Measure, print tables, write ``stream.json``."""
    options = parser(__doc__, rounds=9)
    options.set_defaults(threads=1)
    options.add_argument("--frames", type=int, default=125, help="frames of a round")
    options.add_argument("--networks", nargs="+", default=list(TAPS), choices=list(TAPS))
    given = options.parse_args()
    line = started(given)
    print(line)
    try:
        found = [one(size, given.frames, given.rounds) for size in given.networks]
    except KernelError as error:
        raise SystemExit(str(error)) from error
    seconds = compile_seconds(compiled(built(given.networks[0])[1]))
    print("\nA push of one frame (8 ms of sound): processor time, real-time factor, 99 of 100 pushes within\n")
    rows = []
    for row in found:
        cells = [f"{row['parameters']:,}"]
        for name in ENGINES[:3]:
            cpu = row["cpu_ms"][name]
            cells.append(f"{cpu:.2f} ms, {cpu / row['frame_ms']:.3f}, {row['p99_ms'][name]:.2f} ms")
        rows.append([row["network"], *cells, f"{row['faster']['C']:.1f}", f"{row['cpu_ms']['no network']:.2f} ms"])
    print(table(["", "parameters", *ENGINES[:3], "PyTorch / C", "no network"], rows))
    print("\nThe network alone, a call a frame\n")
    rows = []
    for row in found:
        times = row["network_us"]
        read, pace = row["read_bytes"] / 1e6, row["read_bytes"] / times["C"] / 1e3
        whole = row["table_bytes"]["C"] / row["table_us"] / 1e3
        cells = [f"{times[name]:.0f} µs" for name in ENGINES[:3]]
        rows.append([row["network"], *cells, f"{read:.2f} MB", f"{pace:.0f} GB/s", f"{whole:.0f} GB/s"])
    head = ["", *ENGINES[:3], "weights read", "by C", "one reading of all weights"]
    print(table(head, rows))
    print(f"\nThe compiler takes {seconds:.1f} s for {given.networks[0]}, once on a machine, whatever the weights")
    write(given.out, "stream", {"line": line, "compile_seconds": seconds, "networks": found})


if __name__ == "__main__":
    main()
