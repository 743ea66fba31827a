"""From names to a full description: a task's own recipe, with the neuron that was asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.errors import UnknownName
from ..layers import ReadoutConfig
from ..models import NETWORKS, EmbeddingConfig, ModelConfig
from ..neurons import Neuron, NeuronConfig, config_for
from ..optim import AdamWConfig, ConstantConfig, CosineConfig, ScheduleConfig, StepConfig
from ..tasks import TaskConfig, TaskDefaults, task_for
from .config import Budget, RunConfig

NeuronLike = str | NeuronConfig | type[Neuron]
"""A registered name, a neuron class, or the description of a neuron."""


def describe_run(
    task: str | TaskConfig,
    neuron: NeuronLike | None,
    *,
    network: str | None = None,
    seed: int = 0,
    label: str | None = None,
    **model: Any,
) -> RunConfig:
    """The task's default recipe with a neuron.

    Args:
        task: a registered name or a description.
        neuron: what to train; a user's own class needs no registration here. ``None``: the network's own.
        network: name of the network; ``None`` is the task's own.
        seed: of weights, order and dropout.
        label: name in tables.
        model: fields of the network's description that differ from the recipe, for a stack those of
            :class:`~spikeworks.models.StackConfig`.

    Raises:
        UnknownName: no such task, neuron, network or field.

    Example:
        >>> config = describe_run("seq-digits", "tc-lif", hidden=(32, 32))
        >>> config.shown, config.model.hidden, config.task_name
        ('tc-lif', (32, 32), 'seq-digits')
        >>> describe_run("fashion-mnist", "lif", width=0.5).shown
        'conv8-lif'
    """
    described = task_for(task) if isinstance(task, str) else task
    defaults = described.defaults()
    return RunConfig(
        task=described,
        model=describe_network(network or defaults.network, defaults, neuron, **model),
        optimizer=AdamWConfig(
            learning_rate=defaults.learning_rate, weight_decay=defaults.weight_decay, clip=defaults.clip or None
        ),
        schedule=_schedule(defaults),
        budget=Budget(epochs=defaults.epochs, batch_size=defaults.batch_size),
        seed=seed,
        label=label,
    )


def describe_neuron(neuron: NeuronLike) -> NeuronConfig:
    """The description of a neuron given by name, class or description."""
    if isinstance(neuron, str):
        return config_for(neuron)
    return neuron.Config() if isinstance(neuron, type) else neuron


def describe_network(name: str, defaults: TaskDefaults, neuron: NeuronLike | None, **fields: Any) -> ModelConfig:
    """The network called ``name`` as a task's recipe has it.

    Args:
        name: registered.
        defaults: the recipe; what the network does not know of it is left out.
        neuron: as for :func:`describe_run`.
        fields: of the network's description, in place of the recipe's.

    Raises:
        UnknownName: no such network, neuron or field.
    """
    kind = NETWORKS.get(name)
    known = [field.name for field in dataclasses.fields(kind)]
    for field in fields:
        if field not in known:
            raise UnknownName(f"field of network {name}", field, known)
    embedding = None
    if defaults.embedding is not None:
        embedding = EmbeddingConfig(size=defaults.embedding, tied=defaults.hidden[-1] == defaults.embedding)
    recipe: dict[str, Any] = {} if neuron is None else {"neuron": describe_neuron(neuron)}
    recipe |= {
        "hidden": defaults.hidden,
        "readout": ReadoutConfig(kind=defaults.readout, scale=defaults.readout_scale),
        "dropout": defaults.dropout,
        "embedding": embedding,
    }
    return kind(**{**{field: value for field, value in recipe.items() if field in known}, **fields})


def _schedule(defaults: TaskDefaults) -> ScheduleConfig:
    if defaults.schedule == "step":
        return StepConfig(gamma=defaults.step_factor, every=defaults.step_epochs)
    return CosineConfig() if defaults.schedule == "cosine" else ConstantConfig()
