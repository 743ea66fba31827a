"""One layer of neurons to a NIR node and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..neurons import IF, LIF, PLIF, CubaLIF, Neuron, Reset
from .nir_common import Clock, NIRError
from .values import make_neuron, uniform

TOLERANCE = 1e-6
"""Relative error within which a gain counts as 1 or as ``1 - decay``; files in float32 round that much."""

_KINDS = "NIR has the spiking neurons IF, LIF and CubaLIF"


def neuron_node(nir: Any, neuron: Any, clock: Clock, shape: tuple[int, ...], path: str) -> Any:
    """The node of a neuron layer whose output is ``shape``, channels first.

    Raises:
        NIRError: NIR has no such neuron, reset or time constant.
    """
    path = f"{path} ({type(neuron).__name__})"
    if not isinstance(neuron, LIF) or type(neuron) not in (LIF, PLIF, IF, CubaLIF):
        states = ", ".join(getattr(neuron, "states", ())) or "none"
        raise NIRError(path, f"{_KINDS}; this neuron, with the states {states}, is none of them.")
    reset, dtype = _hard(neuron.reset, path), neuron.threshold.dtype

    def array(value: Tensor) -> np.ndarray:
        """In the dtype of the parameters, one value a neuron."""
        value = value.to(dtype)
        return (value.reshape(-1, *(1,) * (len(shape) - 1)) if value.dim() else value).expand(shape).numpy().copy()

    threshold = _double(neuron.threshold)
    fired = {"v_threshold": array(threshold), "v_reset": array(torch.full_like(threshold, reset))}
    decay = None if isinstance(neuron, IF) else _double(neuron.decay)
    if decay is None or (type(neuron) is LIF and neuron.gain == "one" and bool((decay == 1.0).all())):
        return nir.IF(r=array(torch.tensor(1.0 / clock.dt)), **fired)
    tau = _tau(clock, decay, path, "decay")
    gain = torch.ones_like(decay) if neuron.gain == "one_minus_decay" else 1.0 / (1.0 - decay)
    membrane = {"r": array(gain), "v_leak": array(torch.zeros(())), **fired}
    if not isinstance(neuron, CubaLIF):
        return nir.LIF(tau=array(tau), **membrane)
    current = _double(neuron.current_decay)
    syn = _tau(clock, current, path, "current_decay")
    return nir.CubaLIF(tau_mem=array(tau), tau_syn=array(syn), w_in=array(1.0 / (1.0 - current)), **membrane)


def _hard(reset: Reset, path: str) -> float:
    if reset.kind != "hard":
        what = "subtracts the threshold" if reset.kind == "soft" else "keeps the potential"
        reason = f"NIR sets the potential to v_reset on a spike, and a {reset.kind} reset {what}."
        raise NIRError(path, reason, "train with reset=Reset(kind='hard')")
    if reset.delayed and reset.potential != 0.0:  # a reset to 0 is the same before and after the leak
        reason = "NIR resets in the step of the spike; a reset of the next step to a potential other than 0 differs."
        raise NIRError(path, reason, "use order='after_fire'")
    return reset.potential


def _tau(clock: Clock, decay: Tensor, path: str, name: str) -> Tensor:
    least = "at least 0" if clock.method == "euler" else "above 0"
    if bool((decay >= 1.0).any()) or (clock.method == "exact" and bool((decay <= 0.0).any())):
        raise NIRError(path, f"a time constant stands for a {name} {least} and below 1, got {decay.max().item():g}.")
    return clock.tau(decay)


def _double(value: Tensor) -> Tensor:
    return value.detach().cpu().to(torch.float64)


@dataclasses.dataclass(frozen=True)
class NodeNeuron:
    """What a node stands for here.

    Attributes:
        neuron: the layer.
        gain: factor on its input current that the synapses before it have to take over, ``[size]`` or ``[]``.
    """

    neuron: Neuron
    gain: Tensor


def node_neuron(node: Any, name: str, clock: Clock, size: int, dtype: torch.dtype) -> NodeNeuron:
    """The neurons of a node ``IF``, ``LIF`` or ``CubaLIF``, for an input of ``size`` channels.

    Potentials are counted from ``v_leak``, where they also start.

    Raises:
        NIRError: parameters that differ within a channel, reset potentials that differ between
            neurons, a time constant below the step, a threshold at or below the leak.
    """
    kind = type(node).__name__

    def values(key: str) -> Tensor:
        array = np.asarray(getattr(node, key))
        array = array.reshape(1) if array.size == 1 else array  # one number for all, as some libraries write
        if array.shape[0] not in (1, size):
            raise NIRError(f"{name} ({kind})", f"{key} has {array.shape[0]} values for an input of {size} channels.")
        return _by_channel(np.broadcast_to(array, (size, *array.shape[1:])), f"{name} ({kind})", key)

    leak = torch.zeros(()) if kind == "IF" else values("v_leak")
    threshold, reset = values("v_threshold") - leak, values("v_reset") - leak
    potential = uniform(reset)
    if potential is None:
        raise NIRError(f"{name} ({kind})", "v_reset - v_leak differs between neurons; a layer here has one potential.")
    if bool((threshold <= 0).any()):
        raise NIRError(f"{name} ({kind})", "the threshold does not lie above v_leak, so the neuron fires at rest.")
    build: dict[str, Any] = {"reset": Reset(kind="hard", potential=potential), "dtype": dtype}
    known = {"threshold": _scalar(threshold)}
    if kind == "IF":
        return NodeNeuron(make_neuron(IF, size, known, **build), _unit(values("r") * clock.dt))
    decay = _decay(clock, values("tau" if kind == "LIF" else "tau_mem"), f"{name} ({kind})")
    known["decay"] = _scalar(decay)
    factor, gain = _gain(values("r"), decay)
    if kind == "LIF":
        return NodeNeuron(make_neuron(LIF, size, known, gain=gain, **build), factor)
    current = _decay(clock, values("tau_syn"), f"{name} ({kind})")
    known["current_decay"] = _scalar(current)
    neuron = make_neuron(CubaLIF, size, known, gain=gain, **build)
    return NodeNeuron(neuron, _unit(factor * (1.0 - current) * values("w_in")))


def _gain(r: Tensor, decay: Tensor) -> tuple[Tensor, str]:
    """The gain option, and the factor that remains."""
    plain = _unit((1.0 - decay) * r)
    if bool((plain == 1.0).all()):
        return plain, "one"
    low_pass = _unit(r)
    return (low_pass, "one_minus_decay") if bool((low_pass == 1.0).all()) else (plain, "one")


def _unit(gain: Tensor) -> Tensor:
    """A gain with rounding errors around 1 removed."""
    return torch.ones_like(gain) if bool(((gain - 1.0).abs() <= TOLERANCE).all()) else gain


def _decay(clock: Clock, tau: Tensor, where: str) -> Tensor:
    decay = clock.decay(tau)
    if not bool(((decay >= 0.0) & (decay <= 1.0)).all()):
        raise NIRError(
            where,
            f"a time constant of {tau.min().item():g} s is no decay with steps of {clock.dt:g} s ({clock.method}).",
            "give the step that the graph was made for, import_nir(graph, dt=...)",
        )
    return decay


def _by_channel(array: np.ndarray, where: str, key: str) -> Tensor:
    """Values ``[C, ...]`` that are one for each channel, as ``[C]``."""
    rows = torch.from_numpy(np.array(array, np.float64)).reshape(len(array), -1)
    if not bool((rows == rows[:, :1]).all()):
        raise NIRError(where, f"{key} differs between the places of one channel; a layer here has one value a channel.")
    return rows[:, 0].clone()


def _scalar(value: Tensor) -> float | Tensor:
    """A float where all values agree; the parameter is then one a layer."""
    found = uniform(value)
    return value if found is None else found
