"""Energy of one inference, from counted operations; both conventions side by side.

- ``convention``: arithmetic alone. ``E = MACs * E_MAC + ACs * E_AC``, with 4.6 pJ and 0.9 pJ
  in the default profile (specials, where there are any, at their own price). A layer
  that reads real values is counted in multiply-accumulates, one that reads spikes in
  accumulates; updates of the neurons' states are included and can be read apart
  (:attr:`EnergyReport.neurons_nj`), since many papers leave them out.
- ``memory aware``: the same, plus every weight fetched, every word of neuron state read and
  written. A word costs by its width and by the memory that is just large enough for the
  layer's weights (or its states of one step).

    report = energy(network, x)
    report.convention_nj, report.memory_aware_nj, report.table()

All constants: :mod:`~spikeworks.measure.constants`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor, nn

from ..core.operations import Operations
from .constants import DEFAULT_PROFILE, PROFILES, EnergyProfile
from .operations import LayerOperations, OperationsReport, count_operations, without_nan

_NJ_PER_PJ = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerEnergy:
    """Energy of one layer for one sequence, in nJ, and what it is made of.

    Attributes:
        arithmetic_nj: multiply-accumulates, accumulates and specials.
        weights_nj, states_nj: fetching weights; reading and writing neuron states.
        weight_memory, state_memory: the memories that serve this layer (``None``: not used).
    """

    name: str
    kind: str
    operations: Operations
    arithmetic_nj: float
    weights_nj: float
    states_nj: float
    weight_memory: str | None
    state_memory: str | None

    @property
    def convention_nj(self) -> float:
        """Arithmetic alone."""
        return self.arithmetic_nj

    @property
    def memory_aware_nj(self) -> float:
        """Arithmetic and memory traffic."""
        return self.arithmetic_nj + self.weights_nj + self.states_nj

    @property
    def keeps_state(self) -> bool:
        """True for neurons and leaky readouts."""
        return self.operations.state_writes > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """Energy of one inference, in nJ.

    Attributes:
        profile: every constant used, with its source.
        layers: one entry a layer.
        samples, steps: what was averaged over.
        uncounted, not_called: see :class:`~spikeworks.measure.operations.OperationsReport`;
            where one is not empty, the energy is a lower bound.
    """

    profile: EnergyProfile
    layers: tuple[LayerEnergy, ...]
    samples: int
    steps: float
    uncounted: tuple[str, ...]
    not_called: tuple[str, ...]

    @property
    def convention_nj(self) -> float:
        """Arithmetic of all layers."""
        return sum(layer.convention_nj for layer in self.layers)

    @property
    def memory_aware_nj(self) -> float:
        """Arithmetic and memory traffic of all layers."""
        return sum(layer.memory_aware_nj for layer in self.layers)

    @property
    def neurons_nj(self) -> float:
        """The part of :attr:`convention_nj` that updates states."""
        return sum(layer.convention_nj for layer in self.layers if layer.keeps_state)

    def table(self) -> list[dict[str, Any]]:
        """One row a layer and a last row ``total``; all rows have the same keys."""
        rows = [
            _row(layer.name, layer.kind, layer.operations, layer.convention_nj, layer.memory_aware_nj)
            for layer in self.layers
        ]
        total = sum((layer.operations for layer in self.layers), Operations())
        return [*rows, _row("total", "", total, self.convention_nj, self.memory_aware_nj)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a figure that is not known is ``None``."""
        plain = {
            "convention_nj": self.convention_nj,
            "memory_aware_nj": self.memory_aware_nj,
            "neurons_nj": self.neurons_nj,
            "layers": [
                {
                    **_row(layer.name, layer.kind, layer.operations, layer.convention_nj, layer.memory_aware_nj),
                    "weights_nj": layer.weights_nj,
                    "states_nj": layer.states_nj,
                    "weight_memory": layer.weight_memory,
                    "state_memory": layer.state_memory,
                }
                for layer in self.layers
            ],
            "samples": self.samples,
            "steps": self.steps,
            "uncounted": list(self.uncounted),
            "not_called": list(self.not_called),
            "profile": dataclasses.asdict(self.profile),
        }
        return without_nan(plain)


def energy(
    network: nn.Module,
    x: Tensor,
    mask: Tensor | None = None,
    profile: EnergyProfile | str = DEFAULT_PROFILE,
    *,
    batch_axis: int | None = None,
) -> EnergyReport:
    """Energy of one inference of ``network``, averaged over the sequences of ``x``.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject`.
        x: ``[T, B, ...]`` floats, ``[B, T]`` ids, or ``[B, C]`` floats; real samples, since
            energy depends on how often neurons fire.
        mask: ``[T, B]`` bool; padded steps cost nothing.
        profile: constants, or the name of a known profile.
        batch_axis: the batch axis of ``x`` where it is another.

    Raises:
        ShapeError: ``x`` is empty, or the mask does not fit or has gaps.
        UnknownName: no profile has that name.
    """
    return price(count_operations(network, x, mask, batch_axis=batch_axis), profile)


def price(counted: OperationsReport, profile: EnergyProfile | str = DEFAULT_PROFILE) -> EnergyReport:
    """Energy of operations that are counted already, to compare profiles on one count."""
    chosen = PROFILES.get(profile) if isinstance(profile, str) else profile
    return EnergyReport(
        profile=chosen,
        layers=tuple(_price_layer(layer, counted.steps, chosen) for layer in counted.layers),
        samples=counted.samples,
        steps=counted.steps,
        uncounted=counted.uncounted,
        not_called=counted.not_called,
    )


def _price_layer(layer: LayerOperations, steps: float, profile: EnergyProfile) -> LayerEnergy:
    done = layer.operations
    arithmetic = done.macs * profile.mac_pj + done.acs * profile.ac_pj + done.specials * profile.special.value
    weights = profile.tier(layer.parameters * profile.weight_bits / 8)
    words = done.state_reads + done.state_writes
    # All states of a layer are written once a step: that is how many words it keeps.
    states = profile.tier(done.state_writes / max(steps, 1.0) * profile.state_bits / 8)
    return LayerEnergy(
        name=layer.name,
        kind=layer.kind,
        operations=done,
        arithmetic_nj=arithmetic * _NJ_PER_PJ,
        weights_nj=done.weight_reads * weights.word_pj(profile.weight_bits) * _NJ_PER_PJ,
        states_nj=words * states.word_pj(profile.state_bits) * _NJ_PER_PJ,
        weight_memory=weights.name if done.weight_reads else None,
        state_memory=states.name if words else None,
    )


def _row(name: str, kind: str, done: Operations, convention: float, aware: float) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        **dataclasses.asdict(done),
        "convention_nj": convention,
        "memory_aware_nj": aware,
    }
