"""Normalisation and recurrence as options of a stack: every wiring, memory, export, counts, and learning."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from spikeworks.arena.config import Budget
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.core.config import config_id, from_dict, to_dict
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.core.state import detach, leaves, restore
from spikeworks.deploy import NIRError, export_nir
from spikeworks.layers import (
    BatchNorm,
    BatchNormThroughTime,
    DelayConfig,
    EachInputStepwise,
    ReadoutConfig,
    TemporalEffectiveBatchNorm,
    ThresholdBatchNorm,
)
from spikeworks.measure import count_operations
from spikeworks.models import ConvConfig, ModelConfig, Network, StackConfig
from spikeworks.models.flat import FlatState
from spikeworks.neurons import LIF, Neuron, Parameter, Reset, config_for
from spikeworks.tasks import task_for

T = 11
NORMS = ("batch-step", "tdbn", "tebn", "bntt")
STEPWISE = ("tebn", "bntt")
LIVELY = LIF.Config(threshold=0.4, decay=0.95)
EVERY = ReadoutConfig(kind="every")
WIRINGS = {
    "dense": {},
    "recurrent": {"recurrent": (True, False), "recurrent_start": "orthogonal", "recurrent_diagonal": False},
    "convolution": {"conv": ConvConfig(kernel=3, stride=1)},
    "delays": {"delay": DelayConfig(max_delay=4)},
    "branches": {"neuron": config_for("dh-lif", branches=3, threshold=0.2)},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signal(steps: int = T, batch: int = 5) -> Tensor:
    return 3 * torch.rand(steps, batch, 6, generator=seeded(1), dtype=torch.float64)


def build(norm: str, seed: int = 0, **fields) -> Network:
    """In float64; what a norm has for each step differs from step to step."""
    config = StackConfig(**{"hidden": (12, 9), "neuron": LIVELY, "norm": norm, "norm_steps": 20, **fields})
    network = config.build(6, 4, seeded(seed)).double()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if ".norm." in name and tensor.shape[:1] == (20,):
                tensor.mul_(0.5 + torch.rand(tensor.shape, generator=seeded(2), dtype=torch.float64))
    return network


def in_chunks(network: Network, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, object]:
    state, outputs = None, []
    for part in (slice(0, 5), slice(5, 6), slice(6, T)):
        output, state = network(x[part], state, None if mask is None else mask[part])
        outputs.append(output)
    return torch.cat(outputs), state


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("norm", NORMS)
def test_chunks_equal_the_whole_in_evaluation(norm, wiring):
    network, x = build(norm, readout=EVERY, **WIRINGS[wiring]), signal()
    mask = torch.arange(T)[:, None] < torch.tensor([11, 4, 7, 1, 9])
    for _ in range(3):
        network(x, mask=mask)  # training moves the averages
    network.eval()
    whole, end = network(x, mask=mask)
    output, state = in_chunks(network, x, mask)
    assert_close(output, whole, rtol=1e-12, atol=1e-12)
    assert_close(dict(leaves(state)), dict(leaves(end)), rtol=1e-12, atol=1e-12)
    assert len(whole.unique()) > 4  # a silent network gives the four biases at every step


@pytest.mark.parametrize("wiring", [w for w in WIRINGS if w != "delays"])
@pytest.mark.parametrize("norm", ["batch-step", "bntt"])
def test_statistics_of_each_step_make_chunks_equal_in_training(norm, wiring):
    x, found = signal(), []
    for run in (lambda network: network(x)[0], lambda network: in_chunks(network, x)[0]):
        network = build(norm, readout=EVERY, **WIRINGS[wiring])
        output = run(network)
        output.square().sum().backward()
        found.append((output.detach(), [p.grad for p in network.parameters()], dict(network.named_buffers())))
    assert len(found[0][0].unique()) > 4
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("norm", NORMS)
def test_padding_changes_nothing(norm):
    x = signal(8, 1)
    padded = torch.cat([x, torch.full((5, 1, 6), 7.0)])
    mask = torch.arange(13)[:, None] < 8
    conv = {"conv": ConvConfig(kernel=3)}  # the moments of a step are those of the places, too
    plain, masked = (build(norm, **conv)(*arguments)[0] for arguments in ((x,), (padded, None, mask)))
    assert_close(plain, masked, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("norm", NORMS)
def test_packed_memory_equals_full(norm, wiring):
    x, mask, found = signal(), torch.arange(T)[:, None] < torch.tensor([11, 8, 9, 11, 10]), []
    for memory in ("full", "packed"):
        network, leaf = build(norm, memory=memory, **WIRINGS[wiring]), x.clone().requires_grad_()
        first, state = network(leaf[:6], mask=mask[:6])
        output, state = network(leaf[6:], state, mask[6:])
        (output.square().sum() + first.sum()).backward()
        found.append([output.detach(), leaf.grad, *(p.grad for p in network.parameters()), *network.buffers()])
        found[-1] += [s for _, s in leaves(detach(state))]
    assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
    assert found[0][1].abs().sum() > 0


@pytest.mark.parametrize("norm", NORMS)
def test_weights_and_state_are_saved_and_loaded(norm):
    trained, x = build(norm), signal()
    trained(x)
    assert not torch.allclose(trained.blocks[0].synapse.weight, build(norm, seed=5).blocks[0].synapse.weight)
    other = build(norm, seed=5)
    other.load_state_dict(trained.state_dict())
    trained.eval(), other.eval()
    _, state = trained(x[:5])
    saved = {name: tensor.clone() for name, tensor in leaves(state)}
    _, template = other(x[:1])
    again = restore(template, saved)
    assert torch.equal(other(x[5:], again)[0], trained(x)[0])
    assert ("blocks.1.norm" in saved) == (norm in STEPWISE)


@pytest.mark.parametrize("norm", NORMS)
def test_descriptions_round_trip(norm):
    config = StackConfig(norm=norm, norm_steps=28, recurrent=(True, False), recurrent_diagonal=False)
    again = from_dict(ModelConfig, json.loads(json.dumps(to_dict(config))))
    assert again == config and config_id(again) == config_id(config)
    assert config_id(config) != config_id(dataclasses.replace(config, norm="batch"))


def test_each_name_builds_its_normalisation():
    kinds = {"batch-step": BatchNorm, "tdbn": ThresholdBatchNorm}
    kinds |= {"tebn": TemporalEffectiveBatchNorm, "bntt": BatchNormThroughTime}
    for norm, kind in kinds.items():
        assert {type(block.norm) for block in build(norm).blocks} == {kind}
    assert build("batch-step").blocks[0].norm.per_step and not build("batch").blocks[0].norm.per_step
    branches = build("bntt", **WIRINGS["branches"]).blocks[0].norm
    assert isinstance(branches, EachInputStepwise) and len(branches) == 3


def test_tdbn_takes_the_threshold_of_the_neurons():
    norm = build("tdbn", neuron=LIF.Config(threshold=0.3)).blocks[0].norm
    assert norm.threshold == 0.3 and norm.alpha == 1.0
    assert build("tdbn", neuron=config_for("glif")).blocks[1].norm.threshold == 0.5
    for name in ("psn", "gsn"):
        with pytest.raises(ConfigError, match="the neurons' initial threshold, and P?G?SN has not one above 0"):
            build("tdbn", neuron=config_for(name))

    class Below(Neuron):
        states = ("voltage",)
        threshold = Parameter(-1.0, trainable=False)

        def step(self, x, voltage, *, threshold):
            return self.fire(voltage - threshold), 0.5 * voltage + x

    with pytest.raises(ConfigError, match="Below has not one above 0, but -1"):
        build("tdbn", neuron=Below.Config())


@pytest.mark.parametrize("norm", STEPWISE)
def test_steps_are_needed_and_bound_the_sequence(norm):
    for steps in (None, 0):
        with pytest.raises(ConfigError, match=f"norm {norm} has parameters for each step and needs norm_steps"):
            StackConfig(norm=norm, norm_steps=steps)
    network = build(norm, norm_steps=T)
    _, state = network(signal())
    with pytest.raises(ShapeError, match=r"up to 11 steps, this one reaches 12\.(.|\n)*norm_steps"):
        network(signal(1), state)


def test_other_names_are_refused():
    with pytest.raises(ConfigError, match=r"norm is one of none, batch, layer, batch-step, tdbn, tebn, bntt; got 'bn'"):
        StackConfig(norm="bn")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="recurrent_start is uniform or orthogonal; got 'eye'"):
        StackConfig(recurrent_start="eye")  # type: ignore[arg-type]


def test_recurrence_starts_as_described():
    network = build("none", recurrent=(True, True), recurrent_start="orthogonal", recurrent_diagonal=False)
    for block in network.blocks:
        stored = block.neuron.synapse.weight.detach()
        assert block.neuron.zero_diagonal and not stored.diagonal().any()
    whole = build("none", recurrent=(True, False), recurrent_start="orthogonal").blocks[0].neuron
    assert not whole.zero_diagonal
    assert_close(whole.weight @ whole.weight.T, torch.eye(12, dtype=torch.float64), rtol=0, atol=1e-5)
    plain = build("none", recurrent=(True, False)).blocks[0].neuron
    assert not plain.zero_diagonal and plain.weight.abs().max() <= 12**-0.5


def test_gains_do_not_decay():
    for norm in NORMS:
        network = build(norm)
        groups = network.parameter_groups(0.1)
        assert {g["lr_scale"] for g in groups} == {1.0}
        decayed = {id(p) for g in groups if g["weight_decay"] for p in g["params"]}
        inside = {id(p) for block in network.blocks for p in block.norm.parameters()}
        assert inside and not inside & decayed


@pytest.mark.parametrize("norm", NORMS)
def test_meters_count_what_cannot_be_folded(norm):
    network, x = build(norm).float(), signal().float()
    report = count_operations(network, x)
    assert report.uncounted == () and report.not_called == ()
    found = {layer.name: layer.operations for layer in report.layers}["blocks.0.norm"]
    assert found.macs == (T * 12 if norm in STEPWISE else 0)
    assert found.weight_reads == {"tebn": T, "bntt": 2 * T * 12}.get(norm, 0)
    assert found.state_writes == (T if norm in STEPWISE else 0)
    mask = torch.arange(T)[:, None] < torch.tensor([11, 4, 7, 1, 9])
    assert count_operations(network, x, mask).total.macs < report.total.macs


@pytest.mark.parametrize("norm", NORMS)
def test_an_exported_step_streams(norm):
    network, x = build(norm), signal()
    network(x)
    flat = FlatState(network.eval(), x[:1])
    assert ("blocks.0.norm" in flat.names) == (norm in STEPWISE)
    with torch.no_grad():
        _, *state = flat(x[:1])
        program = torch.export.export(flat, (x[1:2], *state)).module()
        outputs = list(x[1:])
        for t, x_t in enumerate(x[1:]):
            outputs[t], *state = program(x_t.unsqueeze(0), *state)
        assert_close(outputs[-1], network(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("norm", STEPWISE)
def test_one_compiled_graph_equals_eager(norm):
    network, x, found = build(norm, hidden=(7,)), signal(), []
    torch.compiler.reset()
    twin = copy.deepcopy(network)
    for run in (network, torch.compile(twin, fullgraph=True, backend="eager")):
        first, state = run(x[:6])
        output, _ = run(x[6:], detach(state))
        (first.sum() + output.square().sum()).backward()
        found.append((first.detach(), output.detach()))
    assert_close(found[1], found[0], rtol=1e-9, atol=1e-10)
    assert_close([p.grad for p in twin.parameters()], [p.grad for p in network.parameters()], rtol=1e-9, atol=1e-10)
    assert_close(dict(twin.named_buffers()), dict(network.named_buffers()), rtol=1e-9, atol=1e-10)


def test_nir_folds_what_is_one_map_at_all_steps_and_refuses_the_rest():
    pytest.importorskip("nir")
    hard = LIF.Config(reset=Reset(kind="hard"))
    network = build("batch-step", neuron=hard)
    network(signal())
    block = network.eval().blocks[0]
    scale, shift = block.norm.folded()
    node = export_nir(network).nodes["block0_synapse"]
    assert_close(torch.as_tensor(node.weight), (block.synapse.weight * scale[:, None]).detach())
    assert_close(torch.as_tensor(node.bias), (block.synapse.bias * scale + shift).detach())
    for norm in STEPWISE:
        kind = type(build(norm).blocks[0].norm).__name__
        with pytest.raises(NIRError, match=rf"blocks\.0\.norm \({kind}\): only batch normalisation .* can be folded"):
            export_nir(build(norm, neuron=hard))


@pytest.mark.parametrize("norm", ["batch", "layer", *NORMS])
def test_digits_by_row_are_learnt(norm, tmp_path):
    options = {"hidden": (32,), "norm": norm, "norm_steps": 8}
    config = describe_run(task_for("seq-digits", by="row"), "lif", **options)
    config = dataclasses.replace(config, budget=Budget(epochs=3, batch_size=64))
    assert Run(config, tmp_path).execute()["score"]["test"] > 0.4  # of ten classes; 0.53 to 0.65 when written
