"""Neurons in the terms of other libraries, and theirs in ours: the same spikes, or what differs, in words.

Nothing here imports one of them; :meth:`Call.build` does, where the layer is wanted as an object.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from ...core.errors import UnknownName
from ...neurons import Neuron
from . import lava, norse, sinabs, snntorch, sparch, spikingjelly
from .match import Call, ConversionError, Match, Name

LIBRARIES: dict[str, ModuleType] = {
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
    "lava": lava,
    "sparch": sparch,
}

__all__ = ["LIBRARIES", "Call", "ConversionError", "Match", "Name", "from_library", "to_library"]


def to_library(neuron: Neuron, library: str) -> Match:
    """The layer of a library that sends the same spikes as a neuron here.

    Args:
        neuron: a layer of LIF, PLIF, IF, CUBA-LIF, ALIF or AdLIF neurons; its current values count.
        library: a key of :data:`LIBRARIES`.

    Returns:
        The construction of the layer, the factor on its input, and what differs all the same.

    Raises:
        UnknownName: no such library is known.
        ConversionError: the library has no such neuron.

    Example:
        >>> from spikeworks.neurons import LIF, Reset
        >>> match = to_library(LIF(3, decay=0.75, reset=Reset(kind="hard")), "spikingjelly")
        >>> str(match.layer)[:52]
        'LIFNode(tau=4.0, decay_input=False, v_threshold=1.0,'
    """
    return _library(library).to_library(neuron)


def from_library(
    library: str, layer: str | Call, size: int, *, dtype: torch.dtype = torch.float32, **arguments: Any
) -> Match:
    """The neuron here that sends the same spikes as a layer of a library.

    Args:
        library: a key of :data:`LIBRARIES`.
        layer: the name of the class there, or a :class:`Call`; surrogates, resets and parameter
            tuples within the arguments are calls and names as well.
        size: number of neurons.
        dtype: of the parameters here.
        arguments: those of its constructor; what is left out has the library's default.

    Raises:
        UnknownName: no such library is known.
        ConversionError: no neuron here is like it, or an argument has no counterpart.

    Example:
        >>> match = from_library("snntorch", "Leaky", 3, beta=0.75, reset_mechanism="zero")
        >>> match.neuron.decay, match.neuron.reset.kind
        (tensor(0.7500), 'hard')
    """
    call = Call(layer, arguments) if isinstance(layer, str) else layer
    return _library(library).from_library(call, size, dtype)


def _library(name: str) -> Any:
    if name not in LIBRARIES:
        raise UnknownName("library", name, LIBRARIES)
    return LIBRARIES[name]
