"""Operations and energy by the convention of a paper, see :mod:`~spikeworks.measure.conventions`.

Counted are ``nn.Linear`` and ``nn.Conv``, and whatever of this package is such a map: a module whose every
multiply-accumulate on real numbers reads one weight, and nothing else. Recurrent weights and readouts are counted as
the map that they hold, at every step. Weights of zero count like others. What computes but is no such map is named in
:attr:`ConventionReport.unseen`.

    report = energy_by(network, x, convention="neurobench")
    report.macs, report.acs, report.energy_nj, report.unseen
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..core.operations import HoldsSynapses, Operations
from .conventions import CONVENTIONS, NEUROBENCH, Convention
from .rules import counter_for
from .subject import extent, infer, tensors_in

_NJ_PER_PJ = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerByConvention:
    """One map, for one sequence (or what the convention takes for one).

    Attributes:
        name: dotted name in the network.
        kind: its class.
        macs, acs: operations.
        dense: operations with nothing left out.
        rate: mean magnitude of what it reads.
        spikes: whether that was -1, 0 and 1 in every call.
        energy_nj: in nJ.
    """

    name: str
    kind: str
    macs: float
    acs: float
    dense: float
    rate: float
    spikes: bool
    energy_nj: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConventionReport:
    """Cost of one inference by a convention.

    Attributes:
        convention: the rule, with its source and faults.
        layers: in the order of their first call.
        samples, steps: of the batch that was counted.
        unseen: modules that compute something which the convention does not look at.
    """

    convention: Convention
    layers: tuple[LayerByConvention, ...]
    samples: int
    steps: float
    unseen: tuple[str, ...]

    @property
    def macs(self) -> float:
        """Multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def acs(self) -> float:
        """Accumulates of all layers."""
        return sum(layer.acs for layer in self.layers)

    @property
    def dense(self) -> float:
        """Operations of all layers with nothing left out."""
        return sum(layer.dense for layer in self.layers)

    @property
    def energy_nj(self) -> float:
        """Energy of all layers, in nJ."""
        return sum(layer.energy_nj for layer in self.layers)

    @property
    def charged_as_spikes(self) -> tuple[str, ...]:
        """Layers that read other values than -1, 0 and 1 and are charged accumulates all the same."""
        return tuple(layer.name for layer in self.layers if layer.acs and not layer.spikes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        totals = {"macs": self.macs, "acs": self.acs, "dense": self.dense, "energy_nj": self.energy_nj}
        return dataclasses.asdict(self) | totals | {"charged_as_spikes": list(self.charged_as_spikes)}


def energy_by(
    network: nn.Module,
    x: Tensor,
    mask: Tensor | None = None,
    convention: Convention | str = NEUROBENCH,
    *,
    batch_axis: int | None = None,
) -> ConventionReport:
    """Cost of one inference of ``network`` as a paper would print it, in eval mode and without gradients.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject`.
        x: ``[T, B, ...]`` floats, ``[B, T]`` ids, or ``[B, C]`` floats; real samples.
        mask: ``[T, B]`` bool; padded steps cost nothing.
        convention: the rule, or the name of a known one.
        batch_axis: the batch axis of ``x`` where it is another.

    Raises:
        ShapeError: ``x`` is empty, or the mask does not fit or has gaps.
        UnknownName: no convention has that name.

    Example:
        >>> network, x = nn.Linear(4, 3), torch.ones(5, 2, 4)
        >>> energy_by(network, x).acs == 5 * 4 * 3
        True
    """
    rule = CONVENTIONS.get(convention) if isinstance(convention, str) else convention
    size = extent(x, mask, batch_axis)
    tallies = _Tallies(network)
    try:
        infer(network, x, mask)
    finally:
        tallies.close()
    parts = size.samples if rule.per == "sample" else extent(x, None, batch_axis).steps
    layers = [_priced(one, rule, i == 0, size.steps, parts) for i, one in enumerate(tallies.maps.values())]
    return ConventionReport(
        convention=rule,
        layers=tuple(layers),
        samples=size.samples,
        steps=size.steps,
        unseen=tuple(tallies.unseen),
    )


@dataclasses.dataclass
class _Tally:
    """Sums over all calls of one map: both ways of counting."""

    name: str
    kind: str
    size: int = 0
    magnitude: float = 0.0
    by_shape: float = 0.0
    dense: float = 0.0
    acs: float = 0.0
    macs: float = 0.0
    spikes: bool = True

    def add(self, module: nn.Module, signal: Tensor, result: Tensor, by_shape: float) -> None:
        spikes = bool(((signal == 0) | (signal.abs() == 1)).all())
        met = _operations(module, (signal != 0).to(result.dtype), result).acs
        self.acs, self.macs = self.acs + met * spikes, self.macs + met * (not spikes)
        self.dense += _operations(module, torch.ones_like(signal, dtype=result.dtype), result).acs
        self.by_shape += by_shape
        self.size += signal.numel()
        self.magnitude += signal.abs().sum(dtype=torch.float64).item()
        self.spikes = self.spikes and spikes


class _Tallies:
    """One tally for each map that is called, by the module's name, fed by forward hooks."""

    def __init__(self, network: nn.Module) -> None:
        self.maps: dict[str, _Tally] = {}
        self.unseen: dict[str, None] = {}
        self._names = {id(module): name or type(module).__name__ for name, module in network.named_modules()}
        self._hooks = [
            module.register_forward_hook(self._note, with_kwargs=True) for module in _counted(network, set())
        ]

    def close(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        x, y = next(tensors_in([*args, *kwargs.values()]), None), next(tensors_in(result), None)
        if x is None or y is None:
            return
        inside: Any = module.synapses(x, y) if isinstance(module, HoldsSynapses) else [(module, x, y)]
        left = _size(_operations(module, x, y))
        for one, signal, like in inside:
            dense = _operations(one, torch.full_like(signal, 0.5), like) if signal.is_floating_point() else Operations()
            if dense.macs > 0 and dense.macs == dense.weight_reads and not (dense.acs or dense.specials):
                name = self._names[id(one)]
                self.maps.setdefault(name, _Tally(name, type(one).__name__)).add(one, signal, like, dense.macs)
                left -= _size(_operations(one, signal, like))
        if not left <= 0:  # nan, too, is something that nobody saw
            self.unseen[self._names[id(module)]] = None


def _counted(network: nn.Module, seen: set[int]) -> Iterator[nn.Module]:
    """The outermost modules that can be counted, each once."""
    if id(network) in seen:
        return
    seen.add(id(network))
    if counter_for(network) is not None:
        yield network
        return
    for child in network.children():
        yield from _counted(child, seen)


def _operations(module: nn.Module, signal: Tensor, result: Tensor) -> Operations:
    counter = counter_for(module)
    assert counter is not None
    counter.add(signal, result)
    return counter.total()


def _size(done: Operations) -> float:
    return done.macs + done.acs + done.specials


def _priced(tally: _Tally, rule: Convention, first: bool, steps: float, parts: float) -> LayerByConvention:
    rate = tally.magnitude / tally.size
    macs, acs = (tally.macs, tally.acs) if rule.counts == "effective" else (0.0, rate * tally.by_shape)
    if first and rule.first != "as others":
        macs, acs = tally.by_shape / (steps if rule.first == "once" else 1.0), 0.0
    return LayerByConvention(
        name=tally.name,
        kind=tally.kind,
        macs=macs / parts,
        acs=acs / parts,
        dense=(tally.dense if rule.counts == "effective" else tally.by_shape) / parts,
        rate=rate,
        spikes=tally.spikes,
        energy_nj=(macs * rule.mac.value + acs * rule.ac.value) / parts * _NJ_PER_PJ,
    )
