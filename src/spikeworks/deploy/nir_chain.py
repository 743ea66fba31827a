"""A NIR graph as a chain of stages: what leads into each layer of neurons, and what it feeds back to itself.

Only chains can become a network of blocks: each layer of neurons hears one other, through one path or
through several that differ in their delays, and itself through at most one affine map.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .nir_common import NIRError

STATEFUL = ("IF", "LIF", "CubaLIF", "LI", "I")
STATELESS = ("Affine", "Linear", "Conv1d", "Conv2d", "Flatten", "Scale", "Delay")

Path = list[tuple[str, Any]]
"""Names and nodes between two layers of neurons, in the order of the signal."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A layer of neurons, or the output.

    Attributes:
        name, node: of the layer.
        source: name of the layer or input before it.
        paths: the ways from there; an empty one is a direct edge.
        loop: the way from the layer to itself, or ``None``.
    """

    name: str
    node: Any
    source: str
    paths: list[Path]
    loop: Path | None


def kind(node: Any) -> str:
    """The name of a node's class."""
    return type(node).__name__


def chain(graph: Any) -> tuple[Any, list[Stage]]:
    """The input node and the stages in order, the last one the output.

    Raises:
        NIRError: a node that has no counterpart, or a graph that is no chain.
    """
    nodes, edges = inlined(graph)
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for start, end in edges:
        if start not in nodes or end not in nodes:
            raise NIRError(f"edge {start} to {end}", "one of the two is not in the graph.")
        before[end].append(start)
    start, last = _only(nodes, "Input"), _only(nodes, "Output")
    for name, node in nodes.items():
        if kind(node) not in (*STATEFUL, *STATELESS, "Input", "Output"):
            raise NIRError(f"{name} ({kind(node)})", f"no layer here does this; known: {', '.join(_known())}.")
    stages = {n: _stage(n, nodes, before) for n, node in nodes.items() if kind(node) in STATEFUL or n == last}
    found, name = [], last
    while name != start:
        if name in (stage.name for stage in found) or len(found) > len(stages):
            raise NIRError(name, "layers of neurons feed back to earlier ones; only feedback to oneself is known here.")
        found.insert(0, stages[name])
        name = stages[name].source
    used = {start} | {stage.name for stage in found}
    used |= {n for stage in found for path in (*stage.paths, stage.loop or []) for n, _ in path}
    for name in nodes:
        if name not in used:
            raise NIRError(f"{name} ({kind(nodes[name])})", "it does not lie on the one way from input to output.")
    return nodes[start], found


def inlined(graph: Any) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges with the graphs inside of the graph put in their place, names joined by dots."""
    nodes: dict[str, Any] = {}
    edges = [(str(a), str(b)) for a, b in graph.edges]
    for name, node in graph.nodes.items():
        if kind(node) != "NIRGraph":
            nodes[name] = node
            continue
        inner, inside = inlined(node)
        first, last = f"{name}.{_only(inner, 'Input')}", f"{name}.{_only(inner, 'Output')}"
        nodes |= {f"{name}.{n}": value for n, value in inner.items() if f"{name}.{n}" not in (first, last)}
        edges = [(last if a == name else a, first if b == name else b) for a, b in edges]
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inside]
        for border in (first, last):
            into, out = [a for a, b in edges if b == border], [b for a, b in edges if a == border]
            edges = [edge for edge in edges if border not in edge] + [(a, b) for a in into for b in out]
    return nodes, list(dict.fromkeys(edges))


def _stage(name: str, nodes: dict[str, Any], before: dict[str, list[str]]) -> Stage:
    where = f"{name} ({kind(nodes[name])})"
    ways = [_way(previous, nodes, before) for previous in before[name]]
    loops = [path for source, path in ways if source == name]
    others = [(source, path) for source, path in ways if source != name]
    sources = list(dict.fromkeys(source for source, _ in others))
    if len(sources) != 1:
        heard = f"{', '.join(sources)}" or "nothing"
        raise NIRError(where, f"a layer hears one other layer here, this one hears {heard}.")
    if len(loops) > 1:
        raise NIRError(where, "it feeds back to itself through several paths; one affine map is known here.")
    return Stage(name, nodes[name], sources[0], [path for _, path in others], loops[0] if loops else None)


def _way(name: str, nodes: dict[str, Any], before: dict[str, list[str]]) -> tuple[str, Path]:
    """Back from ``name`` through nodes without state to the layer that they read."""
    path: Path = []
    while kind(nodes[name]) in STATELESS:
        if len(before[name]) != 1 or len(path) > len(nodes):
            reason = f"one input was expected, got {', '.join(before[name]) or 'none'}."
            raise NIRError(f"{name} ({kind(nodes[name])})", reason)
        path.insert(0, (name, nodes[name]))
        name = before[name][0]
    return name, path


def _only(nodes: dict[str, Any], wanted: str) -> str:
    found = [name for name, node in nodes.items() if kind(node) == wanted]
    if len(found) != 1:
        raise NIRError("the graph", f"exactly one {wanted} node was expected, got {', '.join(found) or 'none'}.")
    return found[0]


def _known() -> list[str]:
    return [*STATEFUL, *STATELESS]
