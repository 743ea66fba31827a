"""Small elementwise graphs: the form between a traced step and the source emitted from it.

A graph is a list of nodes in order of computation. Every value is one number a neuron and
step; a node names a primitive of :data:`PRIMITIVES` and the values that it reads.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from ..core.operations import Operations


@dataclasses.dataclass(frozen=True)
class Ref:
    """A value of the graph: input ``index`` counts from 0, nodes follow the inputs."""

    index: int


Operand = Ref | float | bool
"""A value computed in the graph, or a constant."""


@dataclasses.dataclass(frozen=True)
class Node:
    """One primitive applied to operands."""

    op: str
    args: tuple[Operand, ...]


@dataclasses.dataclass(frozen=True)
class Primitive:
    """What a primitive costs and whether its result is a truth value."""

    cost: str
    boolean: bool = False


PRIMITIVES: dict[str, Primitive] = {
    **{name: Primitive("add") for name in ("add", "sub", "neg", "minimum", "maximum", "abs", "floor", "ceil")},
    **{name: Primitive("add") for name in ("round", "trunc")},
    **{name: Primitive("compare", boolean=True) for name in ("ge", "gt", "le", "lt", "eq", "ne")},
    **{name: Primitive("free", boolean=True) for name in ("and", "or", "not")},
    **{name: Primitive("free") for name in ("where", "cast")},
    "mul": Primitive("mul"),
    **{name: Primitive("special") for name in ("div", "sqrt", "exp", "log", "tanh", "sigmoid", "sin", "cos", "pow")},
    **{name: Primitive("special") for name in ("erf", "atan", "log1p", "expm1")},
}


INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|"} | {
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "eq": "==",
    "ne": "!=",
}
"""Primitives that C and Python write alike, between their operands."""


@dataclasses.dataclass(frozen=True)
class Graph:
    """An elementwise function.

    Attributes:
        inputs: names of the inputs, in order.
        nodes: the computation; node ``k`` makes value ``len(inputs) + k``.
        outputs: the results, in order.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Operand, ...]

    def keep(self, outputs: tuple[int, ...]) -> Graph:
        """The same graph with only the chosen outputs and what they need."""
        return _prune(dataclasses.replace(self, outputs=tuple(self.outputs[i] for i in outputs)))

    def reads(self) -> frozenset[str]:
        """Names of the inputs that reach an output."""
        used = {r.index for node in _prune(self).nodes for r in node.args if isinstance(r, Ref)}
        used |= {r.index for r in self.outputs if isinstance(r, Ref)}
        return frozenset(name for i, name in enumerate(self.inputs) if i in used)

    def is_boolean(self, value: Operand) -> bool:
        """Whether a value is a truth value."""
        if isinstance(value, Ref):
            k = value.index - len(self.inputs)
            return k >= 0 and PRIMITIVES[self.nodes[k].op].boolean
        return isinstance(value, bool)

    def counts(self) -> Counter[str]:
        """How many primitives of each cost class one evaluation takes: mul, add, compare, special, free.

        A product with a spike selects rather than multiplies and is free; the addition of
        the selected value counts.
        """
        binary = self.binary()

        def cost(node: Node) -> str:
            selects = node.op == "mul" and any(a in binary for a in node.args)
            return "free" if selects else PRIMITIVES[node.op].cost

        return Counter(map(cost, self.nodes))

    def binary(self) -> set[Operand]:
        """Values that are 0 or 1, as far as the graph tells.

        Truth values as numbers, inputs that hold one of the step before, ``1 - s`` of such a value and
        products of two. The outputs of a traced step are its result followed by the next states; state
        ``k`` is fed by output ``k + 1``.
        """
        n = len(self.inputs)
        states = [i for i, name in enumerate(self.inputs) if name.startswith("s")]
        fed = list(zip(states, self.outputs[1:], strict=False))
        found: set[Operand] = set()
        before = -1
        while before < len(found):  # a state may be fed by a product with another one
            before = len(found)
            for k, node in enumerate(self.nodes):
                both = node.op == "mul" and all(a in found for a in node.args)
                other = node.op == "sub" and node.args[0] == 1.0 and node.args[1] in found
                if node.op == "cast" or both or other:
                    found.add(Ref(n + k))
            found |= {Ref(i) for i, output in fed if output in found}
        return found

    def operations(self) -> Operations:
        """The counts as arithmetic: a multiplication takes one addition with it as a MAC."""
        c = self.counts()
        return Operations(macs=c["mul"], acs=max(c["add"] - c["mul"], 0) + c["compare"], specials=c["special"])

    def __str__(self) -> str:
        def show(value: Operand) -> str:
            if not isinstance(value, Ref):
                return repr(value)
            n = len(self.inputs)
            return self.inputs[value.index] if value.index < n else f"v{value.index - n}"

        lines = [f"v{k} = {node.op}({', '.join(map(show, node.args))})" for k, node in enumerate(self.nodes)]
        return "\n".join([*lines, "return " + ", ".join(map(show, self.outputs))])


def simplify(graph: Graph) -> Graph:
    """Merge equal nodes, drop neutral ones and whatever reaches no output.

    Only rewrites that keep every bit of a finite result are made, so that a kernel emitted
    from the graph agrees with the step that it was traced from.
    """
    n = len(graph.inputs)
    renamed: dict[int, Operand] = {i: Ref(i) for i in range(n)}
    nodes: list[Node] = []
    seen: dict[tuple[object, ...], Ref] = {}
    for k, node in enumerate(graph.nodes):
        args = tuple(renamed[a.index] if isinstance(a, Ref) else a for a in node.args)
        neutral = _neutral(node.op, args)
        if neutral is not None:
            renamed[n + k] = neutral
            continue
        # repr, because 0.0 == False == -0.0 as keys
        key = (node.op, *(a if isinstance(a, Ref) else repr(a) for a in args))
        if key not in seen:
            nodes.append(Node(node.op, args))
            seen[key] = Ref(n + len(nodes) - 1)
        renamed[n + k] = seen[key]
    outputs = tuple(renamed[o.index] if isinstance(o, Ref) else o for o in graph.outputs)
    return _prune(Graph(graph.inputs, tuple(nodes), outputs))


def _neutral(op: str, args: tuple[Operand, ...]) -> Operand | None:
    """The operand that the node equals, where it changes nothing."""

    def const(i: int, value: float) -> bool:
        return not isinstance(args[i], Ref) and args[i] == value

    if op == "add":
        return args[1] if const(0, 0.0) else args[0] if const(1, 0.0) else None
    if op == "sub" and const(1, 0.0):
        return args[0]
    if op == "mul":
        return args[1] if const(0, 1.0) else args[0] if const(1, 1.0) else None
    if op == "div" and const(1, 1.0):
        return args[0]
    if op == "where" and isinstance(args[0], bool):
        return args[1] if args[0] else args[2]
    if op == "where" and args[1] == args[2] and isinstance(args[1], Ref):
        return args[1]
    return None


def _prune(graph: Graph) -> Graph:
    n = len(graph.inputs)
    needed = {o.index for o in graph.outputs if isinstance(o, Ref)}
    for k in reversed(range(len(graph.nodes))):
        if n + k in needed:
            needed |= {a.index for a in graph.nodes[k].args if isinstance(a, Ref)}
    moved = {i: i for i in range(n)}
    nodes: list[Node] = []

    def place(a: Operand) -> Operand:
        return Ref(moved[a.index]) if isinstance(a, Ref) else a

    for k, node in enumerate(graph.nodes):
        if n + k in needed:
            nodes.append(Node(node.op, tuple(map(place, node.args))))
            moved[n + k] = n + len(nodes) - 1
    return Graph(graph.inputs, tuple(nodes), tuple(map(place, graph.outputs)))
