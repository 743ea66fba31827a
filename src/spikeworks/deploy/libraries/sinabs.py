"""Sinabs (version 3): time constants in steps by ``exp(-1 / tau)``, reset in the step of the spike, fires at equality.

``v <- alpha * v + (1 - alpha) * x`` with ``norm_input``, else ``+ x``. Its synaptic current is
``i <- alpha_syn * (i + x)``: the same, ``alpha_syn`` times as large. Time constants are kept in float32. By
default it sends several spikes a step; ``SingleSpike`` is one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...neurons import ALIF, IF, LIF, PLIF, CubaLIF, Neuron, Reset, Surrogate
from ..values import make_neuron, uniform
from . import surrogates
from .match import Call, ConversionError, Match, Name, foreign, number, only, reset_word, title

NAME = "Sinabs"
_LAYERS, _PARTS = "sinabs.layers.", "sinabs.activation."
_ONE = Name(_PARTS + "SingleSpike")
_FIXED = f"{NAME} passes no gradient through the raised threshold"
FORMULAS = {
    "lif": ("LIF", "`decay = exp(-1 / tau_mem)`; `gain` is `one_minus_decay` with `norm_input`, else `one`"),
    "plif": ("LIF", "as LIF; theirs trains `tau_mem` itself"),
    "if": ("IAF", ""),
    "cuba-lif": ("LIF", "as LIF, `current_decay = exp(-1 / tau_syn)`; its current is `current_decay` times as large"),
    "alif": (
        "ALIF",
        "`trace = mean`, `adaptation_decay = exp(-1 / tau_adapt)`, `strength = adapt_scale`, `order = after_fire`",
    ),
}


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF, ALIF):
        raise foreign(who, FORMULAS)
    soft = reset_word(neuron.reset, who) == "soft"
    threshold = neuron.threshold.detach().double()
    unit = uniform(threshold)
    surrogate, differences = surrogates.there(neuron.surrogate, NAME, unit=1.0 if unit is None else unit)
    arguments: dict[str, Any] = {
        "spike_threshold": threshold.clone(),
        "spike_fn": _ONE,
        "reset_fn": Call(_PARTS + ("MembraneSubtract" if soft else "MembraneReset")),
    }
    if surrogate is not None:
        arguments["surrogate_grad_fn"] = surrogate
    if neuron.reset.detach:
        differences = (*differences, f"{NAME} lets gradients through the reset, this neuron is set otherwise")
    if isinstance(neuron, IF):
        return Match(neuron, Call(_LAYERS + "IAF", arguments), differences=differences)
    arguments = {"tau_mem": _tau(neuron.decay, who), "norm_input": neuron.gain != "one", **arguments}
    if isinstance(neuron, ALIF):
        slow, strength = neuron.adaptation_decay.detach().double(), neuron.strength.detach().double()
        mean = strength if neuron.trace == "mean" else strength / (1.0 - slow)
        arguments |= {"tau_adapt": _tau(neuron.adaptation_decay, who), "adapt_scale": number(mean)}
        differences = (*differences, _FIXED)
        return Match(neuron, Call(_LAYERS + "ALIF", arguments), differences=differences)
    scale: float | Tensor = 1.0
    if isinstance(neuron, CubaLIF):
        arguments["tau_syn"] = _tau(neuron.current_decay, who)
        scale = number(1.0 / neuron.current_decay.detach().double())
    return Match(neuron, Call(_LAYERS + "LIF", arguments), scale, 0, differences)


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`."""
    kind = call.path.rpartition(".")[2]
    who = f"{NAME} {kind}"
    common: dict[str, Any] = {"spike_threshold": 1.0, "spike_fn": None, "reset_fn": None, "surrogate_grad_fn": None}
    leaky = {"tau_mem": None, "tau_syn": None, "norm_input": True, **common}
    known = {"IAF": common, "LIF": leaky, "ALIF": {**leaky, "tau_adapt": None, "adapt_scale": 1.8, "spike_fn": _ONE}}
    if kind not in known:
        raise ConversionError(who, f"known here: {', '.join(known)}.")
    given = only(call.arguments, known[kind], who)
    if given["spike_fn"] != _ONE:
        raise ConversionError(who, "by default it sends several spikes a step; neurons here send one (SingleSpike).")
    threshold = torch.as_tensor(given["spike_threshold"], dtype=torch.float64)
    unit = uniform(threshold)
    exponential = Surrogate(kind="single-exponential", width=0.5 * (unit or 1.0))
    surrogate, differences = surrogates.here(given["surrogate_grad_fn"], exponential, unit=unit or 1.0)
    build: dict[str, Any] = {"reset": _reset(given["reset_fn"], who), "surrogate": surrogate, "dtype": dtype}
    values: dict[str, Any] = {"threshold": unit if unit is not None else threshold}
    if kind == "IAF":
        return Match(make_neuron(IF, size, values, **build), call, differences=differences)
    values["decay"] = _decay(given["tau_mem"], "tau_mem", who)
    build["gain"] = "one_minus_decay" if given["norm_input"] else "one"
    if kind == "ALIF":
        if given["tau_syn"] is not None:
            raise ConversionError(who, "adaptive neurons here have no synaptic current; leave out tau_syn.")
        values |= {"adaptation_decay": _decay(given["tau_adapt"], "tau_adapt", who), "strength": given["adapt_scale"]}
        neuron: Neuron = make_neuron(ALIF, size, values, trace="mean", **build)
        return Match(neuron, call, differences=(*differences, _FIXED))
    if given["tau_syn"] is None:
        return Match(make_neuron(LIF, size, values, **build), call, differences=differences)
    current = _decay(given["tau_syn"], "tau_syn", who)
    neuron = make_neuron(CubaLIF, size, {**values, "current_decay": current}, **build)
    return Match(neuron, call, 1.0 / current, 0, differences)


def _tau(decay: Tensor, who: str) -> Any:
    value = decay.detach().double()
    if not bool(((value > 0.0) & (value < 1.0)).all()):
        raise ConversionError(who, f"no time constant stands for a decay of {value.max().item():g}.")
    return number(-1.0 / torch.log(value))


def _decay(tau: Any, name: str, who: str) -> Any:
    if tau is None:
        raise ConversionError(who, f"its {name} has to be given.")
    return number(torch.exp(-1.0 / torch.as_tensor(tau, dtype=torch.float64)))


def _reset(call: Call | None, who: str) -> Reset:
    name = "MembraneSubtract" if call is None else call.path.rpartition(".")[2]
    if name not in ("MembraneSubtract", "MembraneReset") or (call is not None and call.arguments):
        raise ConversionError(who, f"known resets are MembraneSubtract and MembraneReset without values, got {call}.")
    return Reset(kind="soft" if name == "MembraneSubtract" else "hard")
