"""Normalisations made for spiking networks: scaled to the threshold, or with parts of their own for each step.

Those with something for each step know the place in the sequence from a state, the number of
steps since rest, so that chunks and streams go on where they stopped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from .norm import BatchNorm, moments, share, unbiased


class ThresholdBatchNorm(BatchNorm):
    """tdBN, threshold-dependent batch normalisation: to the scale of the neurons' threshold.

    ``y = weight * (alpha * threshold * x_hat) + bias`` with ``x_hat`` as :class:`BatchNorm` has it,
    so that currents start with a standard deviation of ``alpha * threshold``.

    Args:
        channels: C.
        threshold: of the neurons behind, above 0; a number that does not learn.
        alpha: 1, or ``1 / sqrt(n)`` where the currents of n such layers are added.
        momentum, epsilon, per_step: as for :class:`BatchNorm`.

    Raises:
        ConfigError: threshold or alpha are not above 0.

    Source: arXiv 2011.05280. Programs that start ``weight`` at ``alpha * threshold`` instead
    begin with the same map and learn it at another rate.
    """

    def __init__(
        self,
        channels: int,
        *,
        threshold: float,
        alpha: float = 1.0,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        per_step: bool = False,
    ) -> None:
        super().__init__(channels, momentum=momentum, epsilon=epsilon, per_step=per_step)
        if not (0.0 < threshold < math.inf and 0.0 < alpha < math.inf):
            raise ConfigError(f"tdBN needs threshold and alpha above 0, got {threshold:g} and {alpha:g}.")
        self.threshold, self.alpha = float(threshold), float(alpha)

    def gain(self) -> Tensor:
        return self.weight * (self.alpha * self.threshold)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, threshold={self.threshold:g}, alpha={self.alpha:g}"


class _Stepwise(nn.Module):
    """Base of normalisations with something of its own for each of ``steps`` steps since rest.

    The state is the number of steps since rest, int64 ``[B]``; ``None`` is rest.
    """

    carries_state = True

    def __init__(self, steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ConfigError(f"{type(self).__name__} needs at least one step, got steps={steps}.")
        self.steps = steps

    def places(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Which step each is, ``[T, 1]`` where that is one for the batch, else ``[T, B]``; the next state."""
        count, batch = x.shape[:2]
        index = torch.arange(count, device=x.device).unsqueeze(1)
        if state is None:
            self._check_end(count)
            return index, torch.full((batch,), count, device=x.device)
        if not isinstance(state, Tensor) or state.shape != (batch,) or state.is_floating_point():
            came = f"{state.dtype} {list(state.shape)}" if isinstance(state, Tensor) else type(state).__name__
            raise ShapeError(
                f"{type(self).__name__} expected as state the number of steps since rest, int64 [{batch}], got {came}.",
                "pass the state of the call before, or None to start from rest",
            )
        after = state + count
        if torch.compiler.is_compiling():  # a graph cannot look at values; torch checks the index itself
            return index + state, after
        low, high = (int(end) for end in state.aminmax())
        self._check_end(high + count)
        return index + (state if low < high else high), after

    def _check_end(self, last: int) -> None:
        if last > self.steps:
            raise ShapeError(
                f"{type(self).__name__} was built for sequences of up to {self.steps} steps, this one reaches {last}.",
                f"build it with steps={last} or more; in a stack that is norm_steps",
            )

    def _counting(self, x: Tensor) -> Operations:
        """Of the place in the sequence: one number a sequence, counted up at each step."""
        steps = x.shape[0] * x.shape[1]
        return Operations(acs=steps, state_reads=steps, state_writes=steps)


class TemporalEffectiveBatchNorm(_Stepwise):
    """TEBN, temporal effective batch normalisation: batch norm over time and batch, times a weight a step.

    ``y[t] = step_weight[t] * batch(x)[t]``; all weights start at 1. The weights are a clock: what
    they gain on a task is to be compared with a control that has one, too.

    Args:
        channels: C.
        steps: number of weights, the longest sequence from rest, chunks and streams included.
        momentum, epsilon: as for :class:`BatchNorm`.

    Raises:
        ConfigError: less than one step.

    Example:
        >>> norm = TemporalEffectiveBatchNorm(3, steps=8).eval()
        >>> x = torch.rand(8, 2, 3)
        >>> first, state = norm(x[:5])
        >>> second, state = norm(x[5:], state)
        >>> torch.equal(torch.cat([first, second]), norm(x)[0]), state.tolist()
        (True, [8, 8])

    Source: Duan et al., "Temporal Effective Batch Normalization in Spiking Neural Networks", NeurIPS 2022.
    """

    def __init__(self, channels: int, *, steps: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(steps)
        self.batch = BatchNorm(channels, momentum=momentum, epsilon=epsilon)
        self.step_weight = nn.Parameter(torch.ones(steps))

    def forward(self, x: Tensor, state: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``x [T, B, C, ...]``, ``state [B]`` int64 or ``None``, ``mask [T, B]`` bool or ``None``; also the next state.

        Raises:
            ShapeError: the sequence goes beyond the last weight, or the state is none of this layer.
        """
        index, after = self.places(x, state)
        weight = functional.embedding(index, self.step_weight.unsqueeze(1))  # [T, 1 or B, 1]
        return self.batch(x, mask) * weight.reshape(*weight.shape, *(1,) * (x.dim() - 3)), after

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """One product an element, because the weight of a step cannot be folded into a synapse of all steps.

        The batch normalisation itself is folded and costs nothing.
        """
        return Operations(macs=x.numel(), weight_reads=x.shape[0] * x.shape[1]) + self._counting(x)

    def extra_repr(self) -> str:
        return f"steps={self.steps}"


class BatchNormThroughTime(_Stepwise):
    """BNTT, batch normalisation through time: moments and a scale of its own for each step.

    ``y[t] = weight[t] * (x[t] - mean[t]) / sqrt(variance[t] + epsilon)`` with the moments of step t
    over the batch in training, and their running averages in evaluation. There is no shift, as
    in the source. Chunks with carried state equal the whole in training and in evaluation.
    A step that training never reached is left as it is in evaluation.

    Args:
        channels: C.
        steps: rows of the tables, the longest sequence from rest, chunks and streams included.
        momentum, epsilon: as for :class:`BatchNorm`.

    Raises:
        ConfigError: less than one step.

    Source: arXiv 2010.01729.
    """

    mean: Tensor
    variance: Tensor
    parameter_rates = {"weight": 1.0}
    """A table of gains is no matrix: it learns at the common rate and does not decay."""

    def __init__(self, channels: int, *, steps: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__(steps)
        self.momentum, self.epsilon = momentum, epsilon
        self.weight = nn.Parameter(torch.ones(steps, channels))
        self.register_buffer("mean", torch.zeros(steps, channels))
        self.register_buffer("variance", torch.ones(steps, channels))

    def forward(self, x: Tensor, state: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``x [T, B, C, ...]``, ``state [B]`` int64 or ``None``, ``mask [T, B]`` bool or ``None``; also the next state.

        Raises:
            ShapeError: the sequence goes beyond the last step, the state is none of this layer, or
                sequences are at different steps in training.
        """
        index, after = self.places(x, state)
        weight = functional.embedding(index, self.weight)  # [T, 1 or B, C]
        if self.training:
            mean, variance = (m.unsqueeze(1) for m in self._moments(x, mask, index))
        else:
            mean, variance = (functional.embedding(index, table) for table in (self.mean, self.variance))
        scale = weight * torch.rsqrt(variance + self.epsilon)
        shift = -mean * scale
        tail = (1,) * (x.dim() - 3)
        return torch.addcmul(shift.reshape(*shift.shape, *tail), x, scale.reshape(*scale.shape, *tail)), after

    def _moments(self, x: Tensor, mask: Tensor | None, index: Tensor) -> tuple[Tensor, Tensor]:
        if index.shape[1] > 1 and not torch.compiler.is_compiling():
            raise ShapeError(
                f"{type(self).__name__} trains on sequences at one step, these are at {index[0].tolist()}.",
                "start all sequences of a batch together, or call eval() first",
            )
        mean, variance, count = moments(x, mask, per_step=True)
        with torch.no_grad():
            part = share(self.momentum, count)
            for kept, new in ((self.mean, mean), (self.variance, unbiased(variance, count))):
                old = kept[index[:, 0]]
                moved = (new.to(kept.dtype) - old) * part
                kept[index[:, 0]] = old + moved.to(kept.dtype)
        return mean, variance

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """One product and sum an element: scale and shift of a step cannot be folded into a synapse of all steps."""
        reads = 2 * x.shape[0] * x.shape[1] * x.shape[2]
        return Operations(macs=x.numel(), weight_reads=reads) + self._counting(x)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, steps={self.steps}, momentum={self.momentum}"


class EachInputStepwise(nn.ModuleList):
    """A normalisation with parts for each step for each of several currents; one state, because they share the step."""

    carries_state = True

    def forward(
        self, x: tuple[Tensor, ...], state: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """A tuple of currents in and out, and the next state."""
        results = [norm(current, state, mask) for norm, current in zip(self, x, strict=True)]
        return tuple(y for y, _ in results), results[0][1]
