"""snnTorch (version 1): decays as they are, no input gain, fires above the threshold.

``Leaky``: ``mem <- beta * mem + x - threshold * reset`` with the reset of the step before (``reset_delay``,
its default), or in the step of the spike.
"""

from __future__ import annotations

from typing import Any

import torch

from ...neurons import IF, LIF, PLIF, CubaLIF, Neuron, Reset, Surrogate
from ..values import make_neuron
from . import surrogates
from .match import Call, ConversionError, Match, foreign, number, only, reset_word, strict, title

NAME = "snnTorch"
FORMULAS = {
    "lif": ("Leaky", "`decay = beta`; `order` is `before_charge` with `reset_delay`, else `after_fire`"),
    "plif": ("Leaky", "the same with `learn_beta=True`; theirs learns `beta` itself, cut to [0, 1]"),
    "if": ("Leaky", "`beta = 1`"),
    "cuba-lif": ("Synaptic", "`current_decay = alpha`, `decay = beta`, `gain = one`"),
}
_TWICE = "where the potential stays above the threshold after a reset, {0} subtracts once more and may lose a spike"


def to_library(neuron: Neuron) -> Match:
    """See :func:`~.to_library`."""
    who = title(neuron, NAME)
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF):
        raise foreign(who, FORMULAS)
    kind = reset_word(neuron.reset, who, order=False, none=True)
    surrogate, differences = surrogates.there(neuron.surrogate, NAME)
    delayed = kind == "soft" and neuron.reset.delayed
    arguments: dict[str, Any] = {
        "threshold": number(neuron.threshold),
        "reset_mechanism": {"soft": "subtract", "hard": "zero", "none": "none"}[kind],
        "reset_delay": delayed,
    }
    if surrogate is not None:
        arguments["spike_grad"] = surrogate
    differences = (strict(NAME), *_resets(kind, delayed, neuron.reset.detach), *differences)
    decay = None if isinstance(neuron, IF) else neuron.decay
    beta = {"beta": 1.0 if decay is None else number(decay)}
    scale = number(1.0 - neuron.decay) if decay is not None and neuron.gain == "one_minus_decay" else 1.0
    if isinstance(neuron, CubaLIF):
        layer = Call("snntorch.Synaptic", {"alpha": number(neuron.current_decay), **beta, **arguments})
    else:
        layer = Call("snntorch.Leaky", beta | arguments | ({"learn_beta": True} if isinstance(neuron, PLIF) else {}))
    return Match(neuron, layer, scale, 0, differences)


def _resets(kind: str, delayed: bool, detach: bool) -> tuple[str, ...]:
    """Sentences about the reset."""
    found = []
    if kind == "soft" and not delayed:
        found.append(_TWICE.format(NAME))
    if kind != "none" and delayed != detach:
        lets = "passes no gradient through the reset" if delayed else "lets gradients through the reset"
        found.append(f"{NAME} {lets}, this neuron is set otherwise")
    return tuple(found)


def from_library(call: Call, size: int, dtype: torch.dtype) -> Match:
    """See :func:`~.from_library`."""
    kind = call.path.rpartition(".")[2]
    who = f"{NAME} {kind}"
    known: dict[str, Any] = {"beta": None, "threshold": 1.0, "reset_mechanism": "subtract", "reset_delay": True}
    known |= {"spike_grad": None, "learn_beta": False}
    if kind not in ("Leaky", "Synaptic"):
        raise ConversionError(who, "known here: Leaky, Synaptic.")
    given = only(call.arguments, known if kind == "Leaky" else {"alpha": None, **known}, who)
    if given["beta"] is None or (kind == "Synaptic" and given["alpha"] is None):
        raise ConversionError(who, "its decays (beta, and alpha of Synaptic) have to be given.")
    word = {"subtract": "soft", "zero": "hard", "none": "none"}[given["reset_mechanism"]]
    delayed = bool(given["reset_delay"])
    if kind == "Synaptic" and word == "hard" and delayed:
        reason = "with reset_delay its 'zero' also discards the input of the step after a spike; no neuron here does."
        raise ConversionError(who, reason)
    surrogate, differences = surrogates.here(given["spike_grad"], Surrogate(kind="arctan"))
    order = "before_charge" if delayed and word == "soft" else "after_fire"
    reset = Reset(kind=word, order=order, detach=delayed)  # type: ignore[arg-type]
    differences = (strict(NAME), *_resets(word, delayed and word == "soft", reset.detach), *differences)
    build: dict[str, Any] = {"reset": reset, "surrogate": surrogate, "dtype": dtype}
    values = {"threshold": given["threshold"], "decay": given["beta"]}
    if kind == "Synaptic":
        neuron: Neuron = make_neuron(CubaLIF, size, {**values, "current_decay": given["alpha"]}, **build)
    elif given["learn_beta"]:
        neuron = make_neuron(PLIF, size, values, **build)
    elif not isinstance(given["beta"], torch.Tensor) and given["beta"] == 1.0:
        neuron = make_neuron(IF, size, {"threshold": given["threshold"]}, **build)
    else:
        neuron = make_neuron(LIF, size, values, **build)
    return Match(neuron, call, differences=differences)
