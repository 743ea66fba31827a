"""Which parts of a network tell the steps of a sequence apart by their number: a clock.

Parameters of their own for each step (GLIF, CE-LIF, PSN, TEBN, BNTT) and codes of the place in a sequence give a
network positional information, which is part of what they gain. Such models are flagged wherever they are ranked, and
are to be compared with a control that has a clock as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from .store import RunRecord

_NORMS = {"tebn": "a weight of TEBN for each step", "bntt": "moments of BNTT for each step"}
_PLACES = "a code of the place is added to the input"


def clocks(network: nn.Module) -> tuple[str, ...]:
    """What in a network knows the number of the step, each reason once; empty where nothing does.

    Example:
        >>> import torch
        >>> from spikeworks.models import StackConfig
        >>> from spikeworks.neurons import config_for
        >>> stack = StackConfig(hidden=(4,), neuron=config_for("ce-lif", steps=9))
        >>> clocks(stack.build(1, 2, torch.Generator().manual_seed(0)))
        ('context for each step',)
    """
    from ..layers.norm_time import BatchNormThroughTime, TemporalEffectiveBatchNorm
    from ..neurons import Neuron

    norms = {TemporalEffectiveBatchNorm: _NORMS["tebn"], BatchNormThroughTime: _NORMS["bntt"]}
    found = []
    for module in network.modules():
        if isinstance(module, Neuron):
            found += _of_neuron(type(module))
        elif type(module) in norms:
            found.append(norms[type(module)])
        elif getattr(getattr(module, "plan", None), "positions", False):
            found.append(_PLACES)
    return tuple(dict.fromkeys(found))


def clocks_described(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The same, from the description of a run alone: for runs that ended before results said it."""
    from ..neurons import NEURONS

    found = []
    for part in _parts(config.get("model")):
        kind = part.get("kind")
        if isinstance(kind, str) and kind in NEURONS:
            found += _of_neuron(NEURONS.get(kind))
        if kind == "context-stack":  # its neurons are CE-LIF and not named
            found += _of_neuron(NEURONS.get("ce-lif"))
        if part.get("norm") in _NORMS:
            found.append(_NORMS[part["norm"]])
        if part.get("positions") is True:
            found.append(_PLACES)
    return tuple(dict.fromkeys(found))


def clocks_of_run(record: RunRecord) -> tuple[str, ...]:
    """What a result says, or else what its description tells."""
    said = record.result.get("clock")
    return tuple(map(str, said)) if isinstance(said, list) else clocks_described(record.config)


def _of_neuron(neuron: Any) -> list[str]:
    if getattr(neuron, "whole_sequence", False):
        return ["weights from step to step"]
    per_step = [name for name, parameter in neuron.parameters_declared.items() if parameter.per == "step"]
    return [f"{', '.join(per_step)} for each step"] if per_step else []


def _parts(node: Any) -> Iterator[Mapping[str, Any]]:
    """All objects of a description, the outer ones first."""
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _parts(value)
