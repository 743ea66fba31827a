"""What training is foretold to hold, against what the meter sees of real updates."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from tests.learning.general import GENERAL
from torch import Tensor, nn

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.core.seeds import stream
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import (
    BPTT,
    METHODS,
    AugLocalConfig,
    BPTTConfig,
    LocalConfig,
    MethodConfig,
    OnlineConfig,
    Plan,
    STDLConfig,
    TruncatedConfig,
)
from spikeworks.learning.forecast import forecast
from spikeworks.measure import watch_memory
from spikeworks.models import Network, StackConfig
from spikeworks.models.stack import EmbeddingConfig
from spikeworks.models.vgg import ConvNetConfig
from spikeworks.neurons import LIF, TCLIF, Reset
from spikeworks.optim import AdamWConfig, ConstantConfig

SAVED, LIVE = 0.02, 0.06
"""How far forecasts may lie from what is measured."""
SIZE = 24


class CrossEntropy:
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, -2), batch.target.flatten())


def measured(config: MethodConfig, net: Network, batch: Batch) -> tuple[int, int, int | None]:
    """Peaks of saved and live bytes of a second update, and bytes of traces that an online learner leaves."""
    plan = Plan(optimizer=AdamWConfig(), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1, example=batch)
    config.prepare(net)
    learner: Any = config.build(net, CrossEntropy(), plan)
    learner.update(batch)
    with watch_memory([batch.x, batch.target, *net.parameters(), *learner.beside.parameters()]) as seen:
        learner.update(batch)
    layers = getattr(learner, "layers", None)
    return seen.saved_peak, seen.live_peak, None if layers is None else layers.held_bytes()


def agrees(config: MethodConfig, net: Network, batch: Batch, saved: float = SAVED, live: float = LIVE) -> None:
    found = forecast(net, config, CrossEntropy(), batch.x.shape)
    assert found is not None
    saved_bytes, live_bytes, trace_bytes = measured(config, copy.deepcopy(net), batch)
    assert found.saved == pytest.approx(saved_bytes, rel=saved)
    assert found.live == pytest.approx(live_bytes, rel=live)
    assert trace_bytes is None or found.traces == trace_bytes


def dense(depth: int = 2, **values: Any) -> Network:
    return StackConfig(hidden=(48,) * depth, **values).build(12, 5, stream(0, "weights"))  # type: ignore[return-value]


def frames(norm: Any = "batch") -> Network:
    config = ConvNetConfig(channels=(6, 8, 8), strides=(1, 2, 1), norm=norm)
    return config.build((2, 10, 10), 5, stream(0, "weights"))


def batch(steps: int, *shape: int) -> Batch:
    generator = stream(1, "batch")
    x = torch.rand(steps, SIZE, *shape, generator=generator)
    return Batch(x=x, target=torch.randint(5, (SIZE,), generator=generator))


@pytest.mark.parametrize("name", GENERAL)
def test_every_method_on_a_stack(name: str) -> None:
    agrees(METHODS.get(name)(), dense(3), batch(48, 12))


@pytest.mark.parametrize(
    "config",
    [
        TruncatedConfig(window=4, chunk=8),
        LocalConfig(window=1, chunk=12, heads="random"),
        AugLocalConfig(depth=1, loss="step", window=4),
        STDLConfig(count=2, ratio=0.7, chunk=5),
        STDLConfig(count=2, ratio=0.7, chunk=5, traces="auto", spikes="cut"),
        LocalConfig(chunk=5, traces="exact", order="time"),
        OnlineConfig(feedback="random"),
        OnlineConfig(update="step"),
        OnlineConfig(traces="exact", spikes="cut", through_next=True, chunk=4),
    ],
    ids=lambda config: f"{config.name} {config.window if hasattr(config, 'window') else config.feedback}",
)
def test_settings_that_change_the_memory(config: MethodConfig) -> None:
    agrees(config, dense(3), batch(25, 12))


def test_parts_that_learn_in_turn_in_each_chunk_hold_all_their_gradients() -> None:
    agrees(LocalConfig(window=1, chunk=5, order="time"), dense(3), batch(20, 12), live=0.1)


@pytest.mark.parametrize("name", ["bptt", "tbptt", "local", "auglocal", "stdl"])
def test_frames(name: str) -> None:
    agrees(METHODS.get(name)(), frames(), batch(48, 2, 10, 10))


def test_traces_through_convolutions_and_two_states() -> None:
    ottt = METHODS.get("ottt")()
    agrees(ottt, frames("none"), batch(10, 2, 10, 10))
    agrees(ottt, dense(neuron=TCLIF.Config()), batch(10, 12))
    agrees(METHODS.get("ostl")(), dense(neuron=TCLIF.Config()), batch(10, 12))


def test_tokens() -> None:
    config = StackConfig(
        hidden=(16, 16), embedding=EmbeddingConfig(size=8, tied=False), readout=ReadoutConfig(kind="every")
    )
    net: Any = config.build(30, 30, stream(0, "weights"), tokens=True)
    x = torch.randint(30, (SIZE, 48), generator=stream(1, "batch"))
    for name in ("bptt", "tbptt", "local", "sltt"):
        agrees(METHODS.get(name)(), net, Batch(x=x, target=x), saved=0.15)  # targets are copied


def test_what_grows_with_time_and_what_does_not() -> None:
    """Within 5 % from 100 to 10 000 steps where a chunk has a length of its own."""
    net = dense(neuron=LIF.Config(reset=Reset(detach=True)))
    for name in ("sltt", "ottt", "tbptt"):
        config = dataclasses.replace(METHODS.get(name)(), chunk=16)
        short, long = (forecast(net, config, CrossEntropy(), (t, SIZE, 12)) for t in (100, 10_000))
        assert short is not None and long is not None
        assert long.saved == pytest.approx(short.saved, rel=0.05), name
        assert long.live == pytest.approx(short.live, rel=0.05), name
    short, long = (forecast(net, BPTTConfig(), CrossEntropy(), (t, SIZE, 12)) for t in (100, 10_000))
    assert short is not None and long is not None
    assert 50 * short.saved < long.saved < 101 * short.saved  # long inputs are kept as bits


def test_of_a_learner_of_ones_own_nothing_is_foretold() -> None:
    class Own(BPTT):
        pass

    class OwnConfig(BPTTConfig):
        def build(self, network: nn.Module, objective: Any, plan: Plan) -> Own:
            return Own(network, objective, plan, self)

    assert forecast(dense(), OwnConfig(), CrossEntropy(), (5, 2, 12)) is None


def test_the_network_stays_and_what_cannot_learn_is_refused() -> None:
    net = frames()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    training = net.training
    forecast(net, METHODS.get("notd")(), CrossEntropy(), (4, 2, 2, 10, 10))
    assert net.training == training and all(torch.equal(before[n], t) for n, t in net.state_dict().items())
    with pytest.raises(ConfigError, match="normalises over all steps"):
        forecast(net, METHODS.get("ottt")(), CrossEntropy(), (4, 2, 2, 10, 10))
