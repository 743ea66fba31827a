"""Which sums of a graph may be fused with a product into one rounding."""

from __future__ import annotations

from .graph import PRIMITIVES, Graph, Node, Operand, Ref

Term = tuple[Operand, bool]
"""A value and whether its sign is changed."""


_STEPWISE = frozenset(("floor", "ceil", "round", "trunc"))
"""Primitives that jump, as comparisons do."""


def contractions(graph: Graph) -> dict[int, tuple[Term, Term, Term]]:
    """Additions and subtractions to be fused with a product: node to ``a, b, c`` of ``a * b + c``.

    Only where no comparison depends on the result, so that every decision is the step's own.
    """
    n = len(graph.inputs)
    decisive: set[int] = set()
    for k in reversed(range(len(graph.nodes))):
        if k in decisive or PRIMITIVES[graph.nodes[k].op].boolean or graph.nodes[k].op in _STEPWISE:
            decisive |= {a.index - n for a in graph.nodes[k].args if isinstance(a, Ref)}

    def product(value: Operand) -> Node | None:
        node = graph.nodes[value.index - n] if isinstance(value, Ref) and value.index >= n else None
        return node if node is not None and node.op == "mul" else None

    found: dict[int, tuple[Term, Term, Term]] = {}
    for k, node in enumerate(graph.nodes):
        if node.op not in ("add", "sub") or k in decisive:
            continue
        left, right = node.args
        minus = node.op == "sub"
        if (factors := product(right)) is not None:
            found[k] = (factors.args[0], minus), (factors.args[1], False), (left, False)
        elif (factors := product(left)) is not None:
            found[k] = (factors.args[0], False), (factors.args[1], False), (right, minus)
    return found
