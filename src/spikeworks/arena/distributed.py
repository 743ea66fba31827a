"""One run over several processes, as ``torchrun`` starts them.

Every process trains on its rows of each batch and the learner exchanges gradients. The first
process alone evaluates, decides and writes; the others hear its decisions.
"""

from __future__ import annotations

import atexit
import os
import time
from typing import TypeVar

import torch
import torch.distributed as dist

from ..core.batch import Batch
from ..core.errors import ConfigError
from ..learning import rank, world_size

V = TypeVar("V")
_GRACE = 0.25


def resolve_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda``; each process takes its own GPU.

    Raises:
        ConfigError: a GPU was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("Device 'cuda' was asked for, but torch sees no GPU.", "use --device cpu, or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def join(device: torch.device) -> None:
    """Meet the other processes of ``torchrun``; nothing happens without them, or the second time.

    The group lives as long as the process: one that is closed and opened again under the same
    ``torchrun`` may meet the traces of the first and wait for ever.
    """
    if not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    # A thread of gloo drops the tensors of the last exchange a moment after everyone has them,
    # and needs the interpreter for it; one that is closing down by then aborts the process.
    time.sleep(_GRACE)
    dist.destroy_process_group()


def first() -> bool:
    """True in the process that evaluates and writes."""
    return rank() == 0


def share(batch: Batch) -> Batch:
    """This process' rows of a batch: equal parts, the same in every batch of one size."""
    processes = world_size()
    if processes == 1:
        return batch
    start, stop = (-(-batch.size * part // processes) for part in (rank(), rank() + 1))
    return batch.rows(slice(start, stop))


def agree(value: V) -> V:
    """The first process' ``value``, in all of them."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
