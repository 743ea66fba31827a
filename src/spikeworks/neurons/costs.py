"""What a neuron costs: states, trained numbers, and the operations of one step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch

from ..core.errors import TraceError
from ..core.operations import Operations
from .base import Neuron
from .description import NeuronConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Of a layer of neurons with one description.

    Attributes:
        states: words of state that a neuron keeps between two steps.
        per_neuron: numbers that training changes, for each neuron of the layer.
        per_layer: such numbers that all neurons of the layer share.
        multiplications: of a neuron and step; a product with a spike selects and is none.
        additions: differences, roundings, minima and maxima included.
        comparisons: a spike is one.
        specials: divisions, roots, exponentials and the like.
    """

    states: int
    per_neuron: float
    per_layer: float
    multiplications: float
    additions: float
    comparisons: float
    specials: float


def cost(neuron: Neuron) -> Cost:
    """The cost of a neuron, counted from its traced step.

    A neuron without a graph says what it costs by :meth:`~spikeworks.neurons.Neuron.operations`; one
    that reads a whole sequence is asked for its longest.

    Example:
        >>> from spikeworks.neurons import LIF
        >>> one = cost(LIF(3))
        >>> one.states, one.multiplications, one.additions, one.comparisons
        (1, 1, 3, 1)
    """
    shared, own, pairs = _polynomial([_trained(neuron.config, size) for size in SIZES])
    trained = {"per_neuron": own + pairs * neuron.size, "per_layer": shared}
    return Cost(states=len(neuron.states), **trained, **_operations(neuron))


def cost_in_words(config: NeuronConfig) -> dict[str, str]:
    """The cost of a described neuron as text, by the names of :class:`Cost`; N is the size of its layer.

    Example:
        >>> from spikeworks.neurons import LTC
        >>> words = cost_in_words(LTC.Config())
        >>> words["multiplications"], words["per_neuron"], words["specials"]
        ('4 N + 3', '4 N + 2', '2')
    """
    shared, own, pairs = _polynomial([_trained(config, size) for size in SIZES])
    states = str(len(config.build(1, torch.Generator()).states))
    return {
        "states": states, "per_neuron": _text((own, pairs)), "per_layer": _text((shared,)),
        **_in_words(config, _operations),
    }  # fmt: skip


def arithmetic_in_words(config: NeuronConfig) -> tuple[str, str, str]:
    """MACs, additions without a product and comparisons, and special functions of a neuron and step, as text."""
    words = _in_words(config, lambda neuron: vars(_each(neuron)))
    return words["macs"], words["acs"], words["specials"]


SIZES = (1, 2, 3)
"""Of layers, from which it shows how a count grows with the size."""


def _polynomial(values: Sequence[float]) -> tuple[float, float, float]:
    """``(a, b, c)`` of ``a + b N + c N**2``, from the values at :data:`SIZES`."""
    one, two, three = values
    square = (three - 2 * two + one) / 2
    slope = two - one - 3 * square
    return one - slope - square, slope, square


def _text(coefficients: Sequence[float]) -> str:
    constant, *growing = coefficients
    terms = [f"{_number(value)} {power}" for value, power in zip(growing, ("N", "N²"), strict=False) if value]
    return " + ".join([*reversed(terms), *([_number(constant)] if constant or not terms else [])])


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _trained(config: NeuronConfig, size: int) -> int:
    return sum(p.numel() for p in config.build(size, torch.Generator()).parameters())


def _in_words(config: NeuronConfig, count: Callable[[Neuron], Mapping[str, float]]) -> dict[str, str]:
    first = config.build(1, torch.Generator())
    if not getattr(first, "mixes_neurons", False):  # a neuron costs the same in every layer
        return {name: _text((value,)) for name, value in count(first).items()}
    counts = [count(config.build(size, torch.Generator())) for size in SIZES]
    return {name: _text(_polynomial([one[name] for one in counts])) for name in counts[0]}


def _operations(neuron: Neuron) -> dict[str, float]:
    try:
        counts = neuron.graph().counts()
    except TraceError:
        one = _each(neuron)
        # a multiply-accumulate is one of each, and the remaining additions hold the comparison of the spike
        additions = one.macs + one.acs - 1
        return {"multiplications": one.macs, "additions": additions, "comparisons": 1, "specials": one.specials}
    named = {"multiplications": "mul", "additions": "add", "comparisons": "compare", "specials": "special"}
    return {name: counts[kind] for name, kind in named.items()}


def _each(neuron: Neuron) -> Operations:
    """Of a neuron and step; over its longest sequence, where it reads a whole one."""
    steps = neuron.config.steps if getattr(neuron, "whole_sequence", False) else 1
    signal = torch.zeros(steps, 1, neuron.size)
    return neuron.operations(signal, signal).scaled(1.0 / signal.numel())
