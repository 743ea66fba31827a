"""SPAM: Adam with a clip per coordinate and periodic resets of its moments (arXiv 2501.06842).

The spikes in its name are spikes of gradients, which training through many time steps knows well;
they have nothing to do with those of neurons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .adam_step import AdamStep, adam_step, in_blocks, shrink
from .adam_step import Form as AdamForm
from .moment_reset import (
    MomentResetOptimizer,
    Slot,
    check_adam,
    check_count,
    check_flag,
    check_number,
    gradients,
    reset,
)
from .spam_clip import clip_spikes
from .spam_mask import kept_coordinates, kept_count
from .spam_phase import Phase

BiasCorrection = Literal["since_reset", "global"]
Arrangement = Literal["adamw", "published"]


class SPAM(MomentResetOptimizer):
    """Adam whose moments are wiped periodically and whose outlying gradients are clipped.

    Update ``k = 1, 2, ...`` of a parameter ``p`` with gradient ``g``, moments ``m`` and ``v``, and
    ``c = k mod reset_every``:

    1. where ``c == 0``: ``m = v = 0``;
    2. with ``k`` and ``c`` at least ``clip_holdoff``: every coordinate of ``g`` is limited to
       ``+-sqrt(threshold * v)``, with ``v`` of the update before;
    3. ``m`` and ``v`` advance as in Adam; ``p`` moves by ``lr * scale`` times their ratio, where
       ``scale`` rises from 0.01 to 1 over the ``rewarm_steps`` updates behind a reset
       (:func:`~spikeworks.optim.spam_phase.phase_at`).

    Without clip (``threshold=math.inf``) and resets (``reset_every=0``) this is AdamW. A clip of the
    global gradient norm, outside of this class, copes better with gradients that are spoiled as a whole.

    Args:
        params: parameters, or groups of them; every option below may differ between groups.
        lr: learning rate, at least 0.
        betas: decays of the two moments, in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled, applied to all coordinates whatever the density, not scaled down behind resets.
        threshold: largest ``g**2 / v`` that is not clipped, above 0; ``math.inf`` never clips.
        reset_every: updates between resets; 0 for none.
        rewarm_steps: updates over which the step rises again behind a reset, at most ``reset_every``.
        clip_holdoff: updates behind the start or a reset that are not clipped, because ``v`` is still
            too young; from 2 to ``reset_every - 1``.
        density: share of the coordinates that keep moments and move between two resets, in (0, 1].
            Which ones is drawn anew at each reset, from a counter: the state is ``density`` times as
            large as that of Adam, and nothing but moments is stored. Below 1 resets are needed.
        bias_correction: ``"since_reset"`` corrects the moments for what they hold, so that the step is
            that of Adam; ``"global"`` counts all updates, as published, and makes the step up to 6.5
            times as large behind a reset and 1.6 times as large at the end of 500 updates.
        zero_guard: do not clip coordinates whose ``v`` is 0. Without it a coordinate without gradients
            for ``clip_holdoff`` updates (a neuron outside the support of its surrogate derivative)
            stands still until the next reset.
        arrangement: ``"adamw"`` is arranged as ``torch.optim.AdamW``; ``"published"`` adds ``eps`` to the
            uncorrected root of ``v`` and decays weights behind the step.
        maximize: ascend.
        foreach: advance all tensors of a kind at once; ``None`` does so on CUDA and with small tensors.
        fused: use the kernel of ``torch.optim.AdamW(fused=True)`` for moments and parameters.
        seed: of the choice of coordinates.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> layer = torch.nn.Linear(4, 2)
        >>> optimizer = SPAM(layer.parameters(), lr=0.01, density=0.25)
        >>> layer(torch.ones(4)).sum().backward()
        >>> optimizer.step()
        >>> optimizer.state[layer.weight]["exp_avg"].shape, optimizer.phase().since_reset
        (torch.Size([2]), 1)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        threshold: float = 5000.0,
        reset_every: int = 500,
        rewarm_steps: int = 150,
        clip_holdoff: int = 20,
        density: float = 1.0,
        bias_correction: BiasCorrection = "since_reset",
        zero_guard: bool = True,
        arrangement: Arrangement = "adamw",
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool = False,
        seed: int = 0,
    ) -> None:
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "threshold": threshold,
            "reset_every": reset_every,
            "rewarm_steps": rewarm_steps,
            "clip_holdoff": clip_holdoff,
            "density": density,
            "bias_correction": bias_correction,
            "zero_guard": zero_guard,
            "arrangement": arrangement,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "seed": seed,
        }
        check_spam(options)
        super().__init__(params, options)

    @classmethod
    def reference(cls, params: Iterable[Any], lr: float = 1e-3, **options: Any) -> SPAM:
        """The optimiser as its authors published it: their bias correction, form, ``eps`` and no guard."""
        published = {"eps": 1e-6, "bias_correction": "global", "zero_guard": False, "arrangement": "published"}
        return cls(params, lr, **{**published, **options})

    def moment_shape(self, parameter: Tensor, group: Mapping[str, Any]) -> torch.Size:
        """That of the parameter, or one axis over the coordinates that keep moments."""
        if group["density"] == 1.0:
            return parameter.shape
        return torch.Size([kept_count(parameter.numel(), group["density"])])

    def _check(self, group: Mapping[str, Any]) -> None:
        check_spam(group)

    def _update(self, group: dict[str, Any], phase: Phase, slots: Sequence[Slot], form: AdamForm) -> None:
        self._check_state(group, slots)
        if phase.resets_now:
            reset(slots)
        parameters = [slot.parameter for slot in slots]
        kept = 1.0 - group["lr"] * group["weight_decay"]
        if group["arrangement"] == "published":
            self._move(group, phase, slots, form)
            shrink(parameters, kept, form)
        else:
            shrink(parameters, kept, form)
            self._move(group, phase, slots, form)

    def _move(self, group: dict[str, Any], phase: Phase, slots: Sequence[Slot], form: AdamForm) -> None:
        ps = [slot.parameter for slot in slots]
        gs = gradients(slots, maximize=group["maximize"])
        ms = [slot.state["exp_avg"] for slot in slots]
        vs = [slot.state["exp_avg_sq"] for slot in slots]
        where: list[Tensor] = []
        if group["density"] < 1.0:
            where = [_coordinates(group, phase, slot) for slot in slots]
            gs = [g.take(index) for g, index in zip(gs, where, strict=True)]
            ps = [p.take(index) for p, index in zip(ps, where, strict=True)]
        threshold, by = group["threshold"], _numbers(group, phase)
        clips = math.isfinite(threshold) and phase.clips(group["clip_holdoff"])
        for p, g, m, v in in_blocks(ps, gs, ms, vs, form):
            clipped = clip_spikes(g, v, threshold, group["zero_guard"], form) if clips else g
            adam_step(p, clipped, m, v, by, form)
        for slot, index, moved in zip(slots, where, ps, strict=False):
            _put(slot.parameter, index, moved)

    def _check_state(self, group: dict[str, Any], slots: Sequence[Slot]) -> None:
        for slot in slots:
            expected, found = self.moment_shape(slot.parameter, group), slot.state["exp_avg"].shape
            if found != expected:
                raise ConfigError(
                    f"SPAM: moments of parameter {slot.index} have shape {list(found)}, "
                    f"density={group['density']} needs {list(expected)}.",
                    "density cannot change during a training; make a new optimizer",
                )


def _numbers(group: Mapping[str, Any], phase: Phase) -> AdamStep:
    beta1, beta2 = group["betas"]
    held = phase.since_reset if group["bias_correction"] == "since_reset" else phase.step
    by = AdamStep(beta1, beta2, group["eps"], group["lr"] * phase.scale, held)
    # Added to the root of v before its correction, epsilon is corrected together with it.
    return by._replace(epsilon=by.epsilon / by.root) if group["arrangement"] == "published" else by


def _coordinates(group: Mapping[str, Any], phase: Phase, slot: Slot) -> Tensor:
    numel, kept = slot.parameter.numel(), slot.state["exp_avg"].numel()
    return kept_coordinates(numel, kept, group["seed"], slot.index, phase.resets, device=slot.parameter.device)


def _put(parameter: Tensor, index: Tensor, values: Tensor) -> None:
    """Write coordinates of the flattened parameter, whatever its layout in memory."""
    flat = parameter.reshape(-1)
    flat.index_copy_(0, index, values)
    if not parameter.is_contiguous():  # then reshape has made a copy
        parameter.copy_(flat.view(parameter.shape))


def check_spam(group: Mapping[str, Any]) -> None:
    """Options of :class:`SPAM`.

    Raises:
        ConfigError: one is out of range, or two contradict each other.
    """
    check_adam("SPAM", group)
    every, rise, holdoff = group["reset_every"], group["rewarm_steps"], group["clip_holdoff"]
    threshold = group["threshold"]
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not threshold > 0:
        raise ConfigError(f"SPAM: threshold must be a number above 0, got {threshold!r}.", "math.inf never clips")
    check_count("SPAM", "rewarm_steps", rise)
    check_count("SPAM", "clip_holdoff", holdoff, low=2)
    if 0 < every < rise:
        raise ConfigError(
            f"SPAM: rewarm_steps={rise} must not exceed reset_every={every}: the step would never be whole again."
        )
    if 0 < every <= holdoff and math.isfinite(threshold):
        raise ConfigError(f"SPAM: clip_holdoff={holdoff} must lie below reset_every={every}: nothing would be clipped.")
    density = group["density"]
    check_number("SPAM", "density", density)
    if not 0 < density <= 1:
        raise ConfigError(f"SPAM: density must be above 0 and at most 1, got {density!r}.")
    if density < 1 and every == 0:
        raise ConfigError(
            f"SPAM: density={density} needs resets, got reset_every=0: all other coordinates would never be trained."
        )
    for name, allowed in (("bias_correction", BiasCorrection), ("arrangement", Arrangement)):
        if group[name] not in allowed.__args__:
            raise ConfigError(f"SPAM: {name} must be one of {', '.join(allowed.__args__)}, got {group[name]!r}.")
    check_flag("SPAM", "zero_guard", group["zero_guard"])
    if not isinstance(group["seed"], int) or isinstance(group["seed"], bool):
        raise ConfigError(f"SPAM: seed must be a whole number, got {group['seed']!r}.")
