"""The layers of neurons in some blocks, each with the traces that learning forward in time needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..core.credit import Credit, Credited
from ..core.errors import ConfigError
from ..layers import BatchNorm
from .jacobian import Spikes
from .traces_cell import Cell, Traces
from .traces_watch import LINEAR, LayerCall, layers_of, watched

AT_ONCE = Credit(window=1, feedback=False)
"""What autograd may see beside traces: every state, and every spike that a recurrent layer hears, is a constant."""


class TracedLayers:
    """Watches blocks run some steps and adds what their loss owes to earlier steps.

    Args:
        blocks: stay the caller's, who gives them the credit ``AT_ONCE`` while they learn.
        traces, spikes: see :class:`~spikeworks.learning.online.OnlineConfig`.
        chunked: whether sequences are run in several chunks.

    Attributes:
        cells: by name, in order.

    Raises:
        ConfigError: a neuron or a normalisation cannot be learnt with these traces; says why and what can.
    """

    def __init__(self, blocks: nn.Module, traces: Traces, spikes: Spikes, dtype: torch.dtype, *, chunked: bool) -> None:
        for name, module in blocks.named_modules():
            if isinstance(module, BatchNorm) and not module.per_step and chunked:
                raise ConfigError(
                    f"'{name}' normalises over all steps of a sequence, which online learning does not see together.",
                    "take the norm batch-step, or layer or none",
                )
            if isinstance(module, Credited):
                module.check_credit(AT_ONCE)
        self.blocks = blocks
        self.cells = {name: Cell(name, module, traces, spikes, dtype) for name, module in layers_of(blocks).items()}

    def check(self, run: Callable[[], Any]) -> Any:
        """Run a step by ``run`` in eval mode and return what that gives.

        Raises:
            ConfigError: what stands before some neurons cannot have these traces.
        """
        modes = [(module, module.training) for module in self.blocks.modules()]
        self.blocks.eval()
        with torch.no_grad(), self.watch() as calls:
            result = run()
        for module, mode in modes:
            module.training = mode
        for call in calls:
            self.cells[call.name].check(call)
        return result

    def begin(self) -> None:
        """Forget all traces: a sequence starts."""
        for cell in self.cells.values():
            cell.begin()

    def watch(self, cut: Callable[[Tensor], Tensor] | None = None) -> AbstractContextManager[list[LayerCall]]:
        """Record the calls inside; ``cut`` makes what the next layers get of an output."""
        return watched(self.blocks, cut)

    def learn(self, calls: Sequence[LayerCall], signals: Sequence[Tensor | None]) -> None:
        """Take the steps of some calls in, after their backward pass; signals: derivatives of the loss by outputs."""
        for call, signal in zip(calls, signals, strict=True):
            self.cells[call.name].learn(call, signal)

    def held_bytes(self) -> int:
        """Bytes of all traces that are carried to the next step."""
        return sum(t.untyped_storage().nbytes() for cell in self.cells.values() for t in cell.held())

    def notes(self) -> list[str]:
        """What each layer has, a line each, and what learns from single steps alone."""
        layers = [m for layer in layers_of(self.blocks).values() for m in layer.modules()]
        traced = {id(m) for m in (*layers, *(m for m in self.blocks.modules() if isinstance(m, LINEAR)))}
        names = [n for n, m in self.blocks.named_modules() if m._parameters and id(m) not in traced]
        alone = [f"{', '.join(names)}: no trace, learn from each step alone"] if names else []
        return [*(cell.about for cell in self.cells.values()), *alone]
