"""Synapses with delays that are learnt: ``y_o[t] = b_o + sum_i w_oi x_i[t - d_oi]``."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import ConfigError, ShapeError
from ..core.operations import Operations
from ..core.state import check_time_first
from ..neurons import WidthSchedule
from . import delay_forms as forms
from .delay_kernel import KernelMode, clamp_delay, delay_kernel, delay_taps
from .delay_taps import deliver
from .stateful import Stateful
from .synapse import synaptic_operations, uniform_

Granularity = Literal["synapse", "axon", "dendrite"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DelayConfig:
    """Which delays there are and how they are learnt.

    Args:
        max_delay: the longest, in steps; there are D = ``max_delay + 1``.
        taps: weights with a delay of their own that a synapse has.
        granularity: one delay (a tap) for each synapse, for each input (``axon``) or for each
            output (``dendrite``).
        learned: whether training moves the delays; else they stay whole and as drawn.
        width: standard deviation, in steps, of the Gaussian that stands for a delay at the start of
            training; ``None`` is half the number of delays.
        schedule: how it narrows.
        finish: ``ste`` trains the last part with delays as deployed, rounded, and the gradient of
            the Gaussian (straight-through); ``none`` keeps the Gaussian to the end. A network of few
            synapses that tells single spikes apart fails without.
        finish_at: share of training at which ``ste`` begins.
        rate: factor on the learning rate of the delays.
        form: how training carries out the sum; ``auto`` chooses by size.
    """

    max_delay: int = 24
    taps: int = 1
    granularity: Granularity = "synapse"
    learned: bool = True
    width: float | None = None
    schedule: WidthSchedule = WidthSchedule(stop=0.5, kind="exponential", over=0.25)
    finish: Literal["none", "ste"] = "ste"
    finish_at: float = 0.5
    rate: float = 100.0
    form: Literal["auto", "direct", "fourier"] = "auto"

    def __post_init__(self) -> None:
        if self.max_delay < 0 or self.taps < 1:
            raise ConfigError(
                f"Delays need max_delay of at least 0 and at least one tap, got {self.max_delay} and {self.taps}."
            )
        for name, allowed in (
            ("granularity", ("synapse", "axon", "dendrite")),
            ("finish", ("none", "ste")),
            ("form", ("auto", "direct", "fourier")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} of delays is {', '.join(allowed)}; got {getattr(self, name)!r}.")
        if self.width is not None and not (self.width > 0 and math.isfinite(self.width)):
            raise ConfigError(f"The width of a delay must be above 0, got {self.width}.")
        if not 0 <= self.finish_at <= 1:
            raise ConfigError(f"finish_at is a share of training in [0, 1], got {self.finish_at}.")
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise ConfigError(f"The factor on the learning rate of delays must not be negative, got {self.rate}.")


class BufferBytes(NamedTuple):
    """Bytes a sequence needs for the delays as they are now; a device takes the smaller.

    Attributes:
        inputs: spikes that wait at their axons, one bit a step up to the longest delay of each.
        outputs: accumulators of four bytes, one for each step that a neuron's input may still reach.
    """

    inputs: int
    outputs: int


class DelayLinear(Stateful):
    """A linear map with a delay at every synapse: ``x [T, B, inputs] -> [T, B, outputs]``.

    In training a delay is a real number, spread over steps by a Gaussian that narrows as
    :meth:`set_progress` is told; in evaluation it is rounded, without touching a parameter. Causal;
    the output has the length of the input, and what is still under way is in the state.

    State: ``[B, max_delay, C]``, oldest step first: the last inputs (C = inputs), or with one delay
    for each dendrite the last weighted sums (C = outputs * taps). ``None`` is silence. Feeding chunks with
    the state carried equals feeding the whole; in evaluation to the last bit where the kernels are in C,
    else up to the order of summation.

    Weights and bias start as U(-1/sqrt(inputs * taps), 1/sqrt(inputs * taps)), delays uniform over the
    whole steps 0 to ``max_delay``. Delays outside the range are cut at use
    (:func:`~.delay_kernel.clamp_delay`).

    Source: arXiv 2306.17670; see :mod:`~.delay_kernel`.

    Example:
        >>> layer = DelayLinear(3, 2, DelayConfig(max_delay=4))
        >>> y, state = layer(torch.rand(10, 5, 3))
        >>> y.shape, state.shape
        (torch.Size([10, 5, 2]), torch.Size([5, 4, 3]))
    """

    width: Tensor
    position: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        config: DelayConfig | None = None,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1:
            raise ConfigError(f"A delayed synapse needs at least one input and output, got {inputs} and {outputs}.")
        self.config = config = config or DelayConfig()
        self.inputs, self.outputs = inputs, outputs
        self.delays = config.max_delay + 1
        bound = 1.0 / math.sqrt(inputs * config.taps)
        self.weight = nn.Parameter(uniform_(torch.empty(outputs, inputs, config.taps), bound, generator))
        self.bias = nn.Parameter(uniform_(torch.empty(outputs), bound, generator)) if bias else None
        each = {"synapse": (outputs, inputs), "axon": (1, inputs), "dendrite": (outputs, 1)}[config.granularity]
        # every whole delay is as likely as any other after rounding
        drawn = torch.rand(*each, config.taps, generator=generator) * self.delays - 0.5
        drawn = drawn.clamp(0, config.max_delay)
        if config.learned:
            self.position = nn.Parameter(drawn)
        else:
            self.register_buffer("position", drawn.round())
        self.register_buffer("width", torch.empty(()), persistent=False)
        self.progress = 0.0
        self.set_progress(0.0)

    # -- training ------------------------------------------------------------------------------

    def set_progress(self, progress: float) -> None:
        """Tell which share of training is done, in [0, 1]; sets the width and when the finish begins."""
        if not 0 <= progress <= 1:
            raise ConfigError(f"Progress of training is a share in [0, 1], got {progress}.")
        self.progress = progress
        start = 0.5 * self.delays if self.config.width is None else self.config.width
        with torch.no_grad():
            self.width.fill_(self.config.schedule.width(start, progress))

    @property
    def parameter_rates(self) -> dict[str, float]:
        """Parameters with a learning rate of their own and no weight decay, and the factor."""
        return {"position": self.config.rate} if self.config.learned else {}

    @property
    def mode(self) -> KernelMode:
        """How a delay acts now: ``gauss``, ``ste`` or ``round``."""
        if not (self.training and self.config.learned):
            return "round"
        return "ste" if self.config.finish == "ste" and self.progress >= self.config.finish_at else "gauss"

    def choice(self, steps: int, batch: int) -> forms.Choice:
        """The form that training takes for an input of this size, and why; one delay a synapse."""
        found = forms.choose(steps, batch, self.outputs, self.inputs, self.delays)
        if self.config.form == "auto":
            return found
        return forms.Choice(self.config.form, steps + self.delays - 1, "asked for")

    # -- running -------------------------------------------------------------------------------

    def forward(self, x: Tensor, state: Tensor | None = None, *, tail: int = 0) -> tuple[Tensor, Tensor]:
        """Run over time.

        Args:
            x: ``[T, B, inputs, ...]`` with further axes flattened.
            state: of an earlier chunk; ``None`` is silence.
            tail: silent steps appended behind, so that late spikes arrive; the output has
                ``T + tail`` steps.

        Returns:
            ``[T + tail, B, outputs]`` and the state after the last step.

        Raises:
            ShapeError: x or state does not fit; ConfigError: a negative tail.
        """
        check_time_first(x, None, "DelayLinear")
        x = x.flatten(2)
        check_time_first(x, self.inputs, "DelayLinear")
        if tail < 0:
            raise ConfigError(f"A tail has at least 0 steps, got {tail}.")
        if tail:
            x = torch.cat([x, x.new_zeros(tail, *x.shape[1:])])
        return super().forward(x, state)

    def run(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        dendrite = self.config.granularity == "dendrite"
        signal = functional.linear(x, self.weight.movedim(2, 1).flatten(0, 1)) if dendrite else x
        whole = torch.cat([self._past(signal, state), signal])
        y = self._summed(whole)
        after = whole[len(whole) - self.config.max_delay :].transpose(0, 1).contiguous()
        return (y if self.bias is None else y + self.bias), after

    def _past(self, signal: Tensor, state: Tensor | None) -> Tensor:
        """The steps before the first, ``[D - 1, B, C]``."""
        batch, channels = signal.shape[1:]
        if state is None:
            return signal.new_zeros(self.config.max_delay, batch, channels)
        expected = (batch, self.config.max_delay, channels)
        if state.shape != expected:
            raise ShapeError(
                f"DelayLinear expected a state of shape {list(expected)}, got {list(state.shape)}.",
                "a state belongs to one layer, its longest delay and one batch; pass None to start from silence",
            )
        return state.to(signal.dtype).transpose(0, 1)

    def _summed(self, whole: Tensor) -> Tensor:
        mode, longest = self.mode, self.config.max_delay
        steps, batch = len(whole) - longest, whole.shape[1]
        if self.config.granularity == "synapse":
            if mode == "round":
                return deliver(whole, self.weight.to(whole.dtype), self.whole_delays(), longest)
            kernel = delay_kernel(self.weight, self.position, self.delays, self.width, mode).to(whole.dtype)
            choice = self.choice(steps, batch)
            if choice.form == "fourier":
                return forms.fourier(whole, kernel, choice.block)
            return forms.direct(whole, kernel)
        axon = self.config.granularity == "axon"
        position = self.position[0] if axon else self.position[:, 0].reshape(-1, 1)
        if mode == "round":
            spread = forms.shift(whole, self._rounded(position), longest)
        else:
            spread = forms.spread(whole, delay_taps(position, self.delays, self.width, mode).to(whole.dtype))
        if axon:
            return functional.linear(spread.flatten(2), self.weight.flatten(1))
        return spread.reshape(steps, batch, self.outputs, -1).sum(-1)

    def _rounded(self, position: Tensor) -> Tensor:
        return clamp_delay(position.detach(), self.config.max_delay).round().to(torch.int64)

    def whole_delays(self) -> Tensor:
        """The delays as deployed, in steps: int64 ``[outputs, inputs, taps]``."""
        return self._rounded(self.position).expand(self.weight.shape)

    # -- what it costs -------------------------------------------------------------------------

    def operations(self, x: Tensor, y: Tensor) -> Operations:
        """As deployed: a spike reaches each weight of its axon once, whenever that is.

        Taps of a synapse that fall on one step are one weight. Every output has a ring of
        accumulators; the one of the step is read and cleared.
        """
        delays = self.whole_delays().sort(-1).values
        distinct = 1 + (delays.diff(dim=-1) != 0).sum(-1)  # [O, I]
        reached = distinct.sum(0).to(torch.float64)
        spikes = x.flatten(2).abs().sum((0, 1), dtype=torch.float64)
        dense = x.shape[0] * x.shape[1] * distinct.sum().item()
        counted = synaptic_operations(x, dense, (spikes * reached).sum().item())
        return counted + Operations(state_reads=y.numel(), state_writes=y.numel())

    def buffer_bytes(self) -> BufferBytes:
        """What a device must keep for each sequence."""
        delays = self.whole_delays()
        bits = delays.amax((0, 2)).sum().item()
        slots = (delays.amax((1, 2)) + 1).sum().item()
        return BufferBytes(-(-int(bits) // 8), 4 * int(slots))

    def extra_repr(self) -> str:
        config = self.config
        kept = f"max_delay={config.max_delay}, taps={config.taps}, granularity={config.granularity!r}"
        return f"{self.inputs}, {self.outputs}, {kept}, learned={config.learned}, finish={config.finish!r}"
