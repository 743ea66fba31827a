"""The temporal-processing suite of arXiv 2502.09449: thirteen neurons on three tasks that need time.

``full`` has the recipes and sizes of the paper; widths of all neurons are those that give the parameters of its LIF
networks within 2 %, feed-forward and recurrent (which LIF alone prints exactly). CE-LIF shares one table of contexts.
``small`` is the same at sizes that two cores train within the hour: a shorter permuted MNIST, shorter additions, a
tenth of the text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..arena.config import Budget
from ..arena.suites import SUITES, Entrant, Part, Size, Suite
from ..layers import ReadoutConfig
from ..models import ContextStackConfig, EmbeddingConfig, StackConfig
from ..neurons import NEURONS as NEURON_KINDS
from ..neurons import NeuronConfig, Reset, Surrogate, config_for
from ..optim import AdamWConfig, ConstantConfig, SGDConfig, StepConfig
from ..tasks import task_for

NEURONS = (
    "lif", "plif", "alif", "adlif", "glif", "ltc", "sliding-psn", "tc-lif", "lmh", "clif", "dh-lif", "ce-lif", "pmsn",
)  # fmt: skip
"""The neurons of the paper's table, in its order."""
RECURRENT = tuple(name for name in NEURONS if name not in ("sliding-psn", "pmsn"))
"""Those that can hear their own layer: the other two read a whole sequence at once."""
CARRIED = tuple(name for name in NEURONS if name not in ("glif", "ce-lif"))
"""Those that can run through a text without end: a table of steps cannot."""

PS_MNIST = {
    "lif": (64, 256, 256), "plif": (64, 256, 256), "alif": (64, 254, 254), "adlif": (63, 253, 253),
    "glif": (12, 46, 46), "ltc": (23, 94, 94), "sliding-psn": (64, 256, 256), "tc-lif": (64, 256, 256),
    "lmh": (64, 256, 256), "clif": (64, 256, 256), "dh-lif": (32, 127, 127), "ce-lif": (24, 94, 94),
    "pmsn": (59, 234, 234),
}  # fmt: skip
"""Widths with the 85 130 parameters of LIF."""
PS_MNIST_RECURRENT = {
    "lif": (64, 256, 256), "plif": (64, 256, 256), "alif": (64, 255, 255), "adlif": (64, 254, 254),
    "glif": (20, 78, 78), "ltc": (30, 120, 120), "tc-lif": (64, 256, 256), "lmh": (64, 256, 256),
    "clif": (64, 256, 256), "dh-lif": (32, 127, 127), "ce-lif": (34, 138, 138),
}  # fmt: skip
"""155 082 parameters; all layers but the last are recurrent."""
ADDING = {
    "lif": (128, 128), "plif": (128, 128), "alif": (126, 126), "adlif": (124, 124), "glif": (63, 63), "ltc": (44, 44),
    "sliding-psn": (128, 128), "tc-lif": (128, 128), "lmh": (128, 128), "clif": (128, 128), "dh-lif": (63, 63),
    "ce-lif": (90, 90), "pmsn": (106, 106),
}  # fmt: skip
"""18 186 parameters."""
ADDING_RECURRENT = {
    "lif": (128, 128), "plif": (128, 128), "alif": (127, 127), "adlif": (126, 126), "glif": (86, 86), "ltc": (58, 58),
    "tc-lif": (128, 128), "lmh": (128, 128), "clif": (128, 128), "dh-lif": (63, 63), "ce-lif": (106, 106),
}  # fmt: skip
"""34 698 parameters; the first layer is recurrent."""
PTB = {"ltc": 165, "dh-lif": 274, "pmsn": 1053}
"""Width of the first layer where 1100 does not give the 4 891 500 parameters of LIF within 0.3 %."""
PTB_RECURRENT = {"ltc": 465, "dh-lif": 349}
"""The same for 6 263 000."""


@SUITES.register("temporal-suite")
def temporal_suite(size: Size = "small") -> Suite:
    """Thirteen neurons on permuted MNIST, binary adding and the Penn Treebank (arXiv 2502.09449)."""
    parts = _full() if size == "full" else _small()
    about = "neurons on permuted MNIST, binary adding and the Penn Treebank (arXiv 2502.09449)"
    return Suite(name="temporal-suite", size=size, about=about, parts=parts)


def _full() -> tuple[Part, ...]:
    return (
        _ps_mnist(PS_MNIST, (), 1.0, 5e-3, 1.0),
        _ps_mnist(PS_MNIST_RECURRENT, (True, True, False), 0.5, 3e-3, 0.6),
        _adding(ADDING, ()),
        _adding(ADDING_RECURRENT, (True, False)),
        _ptb({name: PTB.get(name, 1100) for name in CARRIED}, ()),
        _ptb({name: PTB_RECURRENT.get(name, 1100) for name in CARRIED if name in RECURRENT}, (True, True)),
    )


def _ps_mnist(widths: dict[str, Any], recurrent: tuple[bool, ...], decay: float, rate: float, width: float) -> Part:
    surrogate = Surrogate(kind="rectangle", width=width)
    readout = ReadoutConfig(kind="mean", scale=1.0)
    return Part(
        task=task_for("ps-mnist"),
        entrants=tuple(
            _entrant(name, 784, decay, surrogate, hidden=hidden, recurrent=recurrent, readout=readout)
            for name, hidden in widths.items()
        ),
        optimizer=AdamWConfig(learning_rate=rate, clip=1.0),
        schedule=StepConfig(gamma=0.8, every=10),
        budget=Budget(epochs=100, batch_size=256),
    )


def _adding(widths: dict[str, Any], recurrent: tuple[bool, ...]) -> Part:
    surrogate = Surrogate(kind="triangle", width=0.4)
    readout = ReadoutConfig(kind="last")
    return Part(
        task=task_for("binary-adding"),
        entrants=tuple(
            _entrant(name, 100, 0.98, surrogate, hidden=hidden, recurrent=recurrent, readout=readout)
            for name, hidden in widths.items()
        ),
        optimizer=AdamWConfig(learning_rate=5e-4, clip=None),
        schedule=ConstantConfig(),
        budget=Budget(epochs=50, batch_size=250),
    )


def _ptb(widths: dict[str, int], recurrent: tuple[bool, ...]) -> Part:
    surrogate = Surrogate(kind="rectangle", width=1.0)
    common = {
        "recurrent": recurrent,
        "readout": ReadoutConfig(kind="every"),
        "embedding": EmbeddingConfig(size=400, dropout=0.1, tied=True),
        "input_dropout": 0.4,
        "dropout": 0.25,
        "output_dropout": 0.4,
    }
    return Part(
        task=task_for("ptb"),
        entrants=tuple(
            _entrant(name, 70, 0.5, surrogate, hidden=(width, 400), **common) for name, width in widths.items()
        ),
        optimizer=SGDConfig(learning_rate=3.0, weight_decay=1.2e-6, clip=0.25),
        schedule=ConstantConfig(),
        budget=Budget(epochs=100, batch_size=20),
    )


def _small() -> tuple[Part, ...]:
    digits = ("lif", "plif", "alif", "adlif", "glif", "sliding-psn", "tc-lif", "lmh", "ce-lif", "pmsn")
    rectangle, triangle = Surrogate(kind="rectangle", width=1.0), Surrogate(kind="triangle", width=0.4)
    words = {"readout": ReadoutConfig(kind="every"), "embedding": EmbeddingConfig(size=128, tied=True)}
    return (
        Part(
            task=task_for("ps-mnist", pool=2, train_size=3000, validation_size=1000),
            entrants=_stacks(digits, 196, 1.0, rectangle, hidden=(32, 64, 64), readout=ReadoutConfig(scale=10.0)),
            optimizer=AdamWConfig(learning_rate=5e-3, clip=1.0),
            schedule=StepConfig(gamma=0.8, every=3),
            budget=Budget(epochs=8, batch_size=64),
        ),
        Part(
            task=task_for("binary-adding", steps=30, train_size=4000, validation_size=1000, test_size=2000),
            entrants=_stacks(NEURONS, 30, 0.98, triangle, hidden=(64, 64), readout=ReadoutConfig(kind="last")),
            optimizer=AdamWConfig(learning_rate=5e-3, clip=1.0),
            schedule=ConstantConfig(),
            budget=Budget(epochs=15, batch_size=100),
        ),
        Part(
            task=task_for("ptb", steps=35, train_tokens=92_958),
            entrants=(
                *_stacks(("lif", "alif"), 35, 0.5, rectangle, hidden=(128,), **words),
                *_stacks(("lif",), 35, 0.5, rectangle, hidden=(128,), recurrent=(True,), **words),
            ),
            optimizer=AdamWConfig(learning_rate=2e-3, clip=0.25),
            schedule=ConstantConfig(),
            budget=Budget(epochs=2, batch_size=20),
        ),
    )


def _stacks(names: Sequence[str], steps: int, decay: float, surrogate: Surrogate, **fields: Any) -> tuple[Entrant, ...]:
    return tuple(_entrant(name, steps, decay, surrogate, **fields) for name in names)


def _entrant(name: str, steps: int, decay: float, surrogate: Surrogate, **fields: Any) -> Entrant:
    """A stack of one kind of neuron; CE-LIF shares its table, as the paper counts it."""
    if name == "ce-lif":
        label = "ce-lif-rec" if any(fields.get("recurrent", ())) else "ce-lif"
        decay = decay if decay < 1 else 0.5
        return Entrant(model=ContextStackConfig(steps=steps, decay=decay, surrogate=surrogate, **fields), label=label)
    return Entrant(model=StackConfig(neuron=_neuron(name, steps, decay, surrogate), **fields))


def _neuron(name: str, steps: int, decay: float, surrogate: Surrogate) -> NeuronConfig:
    """A neuron with a table's surrogate and the benchmark's threshold, LIF and PLIF with its decay and hard reset."""
    options: dict[str, Any] = {"surrogate": surrogate}
    if any(field.name == "threshold" for field in dataclasses.fields(NEURON_KINDS.get(name).Config)):
        options["threshold"] = 0.5  # with their own, most often twice as high, deep layers stay silent
    if name in ("lif", "plif"):
        inside = 0.98 if name == "plif" and decay == 1.0 else decay  # what is trained cannot start on its border
        options |= {"reset": Reset(kind="hard"), "decay": inside}
    if name == "glif":
        options["steps"] = steps
    if name == "sliding-psn":
        options["window"] = 32
    return config_for(name, **options)
