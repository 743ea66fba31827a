"""The step of a neuron that keeps no memory, derived from its traced step.

Where no state is carried, every step starts from rest: an elementwise function of the input, without
states. Its graph is the step's own with the resting values in place of the states, so that all that
runs a step runs this one.
"""

from __future__ import annotations

from collections.abc import Collection

from .graph import Graph, Node, Operand, Ref, simplify
from .trace import TracedStep, fold


def clocks(step: TracedStep) -> tuple[int, ...]:
    """Indices of the states that tell the time: each follows from itself and no input, parameter or other memory.

    Such a state holds nothing of the past signal, so it goes on where no memory is carried.
    """
    graph, first = step.forward, step.inputs
    needs = {k: _dependencies(graph, graph.outputs[1 + k]) for k in range(step.states)}
    found = {k for k, reached in needs.items() if first + k in reached}
    while True:
        kept = {k for k in found if needs[k] <= {first + other for other in found}}
        if kept == found:
            return tuple(sorted(found))
        found = kept


def memoryless(step: TracedStep, given: Collection[int]) -> TracedStep:
    """``step`` from rest: its states are its clocks alone.

    Args:
        step: a traced step.
        given: indices of the states whose resting value is no plain zero. These become parameters,
            after the step's own and in order; the other states but the clocks are the constant 0.
    """
    kept = clocks(step)
    added = [k for k in sorted(given) if k not in kept]
    first, states, parameters = step.inputs, step.states, step.parameters
    names = [f"x{k}" for k in range(first)] + [f"s{k}" for k in range(len(kept))]
    names += [f"p{k}" for k in range(parameters + len(added))]
    # places of the old inputs: x, s, p
    new: dict[int, Operand] = {k: Ref(k) for k in range(first)}
    new |= {first + k: 0.0 for k in range(states)}
    new |= {first + k: Ref(first + slot) for slot, k in enumerate(kept)}
    start = first + len(kept)
    new |= {first + states + k: Ref(start + k) for k in range(parameters)}
    new |= {first + k: Ref(start + parameters + slot) for slot, k in enumerate(added)}
    forward = _substituted(step.forward.keep((0, *(1 + k for k in kept))), names, new)

    old, cotangents = first + states + parameters, [f"g_{o}" for o in ("y", *(f"s{k}" for k in range(len(kept))))]
    new |= {old: Ref(len(names))} | {old + 1 + k: 0.0 for k in range(states)}
    new |= {old + 1 + k: Ref(len(names) + 1 + slot) for slot, k in enumerate(kept)}
    wanted = [*range(first), *(first + k for k in kept), *(first + states + k for k in range(parameters))]
    wanted += [first + k for k in added]
    backward = _substituted(step.backward.keep(tuple(wanted)), names + cotangents, new)
    return TracedStep(forward, backward, inputs=first, states=len(kept), parameters=parameters + len(added))


def _dependencies(graph: Graph, output: Operand) -> set[int]:
    """Indices of the inputs that reach an output."""
    n, open_, seen = len(graph.inputs), [output], set()
    while open_:
        value = open_.pop()
        if isinstance(value, Ref) and value.index not in seen:
            seen.add(value.index)
            open_ += graph.nodes[value.index - n].args if value.index >= n else ()
    return {index for index in seen if index < n}


def _substituted(graph: Graph, names: list[str], new: dict[int, Operand]) -> Graph:
    """The graph over other inputs: ``new`` says what stands in the place of each old one."""
    place, nodes = dict(new), []
    for k, node in enumerate(graph.nodes):
        args = tuple(place[a.index] if isinstance(a, Ref) else a for a in node.args)
        constant = fold(node.op, args)
        if constant is None:
            nodes.append(Node(node.op, args))
            constant = Ref(len(names) + len(nodes) - 1)
        place[len(graph.inputs) + k] = constant
    outputs = tuple(place[o.index] if isinstance(o, Ref) else o for o in graph.outputs)
    return simplify(Graph(tuple(names), tuple(nodes), outputs))
