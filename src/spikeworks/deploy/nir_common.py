"""What NIR export and import share: the package, the step of time, and the words of a refusal.

NIR (Neuromorphic Intermediate Representation, doi 10.1038/s41467-024-52259-9) describes neurons by differential
equations and leaves their solution to the reader, so a graph means one network only together with a step and a
method; :class:`Clock` is that pair, and export notes it in the graph's metadata.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError

Discretisation = Literal["euler", "exact"]


class NIRError(ConfigError):
    """A network or a graph that the other side cannot express; the message names the node and the reason."""

    def __init__(self, node: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"NIR: {node}: {reason}", hint)


def require_nir() -> Any:
    """The package ``nir``.

    Raises:
        ConfigError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module("nir")
    except ImportError:
        raise ConfigError(
            "Reading and writing NIR needs the package 'nir', which is not installed.",
            "pip install 'spikeworks[nir]' (it brings h5py, nothing else)",
        ) from None


@dataclasses.dataclass(frozen=True)
class Clock:
    """How differential equations become steps.

    Both methods give ``v <- decay * v + (1 - decay) * (v_leak + r * input)`` for
    ``tau dv/dt = v_leak - v + r * input``; they differ in the decay.

    Args:
        dt: time between two steps, in seconds.
        method: ``euler``, ``decay = 1 - dt / tau`` (what most libraries mean by a NIR file); or
            ``exact``, ``decay = exp(-dt / tau)``, the solution for an input held over the step.

    Example:
        >>> clock = Clock(dt=0.5)
        >>> clock.decay(torch.tensor(2.0)), clock.tau(torch.tensor(0.75))
        (tensor(0.7500), tensor(2.))

    Raises:
        ConfigError: a step that is not positive, or no such method.
    """

    dt: float = 1e-4
    method: Discretisation = "euler"

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise ConfigError(f"The time step must be above 0 seconds, got dt={self.dt!r}.")
        if self.method not in ("euler", "exact"):
            raise ConfigError(f"The discretisation is 'euler' or 'exact', got {self.method!r}.")

    def tau(self, decay: Tensor) -> Tensor:
        """The time constant in seconds that stands for a decay below 1."""
        return self.dt / (1.0 - decay) if self.method == "euler" else -self.dt / torch.log(decay)

    def decay(self, tau: Tensor) -> Tensor:
        """The decay a step of a time constant in seconds."""
        return 1.0 - self.dt / tau if self.method == "euler" else torch.exp(-self.dt / tau)
