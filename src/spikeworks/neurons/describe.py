"""A neuron's conventions in words, so that a name here can be compared with the same name elsewhere."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from torch import Tensor

from .base import Neuron
from .costs import arithmetic_in_words
from .description import config_for
from .parameters import Parameter
from .reset import Reset
from .surrogate import Surrogate


def conventions(neuron: Neuron) -> dict[str, str]:
    """Decay, gain, reset, threshold and surrogate of a neuron, by the name of the convention.

    Args:
        neuron: a neuron layer; its current values count.

    Returns:
        What it is to what it is set to, in reading order. Options of the class come under
        their own names.
    """
    found = {"inputs": ", ".join(neuron.inputs), "states": ", ".join(neuron.states) or "none"}
    for name, parameter in neuron.parameters_declared.items():
        found[name] = _parameter(neuron, parameter, name)
    for name, option in neuron.options_declared.items():
        found[name] = _option(getattr(neuron, name), option.doc)
    found["fires"] = "where the potential reaches the threshold (>=, equality included)"
    return found


def describe(neuron: Neuron) -> str:
    """The docstring and :func:`conventions` of a neuron as text.

    Example:
        >>> from spikeworks.neurons import LIF
        >>> print(describe(LIF(3)).splitlines()[0])
        LIF: Leaky integrate and fire.
    """
    about = _plain((inspect.getdoc(type(neuron)) or "").split("\n\n")[0])
    rows = conventions(neuron)
    width = max(map(len, rows))
    lines = (f"  {name:<{width}}  {text}" for name, text in rows.items())
    return "\n".join([f"{type(neuron).__name__}: {about}", *lines])


@dataclasses.dataclass(frozen=True)
class Card:
    """One line of a table of neurons, as text.

    Attributes:
        costs: multiply-adds, additions and comparisons, divisions and transcendental functions of
            a neuron and step; N is the size of its layer.
    """

    states: str
    trained: str
    costs: tuple[str, ...]
    about: str
    source: str


def card(name: str) -> Card:
    """The line of a registered neuron with its default configuration."""
    config = config_for(name)
    neuron = config.build(1)
    about = (inspect.getdoc(type(neuron)) or "").partition("\n\n")[0]
    declared = {parameter.key: n for n, parameter in neuron.parameters_declared.items()}
    trained = [_trained(neuron, declared.get(key, key)) for key, _ in neuron.named_parameters()]
    cost, source = arithmetic_in_words(config), published_in(type(neuron))
    return Card(str(len(neuron.states)), ", ".join(trained) or "–", cost, _plain(about), source)


def _trained(neuron: Neuron, name: str) -> str:
    parameter = neuron.parameters_declared.get(name)
    length = f" x{getattr(neuron.config, parameter.inner)}" if parameter and parameter.inner else ""
    return f"{name}{length}"


def published_in(cls: type[Neuron]) -> str:
    """The first identifier of a publication in the sources of a neuron's docstring, else the first one in words."""
    text = (inspect.getdoc(cls) or "").partition("\n\n")[2]
    found = re.search(r"(?s)Sources?: (.*)", text)
    source = " ".join(found[1].split()) if found else ""
    published = re.search(r"arXiv \d{4}\.\d{4,5}|doi 10\.[^\s,;]*[^\s,;.)]", source)
    if published:
        return published[0]
    dated = re.match(r"[^()]*\([^()]*\d{4}[^()]*\)", source)
    return _plain(dated[0] if dated else source.split(". ")[0])


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("``", "")


def _parameter(neuron: Neuron, parameter: Parameter, name: str) -> str:
    value = parameter.value(neuron)
    per = "layer" if value.dim() == (parameter.inner is not None) else "channel"
    per = "step and channel" if parameter.per == "step" else per
    scope = f"one a {per}" + (f", {value.shape[-1]} along {parameter.inner}" if parameter.inner else "")
    trained = "trained" if name in neuron.config.trainable else "fixed"
    about = f": {parameter.doc}" if parameter.doc else ""
    return f"{_range(value)} in {parameter.constraint.name}, {trained}, {scope}{about}"


def _range(value: Tensor) -> str:
    low, high = value.min().item(), value.max().item()
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _option(value: Any, doc: str) -> str:
    if isinstance(value, Surrogate):
        return f"{value.kind}, width {value.width:g}, area {value.area:.3g}, peak {value.peak:.3g}"
    if isinstance(value, Reset):
        order = "of the next step, before its charge" if value.order == "before_charge" else "of the same step"
        gradient = "no gradient through it" if value.detach else "gradient flows through it"
        target = f" to {value.potential:g}" if value.kind == "hard" else ""
        return f"{value.kind}{target}, {order}; {gradient}"
    if dataclasses.is_dataclass(value):
        value = ", ".join(f"{f.name}={getattr(value, f.name)}" for f in dataclasses.fields(value))
    return f"{value} ({doc})" if doc else str(value)
