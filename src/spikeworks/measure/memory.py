"""Memory of training: the bytes that autograd keeps for the backward pass, exactly.

Every tensor that an operation saves passes through ``saved_tensors_hooks``. What still lives
when the forward pass is over is counted: each storage once, in full (a view keeps its whole
storage alive), named after the part of the network that saved it first. Parameters, buffers,
the input and the mask are excluded: they exist anyway. Tensors that a custom autograd
function keeps as attributes of its context are found by walking the graph; what it hides
deeper (in an object of its own, or outside of torch) is not seen. The figure does not depend
on the device.

    report = memory(network, x)
    report.saved_bytes, report.parts

:func:`predict` takes the shape of the input instead: the same meter watches the same code run
on fake tensors, which have shapes and no memory.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from ..core.errors import ConfigError
from ..core.state import state_bytes, tensor_bytes
from .subject import call, extent, parts, tensors_in
from .untouched import untouched

OTHER = "other"
LOSS = "loss"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryReport:
    """Bytes for the whole batch that was measured.

    Attributes:
        saved_bytes: kept for the backward pass.
        parts: the same by part: blocks and readout (children of a plain module), then what
            was saved outside of them (``other``) and by the loss (``loss``), if anything.
        peak_bytes: the device's peak above what was allocated before, over forward, loss and
            backward; ``None`` on devices that do not report it.
        parameter_bytes: all parameters, shared ones once.
        state_bytes: the state that the network returned; 0 where it returns none.
        samples, steps: sequences in the batch and their mean length.
    """

    saved_bytes: int
    parts: dict[str, int]
    peak_bytes: int | None
    parameter_bytes: int
    state_bytes: int
    samples: int
    steps: float

    @property
    def saved_bytes_per_sample(self) -> float:
        """Saved bytes divided by the number of sequences."""
        return self.saved_bytes / self.samples

    def table(self) -> list[dict[str, Any]]:
        """One row a part and a last row ``total``."""
        rows = [{"name": name, "saved_bytes": size} for name, size in self.parts.items()]
        return [*rows, {"name": "total", "saved_bytes": self.saved_bytes}]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def memory(
    network: nn.Module,
    x: Tensor,
    mask: Tensor | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    *,
    batch_axis: int | None = None,
) -> MemoryReport:
    """Measure what training on ``x`` keeps in memory, in train mode.

    Args:
        network: any module; see :mod:`~spikeworks.measure.subject`.
        x: ``[T, B, ...]`` floats, ``[B, T]`` ids, or ``[B, C]`` floats.
        mask: ``[T, B]`` bool, handed to the network.
        loss: from the output to a scalar; its own saved tensors are counted too. Without it
            only the network is.
        batch_axis: the batch axis of ``x`` where it is another.

    Raises:
        ShapeError: ``x`` is empty or the mask does not fit.
        ConfigError: a mask is given and the network takes none.
    """
    with untouched(network), torch.enable_grad():
        network.train()
        report = _report(network, network, x, mask, loss, batch_axis)
    return dataclasses.replace(report, peak_bytes=_device_peak(network, x, mask, loss))


def predict(
    network: nn.Module,
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    loss: Callable[[Tensor], Tensor] | None = None,
    *,
    batch_axis: int | None = None,
) -> MemoryReport:
    """What :func:`memory` would measure on an input of a shape; computes nothing and takes no memory.

    Exact, but for what depends on the numbers themselves. An input of the network counts as real
    numbers; the output of a layer counts as spikes where the layer can put out nothing else.

    Args:
        network, loss, batch_axis: as for :func:`memory`.
        shape: ``(T, B, ...)``; ``(B, T)`` with an integer dtype for token ids.
        dtype: of the input.

    Raises:
        ShapeError: the shape is empty.
        ConfigError: the network's code asks for the numbers in a tensor.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        >>> predict(network, (100, 8, 4)).saved_bytes == 100 * 8 * 6 * 4
        True
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with untouched(network), torch.enable_grad():
        network.train()
        values = {name: fake.from_tensor(t) for name, t in (*network.named_parameters(), *network.named_buffers())}
        called = _Filled(network, values)
        try:
            with fake:
                return _report(called, network, torch.empty(*shape, dtype=dtype), None, loss, batch_axis)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            name = type(network).__name__
            raise ConfigError(
                f"The memory of {name} cannot be predicted: its code, or the loss, reads values ({error.func}).",
                "measure it with memory(network, x)",
            ) from error


class _Filled(nn.Module):
    """A module that is called with other parameters and buffers than its own."""

    def __init__(self, module: nn.Module, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.module, self.values = module, dict(values)

    def forward(self, x: Tensor) -> Any:
        return torch.func.functional_call(self.module, self.values, (x,))


def _report(
    called: nn.Module,
    network: nn.Module,
    x: Tensor,
    mask: Tensor | None,
    loss: Callable[[Tensor], Tensor] | None,
    batch_axis: int | None,
) -> MemoryReport:
    """One forward pass of ``called``, watched in the parts of ``network``."""
    size = extent(x, mask, batch_axis)
    held = called.values.values() if isinstance(called, _Filled) else (*network.parameters(), *network.buffers())
    watch = _Watch(network, [*held, x] if mask is None else [*held, x, mask])
    try:
        with torch.autograd.graph.saved_tensors_hooks(watch.pack, Kept.unpack):
            output, state = call(called, x, mask)
            watch.look_at((output, state))
            if loss is not None:
                watch.running.append(LOSS)
                value = loss(output)
                watch.look_at(value)
                watch.running.pop()
        saved = watch.count()
    finally:
        watch.close()
    return MemoryReport(
        saved_bytes=sum(saved.values()),
        parts=saved,
        peak_bytes=None,
        parameter_bytes=tensor_bytes(network.parameters()),
        state_bytes=state_bytes(state),
        samples=size.samples,
        steps=size.steps,
    )


class Kept:
    """Stands in the graph for a saved tensor, so that its life can be watched."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def unpack(self) -> Tensor:
        return self.tensor


class _Watch:
    """Notes who saves what: a stack of running parts, and weak links to all that was saved."""

    def __init__(self, network: nn.Module, given: list[Tensor]) -> None:
        self.running: list[str] = []
        self._saved: list[tuple[str, weakref.ref[Kept]]] = []
        self._attributes: list[tuple[str, Tensor]] = []
        self._nodes: set[Any] = set()
        self._excluded = {storage_key(t) for t in given}
        self._hooks = []
        self._names = []
        for name, part in parts(network):
            self._names.append(name)
            self._hooks.append(part.register_forward_pre_hook(self._enter(name)))
            self._hooks.append(part.register_forward_hook(self._leave))

    def pack(self, tensor: Tensor) -> Kept:
        """Called by autograd for every tensor that it saves."""
        packed = Kept(tensor.detach())
        self._saved.append((self._part(), weakref.ref(packed)))
        return packed

    def look_at(self, result: Any) -> None:
        """Find tensors that custom functions keep as attributes, down to nodes already seen."""
        waiting = [t.grad_fn for t in tensors_in(result) if t.grad_fn is not None]
        while waiting:
            node = waiting.pop()
            if node in self._nodes:
                continue
            self._nodes.add(node)
            kept = getattr(node, "__dict__", {})
            self._attributes.extend((self._part(), t) for t in tensors_in(kept))
            waiting.extend(above for above, _ in node.next_functions if above is not None)

    def count(self) -> dict[str, int]:
        """Bytes by part; each storage once, for the part that saved it first."""
        alive = [(name, packed.tensor) for name, link in self._saved if (packed := link()) is not None]
        sizes = dict.fromkeys([*self._names, OTHER, LOSS], 0)
        seen = set(self._excluded)
        for name, tensor in [*alive, *self._attributes]:
            key = storage_key(tensor)
            if key not in seen:
                seen.add(key)
                sizes[name] += tensor.untyped_storage().nbytes()
        return {name: size for name, size in sizes.items() if size or name in self._names}

    def close(self) -> None:
        """Take the hooks off and let go of the graph."""
        for hook in self._hooks:
            hook.remove()
        self._saved.clear()
        self._attributes.clear()
        self._nodes.clear()

    def _part(self) -> str:
        return self.running[-1] if self.running else OTHER

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            self.running.append(name)

        return hook

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        self.look_at(result)
        self.running.pop()


def storage_key(tensor: Tensor) -> int:
    """The address of a tensor's storage itself; fake data has none."""
    return tensor.untyped_storage()._cdata


def _device_peak(
    network: nn.Module, x: Tensor, mask: Tensor | None, loss: Callable[[Tensor], Tensor] | None
) -> int | None:
    """Peak of one forward, loss and backward; restarts the device's peak statistics."""
    if not x.is_cuda:
        return None
    trained = [p for p in network.parameters() if p.requires_grad]
    with untouched(network), torch.enable_grad():
        network.train()
        torch.cuda.synchronize(x.device)
        torch.cuda.reset_peak_memory_stats(x.device)
        before = torch.cuda.memory_allocated(x.device)
        output, _ = call(network, x, mask)
        value = output.square().mean() if loss is None else loss(output)
        if trained and value.requires_grad:
            torch.autograd.grad(value, trained, allow_unused=True)
        torch.cuda.synchronize(x.device)
        return torch.cuda.max_memory_allocated(x.device) - before
