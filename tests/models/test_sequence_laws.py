"""What holds for every registered network that takes vectors: order of time, streams, credit, memory, learning."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from spikeworks.core.config import config_id, from_dict, to_dict
from spikeworks.core.credit import Credit, set_credit
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.core.state import detach, select_batch
from spikeworks.layers import DelayConfig, ReadoutConfig
from spikeworks.measure import count_operations
from spikeworks.models import NETWORKS, ModelConfig, Network, SpikeTransformerConfig, TransformerConfig
from spikeworks.neurons import Surrogate, config_for

VECTORS = [name for name in NETWORKS if not NETWORKS.get(name).frames]
WIDE = Surrogate(kind="sigmoid", width=1.0)
SMALL: dict[str, dict[str, Any]] = {
    "spiking-tcn": {"channels": (8, 8), "kernel": 3},
    "tcn": {"channels": (8, 8), "kernel": 3},
    "spike-transformer": {"width": 16, "heads": 2},
    "transformer": {"width": 16, "heads": 2},
    "binary-s4d": {"width": 8, "dropout": 0.0},
    "gsu-ssm": {"width": 8, "dropout": 0.0},
    "lstm": {"hidden": (8, 8)},
    "gru": {"hidden": (8, 8)},
    "gated": {"hidden": (8, 8)},
    "context-stack": {"hidden": (8, 6), "steps": 64},
    "stack": {"hidden": (8, 8)},
    **{
        name: {"full_hidden": (8, 6), "sub_hidden": (6, 5), "neuron": config_for("gsn", surrogate=WIDE)}
        for name in VECTORS
        if "fullsubnet" in name
    },
}
"""Sizes at which the laws are quick; a network that is not named here is tested at its own."""


def describe(name: str, **fields: Any) -> Any:
    """The network with spikes that have a gradient everywhere, and an answer at every step."""
    kind = NETWORKS.get(name)
    known = {f.name for f in dataclasses.fields(kind)}
    usual = {
        "neuron": config_for("lif", threshold=0.3, surrogate=WIDE),
        "surrogate": WIDE,
        "readout": ReadoutConfig(kind="every"),
    }
    return kind(**{k: v for k, v in {**usual, **SMALL.get(name, {}), **fields}.items() if k in known})


VARIANTS: dict[str, Any] = {name: describe(name) for name in VECTORS}
VARIANTS |= {
    f"{name} neurons in the sequence": describe(name, time="sequence")
    for name in ("spiking-tcn", "spike-transformer", "binary-s4d")
}
VARIANTS |= {
    "spike-transformer inner 4": describe("spike-transformer", inner_steps=4),
    "spiking-tcn inner 2": describe("spiking-tcn", inner_steps=2),
    "spiking-fullsubnet normalised": describe("spiking-fullsubnet", input_norm=True, norm="layer"),
    "stack recurrent": describe("stack", recurrent=(True, False)),
    "stack delays": describe("stack", delay=DelayConfig(max_delay=4), norm="batch"),
}
EACH = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
EACH_VARIANTS = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(config: ModelConfig, outputs: int = 2) -> Network:
    return config.build(3, outputs, generator()).double().eval()


def signal(steps: int = 11, batch: int = 2) -> Tensor:
    return torch.randn(steps, batch, 3, generator=generator(1), dtype=torch.float64)


def influence(network: Network, x: Tensor) -> Tensor:
    """``[T, T]``: the largest gradient of the output of step t with respect to the input of step s."""
    x = x.clone().requires_grad_()
    y, _ = network(x)
    rows = [torch.autograd.grad(one.sum(), x, retain_graph=True)[0].abs().amax((1, 2)) for one in y]
    return torch.stack(rows)


def test_there_are_the_networks_of_the_benchmarks():
    assert {
        "binary-s4d", "gated", "gsu-ssm", "lstm", "spike-transformer", "spiking-tcn", "stack", "tcn", "transformer",
    } <= set(VECTORS)  # fmt: skip


@EACH
def test_no_output_has_a_gradient_from_later_inputs(config):
    found = influence(made(config), signal())
    assert (found.triu(1) == 0).all(), "an output depends on inputs that come after it"
    assert (found.diagonal() > 0).all() and (found.tril(-1).sum(1)[3:] > 0).all(), "the test sees no influence at all"


@pytest.mark.parametrize("kind", [SpikeTransformerConfig, TransformerConfig])
def test_the_causality_test_catches_what_looks_ahead_and_it_cannot_be_streamed(kind):
    config = kind(width=16, heads=2, causal=False, readout=ReadoutConfig(kind="every"))
    if kind is SpikeTransformerConfig:
        config = dataclasses.replace(config, neuron=config_for("lif", threshold=0.3, surrogate=WIDE))
    network = made(config)
    assert (influence(network, signal()).triu(1) > 0).any()
    _, state = network(signal())
    with pytest.raises(ShapeError, match="reads a whole sequence at once"):
        network(signal(), state)
    with pytest.raises(ConfigError, match="temporal credit cannot be cut"):
        set_credit(network, Credit(window=1))


@EACH
@pytest.mark.parametrize("cuts", [(4, 1, 6), (1,) * 11, (10, 1)], ids=str)
def test_chunks_with_the_state_carried_equal_the_whole(config, cuts):
    network, x = made(config), signal()
    with torch.no_grad():
        whole, _ = network(x)
        state, parts = None, []
        for part in x.split(list(cuts)):
            y, state = network(part, detach(state))
            parts.append(y)
        assert_close(torch.cat(parts), whole, rtol=1e-10, atol=1e-12)


@EACH
def test_gradients_through_a_carried_state_equal_those_of_the_whole(config):
    network, x, found = made(config), signal(), []
    for cuts in ([11], [4, 7]):
        state, loss, given = None, 0.0, x.clone().requires_grad_()
        for part in given.split(cuts):
            y, state = network(part, state)
            loss = loss + y.square().sum()
        trained = [given, *(p for p in network.parameters() if p.requires_grad)]
        found.append(torch.autograd.grad(loss, trained, allow_unused=True))
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert_close(a, b, rtol=1e-8, atol=1e-10)


@EACH
def test_a_state_is_a_batch_of_states(config):
    network, x = made(config), signal(batch=4)
    with torch.no_grad():
        _, state = network(x[:6])
        whole, _ = network(x[6:], state)
        rows, _ = network(x[6:, 1:3], select_batch(state, slice(1, 3)))
    assert_close(rows, whole[:, 1:3], rtol=1e-10, atol=1e-12)


@EACH_VARIANTS
def test_credit_in_space_alone_has_the_same_answers_and_no_gradient_through_time(config):
    network, x = made(config), signal()
    before, _ = network(x)
    set_credit(network, Credit(window=1))
    found = influence(network, x)
    assert_close(network(x)[0], before, rtol=1e-10, atol=1e-12)
    assert (found - torch.diag(found.diagonal()) == 0).all() and (found.diagonal() > 0).all()


@EACH_VARIANTS
def test_without_memory_a_step_is_answered_by_itself(config):
    if getattr(config, "positions", False):
        config = dataclasses.replace(config, positions=False)
    clocked = "steps" in {f.name for f in dataclasses.fields(config)}
    network, x, order = made(config), signal(), torch.randperm(11, generator=generator())
    kept, _ = network(x)
    set_credit(network, Credit(carry=False))
    with torch.no_grad():
        y, _ = network(x)
        assert not torch.allclose(y, kept)
        if not clocked:  # a clock goes on where no memory is kept
            assert_close(network(x[order])[0], y[order], rtol=1e-10, atol=1e-12)
    found = influence(network, x)
    assert (found - torch.diag(found.diagonal()) == 0).all()


@EACH
def test_padding_changes_nothing(config):
    network = made(dataclasses.replace(config, readout=ReadoutConfig(kind="mean")))
    x = signal()
    padded = torch.cat([x, torch.full((5, 2, 3), 7.0, dtype=x.dtype)])
    mask = (torch.arange(16) < 11).unsqueeze(1).expand(16, 2)
    with torch.no_grad():
        assert_close(network(padded, mask=mask)[0], network(x)[0], rtol=1e-9, atol=1e-10)


@EACH
def test_packed_blocks_have_the_gradients_of_full_ones(config):
    found = []
    for memory in ("full", "packed"):
        network = made(dataclasses.replace(config, memory=memory))
        first, state = network(signal())
        y, _ = network(signal(), state)
        found.append(torch.autograd.grad((first + y).square().sum(), list(network.parameters()), allow_unused=True))
    for full, packed in zip(*found, strict=True):
        assert (full is None) == (packed is None) or not packed.any()
        if full is not None:
            assert_close(packed, full, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", VECTORS)
def test_descriptions_round_trip_and_the_same_generator_makes_the_same_network(name):
    config = describe(name)
    again = from_dict(ModelConfig, to_dict(config))
    assert again == config and config_id(again) == config_id(config)
    first, second = made(config).state_dict(), made(again).state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", VECTORS)
def test_frames_and_other_vectors_are_refused_in_words(name):
    network = made(describe(name))
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 3"):
        network(torch.zeros(4, 2, 5, dtype=torch.float64))
    _, state = network(signal())
    with pytest.raises(ShapeError):
        network(signal(batch=5), state)


@EACH
def test_meters_count_every_parameter(config):
    network = config.build(3, 2, generator()).eval()
    report = count_operations(network, signal().float())
    assert report.uncounted == ()
    assert all(v == v and v >= 0 for layer in report.layers for v in dataclasses.astuple(layer.operations))
