"""Norse (version 1.1): rates ``1 / tau`` in 1 / seconds and a step dt, low-pass gain, fires above the threshold.

``LIFBoxCell``: ``v <- v + dt * tau_mem_inv * (v_leak - v + x)``. ``LIFCell`` adds the input to its current before
the membrane reads it, and lets the current leak after. ``LSNNCell`` reads the current of the step before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...neurons import ALIF, IF, LIF, PLIF, CubaLIF, Neuron, Reset, Surrogate
from ..values import make_neuron, uniform
from .match import Call, ConversionError, Match, Name, foreign, number, only, reset_word, strict, title

NAME = "Norse"
DT = 0.001
_MODULE, _FUNCTION = "norse.torch.module.", "norse.torch.functional."
_SUBTRACT, _VALUE = Name(_FUNCTION + "reset.reset_subtract"), Name(_FUNCTION + "reset.reset_value")
FORMULAS = {
    "lif": ("LIFBoxCell", "`decay = 1 - dt * tau_mem_inv`, `gain = one_minus_decay`"),
    "plif": ("LIFBoxCell", "as LIF; the rate is not trained there"),
    "if": ("IAFCell", "hard reset"),
    "cuba-lif": (
        "LIFCell",
        "`current_decay = 1 - dt * tau_syn_inv`, `decay = 1 - dt * tau_mem_inv`, `gain = one_minus_decay`, hard reset",
    ),
    "alif": (
        "LSNNCell",
        "`trace = sum`, `adaptation_decay = 1 - dt * tau_adapt_inv`, `strength = adaptation_decay * beta`, hard reset, "
        "`tau_syn_inv = 1 / dt`; spikes come one step later there",
    ),
}


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF, ALIF):
        raise foreign(who, FORMULAS)
    soft = reset_word(neuron.reset, who) == "soft"
    if soft and type(neuron) not in (LIF, PLIF):
        raise ConversionError(who, f"its {FORMULAS[neuron.config.label][0]} resets to a potential, not by subtraction.")
    method, differences = _method(neuron.surrogate)
    differences = (strict(NAME), *differences)
    if neuron.reset.detach:
        differences = (*differences, f"{NAME} lets gradients through the reset, this neuron is set otherwise")
    if isinstance(neuron, IF):
        parameters = Call(_FUNCTION + "iaf.IAFParameters", {"v_th": _tensor(neuron.threshold), **method})
        return Match(neuron, Call(_MODULE + "iaf.IAFCell", {"p": parameters}), differences=differences)
    low_pass = neuron.gain == "one_minus_decay"
    if not low_pass and bool((neuron.decay >= 1.0).any()):
        raise ConversionError(who, "without leak its neurons hear no input.")
    scale = 1.0 if low_pass else number(1.0 / (1.0 - neuron.decay.detach().double()))
    rates = {"tau_mem_inv": _rate(neuron.decay), "v_th": _tensor(neuron.threshold), **method}
    if isinstance(neuron, CubaLIF):
        parameters = Call(_FUNCTION + "lif.LIFParameters", {"tau_syn_inv": _rate(neuron.current_decay), **rates})
        return Match(neuron, Call(_MODULE + "lif.LIFCell", {"p": parameters, "dt": DT}), scale, 0, differences)
    if isinstance(neuron, ALIF):
        return _adaptive(neuron, rates, scale, differences, who)
    if isinstance(neuron, PLIF):
        differences = (*differences, f"{NAME}'s rate is not trained")
    rates["reset_method"] = _SUBTRACT if soft else _VALUE
    parameters = Call(_FUNCTION + "lif_box.LIFBoxParameters", rates)
    return Match(neuron, Call(_MODULE + "lif_box.LIFBoxCell", {"p": parameters, "dt": DT}), scale, 0, differences)


def _adaptive(neuron: ALIF, rates: dict[str, Any], scale: Any, differences: tuple[str, ...], who: str) -> Match:
    threshold = uniform(neuron.threshold)
    if threshold is None:  # its first state is made of one number
        raise ConversionError(who, "it takes one threshold for the layer, and this neuron has one for each channel.")
    slow, strength = neuron.adaptation_decay.detach().double(), neuron.strength.detach().double()
    summed = strength if neuron.trace == "sum" else strength * (1.0 - slow)
    adapt = {"tau_syn_inv": torch.tensor(1.0 / DT), "tau_adapt_inv": _rate(slow), "beta": (summed / slow).clone()}
    parameters = Call(_FUNCTION + "lsnn.LSNNParameters", {**rates, **adapt})
    layer = Call(_MODULE + "lsnn.LSNNCell", {"p": parameters, "dt": DT})
    return Match(neuron, layer, scale, 1, differences)


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`; potentials are counted from ``v_leak``, where theirs start."""
    kind = call.path.rpartition(".")[2]
    who = f"{NAME} {kind}"
    common = {"v_th": 1.0, "v_reset": 0.0, "method": "super", "alpha": 100.0}
    leaky = {**common, "tau_mem_inv": 100.0, "v_leak": 0.0}
    known: dict[str, dict[str, Any]] = {
        "IAFCell": common,
        "LIFBoxCell": {**leaky, "reset_method": _VALUE},
        "LIFCell": {**leaky, "tau_syn_inv": 200.0},
        "LSNNCell": {**leaky, "tau_syn_inv": 200.0, "tau_adapt_inv": 1 / 800, "beta": 1.8},
    }
    if kind not in known:
        raise ConversionError(who, f"known here: {', '.join(known)}.")
    outer = only(call.arguments, {"p": Call(""), "dt": DT}, who)
    given = only(outer["p"].arguments, known[kind], who)
    surrogate, differences = _surrogate(str(given["method"]), float(given["alpha"]))
    leak = float(given.get("v_leak", 0.0))
    soft = given.get("reset_method", _VALUE) == _SUBTRACT
    reset = Reset(kind="soft") if soft else Reset(kind="hard", potential=float(given["v_reset"]) - leak)
    build: dict[str, Any] = {"reset": reset, "surrogate": surrogate, "dtype": dtype}
    values = {"threshold": _plain(given["v_th"]) - leak}
    differences = (strict(NAME), *differences)
    if kind == "IAFCell":
        return Match(make_neuron(IF, size, values, **build), call, differences=differences)
    values["decay"] = 1.0 - outer["dt"] * _plain(given["tau_mem_inv"])
    if kind == "LSNNCell":
        return _from_adaptive(call, size, outer["dt"], given, build, values)
    if kind == "LIFBoxCell":
        neuron: Neuron = make_neuron(LIF, size, values, gain="one_minus_decay", **build)
    else:
        values["current_decay"] = 1.0 - outer["dt"] * _plain(given["tau_syn_inv"])
        neuron = make_neuron(CubaLIF, size, values, gain="one_minus_decay", **build)
    return Match(neuron, call, differences=differences)


def _from_adaptive(
    call: Call, size: int, dt: float, given: dict[str, Any], build: dict[str, Any], values: dict[str, Any]
) -> Match:
    if not bool((dt * torch.as_tensor(_plain(given["tau_syn_inv"])) - 1.0).abs().max() < 1e-9):
        reason = "adaptive neurons here have no synaptic current; it needs tau_syn_inv = 1 / dt."
        raise ConversionError(f"{NAME} LSNNCell", reason)
    if _plain(given["v_leak"]) != 0.0:
        raise ConversionError(f"{NAME} LSNNCell", "its threshold counts from 0; only a v_leak of 0 is known.")
    slow = 1.0 - dt * _plain(given["tau_adapt_inv"])
    values |= {"adaptation_decay": slow, "strength": slow * _plain(given["beta"])}
    neuron = make_neuron(ALIF, size, values, gain="one_minus_decay", trace="sum", **build)
    return Match(neuron, call, 1.0, 1, (strict(NAME),))


def _rate(decay: Tensor) -> Tensor:
    return (1.0 - decay.detach().double()) / DT


def _tensor(value: Tensor) -> Tensor:
    return value.detach().double().clone()


def _plain(value: Any) -> float | Tensor:
    """A float where the tensor holds one number."""
    value = torch.as_tensor(value, dtype=torch.float64)
    return value.item() if value.dim() == 0 else value


def _method(surrogate: Surrogate) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Its 'super' is ``1 / (1 + |x|)^2`` whatever alpha says."""
    if surrogate == Surrogate(kind="fast-sigmoid"):
        return {"method": "super"}, ()
    if surrogate == Surrogate(kind="triangle"):
        return {"method": "triangle", "alpha": 1.0}, ()
    told = f"{NAME} has no surrogate '{surrogate.kind}' of width {surrogate.width:g}: gradients differ"
    return {}, (told,)


def _surrogate(method: str, alpha: float) -> tuple[Surrogate, tuple[str, ...]]:
    if method == "super":
        return Surrogate(kind="fast-sigmoid"), ()
    if method == "triangle" and alpha == 1.0:
        return Surrogate(kind="triangle"), ()
    return Surrogate(), (f"{NAME}'s surrogate {method} with alpha={alpha:g} is not known here: gradients differ",)
