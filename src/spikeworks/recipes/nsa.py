"""The Neuromorphic Sequential Arena (arXiv 2505.22035): twelve models of about 100 k parameters on its tasks.

``full`` has the recipes of the published programs, on the real tasks under both protocols and on their local
stand-ins; tasks whose data is not there are left out by name. Denoising and speech recognition are there as stand-ins
alone, with recipes of ours. ``small`` trains eight of the models at half their width on shortened local tasks, within
the hour on two cores. Figures of stand-ins have nothing to do with those of the tasks that they stand for.
Transformers are causal here; the published ones are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..arena.config import Budget
from ..arena.suites import SUITES, Entrant, Part, Size, Suite
from ..layers import ReadoutConfig
from ..models import (
    BinaryS4DConfig,
    ContextStackConfig,
    GatedConfig,
    GSUSSMConfig,
    ModelConfig,
    SpikeTransformerConfig,
    SpikingTCNConfig,
    StackConfig,
)
from ..neurons import Reset, Surrogate, config_for
from ..optim import AdamWConfig, CosineConfig, StepConfig
from ..tasks import TaskConfig, task_for


@dataclasses.dataclass(frozen=True)
class Line:
    """One cell of the published table of recipes.

    Attributes:
        model: name of the network; ``widths``: of its layers, or of each of its blocks.
        rate: learning rate; ``clip``: largest norm of a gradient, 0 for none; ``weight_decay``.
        decay, width: of neurons, and of the surrogate's triangle.
        relaxation: of CE-LIF, beta; ``kernel``: taps of the TCN; ``heads``: of the Transformer.
    """

    model: str
    rate: float
    widths: tuple[int, ...]
    decay: float = 0.5
    width: float = 0.6
    clip: float = 1.0
    relaxation: float = 0.02
    weight_decay: float = 0.0
    kernel: int = 7
    heads: int = 8
    threshold: float = 0.5


_WIDE = (128, 256, 256)
LOCALISATION = (
    Line("lif", 5e-3, _WIDE, 1.0, 0.4),
    Line("ce-lif", 3e-3, (128, 152, 152), 0.5, 0.4),
    Line("ltc", 1e-3, (96, 128), width=0.4),
    Line("sliding-psn", 5e-3, _WIDE, width=0.4),
    Line("lif-rec", 1e-3, (128, 176, 176), 0.5, 0.4),
    Line("ce-lif-rec", 1e-3, (120, 120, 120), 0.3, 0.4, relaxation=0.03),
    Line("ltc-rec", 2e-3, (96, 112), width=0.4, clip=0.25),
    Line("gsu", 3e-3, (64, 112, 112)),
    Line("tcn", 5e-3, (36,) * 6, width=1.0),
    Line("transformer", 5e-4, (64, 64)),
    Line("s4d", 3e-3, (128, 128), weight_decay=3e-3),
    Line("ssm", 5e-3, (152, 152), weight_decay=3e-3),
)
ACTIVITY = (
    Line("lif", 3e-3, _WIDE, 0.9),
    Line("ce-lif", 3e-3, (128, 192, 192), 0.3, relaxation=0.15),
    Line("ltc", 3e-3, (96, 128)),
    Line("sliding-psn", 3e-3, _WIDE),
    Line("lif-rec", 1.5e-3, (128, 176, 176), 0.1, clip=0.0),
    Line("ce-lif-rec", 3e-3, (128, 128, 160), 0.3, relaxation=0.1),
    Line("ltc-rec", 3e-3, (96, 112)),
    Line("gsu", 5e-3, (64, 112, 112)),
    Line("tcn", 5e-3, (76,), width=1.0, kernel=16),
    Line("transformer", 3e-3, (64, 64), width=0.8, heads=1, threshold=0.6),
    Line("s4d", 1e-2, (128, 128), weight_decay=3e-3),
    Line("ssm", 1e-2, (152, 152), weight_decay=3e-3),
)
IMAGERY = (
    Line("lif", 1e-3, _WIDE, 1.0),
    Line("ce-lif", 1e-3, (128, 128, 128), 0.3),
    Line("ltc", 1e-3, (96, 112), clip=0.0),
    Line("sliding-psn", 3e-3, _WIDE),
    Line("lif-rec", 2e-4, (128, 176, 176), 1.0),
    Line("ce-lif-rec", 2e-4, (64, 128, 128), 0.2),
    Line("ltc-rec", 1e-3, (96, 104), clip=0.0),
    Line("gsu", 5e-3, (64, 112, 112)),
    Line("tcn", 3e-3, (28,) * 8, width=1.0),
    Line("transformer", 5e-4, (64, 64)),
    Line("s4d", 1e-2, (128, 128), weight_decay=5e-3),
    Line("ssm", 1e-2, (152, 152), weight_decay=5e-3),
)
SOUND = (
    Line("lif", 5e-3, _WIDE, 0.6),
    Line("ce-lif", 5e-3, (96, 128, 128), 0.3, relaxation=0.05),
    Line("ltc", 3e-3, (96, 112)),
    Line("sliding-psn", 3e-3, _WIDE),
    Line("lif-rec", 5e-4, (128, 168, 168), 0.5, 0.4),
    Line("ce-lif-rec", 1e-3, (96, 108, 108), 0.3, relaxation=0.05),
    Line("ltc-rec", 1e-3, (96, 104), clip=0.5),
    Line("gsu", 1e-3, (64, 112, 112), width=0.4, clip=0.15),
    Line("tcn", 3e-3, (46,) * 8, width=1.0, kernel=3),
    Line("transformer", 5e-4, (64, 64), heads=4),
    Line("s4d", 1e-2, (128, 128), weight_decay=5e-3),
    Line("ssm", 1e-2, (152, 152), weight_decay=5e-3),
)
LIPS = (
    Line("lif", 3e-3, (512,) * 6, 0.95, 1.0, 0.0, threshold=0.8),
    Line("ce-lif", 3e-3, (512,) * 6, 0.3, 1.0),
    Line("ltc", 3e-3, (352,) * 6, width=1.0, clip=0.0, threshold=0.8),
    Line("sliding-psn", 3e-3, (512,) * 6, width=1.0, clip=0.0, threshold=0.8),
    Line("lif-rec", 5e-4, (460,) * 6, 0.95, 1.0, 0.0, threshold=0.8),
    Line("ce-lif-rec", 3e-3, (460,) * 6, 0.3, 1.0),
    Line("ltc-rec", 5e-4, (340,) * 6, width=1.0, clip=0.0, threshold=0.8),
    Line("gsu", 5e-4, (256,) * 6, width=1.0, threshold=0.1),
    Line("tcn", 3e-3, (75,) * 6, width=1.0, clip=0.0),
    Line("transformer", 5e-4, (272,) * 6, width=1.0, clip=0.0, heads=4, threshold=0.8),
    Line("s4d", 3e-3, (435,) * 6, clip=0.0, weight_decay=5e-4),
    Line("ssm", 3e-3, (485,) * 6, clip=0.0, weight_decay=5e-4),
)
SPEECH = (
    Line("lif", 3e-3, (192, 192), 0.8, 1.0, 5.0),
    Line("sliding-psn", 3e-3, (192, 192), width=1.0, clip=5.0),
    Line("lif-rec", 3e-3, (160, 160), 0.8, 1.0, 5.0),
    Line("gsu", 3e-3, (96, 96), width=1.0, clip=5.0),
    Line("tcn", 3e-3, (72, 72), width=1.0, clip=5.0, kernel=5),
    Line("s4d", 3e-3, (128, 128), clip=5.0, weight_decay=3e-3),
)
"""Ours, for the stand-ins of denoising and speech recognition: the published ones need networks of their own."""
_SMALL = ("lif", "ce-lif", "sliding-psn", "lif-rec", "gsu", "tcn", "transformer", "s4d")


@SUITES.register("nsa")
def nsa(size: Size = "small") -> Suite:
    """Twelve models on the arena's tasks and their local stand-ins (arXiv 2505.22035)."""
    about = "models on localisation, activity, imagery, sound source and lips (arXiv 2505.22035)"
    return Suite(name="nsa", size=size, about=about, parts=_full() if size == "full" else _small())


def _full() -> tuple[Part, ...]:
    parts = [_part(task_for("autonomous-localization"), LOCALISATION, 256)]
    for protocol in ("clean", "paper"):
        parts += [
            _part(task_for("wisdm", protocol=protocol), ACTIVITY, 256),
            _part(task_for("openbmi", protocol=protocol), IMAGERY, 128),
            _part(task_for("sloclas", protocol=protocol), SOUND, 64),
        ]
        parts.append(_part(task_for("wrist-motion", protocol=protocol), ACTIVITY, 64, 30))
    lips = task_for("dvs-lip")  # both protocols have the same data
    parts += [
        Part(
            task=lips,
            entrants=_entrants(lips, LIPS, "batch"),
            schedule=CosineConfig(),
            budget=Budget(epochs=100, batch_size=256),
        ),
        _part(task_for("basic-motions"), ACTIVITY, 16, 50),
        _part(task_for("eegmmidb-mi"), IMAGERY, 32, 30),
        _part(task_for("array-esc10"), SOUND, 64),
        _part(task_for("event-digits-signed"), _narrow(LIPS, 0.5, 2), 32, 30),
        _part(task_for("denoise-digits"), SPEECH, 16, 20),
        _part(task_for("digit-strings"), SPEECH, 32, 30),
    ]
    return tuple(parts)


def _small() -> tuple[Part, ...]:
    def lines(table: Sequence[Line], depth: int | None = None) -> list[Line]:
        return _narrow([line for line in table if line.model in _SMALL], 0.5, depth)

    walk = task_for(
        "autonomous-localization", steps=50, capacity=5.0, train_size=4000, validation_size=1000, test_size=2000
    )
    noisy = task_for("denoise-digits", train_size=200, validation_size=50, test_size=50)
    strings = task_for("digit-strings", train_size=1000, validation_size=100, test_size=100)
    sound = task_for("array-esc10", angles=8, train_size=1440, validation_size=720, test_size=720)
    return (
        _part(walk, lines(LOCALISATION), 100, 6),
        _part(task_for("wrist-motion"), lines(ACTIVITY), 64, 5),
        _part(task_for("basic-motions"), lines(ACTIVITY), 16, 30),
        _part(task_for("eegmmidb-mi"), lines(IMAGERY), 32, 10),
        _part(sound, lines(SOUND), 64, 4),
        _part(task_for("event-digits-signed"), lines(LIPS, 2), 32, 4),
        _part(noisy, lines(SPEECH), 16, 3),
        _part(strings, lines(SPEECH[:4]), 32, 12),
    )


def _narrow(lines: Sequence[Line], factor: float, depth: int | None) -> list[Line]:
    """Lines with narrower and, where ``depth`` says so, fewer layers."""

    def widths(line: Line) -> tuple[int, ...]:
        heads = line.heads if line.model == "transformer" else 1
        return tuple(max(heads, round(width * factor / heads) * heads) for width in line.widths[:depth])

    return [dataclasses.replace(line, widths=widths(line)) for line in lines]


def _part(task: TaskConfig, lines: Sequence[Line], batch_size: int, epochs: int = 100) -> Part:
    schedule = StepConfig(gamma=0.8, every=10) if epochs >= 100 else CosineConfig()
    budget = Budget(epochs=epochs, batch_size=batch_size)
    return Part(task=task, entrants=_entrants(task, lines), schedule=schedule, budget=budget)


def _entrants(task: TaskConfig, lines: Sequence[Line], norm: str = "none") -> tuple[Entrant, ...]:
    return tuple(
        Entrant(
            model=_model(line, task, norm),
            label=line.model if line.model.startswith("ce-lif") else None,
            optimizer=AdamWConfig(learning_rate=line.rate, weight_decay=line.weight_decay, clip=line.clip or None),
        )
        for line in lines
    )


def _model(line: Line, task: TaskConfig, norm: Any) -> ModelConfig:
    """The network of a line with the readout of the task's protocol."""
    defaults = task.defaults()
    surrogate = Surrogate(kind="triangle", width=line.width)
    common: dict[str, Any] = {"readout": ReadoutConfig(kind=defaults.readout, scale=defaults.readout_scale)}
    kind, recurrent = line.model.removesuffix("-rec"), line.model.endswith("-rec")
    flags = (*[True] * (len(line.widths) - 1), False) if recurrent else ()
    neuron = config_for(
        "lif", decay=line.decay, threshold=line.threshold, surrogate=surrogate, reset=Reset(kind="hard")
    )
    if kind == "ce-lif":
        return ContextStackConfig(
            hidden=line.widths, steps=task.build().signature.steps or 0, decay=line.decay, threshold=line.threshold,
            relaxation=line.relaxation, surrogate=surrogate, recurrent=flags, norm=norm, **common,
        )  # fmt: skip
    if kind in ("lif", "ltc", "sliding-psn"):
        if kind != "lif":
            window = {"window": 32} if kind == "sliding-psn" else {}
            neuron = config_for(kind, threshold=line.threshold, surrogate=surrogate, **window)
        return StackConfig(hidden=line.widths, neuron=neuron, recurrent=flags, norm=norm, **common)
    if kind == "gsu":
        return GatedConfig(hidden=line.widths, threshold=line.threshold, surrogate=surrogate, **common)
    if kind == "tcn":
        return SpikingTCNConfig(channels=line.widths, kernel=line.kernel, neuron=neuron, **common)
    depth, width = len(line.widths), line.widths[0]
    if kind == "transformer":
        return SpikeTransformerConfig(width=width, depth=depth, heads=line.heads, neuron=neuron, **common)
    rate = min(1e-3, line.rate) / line.rate
    if kind == "s4d":
        return BinaryS4DConfig(width=width, depth=depth, kernel_rate=rate, neuron=neuron, **common)
    return GSUSSMConfig(width=width, depth=depth, kernel_rate=rate, **common)
