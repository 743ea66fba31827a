"""What a learning method is for the training loop: a description that builds a learner.

The loop hands over batches and reads numbers; forward, credit assignment, the exchange of
gradients between processes and the optimiser's step belong to the learner, because methods
differ in exactly these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from ..core.batch import Batch
from ..core.credit import Credit, set_credit
from ..core.errors import ConfigError
from ..core.registry import Registry
from ..optim import ConstantConfig, OptimizerConfig, ScheduleConfig

Observer = Callable[[Tensor, Batch], None]
"""Gets the detached output and the batch of an update, for scores."""


class Objective(Protocol):
    """What a learner asks of a task.

    An objective may say in an attribute ``whole_loss`` why a single step has no loss; it then has a method
    ``random_target(steps, size, generator)`` as well, see :class:`~spikeworks.tasks.Task`. One that wants a target at
    every step ``[B, T]`` says so in a true attribute ``step_targets``.
    """

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean loss over the targets of ``batch``."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How long training is meant to last, with which optimiser, from which seed.

    Attributes:
        example: a batch of the size that training meets, for methods that plan their memory.
    """

    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    steps_per_epoch: int
    epochs: int
    seed: int = 0
    example: Batch | None = None

    @classmethod
    def of_one(cls, example: Batch, optimizer: OptimizerConfig, seed: int = 0) -> Plan:
        """For looking at single updates on batches like ``example``, at a constant rate."""
        schedule = ConstantConfig()
        return cls(optimizer=optimizer, schedule=schedule, steps_per_epoch=1, epochs=1, seed=seed, example=example)


class Learner(Protocol):
    """Turns batches into updates of one network.

    Attributes:
        network: the network that learns.
        step: finished updates.
        notes: what the user should know before training, a line each.
        beside: what learns with the network and is no part of it, such as auxiliary networks.
    """

    network: nn.Module
    step: int
    notes: Sequence[str]
    beside: nn.Module

    def update(self, batch: Batch, observe: Observer | None = None) -> dict[str, float]:
        """Learn from one batch; returns at least ``loss``, ``count`` and ``learning_rate``.

        Raises:
            TrainingDiverged: loss or gradient is not finite; parameters are as before.
        """
        ...

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next update depends on: flat tensors, and numbers fit for JSON."""
        ...

    def load_state_dict(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Description of a learning method."""

    @property
    def name(self) -> str:
        """The name under which it is registered."""
        return str(vars(type(self)).get("config_kind"))

    def prepare(self, network: nn.Module) -> None:
        """Change what the method wants to be different in the network itself, in use as well as in training.

        By default nothing, but that neurons get full credit again where another method has cut it.
        """
        set_credit(network, Credit())

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> Learner:
        """A learner of this method for one network."""
        raise ConfigError(f"{type(self).__name__} describes no learning method.", f"use one of {METHODS.names()}")


MethodConfig.config_family = "method"  # type: ignore[attr-defined]
METHODS: Registry[type[MethodConfig]] = Registry("learning method")
