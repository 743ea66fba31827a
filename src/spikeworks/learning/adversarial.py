"""Training against critics that learn what a measure of quality hears (MetricGAN, arXiv 1905.04874).

Measures such as intelligibility have no gradient. A critic D sees the clean and the estimated sound and learns to
foretell the measured quality q of the estimate, and 1 for the clean sound itself; the network learns to be judged
well. For each critic k with its weight w_k,

    network:  objective + Σ_k w_k mean (D_k(clean, estimate) - 1)²
    critic:   mean (D_k(clean, clean) - 1)² + mean (D_k(clean, estimate) - q_k)²

Both come from one forward pass of the network. Variants in use for arXiv 2410.04785: ``dnsmos_ovrl`` with 0.05;
``dnsmos_sig`` with 1 and ``dnsmos_bak`` with 0.5.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..core.batch import Batch
from ..core.config import config_kind
from ..core.errors import ConfigError
from ..core.seeds import stream
from ..models.critic import Critic, Critics
from .base import METHODS, MethodConfig, Objective, Observer, Plan
from .descent import Descent
from .exchange import exchange_gradients


class Hearing(Protocol):
    """The network's answers to one batch, as a critic hears them.

    Attributes:
        loss: that of the objective.
        clean, estimate: magnitudes ``[B, F, T]``.
    """

    loss: Tensor
    clean: Tensor
    estimate: Tensor

    def qualities(self) -> Tensor:
        """As measured, in [0, 1], one row for each name, ``[K, B]``; nan where a clip has none."""
        ...


class Audible(Objective, Protocol):
    """An objective whose answers have a quality that can be measured."""

    def jury(self, qualities: Sequence[str]) -> Callable[[Tensor, Batch], Hearing]:
        """What hears outputs, once it is sure that these qualities can be measured."""
        ...


@METHODS.register("adversarial")
@config_kind("method", "adversarial")
@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialConfig(MethodConfig):
    """Backpropagation through time, with critics of measured qualities in the loss.

    Attributes:
        qualities: what is measured, one critic for each: ``stoi``, ``pesq``, ``dnsmos_ovrl``, ``dnsmos_sig``,
            ``dnsmos_bak``.
        weights: of each critic in the network's loss; with 0 the critic learns and the network does not hear it.
        warmup: updates in which critics learn and the network does not hear them yet.
        critic_rate: learning rate of the critics, as a factor on that of the network.
        mixed_precision: as for :class:`~spikeworks.learning.BPTTConfig`, of the network alone.

    Raises:
        ConfigError: not one weight for each quality, or a number out of range.
    """

    qualities: tuple[str, ...] = ("stoi",)
    weights: tuple[float, ...] = (0.05,)
    warmup: int = 100
    critic_rate: float = 0.3
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        if not self.qualities or len(self.qualities) != len(self.weights):
            raise ConfigError(
                f"The method adversarial needs one weight for each quality, got {len(self.qualities)} qualities and "
                f"{len(self.weights)} weights.",
                "for instance --method.qualities stoi --method.weights 0.05",
            )
        if len(set(self.qualities)) < len(self.qualities):
            raise ConfigError(f"Each quality has one critic, got {', '.join(self.qualities)}.")
        if not all(0 <= weight < math.inf for weight in self.weights):
            raise ConfigError(f"Weights of critics are numbers from 0 on, got {self.weights}.")
        if self.warmup < 0:
            raise ConfigError(f"warmup is a number of updates from 0 on, got {self.warmup}.")
        if not 0 < self.critic_rate < math.inf:
            raise ConfigError(f"critic_rate is a factor above 0, got {self.critic_rate}.")

    def build(self, network: nn.Module, objective: Objective, plan: Plan) -> Adversarial:
        """A learner for ``network``, on the device where its parameters lie.

        Raises:
            ConfigError: the task's answers are no sounds, or a package is missing that measures a quality.
            UnknownName: no such quality; DataError: a model that measures it is missing.
        """
        if not hasattr(objective, "jury"):
            task = getattr(objective, "name", type(objective).__name__)
            raise ConfigError(
                f"The method adversarial trains against measured qualities of sound, and {task} has no sounds to "
                "measure.",
                "take a denoising task such as denoise-digits, or the method bptt",
            )
        return Adversarial(network, objective, plan, self)  # type: ignore[arg-type]


class Adversarial(Descent):
    """One gradient and one step for the network and one for the critics, a batch.

    The loss reported is the objective's alone, so that it compares with that of validation and of other methods.

    Attributes:
        critics: one for each quality, in order; they lie in ``beside``.
        critic_loss: theirs in the last update, over all processes.
        hear: outputs and their batch, as critics hear them.
    """

    def __init__(self, network: nn.Module, objective: Audible, plan: Plan, config: AdversarialConfig) -> None:
        like = next(network.parameters())
        self.critics = [Critic(stream(plan.seed, "critic", name)) for name in config.qualities]
        beside = Critics(self.critics, config.critic_rate).to(like)
        super().__init__(network, objective, plan, mixed_precision=config.mixed_precision, shares=[network, beside])
        self.beside: nn.Module = beside
        self.config = config
        self.critic_loss = math.nan
        self.hear = objective.jury(config.qualities)

    def update(self, batch: Batch, observe: Observer | None = None) -> dict[str, float]:
        """As for every learner, with ``critic_loss`` beside it."""
        return {**super().update(batch, observe), "critic_loss": self.critic_loss}

    def learn(self, batch: Batch, observe: Observer | None) -> tuple[float, int, float]:
        """Gradients of both from one forward pass, then both steps; returns the network's loss, count and norm."""
        own, others = (share.parameters for share in self.shares)
        loss, misjudged, count = self._differentiate(batch, observe) if batch.size else self._absent()
        loss, total = exchange_gradients(own, loss, count)
        self.critic_loss, _ = exchange_gradients(others, misjudged, count)
        self.apply(self.critic_loss, 1)  # first, so that whichever fails, the network is as before
        return loss, total, self.apply(loss)

    def _differentiate(self, batch: Batch, observe: Observer | None) -> tuple[float, float, int]:
        """Leave gradients on the network and the critics; returns the losses of both and the count."""
        state = self.state_for(batch)
        with self.precision():
            arguments = () if batch.mask is None else (batch.mask,)
            output, state = self.network(batch.x, state, *arguments)
            hearing = self.hear(output, batch)
        self.network_loss(hearing).backward()
        self.carry(state)
        if observe is not None:
            observe(output.detach(), batch)
        loss = hearing.loss.item()
        # what is no number cannot be measured; the steps that follow say so
        measured = hearing.qualities() if math.isfinite(loss) else hearing.clean.new_full((1, 1), math.nan)
        misjudged = self.critics_loss(hearing, measured.expand(len(self.critics), batch.size))
        misjudged.backward()
        return loss, misjudged.item(), batch.count

    def network_loss(self, hearing: Hearing) -> Tensor:
        """What the network learns from; it leaves no gradient on the critics.

        They judge without dropout, as after training.
        """
        loss = hearing.loss
        if self.step < self.config.warmup:
            return loss
        pairs = self._pairs(hearing.clean, hearing.estimate)
        with _still(self.beside):
            for critic, weight in zip(self.critics, self.config.weights, strict=True):
                if weight:
                    loss = loss + weight * (critic(pairs) - 1).square().mean()
        return loss

    def critics_loss(self, hearing: Hearing, measured: Tensor) -> Tensor:
        """What the critics learn from; it leaves no gradient on the network.

        Args:
            measured: qualities ``[K, B]``; clips without one, nan, teach nothing as estimates.
        """
        clean, estimate = hearing.clean.detach(), hearing.estimate.detach()
        pairs = torch.cat([self._pairs(clean, clean), self._pairs(clean, estimate)])
        losses = []
        for critic, quality in zip(self.critics, measured, strict=True):
            judged = critic(pairs)
            ideal, real = judged.chunk(2)
            wanted = torch.where(quality.isnan(), real.detach(), quality.to(real))
            losses.append((ideal - 1).square().mean() + (real - wanted).square().mean())
        return torch.stack(losses).sum()

    def _pairs(self, clean: Tensor, estimate: Tensor) -> Tensor:
        return torch.stack([clean, estimate], 1).to(self.critics[0].slope.dtype)

    def _absent(self) -> tuple[float, float, int]:
        """With more processes than sequences: what critics carry along goes on as elsewhere."""
        for critic in self.critics:
            critic.settle()
        return 0.0, 0.0, 0


@contextlib.contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Parameters are constants inside, and nothing is drawn or carried along."""
    module.requires_grad_(False).eval()
    try:
        yield
    finally:
        module.requires_grad_(True).train()
