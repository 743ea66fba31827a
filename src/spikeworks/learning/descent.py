"""What learners that descend a gradient share: optimiser, clipping, exchange, random streams, checkpoints."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.errors import RunError, TrainingDiverged
from ..core.seeds import stream
from ..core.state import State, detach, leaves, restore
from ..kernels.threads import UPDATE_FROM, products_of
from ..optim import load_optimizer, optimizer_state
from .base import Objective, Observer, Plan
from .exchange import exchange_gradients, rank


class Descent:
    """A learner around one optimiser; a method says in :meth:`gradients` where its gradients come from.

    Methods with several optimiser steps a batch override :meth:`learn` and call :meth:`apply` for
    each. State that a batch continues (``batch.fresh`` false) is carried over detached. Random
    layers draw from streams that depend on seed and update alone, so that a resumed run meets
    the same numbers.

    Args:
        network: learns in place, on the device where its parameters lie.
        objective: the loss.
        plan: optimiser, schedule, seed.
        mixed_precision: bfloat16 where the device computes it natively (CUDA), in :meth:`precision`.
        shares: modules that have an optimiser each; ``None``: the network has one.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        plan: Plan,
        *,
        mixed_precision: bool = False,
        shares: Sequence[nn.Module] | None = None,
    ) -> None:
        self.network = network
        self.objective = objective
        self.plan = plan
        self.shares = [Share(module, plan) for module in ([network] if shares is None else shares)]
        self.beside = nn.ModuleList()
        """What learns with the network and is no part of it, such as auxiliary networks."""
        self.device = self.shares[0].parameters[0].device
        self.step = 0
        self.notes: Sequence[str] = ()
        self.rate = 0.0
        """Learning rate of the update under way."""
        self._stepwise = any(getattr(module, "stepwise", False) for module in network.modules())
        self._largest = max(p.numel() for p in self.parameters)
        self._half = mixed_precision and self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self._carried: State = None
        self._unpacked: dict[str, Tensor] | None = None  # carried state whose nesting is not known yet

    def update(self, batch: Batch, observe: Observer | None = None) -> dict[str, float]:
        """Learn from this process' share of one batch.

        Returns:
            ``loss`` and ``count`` over all processes, ``gradient_norm`` before clipping,
            ``learning_rate``.

        Raises:
            TrainingDiverged: loss or gradient is not finite; parameters are as before the optimiser's step.
        """
        plan = self.plan
        factor = plan.schedule.factor(self.step, plan.steps_per_epoch, plan.epochs)
        for share in self.shares:
            self.rate = plan.optimizer.set_rate(share.optimizer, factor)
            share.optimizer.zero_grad(set_to_none=True)
        self.network.train()
        self.beside.train()
        self.reseed(self.network)
        self.reseed(self.beside, "beside")
        with products_of(self._work(batch), UPDATE_FROM):
            loss, count, norm = self.learn(batch, observe)
        self.step += 1
        return {"loss": loss, "count": count, "gradient_norm": norm, "learning_rate": self.rate}

    def at_once(self, steps: int) -> int:
        """Steps of a sequence of ``steps`` that one call of the network runs."""
        return steps

    def _work(self, batch: Batch) -> int:
        """Multiply-adds of the largest product, where weights are met once a step; of frames nobody knows."""
        if batch.x.dim() > 3:
            return UPDATE_FROM
        steps = 1 if self._stepwise else self.at_once(batch.length)
        return steps * batch.size * self._largest

    def learn(self, batch: Batch, observe: Observer | None) -> tuple[float, int, float]:
        """One gradient, one step; returns loss and target count over all processes and the gradient's norm."""
        loss, count = exchange_gradients(self.parameters, *self.gradients(batch, observe))
        return loss, count, self.apply(loss)

    def gradients(self, batch: Batch, observe: Observer | None) -> tuple[float, int]:
        """Leave ``.grad`` on the parameters for this process' batch; returns its loss and target count."""
        raise TypeError(f"{type(self).__name__} defines no gradients.")

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that learns, share by share."""
        return [p for share in self.shares for p in share.parameters]

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the only share, or of the first."""
        return self.shares[0].optimizer

    def apply(self, loss: float, share: int = 0) -> float:
        """Clip, check and take one step of a share's optimiser; returns the gradient's norm before clipping.

        Gradients are those of all processes already, and stay on the parameters.

        Raises:
            TrainingDiverged: loss or gradient is not finite.
        """
        norm = self.shares[share].clip(self.plan.optimizer.clip)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = f"The loss became {loss}" if not math.isfinite(loss) else f"The gradient's norm became {norm}"
            raise TrainingDiverged(
                f"{what} in update {self.step + 1} at learning rate {self.rate:g}.",
                "lower the learning rate, clip gradients more tightly, or check the scale of the input",
            )
        self.shares[share].optimizer.step()
        return norm

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Around a forward pass: half precision, where the method asked for it and the device has it."""
        return torch.autocast("cuda", torch.bfloat16) if self._half else contextlib.nullcontext()

    def state_for(self, batch: Batch) -> State:
        """The state that ``batch`` continues; ``None`` where it starts from rest."""
        if batch.fresh:
            return None
        if self._unpacked is not None:
            # A checkpoint holds names and tensors; the nesting comes from one step of the network.
            first = batch.span(slice(0, 1))
            self.network.eval()
            self.beside.eval()
            with torch.no_grad():
                template = self.template(first)
            self.network.train()
            self.beside.train()
            self._carried, self._unpacked = restore(template, self._unpacked), None
        return self._carried

    def carry(self, state: State) -> None:
        """Keep the state after a batch, for the batch that continues it and for checkpoints."""
        self._carried, self._unpacked = detach(state), None

    def template(self, first: Tensor) -> State:
        """A state of the nesting that :meth:`carry` gets, from one step of input."""
        return self.network(first, None)[1]

    def reseed(self, module: nn.Module, prefix: str = "") -> None:
        """Give the random layers of ``module`` their streams for this update, from the start."""
        who = (rank(),) if rank() else ()
        for name, part in module.named_modules(prefix=prefix):
            if "generator" in vars(part):
                source = stream(self.plan.seed, "update", self.step, name, *who, device=self.device)
                setattr(part, "generator", source)  # noqa: B010 - the attribute is known by name alone

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, optimiser state and carried state as flat tensors; the number of updates."""
        carried = self._unpacked if self._unpacked is not None else dict(leaves(self._carried))
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"beside.{name}": tensor for name, tensor in self.beside.state_dict().items()}
        for name, share in zip(self._names(), self.shares, strict=True):
            tensors |= {f"{name}.{key}": tensor for key, tensor in optimizer_state(share.optimizer).items()}
        tensors |= {f"carried.{name}": tensor for name, tensor in carried.items()}
        return tensors, {"step": self.step}

    def load_state_dict(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Raises:
            RunError: the tensors belong to another network or optimiser.
        """
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in ("network", "beside", "carried", *self._names())}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise RunError(f"The checkpoint holds '{name}', which no {type(self).__name__} learner wrote.")
            parts[part][rest] = tensor
        try:
            self.network.load_state_dict(parts["network"])
            self.beside.load_state_dict(parts["beside"])
        except RuntimeError as error:
            raise RunError(f"The checkpoint fits another network. {error}", "start the run in a new folder") from None
        for name, share in zip(self._names(), self.shares, strict=True):
            load_optimizer(share.optimizer, parts[name])
        self.step = int(numbers["step"])
        self._carried = None
        self._unpacked = {name: tensor.to(self.device) for name, tensor in parts["carried"].items()}

    def _names(self) -> list[str]:
        """Names of the optimisers' states in a checkpoint."""
        return ["optimizer"] if len(self.shares) == 1 else [f"optimizer{i}" for i in range(len(self.shares))]


class Share:
    """What one optimiser trains.

    Attributes:
        parameters: in the module's order, without those that do not learn.
        optimizer: over the module's own groups where it knows them, else over all parameters alike.
    """

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        decay = plan.optimizer.weight_decay
        own = getattr(module, "parameter_groups", None)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = plan.optimizer.build(
            [{"params": self.parameters, "weight_decay": decay}] if own is None else own(decay)
        )

    def clip(self, limit: float | None) -> float:
        """Scale the gradients down to ``limit``; returns their norm before."""
        if limit is not None:
            return nn.utils.clip_grad_norm_(self.parameters, limit).item()
        return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]).item()
