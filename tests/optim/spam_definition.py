"""SPAM and Stable-SPAM written down once more, coordinate by coordinate in numpy, as the equations stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Gradient = Callable[[int, Array], Array]


def published_scale(k: int, every: int = 500, rise: int = 150) -> float:
    """Factor on the step of update ``k``."""
    c = k % every
    if k < every or c >= rise:
        return 1.0
    return 1.0 - 0.99 * 0.5 * (1.0 + math.cos(math.pi * c / (rise + 1)))


def published_spam(
    p: Array, gradient: Gradient, steps: int, *, lr: float, wd: float = 0.0, eps: float = 1e-6, theta: float = 5000.0,
    every: int = 500, rise: int = 150, hold: int = 20, b1: float = 0.9, b2: float = 0.999,
) -> Array:  # fmt: skip
    """The published algorithm; the parameter behind every update, ``[steps, *shape]``."""
    m, v, path = np.zeros_like(p), np.zeros_like(p), []
    for k in range(1, steps + 1):
        c = k % every
        if c == 0:
            m, v = np.zeros_like(p), np.zeros_like(p)
        g = gradient(k, p)
        if k >= hold and c >= hold:
            g = np.where(g**2 > theta * v, np.sign(g) * np.sqrt(theta * v), g)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        size = lr * published_scale(k, every, rise) * math.sqrt(1 - b2**k) / (1 - b1**k)
        p = p - size * m / (np.sqrt(v) + eps)
        p = p * (1 - lr * wd)
        path.append(p)
    return np.stack(path)


def own_spam(
    p: Array, gradient: Gradient, steps: int, *, lr: float, wd: float = 0.0, eps: float = 1e-8, theta: float = 5000.0,
    every: int = 500, rise: int = 150, hold: int = 20, b1: float = 0.9, b2: float = 0.999,
) -> Array:  # fmt: skip
    """The default form: arranged as AdamW, corrected since the reset, guarded against ``v == 0``."""
    m, v, n, path = np.zeros_like(p), np.zeros_like(p), 0, []
    for k in range(1, steps + 1):
        c = k % every
        n += 1
        if c == 0:
            m, v, n = np.zeros_like(p), np.zeros_like(p), 1
        g = gradient(k, p)
        p = p * (1 - lr * wd)
        if k >= hold and c >= hold:
            g = np.where((g**2 > theta * v) & (v > 0), np.sign(g) * np.sqrt(theta * v), g)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        ratio = (m / (1 - b1**n)) / (np.sqrt(v / (1 - b2**n)) + eps)
        p = p - lr * published_scale(k, every, rise) * ratio
        path.append(p)
    return np.stack(path)


def stable_spam(
    p: Array, gradient: Gradient, steps: int, *, lr: float, wd: float = 0.0, eps: float = 1e-8,
    gammas: tuple[float, float, float] = (0.7, 0.9, 0.999), every: int = 1000, total: int = 0,
    b1: float = 0.9, b2: float = 0.999,
) -> Array:  # fmt: skip
    """Stable-SPAM with two counts of updates, the whole training's and the moments' own."""
    g1, g2, g3 = gammas
    m, v, n = np.zeros_like(p), np.zeros_like(p), 0
    t = mu = nu = 0.0
    path = []
    for k in range(1, steps + 1):
        s = 0.5 + 0.25 * (1 + math.cos(math.pi * min(1.0, k / (total + 1)))) if total else 1.0
        g = gradient(k, p)
        p = p * (1 - lr * wd)
        a = np.abs(g).max()
        t = g3 * t + (1 - g3) * a
        limit = t / (1 - g3**k)
        g = np.where(np.abs(g) > limit, g * limit / (a if a > 0 else 1.0), g)
        r = math.sqrt((g**2).sum())
        mu = g1 * s * mu + (1 - g1 * s) * r
        nu = g2 * nu + (1 - g2) * r**2
        if r > 0:
            g = g / r * (mu / (1 - (g1 * s) ** k)) / (math.sqrt(nu / (1 - g2**k)) + eps)
        n += 1
        if every and k % every == 0:
            m, v, n = np.zeros_like(p), np.zeros_like(p), 1
        m = b1 * s * m + (1 - b1 * s) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - lr * (m / (1 - (b1 * s) ** n)) / (np.sqrt(v / (1 - b2**n)) + eps)
        path.append(p)
    return np.stack(path)


def spiky_gradient(shape: tuple[int, ...], steps: int, spikes: dict[int, float], seed: int = 0) -> Gradient:
    """A noisy quadratic's gradient; at the updates in ``spikes`` one half of it is that many times as large."""
    noise = np.random.default_rng(seed).standard_normal((steps + 1, *shape))

    def gradient(k: int, p: Array) -> Array:
        g = p + 0.5 * noise[k]
        g.reshape(-1)[::2] *= spikes.get(k, 1.0)
        return g

    return gradient


def run(make: Callable[[list[Any]], Any], p: Array, gradient: Gradient, steps: int) -> Array:
    """The path of the same training by an optimiser of torch, in float64."""
    import torch

    parameter = torch.nn.Parameter(torch.from_numpy(p.copy()))
    optimizer = make([parameter])
    path = []
    for k in range(1, steps + 1):
        parameter.grad = torch.from_numpy(gradient(k, parameter.detach().numpy()))
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.stack(path)
