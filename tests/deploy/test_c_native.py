"""Networks that run as compiled C: values, spikes, states, and what two of them share."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.deploy.c_device import Device, showing_spikes
from tests.deploy.networks import generator, signal, stack
from torch import Tensor, nn

from spikeworks.core.errors import ConfigError, KernelError, ShapeError
from spikeworks.deploy.c import CExportError, compiled, export_c, native
from spikeworks.deploy.c.native_c import native_source
from spikeworks.kernels import build, use
from spikeworks.layers import DelayConfig, ReadoutConfig
from spikeworks.models import FullSubNetConfig, Network
from spikeworks.neurons import ALIF, GLIF, GSN, LIF, NEURONS, PSN, Reset

EVERY = ReadoutConfig(kind="every")
STEPS, ROWS = 24, 3


@pytest.fixture(autouse=True)
def compiler() -> None:
    if build.find_compiler() is None:
        pytest.skip("needs a C compiler")


def lively(name: str, **options: Any) -> Network:
    """Two layers in float64."""
    return stack(NEURONS.get(name).Config(), readout=EVERY, **options)


def answers(network: nn.Module, x: Tensor, state: Any = None) -> Tensor:
    """By the definition of the neurons."""
    with torch.no_grad(), use("loop"):
        return network(x, state)[0]


# -- the same as the network ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lif", "alif", "gsn", "tc-lif", "dh-lif"])
def test_spikes_and_values_of_recurrent_layers(name: str) -> None:
    shown, count = showing_spikes(lively(name, recurrent=(True, True)))
    x = signal(STEPS, ROWS, 6)
    expected = answers(shown, x)
    found, _ = compiled(shown, dtype=torch.float64)(x)
    assert torch.equal(found[..., :count], expected[..., :count])
    assert 0 < expected[..., :count].count_nonzero() < expected[..., :count].numel()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    single, _ = compiled(shown)(x.float())
    torch.testing.assert_close(single, answers(shown.float(), x.float()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "layer"},
        {"norm": "tebn", "norm_steps": STEPS},
        {"norm": "batch", "delay": DelayConfig(max_delay=5, taps=2)},
    ],
    ids=["layer norm", "tebn", "delays"],
)
def test_what_else_there_is_in_a_network(options: dict[str, Any]) -> None:
    network = lively("alif", **options)
    x = signal(STEPS, ROWS, 6)
    torch.testing.assert_close(compiled(network, dtype=torch.float64)(x)[0], answers(network, x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_widths_of_whole_vectors_and_rests(dtype: torch.dtype) -> None:
    """More inputs than are listed at once, and outputs for every width of a block and a rest."""
    network = stack(LIF.Config(threshold=0.4), inputs=291, hidden=(253, 63, 8), readout=EVERY).to(dtype)
    x = signal(6, 2, 291).to(dtype) - 1.0
    x[0], x[1, 0] = 0.0, 0.0
    shown, count = showing_spikes(network)
    expected = answers(shown, x)
    found, _ = compiled(shown, dtype=dtype)(x)
    assert expected[..., :count].any()
    exact = 1e-5 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(found, expected, rtol=exact, atol=exact)


def test_spiking_fullsubnet_of_separate_gates() -> None:
    config = FullSubNetConfig(
        full_hidden=(12, 10), sub_hidden=(20, 17), neuron=GSN.Config(shared=False), cuts=(4, 16, 32),
        widths=(2, 4, 16), neighbours=3, orders=(3, 1, 1), start=1.0,
    )  # fmt: skip
    network = config.build(33, 2 * 33 * 3, generator()).double().eval()
    x = signal(STEPS, 2, 33)
    expected = answers(network, x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(compiled(network, dtype=torch.float64)(x)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky"])
def test_other_readouts_answer_all_steps_so_far(kind: Any) -> None:
    network = stack(LIF.Config(), readout=ReadoutConfig(kind=kind, decay=0.8))
    fast = compiled(network, dtype=torch.float64)
    x, state = signal(STEPS, ROWS, 6), None
    for end in (1, 10, STEPS):
        found, state = fast(x[0 if end == 1 else (1 if end == 10 else 10) : end], state)
        torch.testing.assert_close(found, answers(network, x[:end]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_for_weights_are_those_of_the_export(dtype: torch.dtype, tmp_path: Path) -> None:
    """ALIF has no exponential: what both compute is the same to the last bit."""
    network = stack(ALIF.Config(), inputs=11, hidden=(70, 21), recurrent=(True, True), readout=EVERY)
    x = signal(STEPS, 1, 11).to(dtype)
    for weights in ("int8", "float32"):
        device = Device(export_c(network, dtype=dtype, weights=weights), tmp_path / weights)
        found, _ = compiled(network, dtype=dtype, weights=weights)(x)
        assert found.std() > 0 and torch.equal(found[:, 0], device.run(x[:, 0]))


# -- states --------------------------------------------------------------------------------------


def test_any_chunks_are_the_whole_and_no_state_is_changed() -> None:
    network = lively("gsn", recurrent=(True, True))
    fast = compiled(network, dtype=torch.float64)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 40), st.integers(1, 4), st.lists(st.integers(0, 40), max_size=5))
    def holds(steps: int, rows: int, cuts: list[int]) -> None:
        x = signal(steps, rows, 6)
        whole, end = fast(x)
        bounds = sorted({0, steps, *(cut for cut in cuts if cut < steps)})
        parts: list[Tensor] = []
        state: Any = None
        for a, b in itertools.pairwise(bounds):
            given_state: Any = state
            held: Any = None if state is None else state.clone()
            y, state = fast(x[a:b], state)
            assert given_state is None or (torch.equal(given_state, held) and given_state is not state)
            parts.append(y)
        assert torch.equal(torch.cat(parts), whole) and torch.equal(state, end)
        torch.testing.assert_close(whole, answers(network, x), rtol=0, atol=1e-10)

    holds()


def test_rows_are_for_themselves_and_can_be_taken_apart() -> None:
    fast = compiled(lively("alif", recurrent=(True, False)), dtype=torch.float64)
    x, after = signal(STEPS, 4, 6), signal(STEPS, 4, 6, seed=9)
    _, state = fast(x)
    expected, _ = fast(after, state)
    found, _ = fast(after[:, [3, 1]], state[[3, 1]])
    assert torch.equal(found, expected[:, [3, 1]])
    assert torch.equal(fast(after[:, ::2], state[::2])[0], expected[:, ::2])
    assert fast(x[:, :0])[0].shape == (STEPS, 0, 3)


def test_a_sequence_ends_where_tables_end_and_the_state_stays() -> None:
    network = stack(GLIF.Config(steps=STEPS), readout=EVERY)
    fast = compiled(network, dtype=torch.float64)
    x = signal(STEPS, 1, 6)
    _, state = fast(x)
    held = state.clone()
    with pytest.raises(ShapeError, match=f"each of {STEPS} steps"):
        fast(x[:1], state)
    assert torch.equal(state, held)


# -- several of them -----------------------------------------------------------------------------


def twins() -> list[Network]:
    """One architecture: with equal parameters of all neurons, and with others for each."""
    first, second = lively("gsn", recurrent=(True, True)), lively("gsn", recurrent=(True, True))
    with torch.no_grad():
        for name, tensor in second.named_parameters():
            noise = torch.rand(tensor.shape, generator=generator(7), dtype=tensor.dtype)
            tensor.copy_(0.8 * tensor.flip(0) + 0.1 * noise)
            if "bias" in name and "neuron" in name:
                dict(first.named_parameters())[name].fill_(0.3)
    return [first, second]


def test_two_of_one_architecture_share_a_library_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = twins()
    first = compiled(one, dtype=torch.float64)
    monkeypatch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
    second = compiled(two, dtype=torch.float64)
    assert first.source == second.source
    x = signal(STEPS, ROWS, 6)
    expected = [answers(one, x), answers(two, x)]
    assert (expected[0] - expected[1]).abs().max() > 0.1
    found: list[list[Tensor]] = [[], []]
    states: list[Any] = [None, None]
    for step in x.split(1):
        for k, fast in enumerate((first, second)):
            y, states[k] = fast(step, states[k])
            found[k].append(y)
    for k in range(2):
        torch.testing.assert_close(torch.cat(found[k]), expected[k], rtol=0, atol=1e-10)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda k: (first, second)[k % 2](x.repeat(20, 1, 1))[0][:STEPS], range(16)))
    for k, run in enumerate(runs):
        torch.testing.assert_close(run, expected[k % 2], rtol=0, atol=1e-10)


def test_it_keeps_no_hold_of_the_network_and_can_be_copied() -> None:
    network = lively("lif")
    fast = compiled(network, dtype=torch.float64)
    x = signal(STEPS, 1, 6)
    expected, state = fast(x)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    for other in (fast, copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert torch.equal(other(x)[0], expected) and torch.equal(other(x)[1], state)
    fresh = compiled(network, dtype=torch.float64)
    assert not torch.equal(fresh(x)[0], expected)
    fresh.load_state_dict(fast.state_dict())
    assert torch.equal(fresh(x)[0], expected)


# -- compilers -----------------------------------------------------------------------------------


@pytest.fixture
def forgotten() -> Iterator[None]:
    """No library is known in this process."""
    native._library.cache_clear()
    yield
    native._library.cache_clear()


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_compiler_that_knows_nothing_of_this_processor_gives_the_same(
    weights: Any, forgotten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = stack(ALIF.Config(), inputs=11, hidden=(70, 21), readout=EVERY)
    x = signal(STEPS, 2, 11).float()
    expected, _ = compiled(network, weights=weights)(x)
    native._library.cache_clear()
    monkeypatch.setattr(build, "working_flags", lambda: build.FLAGS)
    assert torch.equal(compiled(network, weights=weights)(x)[0], expected)


def test_without_a_compiler_it_is_said(forgotten: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "working_flags", lambda: build.NO_COMPILER[0])
    with pytest.raises(KernelError, match=r"no C compiler was found(.|\n)*pip install ziglang"):
        compiled(lively("lif"))


def test_weights_are_no_text() -> None:
    program = native.program_of(stack(LIF.Config(), hidden=(300, 300)), "float32", torch.float32)
    made = native_source(program, every=True)
    assert len(made.text) < 15_000 and made.tables.numel() > 4 * 300 * 300


# -- what cannot be ------------------------------------------------------------------------------


def test_what_it_is_given_must_fit() -> None:
    fast = compiled(lively("lif"))
    x = signal(STEPS, ROWS, 6).float()
    _, state = fast(x)
    cases: list[tuple[type[Exception], str, Any]] = [
        (ShapeError, r"\[T, B, 6", lambda: fast(x[..., :5])),
        (ShapeError, "zero length", lambda: fast(x[:0])),
        (ShapeError, r"\[T, B, 6\], got \[24, 3, 6, 1\]", lambda: fast(x.unsqueeze(3))),
        (ShapeError, r"compiled for torch\.float32, got torch\.float64", lambda: fast(x.double())),
        (ConfigError, "takes no mask", lambda: fast(x, None, torch.ones(STEPS, ROWS, dtype=torch.bool))),
        (ConfigError, "no gradients", lambda: fast(x.clone().requires_grad_())),
        (ShapeError, rf"is uint8 \[2, {fast.state_bytes}\], got torch\.uint8 \[3", lambda: fast(x[:, :2], state)),
        (ShapeError, r"got tuple", lambda: fast(x, (state,))),
        (ConfigError, "runs on the CPU", lambda: fast(x.to("meta"))),
    ]
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    with torch.no_grad():
        assert fast(x.clone().requires_grad_())[0].shape == (STEPS, ROWS, 3)


def test_networks_that_cannot_be_compiled() -> None:
    with pytest.raises(CExportError, match="reads a whole sequence"):
        compiled(stack(PSN.Config()))
    with pytest.raises(ConfigError, match="float32 or int8, got 'int4'"):
        compiled(lively("lif"), weights="int4")  # type: ignore[arg-type]
    broken = stack(LIF.Config(reset=Reset(kind="hard")))
    with torch.no_grad():
        next(broken.parameters()).flatten()[2] = float("nan")
    with pytest.raises(ConfigError, match=r"blocks\.0\.\S+ holds numbers that are not finite"):
        compiled(broken)
