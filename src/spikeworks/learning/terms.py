"""Which terms of the full gradient each learning method keeps, in words; the table of sheet 08 for what is here.

The full gradient of a loss reaches a weight along paths through time and space. A method is known by those that
it cuts:

- *memory*: an earlier state of the same neuron acts on its later ones;
- *reset*: so does its spike, through the reset;
- *recurrence*: its spike acts on its own layer one step later;
- *later*: its spike acts on later losses through the memory of the layers above;
- *space*: its spike acts on the layers above at the same step.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """What one method does by default.

    Attributes:
        memory, reset, recurrence, later, space: ``kept``, ``cut``, or how far it is kept.
        saved: what is kept for backward at once, which is most of the memory.
        exact: where its gradient is that of backpropagation through time for the same loss.
    """

    memory: str
    reset: str
    recurrence: str
    later: str
    space: str
    saved: str
    exact: str


_NEURON = "as the neuron's"
_CHUNK = "all blocks, a chunk of steps"
_PART = "the dearest part, a chunk of steps"

TERMS: dict[str, Terms] = {
    "bptt": Terms(
        memory="kept", reset=_NEURON, recurrence="kept", later="kept", space="kept",
        saved="all blocks, all steps", exact="everywhere",
    ),
    "tbptt": Terms(
        memory="in a window", reset=_NEURON, recurrence="in a window", later="in a window", space="kept",
        saved=_CHUNK, exact="with a window of all steps",
    ),
    "sdbp": Terms(
        memory="cut", reset="cut", recurrence="cut", later="cut", space="kept",
        saved="all blocks, all steps", exact="for neurons without memory",
    ),
    "notd": Terms(
        memory="none there", reset="none there", recurrence="none there", later="none there", space="kept",
        saved="all blocks, all steps", exact="of another network, without memory",
    ),
    "sltt": Terms(
        memory="cut", reset="cut", recurrence="cut", later="cut", space="kept",
        saved=_CHUNK, exact="for neurons without memory",
    ),
    "ottt": Terms(
        memory="kept", reset="cut", recurrence="cut", later="cut", space="kept",
        saved=f"{_CHUNK}; a trace an input", exact="in the last layer without recurrence, its reset detached",
    ),
    "eprop": Terms(
        memory="kept", reset=_NEURON, recurrence="cut", later="cut", space="kept",
        saved=f"{_CHUNK}; a trace an input where that is exact, else one a weight",
        exact="in the last layer without recurrence",
    ),
    "ostl": Terms(
        memory="kept", reset=_NEURON, recurrence="cut", later="cut", space="kept",
        saved=f"{_CHUNK}; a trace a weight", exact="in the last layer without recurrence",
    ),
    "online": Terms(
        memory="kept", reset=_NEURON, recurrence="cut", later="cut", space="kept",
        saved=f"{_CHUNK}; traces as chosen", exact="in the last layer without recurrence; in two with through_next",
    ),
    "local": Terms(
        memory="cut", reset="cut", recurrence="cut", later="cut", space="in a block",
        saved=_PART, exact="in the last block, for neurons without memory",
    ),
    "auglocal": Terms(
        memory="kept", reset=_NEURON, recurrence="kept", later="in a part", space="in a part and its copies",
        saved="the dearest part and its copies, all steps", exact="in the last part",
    ),
    "stdl": Terms(
        memory="cut", reset="cut", recurrence="cut", later="cut", space="in a part and its copies",
        saved=f"{_PART}, within the budget", exact="in the last part, for neurons without memory",
    ),
    "adversarial": Terms(
        memory="kept", reset=_NEURON, recurrence="kept", later="kept", space="kept",
        saved="all blocks, all steps; the critics", exact="everywhere, with the critics in the loss",
    ),
}  # fmt: skip
"""By the name of the method, for its default settings."""


def markdown() -> str:
    """The table as Markdown, a row a method."""
    heads = ("method", *(field.name for field in dataclasses.fields(Terms)))
    heads = tuple("kept for backward" if head == "saved" else head for head in heads)
    rows = [(f"`{name}`", *dataclasses.astuple(terms)) for name, terms in TERMS.items()]
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])
