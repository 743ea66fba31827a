"""Torch from graphs: the fallback where no C compiler is, and the form for devices without a kernel.

The traced step and its gradient run as plain tensor operations over the time loop, as one
autograd node: no graph of T small nodes is built or kept, and states are computed again inside
chunks from stored borders, as the C kernels do.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .graph import INFIX, Graph, Operand, Ref
from .run import detached, summed
from .trace import TracedStep

CHUNK = 32
"""Steps between stored states."""

_INFIX = INFIX | {"pow": "**"}


def emit_torch(graph: Graph) -> str:
    """Python source of a function of the graph's inputs that returns a tuple of its outputs."""
    n = len(graph.inputs)

    def name(value: Operand) -> str:
        if isinstance(value, Ref):
            return graph.inputs[value.index] if value.index < n else f"v{value.index - n}"
        return f"float({str(value)!r})" if value != value or abs(value) == float("inf") else repr(value)

    lines = [f"def step({', '.join(graph.inputs)}):"]
    for k, node in enumerate(graph.nodes):
        lines.append(f"    v{k} = {_expression(node.op, [name(a) for a in node.args], node.args)}")
    lines.append(f"    return ({', '.join(map(name, graph.outputs))},)")
    return "\n".join(lines) + "\n"


def _expression(op: str, a: list[str], operands: Sequence[Operand]) -> str:
    if op in _INFIX:
        return f"{a[0]} {_INFIX[op]} {a[1]}"
    if op == "cast":
        return f"{a[0]}.to(x0.dtype)"
    if op == "where":
        return f"torch.where({', '.join(a)})"
    if op == "neg":
        return f"-{a[0]}"
    if op == "not":
        return f"~{a[0]}"
    if not any(isinstance(o, Ref) for o in operands):  # torch's functions want tensors
        return f"torch.{op}({', '.join(f'x0.new_tensor({value})' for value in a)})"
    if op in ("minimum", "maximum") and not all(isinstance(o, Ref) for o in operands):
        tensor, bound = (a[0], a[1]) if isinstance(operands[0], Ref) else (a[1], a[0])
        return f"torch.clamp({tensor}, {'max' if op == 'minimum' else 'min'}={bound})"
    return f"torch.{op}({', '.join(a)})"


def _compile(graph: Graph) -> Callable[..., tuple[Any, ...]]:
    space: dict[str, Any] = {"torch": torch}
    exec(compile(emit_torch(graph), "<traced step>", "exec"), space)
    return space["step"]


@dataclasses.dataclass(frozen=True, eq=False)
class TorchStep:
    """A traced step as torch operations, called like :class:`~spikeworks.kernels.run.FusedStep`."""

    traced: TracedStep
    _backward: dict[tuple[int, ...], Callable[..., tuple[Any, ...]]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def forward(self) -> Callable[..., tuple[Any, ...]]:
        """The step, ``(*inputs, *states, *parameters) -> (y, *states)``."""
        return _compile(self.traced.forward)

    @functools.cached_property
    def transition(self) -> Callable[..., tuple[Any, ...]]:
        """The next states alone."""
        return _compile(self.traced.forward.keep(tuple(range(1, 1 + self.traced.states))))

    def backward(self, wanted: tuple[int, ...]) -> Callable[..., tuple[Any, ...]]:
        """Its vector-Jacobian product for inputs, states and the wanted parameters."""
        if wanted not in self._backward:
            first = self.traced.inputs + self.traced.states
            outputs = (*range(first), *(first + k for k in wanted))
            self._backward[wanted] = _compile(self.traced.backward.keep(outputs))
        return self._backward[wanted]

    def __call__(
        self,
        inputs: Sequence[Tensor],
        states: Sequence[Tensor | None],
        parameters: Sequence[Tensor],
        window: int | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run the whole sequence; shapes and window as in ``FusedStep``."""
        if not self.traced.states:
            return _AtOnce.apply(self, *inputs, *parameters), ()  # type: ignore[return-value]
        states = detached(states, window)
        y, *end = _Looped.apply(self, window or 0, *inputs, *states, *parameters)  # type: ignore[misc]
        return y, tuple(end)


class _Looped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, step: TorchStep, window: int, *tensors: Tensor | None) -> Any:
        first = step.traced.inputs
        inputs = [x for x in tensors[:first] if x is not None]
        states, parameters = tensors[first : first + step.traced.states], tensors[first + step.traced.states :]
        now = [torch.zeros_like(inputs[0][0]) if s is None else s for s in states]
        values = [p for p in parameters if p is not None]
        y, borders = torch.empty_like(inputs[0]), []
        differentiate = any(ctx.needs_input_grad)
        for t, x_t in enumerate(zip(*inputs, strict=True)):
            if differentiate and t % CHUNK == 0:
                borders += now
            y[t], *now = step.forward(*x_t, *now, *values)
        if differentiate:
            ctx.step, ctx.window = step, window
            ctx.save_for_backward(*inputs, *values, *borders)
        # a state that is an input or shared with another must not be returned as it is
        return (y, *(s.clone() for s in now))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *gend: Tensor | None) -> Any:
        step: TorchStep = ctx.step
        channels, count, parameters = step.traced.inputs, step.traced.states, step.traced.parameters
        inputs, rest = ctx.saved_tensors[:channels], ctx.saved_tensors[channels:]
        values, borders = rest[:parameters], rest[parameters:]
        x = inputs[0]
        gy = torch.zeros_like(x) if gy is None else gy
        adjoint = [torch.zeros_like(x[0]) if g is None else g for g in gend]
        needs = ctx.needs_input_grad[2 + channels :]
        wanted = tuple(k for k in range(parameters) if needs[count + k])
        pull = step.backward(wanted)
        totals: list[Any] = [0.0] * len(wanted)
        gx = [torch.empty_like(x) for _ in inputs]
        for start in reversed(range(0, len(x), CHUNK)):
            stop = min(start + CHUNK, len(x))
            first = start // CHUNK * count
            states = [list(borders[first : first + count])]
            for t in range(start, stop - 1):
                states.append(list(step.transition(*(x[t] for x in inputs), *states[-1], *values)))
            for t in reversed(range(start, stop)):
                found = pull(*(x[t] for x in inputs), *states[t - start], *values, gy[t], *adjoint)
                for target, value in zip(gx, found[:channels], strict=True):
                    target[t] = value
                adjoint = list(found[channels : channels + count])
                if ctx.window and t % ctx.window == 0:
                    adjoint = [torch.zeros_like(x[0]) for _ in adjoint]
                totals = [a + b for a, b in zip(totals, found[channels + count :], strict=True)]
        grest = [_like(g, x[0]) if needed else None for g, needed in zip(adjoint, needs[:count], strict=True)]
        totals = [_like(total, x[0]) for total in totals]
        return (None, None, *gx, *grest, *summed(totals, values, wanted))


class _AtOnce(torch.autograd.Function):
    """A step without states: all steps in one evaluation."""

    @staticmethod
    def forward(ctx: Any, step: TorchStep, *tensors: Tensor) -> Any:
        ctx.step = step
        ctx.save_for_backward(*tensors)
        (y,) = step.forward(*tensors)
        return _like(y, tensors[0]).expand_as(tensors[0]).clone()  # an input must not be returned as it is

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gy: Tensor) -> Any:
        step, tensors = ctx.step, ctx.saved_tensors
        channels = step.traced.inputs
        x, values = tensors[0], tensors[channels:]
        wanted = tuple(k for k in range(len(values)) if ctx.needs_input_grad[1 + channels + k])
        found = [_like(g, x).expand_as(x) for g in step.backward(wanted)(*tensors, gy)]
        totals = [g.sum(0) for g in found[channels:]]
        return (None, *found[:channels], *summed(totals, values, wanted))


def _like(value: Any, template: Tensor) -> Tensor:
    """A gradient that the graph found to be constant, as a tensor."""
    return value if isinstance(value, Tensor) else torch.full_like(template, value)
