"""A measurement leaves no trace: modes, buffers and random streams are as they were before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def untouched(*networks: nn.Module) -> Iterator[None]:
    """Restore what a forward pass may change, also where it fails.

    Train or eval mode of each module, buffers (running statistics), the global random
    streams, and every ``generator`` that a module holds. Parameters and their gradients are
    not listed: measurements never write to them.
    """
    modules = [module for network in networks for module in network.modules()]
    modes = [module.training for module in modules]
    buffers = [(buffer, buffer.detach().clone()) for network in networks for buffer in network.buffers()]
    generators = [g for module in modules if isinstance(g := getattr(module, "generator", None), torch.Generator)]
    streams = [(generator, generator.get_state()) for generator in generators]
    with torch.random.fork_rng(devices=_cuda_devices(networks)):
        try:
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    _put_back(buffer, before)
            for generator, state in streams:
                generator.set_state(state)


def _put_back(buffer: Tensor, before: Tensor) -> None:
    # Only where it changed: writing marks a buffer as modified, which would break a backward
    # pass that the caller still has to run.
    if not torch.equal(buffer, before):
        buffer.copy_(before)


def _cuda_devices(networks: tuple[nn.Module, ...]) -> list[int]:
    tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
    return sorted({t.device.index for t in tensors if t.is_cuda and t.device.index is not None})
