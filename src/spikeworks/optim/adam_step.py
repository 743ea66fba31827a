"""The update of Adam on its own, in three forms: tensor by tensor, over lists, and fused.

The first form is the definition. The second runs the same operations in the same order, so that on
the CPU their results are the same bits. The third is the kernel behind
``torch.optim.AdamW(fused=True)``, which reads and writes every number once.
"""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Form = Literal["single", "foreach", "fused"]

_BLOCK = 1 << 16


class AdamStep(NamedTuple):
    """Numbers of one update, ``p -= rate * m_hat / (sqrt(v_hat) + epsilon)``.

    Attributes:
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: added to the denominator.
        rate: learning rate, with any factor on the step.
        held: updates that the moments are corrected for, this one included.
    """

    beta1: float
    beta2: float
    epsilon: float
    rate: float
    held: int

    @property
    def corrected_rate(self) -> float:
        """The rate behind the bias correction of the first moment."""
        return self.rate / (1.0 - self.beta1**self.held)

    @property
    def root(self) -> float:
        """Square root of the bias correction of the second moment."""
        return math.sqrt(1.0 - self.beta2**self.held)


def adam_step(ps: list[Tensor], gs: list[Tensor], ms: list[Tensor], vs: list[Tensor], by: AdamStep, form: Form) -> None:
    """Advance moments by gradients, then parameters by moments, in place.

    Args:
        ps: parameters, all of one device and dtype.
        gs: their gradients, not written to.
        ms: their first moments.
        vs: their second moments.
        by: numbers of the update.
        form: how it is computed; without influence on what is computed.
    """
    if form == "fused" and not all(t.is_contiguous() for t in (*ps, *gs, *ms, *vs)):
        form = "foreach"  # the kernel walks through memory and would pair elements wrongly
    if form == "single":
        for tensors in zip(ps, gs, ms, vs, strict=True):
            _single(*tensors, by)
    else:
        forms: dict[str, Callable[..., None]] = {"foreach": _foreach, "fused": _fused}
        forms[form](ps, gs, ms, vs, by)


def in_blocks(
    ps: list[Tensor], gs: list[Tensor], ms: list[Tensor], vs: list[Tensor], form: Form
) -> Iterator[tuple[list[Tensor], ...]]:
    """The same lists in portions for elementwise work: on a CPU, large tensors as views that its cache holds.

    Intermediate results are then small as well. Lists that are worked on as a whole come back as a whole.
    """
    if form == "foreach" or ps[0].device.type != "cpu":
        yield ps, gs, ms, vs
        return
    for tensors in zip(ps, gs, ms, vs, strict=True):
        if tensors[0].numel() <= _BLOCK or not all(t.is_contiguous() for t in tensors):
            yield tuple([t] for t in tensors)
            continue
        for blocks in zip(*(t.view(-1).split(_BLOCK) for t in tensors), strict=True):
            yield tuple([block] for block in blocks)


def _single(p: Tensor, g: Tensor, m: Tensor, v: Tensor, by: AdamStep) -> None:
    m.lerp_(g, 1.0 - by.beta1)
    v.mul_(by.beta2).addcmul_(g, g, value=1.0 - by.beta2)
    p.addcdiv_(m, v.sqrt().div_(by.root).add_(by.epsilon), value=-by.corrected_rate)


def _foreach(ps: list[Tensor], gs: list[Tensor], ms: list[Tensor], vs: list[Tensor], by: AdamStep) -> None:
    torch._foreach_lerp_(ms, gs, 1.0 - by.beta1)
    torch._foreach_mul_(vs, by.beta2)
    torch._foreach_addcmul_(vs, gs, gs, 1.0 - by.beta2)
    below = torch._foreach_sqrt(vs)
    torch._foreach_div_(below, by.root)
    torch._foreach_add_(below, by.epsilon)
    torch._foreach_addcdiv_(ps, ms, below, -by.corrected_rate)


def _fused(ps: list[Tensor], gs: list[Tensor], ms: list[Tensor], vs: list[Tensor], by: AdamStep) -> None:
    held = torch.full((), float(by.held), dtype=torch.float32, device=ps[0].device)
    torch._fused_adamw_(
        ps,
        gs,
        ms,
        vs,
        [],
        [held] * len(ps),
        lr=by.rate,
        beta1=by.beta1,
        beta2=by.beta2,
        weight_decay=0.0,
        eps=by.epsilon,
        amsgrad=False,
        maximize=False,
    )


def shrink(ps: list[Tensor], factor: float, form: Form) -> None:
    """Decoupled weight decay: multiply parameters by ``factor`` in place."""
    if factor == 1.0:
        return
    if form == "single":
        for p in ps:
            p.mul_(factor)
    else:
        torch._foreach_mul_(ps, factor)
