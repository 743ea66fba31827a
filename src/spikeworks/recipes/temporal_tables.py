"""The other tables of the temporal-processing suite (arXiv 2502.09449), each a suite with one thing that varies.

``temporal-rules``, ``temporal-norms`` and ``temporal-surrogates`` take the LIF networks of ``temporal-suite``,
feed-forward and recurrent, with its recipes; ``temporal-architectures`` puts networks of about 90 k parameters
(permuted MNIST) and 40 k (binary adding) side by side. Not there: ASGL among the surrogates (a random mask held over a
sequence), the architectures on the Penn Treebank, and the paper's interval of truncation, which it does not give (a
quarter of the sequence here). Learning rates of the architectures are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from ..arena.suites import SUITES, Entrant, Part, Size, Suite
from ..layers import DelayConfig, ReadoutConfig
from ..learning import BPTTConfig, EPropConfig, OTTTConfig, SDBPConfig, SLTTConfig
from ..models import (
    GatedConfig,
    LSTMConfig,
    ModelConfig,
    SpikeTransformerConfig,
    SpikingTCNConfig,
    StackConfig,
    TCNConfig,
    TransformerConfig,
)
from ..neurons import Reset, Surrogate, config_for
from ..optim import AdamWConfig
from ..tasks import PTBConfig, task_for
from .temporal_suite import temporal_suite

SURROGATES = ("rectangle", "triangle", "multi-gaussian", "sigmoid")
"""In the order of the paper's table."""


def lif_parts(size: Size) -> tuple[Part, ...]:
    """The parts of ``temporal-suite`` with its LIF networks alone."""
    return temporal_suite(size).only(models=("lif", "lif-rec")).parts


def steps_of(part: Part) -> int:
    """Steps of a sequence, or of a window of a text."""
    steps = part.task.build().signature.steps
    assert steps is not None  # all tasks of the suite have sequences of one length
    return steps


@SUITES.register("temporal-rules")
def temporal_rules(size: Size = "small") -> Suite:
    """Learning rules: STBP, truncated, e-prop, OTTT and SLTT on LIF networks (arXiv 2502.09449).

    Resets are soft here and hard in the paper: OTTT's one trace for each input wants neurons that forget alike.
    """

    def softened(model: Any) -> Iterable[tuple[str, Any]]:
        yield "soft", dataclasses.replace(model, neuron=dataclasses.replace(model.neuron, reset=Reset()))

    parts = []
    for part in lif_parts(size):
        cut = SDBPConfig(window=max(1, steps_of(part) // 4))
        methods = (BPTTConfig(), cut, EPropConfig(), OTTTConfig(), SLTTConfig())
        parts.append(dataclasses.replace(part, methods=methods, entrants=varied(part.entrants, softened)))
    return Suite(name="temporal-rules", size=size, about="learning rules on LIF networks", parts=tuple(parts))


@SUITES.register("temporal-norms")
def temporal_norms(size: Size = "small") -> Suite:
    """Normalisations: none, tdBN, TEBN and layer norm on LIF networks (arXiv 2502.09449)."""
    parts = []
    for part in lif_parts(size):
        norms: tuple[Any, ...] = ("none", "tdbn", "tebn", "layer")
        if isinstance(part.task, PTBConfig):  # a weight for each step ends with the first window of a text
            norms = ("none", "tdbn", "layer")
        steps = steps_of(part)

        def with_norms(model: Any, norms: tuple[Any, ...] = norms, steps: int = steps) -> Iterable[tuple[str, Any]]:
            for norm in norms:
                yield norm, dataclasses.replace(model, norm=norm, norm_steps=steps if norm == "tebn" else None)

        parts.append(dataclasses.replace(part, entrants=varied(part.entrants, with_norms)))
    return Suite(name="temporal-norms", size=size, about="normalisations on LIF networks", parts=tuple(parts))


@SUITES.register("temporal-surrogates")
def temporal_surrogates(size: Size = "small") -> Suite:
    """Surrogates: rectangle, triangle, multi-Gaussian and sigmoid on LIF networks (arXiv 2502.09449)."""

    def with_surrogates(model: Any) -> Iterable[tuple[str, Any]]:
        for kind in SURROGATES:
            surrogate = dataclasses.replace(model.neuron.surrogate, kind=kind)
            yield kind, dataclasses.replace(model, neuron=dataclasses.replace(model.neuron, surrogate=surrogate))

    parts = tuple(
        dataclasses.replace(part, entrants=varied(part.entrants, with_surrogates)) for part in lif_parts(size)
    )
    return Suite(name="temporal-surrogates", size=size, about="surrogates on LIF networks", parts=parts)


def varied(
    entrants: Iterable[Entrant], change: Callable[[Any], Iterable[tuple[str, ModelConfig]]]
) -> tuple[Entrant, ...]:
    """Every entrant in each of its variants, whose names stand behind its own."""
    return tuple(
        dataclasses.replace(entrant, model=model, label=f"{entrant.label or entrant.model.label} {name}")
        for entrant in entrants
        for name, model in change(entrant.model)
    )


@SUITES.register("temporal-architectures")
def temporal_architectures(size: Size = "small") -> Suite:
    """Architectures with equal parameters: LIF, delays, TCN, LSTM, gated, Transformers (arXiv 2502.09449)."""
    found = lif_parts(size)
    digits, adding = found[0], next(part for part in found if part.task_name == "binary-adding")
    mean, last = ReadoutConfig(kind="mean", scale=10.0), ReadoutConfig(kind="last")
    parts: list[Part]
    if size == "small":
        parts = [
            dataclasses.replace(digits, entrants=architectures((32, 64, 64), 46, 16, (24, 48, 48), 42, 28, mean)),
            dataclasses.replace(adding, entrants=architectures((64, 64), 44, 10, (12, 24, 24), 24, 16, last)),
        ]
    else:
        small = architectures((193, 193), 124, 22, (36, 72, 72), 56, 40, last)
        long, longest = (task_for("binary-adding", steps=steps) for steps in (1200, 2400))
        parts = [
            dataclasses.replace(digits, entrants=architectures((66, 264, 264), 188, 34, (54, 108, 108), 85, 60, mean)),
            dataclasses.replace(adding, entrants=small),
            dataclasses.replace(adding, task=long, entrants=small[2:]),
            dataclasses.replace(adding, task=longest, entrants=small[5:]),
        ]
    return Suite(
        name="temporal-architectures", size=size, about="architectures with equal parameters", parts=tuple(parts)
    )


def architectures(
    stack: tuple[int, ...],
    delayed: int,
    channels: int,
    gated: tuple[int, ...],
    lstm: int,
    width: int,
    readout: ReadoutConfig,
) -> tuple[Entrant, ...]:
    """The networks of the table: those that see far stand last.

    Args:
        stack: widths of the LIF stack; delayed: of the last two layers of the one with delays.
        channels: of the six levels of the TCNs; gated, lstm: hidden widths; width: of the Transformers.
    """
    neuron = config_for("lif", threshold=0.5, reset=Reset(kind="hard"), surrogate=Surrogate(kind="triangle", width=1.0))
    slow, quick = AdamWConfig(learning_rate=1e-3, clip=1.0), AdamWConfig(learning_rate=3e-3, clip=1.0)
    encoder: dict[str, Any] = {"width": width, "heads": 4, "readout": readout}
    spiking = [SpikeTransformerConfig(neuron=neuron, inner_steps=steps, **encoder) for steps in (4, 1)]
    return (
        Entrant(model=StackConfig(hidden=stack, neuron=neuron, readout=readout), optimizer=quick),
        Entrant(
            model=StackConfig(
                hidden=(delayed // 4, delayed, delayed), neuron=neuron, delay=DelayConfig(max_delay=24), readout=readout
            ),
            optimizer=quick,
        ),
        Entrant(model=TCNConfig(channels=(channels,) * 6, readout=readout), optimizer=quick),
        Entrant(model=SpikingTCNConfig(channels=(channels,) * 6, neuron=neuron, readout=readout), optimizer=quick),
        Entrant(model=GatedConfig(hidden=gated, readout=readout), optimizer=quick),
        Entrant(model=LSTMConfig(hidden=(lstm, lstm), readout=readout), optimizer=quick),
        Entrant(model=TransformerConfig(**encoder), optimizer=slow),
        *(Entrant(model=model, optimizer=slow, label=f"{model.label} x{model.inner_steps}") for model in spiking),
    )
