"""The generated kernels alone: forward and backward called again on the buffers of a first call.

From autograd every call allocates its outputs; here nothing is allocated and no graph is built,
so that what remains is the arithmetic and the memory traffic of the emitted code.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from spikeworks import kernels
from spikeworks.kernels import run as fused
from spikeworks.neurons import Neuron


@dataclasses.dataclass(frozen=True)
class Alone:
    """Kernels bound to buffers.

    Attributes:
        run: forward, then backward, writing into ``y`` and ``gx``.
        y: output ``[T, B, N]``.
        gx: gradient of the input ``[T, B, N]``.
    """

    run: Callable[[], None]
    y: Tensor
    gx: Tensor


def alone(neuron: Neuron, x: Tensor, gradient: Tensor) -> Alone | None:
    """The kernels of one call of ``neuron``, to be called again; ``None`` where none ran.

    The buffers are poisoned with NaN, so that a call that writes nothing cannot pass for one.
    """
    inner = "in_threads" if hasattr(fused, "in_threads") else "_in_threads"
    share_among_threads, calls = getattr(fused, inner), list[Callable[[], None]]()

    def record(*call: Any, **options: Any) -> None:
        calls.append(functools.partial(share_among_threads, *call, **options))
        calls[-1]()

    with mock.patch.object(fused, inner, record), kernels.use("c"):
        leaf = x.detach().requires_grad_()
        y, _ = neuron(leaf)
        (gx,) = torch.autograd.grad(y, leaf, gradient, retain_graph=True)
    if len(calls) != 2:
        return None

    def run(graph: Tensor = y) -> None:  # the output's graph keeps every buffer alive as long as there is a run
        for call in calls:
            call()

    written = y.detach()
    written.fill_(float("nan"))
    gx.fill_(float("nan"))
    return Alone(run, written, gx)
