"""From Python to graphs: run a step once on symbolic values and write down what it does.

``make_fx`` records the step, and the step's vector-Jacobian product, as ATen operations;
:data:`LOWERINGS` turns each into primitives of :mod:`spikeworks.kernels.graph`. Whatever is
not elementwise, or depends on the number of neurons, cannot be fused and raises TraceError.
"""

from __future__ import annotations

import dataclasses
import linecache
import operator
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from ..core.errors import TraceError
from .graph import PRIMITIVES, Graph, Node, Operand, Ref, simplify

ElementwiseStep = Callable[..., Sequence[Tensor]]
"""``(*inputs, *states, *parameters) -> (output, *next states)``, all of one shape."""


@dataclasses.dataclass(frozen=True)
class TracedStep:
    """A step and its gradient as graphs.

    Attributes:
        forward: inputs ``x0 …, s0 …, p0 …``; outputs ``y`` and the next states.
        backward: inputs of ``forward`` followed by the gradients of its outputs ``g_y, g_s0 …``;
            outputs the gradients of its inputs.
        inputs, states, parameters: how many there are.
    """

    forward: Graph
    backward: Graph
    inputs: int
    states: int
    parameters: int

    @property
    def binary(self) -> bool:
        """Whether the output is 0 or 1, whatever the input."""
        return self.forward.outputs[0] in self.forward.binary()


def trace_step(
    step: ElementwiseStep, states: int, parameters: int, dtype: torch.dtype = torch.float32, *, inputs: int = 1
) -> TracedStep:
    """Trace ``step`` and its vector-Jacobian product.

    Args:
        step: the elementwise function ``(*inputs, *states, *parameters) -> (y, *states)``.
        states: number of states.
        parameters: number of parameters, each given with the shape of ``x``.
        dtype: floating dtype in which the constants of the step are to be taken.
        inputs: number of inputs.

    Raises:
        TraceError: the step uses an operation that is not elementwise or not known here,
            branches on values, or depends on the number of neurons; the message names the
            operation and the line.
    """
    names = [f"{kind}{i}" for kind, count in (("x", inputs), ("s", states), ("p", parameters)) for i in range(count)]

    def forward(*inputs: Tensor) -> tuple[Tensor, ...]:
        results = tuple(step(*inputs))
        if len(results) != states + 1:
            raise TraceError(f"The step returned {len(results)} tensors, expected 1 output and {states} states.")
        return results

    def backward(*inputs: Tensor) -> tuple[Tensor, ...]:
        _, pullback, *_ = torch.func.vjp(forward, *inputs[: len(names)])
        return pullback(inputs[len(names) :])

    def graph(function: Callable[..., Any], arguments: list[str]) -> Graph:
        # Two sizes: a step that reads the number of neurons gives two different graphs. A thread
        # of its own: it knows nothing of the caller's hooks, autocast and grad mode.
        with ThreadPoolExecutor(1) as apart:
            small, large = apart.map(lambda n: _trace(function, arguments, n, dtype), (3, 5))
        if small != large:
            raise TraceError("The step depends on the number of neurons or the batch size.")
        return small

    cotangents = [f"g_{o}" for o in ("y", *names[inputs : inputs + states])]
    return TracedStep(
        graph(forward, names), graph(backward, names + cotangents), inputs=inputs, states=states, parameters=parameters
    )


def _trace(function: Callable[..., Any], names: list[str], size: int, dtype: torch.dtype) -> Graph:
    # values that do not sit on any threshold's edge; nothing depends on them but NaN checks
    examples = [torch.full((size,), 0.25 + 0.5 * i, dtype=dtype) for i in range(len(names))]
    try:
        module = make_fx(function)(*examples)
    except TraceError:
        raise
    except Exception as error:
        place = _first_outside(f for f, _ in reversed(list(traceback.walk_tb(error.__traceback__))))
        what = f"The step cannot be traced: {type(error).__name__}: {error}".split("\n")[0]
        raise TraceError(what + place) from error
    try:
        return simplify(_lower(module, names))
    except _UnknownOperation as unknown:
        raise TraceError(f"{unknown}{_find_line(function, examples, unknown.operation)}.") from None


class _UnknownOperation(TraceError):
    """An operation without a lowering; where it stands is found by running the step again."""

    def __init__(self, operation: str, message: str) -> None:
        super().__init__(message)
        self.operation = operation


def _find_line(function: Callable[..., Any], examples: list[Tensor], operation: str) -> str:
    """Where the step calls an operation, as the end of a message; empty where it is not found."""

    class Watch(TorchDispatchMode):
        place = ""

        def __torch_dispatch__(self, overload: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if not self.place and _operation_name(overload.overloadpacket) == operation:
                frame: FrameType | None = sys._getframe(1)
                frames = []
                while frame is not None:
                    frames.append(frame)
                    frame = frame.f_back
                self.place = _first_outside(frames)
            return overload(*args, **(kwargs or {}))

    with Watch() as watch:
        function(*examples)
    return watch.place


_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def _first_outside(frames: Iterable[FrameType]) -> str:
    """The innermost line that is neither torch's nor the tracer's, as the end of a message."""
    for frame in frames:
        file, line = frame.f_code.co_filename, frame.f_lineno
        if not file.startswith((*_INSIDE, "<")) and "/concurrent/" not in file and "/threading.py" not in file:
            return f" ({Path(file).name}, line {line}: {linecache.getline(file, line).strip()})"
    return ""


def _lower(module: torch.fx.GraphModule, names: list[str]) -> Graph:
    builder = _Builder(names)
    # a name leads to a cell, so that tensors sharing memory see each other's changes in place
    cells: dict[str, list[Operand]] = {}
    inputs: list[list[Operand]] = []
    outputs: tuple[Operand, ...] = ()

    def resolve(argument: Any) -> Any:
        return cells[argument.name][0] if isinstance(argument, torch.fx.Node) else argument

    for node in module.graph.nodes:
        if node.op == "placeholder":
            cells[node.name] = [Ref(len(inputs))]
            inputs.append(cells[node.name])
        elif node.op == "get_attr":
            cells[node.name] = [builder.constant(getattr(module, str(node.target)), node)]
        elif node.op == "call_function":
            name = _operation_name(getattr(node.target, "overloadpacket", node.target))
            result = _apply(builder, name, torch.fx.map_arg(node.args, resolve), torch.fx.map_arg(node.kwargs, resolve))
            changed = node.args[0] if name.endswith("_") or name in ALIASES else None
            if not isinstance(changed, torch.fx.Node):
                cells[node.name] = [result]
                continue
            cells[node.name] = cells[changed.name]
            if name.endswith("_"):
                if any(cells[changed.name] is cell for cell in inputs):
                    raise TraceError("The step changes one of its inputs in place; compute a new tensor instead.")
                cells[changed.name][0] = result
        elif node.op == "output":
            outputs = tuple(builder.result(resolve(a)) for a in node.args[0])
    return Graph(tuple(names), tuple(builder.nodes), outputs)


def _apply(builder: _Builder, name: str, arguments: Any, keywords: Any) -> Operand:
    lowering = LOWERINGS.get(name.removesuffix("_"))
    if lowering is None:
        raise _UnknownOperation(name, f"Operation 'aten.{name}' is not elementwise or not known to the emitters")
    try:
        return lowering(builder, *_operands(arguments), **keywords)
    except TypeError as error:
        message = f"Operation 'aten.{name}' is called in a form not known here: {error}"
        raise _UnknownOperation(name, message) from None


def _operation_name(overload: Any) -> str:
    return str(overload).removeprefix("aten.")


def _operands(arguments: Any) -> tuple[Any, ...]:
    return tuple(float(a) if isinstance(a, int) and not isinstance(a, bool) else a for a in arguments)


class _Builder:
    """Collects nodes; lowerings call it as ``b("mul", a, c)``."""

    def __init__(self, names: list[str]) -> None:
        self.offset = len(names)
        self.nodes: list[Node] = []

    def __call__(self, op: str, *args: Operand) -> Operand:
        folded = fold(op, args)
        if folded is not None:
            return folded
        self.nodes.append(Node(op, args))
        return Ref(self.offset + len(self.nodes) - 1)

    def real(self, value: Operand) -> Operand:
        """The value as a number: truth values become 0 or 1."""
        if isinstance(value, bool):
            return float(value)
        node = value.index - self.offset if isinstance(value, Ref) else -1
        return self("cast", value) if node >= 0 and PRIMITIVES[self.nodes[node].op].boolean else value

    def constant(self, tensor: Tensor, node: torch.fx.Node) -> Operand:
        """A tensor that the step closes over: only a uniform one is a constant."""
        distinct = torch.unique(tensor)
        if distinct.numel() != 1:
            raise TraceError(
                f"The step reads a tensor of shape {list(tensor.shape)} that is no argument of it ({node.target}); "
                "declare it as a Parameter of the neuron."
            )
        value = distinct.item()
        return value if isinstance(value, bool) else float(value)

    def result(self, value: Any) -> Operand:
        if value is None:
            return 0.0
        return self.real(value)


def fold(op: str, args: tuple[Operand, ...]) -> Operand | None:
    """The constant that a node of constants is, where every dtype has the same one; else ``None``."""
    if any(isinstance(a, Ref) for a in args):
        return None
    pure = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "neg": operator.neg, "cast": float}
    if op in pure:
        return pure[op](*args)
    if op in ("ge", "gt", "le", "lt", "eq", "ne"):
        return bool(getattr(operator, op)(*args))
    if op == "not":
        return not args[0]
    return None


Lowering = Callable[..., Operand]


def _scaled(b: _Builder, value: Operand, alpha: float) -> Operand:
    return value if alpha == 1 else b("mul", value, float(alpha))


def _add(b: _Builder, x: Operand, y: Operand, alpha: float = 1) -> Operand:
    return b("add", b.real(x), _scaled(b, b.real(y), alpha))


def _sub(b: _Builder, x: Operand, y: Operand, alpha: float = 1) -> Operand:
    return b("sub", b.real(x), _scaled(b, b.real(y), alpha))


def _rsub(b: _Builder, x: Operand, y: Operand, alpha: float = 1) -> Operand:
    return b("sub", b.real(y), _scaled(b, b.real(x), alpha))


def _binary(op: str) -> Lowering:
    return lambda b, x, y: b(op, b.real(x), b.real(y))


def _unary(op: str) -> Lowering:
    return lambda b, x: b(op, b.real(x))


def _logical(op: str) -> Lowering:
    def lower(b: _Builder, x: Operand, y: Operand) -> Operand:
        truth = [v if isinstance(v, bool) or not _is_number(b, v) else b("ne", v, 0.0) for v in (x, y)]
        return b(op, *truth)

    return lower


def _is_number(b: _Builder, value: Operand) -> bool:
    return not isinstance(value, bool) and b.real(value) == value


def _same(b: _Builder, x: Operand, *shape: Any, **keywords: Any) -> Operand:
    return x


def _filled(value: float) -> Lowering:
    return lambda b, *arguments, **keywords: value


def _full(b: _Builder, shape: Any, value: Any, **keywords: Any) -> Operand:
    return value if isinstance(value, bool | Ref) else float(value)


def _scalar_tensor(b: _Builder, value: Any, **keywords: Any) -> Operand:
    return value if isinstance(value, bool) else float(value)


def _to_copy(b: _Builder, x: Operand, **keywords: Any) -> Operand:
    dtype = keywords.get("dtype")
    if dtype is None or dtype.is_floating_point:
        return b.real(x)
    if dtype == torch.bool:
        return b("ne", x, 0.0) if _is_number(b, x) else x
    raise TraceError(f"The step converts to {dtype}; steps compute in floating point.")


def _where(b: _Builder, condition: Operand, x: Operand, y: Operand) -> Operand:
    if isinstance(condition, bool):
        return b.real(x if condition else y)
    return b("where", condition, b.real(x), b.real(y))


def _clamp(b: _Builder, x: Operand, low: Any = None, high: Any = None) -> Operand:
    x = b.real(x)
    x = x if low is None else b("maximum", x, b.real(low))
    return x if high is None else b("minimum", x, b.real(high))


def _pow(b: _Builder, x: Operand, exponent: Operand) -> Operand:
    if exponent == 2.0:
        return b("mul", x, x)
    if exponent == 3.0:
        return b("mul", b("mul", x, x), x)
    if exponent == 1.0:
        return x
    if exponent == 0.5:
        return b("sqrt", x)
    return b("pow", b.real(x), b.real(exponent))


def _div(b: _Builder, x: Operand, y: Operand, rounding_mode: str | None = None) -> Operand:
    quotient = b("div", b.real(x), b.real(y))
    if rounding_mode is None:
        return quotient
    return b({"floor": "floor", "trunc": "trunc"}[rounding_mode], quotient)


def _sigmoid_backward(b: _Builder, g: Operand, y: Operand) -> Operand:
    return b("mul", g, b("mul", b("sub", 1.0, y), y))


def _tanh_backward(b: _Builder, g: Operand, y: Operand) -> Operand:
    return b("mul", g, b("sub", 1.0, b("mul", y, y)))


def _threshold_backward(b: _Builder, g: Operand, x: Operand, threshold: float) -> Operand:
    return b("where", b("le", x, float(threshold)), 0.0, g)


def _sign(b: _Builder, x: Operand) -> Operand:
    return b("sub", b("cast", b("gt", x, 0.0)), b("cast", b("lt", x, 0.0)))


def _remainder(b: _Builder, x: Operand, y: Operand) -> Operand:
    return b("sub", x, b("mul", b("floor", b("div", x, y)), y))


ALIASES = frozenset(("detach", "alias", "view", "expand", "view_as", "expand_as", "_unsafe_view"))
"""Operations whose result shares the memory of their first argument."""

LOWERINGS: dict[str, Lowering] = {
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "div": _div,
    "pow": _pow,
    "where": _where,
    "clamp": _clamp,
    "clamp_min": lambda b, x, low: _clamp(b, x, low),
    "clamp_max": lambda b, x, high: _clamp(b, x, None, high),
    "_to_copy": _to_copy,
    "relu": lambda b, x: b("maximum", x, 0.0),
    "square": lambda b, x: b("mul", x, x),
    "reciprocal": lambda b, x: b("div", 1.0, x),
    "rsqrt": lambda b, x: b("div", 1.0, b("sqrt", x)),
    "sign": _sign,
    "sgn": _sign,
    "remainder": _remainder,
    "sigmoid_backward": _sigmoid_backward,
    "tanh_backward": _tanh_backward,
    "threshold_backward": _threshold_backward,
    "full": _full,
    "full_like": _full,
    "new_full": lambda b, x, shape, value, **k: _full(b, shape, value),
    "scalar_tensor": _scalar_tensor,
    "masked_fill": lambda b, x, mask, value: _where(b, mask, value, x),
    "logical_not": lambda b, x: b("not", b("ne", x, 0.0) if _is_number(b, x) else x),
    "bitwise_not": lambda b, x: b("not", x),
    **{name: _logical("and") for name in ("logical_and", "bitwise_and")},
    **{name: _logical("or") for name in ("logical_or", "bitwise_or")},
    **{name: _binary(name) for name in ("mul", "minimum", "maximum", "ge", "gt", "le", "lt", "eq", "ne")},
    **{name: _unary(name) for name in ("neg", "abs", "floor", "ceil", "round", "trunc", "sqrt", "exp", "log")},
    **{name: _unary(name) for name in ("tanh", "sigmoid", "sin", "cos", "erf", "atan", "log1p", "expm1")},
    **dict.fromkeys(("clone", "contiguous", "lift_fresh_copy", "lift_fresh", "reshape", "positive"), _same),
    **dict.fromkeys(ALIASES, _same),
    **{name: _filled(0.0) for name in ("zeros_like", "new_zeros", "zeros", "new_zeros_like")},
    **{name: _filled(1.0) for name in ("ones_like", "new_ones", "ones")},
}
"""ATen operation to primitives, one entry an operation."""
