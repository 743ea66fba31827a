"""Where a network is cut, and which later blocks an auxiliary network imitates.

Plain arithmetic on costs; nothing here knows networks. Blocks are numbered from 0, a segment is
``(first, last)``, both included. Sources: AugLocal (arXiv 2402.17318), STDL (arXiv 2506.01117).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from ..core.errors import ConfigError

Shape = TypeVar("Shape", bound=Hashable)
CostAt = Callable[[int, Shape], tuple[float, Shape]]
"""Cost of a copy of block ``q`` for an input of a shape, and the shape that it puts out."""

Segment = tuple[int, int]


def partition(costs: Sequence[float], parts: int) -> list[Segment]:
    """Contiguous segments, at most ``parts`` of them, whose dearest is as cheap as can be.

    Segments are filled from the front up to the cost of the dearest one.

    Args:
        costs: of the blocks, 0 or more each.
        parts: from 1 to the number of blocks.

    Raises:
        ConfigError: no blocks, or a number of parts out of range.
    """
    if not 1 <= parts <= len(costs):
        raise ConfigError(f"A network of {len(costs)} blocks is cut into 1 to {len(costs)} parts, got {parts}.")
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    caps = sorted({sums[j] - sums[i] for i in range(len(costs)) for j in range(i + 1, len(costs) + 1)})
    low, high = 0, len(caps) - 1
    while low < high:  # the least cap that can be kept; more room never needs more segments
        middle = (low + high) // 2
        found = _filled(costs, caps[middle])
        low, high = (low, middle) if found is not None and len(found) <= parts else (middle + 1, high)
    found = _filled(costs, caps[low])
    assert found is not None  # the cap of all blocks together holds them
    return found


def _filled(costs: Sequence[float], cap: float) -> list[Segment] | None:
    """Segments filled from the front up to ``cap``, ``None`` where one block is dearer."""
    slack = cap * (1 + 1e-12)  # sums of floats in another order
    segments, start, total = [], 0, 0.0
    for i, cost in enumerate(costs):
        if cost > slack:
            return None
        if total + cost > slack:
            segments.append((start, i - 1))
            start, total = i, 0.0
        total += cost
    return [*segments, (start, len(costs) - 1)]


def equal_parts(blocks: int, parts: int) -> list[Segment]:
    """Segments of as equal a number of blocks as can be, the longer ones in front."""
    if not 1 <= parts <= blocks:
        raise ConfigError(f"A network of {blocks} blocks is cut into 1 to {blocks} parts, got {parts}.")
    short, longer = divmod(blocks, parts)
    ends, start = [], 0
    for i in range(parts):
        size = short + (i < longer)
        ends.append((start, start + size - 1))
        start += size
    return ends


def from_cuts(blocks: int, cuts: Sequence[int]) -> list[Segment]:
    """Segments that end with the blocks ``cuts``, and with the last block.

    Raises:
        ConfigError: the cuts do not rise, or lie outside the network.
    """
    inside = [cut for cut in cuts if cut != blocks - 1]
    if list(cuts) != sorted(set(cuts)) or any(not 0 <= cut < blocks for cut in cuts):
        raise ConfigError(f"Cuts are rising numbers of blocks from 0 to {blocks - 1}, got {tuple(cuts)}.")
    starts = [0, *(cut + 1 for cut in inside)]
    return list(zip(starts, [*inside, blocks - 1], strict=True))


def evenly_after(last: int, blocks: int, depth: int) -> tuple[int, ...]:
    """``depth`` of the blocks after ``last``, evenly spread and ending with the network's last.

    Halves are rounded to the even number, as in AugLocal's equation; all remaining blocks where
    there are no more than ``depth``.
    """
    left = blocks - 1 - last
    if depth >= left:
        return tuple(range(last + 1, blocks))
    return tuple(round(last + left / depth * i) for i in range(1, depth + 1))


def pyramid(depth: int, modules: int, slope: float) -> list[int]:
    """Depths of the auxiliary networks of ``modules`` cuts, falling from ``depth`` towards the output.

    AugLocal: ``max(1, round(d (1 - i c / (n - 1)) + i c / (n - 1)))`` for the i-th of n cuts and slope c in
    [0, 1]; 0 keeps the depth.
    """
    if modules < 1:
        return []
    down = [i * slope / max(modules - 1, 1) for i in range(modules)]
    return [max(1, round(depth * (1 - share) + share)) for share in down]


def cost_of(chosen: Sequence[int], shape: Shape, cost_at: CostAt[Shape]) -> float:
    """Cost of copies of the blocks ``chosen`` in a row, the first fed with ``shape``."""
    total = 0.0
    for q in chosen:
        cost, shape = cost_at(q, shape)
        total += cost
    return total


def select_uniform(last: int, blocks: int, budget: float, shape: Shape, cost_at: CostAt[Shape]) -> tuple[int, ...]:
    """The longest evenly spread choice of later blocks that costs no more than ``budget``.

    Depths are tried from the top: a longer choice is often cheaper, because its copies shrink
    the resolution earlier.

    Args:
        last: the last block of the segment that the auxiliary network serves.
        blocks: number of blocks of the network.
        budget: what the copies may cost.
        shape: what the segment puts out.
        cost_at: see :data:`CostAt`.
    """
    for depth in range(blocks - 1 - last, 0, -1):
        chosen = evenly_after(last, blocks, depth)
        if cost_of(chosen, shape, cost_at) <= budget:
            return chosen
    return ()


def select_exact(last: int, blocks: int, budget: float, shape: Shape, cost_at: CostAt[Shape]) -> tuple[int, ...]:
    """The largest choice of later blocks that costs no more than ``budget``; of equal ones the cheapest.

    A dynamic programme over the number chosen, the last of them and the shape that it puts out;
    arguments as for :func:`select_uniform`.
    """
    best: tuple[int, ...] = ()
    reached: dict[tuple[int, Shape], tuple[float, tuple[int, ...]]] = {(last, shape): (0.0, ())}
    for _ in range(blocks - 1 - last):
        further: dict[tuple[int, Shape], tuple[float, tuple[int, ...]]] = {}
        for (at, now), (spent, path) in reached.items():
            for q in range(at + 1, blocks):
                cost, after = cost_at(q, now)
                found = (spent + cost, (*path, q))
                known = further.get((q, after))
                if found[0] <= budget and (known is None or found < known):
                    further[q, after] = found
        if not further:
            break
        best = min(further.values())[1]
        reached = further
    return best
