"""Lava: the process ``LIF`` in floating point. du and dv are the parts that decay, not those that stay.

``u <- (1 - du) * u + x``; ``v <- (1 - dv) * v + u + bias``; fires above vth; v is set to 0. On the chip, and in
lava-dl's ``cuba.Neuron`` (``current_decay = du``, ``voltage_decay = dv``), decays are multiples of 1 / 4096.
"""

from __future__ import annotations

from typing import Any

import torch

from ...neurons import IF, LIF, PLIF, CubaLIF, Neuron, Reset
from ..values import make_neuron
from .match import Call, ConversionError, Match, foreign, one, only, reset_word, strict, title

NAME = "Lava"
_PATH = "lava.proc.lif.process.LIF"
FORMULAS = {
    "lif": ("LIF", "`decay = 1 - dv`, `du = 1`, `gain = one`, hard reset"),
    "plif": ("LIF", "as LIF; nothing is trained there"),
    "if": ("LIF", "`dv = 0`, `du = 1`, hard reset"),
    "cuba-lif": ("LIF", "`current_decay = 1 - du`, `decay = 1 - dv`, `gain = one`, hard reset"),
}
_CHIP = f"{NAME}'s fixed-point models and the chip round decays to multiples of 1/4096"


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF):
        raise foreign(who, FORMULAS)
    if reset_word(neuron.reset, who) == "soft":
        raise ConversionError(who, "it sets the potential to 0 on a spike and cannot subtract the threshold.")
    decay = 1.0 if isinstance(neuron, IF) else one(neuron.decay, "dv", who)
    current = one(neuron.current_decay, "du", who) if isinstance(neuron, CubaLIF) else 0.0
    scale = 1.0 - decay if neuron.gain == "one_minus_decay" else 1.0
    arguments = {"shape": (neuron.size,), "du": 1.0 - current, "dv": 1.0 - decay}
    arguments["vth"] = one(neuron.threshold, "vth", who)
    return Match(neuron, Call(_PATH, arguments), scale, 0, (strict(NAME), _CHIP))


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`; a bias belongs to the synapse here."""
    who = f"{NAME} {call.path.rpartition('.')[2]}"
    if call.path.rpartition(".")[2] != "LIF":
        raise ConversionError(who, "known here: LIF.")
    given = only(call.arguments, {"shape": None, "du": 0.0, "dv": 0.0, "vth": 10.0, "bias_mant": 0.0}, who)
    if given["bias_mant"]:
        raise ConversionError(who, "neurons here have no bias; add it to that of the synapse before them.")
    build: dict[str, Any] = {"reset": Reset(kind="hard"), "dtype": dtype}
    values: dict[str, Any] = {"threshold": float(given["vth"])}
    if given["du"] == 1.0 and given["dv"] == 0.0:
        neuron: Neuron = make_neuron(IF, size, values, **build)
    elif given["du"] == 1.0:
        neuron = make_neuron(LIF, size, {**values, "decay": 1.0 - given["dv"]}, **build)
    else:
        decays = {"decay": 1.0 - given["dv"], "current_decay": 1.0 - given["du"]}
        neuron = make_neuron(CubaLIF, size, {**values, **decays}, **build)
    return Match(neuron, call, differences=(strict(NAME), _CHIP))
