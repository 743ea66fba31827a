"""Where the buffers of a program lie: members of one struct, states each for itself, scratch in shared arrays.

The widest types come first, so that nothing is lost between members.
"""

from __future__ import annotations

import dataclasses

from .program import Buffer, Kind, Program, touched

SCRATCH: dict[Kind, str] = {"real": "scratch", "spike": "spikes", "sum": "sums", "count": "counts"}
"""Names of the arrays for scratch."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places of all buffers.

    Attributes:
        states: what lives from step to step.
        offsets: of scratch buffers, in elements of the array of their kind.
        scratch: length of the array of each kind that there is.
        real_bytes: of a number.
    """

    states: tuple[Buffer, ...]
    offsets: dict[Buffer, int]
    scratch: dict[Kind, int]
    real_bytes: int

    def width(self, kind: Kind) -> int:
        """Bytes of an element."""
        return {"real": self.real_bytes, "spike": 1}.get(kind, 4)

    @property
    def members(self) -> list[tuple[Kind, str, int]]:
        """Type, name and length of the struct's members."""
        kept: list[tuple[Kind, str, int]] = [(b.kind, b.name, b.size) for b in self.states]
        shared: list[tuple[Kind, str, int]] = [(kind, SCRATCH[kind], size) for kind, size in self.scratch.items()]
        return sorted(kept + shared, key=lambda member: -self.width(member[0]))

    @property
    def state_bytes(self) -> int:
        """Of what lives from step to step."""
        return sum(buffer.size * self.width(buffer.kind) for buffer in self.states)

    @property
    def scratch_bytes(self) -> int:
        """Of what a step needs for itself."""
        return sum(size * self.width(kind) for kind, size in self.scratch.items())

    @property
    def struct_bytes(self) -> int:
        """Of the struct: both, rounded up to the alignment of its widest member."""
        widest = max(self.width(kind) for kind, _, _ in self.members)
        return -(-(self.state_bytes + self.scratch_bytes) // widest) * widest


def arrange(program: Program) -> Layout:
    """Lay out a program; scratch buffers that are not needed at the same time share their place."""
    states = tuple(b for b in program.buffers if b.life == "state")
    spans: dict[Buffer, tuple[int, int]] = {}
    for k, operation in enumerate(program.operations):
        for part in touched(operation):
            if part.buffer.life == "scratch":
                spans[part.buffer] = (spans.get(part.buffer, (k, k))[0], k)
    offsets: dict[Buffer, int] = {}
    lengths: dict[Kind, int] = {}
    for buffer in sorted(spans, key=lambda b: -b.size):  # the large ones first leave fewer holes
        first, last = spans[buffer]
        taken = sorted(
            (offsets[other], offsets[other] + other.size)
            for other in offsets
            if other.kind == buffer.kind and spans[other][0] <= last and first <= spans[other][1]
        )
        start = 0
        for low, high in taken:
            if start + buffer.size <= low:
                break
            start = max(start, high)
        offsets[buffer] = start
        lengths[buffer.kind] = max(lengths.get(buffer.kind, 0), start + buffer.size)
    return Layout(states, offsets, lengths, program.dtype.itemsize)
