"""Bounded memory: a part of a network keeps its input alone and runs again in backward.

Where the input is spikes it is kept in bits, so that a spiking block stores one bit for each
incoming neuron and step instead of its spikes, currents and states. The gradients are those of
plain backpropagation, because the second run is the first one again: same random masks, same
normalisation, same credit, running averages left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from ..core.state import State, leaves, map_state, refill
from .marks import bits_of, mark, packed_of
from .packing import Packed, unpack


def recomputed(module: nn.Module, x: Tensor, state: State = None, mask: Tensor | None = None) -> tuple[Tensor, State]:
    """``module.run(x, state, mask)``, keeping little for backward.

    Args:
        module: has a method ``run``, pure but for ``generator`` attributes and buffers; hooks of
            the module see none of the two runs.
        x: its input; packed into bits while it waits where it is binary.
        state, mask: as the module takes them.

    Returns:
        Output and state.
    """
    if torch.compiler.is_exporting():
        return module.run(x, state, mask)  # type: ignore[operator]
    if torch.compiler.is_compiling():  # a compiler plans what is computed again; spikes wait as they are
        return checkpoint(module.run, x, state, mask, use_reentrant=False)  # type: ignore[return-value]
    plain = _Plain(module)
    if not torch.is_grad_enabled():
        return plain.forward(x, state, mask)
    trained = {name: p for name, p in plain.named_parameters() if p.requires_grad}
    before = [t for _, t in leaves(state)]
    call = _Call(plain, tuple(trained), x.device, state, mask)
    y, *after = _Recomputed.apply(call, x, *before, *trained.values())  # type: ignore[misc]
    if call.spikes is not None:
        mark(y, call.spikes)
        call.spikes = None
    return y, refill(call.after, after)


class _Plain(nn.Module):
    """Calls ``run`` where ``functional_call`` would call the module and its hooks."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
        return self.module.run(x, state, mask)  # type: ignore[operator]


class _Call:
    """One call of a module, and what makes it repeatable."""

    def __init__(
        self, module: nn.Module, names: tuple[str, ...], device: torch.device, state: State, mask: Tensor | None
    ) -> None:
        self.module, self.names, self.mask = module, names, mask
        self.before = _hollow(state)
        self.after: State = None
        self.spikes: Packed | None = None
        self.random = {id(source): source.get_state() for source in self._sources()}
        self.credit = [(vars(one), vars(one)["credit"]) for one in self.module.modules() if "credit" in vars(one)]
        self.shared = torch.get_rng_state()
        self.gpu = device if device.type == "cuda" else None
        self.shared_gpu = None if self.gpu is None else torch.cuda.get_rng_state(self.gpu)
        kind = device.type  # backward runs where the caller's autocast has ended
        self.autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    def _sources(self) -> Iterator[torch.Generator]:
        for module in self.module.modules():
            source = vars(module).get("generator")
            if source is not None:
                yield source

    @contextlib.contextmanager
    def _credit_of_then(self) -> Iterator[None]:
        """How far credit went back in time when the call was made."""
        now = [own["credit"] for own, _ in self.credit]
        for own, credit in self.credit:
            own["credit"] = credit
        try:
            yield
        finally:
            for (own, _), credit in zip(self.credit, now, strict=True):
                own["credit"] = credit

    def first(self, x: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y, after = self.module(x, refill(self.before, tensors), self.mask)
        self.after = _hollow(after)
        return y, [t for _, t in leaves(after)]

    def again(self, x: Tensor, tensors: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
        """The call once more, with the random numbers of the first and on copies of the buffers."""
        values = dict(zip(self.names, parameters, strict=True))
        values |= {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        now = [(source, source.get_state()) for source in self._sources()]
        kind, dtype, enabled = self.autocast
        devices = [] if self.gpu is None else [self.gpu]
        with torch.random.fork_rng(devices=devices), torch.autocast(kind, dtype, enabled=enabled):
            torch.set_rng_state(self.shared)
            if self.gpu is not None and self.shared_gpu is not None:
                torch.cuda.set_rng_state(self.shared_gpu, self.gpu)
            for source, _ in now:
                source.set_state(self.random[id(source)])
            with self._credit_of_then():
                y, after = torch.func.functional_call(self.module, values, (x, refill(self.before, tensors), self.mask))
        for source, state in now:
            source.set_state(state)
        return [y, *(t for _, t in leaves(after))]


def _hollow(state: State) -> State:
    """The nesting of a state without its numbers."""
    return map_state(lambda t: t.new_empty(0), state)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, x: Tensor, *tensors: Tensor) -> Any:
        count = len(tensors) - len(call.names)
        packed = bits_of(x)  # before the run, whose synapse looks for them
        y, after = call.first(x, tensors[:count])
        call.spikes = packed_of(y)
        ctx.call, ctx.count = call, count
        ctx.form = None if packed is None else (packed.shape, packed.dtype)
        ctx.save_for_backward(x if packed is None else packed.bits, *tensors)
        return (y, *after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        held, *tensors = ctx.saved_tensors
        packed = None if ctx.form is None else Packed(held, *ctx.form)
        x = held if packed is None else unpack(packed)
        inputs = [t.detach().requires_grad_(n) for t, n in zip((x, *tensors), ctx.needs_input_grad[1:], strict=True)]
        if packed is not None:
            mark(inputs[0], packed)
        with torch.enable_grad():
            outputs = ctx.call.again(inputs[0], inputs[1 : 1 + ctx.count], inputs[1 + ctx.count :])
        pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None and o.requires_grad]
        wanted = [t for t in inputs if t.requires_grad]
        found = iter(torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True))
        return (None, *(next(found) if t.requires_grad else None for t in inputs))
