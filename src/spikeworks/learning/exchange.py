"""Gradients over several processes: the same as one process would get from the whole batch.

Processes are those of ``torch.distributed``; without them everything here is the identity.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

_alone: contextvars.ContextVar[bool] = contextvars.ContextVar("spikeworks_alone", default=False)


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized() and not _alone.get()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Learn inside as a single process, for what one of several does by itself, such as measuring an update."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def world_size() -> int:
    """Number of processes that learn together."""
    return dist.get_world_size() if _joined() else 1


def exchange_gradients(parameters: Sequence[Tensor], loss: float, count: int) -> tuple[float, int]:
    """Replace every gradient by its mean over all targets of all processes.

    Args:
        parameters: the same on every process, in the same order; their ``grad`` belongs to
            the mean loss over this process' ``count`` targets.
        loss: that mean loss.
        count: number of targets here; 0 where a process got no share of a small batch.

    Returns:
        Loss and count over all processes.
    """
    if world_size() == 1:
        return loss, count
    device = parameters[0].device
    # Whether anyone has a gradient: an unused parameter must not start to decay because it is shared.
    present = [float(p.grad is not None) for p in parameters]
    head = torch.tensor([loss * count if count else 0.0, count, *present], dtype=torch.float64, device=device)
    dist.all_reduce(head)
    total = head[1].item()
    used = [p for p, anyone in zip(parameters, head[2:].tolist(), strict=True) if anyone]
    for dtype in dict.fromkeys(p.dtype for p in used):
        group = [p for p in used if p.dtype == dtype]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in group])
        flat.mul_(count / total)
        dist.all_reduce(flat)
        for p, part in zip(group, flat.split([p.numel() for p in group]), strict=True):
            p.grad = part.view_as(p)
    return head[0].item() / total, int(total)


def largest(*numbers: int) -> tuple[int, ...]:
    """The largest value that each number has on any process, for what all of them must decide alike."""
    if world_size() == 1:
        return numbers
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    found = torch.tensor(numbers, dtype=torch.int64, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return tuple(found.tolist())
