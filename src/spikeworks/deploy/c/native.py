"""A network that runs on this machine as the C that it is exported as.

::

    fast = compiled(network)
    y, state = fast(x)  # like network(x): a frame costs what its arithmetic costs, and no dispatch
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError, ShapeError
from ...core.state import check_time_first
from ...kernels import build
from ..values import check_finite
from .export import Weights, program_of
from .native_c import REST, RUN, native_source


class CompiledNetwork(nn.Module):
    """A network in evaluation, compiled; made by :func:`compiled`.

    ``module(x, state) -> (y, state)`` as the network itself, without gradients: ``x [T, B, inputs]`` of ``dtype``, and
    ``y [T, B, outputs]`` with the readout ``every``, else the answer to all steps so far, ``[B, outputs]``. The state
    is ``uint8 [B, bytes]``, a struct for each row; ``None`` is rest, and a state that is given is not changed. Any
    number of threads may call it at once; calls release Python's lock.

    Attributes:
        inputs, outputs: numbers of one step.
        dtype: of the arithmetic.
        every: whether each step is answered.
        longest: steps that the network's own tables allow, or ``None``.
        state_bytes: of one row.
        tables: all weights, one block of bytes.
        source: the C that runs. It is that of the architecture, and compiled once for all weights.
    """

    tables: Tensor

    def __init__(self, network: nn.Module, dtype: torch.dtype, weights: Weights) -> None:
        super().__init__()
        check_finite(network)
        program = program_of(network, weights, dtype)
        config: Any = network.readout.config  # type: ignore[union-attr]
        self.every = config.kind == "every"
        self.inputs, self.outputs, self.longest = program.input.size, program.output.size, program.longest
        made = native_source(program, every=self.every)
        self.dtype, self.source, self.state_bytes = dtype, made.text, made.state_bytes
        self.register_buffer("tables", made.tables)
        _library(self.source)
        self.eval()

    def forward(self, x: Tensor, state: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run a sequence, or the next chunk of one.

        Raises:
            ShapeError: ``x`` or ``state`` do not fit, or the sequence is longer than the network's own tables.
            ConfigError: a mask is given, gradients are wanted, or something is not on the CPU.
        """
        self._check(x, mask)
        library = _library(self.source)
        steps, rows = x.shape[:2]
        x = x.contiguous()
        tables = self.tables.data_ptr()
        if state is None:
            after = torch.zeros(rows, self.state_bytes, dtype=torch.uint8)
            library[REST](tables, after.data_ptr(), rows)
        else:
            self._check_state(state, rows)
            after = state.clone(memory_format=torch.contiguous_format)
        y = torch.empty((steps, rows, self.outputs) if self.every else (rows, self.outputs), dtype=self.dtype)
        if library[RUN](tables, after.data_ptr(), x.data_ptr(), y.data_ptr(), steps, rows):
            raise ShapeError(f"The network has parameters for each of {self.longest} steps; the sequence is longer.")
        return y, after

    def _check(self, x: Tensor, mask: Tensor | None) -> None:
        check_time_first(x, self.inputs, "The compiled network")
        if x.dim() != 3:
            raise ShapeError(f"The compiled network expected x of shape [T, B, {self.inputs}], got {list(x.shape)}.")
        if x.dtype != self.dtype:
            raise ShapeError(
                f"The network is compiled for {self.dtype}, got {x.dtype}.", "convert x, or give compiled() the dtype"
            )
        if mask is not None:
            raise ConfigError(
                "A compiled network takes no mask: every row has all steps.", "run the network itself on padded rows"
            )
        if x.device.type != "cpu" or self.tables.device.type != "cpu":
            raise ConfigError("A compiled network runs on the CPU.", "run the network itself on another device")
        if x.requires_grad and torch.is_grad_enabled():
            raise ConfigError("A compiled network has no gradients.", "train the network itself, or give x.detach()")

    def _check_state(self, state: Tensor, rows: int) -> None:
        wanted = [rows, self.state_bytes]
        if not isinstance(state, Tensor) or state.dtype != torch.uint8 or list(state.shape) != wanted:
            came = f"{state.dtype} {list(state.shape)}" if isinstance(state, Tensor) else type(state).__name__
            raise ShapeError(
                f"The state of this compiled network is uint8 {wanted}, got {came}.", "None is the state at rest"
            )

    def extra_repr(self) -> str:
        """Sizes and the bytes behind them."""
        return f"{self.inputs}, {self.outputs}, {self.dtype}, {len(self.tables):,} bytes of weights and tables"


def compiled(
    network: nn.Module, *, dtype: torch.dtype = torch.float32, weights: Weights = "float32"
) -> CompiledNetwork:
    """Compile a network for this machine: the program of :func:`~spikeworks.deploy.c.export_c`, called from Python.

    A chunk of steps is one call. Values agree with the network's to rounding, and with the exported C to the last bit
    where both were compiled alike: sums have the same order, and products and sums are not fused.

    Args:
        network: a :class:`~spikeworks.models.Network`; it is not changed, and may be forgotten afterwards.
        dtype: of the arithmetic, float32 or float64.
        weights: ``float32`` (those of ``dtype``, that is), or ``int8`` with one scale for each neuron that a map
            reaches.

    Example:
        >>> from spikeworks.models import StackConfig
        >>> network = StackConfig(hidden=(8,)).build(3, 2, torch.Generator().manual_seed(0))
        >>> fast = compiled(network)
        >>> y, state = fast(torch.ones(5, 4, 3))
        >>> torch.allclose(y, network.eval()(torch.ones(5, 4, 3))[0], atol=1e-6), state.dtype
        (True, torch.uint8)

    Raises:
        CExportError: a part that C cannot express, by name and with the reason.
        KernelError: there is no working C compiler; the message says what was looked for.
        ConfigError: unknown weights or dtype, or weights that are not finite.
    """
    return CompiledNetwork(network, dtype, weights)


@functools.lru_cache(maxsize=64)
def _library(source: str) -> dict[str, Any]:
    """The functions of a source by name; loaded once in a process."""
    loaded = build.load(source)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    rest, run = loaded[REST], loaded[RUN]
    rest.argtypes, rest.restype = (pointer, pointer, number), None
    run.argtypes, run.restype = (pointer, pointer, pointer, pointer, number, number), ctypes.c_int
    return {REST: rest, RUN: run}
