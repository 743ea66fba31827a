"""Graphs as C statements: what the fused kernels and the exported networks have in common."""

from __future__ import annotations

import math

import numpy as np
import torch

from .contract import contractions
from .graph import INFIX, Graph, Operand, Ref


class Statements:
    """Writes the nodes of a graph as C, for a type ``real`` of the given dtype and a type ``truth`` for truth values.

    Operation by operation and unfused unless asked, so that the text computes what the traced step does.

    Args:
        dtype: float32 or float64, what ``real`` is.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.single = dtype == torch.float32
        self.suffix = "f" if self.single else ""

    def body(
        self, graph: Graph, loads: dict[str, str], stores: list[str], indent: str, *, contract: bool = False
    ) -> str:
        """Statements that evaluate ``graph`` for neuron ``i``: loads, nodes, stores.

        Args:
            graph: inputs and nodes.
            loads: an expression for each input that the graph reads.
            stores: a statement for each output, with ``{value}`` where its value goes.
            indent: before every line.
            contract: fuse products and sums where no comparison depends on them.
        """
        used = graph.reads()
        lines = [f"const real {name} = {loads[name]};" for name in graph.inputs if name in used]
        n = len(graph.inputs)
        fused = contractions(graph) if contract else {}
        for k, node in enumerate(graph.nodes):
            kind = "truth" if graph.is_boolean(Ref(n + k)) else "real"
            if k in fused:
                text = f"FUSED({', '.join(self.signed(graph, *term) for term in fused[k])})"
            else:
                text = self.expression(graph, node.op, node.args)
            lines.append(f"const {kind} v{k} = {text};")
        for target, value in zip(stores, graph.outputs, strict=True):
            lines.append(target.format(value=self.operand(graph, value)))
        return "\n".join(indent + line for line in lines)

    def signed(self, graph: Graph, value: Operand, negative: bool) -> str:
        """An operand, or its negative."""
        return f"-{self.operand(graph, value)}" if negative else self.operand(graph, value)

    def operand(self, graph: Graph, value: Operand) -> str:
        """A value of the graph by its name, or a constant."""
        if isinstance(value, Ref):
            n = len(graph.inputs)
            return graph.inputs[value.index] if value.index < n else f"v{value.index - n}"
        return str(int(value)) if isinstance(value, bool) else self.number(value)

    def number(self, value: float) -> str:
        """A constant that keeps every bit of ``value`` in the dtype."""
        if math.isnan(value):
            return "NAN"
        if math.isinf(value):
            return "INFINITY" if value > 0 else "-INFINITY"
        exact = float(np.float32(value)) if self.single else float(value)
        return f"({exact.hex()}{self.suffix})" if exact < 0 else f"{exact.hex()}{self.suffix}"

    def expression(self, graph: Graph, op: str, args: tuple[Operand, ...]) -> str:
        """One node."""
        a = [self.operand(graph, value) for value in args]
        if op in INFIX:
            return f"{a[0]} {INFIX[op]} {a[1]}"
        if op == "where":
            return f"{a[0]} ? {a[1]} : {a[2]}"
        if op == "cast":
            return f"{a[0]} ? (real)1 : (real)0"
        if op == "neg":
            return f"-{a[0]}"
        if op == "not":
            return f"!{a[0]}"
        if op in ("minimum", "maximum"):  # the second test lets a NaN through, as torch does
            sign = "<" if op == "minimum" else ">"
            return f"({a[0]} {sign} {a[1]} || {a[0]} != {a[0]}) ? {a[0]} : {a[1]}"
        if op in ("exp", "sigmoid"):
            return f"{op}_real({a[0]})"
        library = {"abs": "fabs", "round": "rint"}.get(op, op)
        return f"{library}{self.suffix}({', '.join(a)})"
