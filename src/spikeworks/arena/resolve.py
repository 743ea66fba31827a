"""From names to a full description: a task's own recipe, with the neuron that was asked for."""

from __future__ import annotations

from typing import Any

from ..layers import ReadoutConfig
from ..models import EmbeddingConfig, StackConfig
from ..neurons import Neuron, NeuronConfig, config_for
from ..optim import AdamWConfig, ConstantConfig, CosineConfig, ScheduleConfig, StepConfig
from ..tasks import TaskConfig, TaskDefaults, task_for
from .config import Budget, RunConfig

NeuronLike = str | NeuronConfig | type[Neuron]
"""A registered name, a neuron class, or the description of a neuron."""


def describe_run(
    task: str | TaskConfig,
    neuron: NeuronLike,
    *,
    seed: int = 0,
    label: str | None = None,
    **model: Any,
) -> RunConfig:
    """The task's default recipe with a neuron.

    Args:
        task: a registered name or a description.
        neuron: what to train; a user's own class needs no registration here.
        seed: of weights, order and dropout.
        label: name in tables.
        model: fields of :class:`~spikeworks.models.StackConfig` that differ from the recipe.

    Raises:
        UnknownName: no such task or neuron.

    Example:
        >>> config = describe_run("seq-digits", "tc-lif", hidden=(32, 32))
        >>> config.shown, config.model.hidden, config.task_name
        ('tc-lif', (32, 32), 'seq-digits')
    """
    described = task_for(task) if isinstance(task, str) else task
    defaults = described.defaults()
    return RunConfig(
        task=described,
        model=StackConfig(**{**_model(defaults), "neuron": describe_neuron(neuron), **model}),
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


def _model(defaults: TaskDefaults) -> dict[str, Any]:
    embedding = None
    if defaults.embedding is not None:
        embedding = EmbeddingConfig(size=defaults.embedding, tied=defaults.hidden[-1] == defaults.embedding)
    return {
        "hidden": defaults.hidden,
        "readout": ReadoutConfig(kind=defaults.readout, scale=defaults.readout_scale),
        "dropout": defaults.dropout,
        "embedding": embedding,
    }


def _schedule(defaults: TaskDefaults) -> ScheduleConfig:
    if defaults.schedule == "step":
        return StepConfig(gamma=defaults.step_factor, every=defaults.step_epochs)
    return CosineConfig() if defaults.schedule == "cosine" else ConstantConfig()
