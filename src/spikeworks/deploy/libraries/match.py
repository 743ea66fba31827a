"""A layer of another library, as text and as an object, and what it corresponds to here."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...neurons import Neuron, Reset
from ..values import compact, uniform

Number = float | Tensor


class ConversionError(ConfigError):
    """A neuron that the other library, or this one, does not have; the message says what stands in the way."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class of another library that is passed on by itself."""

    path: str

    def __str__(self) -> str:
        return self.path.rpartition(".")[2]

    def build(self) -> Any:
        """The object; raises ConfigError where the library is not installed."""
        module, _, name = self.path.rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)
        except ImportError:
            library = self.path.split(".")[0]
            what = f"Building {self.path} needs the package '{library}', which is not installed."
            raise ConfigError(what, f"pip install {library}") from None


@dataclasses.dataclass(frozen=True)
class Call:
    """The construction of an object of another library.

    Attributes:
        path: dotted path of the class or function.
        arguments: by keyword; values are numbers, strings, tensors, :class:`Name` or other calls.
        attributes: what is set on the object once it is made; tensors are copied into parameters.

    Example:
        >>> str(Call("snntorch.Leaky", {"beta": 0.9, "reset_mechanism": "zero"}))
        "Leaky(beta=0.9, reset_mechanism='zero')"
    """

    path: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        shown = ", ".join(f"{key}={_text(value)}" for key, value in self.arguments.items())
        after = "".join(f"; {key} = {_text(value)}" for key, value in self.attributes.items())
        return f"{self.path.rpartition('.')[2]}({shown}){after}"

    def build(self) -> Any:
        """The object; raises ConfigError where the library is not installed."""
        made = Name(self.path).build()(**{key: _built(value) for key, value in self.arguments.items()})
        for key, value in self.attributes.items():
            present = getattr(made, key, None)
            if isinstance(present, Tensor):
                with torch.no_grad():
                    present.copy_(torch.as_tensor(value))
            else:
                setattr(made, key, value)
        return made


@dataclasses.dataclass(frozen=True)
class Match:
    """A neuron here and a layer elsewhere that send the same spikes.

    Attributes:
        neuron: the layer here.
        layer: the layer there, its input being ``input_scale`` times the current that the neuron gets.
        input_scale: a number, or one a channel.
        delay: steps by which the spikes come later there.
        differences: what does not agree all the same, in sentences.
    """

    neuron: Neuron
    layer: Call
    input_scale: Number = 1.0
    delay: int = 0
    differences: tuple[str, ...] = ()


def _text(value: Any) -> str:
    if isinstance(value, Tensor):
        found = uniform(value) if value.numel() else None
        return f"torch.tensor({'[...]' if found is None else _text(float(found))})"
    if isinstance(value, float):
        return repr(float(f"{value:.6g}"))
    return str(value) if isinstance(value, Call | Name) else repr(value)


def _built(value: Any) -> Any:
    return value.build() if isinstance(value, Call | Name) else value


# -- what the libraries' files share --------------------------------------------------------------------


def title(neuron: Neuron, library: str) -> str:
    """The beginning of a message."""
    return f"{type(neuron).__name__} to {library}"


def foreign(who: str, formulas: Mapping[str, tuple[str, str]]) -> ConversionError:
    """The error about a neuron that a library does not have."""
    known = ", ".join(f"{ours} ({theirs})" for ours, (theirs, _) in formulas.items())
    return ConversionError(who, f"there is no counterpart; there is one of {known}.")


def one(value: Tensor, what: str, who: str) -> float:
    """The one number of a layer; raises ConversionError where channels differ."""
    found = uniform(value.detach().to(torch.float64))
    if found is None:
        raise ConversionError(who, f"it takes one {what} for the layer, and this neuron has one for each channel.")
    return found


def number(value: Tensor) -> Number:
    """One number, or one a channel."""
    return compact(value)


def reset_word(reset: Reset, who: str, *, order: bool = True, none: bool = False) -> str:
    """``soft``, ``hard`` or ``none``, where the potential of a hard reset is 0.

    Args:
        reset: the rule.
        who: begins the message.
        order: whether the library resets in the step of the spike only.
        none: whether it can do without a reset.

    Raises:
        ConversionError: the library has no such rule.
    """
    if reset.kind == "none" and not none:
        raise ConversionError(who, "it has no neuron that keeps its potential when it fires.")
    if reset.kind == "hard" and reset.potential != 0.0:
        raise ConversionError(who, f"its hard reset goes to the rest potential, this one to {reset.potential:g}.")
    if order and reset.kind == "soft" and reset.delayed:
        reason = "it subtracts in the step of the spike; a reset before the next charge is another model."
        raise ConversionError(who, reason)
    return reset.kind


def only(arguments: dict[str, Any], known: dict[str, Any], who: str) -> dict[str, Any]:
    """Arguments with the library's defaults filled in.

    Raises:
        ConversionError: an argument that is not known here and would change the neuron.
    """
    for key in arguments:
        if key not in known:
            raise ConversionError(who, f"its argument '{key}' has no counterpart here; known: {', '.join(known)}.")
    return {**known, **arguments}


def strict(library: str) -> str:
    """The sentence about the threshold."""
    return f"{library} fires above the threshold, neurons here at equality as well"
