"""Stacks: counts of the papers, chunks, masks, descriptions, messages."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks.core.config import config_id, from_dict, replace_leaves, to_dict
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import ReadoutConfig
from spikeworks.measure import count_operations
from spikeworks.models import ConvConfig, EmbeddingConfig, ModelConfig, StackConfig
from spikeworks.neurons import ALIF, NEURONS, TCLIF, Neuron, Parameter, config_for


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parameters(config: StackConfig, inputs: int, outputs: int, tokens: bool = False) -> int:
    return sum(p.numel() for p in config.build(inputs, outputs, generator(), tokens=tokens).parameters())


LANGUAGE = EmbeddingConfig(size=400, tied=True)


@pytest.mark.parametrize(
    "config, inputs, outputs, expected",
    [
        (StackConfig(hidden=(64, 256, 256)), 1, 10, 85_130),
        (StackConfig(hidden=(64, 256, 256), recurrent=(True, True, False)), 1, 10, 155_082),
        (StackConfig(hidden=(128, 128)), 2, 10, 18_186),
        (StackConfig(hidden=(128, 128), recurrent=(True, False)), 2, 10, 34_698),
        (StackConfig(hidden=(128, 256, 256)), 3, 2, 99_842),
        (StackConfig(hidden=(128, 176, 176), recurrent=(True, True, False)), 3, 2, 102_386),
        (StackConfig(hidden=(1100, 400), embedding=LANGUAGE), 10_000, 10_000, 4_891_500),
        (StackConfig(hidden=(1100, 400), embedding=LANGUAGE, recurrent=(True, True)), 10_000, 10_000, 6_263_000),
        (StackConfig(hidden=(64, 256, 256), neuron=TCLIF.Config()), 1, 10, 85_130 + 6),
    ],
    ids=str,
)
def test_parameter_counts_of_the_papers(config, inputs, outputs, expected):
    assert parameters(config, inputs, outputs, tokens=inputs == 10_000) == expected


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky", "every"])
def test_chunks_equal_the_whole(kind, masked):
    config = StackConfig(
        hidden=(12, 9), recurrent=(True, False), norm="batch", neuron=ALIF, readout=ReadoutConfig(kind=kind, scale=3.0)
    )
    network = config.build(3, 4, generator()).double().eval()
    x = 3 * torch.rand(11, 5, 3, generator=generator(), dtype=torch.float64)
    mask = torch.arange(11)[:, None] < torch.tensor([11, 9, 4, 7, 1]) if masked else None
    whole, _ = network(x, mask=mask)
    state, outputs = None, []
    for part in (slice(0, 6), slice(6, 7), slice(7, 11)):
        y, state = network(x[part], state, None if mask is None else mask[part])
        outputs.append(y)
    assert_close(torch.cat(outputs) if kind == "every" else outputs[-1], whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky"])
def test_padding_changes_nothing(kind, norm):
    network = StackConfig(hidden=(12, 9), norm=norm, readout=ReadoutConfig(kind=kind)).build(3, 4, generator())
    x = 3 * torch.rand(8, 1, 3, generator=generator())
    padded = torch.cat([x, torch.full((5, 1, 3), 7.0)])
    mask = torch.arange(13)[:, None] < 8
    plain, _ = network(x)
    masked, _ = network(padded, mask=mask)
    assert_close(plain, masked, rtol=1e-5, atol=1e-6)
    if kind in ("mean", "sum"):  # a last step may be silent with and without the padding
        assert not torch.allclose(plain, network(padded)[0], atol=1e-3)


def test_readouts_by_hand():
    spikes = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])
    expected = {"mean": 2 / 3, "sum": 2.0, "last": 1.0, "leaky": 1 + 0.5**2}
    for kind, value in expected.items():
        readout = StackConfig(readout=ReadoutConfig(kind=kind, decay=0.5)).build(1, 1, generator()).readout
        readout.linear = type(readout.linear)(1, 1)
        with torch.no_grad():
            readout.linear.weight.fill_(1.0)
            readout.linear.bias.zero_()
        assert readout(spikes)[0].item() == pytest.approx(value)


def test_convolution_along_the_features_of_a_step():
    network = StackConfig(hidden=(6, 8), conv=ConvConfig(kernel=5, stride=2)).build(40, 4, generator())
    spikes = []
    for block in network.blocks:
        block.register_forward_hook(lambda m, args, out: spikes.append(out[0].shape))
    assert network(torch.rand(7, 2, 40))[0].shape == (2, 4)
    assert spikes == [(7, 2, 6, 20), (7, 2, 8, 10)]


def test_dropout_mask_is_one_for_all_steps_and_follows_its_generator():
    network = StackConfig(hidden=(50, 9), input_dropout=0.5).build(50, 4, generator())
    dropout = network.blocks[0].dropout
    dropout.generator = generator()
    y = dropout(torch.ones(6, 2, 50))
    assert (y == y[:1]).all() and 20 < (y[0] == 0).sum() < 80 and y.max() == 2
    dropout.generator = generator()
    assert torch.equal(y, dropout(torch.ones(6, 2, 50)))
    network.eval()
    assert torch.equal(dropout(torch.ones(6, 2, 50)), torch.ones(6, 2, 50))


def test_same_generator_same_network():
    config = StackConfig(neuron=config_for("pmsn"))
    a, b = (config.build(3, 2, generator()).state_dict() for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", NEURONS.names())
def test_descriptions_round_trip_and_leaves_change_the_identity(name):
    config = StackConfig(neuron=config_for(name), embedding=LANGUAGE, conv=None)
    again = from_dict(ModelConfig, to_dict(config))
    assert again == config and config_id(again) == config_id(config)
    changed = replace_leaves(config, {"neuron.surrogate.width": 0.7})
    assert changed.neuron.surrogate.width == 0.7 and config_id(changed) != config_id(config)
    assert again.label == name


def test_weight_decay_spares_neurons_and_biases():
    network = StackConfig(neuron=config_for("pmsn")).build(3, 2, generator())
    groups = network.parameter_groups(0.1)
    decayed = [p for g in groups if g["weight_decay"] for p in g["params"]]
    assert {id(p) for p in decayed} == {id(b.synapse.weight) for b in network.blocks} | {
        id(network.readout.linear.weight)
    }
    slow = [p for g in groups if g["lr_scale"] == 0.1 for p in g["params"]]
    assert {id(p) for p in slow} == {
        id(getattr(b.neuron, f"stored_{n}")) for b in network.blocks for n in ("step_size", "damping")
    }
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))


def test_a_neuron_of_the_user_in_ten_lines_passes_as_an_object():
    class Half(Neuron):
        states = ("voltage",)
        decay = Parameter(0.5)

        def step(self, x, voltage, *, decay):
            charged = decay * voltage + x
            spike = self.fire(charged - 1.0)
            return spike, charged * (1 - spike)

    network = StackConfig(hidden=(8, 8), neuron=Half).build(3, 2, generator())
    network(torch.rand(5, 4, 3))[0].sum().backward()
    assert network.blocks[0].neuron.stored_decay.grad is not None
    assert network.blocks[0].neuron.backend_report()[0] == "c"
    assert StackConfig(neuron=Half).label == "Half"


def test_wrong_descriptions_and_inputs_are_named():
    with pytest.raises(ConfigError, match="recurrent has 1 flags for 2 blocks"):
        StackConfig(recurrent=(True,))
    with pytest.raises(ConfigError, match="leave out conv or recurrent"):
        StackConfig(conv=ConvConfig(), recurrent=(True, False))
    with pytest.raises(ConfigError, match="at least one block"):
        StackConfig(hidden=())
    with pytest.raises(ConfigError, match="tied readout needs an embedding"):
        StackConfig(hidden=(8,), embedding=LANGUAGE).build(50, 50, generator(), tokens=True)
    network = StackConfig().build(3, 2, generator())
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 3, \.\.\.\], got \[4, 3, 5\]"):
        network(torch.rand(4, 3, 5))
    with pytest.raises(ShapeError, match=r"mask expected shape \[4, 2\], got \[2, 4\]"):
        network(torch.rand(4, 2, 3), mask=torch.ones(2, 4, dtype=torch.bool))


# -- neurons with several inputs ----------------------------------------------------------


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("memory", ["full", "packed"])
@pytest.mark.parametrize("neuron", [config_for("dh-lif", branches=3), config_for("gsn", shared=False)], ids=str)
def test_every_input_of_a_neuron_is_wired(neuron, memory, norm):
    network = StackConfig(hidden=(12, 9), neuron=neuron, norm=norm, memory=memory).build(6, 4, generator())
    count = len(neuron.build(1).inputs)
    assert [tuple(b.synapse.weight.shape) for b in network.blocks] == [(count, 12, 6), (count, 9, 12)]
    assert (network.blocks[0].synapse.mask is not None) == (neuron.label == "dh-lif")
    x = 3 * torch.rand(20, 5, 6, generator=generator())
    output, state = network(x)
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    for block in network.blocks:
        assert (block.synapse.weight.grad.flatten(1).abs().sum(1) > 0).all()
    network.eval()
    whole = network(x)[0]
    _, state = network(x[:7])
    assert whole.shape == network(x[7:], state)[0].shape == (5, 4)


def test_meters_count_branches_once():
    network = StackConfig(hidden=(12,), neuron=config_for("dh-lif", branches=3), norm="batch").build(6, 4, generator())
    x = (torch.rand(20, 5, 6, generator=generator()) < 0.5).float()
    report = count_operations(network, x)
    found = {layer.name: layer.operations for layer in report.layers}
    assert report.uncounted == ()
    assert found["blocks.0.synapse"].acs == pytest.approx(x.sum().item() * 12 / 5)
    neuron = network.blocks[0].neuron.graph().operations()
    assert found["blocks.0.neuron"].macs == neuron.macs * 20 * 12


def test_a_stack_draws_the_same_weights_whatever_the_neuron():
    lif, psn = (StackConfig(hidden=(8,), neuron=config_for(n)).build(3, 2, generator()) for n in ("lif", "psn"))
    assert torch.equal(lif.blocks[0].synapse.weight, psn.blocks[0].synapse.weight)


@pytest.mark.parametrize("name", ["dh-lif", "gsn"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_neurons_with_several_inputs_are_recurrent_and_packed(name, norm):
    found = []
    for memory in ("full", "packed"):
        options = {"shared": False} if name == "gsn" else {}
        config = StackConfig(
            hidden=(8,), neuron=config_for(name, **options), recurrent=(True,), norm=norm, memory=memory
        )
        network = config.build(12, 3, generator())
        y, _ = network(torch.rand(6, 4, 12, generator=torch.Generator().manual_seed(1)))
        found.append([y, *torch.autograd.grad(y.square().sum(), list(network.parameters()), allow_unused=True)])
    assert network.blocks[0].neuron.weight.shape[0] > 8
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, rtol=1e-5, atol=1e-7))


def test_wiring_that_cannot_be_is_named():
    with pytest.raises(ConfigError, match="DHLIF has 4 inputs and needs dense blocks without delays"):
        StackConfig(hidden=(8,), neuron=config_for("dh-lif"), conv=ConvConfig()).build(40, 2, generator())
    with pytest.raises(ConfigError, match="PSN reads a whole sequence at once and cannot be recurrent"):
        StackConfig(hidden=(8,), neuron=config_for("psn"), recurrent=(True,)).build(3, 2, generator())
