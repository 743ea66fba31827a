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

CHOICES = ("auto", "loop", "c", "torch", "parallel")
VARIABLE = "SPIKEWORKS_KERNELS"
_forced: contextvars.ContextVar[str | None] = contextvars.ContextVar("spikeworks_kernels", default=None)


@dataclasses.dataclass(frozen=True)
class Decision:
    """A backend and the reason for it, in words."""

    backend: str
    reason: str


@contextlib.contextmanager
def use(backend: str) -> Iterator[None]:
    """Run neurons by ``backend`` inside the block: auto, loop, c, torch or parallel.

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
    obstacle = _obstacle_to_c(device, dtype, untraceable)
    if wish == "loop":
        return Decision("loop", "asked for")
    if wish == "parallel":
        if not has_parallel:
            raise ConfigError("The parallel form was asked for, but this neuron has none.", "use auto, loop or c")
        return Decision("parallel", "asked for")
    if wish == "torch":
        if untraceable is not None:
            raise ConfigError(f"The traced form was asked for, but {untraceable}", "use auto or loop")
        return Decision("torch", "asked for")
    if wish == "c":
        if obstacle:
            raise ConfigError(f"The C kernel was asked for, but {obstacle}.", "use auto or loop")
        return Decision("c", "asked for")
    if obstacle is None:
        return Decision("c", "traced and compiled for this processor")
    if has_parallel:
        return Decision("parallel", obstacle)
    if device.type == "cpu":
        _notice(obstacle)
    return Decision("loop" if untraceable is not None else "torch", obstacle)


def _obstacle_to_c(device: torch.device, dtype: torch.dtype, untraceable: str | None) -> str | None:
    if device.type != "cpu":
        return f"C kernels run on the CPU and the input is on {device.type}"
    if dtype not in DTYPES:
        return f"C kernels compute in float32 and float64, the input is {dtype}"
    if untraceable is not None:
        return untraceable
    flags = build.working_flags()
    return flags if isinstance(flags, str) else None


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
