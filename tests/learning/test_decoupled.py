"""Learning in parts: which gradients it leaves, against programs in plain autograd, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.core.seeds import stream
from spikeworks.core.units import parse_bytes
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import (
    AugLocalConfig,
    BPTTConfig,
    Cutting,
    Decoupled,
    LocalConfig,
    OnlineConfig,
    Plan,
    STDLConfig,
    TruncatedConfig,
)
from spikeworks.learning.local import build_parts
from spikeworks.measure import watch_memory
from spikeworks.models import Network, StackConfig
from spikeworks.models.vgg import ConvNetConfig
from spikeworks.neurons import ALIF, LIF, Reset
from spikeworks.optim import AdamWConfig, ConstantConfig, SGDConfig

STEPS, SIZE = 6, 5


class CrossEntropy:
    """Of class scores; the call with the number ``louder`` is told seven times as loud."""

    def __init__(self, louder: int | None = None) -> None:
        self.calls, self.louder = 0, louder

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        value = nn.functional.cross_entropy(output, batch.target)
        self.calls += 1
        return 7 * value if self.calls - 1 == self.louder else value


def network(**values: Any) -> Network:
    return StackConfig(hidden=(7, 6, 8), **values).build(3, 4, stream(0, "weights")).double()  # type: ignore[return-value]


def batch(masked: bool = False, size: int = SIZE) -> Batch:
    generator = stream(1, "batch")
    x = 3 * torch.rand(STEPS, size, 3, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([STEPS, 3, STEPS - 1, 2, 4])
    mask = torch.arange(STEPS).unsqueeze(1) < lengths if masked else None
    return Batch(x=x, target=torch.randint(4, (size,), generator=generator), mask=mask)


def plan(**values: Any) -> Plan:
    optimizer = SGDConfig(learning_rate=1.0, clip=None)
    given = {"optimizer": optimizer, "example": batch(), **values}
    return Plan(schedule=ConstantConfig(), steps_per_epoch=1, epochs=1, **given)


def moved(config: Any, net: Network, objective: Any = None, data: Batch | None = None) -> dict[str, Tensor]:
    """What an update with learning rate 1 takes from every parameter of the network: its gradient."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    learner = config.build(net, objective or CrossEntropy(), plan())
    for module in learner.beside:
        module.double()
    learner.update(data or batch())
    return {name: before[name] - p.detach() for name, p in net.named_parameters()}


def close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.allclose(value, b[name], rtol=tolerance, atol=tolerance), name
    assert any(value.abs().max() > 1e-4 for value in a.values())


def test_one_part_with_the_sequence_loss_is_bptt() -> None:
    whole = TruncatedConfig(window=None, chunk=None, loss="sequence")
    close(moved(whole, network()), moved(BPTTConfig(), network()), 0.0)


def stepwise_reference(window: int, kind: str, masked: bool) -> dict[str, Tensor]:
    """SLTT and truncated BPTT written out: states detached at windows, one loss a step."""
    net, data = network(readout=ReadoutConfig(kind=kind, decay=0.8)), batch(masked)  # type: ignore[arg-type]
    states: list[Any] = [None] * 3
    valid = torch.ones(STEPS, SIZE, dtype=torch.bool) if data.mask is None else data.mask
    total = torch.zeros(SIZE, 9, dtype=torch.float64)
    losses, weights = [], []
    for t in range(STEPS):
        if t % window == 0:
            states = [s and type(s)(*(v.detach() for v in s)) for s in states]
        x = data.x[t : t + 1]
        for i, block in enumerate(net.blocks):
            x, states[i] = block(x, states[i])
        now = torch.cat([x[0], torch.ones(SIZE, 1, dtype=torch.float64)], 1)
        read = now
        if kind in ("sum", "leaky"):
            read = now + (total.detach() * (0.8 if kind == "leaky" else 1.0))
            total = read
        linear = net.readout.linear
        scores = read[:, :-1] @ linear.weight.t() + read[:, -1:] * linear.bias
        here = valid[t] if kind != "last" else valid.sum(0) - 1 == t
        for b in range(SIZE):
            if here[b]:
                losses.append(nn.functional.cross_entropy(scores[b : b + 1], data.target[b : b + 1]))
                weights.append(1.0)
    (torch.stack(losses).sum() / len(weights)).backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in net.named_parameters()}


@pytest.mark.parametrize("kind", ["mean", "last", "sum", "leaky"])
@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_truncated_credit_is_what_detached_states_give(kind: str, window: int, masked: bool) -> None:
    wanted = stepwise_reference(window, kind, masked)
    for chunk in (window, 2 * window, None):
        net = network(readout=ReadoutConfig(kind=kind, decay=0.8))  # type: ignore[arg-type]
        close(moved(TruncatedConfig(window=window, chunk=chunk), net, data=batch(masked)), wanted)


@pytest.mark.parametrize("build", [LocalConfig, AugLocalConfig, STDLConfig])
def test_order_and_chunks_change_no_gradient(build: Callable[..., Any]) -> None:
    extra = {"count": 3, "ratio": 1.0} if build is STDLConfig else {"loss": "step"}
    found = [
        moved(build(window=1, chunk=chunk, order=order, **extra), network())
        for chunk in (1, 2, None)
        for order in ("space", "time")
    ]
    for other in found[1:]:
        close(found[0], other)


def test_no_gradient_crosses_a_cut() -> None:
    plain = moved(LocalConfig(chunk=STEPS), network())
    for louder in range(3):
        loud = moved(LocalConfig(chunk=STEPS), network(), CrossEntropy(louder))
        for name, value in plain.items():
            own = name.startswith(f"blocks.{louder}.") or (louder == 2 and name.startswith("readout."))
            factor = 7.0 if own else 1.0
            assert torch.allclose(loud[name], factor * value, rtol=1e-10, atol=1e-14), name


class TwoParts:
    """The first block with all later ones as auxiliary network, and the rest."""

    def build(self, net: Network, objective: Any, given: Plan) -> Decoupled:
        parts = build_parts(net, [(0, 0), (1, 2)], [(1, 2), ()], 0)
        return Decoupled(net, objective, given, parts, Cutting(loss="sequence"))


def test_each_part_learns_from_what_its_own_program_says() -> None:
    """Immediate backward of each part equals one backward of the sum of all losses, cut between parts."""
    net, data = network(), batch()
    parts = build_parts(net, [(0, 0), (1, 2)], [(1, 2), ()], 0)
    for part in parts:
        part.double()
    x, loss = data.x, torch.zeros((), dtype=torch.float64)
    for part in parts:
        leaving, features, _ = part.advance(x, None, None)
        output, _ = part.readout(features)
        loss = loss + CrossEntropy().loss(output, data)
        x = leaving.detach()
    loss.backward()
    wanted = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    close(moved(TwoParts(), network()), wanted)


def test_the_rest_of_the_network_as_auxiliary_network_is_bptt() -> None:
    """Of the blocks before the cut, when the copies have the weights of their originals."""
    wanted = moved(BPTTConfig(), network())
    net = network()
    learner = TwoParts().build(net, CrossEntropy(), plan())
    first: Any = learner.parts[0]
    for block, copy in zip(list(net.blocks)[1:], first.auxiliary, strict=True):
        copy.double().load_state_dict(block.state_dict())
    first.readout.double().load_state_dict(net.readout.state_dict())
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    learner.update(batch())
    for name, p in net.named_parameters():
        if name.startswith("blocks.0."):
            assert torch.allclose(before[name] - p, wanted[name], rtol=1e-10, atol=1e-12)


def test_random_heads_do_not_learn_and_linear_ones_do() -> None:
    for heads, changes in (("linear", True), ("random", False)):
        learner = LocalConfig(heads=heads).build(network(), CrossEntropy(), plan())  # type: ignore[arg-type]
        learner.beside.double()
        before = [p.detach().clone() for p in learner.beside.parameters()]
        learner.update(batch())
        same = all(torch.equal(a, b) for a, b in zip(before, learner.beside.parameters(), strict=True))
        assert same != changes


def test_auxiliary_networks_are_not_part_of_the_network() -> None:
    net = network()
    names = set(net.state_dict())
    learner = STDLConfig(count=3, ratio=1.0).build(net, CrossEntropy(), plan())
    learner.beside.double()
    called: list[int] = []
    for module in learner.beside:
        module.register_forward_hook(lambda *_: called.append(1))
    learner.update(batch())
    assert set(net.state_dict()) == names
    called.clear()
    net.eval()(batch().x)
    assert not called


@pytest.mark.parametrize("config", [LocalConfig(count=2), STDLConfig(count=2, ratio=1.0), TruncatedConfig(chunk=16)])
def test_resumed_learner_continues_bit_for_bit(config: Any) -> None:
    def learner() -> Decoupled:
        net = StackConfig(hidden=(7, 6, 8), dropout=0.4, norm="batch").build(3, 4, stream(0, "weights"))
        return config.build(net, CrossEntropy(), plan(optimizer=AdamWConfig(learning_rate=0.02)))

    def data(index: int) -> Batch:
        x = 3 * torch.rand(STEPS, SIZE, 3, generator=stream(index, "batch"))
        return Batch(x=x, target=torch.arange(SIZE) % 4, fresh=index == 0)

    whole, cut = learner(), learner()
    for i in range(2):
        whole.update(data(i))
        cut.update(data(i))
    tensors, numbers = cut.state_dict()
    resumed = learner()
    resumed.load_state_dict({name: t.clone() for name, t in tensors.items()}, numbers)
    for i in range(2, 4):
        assert whole.update(data(i)) == resumed.update(data(i))
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.beside.parameters(), resumed.beside.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_observer_sees_the_networks_own_output() -> None:
    for config in (LocalConfig(chunk=2, window=1), AugLocalConfig()):
        net = network()
        wanted, _ = net.train()(batch().x)
        shown: list[Tensor] = []
        learner = config.build(net, CrossEntropy(), plan())
        learner.beside.double()
        learner.update(batch(), lambda output, _: shown.append(output))  # noqa: B023 - called at once
        assert torch.allclose(shown[0], wanted, rtol=1e-10)


def test_frames_learn_in_parts_and_shapes_are_adapted() -> None:
    net = ConvNetConfig(channels=(4, 6, 8), strides=(1, 2, 2)).build((1, 8, 8), 4, stream(0, "weights"))
    x = torch.rand(2, 5, 1, 8, 8)
    data = Batch(x=x, target=torch.arange(5) % 4)
    learner = AugLocalConfig(depth=1).build(net, CrossEntropy(), plan(example=data))
    first: Any = learner.parts[0]
    assert first.chosen == (2,)
    assert first.auxiliary[0].shape_in == (4, 8, 8)
    assert first.auxiliary[0].shape_out == (8, 4, 4)  # halved once, though its original stands at 2 x 2
    losses = [learner.update(data)["loss"] for _ in range(3)]
    assert all(value < 5 for value in losses)


@pytest.mark.parametrize("chunk", [1, 4, None])
@pytest.mark.parametrize("masked", [False, True])
def test_with_traces_a_part_of_one_filtering_layer_has_the_gradient_of_backpropagation(
    chunk: int | None, masked: bool
) -> None:
    """STDL's cuts in space with OTTT in time lose nothing where a part is one layer with a detached reset."""
    values: Any = {"neuron": LIF.Config(reset=Reset(detach=True))}
    data = batch(masked)
    traced = LocalConfig(chunk=chunk, traces="filter", spikes="cut")
    wanted = moved(LocalConfig(window=None), network(**values), data=data)
    cut = moved(LocalConfig(), network(**values), data=data)
    found = moved(traced, network(**values), data=data)
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-9, atol=1e-14), name
    assert not torch.allclose(cut["blocks.1.synapse.weight"], wanted["blocks.1.synapse.weight"], rtol=1e-3)


@pytest.mark.parametrize("neuron", [LIF.Config(), ALIF.Config()])
@pytest.mark.parametrize("spikes", ["neuron", "cut"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_one_part_with_traces_learns_as_online(neuron: Any, spikes: Any, recurrent: bool) -> None:
    values: Any = {"neuron": neuron, "recurrent": (recurrent,) * 3}
    found = moved(TruncatedConfig(window=1, chunk=2, traces="auto", spikes=spikes), network(**values))
    wanted = moved(OnlineConfig(traces="auto", spikes=spikes), network(**values))
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, rtol=1e-9, atol=1e-14), name


def test_stdl_learns_online_within_its_parts_and_says_so() -> None:
    config = STDLConfig(count=3, traces="filter", spikes="cut", ratio=0.8)
    wide = StackConfig(hidden=(16, 16, 16), neuron=LIF.Config()).build(3, 4, stream(0, "weights")).double()
    learner = config.build(wide, CrossEntropy(), plan())
    learner.beside.double()
    assert [line for line in learner.notes if "one trace for each input" in line]
    first = learner.update(batch())["loss"]
    losses = [learner.update(batch())["loss"] for _ in range(3)]
    assert min(losses) < first


def test_an_empty_share_of_a_batch_is_no_error() -> None:
    learner = LocalConfig().build(network(), CrossEntropy(), plan())
    learner.beside.double()
    empty = dataclasses.replace(batch(), x=batch().x[:, :0], target=batch().target[:0])
    assert learner.update(empty)["loss"] == 0.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TruncatedConfig(window=4, chunk=6), "whole windows"),
        (lambda: TruncatedConfig(window=0), "at least 1 step"),
        (lambda: TruncatedConfig(traces="filter"), "windows of 1 step"),
        (lambda: LocalConfig(traces="some"), "traces is one of"),
        (lambda: AugLocalConfig(window=1, traces="auto"), "loss of every step"),
        (lambda: LocalConfig(traces="filter").build(network(), CrossEntropy(), plan()), "one trace for each input"),
        (lambda: LocalConfig(window=1, chunk=1, loss="sequence"), "known at its end"),
        (lambda: AugLocalConfig(depth=0), "depth of at least 1"),
        (lambda: STDLConfig(ratio=0.0), "ratio"),
        (lambda: STDLConfig(memory="much"), "2GB"),
        (lambda: LocalConfig(count=9).build(network(), CrossEntropy(), plan()), "1 to 3 parts"),
        (lambda: LocalConfig(cuts=(2, 1)).build(network(), CrossEntropy(), plan()), "Cuts are rising"),
        (lambda: LocalConfig().build(nn.Linear(3, 4), CrossEntropy(), plan()), "has none"),
        (lambda: STDLConfig(memory="1kB").build(network(), CrossEntropy(), plan()), "the least for this network"),
        (lambda: STDLConfig(ratio=0.05).build(network(), CrossEntropy(), plan()), "no room for the parts"),
        (lambda: STDLConfig().build(network(), CrossEntropy(), plan(example=None)), "example of a batch"),
    ],
)
def test_what_cannot_be_done_is_said(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_tied_decoder_is_refused() -> None:
    from spikeworks.models import EmbeddingConfig

    tied = StackConfig(hidden=(6, 5), embedding=EmbeddingConfig(size=5, tied=True))
    net = tied.build(20, 20, stream(0, "weights"), tokens=True)
    with pytest.raises(ConfigError, match="embedding"):
        LocalConfig().build(net, CrossEntropy(), plan())


@pytest.mark.parametrize("memory", ["full", "packed"])
@pytest.mark.parametrize("ratio", [0.6, 0.9])
def test_the_plan_foretells_what_backward_keeps(memory: Any, ratio: float) -> None:
    """The largest peak over all parts, which is also within the ratio of what the whole network keeps."""
    config = ConvNetConfig(channels=(8, 8, 16, 16), strides=(1, 2, 1, 2), memory=memory)
    net = config.build((1, 16, 16), 4, stream(0, "weights"))
    data = Batch(x=torch.rand(4, 6, 1, 16, 16), target=torch.arange(6) % 4)
    method = STDLConfig(count=4, ratio=ratio, chunk=1)
    given = plan(example=data)
    learner = method.build(net, CrossEntropy(), given)
    learner.update(data)
    kept = [data.x, *net.parameters(), *net.buffers(), *learner.beside.parameters(), *learner.beside.buffers()]
    with watch_memory(kept) as seen:
        learner.update(data)
    found = method.plan(net, CrossEntropy(), given)
    if memory == "packed":  # a bound: not all that is kept is kept at the moment of the largest second run
        assert 0.75 * found.saved <= seen.saved_peak <= found.saved
    else:
        assert seen.saved_peak == pytest.approx(found.saved, rel=0.05)
        whole = BPTTConfig().build(net, CrossEntropy(), given)
        with watch_memory(kept) as all_steps:
            whole.update(data)
        assert seen.saved_peak < 1.1 * ratio * all_steps.saved_peak / len(data.x) + 30_000


def test_memory_does_not_grow_with_the_length_of_a_sequence() -> None:
    peaks = []
    for steps in (64, 256):
        net = StackConfig(hidden=(16, 16)).build(3, 4, stream(0, "weights"))
        data = Batch(x=torch.rand(steps, 8, 3), target=torch.arange(8) % 4)
        learner = LocalConfig(window=1, chunk=4, order="time").build(net, CrossEntropy(), plan(example=data))
        learner.update(data)
        with watch_memory([data.x, *net.parameters(), *learner.beside.parameters()]) as seen:
            learner.update(data)
        peaks.append(seen.saved_peak)
    assert peaks[1] <= 1.01 * peaks[0]


def test_a_budget_is_kept() -> None:
    net = ConvNetConfig(channels=(8, 8, 16, 16), strides=(1, 2, 1, 2)).build((1, 16, 16), 4, stream(0, "weights"))
    data = Batch(x=torch.rand(4, 16, 1, 16, 16), target=torch.arange(16) % 4)
    given = plan(example=data)
    roomy, tight = (STDLConfig(memory=size).plan(net, CrossEntropy(), given) for size in ("20MB", "1200kB"))
    assert len(roomy.parts) == 1 and roomy.chunk == 4  # nothing to cut
    assert tight.total <= 1_200_000 < roomy.total
    assert len(tight.parts) > 1 or tight.chunk < 4
    assert any("blocks 0 to" in line for line in tight.lines())


@pytest.mark.parametrize("optimizer", [SGDConfig(momentum=0.9), AdamWConfig()])
@pytest.mark.parametrize("size", ["1.2MB", "2MB", "4MB"])
def test_all_that_training_holds_fits_into_the_budget(size: str, optimizer: Any) -> None:
    """Weights, the optimiser's state and everything that a whole update makes, its step included."""
    net = ConvNetConfig(channels=(8, 8, 16, 16), strides=(1, 2, 1, 2)).build((1, 16, 16), 4, stream(0, "weights"))
    data = Batch(x=torch.rand(4, 16, 1, 16, 16), target=torch.arange(16) % 4)
    learner = STDLConfig(memory=size).build(net, CrossEntropy(), plan(example=data, optimizer=optimizer))
    learner.update(data)
    weights = [*net.parameters(), *learner.beside.parameters()]
    moments = [
        v for own in learner.shares for s in own.optimizer.state.values() for v in s.values() if torch.is_tensor(v)
    ]
    given = [data.x, data.target, *weights, *moments, *net.buffers(), *learner.beside.buffers()]
    with watch_memory(given) as seen:
        learner.update(data)
    held = sum(t.numel() * t.element_size() for t in (*weights, *moments))
    assert 0.5 * parse_bytes(size) <= seen.live_peak + held <= parse_bytes(size)
