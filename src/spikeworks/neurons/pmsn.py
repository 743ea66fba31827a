"""PMSN: linear oscillating compartments before an integrator with modulo reset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..kernels.scan import diagonal_scan, modulo_scan, planned_forms, whole_thresholds
from .base import Coefficient, Neuron
from .description import Option, register_neuron
from .parameters import Parameter, above_zero, real


def coupling_matrix(compartments: int, coupling: float = 5.0) -> Tensor:
    """The tridiagonal start matrix ``-I/2 + K`` with ``K[i,i+1] = coupling (i+1) = -K[i+1,i]``, float64."""
    steps = coupling * torch.arange(1, compartments, dtype=torch.float64)
    return torch.diag(steps, 1) - torch.diag(steps, -1) - 0.5 * torch.eye(compartments, dtype=torch.float64)


def eigenbasis(compartments: int, coupling: float = 5.0) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[N]`` (complex128) and the unitary eigenvector matrix of :func:`coupling_matrix`."""
    skew = coupling_matrix(compartments, coupling) + 0.5 * torch.eye(compartments, dtype=torch.float64)
    frequencies, vectors = torch.linalg.eigh(-1j * skew.to(torch.complex128))
    return -0.5 + 1j * frequencies, vectors


def _from_basis(pick: str) -> Any:
    def draw(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        values, vectors = eigenbasis(shape[-1])
        entry = vectors.conj().sum(0) if pick.startswith("input") else vectors[-1]
        row = {"frequency": values.imag}.get(pick, entry.imag if pick.endswith("imag") else entry.real)
        return row.expand(shape).clone()

    return draw


def _log_uniform(low: float, high: float) -> Any:
    def draw(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        return torch.exp(math.log(low) + u * (math.log(high) - math.log(low)))

    return draw


def _normal(neuron: Neuron, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@register_neuron("pmsn")
class PMSN(Neuron):
    """Parallel multi-compartment spiking neuron.

    N linear compartments, diagonal after a change of basis, discretised by zero-order hold:
    ``z <- exp(L * dt) z + B x`` (complex), ``h = Re(sum C z) + D x``. The output compartment
    integrates ``ReLU(h)`` and a spike takes all whole thresholds away:
    ``v = r + ReLU(h)``, ``s = [v >= threshold]``, ``r = v mod threshold``. The remainder r is a
    constant in backward, so credit flows through the linear compartments alone.

    The state keeps z divided by ``(exp(L dt) - 1) / L * B'``, which is folded into the read-out
    coefficient: the same h for fewer multiplications. :meth:`parallel` evaluates all steps at
    once, reset included.

    ``output`` names what is sent:

    - ``"spike"``: 0 or 1; of a large current, the thresholds above the first are lost;
    - ``"burst"``: the number of whole thresholds, ``floor(v / threshold)``, so that none is lost.
      Its derivative is that of the last threshold passed, the first one where none is: the
      surrogate at ``v - max(1, burst) * threshold``, as in the authors' program.

    ``output_reset`` is ``"modulo"``, or for ablation

    - ``"none"``: the output compartment integrates on, its gradient included, and a neuron that
      has reached its threshold fires ever after;
    - ``"memoryless"``: the potential is the current of one step, a threshold on ReLU(h) itself.

    Args (as configuration):
        compartments: N, the number of hidden compartments (4 in the paper).

    Source: arXiv 2408.14917; initial values of the authors' program.
    """

    option_types = {
        "output": Literal["spike", "burst"],
        "output_reset": Literal["modulo", "none", "memoryless"],
    }

    step_size = Parameter(
        None, above_zero, per="channel", initial=_log_uniform(1e-3, 1e-1), doc="dt, time per step", rate=0.1
    )
    damping = Parameter(0.5, above_zero, per="channel", inner="compartments", doc="-Re L, 1 / time", rate=0.1)
    frequency = Parameter(
        None, real, per="channel", inner="compartments", initial=_from_basis("frequency"), doc="Im L, rad / time"
    )
    input_real = Parameter(
        None, real, per="channel", inner="compartments", initial=_from_basis("input_real"), doc="Re B'"
    )
    input_imag = Parameter(
        None, real, per="channel", inner="compartments", initial=_from_basis("input_imag"), doc="Im B'"
    )
    output_real = Parameter(
        None, real, per="channel", inner="compartments", initial=_from_basis("output_real"), doc="Re C"
    )
    output_imag = Parameter(
        None, real, per="channel", inner="compartments", initial=_from_basis("output_imag"), doc="Im C"
    )
    feedthrough = Parameter(None, real, per="channel", initial=_normal, doc="D, input straight to the output")
    threshold = Parameter(1.0, above_zero, trainable=False, doc="firing threshold")
    compartments = Option(4, "number of hidden compartments")
    output = Option("spike", "spike (0 or 1) or burst (the number of whole thresholds)")
    output_reset = Option("modulo", "reset of the output compartment: modulo, none or memoryless")

    def prepare(self) -> None:
        if self.compartments < 1:
            raise ConfigError(f"PMSN needs at least one hidden compartment, got {self.compartments}.")
        for name, choices in self.option_types.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}.")
        modes = [f"{part}{k}" for k in range(self.compartments) for part in ("real", "imag")]
        left = {"modulo": ("remainder",), "none": ("potential",), "memoryless": ()}
        self.states = (*modes, *left[self.output_reset])

    def coefficients(self, **values: Any) -> dict[str, Coefficient]:
        stacked = {k: torch.stack(v, -1) if isinstance(v, tuple) else v for k, v in values.items()}
        rate = torch.complex(-stacked["damping"], stacked["frequency"])
        decay = torch.exp(rate * stacked["step_size"].unsqueeze(-1))
        inputs = torch.complex(stacked["input_real"], stacked["input_imag"])
        outputs = torch.complex(stacked["output_real"], stacked["output_imag"])
        readout = outputs * inputs * (decay - 1.0) / rate
        return {
            "decay_real": decay.real.unbind(-1),
            "decay_imag": decay.imag.unbind(-1),
            "read_real": readout.real.unbind(-1),
            "read_imag": readout.imag.unbind(-1),
            "feedthrough": stacked["feedthrough"],
            "threshold": stacked["threshold"],
        }

    def step(
        self,
        x: Tensor,
        *states: Tensor,
        decay_real: Sequence[Tensor],
        decay_imag: Sequence[Tensor],
        read_real: Sequence[Tensor],
        read_imag: Sequence[Tensor],
        feedthrough: Tensor,
        threshold: Tensor,
    ) -> Sequence[Tensor]:
        current, moved = feedthrough * x, []
        for k in range(self.compartments):
            re, im = states[2 * k], states[2 * k + 1]
            re, im = decay_real[k] * re - decay_imag[k] * im + x, decay_real[k] * im + decay_imag[k] * re
            current = current + (read_real[k] * re - read_imag[k] * im)
            moved += [re, im]
        potential = torch.relu(current)
        if self.output_reset == "memoryless":
            return self.emit(potential, threshold), *moved
        potential = states[-1] + potential
        left = potential if self.output_reset == "none" else whole_thresholds(potential, threshold)[1].detach()
        return self.emit(potential, threshold), *moved, left

    def emit(self, potential: Tensor, threshold: Tensor) -> Tensor:
        """What the output compartment sends at a potential before the reset; elementwise."""
        if self.output == "spike":
            return self.fire(potential - threshold)
        count = whole_thresholds(potential, threshold)[0].detach()
        passed = self.fire(potential - count.clamp(min=1.0) * threshold)
        return passed + (count - passed).detach()

    def parallel(  # type: ignore[override]
        self,
        x: Tensor,
        *states: Tensor,
        decay_real: Sequence[Tensor],
        decay_imag: Sequence[Tensor],
        read_real: Sequence[Tensor],
        read_imag: Sequence[Tensor],
        feedthrough: Tensor,
        threshold: Tensor,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps at once: a diagonal scan for h, then a scan of the modulo reset.

        Forms and costs: :mod:`spikeworks.kernels.scan`; which ones run, and why: :meth:`parallel_form`.
        """
        modes = torch.complex(*(torch.stack(states[part : 2 * self.compartments : 2]) for part in (0, 1)))
        decay = torch.complex(torch.stack(list(decay_real)), torch.stack(list(decay_imag)))
        read = torch.complex(torch.stack(list(read_real)), torch.stack(list(read_imag)))
        current, modes = diagonal_scan(x, decay, read, modes)
        potential, left = torch.relu(current + feedthrough * x), ()
        if self.output_reset == "none":
            potential = states[-1] + torch.cumsum(potential, 0)
            left = (potential[-1],)
        elif self.output_reset == "modulo":
            potential, remainder = modulo_scan(potential, states[-1], threshold)
            left = (remainder,)
        moved = torch.stack([modes.real, modes.imag], 1).flatten(0, 1).unbind(0)
        return self.emit(potential, threshold), [*moved, *left]

    def parallel_form(self, x: Tensor) -> tuple[str, str]:
        """The forms of the scans that :meth:`parallel` takes for ``x [T, B, size, ...]``, and why."""
        families = ("diagonal", "modulo") if self.output_reset == "modulo" else ("diagonal",)
        return planned_forms(x, *families)
