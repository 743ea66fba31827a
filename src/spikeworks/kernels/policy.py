"""Which form of a neuron runs, and why: chosen automatically, named in every report."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import logging
import os
from collections.abc import Iterator

import torch

from ..core.errors import ConfigError, UnknownName
from . import build
from .run import DTYPES

log = logging.getLogger(__name__)

CHOICES = ("auto", "loop", "c", "triton", "torch", "parallel")
VARIABLE = "SPIKEWORKS_KERNELS"
_forced: contextvars.ContextVar[str | None] = contextvars.ContextVar("spikeworks_kernels", default=None)


@dataclasses.dataclass(frozen=True)
class Decision:
    """A backend and the reason for it, in words."""

    backend: str
    reason: str


@contextlib.contextmanager
def use(backend: str) -> Iterator[None]:
    """Run neurons by ``backend`` inside the block: auto, loop, c, triton, torch or parallel.

    A function that torch.compile has compiled keeps the form that it was compiled with.

    Example:
        >>> with use("loop"):
        ...     requested()
        'loop'
    """
    token = _forced.set(_checked(backend, "backend"))
    try:
        yield
    finally:
        _forced.reset(token)


def requested() -> str:
    """The backend asked for by :func:`use`, else by ``SPIKEWORKS_KERNELS``, else ``auto``."""
    return _forced.get() or _checked(os.environ.get(VARIABLE, "auto"), VARIABLE)


def decide(device: torch.device, dtype: torch.dtype, untraceable: str | None, has_parallel: bool) -> Decision:
    """Choose for one call.

    Args:
        device, dtype: of the input.
        untraceable: why the step has no graph, or ``None`` where it has one.
        has_parallel: whether the neuron brings a form parallel in time.

    Raises:
        ConfigError: the backend asked for cannot run here.
    """
    wish = requested()
    if wish == "auto":
        return _automatic(device, dtype, untraceable, has_parallel)
    obstacle = {
        "loop": lambda: None,
        "parallel": lambda: None if has_parallel else "this neuron has none",
        "torch": lambda: untraceable,
        "c": lambda: _obstacle_to_c(device, dtype, untraceable),
        "triton": lambda: _obstacle_to_triton(device, dtype, untraceable),
    }[wish]()
    if wish in ("c", "torch", "triton"):
        obstacle = _plain_wanted() or obstacle
    if obstacle:
        raise ConfigError(f"The {_NAMES[wish]} was asked for, but {obstacle}.", "use auto or loop")
    return Decision(wish, "asked for")


_NAMES = {"c": "C kernel", "triton": "Triton kernel", "torch": "traced form", "parallel": "parallel form"}


def _automatic(device: torch.device, dtype: torch.dtype, untraceable: str | None, has_parallel: bool) -> Decision:
    plain = _plain_wanted()
    if plain:  # a neuron without a graph may be one without a step
        return Decision("parallel" if has_parallel and untraceable is not None else "loop", plain)
    obstacle = _obstacle_to_c(device, dtype, untraceable)
    if obstacle is None:
        return Decision("c", "traced and compiled for this processor")
    if device.type == "cuda":
        obstacle = _obstacle_to_triton(device, dtype, untraceable)
        if obstacle is None:
            return Decision("triton", "traced and compiled for this GPU")
    if has_parallel:
        return Decision("parallel", obstacle)
    if device.type == "cpu":
        _notice(obstacle)
    return Decision("loop" if untraceable is not None else "torch", obstacle)


def _plain_wanted() -> str | None:
    """Why a call must be made of plain torch operations, or ``None``."""
    if torch.compiler.is_exporting():
        return "an exported program holds plain torch operations, so that it runs where spikeworks is not"
    if torch._C._are_functorch_transforms_active():
        return "torch.func transforms see through plain torch operations alone"
    return None


def _obstacle_to_c(device: torch.device, dtype: torch.dtype, untraceable: str | None) -> str | None:
    if device.type != "cpu":
        return f"C kernels run on the CPU and the input is on {device.type}"
    if dtype not in DTYPES:
        return f"C kernels compute in float32 and float64, the input is {dtype}"
    if untraceable is not None:
        return untraceable
    flags = build.working_flags()
    return flags if isinstance(flags, str) else None


def _obstacle_to_triton(device: torch.device, dtype: torch.dtype, untraceable: str | None) -> str | None:
    from .run_triton import obstacle_to_triton  # triton is large, and absent from many machines

    return obstacle_to_triton(device, dtype, untraceable)


_noticed: set[str] = set()


def _notice(obstacle: str) -> None:
    """Say once a process why no kernel runs, and what to do."""
    if obstacle not in _noticed:
        _noticed.add(obstacle)
        advice = f" ({build.NO_COMPILER[1]})" if isinstance(build.working_flags(), str) else ""
        log.warning("neurons run step by step in torch: %s%s", obstacle, advice)


def _checked(name: str, what: str) -> str:
    if name not in CHOICES:
        raise UnknownName(what, name, CHOICES)
    return name
