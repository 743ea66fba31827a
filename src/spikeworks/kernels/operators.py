"""Operators of torch's dispatcher: what compilers, profilers and fake tensors see of a kernel.

Each is a plain function on tensors with a twin that allocates the same results and fills
nothing in, so that shapes and bytes are known without running anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import Function

from ..core.errors import KernelError

Implementation = TypeVar("Implementation", bound=Callable[..., Any])

_LIBRARY = torch.library.Library("spikeworks", "FRAGMENT")


def operator(schema: str, fake: Callable[..., Any]) -> Callable[[Implementation], Implementation]:
    """Make a function the CPU form of ``torch.ops.spikeworks.<name>``.

    Args:
        schema: name, arguments and results, as torch writes them.
        fake: called with the same arguments; returns tensors of the same shapes, unfilled.
    """

    def register(function: Implementation) -> Implementation:
        name = schema.split("(")[0]
        _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(name, function, "CPU")
        torch.library.register_fake(f"spikeworks::{name}", fake, lib=_LIBRARY)
        return function

    return register


def is_fake(tensor: Tensor) -> bool:
    """Whether a tensor has a shape and no values."""
    return isinstance(tensor, FakeTensor)


def differentiated_once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the backward of an autograd function whose gradients cannot be differentiated again."""

    def wrapper(ctx: Any, *gradients: Tensor | None) -> Any:
        if torch.compiler.is_compiling():  # torch itself refuses second derivatives of what it compiled
            return backward(ctx, *gradients)
        with torch.no_grad():
            found = backward(ctx, *gradients)
        if not torch.is_grad_enabled():
            return found
        # asked for with create_graph: what the gradient depends on must lead to the refusal
        causes = [t for t in (*gradients, *ctx.saved_tensors) if t is not None and t.requires_grad]
        return tuple(g if g is None or not causes else _Refused.apply(g, *causes) for g in found)

    return wrapper


class _Refused(Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *causes: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise KernelError(
            "A fused kernel gives first derivatives only; its gradient cannot be differentiated again.",
            "run the neurons within spikeworks.kernels.use('loop') where second derivatives are needed",
        )
