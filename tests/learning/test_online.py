"""Online rules against the full gradient: what they claim to keep they keep, and nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.learning.oracle import CrossEntropy, bptt, oracle
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.batch import Batch
from spikeworks.core.credit import Credit
from spikeworks.core.errors import ConfigError, TrainingDiverged
from spikeworks.core.seeds import stream
from spikeworks.layers import Conv2d, ReadoutConfig, TimeTiedDropout
from spikeworks.learning import METHODS, EPropConfig, OnlineConfig, OSTLConfig, OTTTConfig, Plan, SLTTConfig
from spikeworks.measure.live import watch_memory
from spikeworks.models import ConvNetConfig, MSResNet18Config, Network, SEWResNet18Config, StackConfig
from spikeworks.models.network import Block
from spikeworks.models.stack import ConvConfig, EmbeddingConfig
from spikeworks.neurons import ALIF, LIF, NEURONS, TCLIF, Neuron, Reset, Surrogate, config_for
from spikeworks.optim import AdamWConfig, ConstantConfig, SGDConfig


@pytest.fixture(autouse=True)
def plain_loop() -> Iterator[None]:
    """The reference form of all neurons: no kernel has to be built for a small network."""
    with kernels.use("loop"):
        yield


STILL = Plan(optimizer=SGDConfig(learning_rate=0.0, clip=None), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1)
SOFT = LIF.Config(decay=0.8, reset=Reset(detach=True), trainable=("decay", "threshold"))
KEPT = LIF.Config(decay=0.8, trainable=("decay", "threshold"))
HARD = LIF.Config(decay=0.8, reset=Reset(kind="hard", detach=True), trainable=("decay", "threshold"))
WIDE = Surrogate(kind="sigmoid", width=0.5)


def network(neuron: Any = SOFT, hidden: tuple[int, ...] = (6,), **values: Any) -> Network:
    made = StackConfig(hidden=hidden, neuron=neuron, **values).build(3, 4, stream(0, "weights")).double()
    with torch.no_grad():  # spikes in every layer
        for block in made.blocks:
            block.synapse.weight.mul_(2.0)
    return made


def batch(steps: int = 9, size: int = 5, seed: int = 1) -> Batch:
    generator = stream(seed, "batch")
    x = 2 * torch.rand(steps, size, 3, generator=generator, dtype=torch.float64)
    return Batch(x=x, target=torch.randint(4, (size,), generator=generator))


def online(net: Network, config: OnlineConfig, b: Batch, plan: Plan = STILL) -> dict[str, torch.Tensor]:
    """The gradients that an update of ``config`` leaves."""
    config.build(net, CrossEntropy(), plan).update(b)
    found = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in net.named_parameters()}
    net.zero_grad()
    return found


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], only: str = "") -> None:
    compared = 0
    for name, gradient in wanted.items():
        if name.startswith(only):
            assert_close(found[name], gradient, rtol=1e-9, atol=1e-13, msg=lambda m, name=name: f"{name}: {m}")
            compared += bool(gradient.abs().max() > 1e-6)
    assert compared >= 2


def apart(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], name: str) -> float:
    return ((found[name] - wanted[name]).norm() / wanted[name].norm()).item()


FIRST = "blocks.0.synapse.weight"


# -- one layer: the full gradient ------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize(
    "config, neuron",
    [
        (OTTTConfig(), SOFT),
        (EPropConfig(), SOFT),
        (OSTLConfig(), SOFT),
        (OSTLConfig(), KEPT),
        (OSTLConfig(), HARD),
        (EPropConfig(), HARD),
        (EPropConfig(), ALIF.Config()),
        (EPropConfig(), ALIF.Config(trace="sum", reset=Reset(detach=True))),
        (OSTLConfig(), TCLIF.Config()),
    ],
    ids=str,
)
def test_one_layer_is_bptt(config: OnlineConfig, neuron: Any, chunk: int | None) -> None:
    net = network(neuron)
    same(online(net, dataclasses.replace(config, chunk=chunk), batch()), bptt(net, batch()))


@pytest.mark.parametrize(
    "config, neuron", [(OTTTConfig(chunk=4), SOFT), (OSTLConfig(chunk=4), TCLIF.Config())], ids=str
)
def test_fused_kernels_give_the_same(config: OnlineConfig, neuron: Any) -> None:
    net = network(neuron, hidden=(6, 5), recurrent=(False, True))
    wanted = online(net, config, batch())
    with kernels.use("auto"):
        same(online(net, config, batch()), wanted)


def test_ottt_misses_a_reset_that_is_differentiated() -> None:
    net = network(KEPT)
    assert apart(online(net, OTTTConfig(), batch()), bptt(net, batch()), FIRST) > 0.05
    same(online(net, OTTTConfig(), batch()), bptt(network(SOFT), batch()))


NEURON_NAMES = [
    name
    for name in NEURONS.names()
    if len(NEURONS.get(name).inputs) == 1
    and not getattr(NEURONS.get(name), "whole_sequence", False)
    and not getattr(NEURONS.get(name), "mixes_neurons", False)
    and name != "stochastic-psn"  # draws its spikes in training
]


@pytest.mark.parametrize("name", NEURON_NAMES)
def test_every_neuron_has_the_full_gradient_of_one_layer(name: str) -> None:
    """Weights, bias and all of the neuron's own parameters; tables over time have no trace, which is said below."""
    config = config_for(name)
    trainable = tuple(p for p, d in NEURONS.get(name).parameters_declared.items() if d.per != "step")
    net = network(dataclasses.replace(config, trainable=trainable), hidden=(5,))
    b = batch(steps=12)
    b.x.mul_({"izhikevich": 30.0, "adlif": 5.0, "se-adlif": 3.0}.get(name, 1.0))
    same(online(net, OSTLConfig(chunk=5), b), bptt(net, b))


def test_several_inputs_have_traces_each() -> None:
    net = network(config_for("dh-lif"), hidden=(5,))
    same(online(net, OSTLConfig(), batch()), bptt(net, batch()))


def test_a_table_over_time_learns_from_its_own_step_alone() -> None:
    name = "glif"
    net = network(config_for(name), hidden=(5,))
    found, wanted = online(net, OSTLConfig(), batch()), bptt(net, batch())
    tables = [n for n in wanted if n.endswith("conductance")]
    assert tables and all(not torch.equal(found[n], wanted[n]) for n in tables)
    same(found, {n: g for n, g in wanted.items() if n not in tables})


# -- several layers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config, neuron, cuts",
    [
        (OTTTConfig(), SOFT, {"cut_spikes": True}),
        (OTTTConfig(chunk=2), TCLIF.Config(), {"cut_spikes": True}),
        (OTTTConfig(), TCLIF.Config(reset_form="paper"), {"cut_spikes": True}),
        (OSTLConfig(), TCLIF.Config(), {}),
        (OSTLConfig(), TCLIF.Config(reset_form="paper"), {}),
        (OSTLConfig(spikes="cut"), config_for("adaptive-tc-lif"), {"cut_spikes": True}),
        (OSTLConfig(chunk=3), config_for("adaptive-tc-lif"), {}),
        (EPropConfig(), ALIF.Config(), {}),
    ],
    ids=str,
)
def test_layers_are_the_full_gradient_without_later_effects(config: OnlineConfig, neuron: Any, cuts: Any) -> None:
    """And nothing is missing from the last layer."""
    free = ("dendritic_reset", "threshold") if "tc-lif" in neuron.label else ()
    net = network(dataclasses.replace(neuron, trainable=(*neuron.trainable, *free)), hidden=(6, 5, 4))
    found = online(net, config, batch())
    same(found, oracle(net, batch(), **cuts))
    whole = oracle(net, batch(), cut_later=False, **cuts)
    same(found, whole, "blocks.2")
    assert apart(found, whole, FIRST) > 0.01


def test_the_oracle_without_cuts_is_bptt() -> None:
    net = network(ALIF.Config(), hidden=(6, 5))
    same(oracle(net, batch(), cut_later=False), bptt(net, batch()))


@pytest.mark.parametrize("neuron", [SOFT, TCLIF.Config(trainable=("to_dendrite", "to_soma", "threshold"))], ids=str)
def test_through_next_is_exact_for_the_last_two_layers(neuron: Any) -> None:
    net = network(neuron, hidden=(6, 5))
    config = OnlineConfig(traces="exact", spikes="cut", through_next=True, chunk=4)
    whole = oracle(net, batch(), cut_later=False, cut_spikes=True)
    same(online(net, config, batch()), whole)
    assert apart(online(net, dataclasses.replace(config, through_next=False), batch()), whole, FIRST) > 0.01
    deeper = network(neuron, hidden=(6, 5, 4))
    same(online(deeper, config, batch()), oracle(deeper, batch(), cut_later=False, cut_spikes=True), "blocks.1")


@pytest.mark.parametrize("kind", ["leaky", "sum"])
def test_through_next_counts_in_the_memory_of_a_readout(kind: Any) -> None:
    net = network(KEPT, readout=ReadoutConfig(kind=kind, decay=0.7))
    b = batch()
    x, _ = net.blocks[0](b.x)
    total, loss = torch.zeros(b.size, 6, dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    decay = 0.7 if kind == "leaky" else 1.0
    weight = 0.0
    for now in x:
        total, weight = decay * total + now, decay * weight + 1.0
        y = total @ net.readout.linear.weight.detach().t() + weight * net.readout.linear.bias.detach()
        loss = loss + torch.nn.functional.cross_entropy(y, b.target) / len(x)
    wanted = torch.autograd.grad(loss, net.blocks[0].synapse.weight)[0]
    found = online(net, OnlineConfig(traces="exact", through_next=True), b)
    assert_close(found[FIRST], wanted, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "neuron, config", [(SOFT, OTTTConfig()), (KEPT, EPropConfig()), (ALIF.Config(), EPropConfig())], ids=str
)
def test_recurrent_layers_miss_only_what_is_heard(neuron: Any, config: OnlineConfig) -> None:
    net = network(neuron, recurrent=(True,), recurrent_diagonal=False)
    found = online(net, dataclasses.replace(config, chunk=4), batch())
    cuts = {"cut_spikes": config.spikes == "cut"}
    same(found, oracle(net, batch(), **cuts))
    assert found["blocks.0.neuron.synapse.weight"].diagonal().abs().max() == 0
    assert apart(found, oracle(net, batch(), cut_heard=False, **cuts), FIRST) > 0.01
    net.blocks[0].neuron.neuron.credit = Credit(feedback=False)
    if config.spikes == "neuron":
        same(found, bptt(net, batch()))


@pytest.mark.parametrize("name, values", [("gsn", {"shared": False}), ("dh-lif", {})])
@pytest.mark.parametrize("diagonal", [True, False])
def test_neurons_that_hear_themselves_through_several_inputs(name: str, values: Any, diagonal: bool) -> None:
    net = network(config_for(name, **values), recurrent=(True,), recurrent_diagonal=diagonal)
    found = online(net, OSTLConfig(chunk=4), batch())
    net.blocks[0].neuron.neuron.credit = Credit(feedback=False)
    same(found, bptt(net, batch()))
    assert found["blocks.0.neuron.synapse.weight"].abs().max() > 1e-6


@pytest.mark.parametrize("chunk", [1, 16])
def test_without_leak_all_rules_are_bptt(chunk: int) -> None:
    net = network(LIF.Config(decay=0.0, reset=Reset(detach=True)), hidden=(6, 5))
    wanted = bptt(net, batch())
    for config in (SLTTConfig(chunk=chunk), OTTTConfig(chunk=chunk), OSTLConfig(chunk=chunk)):
        same(online(net, config, batch()), wanted)


def test_sltt_is_backpropagation_through_space() -> None:
    net = network(SOFT, hidden=(6, 5))
    found = online(net, SLTTConfig(), batch())
    for name, neuron in net.neurons():
        neuron.credit = Credit(window=1)
        assert name
    wanted = bptt(net, batch())
    same(found, wanted)
    for _, neuron in net.neurons():
        neuron.credit = Credit()
    assert apart(found, bptt(net, batch()), FIRST) > 0.1


def test_sltt_k_learns_at_k_steps() -> None:
    """At all steps it is SLTT; over all updates its mean is K / T of it."""
    net, b = network(SOFT), batch(steps=4)
    whole = online(net, SLTTConfig(), b)
    same(online(net, SLTTConfig(steps=4), b), whole)
    learner = SLTTConfig(steps=2, chunk=1).build(net, CrossEntropy(), STILL)
    chosen, total, losses = [], torch.zeros_like(whole[FIRST]), []
    for _ in range(150):
        chosen.append(learner.chosen(4))
        losses.append(learner.update(b)["loss"])
        gradient = net.get_parameter(FIRST).grad
        assert gradient is not None and chosen[-1].sum() == 2
        total += gradient
    often = torch.stack(chosen).double().mean(0)
    assert ((often - 0.5).abs() < 0.15).all()
    assert (total / 150 - whole[FIRST] / 2).norm() < 0.1 * whole[FIRST].norm()
    every = SLTTConfig().build(net, CrossEntropy(), STILL).update(b)["loss"]
    assert math.isclose(sum(losses) / 150, every, rel_tol=0.05)


# -- convolutions, normalisation, tokens -----------------------------------------------------------


def test_convolutions_have_a_trace_of_their_input() -> None:
    net = StackConfig(hidden=(3, 2), neuron=SOFT, conv=ConvConfig(kernel=3, stride=1)).build(6, 4, stream(0, "w"))
    net = net.double()
    b = Batch(x=3 * torch.rand(8, 4, 6, dtype=torch.float64, generator=stream(2)), target=torch.arange(4))
    found = online(net, OTTTConfig(chunk=3), b)
    same(found, oracle(net, b, cut_spikes=True))
    same(found, bptt(net, b), "blocks.1")


def test_two_dimensional_convolutions() -> None:
    neuron = SOFT.build(3)
    synapse = Conv2d(2, 3, kernel=3, generator=stream(0))
    readout = StackConfig(hidden=(3 * 16,)).build(1, 4, stream(0, "w")).readout
    net = Network([Block(TimeTiedDropout(0.0), synapse, None, neuron)], readout).double()
    b = Batch(x=3 * torch.rand(6, 3, 2, 4, 4, dtype=torch.float64, generator=stream(2)), target=torch.arange(3))
    same(online(net, OTTTConfig(chunk=4), b), bptt(net, b))
    held = dataclasses.replace(b, x=b.x[:1].expand(6, -1, -1, -1, -1))  # one frame, as a view
    same(online(net, OTTTConfig(chunk=4), held), bptt(net, held))


@pytest.mark.parametrize("config", [ConvNetConfig, MSResNet18Config, SEWResNet18Config])
def test_networks_for_frames_have_traces_of_all_convolutions(config: Any) -> None:
    """One frame, shown at every step. What lies behind the last neurons' synapse is exact; no layer is left out."""
    net = config(neuron=SOFT, norm="none", width=0.06).build((2, 8, 8), 4, stream(0, "w")).double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.startswith("blocks") and p.dim() == 4:
                p.mul_(3.0)
    frames = 2 * torch.rand(1, 3, 2, 8, 8, dtype=torch.float64, generator=stream(2)).expand(5, -1, -1, -1, -1)
    b = Batch(x=frames, target=torch.arange(3))
    found, wanted = online(net, OTTTConfig(chunk=2), b), bptt(net, b)
    same(found, online(net, OTTTConfig(chunk=1), b))
    same(found, wanted, "readout")
    if config is ConvNetConfig:
        same(found, wanted, f"blocks.{len(net.blocks) - 1}")
    instant = online(net, SLTTConfig(chunk=2), b)
    weights = [n for n, g in wanted.items() if g.dim() == 4 and g.abs().max() > 0]
    behind = [n for n in weights if not torch.equal(found[n], instant[n])]
    assert len(weights) >= 2 and len(behind) >= len(weights) - 1


def test_a_norm_of_each_step_gives_one_gradient_for_all_chunks() -> None:
    net = network(SOFT, hidden=(6, 5), norm="batch-step")
    found = [online(net, OTTTConfig(chunk=chunk), batch()) for chunk in (1, 4, None)]
    same(found[0], found[1])
    same(found[0], found[2])


@pytest.mark.parametrize("config", [OTTTConfig(chunk=3), EPropConfig(chunk=2)], ids=str)
def test_tokens_learn_at_every_step(config: OnlineConfig) -> None:
    made = StackConfig(
        hidden=(6,), neuron=SOFT, embedding=EmbeddingConfig(size=3), readout=ReadoutConfig(kind="every")
    ).build(7, 7, stream(0, "w"), tokens=True)
    net = made.double()
    ids = torch.randint(7, (4, 8), generator=stream(3))
    b = Batch(x=ids[:, :-1], target=ids[:, 1:])
    assert net.embedding is not None
    with torch.no_grad():
        net.blocks[0].synapse.weight.mul_(8.0)
        net.embedding.weight.mul_(10.0)

    class NextToken:
        def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(output.flatten(0, 1), batch.target.t().flatten())

    shown = []
    learner = config.build(net, NextToken(), STILL)
    metrics = learner.update(b, lambda output, seen: shown.append((output, seen)))
    output, _ = net(b.x)
    loss = NextToken().loss(output, b)
    assert math.isclose(metrics["loss"], loss.item()) and metrics["count"] == 28
    assert_close(shown[0][0], output.detach())
    wanted = torch.autograd.grad(loss, net.blocks[0].synapse.weight)[0]
    assert_close(net.get_parameter(FIRST).grad, wanted, rtol=1e-9, atol=1e-13)


# -- the learning signal ---------------------------------------------------------------------------


def test_random_feedback_of_the_readout_is_symmetric() -> None:
    net = network(KEPT)
    wanted = online(net, EPropConfig(), batch())
    learner = EPropConfig(feedback="random", chunk=4).build(net, CrossEntropy(), STILL)
    learner.random_feedback["0.neuron"] = net.readout.linear.weight.detach().clone()
    learner.update(batch())
    same({n: p.grad for n, p in net.named_parameters() if p.grad is not None}, wanted)
    net.zero_grad()
    drawn = online(net, EPropConfig(feedback="random"), batch())
    same(drawn, wanted, "readout")
    assert apart(drawn, wanted, FIRST) > 0.1


def test_random_feedback_reaches_every_layer_and_is_drawn_from_the_seed() -> None:
    net = network(KEPT, hidden=(6, 5))
    a, b = (online(net, EPropConfig(feedback="random"), batch()) for _ in range(2))
    same(a, b)
    other = online(net, EPropConfig(feedback="random"), batch(), dataclasses.replace(STILL, seed=1))
    assert a[FIRST].abs().max() > 0 and not torch.equal(a[FIRST], other[FIRST])
    same(a, other, "readout")


# -- updates ---------------------------------------------------------------------------------------


def learning(rate: float, **values: Any) -> Plan:
    return Plan(
        optimizer=SGDConfig(learning_rate=rate, clip=None),
        schedule=ConstantConfig(),
        steps_per_epoch=1,
        epochs=1,
        **values,
    )


def stepped(config: OnlineConfig, b: Batch, rate: float = 0.5, count: int = 1) -> list[torch.Tensor]:
    net = network(SOFT, hidden=(6, 5), dropout=0.3)
    learner = config.build(net, CrossEntropy(), learning(rate))
    for _ in range(count):
        learner.update(b)
    return [p.detach().clone() for p in net.parameters()]


def test_step_updates_of_rate_zero_change_nothing_and_one_step_is_one_sequence() -> None:
    before = [p.detach() for p in network(SOFT, hidden=(6, 5), dropout=0.3).parameters()]
    assert all(torch.equal(a, b) for a, b in zip(stepped(OTTTConfig(update="step"), batch(), 0.0), before, strict=True))
    short = batch(steps=1)
    once, often = stepped(OTTTConfig(), short), stepped(OTTTConfig(update="step"), short)
    assert all(torch.equal(a, b) for a, b in zip(once, often, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(once, before, strict=True))


def test_step_updates_follow_plain_torch() -> None:
    """SLTT with one step of the optimiser at each step of time, written out."""
    net, twin = network(SOFT, hidden=(6, 5)), network(SOFT, hidden=(6, 5))
    b = batch(steps=5)
    metrics = SLTTConfig(update="step").build(net, CrossEntropy(), learning(0.5)).update(b)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5)
    states: list[Any] = [None, None]
    total = 0.0
    for t in range(5):
        x = b.x[t : t + 1]
        for i, block in enumerate(twin.blocks):
            x, after = block(x, states[i])
            states[i] = type(after)(*(s.detach() for s in after))
        loss = torch.nn.functional.cross_entropy(twin.readout.linear(x)[0], b.target) / 5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    assert math.isclose(metrics["loss"], total, rel_tol=1e-12)
    for a, c in zip(net.parameters(), twin.parameters(), strict=True):
        assert_close(a, c, rtol=1e-12, atol=1e-14)


@given(st.permutations(range(5)))
@settings(max_examples=5)
def test_the_order_of_a_batch_does_not_matter(order: list[int]) -> None:
    net, b = network(KEPT, hidden=(6, 5)), batch()
    other = Batch(x=b.x[:, order], target=b.target[order])
    same(online(net, OSTLConfig(), other), online(net, OSTLConfig(), b))


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky"])
@pytest.mark.parametrize("config", [SLTTConfig(chunk=4), OTTTConfig(chunk=4), OSTLConfig()], ids=str)
def test_masked_steps_are_as_if_they_were_not(kind: Any, config: OnlineConfig) -> None:
    net = network(SOFT, readout=ReadoutConfig(kind=kind))
    short = batch(steps=6)
    x = torch.cat([short.x, torch.rand(3, 5, 3, dtype=torch.float64)])
    mask = torch.arange(9).unsqueeze(1).expand(9, 5) < 6
    shown: list[torch.Tensor] = []
    learner = config.build(net, CrossEntropy(), STILL)
    learner.update(short, lambda output, seen: shown.append(output))
    wanted = {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}
    learner.update(Batch(x=x, target=short.target, mask=mask), lambda output, seen: shown.append(output))
    same({n: p.grad for n, p in net.named_parameters() if p.grad is not None}, wanted)
    assert_close(*shown)
    assert_close(shown[0], net(short.x)[0].detach())


def test_dropout_is_one_mask_for_all_chunks() -> None:
    parts = [stepped(OTTTConfig(chunk=chunk), batch(), count=2) for chunk in (1, 4, None)]
    for other in parts[1:]:
        for a, b in zip(parts[0], other, strict=True):
            assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_a_resumed_stream_goes_on_bit_for_bit() -> None:
    def made() -> Any:
        plan = Plan(
            optimizer=AdamWConfig(learning_rate=0.02), schedule=ConstantConfig(), steps_per_epoch=4, epochs=2, seed=3
        )
        net = network(SOFT, hidden=(6, 5), dropout=0.5, readout=ReadoutConfig(kind="leaky"))
        return OTTTConfig(update="step", steps=6).build(net, CrossEntropy(), plan)

    stream_of = [dataclasses.replace(batch(seed=i), fresh=False) for i in range(5)]
    whole = made()
    losses = [whole.update(b)["loss"] for b in stream_of]
    first = made()
    for b in stream_of[:2]:
        first.update(b)
    tensors, numbers = first.state_dict()
    again = made()
    again.load_state_dict({name: t.clone() for name, t in tensors.items()}, numbers)
    assert [again.update(b)["loss"] for b in stream_of[2:]] == losses[2:]
    assert len(set(losses)) == 5


@pytest.mark.parametrize("config", [SLTTConfig(), OTTTConfig(), OTTTConfig(update="step"), EPropConfig()], ids=str)
def test_the_rules_learn(config: OnlineConfig) -> None:
    net = network(dataclasses.replace(SOFT, surrogate=WIDE), hidden=(12, 12))
    plan = dataclasses.replace(STILL, optimizer=AdamWConfig(learning_rate=0.01))
    learner = config.build(net, CrossEntropy(), plan)
    losses = [learner.update(batch())["loss"] for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0] and net.blocks[0].neuron.credit == Credit()


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [SLTTConfig(chunk=16), OTTTConfig(chunk=16), EPropConfig(chunk=16), OTTTConfig(update="step")], ids=str
)
def test_memory_does_not_grow_with_the_sequence(config: OnlineConfig) -> None:
    def peak(steps: int) -> tuple[int, int]:
        neuron: Any = KEPT if isinstance(config, EPropConfig) else SOFT
        net = network(neuron, hidden=(12, 12))
        learner = config.build(net, CrossEntropy(), STILL)
        learner.update(batch(steps=2, size=8))  # optimiser state
        b = batch(steps=steps, size=8)
        with watch_memory([b.x, *net.parameters()]) as memory:
            learner.update(b)
        return memory.saved_peak, memory.live_peak

    short, long = peak(32), peak(160)
    known = (160 - 32) * 8  # which steps count is known of all, a byte each
    assert 0 < short[0] == long[0]
    assert long[1] <= 1.02 * short[1] + 3 * known


# -- what cannot be done ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net, config, message",
    [
        (torch.nn.Linear(3, 4), OTTTConfig(), "Linear has none"),
        (lambda: network(HARD), OTTTConfig(), "how LIF forgets depends on its state or input"),
        (lambda: network(ALIF.Config()), OTTTConfig(), "one trace for each input"),
        (lambda: network(LIF.Config(per_channel=("decay",), trainable=("decay",))), OTTTConfig(), "per channel"),
        (lambda: network(SOFT, norm="batch"), SLTTConfig(), "take the norm batch-step"),
        (lambda: network(config_for("psn", steps=9)), SLTTConfig(), "mixes all steps"),
        (lambda: network(config_for("ltc")), EPropConfig(), "cannot have traces"),
        (lambda: network(KEPT, hidden=(6, 5)), OnlineConfig(traces="exact", through_next=True), "through_next needs"),
    ],
)
def test_what_cannot_learn_so_is_refused(net: Any, config: OnlineConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(net() if not isinstance(net, torch.nn.Module) else net, CrossEntropy(), STILL)


def test_exact_traces_want_dense_synapses() -> None:
    made = StackConfig(hidden=(3,), neuron=KEPT, conv=ConvConfig(kernel=3, stride=1)).build(3, 4, stream(0, "w"))
    with pytest.raises(ConfigError, match="a copy of the kernel"):
        online(made.double(), OSTLConfig(), batch())
    with pytest.raises(ConfigError, match="normalisation"):
        online(network(KEPT, norm="layer"), OSTLConfig(), batch())
    early = dataclasses.replace(STILL, example=batch())
    with pytest.raises(ConfigError, match="normalisation"):
        OSTLConfig().build(network(KEPT, norm="layer"), CrossEntropy(), early)


def test_where_the_choice_is_open_spikes_are_cut_behind_other_synapses() -> None:
    conv = StackConfig(hidden=(3,), neuron=KEPT, conv=ConvConfig(kernel=3, stride=1))
    for made in (conv.build(3, 4, stream(0, "w")).double(), network(KEPT, norm="layer")):
        same(online(made, EPropConfig(), batch()), online(made, OTTTConfig(), batch()))
        learner = EPropConfig().build(made, CrossEntropy(), dataclasses.replace(STILL, example=batch()))
        assert "spikes cut" in learner.notes[0]


def test_notes_tell_what_traces_there_are() -> None:
    def notes(net: Network, config: OnlineConfig) -> list[str]:
        return list(config.build(net, CrossEntropy(), dataclasses.replace(STILL, example=batch())).notes)

    assert notes(network(SOFT, norm="layer"), OTTTConfig()) == [
        "0.neuron: one trace for each input",
        "0.norm: no trace, learn from each step alone",
    ]
    (why,) = notes(network(HARD), EPropConfig())
    assert why.startswith("0.neuron: one trace for each weight, because how LIF forgets")
    assert notes(network(config_for("glif")), OSTLConfig())[0].endswith("learn from their own step alone")
    assert notes(network(SOFT), SLTTConfig()) == ["0.neuron: no trace"]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"traces": "some"}, "traces is one of"),
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"through_next": True, "traces": "filter"}, "set traces exact"),
        ({"through_next": True, "feedback": "random"}, "set traces exact"),
    ],
)
def test_choices_that_do_not_go_together(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OnlineConfig(**values)


def test_a_step_that_is_not_finite_stops() -> None:
    net = network(SOFT)
    b = batch()
    b.x[4] = math.nan
    with pytest.raises(TrainingDiverged):
        OTTTConfig(update="step").build(net, CrossEntropy(), learning(0.1)).update(b)


def test_methods_are_registered() -> None:
    assert {"online", "sltt", "ottt", "eprop", "ostl"} <= set(METHODS.names())
    assert METHODS.get("ottt") is OTTTConfig and issubclass(EPropConfig, OnlineConfig) and Neuron is not None
