"""The conversions as a Markdown table; ``python -m spikeworks.deploy.libraries.table`` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...neurons import ALIF, IF, LIF, PLIF, AdLIF, CubaLIF, Neuron, Reset
from . import LIBRARIES, ConversionError, to_library

_HARD = Reset(kind="hard")
EXAMPLES: dict[str, tuple[Neuron, ...]] = {
    "lif": (
        LIF(1, decay=0.75, gain="one_minus_decay", reset=_HARD),
        LIF(1, decay=0.75, gain="one_minus_decay"),
        LIF(1, decay=0.75, reset=Reset(order="before_charge", detach=True)),
    ),
    "plif": (PLIF(1, decay=0.75, reset=_HARD),),
    "if": (IF(1, reset=_HARD), IF(1)),
    "cuba-lif": (CubaLIF(1, decay=0.75, current_decay=0.5, reset=_HARD),),
    "alif": (
        ALIF(1, decay=0.75, adaptation_decay=0.96875, reset=Reset()),
        ALIF(1, decay=0.75, adaptation_decay=0.96875, trace="sum", reset=_HARD),
    ),
    "adlif": (AdLIF(1, decay=0.875, adaptation_decay=0.96875, coupling=0.5, kick=1.0),),
}
"""Neurons of each kind whose conversions the table shows."""


def markdown() -> str:
    """One section a neuron: what corresponds to what, and for the examples the layer of each library."""
    return "\n\n".join("\n".join(_section(name)) for name in EXAMPLES) + "\n"


def _section(name: str) -> Iterator[str]:
    yield from (f"### `{name}`", "", "| library | theirs | ours and theirs |", "|---|---|---|")
    for key, library in LIBRARIES.items():
        theirs, formula = library.FORMULAS.get(name, ("", "no counterpart"))
        yield f"| `{key}` | {f'`{theirs}`' if theirs else '–'} | {formula or 'nothing but the threshold'} |"
    for neuron in EXAMPLES[name]:
        yield from (
            "",
            f"`{_ours(neuron)}`:",
            "",
            "| library | layer | input times | what differs |",
            "|---|---|---|---|",
        )
        yield from (_row(neuron, key) for key, library in LIBRARIES.items() if name in library.FORMULAS)


def _row(neuron: Neuron, library: str) -> str:
    try:
        match = to_library(neuron, library)
    except ConversionError as refusal:
        return f"| `{library}` | – | – | {str(refusal).partition(': ')[2]} |"
    later = [f"spikes come {match.delay} step later"] if match.delay else []
    told = "; ".join([*later, *match.differences]) or "nothing"
    return f"| `{library}` | `{match.layer}` | {match.input_scale:g} | {told} |"


def _ours(neuron: Neuron) -> str:
    config = neuron.config
    shown = [f"{name}={getattr(config, name):g}" for name in neuron.parameters_declared]
    shown += [f"{name}={getattr(config, name)!r}" for name in ("gain", "trace") if name in neuron.options_declared]
    if "reset" in neuron.options_declared:
        reset: Any = neuron.reset
        shown.append(f"reset={reset.kind}, {reset.order}" + (", detached" if reset.detach else ""))
    return f"{type(neuron).__name__}({', '.join(shown)})"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
