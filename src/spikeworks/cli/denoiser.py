"""What files and streams share: the denoiser of a run as ``--engine`` asks for it, and the line on its speed."""

from __future__ import annotations

import argparse
import dataclasses

from torch import nn

from ..core import quantities
from ..core.errors import KernelError
from ..deploy.denoise import Denoiser
from ..tasks.denoising import DenoisingTask

GROWS = "this network keeps every frame: memory and time grow with the length of the sound"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What denoises.

    Attributes:
        task: of the run.
        network: with the weights chosen on validation, in the form that runs.
        engine: what runs it, ``C`` or ``PyTorch``.
        note: why it is not C where C was not left out on purpose.
    """

    task: DenoisingTask
    network: nn.Module
    engine: str
    note: str | None = None


def load_denoiser(args: argparse.Namespace) -> Loaded:
    """The task of the run and its network, compiled as ``--engine`` asks.

    Raises:
        RunError: there is no such run, or it is not finished; ConfigError: its task is no denoising, or it has no C and
            C was asked for; KernelError: C was asked for, and there is no compiler.
    """
    from ..arena.denoising import load_denoiser as load
    from ..arena.store import load_run
    from ..deploy.c import CExportError, compiled

    task, network = load(load_run(args.run, args.out), args.data)
    if args.engine == "torch":
        return Loaded(task, network, "PyTorch")
    try:
        return Loaded(task, compiled(network), "C")
    except (CExportError, KernelError) as error:
        if args.engine == "c":
            raise
        reason = str(error).partition("\n")[0]
        return Loaded(task, network, "PyTorch", f"PyTorch runs the network, some times slower than C would: {reason}")


def report(denoiser: Denoiser, rate: int, engine: str) -> str:
    """Latency, speed and what runs the network, in one line."""
    latency = quantities.duration(denoiser.latency_samples / rate)
    text = f"latency {denoiser.latency_samples} samples ({latency})"
    factor = denoiser.real_time_factor
    if factor and denoiser.samples >= rate:  # less than a second says nothing
        pace = f"{1 / factor:.3g} times faster" if factor < 1 else f"{factor:.3g} times slower"
        text += f"; real-time factor {factor:.3g} ({pace} than real time)"
    return f"{text}; by {engine}"
