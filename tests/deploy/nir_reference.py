"""NIR's equations, one Euler step after the other, written down from the nodes' definitions and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np


def simulate(graph: Any, x: np.ndarray, dt: float) -> np.ndarray:
    """Run a graph.

    Nodes of one step are evaluated in the order of the edges; a node whose input comes round a cycle
    hears the value of the step before, zero at first. Several edges into a node are summed.

    Args:
        graph: a ``nir.NIRGraph``, flat.
        x: ``[T, ...]``, one sequence; dt: seconds a step.

    Returns:
        ``[T, ...]``, what reaches the output.
    """
    order = _order(graph)
    sources = {n: [a for a, b in graph.edges if b == n] for n in graph.nodes}
    values: dict[str, Any] = {}
    states: dict[str, Any] = {}
    output = []
    for t, x_t in enumerate(x):
        for name in order:
            node = graph.nodes[name]
            if type(node).__name__ == "Input":
                values[name] = x_t.reshape(node.input_type["input"])
                continue
            heard = sum(values.get(source, 0.0) for source in sources[name])
            values[name], states[name] = _node(node, heard, states.get(name), dt, t)
        output.append(values[next(n for n in order if type(graph.nodes[n]).__name__ == "Output")])
    return np.stack(output)


def _order(graph: Any) -> list[str]:
    """Each node as soon as all nodes before it are done; where a cycle leaves none, the first with any."""
    order: list[str] = []
    left = list(graph.nodes)
    while left:
        into = {n: [a for a, b in graph.edges if b == n] for n in left}
        ready = [n for n in left if all(a in order for a in into[n])]
        ready = ready or [n for n in left if any(a in order for a in into[n])]
        order.append(ready[0])
        left.remove(ready[0])
    return order


def _node(node: Any, x: Any, state: Any, dt: float, t: int) -> tuple[Any, Any]:
    kind = type(node).__name__
    if kind == "Output":
        return x, None
    if kind == "Affine":
        return np.einsum("oi,i->o", node.weight, np.broadcast_to(x, node.weight.shape[1:])) + node.bias, None
    if kind == "Scale":
        return node.scale * x, None
    if kind == "Flatten":
        return x.reshape(-1), None
    if kind in ("Conv1d", "Conv2d"):
        return _convolve(node, x), None
    if kind == "Delay":
        past = [] if state is None else state
        past = [*past, np.array(x)]
        lag = np.rint(node.delay / dt).astype(int)
        return np.array([past[t - d][i] if t >= d else 0.0 for i, d in enumerate(lag)]), past
    if kind in ("I", "LI"):
        v = np.zeros(node.r.shape) if state is None else state
        slope = node.r * x if kind == "I" else ((node.v_leak - v) + node.r * x) / node.tau
        return v + dt * slope, v + dt * slope
    v, current = state if state is not None else (np.zeros(node.v_threshold.shape), np.zeros(node.v_threshold.shape))
    if kind == "CubaLIF":
        current = current + dt * (-current + node.w_in * x) / node.tau_syn
        v = v + dt * ((node.v_leak - v) + node.r * current) / node.tau_mem
    elif kind == "LIF":
        v = v + dt * ((node.v_leak - v) + node.r * x) / node.tau
    else:
        v = v + dt * node.r * x
    z = (v > node.v_threshold).astype(v.dtype)
    return z, (np.where(z == 1, node.v_reset, v), current)


def _convolve(node: Any, x: np.ndarray) -> np.ndarray:
    """The sum over a window, place by place."""
    axes = node.weight.ndim - 2
    pad, stride = np.broadcast_to(node.padding, axes), np.broadcast_to(node.stride, axes)
    padded = np.pad(x, [(0, 0), *((p, p) for p in pad)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, node.weight.shape[2:], tuple(range(1, axes + 1)))
    windows = windows[(slice(None), *(slice(None, None, s) for s in stride))]
    letters = "xyz"[:axes], "uvw"[:axes]
    y = np.einsum(f"oc{letters[1]},c{letters[0]}{letters[1]}->o{letters[0]}", node.weight, windows)
    return y + node.bias.reshape(-1, *(1,) * axes)
