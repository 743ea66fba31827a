"""SpikingJelly (``activation_based.neuron``, version 2): tau by Euler's method, reset in the step of the spike.

``v <- v + (x - (v - v_reset)) / tau`` with ``decay_input``, else ``v <- v - (v - v_reset) / tau + x``; fires at
equality. All numbers are one a layer.
"""

from __future__ import annotations

from typing import Any

import torch

from ...neurons import IF, LIF, PLIF, CubaLIF, Neuron, Reset, Surrogate
from ..values import make_neuron
from . import surrogates
from .match import Call, ConversionError, Match, foreign, one, only, reset_word, title

NAME = "SpikingJelly"
_PATH = "spikingjelly.activation_based.neuron."
FORMULAS = {
    "lif": ("LIFNode", "`decay = 1 - 1 / tau`; `gain` is `one_minus_decay` with `decay_input`, else `one`"),
    "plif": ("ParametricLIFNode", "`decay = 1 - 1 / init_tau`; theirs stores `w = -logit(decay)`"),
    "if": ("IFNode", ""),
    "cuba-lif": ("CUBALIFNode", "`current_decay = c_decay`, `decay = v_decay`, `gain = one`"),
}


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF):
        raise foreign(who, FORMULAS)
    soft = reset_word(neuron.reset, who) == "soft"
    surrogate, differences = surrogates.there(neuron.surrogate, NAME)
    common: dict[str, Any] = {
        "v_threshold": one(neuron.threshold, "v_threshold", who),
        "v_reset": None if soft else 0.0,
    }
    if surrogate is not None:
        common["surrogate_function"] = surrogate
    detached = {"detach_reset": neuron.reset.detach}
    if isinstance(neuron, IF):
        return Match(neuron, Call(_PATH + "IFNode", {**common, **detached}), differences=differences)
    decay = one(neuron.decay, "tau", who)
    if isinstance(neuron, CubaLIF):
        decays = {"c_decay": one(neuron.current_decay, "c_decay", who), "v_decay": decay}
        scale = 1.0 - decay if neuron.gain == "one_minus_decay" else 1.0
        # its constructor takes no detach_reset
        return Match(neuron, Call(_PATH + "CUBALIFNode", {**decays, **common}, detached), scale, 0, differences)
    if not 0.0 < decay < 1.0:
        raise ConversionError(who, f"its tau lies above 1, which a decay of {decay:g} is not.")
    parametric = isinstance(neuron, PLIF)
    charge = {"init_tau" if parametric else "tau": 1.0 / (1.0 - decay), "decay_input": neuron.gain != "one"}
    path = _PATH + ("ParametricLIFNode" if parametric else "LIFNode")
    return Match(neuron, Call(path, {**charge, **common, **detached}), differences=differences)


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`; potentials are counted from ``v_reset``, where theirs rest."""
    kind = call.path.rpartition(".")[2]
    common = {"v_threshold": 1.0, "v_reset": 0.0, "surrogate_function": None, "detach_reset": False}
    charge = {"decay_input": True}
    known: dict[str, dict[str, Any]] = {
        "IFNode": common,
        "LIFNode": {"tau": 2.0, **charge, **common},
        "ParametricLIFNode": {"init_tau": 2.0, **charge, **common},
        "CUBALIFNode": {"c_decay": 0.5, "v_decay": 0.75, **common, "v_threshold": 0.5},
    }
    if kind not in known:
        raise ConversionError(f"{NAME} {kind}", f"known here: {', '.join(known)}.")
    given = only({**call.arguments, **call.attributes}, known[kind], f"{NAME} {kind}")
    default = Surrogate(kind="rectangle") if kind == "CUBALIFNode" else Surrogate(kind="sigmoid")
    surrogate, differences = surrogates.here(given["surrogate_function"], default)
    rest = given["v_reset"] or 0.0
    if rest and kind == "CUBALIFNode":
        raise ConversionError(f"{NAME} {kind}", "it leaks to 0; only a v_reset of 0 or None is known.")
    values = {"threshold": given["v_threshold"] - rest}
    reset = Reset(kind="soft" if given["v_reset"] is None else "hard", detach=given["detach_reset"])
    build: dict[str, Any] = {"reset": reset, "surrogate": surrogate, "dtype": dtype}
    if kind == "IFNode":
        return Match(make_neuron(IF, size, values, **build), call, differences=differences)
    if kind == "CUBALIFNode":
        values |= {"decay": given["v_decay"], "current_decay": given["c_decay"]}
        return Match(make_neuron(CubaLIF, size, values, **build), call, differences=differences)
    values["decay"] = 1.0 - 1.0 / given["tau" if kind == "LIFNode" else "init_tau"]
    gain = "one_minus_decay" if given["decay_input"] else "one"
    neuron = make_neuron(LIF if kind == "LIFNode" else PLIF, size, values, gain=gain, **build)
    return Match(neuron, call, differences=differences)
