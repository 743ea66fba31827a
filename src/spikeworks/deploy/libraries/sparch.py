"""sparch (the program of arXiv 2212.01187): low-pass gain, reset within the leak, fires above the threshold.

``u <- alpha * (u - s) + (1 - alpha) * (x - w)``, ``w <- beta * w + a * u + b * s``: a spike subtracts 1, which is
the threshold where that is 1. Its states start at random.
"""

from __future__ import annotations

import torch

from ...neurons import LIF, AdLIF, Neuron, Surrogate
from ..values import make_neuron, uniform
from .match import Call, ConversionError, Match, foreign, number, only, strict, title

NAME = "sparch"
_PATH = "sparch.models.snns."
FORMULAS = {
    "lif": (
        "LIFLayer",
        "`decay = alpha`, one a channel; `gain = one_minus_decay`, soft reset `after_fire`, threshold 1",
    ),
    "adlif": (
        "adLIFLayer",
        "`decay = alpha`, `adaptation_decay = beta`, `coupling = a`, `kick = b`, threshold 1",
    ),
}
_START = f"{NAME} starts from random states, neurons here from rest"


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`; the layer's sizes and its linear map are the caller's."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF | AdLIF) or type(neuron) not in (LIF, AdLIF):
        raise foreign(who, FORMULAS)
    if uniform(neuron.threshold) != 1.0:
        raise ConversionError(who, "its reset subtracts 1 whatever the threshold; only a threshold of 1 is the same.")
    if isinstance(neuron, LIF) and (neuron.reset.kind != "soft" or neuron.reset.delayed):
        raise ConversionError(
            who, "its reset is soft and acts before the leak, Reset(kind='soft', order='after_fire')."
        )
    differences = (strict(NAME), _START)
    if neuron.surrogate != Surrogate(kind="rectangle"):
        told = f"{NAME} has the rectangle of width 1 alone, not '{neuron.surrogate.kind}': gradients differ"
        differences = (*differences, told)
    each = {"alpha": neuron.decay}
    scale: float | torch.Tensor = 1.0
    if isinstance(neuron, AdLIF):
        each |= {"beta": neuron.adaptation_decay, "a": neuron.coupling, "b": neuron.kick}
    else:
        low, high = torch.exp(torch.tensor([-1 / 5, -1 / 25], dtype=torch.float64))
        decay = neuron.decay.detach().double()
        if bool(((decay < low - 1e-6) | (decay > high + 1e-6)).any()):
            raise ConversionError(who, f"it cuts alpha to [{low:.4g}, {high:.4g}], and this decay lies outside.")
        if neuron.gain == "one":
            scale = number(1.0 / (1.0 - decay))
    values = {key: value.detach().double().expand(neuron.size).clone() for key, value in each.items()}
    layer = Call(_PATH + ("adLIFLayer" if isinstance(neuron, AdLIF) else "LIFLayer"), {"threshold": 1.0}, values)
    return Match(neuron, layer, scale, 0, differences)


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`; alpha, beta, a and b are given like arguments."""
    kind = call.path.rpartition(".")[2]
    who = f"{NAME} {kind}"
    names = {"LIFLayer": ("alpha",), "adLIFLayer": ("alpha", "beta", "a", "b")}.get(kind)
    if names is None:
        raise ConversionError(who, "known here: LIFLayer, adLIFLayer.")
    given = only({**call.arguments, **call.attributes}, {"threshold": 1.0, **dict.fromkeys(names)}, who)
    if given["threshold"] != 1.0 or any(given[name] is None for name in names):
        raise ConversionError(who, f"a threshold of 1 and values of {', '.join(names)} are needed.")
    ours = {"alpha": "decay", "beta": "adaptation_decay", "a": "coupling", "b": "kick"}
    values = {"threshold": 1.0, **{ours[name]: given[name] for name in names}}
    surrogate = Surrogate(kind="rectangle")
    if kind == "adLIFLayer":
        neuron: Neuron = make_neuron(AdLIF, size, values, surrogate=surrogate, dtype=dtype)
    else:
        neuron = make_neuron(LIF, size, values, surrogate=surrogate, gain="one_minus_decay", dtype=dtype)
    return Match(neuron, call, differences=(strict(NAME), _START))
