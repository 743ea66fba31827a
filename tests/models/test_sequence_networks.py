"""Networks of the sequence benchmarks: counts of parameters, blocks against their definitions, messages."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from spikeworks.core.credit import Credit, set_credit
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import DelayConfig, ReadoutConfig
from spikeworks.measure import count_operations
from spikeworks.models import (
    BinaryS4DConfig,
    ContextStackConfig,
    EmbeddingConfig,
    GatedConfig,
    GSUSSMConfig,
    LSTMConfig,
    ModelConfig,
    SpikeTransformerConfig,
    SpikingTCNConfig,
    StackConfig,
    TCNConfig,
    TransformerConfig,
)
from spikeworks.neurons import LIF, Surrogate, config_for

LTC = config_for("ltc")
FORWARD, FEEDBACK = (False,) * 3, (True, True, False)

PUBLISHED: list[tuple[str, ModelConfig, int, int, int]] = [
    # what, description, inputs, classes, parameters
    ("AL LIF", StackConfig(hidden=(128, 256, 256)), 3, 2, 99_842),
    ("AL LIF recurrent", StackConfig(hidden=(128, 176, 176), recurrent=FEEDBACK), 3, 2, 102_386),
    ("AL CE-LIF", ContextStackConfig(hidden=(128, 152, 152), steps=400), 3, 2, 104_482),
    ("AL LTC", StackConfig(hidden=(96, 128), neuron=LTC), 3, 2, 115_906),
    ("AL GSN", GatedConfig(hidden=(64, 112, 112)), 3, 2, 99_554),
    ("AL spiking TCN", SpikingTCNConfig(channels=(36,) * 6, kernel=7), 3, 2, 101_630),
    ("AL Binary-S4D", BinaryS4DConfig(width=128, depth=2), 3, 2, 100_610),
    ("AL GSU-SSM", GSUSSMConfig(width=152, depth=2), 3, 2, 87_858),
    ("HAR LIF", StackConfig(hidden=(128, 256, 256)), 3, 18, 103_954),
    ("EEG-MI LIF", StackConfig(hidden=(128, 256, 256)), 62, 2, 107_394),
    ("SSL LIF", StackConfig(hidden=(128, 256, 256)), 4, 72, 117_960),
    ("ALR LIF", StackConfig(hidden=(512,) * 6, norm="batch"), 15_488, 100, 9_301_092),
    (
        "ALR LIF recurrent",
        StackConfig(hidden=(460,) * 6, norm="batch", recurrent=(True,) * 5 + (False,)),
        15_488,
        100,
        9_297_160,
    ),
    ("PS-MNIST LIF", StackConfig(hidden=(64, 256, 256)), 1, 10, 85_130),
    ("PS-MNIST LIF recurrent", StackConfig(hidden=(64, 256, 256), recurrent=FEEDBACK), 1, 10, 155_082),
    ("binary adding LIF", StackConfig(hidden=(128, 128)), 2, 10, 18_186),
    ("binary adding LIF recurrent", StackConfig(hidden=(128, 128), recurrent=(True, False)), 2, 10, 34_698),
]
"""Counts that arXiv 2505.22035 and 2502.09449 give or that follow from their programs."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "config, inputs, outputs, expected", [row[1:] for row in PUBLISHED], ids=[r[0] for r in PUBLISHED]
)
def test_parameter_counts_of_the_papers(config, inputs, outputs, expected):
    assert parameters(config.build(inputs, outputs, generator())) == expected


@pytest.mark.parametrize("kind", [SpikeTransformerConfig, TransformerConfig])
def test_a_transformer_has_the_parameters_of_that_of_torch(kind):
    layer = nn.TransformerEncoderLayer(64, 8, 256)
    theirs = (
        parameters(nn.TransformerEncoder(layer, 2, nn.LayerNorm(64), enable_nested_tensor=False))
        + 64 * (3 + 1)
        + 2 * (64 + 1)
    )
    assert parameters(kind().build(3, 2, generator())) == theirs == 100_482


def test_an_lstm_has_the_parameters_of_that_of_torch():
    theirs = parameters(nn.LSTM(3, 64)) + parameters(nn.LSTM(64, 112)) + 2 * 113
    assert parameters(LSTMConfig(hidden=(64, 112)).build(3, 2, generator())) == theirs


# -- blocks against their definitions -----------------------------------------------------------


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def over_threshold(x: Tensor, threshold: float = 0.5) -> Tensor:
    return (x >= threshold).to(x.dtype)


HALF = config_for("lif", threshold=0.5, surrogate=Surrogate(width=1.0))


def causal(conv: Any, x: Tensor) -> Tensor:
    padded = functional.pad(x.permute(1, 2, 0), (conv.reach, 0))
    return functional.conv1d(padded, conv.weight, conv.bias, dilation=conv.dilation).permute(2, 0, 1)


@pytest.mark.parametrize("spiking", [True, False])
def test_a_tcn_by_its_definition(spiking):
    kind, given = (SpikingTCNConfig, {"neuron": HALF}) if spiking else (TCNConfig, {})
    config = kind(channels=(6, 6), kernel=3, readout=ReadoutConfig(kind="every"), **given)
    network, x = config.build(3, 2, generator()).double(), 3 * draw(20, 2, 3)
    y, act = x, over_threshold if spiking else torch.relu
    for level in network.blocks:
        inner = act(causal(level.second, act(causal(level.first, y))))
        around = y if level.around is None else level.around(y)
        if spiking and level.around is not None:
            around = act(around)
        y = inner + around if spiking else act(inner + around)
    assert_close(network(x)[0], network.readout.linear(y))
    if spiking:
        assert set(y.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0} and network.blocks[1].plan.emits == "counts"
    assert [level.first.dilation for level in network.blocks] == [1, 2]
    assert network.blocks[1].around is None and network.readout.linear.weight.std() < 0.02


@pytest.mark.parametrize("kernel, levels, reach", [(7, 6, 757), (16, 1, 31), (7, 8, 3061), (3, 8, 1021)])
def test_receptive_fields_of_the_benchmark(kernel, levels, reach):
    network = SpikingTCNConfig(channels=(2,) * levels, kernel=kernel).build(1, 1, generator())
    assert 1 + sum(level.first.reach + level.second.reach for level in network.blocks) == reach


@pytest.mark.parametrize("sees_all", [False, True])
def test_a_spike_transformer_by_its_definition(sees_all):
    config = SpikeTransformerConfig(
        width=8, heads=2, depth=2, causal=not sees_all, neuron=HALF, readout=ReadoutConfig(kind="every")
    )
    network, x = config.build(3, 2, generator()).double(), 3 * draw(9, 2, 3)
    place = torch.arange(9, dtype=torch.float64)[:, None, None]
    rate = 10_000.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    waves = torch.stack([(place * rate).sin(), (place * rate).cos()], 3).flatten(2)
    y = network.blocks[0].synapse(x) + waves
    for block in network.blocks[1:]:
        y = over_threshold(y)
        q, k, v = (p.unflatten(2, (2, 4)).permute(1, 2, 0, 3) for p in over_threshold(block.packed(y)).chunk(3, 2))
        seen = q @ k.mT if sees_all else (q @ k.mT).tril()
        mixed = over_threshold(0.125 * (seen @ v).permute(2, 0, 1, 3).flatten(2))
        y = functional.layer_norm(y + block.mixed(mixed), (8,))
        wide = over_threshold(block.widened(over_threshold(y)))
        y = functional.layer_norm(y + block.narrowed(wide), (8,))
    y = over_threshold(functional.layer_norm(y, (8,)))
    assert_close(network(x)[0], network.readout.linear(y))
    assert 0.05 < y.mean() < 0.95 and network.blocks[2].plan.emits == "spikes"


def test_a_transformer_is_that_of_torch_with_its_mask():
    config = TransformerConfig(width=8, heads=2, depth=2, positions=False, readout=ReadoutConfig(kind="every"))
    network, x = config.build(3, 2, generator()).double().eval(), draw(9, 2, 3)
    layers = [nn.TransformerEncoderLayer(8, 2, 32, dropout=0.0).double().eval() for _ in range(2)]
    for ours, theirs in zip(network.blocks[1:], layers, strict=True):
        pairs = (
            (theirs.self_attn.in_proj_weight, ours.packed.weight), (theirs.self_attn.in_proj_bias, ours.packed.bias),
            (theirs.self_attn.out_proj.weight, ours.mixed.weight), (theirs.self_attn.out_proj.bias, ours.mixed.bias),
            (theirs.linear1.weight, ours.widened.weight), (theirs.linear1.bias, ours.widened.bias),
            (theirs.linear2.weight, ours.narrowed.weight), (theirs.linear2.bias, ours.narrowed.bias),
        )  # fmt: skip
        with torch.no_grad():
            for to, from_ in pairs:
                to.copy_(from_)
    y, mask = network.blocks[0].synapse(x), nn.Transformer.generate_square_subsequent_mask(9, dtype=torch.float64)
    for layer in layers:
        y = layer(y, src_mask=mask)
    assert_close(network(x)[0], network.readout.linear(functional.layer_norm(y, (8,))))


def test_four_inner_steps_are_the_mean_over_what_neurons_make_of_a_repeated_input():
    config = SpikeTransformerConfig(width=8, heads=2, depth=1, neuron=HALF, inner_steps=4)
    network, x = config.build(3, 2, generator()).double(), 3 * draw(6, 2, 3)
    block = network.blocks[1]
    entry, _ = network.blocks[0](x)
    y, _ = block(entry)
    assert y.shape == (6, 2, 8, 4) == (6, 2, *block.shape_out) and block.shape_in == (8,)
    found = network(x)[0]
    assert_close(found, network.readout.linear(y.mean((0, 3)).unsqueeze(0))[0])
    # the first neurons see the same current four times: an integrator that is reset
    spikes, _ = LIF(8, HALF).double()(entry.flatten(0, 1).expand(4, 12, 8))
    assert torch.equal(block.entering_neuron(entry.repeat_interleave(4, 1))[0].unflatten(1, (2, 4))[:, :, 2],
                       spikes[2].unflatten(0, (6, 2)))  # fmt: skip
    assert not torch.allclose(found, dataclasses.replace(config, inner_steps=1).build(3, 2, generator()).double()(x)[0])


@pytest.mark.parametrize("at_zero", [True, False])
def test_binary_s4d_by_its_definition(at_zero):
    config = BinaryS4DConfig(
        width=8, depth=2, modes=4, dropout=0.0, at_zero=at_zero, neuron=HALF, readout=ReadoutConfig(kind="every")
    )
    network, x = config.build(3, 2, generator()).double(), 3 * draw(9, 2, 3)
    y = network.blocks[0].synapse(x)
    for block in network.blocks[1:]:
        filtered, _ = block.space(functional.layer_norm(y, (8,)))
        spikes = over_threshold(filtered, 0.0 if at_zero else 0.5)
        assert 0.05 < spikes.mean() < 0.95
        first, second = block.synapse(spikes).chunk(2, 2)
        y = y + first * second.sigmoid()
    assert_close(network(x)[0], network.readout.linear(y))


def test_gsu_ssm_by_its_definition():
    config = GSUSSMConfig(width=8, depth=2, modes=4, dropout=0.0, readout=ReadoutConfig(kind="every"))
    network, x = config.build(3, 2, generator()).double(), 3 * draw(9, 2, 3)
    y = network.blocks[0].synapse(x)
    for block in network.blocks[1:]:
        gated = block.gate(block.space(y)[0])
        y = y + functional.gelu(functional.layer_norm(gated, (8,)))
    assert_close(network(x)[0], network.readout.linear(y))


def test_the_gated_network_by_its_definition():
    config = GatedConfig(hidden=(6, 5), threshold=0.1, readout=ReadoutConfig(kind="every"))
    network, x = config.build(3, 2, generator()).double(), 3 * draw(12, 2, 3)
    now = x
    for block in network.blocks:
        (gate, cell), heard = block.synapse(now), block.neuron
        spikes, c, rows = torch.zeros_like(gate[0]), torch.zeros_like(gate[0]), []
        for t in range(12):
            to_gate, to_cell = functional.linear(spikes, heard.weight, heard.synapse.bias).chunk(2, 1)
            keep = torch.sigmoid(gate[t] + to_gate)
            c = keep * c + (1 - keep) * (cell[t] + to_cell)
            spikes = over_threshold(c, 0.1)
            rows.append(spikes)
        now = torch.stack(rows)
        bound = max(p.abs().max().item() for p in block.parameters())
        assert 0.9 * block.neuron.neuron.size**-0.5 < bound <= block.neuron.neuron.size**-0.5 * (1 + 1e-6)
    assert now.any()
    assert_close(network(x)[0], network.readout.linear(now))


def test_layers_of_a_context_stack_read_and_train_one_table():
    network = ContextStackConfig(hidden=(6, 4), steps=12, norm="none").build(3, 2, generator())
    tables = {id(neuron.contexts.weight) for _, neuron in network.neurons()}
    assert len(tables) == 1
    table = network.blocks[0].neuron.contexts.weight
    assert table.shape == (12, 6)
    network(3 * draw(12, 4, 3).float())[0].square().sum().backward()
    assert table.grad[:, :4].any() and table.grad[:, 4:].any()
    groups = network.parameter_groups(0.1)
    assert [g["weight_decay"] for g in groups if any(p is table for p in g["params"])] == [0.0]
    own = StackConfig(
        hidden=(6, 4), neuron=config_for("ce-lif", steps=12, decay=0.5, threshold=0.5, surrogate=Surrogate(width=0.4))
    ).build(3, 2, generator(1))
    own.load_state_dict({k: v for k, v in network.state_dict().items() if "contexts" not in k}, strict=False)
    with torch.no_grad():
        for (_, neuron), size in zip(own.neurons(), (6, 4), strict=True):
            neuron.stored_context.copy_(table[:, :size])
    x = 3 * draw(12, 4, 3).float()
    assert_close(network(x)[0], own(x)[0])
    with pytest.raises(ShapeError, match="up to 12 steps, this one reaches 13"):
        network(draw(13, 4, 3).float())


# -- what else is said in the sheets of the papers ----------------------------------------------


def test_the_kernel_of_a_state_space_has_its_own_rate_and_no_decay():
    network = BinaryS4DConfig(width=8, kernel_rate=0.25).build(3, 2, generator())
    groups = {(g["weight_decay"], g["lr_scale"]): {id(p) for p in g["params"]} for g in network.parameter_groups(0.1)}
    spaces = [block.space for block in network.blocks[1:]]
    assert groups[0.0, 0.25] == {id(p) for s in spaces for p in (s.log_step, s.log_damping, s.frequency)}
    assert all(id(s.read) in groups[0.1, 1.0] and id(s.feedthrough) in groups[0.0, 1.0] for s in spaces)


def test_learned_delays_as_in_the_temporal_suite_are_causal():
    config = StackConfig(
        hidden=(8, 8),
        neuron=config_for("lif", decay=0.9),
        delay=DelayConfig(max_delay=24, width=12.5),
        norm="batch",
        readout=ReadoutConfig(kind="every"),
    )
    network = config.build(3, 2, generator()).double()
    network(draw(40, 4, 3))
    x = draw(40, 4, 3)
    changed = torch.cat([x[:20], x[20:] + 1.0])
    for training in (True, False):  # real delays, and whole ones
        network.train(training)
        for block in network.blocks:
            block.norm.eval()  # moments over time would look ahead
        assert torch.equal(network(x)[0][:20], network(changed)[0][:20])
        assert not torch.equal(network(x)[0][20:], network(changed)[0][20:])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "kind, fields",
    [
        (SpikingTCNConfig, {"channels": (12, 16)}),
        (TCNConfig, {"channels": (12, 16)}),
        (SpikeTransformerConfig, {"width": 16, "heads": 2}),
        (SpikeTransformerConfig, {"width": 16, "heads": 2, "inner_steps": 4}),
        (TransformerConfig, {"width": 16, "heads": 2}),
        (BinaryS4DConfig, {"width": 16}),
        (GSUSSMConfig, {"width": 16}),
        (LSTMConfig, {"hidden": (24, 16)}),
        (GatedConfig, {"hidden": (24, 16)}),
    ],
    ids=lambda v: v.__name__ if isinstance(v, type) else "-".join(map(str, v)),
)
def test_language_models_are_causal_and_carry_their_state(kind, fields, tied):
    config = kind(**fields, embedding=EmbeddingConfig(size=16, tied=tied), readout=ReadoutConfig(kind="every"))
    network = config.build(30, 30, generator(), tokens=True).double().eval()
    assert (network.readout.linear.weight is network.embedding.weight) == tied
    ids = torch.randint(30, (3, 14), generator=generator())
    whole, _ = network(ids)
    assert whole.shape == (14, 3, 30)
    other = torch.cat([ids[:, :9], (ids[:, 9:] + 1) % 30], 1)
    assert_close(network(other)[0][:9], whole[:9])
    first, state = network(ids[:, :5])
    assert_close(torch.cat([first, network(ids[:, 5:], state)[0]]), whole)


@pytest.mark.parametrize("neuron", ["plif", "alif", "tc-lif", "pmsn", "glif", "clif", "ltc", "sliding-psn", "dh-lif"])
@pytest.mark.parametrize("kind", [SpikingTCNConfig, SpikeTransformerConfig, BinaryS4DConfig])
def test_neurons_of_the_zoo_live_inside_and_in_the_sequence(kind, neuron):
    small: dict[str, Any] = {"channels": (6,), "kernel": 2} if kind is SpikingTCNConfig else {"width": 8, "depth": 1}
    for time in ("inner", "sequence"):
        config = kind(neuron=config_for(neuron), time=time, **small)
        if neuron == "dh-lif":
            with pytest.raises(ConfigError, match="DHLIF has 4 inputs and needs dense blocks"):
                config.build(3, 2, generator())
            continue
        y, _ = config.build(3, 2, generator())(3 * draw(7, 2, 3).float())
        y.square().sum().backward()
        assert y.isfinite().all()


def test_energy_sees_every_product_of_a_spiking_tcn():
    network = SpikingTCNConfig(channels=(4,), kernel=2, neuron=HALF).build(1, 2, generator()).eval()
    x = torch.zeros(5, 1, 1)
    x[1] = 1.0
    layers = {layer.name: layer.operations for layer in count_operations(network, x).layers}
    assert layers["blocks.0.first"].acs == 4 * 2 and layers["blocks.0.around"].acs == 4
    silent = {layer.name: layer.operations for layer in count_operations(network, torch.zeros(5, 1, 1)).layers}
    assert silent["blocks.0.first"].acs == silent["blocks.0.first"].macs == 0


def test_credit_of_a_clock_is_none():
    network = SpikeTransformerConfig(width=8, heads=2).build(3, 2, generator())
    set_credit(network, Credit(carry=False))
    _, state = network(draw(5, 2, 3).float())
    assert state.blocks[0].tolist() == [5, 5]


def test_wrong_descriptions_are_named():
    with pytest.raises(ConfigError, match="levels of at least one channel and a kernel of at least 2"):
        SpikingTCNConfig(channels=())
    with pytest.raises(ConfigError, match="a width that its heads divide, got width=64, depth=2 and heads=5"):
        SpikeTransformerConfig(heads=5)
    with pytest.raises(ConfigError, match="inner_steps=3 with time='sequence'"):
        SpikingTCNConfig(time="sequence", inner_steps=3)
    with pytest.raises(ConfigError, match="time of the neurons is inner or sequence; got 'both'"):
        BinaryS4DConfig(time="both")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one block, channel and mode"):
        GSUSSMConfig(modes=0)
    with pytest.raises(ConfigError, match="at least one layer of at least one cell"):
        LSTMConfig(hidden=())
    with pytest.raises(ConfigError, match="takes vectors or tokens, and the input is frames of shape"):
        TCNConfig().build((1, 8, 8), 2, generator())
    with pytest.raises(ConfigError, match="memory is full or packed"):
        LSTMConfig(memory="half")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"needs vectors \(N,\) and a stride of 1, got \(3, 4, 4\) and 1"):
        LSTMConfig().plans()[0].build((3, 4, 4), 1, generator())
    network = SpikeTransformerConfig(width=8, heads=2).build(3, 2, generator())
    _, state = network(torch.zeros(4, 2, 3))
    with pytest.raises(ShapeError, match="the place of each of 5 sequences"):
        network(torch.zeros(4, 5, 3), state)
