"""Neurons here and layers elsewhere send the same spikes, with the same gradients unless told otherwise."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.deploy.libraries import (
    LIBRARIES,
    Call,
    ConversionError,
    Match,
    Name,
    from_library,
    surrogates,
    to_library,
)
from spikeworks.deploy.libraries.table import markdown
from spikeworks.neurons import ALIF, IF, LIF, PLIF, AdLIF, CubaLIF, Neuron, NeuronConfig, Reset, Surrogate, config_for

ROOT = Path(__file__).resolve().parents[2]
SIZE = 6
HARD = Reset(kind="hard")
EARLY = Reset(kind="soft", order="before_charge", detach=True)
LOW = {"gain": "one_minus_decay"}
ATAN = {"surrogate": Surrogate(kind="arctan", width=1.5)}
EACH = {"per_channel": ("decay", "threshold")}

CASES: dict[str, NeuronConfig] = {
    "lif hard": LIF.Config(decay=0.8, reset=HARD),
    "lif hard, low-pass": LIF.Config(decay=0.7, threshold=0.5, reset=HARD, **LOW, **ATAN),
    "lif hard, per channel": LIF.Config(decay=0.6, threshold=0.9, reset=HARD, **EACH),
    "lif soft": LIF.Config(decay=0.8, threshold=1.5, **ATAN),
    "lif soft, low-pass": LIF.Config(decay=0.7, threshold=0.5, **LOW),
    "lif soft, delayed": LIF.Config(decay=0.8, reset=EARLY, **ATAN),
    "lif without reset": LIF.Config(decay=0.8, threshold=2.5, reset=Reset(kind="none")),
    "lif in sparch's range": LIF.Config(decay=0.9, **LOW),
    "plif": PLIF.Config(decay=0.75, reset=HARD, **LOW, **ATAN),
    "if hard": IF.Config(threshold=2.0, reset=HARD),
    "if soft": IF.Config(threshold=2.0, **ATAN),
    "cuba hard": CubaLIF.Config(decay=0.8, current_decay=0.4, threshold=2.0, reset=HARD, **ATAN),
    "cuba hard, low-pass": CubaLIF.Config(decay=0.8, current_decay=0.4, threshold=0.8, reset=HARD, **LOW),
    "cuba soft": CubaLIF.Config(decay=0.7, current_decay=0.3, threshold=2.5, reset=Reset(detach=True), **ATAN),
    "cuba soft, delayed": CubaLIF.Config(decay=0.7, current_decay=0.3, threshold=2.5, reset=EARLY),
    "alif mean": ALIF.Config(decay=0.8, adaptation_decay=0.9, threshold=0.6, reset=Reset()),
    "alif mean, low-pass": ALIF.Config(decay=0.7, threshold=0.3, reset=Reset(), **LOW),
    "alif sum, hard": ALIF.Config(decay=0.8, adaptation_decay=0.9, strength=0.2, trace="sum", reset=HARD, **LOW),
    "adlif": AdLIF.Config(threshold=1.0),
}
# Which libraries must have each case; a refusal elsewhere is tested as one.
CONVERTED: dict[str, set[str]] = {
    "spikingjelly": {
        "lif hard",
        "lif hard, low-pass",
        "lif soft",
        "lif soft, low-pass",
        "lif in sparch's range",
        "plif",
    }
    | {"if hard", "if soft", "cuba hard", "cuba hard, low-pass", "cuba soft"},
    "snntorch": {name for name in CASES if "alif" not in name and name != "adlif"},
    "norse": {"lif hard", "lif hard, low-pass", "lif hard, per channel", "lif soft", "lif soft, low-pass"}
    | {"lif in sparch's range", "plif", "if hard", "cuba hard", "cuba hard, low-pass", "alif sum, hard"},
    "sinabs": {"lif hard", "lif hard, low-pass", "lif hard, per channel", "lif soft", "lif soft, low-pass"}
    | {"lif in sparch's range", "plif", "if hard", "if soft", "cuba hard", "cuba hard, low-pass", "cuba soft"}
    | {"alif mean", "alif mean, low-pass", "alif sum, hard"},
    "lava": {"lif hard", "lif hard, low-pass", "plif", "if hard", "cuba hard", "cuba hard, low-pass"},
    "sparch": {"lif in sparch's range", "adlif"},
}
PAIRS = [(library, case) for library, cases in CONVERTED.items() for case in CASES if case in cases]


@pytest.fixture(autouse=True)
def _definition(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The step itself in a loop, untraced; that kernels equal it is tested with the kernels."""
    monkeypatch.setattr(Neuron, "_trace", lambda neuron, dtype: "untraced")
    with kernels.use("loop"):
        yield


def make(case: str) -> Neuron:
    """In float64, all values such as float32 holds, because some libraries keep theirs in it."""
    neuron = CASES[case].build(SIZE, torch.Generator().manual_seed(5))
    drawn = torch.Generator().manual_seed(6)
    for name in neuron.config.per_channel:
        stored = getattr(neuron, f"stored_{name}")
        stored.add_(0.3 * torch.rand(SIZE, generator=drawn))
    return neuron.double()


def drive(library: str, case: str, steps: int = 60) -> Tensor:
    """``[T, B, N]``, lively; smaller for snnTorch's subtraction, which is another model beyond two thresholds."""
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(steps, 3, SIZE, generator=generator, dtype=torch.float64) + 0.6
    neuron = CASES[case]
    if getattr(neuron, "gain", "one") == "one_minus_decay" or case == "adlif":
        x = 1.6 * x
    return x.clamp(max=0.97) if library == "snntorch" and "soft" in case else x


# -- running a layer of each library -------------------------------------------------------------------


def run_spikingjelly(layer: Any, x: Tensor) -> Tensor:
    layer.step_mode = "m"
    return layer(x)


def run_snntorch(layer: Any, x: Tensor) -> Tensor:
    spikes, state = [], ()
    for x_t in x:
        spike, *state = layer(x_t, *state)
        spikes.append(spike)
    return torch.stack(spikes)


def run_norse(layer: Any, x: Tensor) -> Tensor:
    spikes, state = [], None
    for x_t in x:
        spike, state = layer(x_t, state)
        spikes.append(spike)
    return torch.stack(spikes)


def run_sinabs(layer: Any, x: Tensor) -> Tensor:
    return layer.double()(x.transpose(0, 1)).transpose(0, 1)


def run_lava(call: Call, x: Tensor) -> Tensor:
    """The process in floating point, from its documented equations; no run time of it is installed."""
    a = call.arguments
    u, v, spikes = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
    for x_t in x:
        u = u * (1 - a["du"]) + x_t
        v = v * (1 - a["dv"]) + u
        fired = v > a["vth"]
        v = torch.where(fired, 0.0, v)
        spikes.append(fired.to(x.dtype))
    return torch.stack(spikes)


def run_sparch(call: Call, x: Tensor) -> Tensor:
    """The two cells from their published equations, with states that start at rest."""
    p = call.attributes
    u, w, s = (torch.zeros_like(x[0]) for _ in range(3))
    spikes = []
    for x_t in x:
        w = p["beta"] * w + p["a"] * u + p["b"] * s if "beta" in p else w
        u = p["alpha"] * (u - s) + (1 - p["alpha"]) * (x_t - w)
        s = (u > call.arguments["threshold"]).to(x.dtype)
        spikes.append(s)
    return torch.stack(spikes)


RUN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "spikingjelly": run_spikingjelly,
    "snntorch": run_snntorch,
    "norse": run_norse,
    "sinabs": run_sinabs,
}
BY_EQUATIONS = {"lava": run_lava, "sparch": run_sparch}


def theirs(library: str, call: Call, x: Tensor) -> Tensor:
    """The spikes of the other library; skips where it is not installed."""
    if library in BY_EQUATIONS:
        return BY_EQUATIONS[library](call, x)
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}, of the environment of the benchmarks: benchmarks/requirements.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        return RUN[library](call.build(), x)


def scaled(match: Match, x: Tensor) -> Tensor:
    return x * match.input_scale


def compare(library: str, match: Match, x: Tensor) -> None:
    ours_x, theirs_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, _ = match.neuron(ours_x)
    z = theirs(library, match.layer, scaled(match, theirs_x))
    kept = len(x) - match.delay
    assert 0.03 < y.mean() < 0.9
    assert torch.equal(y[:kept].detach(), z[match.delay :].detach().to(y.dtype))
    if library in BY_EQUATIONS or any("gradient" in told for told in match.differences):
        return
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)[:kept]
    (y[:kept] * weights).sum().backward()
    (z[match.delay :] * weights).sum().backward()
    assert ours_x.grad is not None and theirs_x.grad is not None
    assert_close(ours_x.grad, theirs_x.grad, rtol=1e-4, atol=1e-5)
    assert ours_x.grad.abs().sum() > 1


# -- the tests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("library", "case"), PAIRS)
def test_same_spikes_and_gradients_there(library: str, case: str) -> None:
    compare(library, to_library(make(case), library), drive(library, case))


@pytest.mark.parametrize(("library", "case"), PAIRS)
def test_there_and_back_is_the_same_neuron(library: str, case: str) -> None:
    there = to_library(make(case), library)
    back = from_library(library, there.layer, SIZE, dtype=torch.float64)
    x = drive(library, case)
    y, _ = there.neuron(x)
    z, _ = back.neuron(scaled(there, x) / back.input_scale)
    assert torch.equal(y, z)
    assert back.delay == there.delay
    if library not in BY_EQUATIONS and not any("gradient" in told for told in there.differences):
        assert back.neuron.surrogate == there.neuron.surrogate
        assert back.neuron.reset.detach == there.neuron.reset.detach


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_library_has_not_is_refused_by_name(library: str) -> None:
    for case in set(CASES) - CONVERTED[library]:
        with pytest.raises(ConversionError, match=f"^{type(make(case)).__name__} to {LIBRARIES[library].NAME}: "):
            to_library(make(case), library)
    with pytest.raises(ConversionError, match="TCLIF to .*there is no counterpart; there is one of lif"):
        to_library(config_for("tc-lif").build(SIZE), library)
    with pytest.raises(ConversionError, match="known here: "):
        from_library(library, "Unheard", SIZE)


def test_an_unknown_library_is_named() -> None:
    with pytest.raises(UnknownName, match="library 'snntroch' is not registered. Did you mean 'snntorch'"):
        to_library(make("plif"), "snntroch")


DEFAULTS = [
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.LIFNode")),
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.IFNode")),
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.ParametricLIFNode")),
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.CUBALIFNode")),
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.LIFNode", {"v_reset": -0.25, "tau": 4.0})),
    ("spikingjelly", Call("spikingjelly.activation_based.neuron.IFNode", {"v_reset": -0.5})),
    ("snntorch", Call("snntorch.Leaky", {"beta": 0.75})),
    ("snntorch", Call("snntorch.Leaky", {"beta": 0.5, "reset_mechanism": "none"})),
    ("snntorch", Call("snntorch.Synaptic", {"alpha": 0.25, "beta": 0.75})),
    ("norse", Call("norse.torch.module.lif_box.LIFBoxCell")),
    ("norse", Call("norse.torch.module.lif.LIFCell")),
    ("norse", Call("norse.torch.module.iaf.IAFCell")),
    ("sinabs", Call("sinabs.layers.LIF", {"tau_mem": 4.0, "spike_fn": Name("sinabs.activation.SingleSpike")})),
    ("sinabs", Call("sinabs.layers.ALIF", {"tau_mem": 4.0, "tau_adapt": 9.0})),
]

DRIVE = {"CUBALIFNode": 0.3, "LIFBoxCell": 6.0, "LIFCell": 1.0, "LIFNode": 3.0, "ParametricLIFNode": 3.0}
DRIVE |= {"LIF": 3.0, "ALIF": 6.0, "Synaptic": 0.7}


@pytest.mark.parametrize(("library", "call"), DEFAULTS, ids=str)
def test_what_is_left_out_has_the_default_of_the_library(library: str, call: Call) -> None:
    match = from_library(library, call, SIZE, dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(50, 2, SIZE, generator=generator, dtype=torch.float64)
    compare(library, match, DRIVE.get(call.path.rpartition(".")[2], 1.0) * x)


# -- where two models differ ---------------------------------------------------------------------------


def test_a_potential_at_the_threshold_fires_here_and_not_in_snntorch() -> None:
    match = to_library(IF(1, reset=HARD), "snntorch")
    x = torch.full((4, 1, 1), 0.5)
    assert match.neuron(x)[0].flatten().tolist() == [0, 1, 0, 1]
    assert any("above the threshold" in told for told in match.differences)
    assert theirs("snntorch", match.layer, x).flatten().tolist() == [0, 0, 1, 0]


def test_snntorch_subtracts_once_more_above_two_thresholds() -> None:
    match = to_library(LIF(1, decay=0.5), "snntorch")
    assert any("subtracts once more and may lose a spike" in told for told in match.differences)
    x = torch.tensor([2.5, 0.5]).reshape(2, 1, 1)
    assert match.neuron(x)[0].flatten().tolist() == [1, 1]
    assert theirs("snntorch", match.layer, x).flatten().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("library", "layer", "arguments", "message"),
    [
        (
            "snntorch",
            "Synaptic",
            {"alpha": 0.5, "beta": 0.5, "reset_mechanism": "zero"},
            "discards the input",
        ),
        ("snntorch", "Leaky", {}, "its decays .* have to be given"),
        ("snntorch", "Leaky", {"beta": 0.5, "inhibition": True}, "its argument 'inhibition' has no counterpart here"),
        ("sinabs", "LIF", {"tau_mem": 5.0}, "several spikes a step"),
        ("sinabs", "ALIF", {"tau_mem": 5.0, "tau_adapt": 9.0, "tau_syn": 2.0}, "leave out tau_syn"),
        ("norse", "LSNNCell", {}, "tau_syn_inv = 1 / dt"),
        ("lava", "LIF", {"bias_mant": 1.0}, "add it to that of the synapse"),
        ("sparch", "adLIFLayer", {"alpha": 0.9}, "values of alpha, beta, a, b are needed"),
        ("spikingjelly", "CUBALIFNode", {"v_reset": 0.2}, "only a v_reset of 0 or None"),
    ],
)
def test_layers_that_are_another_model_are_refused(library: str, layer: str, arguments: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        from_library(library, layer, SIZE, **arguments)


@pytest.mark.parametrize(
    ("library", "neuron", "message"),
    [
        ("spikingjelly", LIF(SIZE, per_channel=("decay",), reset=HARD), None),
        ("spikingjelly", LIF(SIZE, decay=1.0, reset=HARD), "its tau lies above 1"),
        (
            "spikingjelly",
            LIF(SIZE, reset=Reset(kind="hard", potential=0.3)),
            "rest potential, this one to 0.3",
        ),
        ("snntorch", LIF(SIZE, reset=Reset(kind="hard", potential=0.3)), "goes to the rest potential"),
        ("norse", LIF(SIZE, decay=1.0, reset=HARD), "without leak its neurons hear no input"),
        ("sinabs", LIF(SIZE, decay=0.0), "no time constant stands for a decay of 0"),
        ("sparch", LIF(SIZE, decay=0.9, threshold=0.5), "subtracts 1 whatever the threshold"),
        ("sparch", LIF(SIZE, decay=0.5), "cuts alpha"),
    ],
)
def test_neurons_beyond_the_range_of_a_library_are_refused(library: str, neuron: Neuron, message: str | None) -> None:
    if message is None:
        with torch.no_grad():
            getattr(neuron, "stored_decay")[0] = 0.5  # noqa: B009 - a buffer by its name
        message = "one tau for the layer, and this neuron has one for each channel"
    with pytest.raises(ConversionError, match=message):
        to_library(neuron, library)


def test_building_without_the_library_says_what_to_install() -> None:
    with pytest.raises(
        ConfigError, match=r"needs the package 'nowhere', which is not installed.\n.*pip install nowhere"
    ):
        Call("nowhere.Layer").build()


# -- surrogates ----------------------------------------------------------------------------------------

KINDS = [(library, row.kind) for library, rows in surrogates.ROWS.items() for row in rows]


@pytest.mark.parametrize(("library", "kind"), KINDS)
def test_surrogates_have_the_same_derivative(library: str, kind: str) -> None:
    surrogate = Surrogate(kind=kind, width=1.0 if kind == "q-pseudo-spike" else 0.7)
    threshold = 0.8
    call, told = surrogates.there(surrogate, library, unit=threshold if library == "Sinabs" else 1.0)
    assert call is not None and told == ()
    back, told = surrogates.here(call, Surrogate(), unit=threshold if library == "Sinabs" else 1.0)
    assert (back.kind, told) == (kind, ()) and math.isclose(back.width, 1.0 if kind == "leaky" else surrogate.width)
    if importlib.util.find_spec(library.lower()) is None:
        pytest.skip(f"needs {library}, of the environment of the benchmarks: benchmarks/requirements.txt")
    x = torch.linspace(-3.03, 3.01, 401, dtype=torch.float64).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        built = call.build()
        found = built(x + threshold, threshold) if library == "Sinabs" else torch.autograd.grad(built(x).sum(), x)[0]
    assert_close(found.detach(), surrogate.derivative(x.detach()), rtol=1e-6, atol=1e-9)


def test_a_surrogate_that_a_library_has_not_is_told() -> None:
    assert surrogates.there(Surrogate(kind="triangle", width=0.5), "snnTorch") == (
        None,
        ("snnTorch has no surrogate 'triangle' of width 0.5: gradients differ",),
    )
    call = Call("sinabs.activation.MultiGaussian", {"sigma": 0.5, "h": 0.3})
    assert "is not known here: gradients differ" in surrogates.here(call, Surrogate())[1][0]


def test_the_page_shows_what_the_code_does() -> None:
    page = (ROOT / "docs" / "conversions.md").read_text(encoding="utf-8")
    before, mark, after = page.partition("<!-- generated: python -m spikeworks.deploy.libraries.table -->\n\n")
    assert mark and before
    assert after == markdown()
