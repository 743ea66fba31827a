"""Stable-SPAM: Adam on gradients of even size, with periodic resets of its moments (arXiv 2502.17055)."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .adam_step import AdamStep, Form, adam_step, shrink
from .moment_reset import MomentResetOptimizer, Slot, check_adam, check_count, check_factors, gradients, reset
from .spam_phase import Phase

_SCALARS = ("largest", "norm", "norm_sq")
"""Running statistics of whole tensors: largest magnitude, norm, squared norm."""


class StableSPAM(MomentResetOptimizer):
    """Adam behind an adaptive clip and an adaptive norm of every tensor.

    Update ``k`` of a parameter with gradient ``g``, ``s = s(k)``, and hats for bias-corrected averages:

    1. clip: ``t`` averages the largest magnitude ``a = max|g|`` with ``gamma3``; coordinates above
       ``t_hat`` are multiplied by ``t_hat / a``;
    2. norm: ``mu`` averages ``|g|`` with ``gamma1 * s``, ``nu`` averages ``|g|**2`` with ``gamma2``;
       ``g`` is given the norm ``mu_hat / (sqrt(nu_hat) + eps)``;
    3. every ``reset_every`` updates both moments are wiped;
    4. AdamW with ``beta1 * s``.

    ``s`` is 1, or falls from 1 to 1/2 along half a cosine over ``momentum_decay_steps`` updates and stays there.

    The published class differs in three points, all of them slips: at a reset it still advances the old
    moments, whose update is then lost; it restarts the bias correction of ``t``, ``mu`` and ``nu`` with
    that of the moments although these averages go on, which disables the clip for long; and its count of
    updates is missing from its state. Here ``t``, ``mu`` and ``nu`` are corrected for all updates, the moments
    for those since the reset, and both counts are in the state.

    Args:
        params: parameters, or groups of them; every option below may differ between groups.
        lr: learning rate, at least 0.
        betas: decays of the two moments, in [0, 1).
        eps: added to both denominators, at least 0.
        weight_decay: decoupled, before the step.
        gammas: decays of the averages of norm, squared norm and largest magnitude, in [0, 1);
            the authors take (0.85, 0.99999, 0.999) with bfloat16.
        reset_every: updates between resets; 0 for none.
        momentum_decay_steps: planned updates over which ``beta1`` and ``gamma1`` fall to half; 0 keeps them.
        maximize: ascend.
        foreach: advance all tensors of a kind at once; ``None`` does so on CUDA and with small tensors.
        fused: use the kernel of ``torch.optim.AdamW(fused=True)`` for moments and parameters.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = StableSPAM([weight], lr=0.1)
        >>> weight.grad = torch.tensor([1000.0, -1000.0])
        >>> optimizer.step()
        >>> weight.data
        tensor([-0.1000,  0.1000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        gammas: tuple[float, float, float] = (0.7, 0.9, 0.999),
        reset_every: int = 1000,
        momentum_decay_steps: int = 0,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "gammas": gammas,
            "reset_every": reset_every,
            "momentum_decay_steps": momentum_decay_steps,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
        }
        check_stable_spam(options)
        super().__init__(params, options)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in ``torch.optim``, but averages of whole tensors keep their precision.

        The base class gives all state the dtype of its parameter; in bfloat16 these averages would stand still.
        """
        super().load_state_dict(state_dict)
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        held = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(saved, held, strict=True):
            for name in _SCALARS:
                if i in state_dict["state"]:
                    exact = state_dict["state"][i][name]
                    self.state[p][name] = exact.to(p.device, _precise(p.dtype), copy=True)

    def _check(self, group: Mapping[str, Any]) -> None:
        check_stable_spam(group)

    def _start(self, parameter: Tensor, group: Mapping[str, Any]) -> dict[str, Any]:
        scalars = {name: parameter.new_zeros((), dtype=_precise(parameter.dtype)) for name in _SCALARS}
        return super()._start(parameter, group) | scalars

    def _update(self, group: dict[str, Any], phase: Phase, slots: Sequence[Slot], form: Form) -> None:
        if phase.resets_now:
            reset(slots)
        ps = [slot.parameter for slot in slots]
        shrink(ps, 1.0 - group["lr"] * group["weight_decay"], form)
        fade = momentum_factor(phase.step, group["momentum_decay_steps"])
        beta1, beta2 = group["betas"]
        by = AdamStep(beta1 * fade, beta2, group["eps"], group["lr"], phase.since_reset)
        gs = _even(slots, gradients(slots, maximize=group["maximize"]), group, phase.step, fade)
        ms = [slot.state["exp_avg"] for slot in slots]
        vs = [slot.state["exp_avg_sq"] for slot in slots]
        adam_step(ps, gs, ms, vs, by, form)


def momentum_factor(step: int, decay_steps: int) -> float:
    """Half a cosine from 1 down to 1/2 over ``decay_steps`` updates, then 1/2; always 1 where that is 0.

    Example:
        >>> momentum_factor(7, 0), momentum_factor(101, 100)
        (1.0, 0.5)
    """
    if decay_steps == 0:
        return 1.0
    return 0.5 + 0.25 * (1.0 + math.cos(math.pi * min(1.0, step / (decay_steps + 1))))


def check_stable_spam(group: Mapping[str, Any]) -> None:
    """Options of :class:`StableSPAM`.

    Raises:
        ConfigError: one is out of range.
    """
    check_adam("StableSPAM", group)
    check_factors("StableSPAM", "gammas", group["gammas"], 3)
    check_count("StableSPAM", "momentum_decay_steps", group["momentum_decay_steps"])


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _even(slots: Sequence[Slot], gs: list[Tensor], group: Mapping[str, Any], step: int, fade: float) -> list[Tensor]:
    """The gradients behind clip and norm; advances the averages of their tensors.

    The averages of all tensors are vectors ``[len(slots)]`` here, for there are many small operations on them.
    """
    gamma1, gamma2, gamma3 = group["gammas"]
    gamma1 *= fade
    precise = _precise(gs[0].dtype)
    averages = [[slot.state[name] for slot in slots] for name in _SCALARS]
    largest, norm, norm_sq = map(torch.stack, averages)
    peak = torch.stack([torch.linalg.vector_norm(g, math.inf, dtype=precise) for g in gs])
    largest.lerp_(peak, 1.0 - gamma3)
    limit = largest / (1.0 - gamma3**step)
    clipped = [_limited(*tensors) for tensors in zip(gs, limit.unbind(), (limit / peak).unbind(), strict=True)]
    size = torch.stack([torch.linalg.vector_norm(g, dtype=precise) for g in clipped])
    norm.lerp_(size, 1.0 - gamma1)
    norm_sq.lerp_(size.square(), 1.0 - gamma2)
    wanted = norm / (1.0 - gamma1**step) / ((norm_sq / (1.0 - gamma2**step)).sqrt_() + group["eps"])
    factor = torch.where(size > 0, wanted / size, 1.0)
    for before, now in zip(averages, (largest, norm, norm_sq), strict=True):
        torch._foreach_copy_(before, list(now.unbind()))
    return [g.mul_(f) for g, f in zip(clipped, factor.unbind(), strict=True)]


def _limited(g: Tensor, limit: Tensor, ratio: Tensor) -> Tensor:
    """A new tensor: where the magnitude exceeds ``limit``, ``g * ratio``."""
    return torch.where(g.abs() > limit, (g * ratio).to(g.dtype), g)
