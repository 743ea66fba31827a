"""Backpropagation through time over whole batches, by autograd."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.config import config_kind
from ..core.errors import RunError, TrainingDiverged
from ..core.seeds import stream
from ..core.state import State, detach, leaves, restore
from ..optim import load_optimizer, optimizer_state
from .base import METHODS, MethodConfig, Objective, Observer, Plan
from .exchange import exchange_gradients, rank


@config_kind("method", "bptt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BPTTConfig(MethodConfig):
    """Backpropagation through time.

    Attributes:
        mixed_precision: bfloat16 where the device computes it natively (CUDA); parameters,
            membrane states and losses stay float32.
    """

    mixed_precision: bool = True

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> BPTT:
        """A learner for ``network``, on the device where its parameters lie."""
        return BPTT(network, objective, plan, self)


METHODS.register("bptt")(BPTTConfig)


class BPTT:
    """One gradient and one optimiser step a batch.

    State that a batch continues (``batch.fresh`` false) is carried over detached. Random
    layers draw from streams that depend on seed and update alone, so that a resumed run
    meets the same numbers.
    """

    def __init__(self, network: nn.Module, objective: Objective, plan: Plan, config: BPTTConfig) -> None:
        self.network = network
        self.objective = objective
        self.plan = plan
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = plan.optimizer.build(_groups(network, plan.optimizer.weight_decay))
        self.device = self.parameters[0].device
        self.step = 0
        self._half = config.mixed_precision and self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self._carried: State = None
        self._unpacked: dict[str, Tensor] | None = None  # carried state whose nesting is not known yet

    def update(self, batch: Batch, observe: Observer | None = None) -> dict[str, float]:
        """Learn from this process' share of one batch.

        Returns:
            ``loss`` and ``count`` over all processes, ``gradient_norm`` before clipping,
            ``learning_rate``.

        Raises:
            TrainingDiverged: loss or gradient is not finite; parameters are as before.
        """
        plan = self.plan
        factor = plan.schedule.factor(self.step, plan.steps_per_epoch, plan.epochs)
        rate = plan.optimizer.set_rate(self.optimizer, factor)
        self.network.train()
        self._reseed()
        self.optimizer.zero_grad(set_to_none=True)
        loss, count = exchange_gradients(self.parameters, *self.gradients(batch, observe))
        norm = self._clip()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = f"The loss became {loss}" if not math.isfinite(loss) else f"The gradient's norm became {norm}"
            raise TrainingDiverged(
                f"{what} in update {self.step + 1} at learning rate {rate:g}.",
                "lower the learning rate, clip gradients more tightly, or check the scale of the input",
            )
        self.optimizer.step()
        self.step += 1
        return {"loss": loss, "count": count, "gradient_norm": norm, "learning_rate": rate}

    def gradients(self, batch: Batch, observe: Observer | None) -> tuple[float, int]:
        """Leave ``.grad`` on the parameters for this process' batch; returns its loss and target count.

        What other methods that learn once a batch replace.
        """
        if batch.size == 0:  # more processes than sequences
            return 0.0, 0
        state = None if batch.fresh else self._state_for(batch)
        half = torch.autocast("cuda", torch.bfloat16) if self._half else contextlib.nullcontext()
        with half:
            arguments = () if batch.mask is None else (batch.mask,)
            output, state = self.network(batch.x, state, *arguments)
            loss = self.objective.loss(output, batch)
        loss.backward()
        self._carried, self._unpacked = detach(state), None
        if observe is not None:
            observe(output.detach(), batch)
        return loss.item(), batch.count

    def _clip(self) -> float:
        limit = self.plan.optimizer.clip
        if limit is not None:
            return nn.utils.clip_grad_norm_(self.parameters, limit).item()
        return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]).item()

    def _reseed(self) -> None:
        who = (rank(),) if rank() else ()
        for name, module in self.network.named_modules():
            if "generator" in vars(module):
                source = stream(self.plan.seed, "update", self.step, name, *who, device=self.device)
                setattr(module, "generator", source)  # noqa: B010 - the attribute is known by name alone

    def _state_for(self, batch: Batch) -> State:
        if self._unpacked is not None:
            # A checkpoint holds names and tensors; the nesting comes from one step of the network.
            first = batch.x[:, :1] if batch.tokens else batch.x[:1]
            self.network.eval()
            with torch.no_grad():
                _, template = self.network(first, None)
            self.network.train()
            self._carried, self._unpacked = restore(template, self._unpacked), None
        return self._carried

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights, optimiser state and carried state as flat tensors; the number of updates."""
        carried = self._unpacked if self._unpacked is not None else dict(leaves(self._carried))
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_state(self.optimizer).items()}
        tensors |= {f"carried.{name}": tensor for name, tensor in carried.items()}
        return tensors, {"step": self.step}

    def load_state_dict(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken.

        Raises:
            RunError: the tensors belong to another network or optimiser.
        """
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "carried": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise RunError(f"The checkpoint holds '{name}', which no {type(self).__name__} learner wrote.")
            parts[part][rest] = tensor
        try:
            self.network.load_state_dict(parts["network"])
        except RuntimeError as error:
            raise RunError(f"The checkpoint fits another network. {error}", "start the run in a new folder") from None
        load_optimizer(self.optimizer, parts["optimizer"])
        self.step = int(numbers["step"])
        self._carried = None
        self._unpacked = {name: tensor.to(self.device) for name, tensor in parts["carried"].items()}


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The network's own groups where it knows them, else all parameters alike."""
    own = getattr(network, "parameter_groups", None)
    if own is not None:
        return own(weight_decay)
    return [{"params": [p for p in network.parameters() if p.requires_grad], "weight_decay": weight_decay}]
