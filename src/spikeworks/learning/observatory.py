"""What a method drops becomes visible: its gradient for one batch beside that of full BPTT, layer by layer."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.credit import Credited
from ..core.errors import ConfigError
from ..optim import SGDConfig
from .base import MethodConfig, Objective, Plan
from .bptt import BPTTConfig
from .descent import Descent
from .local import CutConfig, TruncatedConfig
from .online import OnlineConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """One layer's gradient by one method, beside full BPTT on the same loss.

    Attributes:
        method: its name; layer: ``block 0`` and so on, ``readout``, or ``all``.
        cosine: of the angle between both, in [-1, 1]; nan where one of them is zero.
        ratio: length of the method's gradient over that of BPTT's; nan where that is zero.
    """

    method: str
    layer: str
    cosine: float
    ratio: float


def agreements(
    network: nn.Module,
    objective: Objective,
    batch: Batch,
    methods: Mapping[str, MethodConfig],
    *,
    seed: int = 0,
) -> list[Agreement]:
    """Compare methods on one network and batch; the network stays as it is.

    A method that has a loss of every step is compared with BPTT of that loss, others with BPTT of the
    task's own. Random layers draw the same masks for all.

    Args:
        methods: by the name that the table shall show.
        seed: of random layers and auxiliary networks.

    Returns:
        One row for each method and layer, and one for all layers together.

    Raises:
        ConfigError: a method updates more than once a batch, or cannot learn this network.
    """
    found = []
    references: dict[str, dict[str, Tensor]] = {}
    for name, config in methods.items():
        kind = loss_of(config)
        if kind not in references:
            whole = BPTTConfig() if kind == "sequence" else TruncatedConfig(window=None, chunk=None, loss="step")
            references[kind] = gradient(network, objective, batch, whole, seed)
        mine = gradient(network, objective, batch, config, seed)
        for layer, names in _layers(list(references[kind])).items():
            found.append(_agreement(name, layer, mine, references[kind], names))
    return found


def loss_of(config: MethodConfig) -> str:
    """``step`` where the method has a loss of every step, ``sequence`` where it has the task's own."""
    if isinstance(config, CutConfig):
        return config.loss
    return "step" if isinstance(config, OnlineConfig) else "sequence"


def gradient(
    network: nn.Module, objective: Objective, batch: Batch, config: MethodConfig, seed: int = 0
) -> dict[str, Tensor]:
    """The gradient that a method leaves on every parameter of a copy of ``network``, before clipping.

    Credit in time that an earlier learner has cut is given back first.

    Raises:
        ConfigError: the method takes several steps a batch, or is no :class:`Descent`.
    """
    twin = copy.deepcopy(network)
    _give_credit_back(twin)
    config.prepare(twin)
    learner = config.build(twin, objective, Plan.of_one(batch, SGDConfig(learning_rate=0.0, clip=None), seed))
    if not isinstance(learner, Descent):
        raise ConfigError(f"Method {config.name} leaves no gradients to look at; its learner is no Descent.")
    if getattr(config, "update", "sequence") != "sequence":
        raise ConfigError(
            f"Method {config.name} steps more than once a batch and has no one gradient.", "set update sequence"
        )
    learner.beside.to(next(twin.parameters()).dtype)
    names = {id(p): name for name, p in twin.named_parameters()}
    found = {name: torch.zeros_like(p) for name, p in twin.named_parameters() if p.requires_grad}

    def look(loss: float, share: int = 0) -> float:
        for parameter in learner.shares[share].parameters:
            if id(parameter) in names and parameter.grad is not None:
                found[names[id(parameter)]] = parameter.grad.detach().clone()
        return 0.0

    watched: Any = learner
    watched.apply = look
    learner.update(dataclasses.replace(batch, fresh=True))
    return found


def _give_credit_back(network: nn.Module) -> None:
    """Undo what an earlier learner has cut in time; whether a neuron has memory at all stays as it is."""
    for module in network.modules():
        if isinstance(module, Credited):
            module.credit = dataclasses.replace(module.credit, window=None, feedback=True)


def _layers(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of parameters by the layer that they belong to, and all of them."""
    layers: dict[str, list[str]] = {}
    for name in names:
        head, _, rest = name.partition(".")
        layers.setdefault(f"block {rest.partition('.')[0]}" if head == "blocks" else head, []).append(name)
    return {**layers, "all": list(names)}


def _agreement(
    method: str, layer: str, mine: dict[str, Tensor], full: dict[str, Tensor], names: Sequence[str]
) -> Agreement:
    a, b = (torch.cat([found[n].flatten().double() for n in names]) for found in (mine, full))
    lengths = a.norm().item(), b.norm().item()
    cosine = (a @ b).item() / math.prod(lengths) if all(lengths) else math.nan
    return Agreement(
        method=method, layer=layer, cosine=cosine, ratio=lengths[0] / lengths[1] if lengths[1] else math.nan
    )
