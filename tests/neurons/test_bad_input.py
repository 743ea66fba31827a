"""What a neuron cannot use is refused in one message: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, ShapeError, SpikeworksError, UnknownName
from spikeworks.layers import DelayConfig, DelayLinear, Recurrent
from spikeworks.models import StackConfig
from spikeworks.neurons import (
    CELIF,
    DHLIF,
    GLIF,
    ILIF,
    KLIF,
    LIF,
    NEURONS,
    PLIF,
    PMSN,
    PSN,
    AdLIF,
    BalancedRF,
    CubaLIF,
    Izhikevich,
    MaskedPSN,
    Neuron,
    Reset,
    ResonateAndFire,
    SlidingPSN,
    Surrogate,
    config_for,
)

NAN = float("nan")
THRESHOLDS = [name for name in NEURONS.names() if "threshold" in NEURONS.get(name).parameters_declared]
BOUNDED = [(n, p) for n in NEURONS.names() for p, d in NEURONS.get(n).parameters_declared.items() if d.per != "step"]
NUMBERS = [(n, p) for n, p in BOUNDED if n not in ("psn", "masked-psn")]  # whose weights are drawn


@pytest.fixture(autouse=True)
def _definition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The step itself in a loop, untraced: what is refused here is refused before any of it runs."""
    monkeypatch.setattr(Neuron, "_trace", lambda neuron, dtype: "untraced")
    with kernels.use("loop"):
        yield


def refused(build: Callable[[], object], kind: type[SpikeworksError], *parts: str) -> None:
    """The call raises ``kind`` with every part in its message, once, and its hint on a line of its own."""
    with pytest.raises(kind) as caught:
        build()
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert message.count("Hint:") <= 1 and len(message) < 600, message


@pytest.mark.parametrize("name", [n for n in THRESHOLDS if n not in ("izhikevich", "stochastic-psn")])
@pytest.mark.parametrize("trained", [False, True])
def test_a_threshold_of_zero(name: str, trained: bool) -> None:
    """Izhikevich's is a potential in mV, that of the stochastic PSN the current of an even chance."""
    options = {"trainable": ("threshold",) if trained else ()}
    cls = NEURONS.get(name)
    interval = cls.parameters_declared["threshold"].constraint.name
    refused(
        lambda: config_for(name, threshold=0.0, **options).build(3),
        ConfigError,
        f"{cls.__name__}.threshold must lie in {interval}, got 0.",
        "Hint: left out, it is",
    )
    kept: Any = config_for(name, threshold=0.1, **options).build(3)
    assert kept.threshold.min() > 0.09


@pytest.mark.parametrize(("name", "parameter"), NUMBERS, ids=str)
@pytest.mark.parametrize("value", [NAN, float("inf"), "0.5x", [0.5], None], ids=str)
def test_values_that_are_no_finite_number(name: str, parameter: str, value: object) -> None:
    cls = NEURONS.get(name)
    if value is None and cls.parameters_declared[parameter].default is None:  # drawn by its own rule
        assert getattr(config_for(name, **{parameter: None}).build(2), parameter).isfinite().all()
        return
    what = f"{cls.__name__}.{parameter}"
    if isinstance(value, float):
        parts = (f"{what} must lie in ", f"got {value:g}.", "Hint: left out, it is")
    else:
        parts = (f"{what} expected a number, got {value!r}", "Hint: ")
    refused(lambda: config_for(name, **{parameter: value}).build(2), ConfigError, *parts)


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: LIF(4, decay=1.5), ("LIF.decay must lie in (0, 1) or on its border, got 1.5", "left out, it is 0.9")),
        (lambda: LIF(4, decay=-0.1), ("got -0.1",)),
        (lambda: PLIF(4, decay=1.0), ("PLIF.decay must lie in (0, 1), got 1", "leave its name out of trainable")),
        (lambda: AdLIF(4, decay=0.5), ("AdLIF.decay must lie in [0.818731, 0.960789], got 0.5", "drawn by its own")),
        (lambda: ResonateAndFire(4, period=3.0), ("must lie in (4, inf), got 3",)),
        (lambda: KLIF(4, slope=0.0, trainable=()), ("KLIF.slope must lie in (0, inf), got 0",)),
        (lambda: PMSN(4, damping=0.0, trainable=()), ("PMSN.damping must lie in (0, inf), got 0",)),
        (lambda: Izhikevich(4, step_size=0.0), ("Izhikevich.step_size must lie in (0, inf), got 0",)),
        (lambda: BalancedRF(4, step_size=NAN), ("step_size must lie in (0, 0.01], got nan",)),
        (
            lambda: BalancedRF(4, step_size="1"),
            ("BalancedRF.step_size expected a number, got '1'", "0.01, the"),
        ),
        (lambda: LIF(0), ("LIF needs at least one neuron", "got size 0")),
        (lambda: PMSN(4, compartments=0), ("at least one hidden compartment, got 0",)),
        (lambda: PMSN(4, compartments=2.5), ("PMSN.compartments expected a whole number, got 2.5", "4, the default")),
        (lambda: DHLIF(4, branches=True), ("DHLIF.branches expected a whole number, got True",)),
        (lambda: DHLIF(4, branches=0), ("at least one branch, got branches=0",)),
        (lambda: ILIF(4, levels=NAN), ("ILIF.levels expected a whole number, got nan",)),
        (lambda: ILIF(4, levels=0), ("at least 1, got levels=0",)),
        (lambda: ILIF(4, reset=Reset(kind="hard")), ("its reset is soft or none",)),
        (lambda: SlidingPSN(4, window="8"), ("SlidingPSN.window expected a whole number, got '8'",)),
        (lambda: MaskedPSN(4, window=0), ("window of at least one step, got window=0",)),
        (lambda: GLIF(4, steps=2.5), ("GLIF.steps expected a whole number, got 2.5",)),
        (lambda: CELIF(4, steps=-1), ("at least one step, got steps=-1",)),
        (lambda: PSN(4, steps=0), ("at least one step, got steps=0",)),
        (lambda: KLIF(4, scale_reset="no"), ("KLIF.scale_reset expected True or False, got 'no'",)),
        (lambda: LIF(4, gain=2.0), ("LIF.gain expected a name, got 2.0", "'one', the default")),
        (lambda: LIF(4, gain="two"), ("'one' or 'one_minus_decay', got 'two'",)),
        (lambda: LIF(4, reset="hard"), ("LIF.reset expected a Reset, got 'hard'", "for instance Reset(kind='soft'")),
        (lambda: LIF(4, surrogate="arctan"), ("LIF.surrogate expected a Surrogate, got 'arctan'", "Surrogate(kind=")),
        (lambda: LIF(4, surrogate=Surrogate(width=NAN)), ("above 0, got nan",)),
        (lambda: LIF(4, reset=Reset(kind="hard", potential=NAN)), ("finite potential, got nan",)),
        (lambda: LIF(4, reset=Reset(kind="half")), ("soft, hard or none", "got 'half'")),  # type: ignore[arg-type]
        (lambda: LIF(4, trainable="decay"), ("LIF.trainable expected a tuple of names, got 'decay'", "('decay',)")),
        (lambda: LIF(4, per_channel="decay"), ("LIF.per_channel expected a tuple of names",)),
    ],
)
def test_values_out_of_range(build: Callable[[], object], parts: tuple[str, ...]) -> None:
    refused(build, ConfigError, *parts)


def test_values_on_the_border_are_taken_where_they_mean_something() -> None:
    assert LIF(4, decay=1.0).decay == 1 and LIF(4, decay=0.0).decay == 0
    assert BalancedRF(4, offset=0.0, trainable=()).offset.max() == 0
    assert PMSN(4, feedthrough=0).feedthrough.max() == 0  # a whole number is a number


def test_names_that_are_none() -> None:
    refused(lambda: LIF(4, dekay=0.5), UnknownName, "option of LIF 'dekay'", "Did you mean 'decay'")
    refused(lambda: LIF(4, trainable=("dekay",)), UnknownName, "parameter of LIF 'dekay'", "Did you mean 'decay'")
    refused(lambda: config_for("lif", tau=2.0), UnknownName, "option of neuron 'lif' 'tau'", "Known: ")
    refused(lambda: config_for("tclif"), UnknownName, "neuron 'tclif'", "Did you mean 'tc-lif'", "list neurons")


@pytest.mark.parametrize("cls", [GLIF, CELIF, PSN, MaskedPSN])
def test_sequences_longer_than_a_neuron_was_built_for(cls: type) -> None:
    neuron = cls(4, steps=10)
    with kernels.use("parallel" if hasattr(cls, "whole_sequence") else "loop"):
        assert neuron(torch.zeros(10, 2, 4))[0].shape == (10, 2, 4)
    refused(
        lambda: neuron(torch.zeros(11, 2, 4)), ShapeError, f"{cls.__name__} was built for", "10 steps", " 11.",
        "Hint: build it with steps=11",
    )  # fmt: skip


@pytest.mark.parametrize("cls", [GLIF, CELIF])
def test_sequences_longer_than_a_table_in_parts_with_feedback_and_in_a_network(cls: type) -> None:
    neuron, x = cls(4, steps=10), torch.zeros(8, 2, 4)
    _, state = neuron(x)
    refused(lambda: neuron(x, state), ShapeError, "up to 10 steps, this one reaches 16", "steps=16 or more")
    recurrent = Recurrent(neuron)
    _, state = recurrent(x)
    refused(lambda: recurrent(x, state), ShapeError, "up to 10 steps, this one reaches 16", "steps=16 or more")
    network = StackConfig(hidden=(4,), neuron=cls.Config(steps=10)).build(4, 2, torch.Generator())  # type: ignore[attr-defined]
    refused(lambda: network(torch.zeros(11, 2, 4)), ShapeError, "this one reaches 11")


@pytest.mark.parametrize("cls", [GLIF, CELIF])
@pytest.mark.parametrize("position", [-1.0, 0.5, NAN, float("inf")])
def test_a_position_that_no_step_has(cls: type, position: float) -> None:
    neuron, x = cls(4), torch.zeros(3, 2, 4)
    _, state = neuron(x)
    wrong = state._replace(position=torch.full_like(state.position, position))
    refused(
        lambda: neuron(x, wrong), ShapeError, f"{cls.__name__} state 'position' expected whole numbers of steps",
        f"got [{position}", "None to start from rest",
    )  # fmt: skip


def test_sequences_in_parts_where_the_whole_is_needed() -> None:
    neuron, x = PSN(4, steps=10), torch.zeros(3, 2, 4)
    refused(lambda: neuron(x, ()), ShapeError, "whole sequence at once; it got a state", "use sliding-psn")
    refused(lambda: neuron.advance(x[0]), ConfigError, "PSN cannot be streamed", "use sliding-psn")


def test_states_of_another_batch_or_neuron() -> None:
    x = torch.zeros(3, 2, 4)
    _, state = LIF(4)(x)
    refused(
        lambda: LIF(4)(x[:, :1], state), ShapeError, "LIF state 'voltage' expected shape [1, 4], got [2, 4]",
        "None to start from rest",
    )  # fmt: skip
    refused(lambda: LIF(5)(torch.zeros(3, 2, 5), state), ShapeError, "expected shape [2, 5], got [2, 4]")
    refused(lambda: CubaLIF(4)(x, state), ShapeError, "CubaLIF has the states ('current', 'voltage'), got")
    _, state = GLIF(4)(x)
    refused(lambda: GLIF(4)(x[:, :1], state), ShapeError, "expected shape [1, 4], got [2, 4]")


@pytest.mark.parametrize(
    ("state", "parts"),
    [
        (torch.zeros(2, 4), ("expected a tuple of the states ('voltage',)", "got tensor")),
        (0.0, ("expected a tuple of the states", "got 0.0")),
        ({"voltage": torch.zeros(2, 4)}, ("expected a tuple of the states", "got {'voltage'")),
        ((torch.zeros(2, 4, dtype=torch.int64),), ("floating-point numbers, got torch.int64",)),
        ((torch.zeros(2, 4, dtype=torch.complex64),), ("got torch.complex64",)),
        ((0.0,), ("'voltage' expected a tensor", "got float")),
        ((torch.zeros(2, 4, device="meta"),), ("lies on meta, x on cpu", ".to('cpu')")),
    ],
    ids=lambda value: None,
)
def test_states_that_are_none(state: object, parts: tuple[str, ...]) -> None:
    refused(lambda: LIF(4)(torch.zeros(3, 2, 4), state), ShapeError, *parts)


def test_states_of_a_neuron_with_as_many_others() -> None:
    x = torch.zeros(3, 2, 4)
    _, state = config_for("alif").build(4)(x)
    refused(
        lambda: GLIF(4)(x, state), ShapeError, "GLIF has the states ('voltage', 'spike', 'position')",
        "another neuron: ('voltage', 'adaptation', 'spike')", "or None to start from rest",
    )  # fmt: skip
    assert GLIF(4)(x, list(GLIF(4)(x)[1]))[0].shape == x.shape
    refused(lambda: Recurrent(LIF(4))(x, LIF(4)(x)[1]), ShapeError, "expected a RecurrentState, got LIFState")


def test_stored_values_that_no_neuron_has() -> None:
    neuron = PLIF(4)
    kept = neuron.state_dict()
    refused(
        lambda: neuron.load_state_dict({**kept, "stored_decay": torch.tensor(NAN)}), ConfigError,
        "The stored PLIF.decay must lie in the real numbers, got nan", "a run that diverged",
    )  # fmt: skip
    refused(
        lambda: neuron.load_state_dict({**kept, "stored_threshold": torch.tensor(0.0)}), ConfigError,
        "The stored PLIF.threshold must lie in (0, inf), got 0",
    )  # fmt: skip
    neuron.load_state_dict({**kept, "stored_decay": torch.tensor(-30.0)})


def test_sizes_that_are_no_number_of_neurons() -> None:
    for size in (2.5, "4", None, -1):
        refused(lambda size=size: LIF(size), ConfigError, f"a whole number; got size {size!r}")  # type: ignore[misc]


def test_delays_longer_than_the_buffer() -> None:
    """A state that waits for longer delays; the stored delays themselves are cut where they are used."""
    x = torch.zeros(6, 2, 4)
    short, long = (DelayLinear(4, 3, DelayConfig(max_delay=d)) for d in (5, 9))
    _, state = long(x)
    refused(
        lambda: short(x, state), ShapeError, "a state of shape [2, 5, 4], got [2, 9, 4]", "its longest delay",
        "None to start from silence",
    )  # fmt: skip
    refused(lambda: DelayConfig(max_delay=-1), ConfigError, "max_delay of at least 0", "got -1")
    short.load_state_dict({**short.state_dict(), "position": torch.full((3, 4, 1), 9.0)})
    assert short.whole_delays().max() == 5


def test_inputs_that_are_no_signal() -> None:
    refused(lambda: LIF(4)(torch.zeros(3, 2, 5)), ShapeError, "LIF expected x of shape [T, B, 4, ...], got [3, 2, 5]")
    refused(lambda: LIF(4)(torch.zeros(3, 4, 2)), ShapeError, "reorder with x.permute")
    refused(lambda: LIF(4)(torch.zeros(3, 2, 4, dtype=torch.int64)), ShapeError, "got torch.int64", "x.float()")
    refused(lambda: LIF(4)(torch.zeros(0, 2, 4)), ShapeError, "zero length")
    refused(lambda: DHLIF(4)(torch.zeros(3, 2, 4)), ShapeError, "('branch1', 'branch2', 'branch3', 'branch4'), got 1")
