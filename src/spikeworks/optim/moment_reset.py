"""What optimisers share whose moments are wiped every so many updates.

A parameter without a gradient is left alone: its own count of updates, on which resets, bias
corrections and random choices depend, stands still. ``.grad`` is read and never written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..core.errors import ConfigError, ShapeError
from .adam_step import Form
from .spam_phase import Phase, phase_at

_SMALL = 1 << 14
"""Elements of a tensor up to which calls take longer than arithmetic."""


class Slot(NamedTuple):
    """A parameter that is updated: its position among all parameters, itself, and its state."""

    index: int
    parameter: Tensor
    state: dict[str, Any]

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """First and second moment."""
        return self.state["exp_avg"], self.state["exp_avg_sq"]


class MomentResetOptimizer(torch.optim.Optimizer):
    """Base class: closures, checks, state and the order of things; subclasses give the update.

    Parameters of a group that share device, dtype and number of updates are advanced together where
    the group's ``fused`` or ``foreach`` is true, one by one otherwise. Where ``foreach`` is ``None`` it is
    chosen on CUDA and for small tensors, whose calls take longer than their arithmetic; large tensors on
    a CPU are better off one by one, in its cache. The choice changes no bit of the result on a CPU.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as in ``torch.optim``.

        Raises:
            ConfigError: an option is out of range, or a parameter is complex.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check(group)
            if any(p.is_complex() for p in group["params"]):
                who = type(self).__name__
                raise ConfigError(f"{who} expected real parameters, got a complex one.", "use torch.view_as_real")
        except ConfigError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update of all parameters that have a gradient.

        Args:
            closure: evaluates the loss and its gradients again, with gradients enabled.

        Returns:
            What the closure returned, or ``None``.

        Raises:
            ShapeError: a gradient is sparse; no parameter has been changed.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_gradients()
        first = 0
        for group in self.param_groups:
            for (device, _, step), slots in self._slots(group, first).items():
                form = _form(group, device, slots)
                phase = self._phase(group, step)
                for batch in [[slot] for slot in slots] if form == "single" else [slots]:
                    self._update(group, phase, batch, form)
            first += len(group["params"])
        return loss

    def phase(self, group: int = 0) -> Phase:
        """The phase of the latest update of a parameter group, for logs."""
        options = self.param_groups[group]
        steps = [int(self.state[p]["step"]) for p in options["params"] if p in self.state]
        return self._phase(options, max(steps, default=0))

    def moment_shape(self, parameter: Tensor, group: Mapping[str, Any]) -> torch.Size:
        """Shape of either moment of a parameter of ``group``."""
        return parameter.shape

    def _check(self, group: Mapping[str, Any]) -> None:
        """Raise ConfigError where an option of a group is out of range."""
        raise TypeError(f"{type(self).__name__} defines no check of its options.")

    def _update(self, group: dict[str, Any], phase: Phase, slots: Sequence[Slot], form: Form) -> None:
        """Advance parameters that share device, dtype and phase."""
        raise TypeError(f"{type(self).__name__} defines no update.")

    def _start(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        """The state of a parameter before its first update."""
        shape = self.moment_shape(parameter, group)
        if shape == parameter.shape:
            zeros = [torch.zeros_like(parameter, memory_format=torch.preserve_format) for _ in range(2)]
        else:
            zeros = [parameter.new_zeros(shape) for _ in range(2)]
        # A number that is read on the host in every update stays on the CPU.
        return {"step": torch.zeros((), dtype=torch.int64), "exp_avg": zeros[0], "exp_avg_sq": zeros[1]}

    def _phase(self, group: Mapping[str, Any], step: int) -> Phase:
        return phase_at(step, group["reset_every"], group.get("rewarm_steps", 0))

    def _slots(self, group: dict[str, Any], first: int) -> dict[tuple[torch.device, torch.dtype, int], list[Slot]]:
        found: dict[tuple[torch.device, torch.dtype, int], list[Slot]] = {}
        for index, p in enumerate(group["params"], first):
            if p.grad is None or p.numel() == 0:
                continue
            state = self.state[p]
            if not state:
                state.update(self._start(p, group))
            state["step"] += 1
            found.setdefault((p.device, p.dtype, int(state["step"])), []).append(Slot(index, p, state))
        return found

    def _check_gradients(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and p.grad.layout != torch.strided:
                    raise ShapeError(
                        f"{type(self).__name__} expected a dense gradient, got layout {p.grad.layout} "
                        f"for a parameter of shape {list(p.shape)}.",
                        "use dense gradients (for an embedding: sparse=False)",
                    )


def gradients(slots: Sequence[Slot], *, maximize: bool) -> list[Tensor]:
    """The gradients to descend along; those of the parameters themselves unless their sign changes."""
    found = [slot.parameter.grad for slot in slots]
    return [-g if maximize else g for g in found if g is not None]


def reset(slots: Sequence[Slot]) -> None:
    """Wipe both moments in place, so that nothing still points at the old ones."""
    for slot in slots:
        for moment in slot.moments:
            moment.zero_()


def _form(group: Mapping[str, Any], device: torch.device, slots: Sequence[Slot]) -> Form:
    if group["fused"]:
        return "fused"
    together = group["foreach"]
    if together is None:
        together = device.type == "cuda" or sum(slot.parameter.numel() for slot in slots) <= _SMALL * len(slots)
    return "foreach" if together else "single"


def check_number(who: str, name: str, value: Any, *, below: float = math.inf) -> None:
    """A finite number in ``[0, below)``.

    Raises:
        ConfigError: it is something else; the message names it.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < below:
        bound = "" if below == math.inf else f" and below {below:g}"
        raise ConfigError(f"{who}: {name} must be a finite number of at least 0{bound}, got {value!r}.")


def check_count(who: str, name: str, value: Any, *, low: int = 0) -> None:
    """A whole number of updates.

    Raises:
        ConfigError: it is something else; the message names it.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{who}: {name} must be a whole number of at least {low}, got {value!r}.")


def check_factors(who: str, name: str, values: Any, count: int) -> None:
    """``count`` decay factors in ``[0, 1)``.

    Raises:
        ConfigError: a factor is out of range, or there are more or fewer of them.
    """
    if not isinstance(values, tuple | list) or len(values) != count:
        raise ConfigError(f"{who}: {name} must be {count} numbers, got {values!r}.")
    for i, value in enumerate(values):
        check_number(who, f"{name}[{i}]", value, below=1.0)


def check_adam(who: str, group: Mapping[str, Any]) -> None:
    """The options that all optimisers of this kind share.

    Raises:
        ConfigError: one of them is out of range.
    """
    for name in ("lr", "eps", "weight_decay"):
        check_number(who, name, group[name])
    check_factors(who, "betas", group["betas"], 2)
    check_count(who, "reset_every", group["reset_every"])
    for name in ("maximize", "fused"):
        check_flag(who, name, group[name])
    if group["foreach"] is not None:
        check_flag(who, "foreach", group["foreach"])
    if group["fused"] and group["foreach"]:
        raise ConfigError(f"{who}: fused and foreach exclude each other.", "choose one of them")


def check_flag(who: str, name: str, value: Any) -> None:
    """True or false.

    Raises:
        ConfigError: it is something else; the message names it.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{who}: {name} must be True or False, got {value!r}.")
