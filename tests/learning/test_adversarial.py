"""Training against critics: what reaches whom, what is measured, what is refused, and that nothing else changes."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.learning.general import NEEDY
from tests.learning.oracle import CrossEntropy
from torch import Tensor

from spikeworks import kernels
from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, DataError, TrainingDiverged, UnknownName
from spikeworks.core.seeds import stream
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import METHODS, AdversarialConfig, BPTTConfig, Learner, MethodConfig, Plan
from spikeworks.learning.adversarial import Adversarial
from spikeworks.learning.forecast import forecast
from spikeworks.learning.observatory import agreements
from spikeworks.learning.watch import watched_update
from spikeworks.measure.perceptual import stoi
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import LIF
from spikeworks.optim import AdamWConfig, ConstantConfig, SGDConfig
from spikeworks.tasks import task_for

T, B, F = 40, 5, 36


@pytest.fixture(autouse=True)
def _without_a_compiler():
    with kernels.use("torch"):
        yield


@dataclasses.dataclass
class Heard:
    loss: Tensor
    clean: Tensor
    estimate: Tensor
    measured: Tensor

    def qualities(self) -> Tensor:
        return self.measured


class Tones:
    """Outputs ``[T, B, F]`` are magnitudes, those wanted are the target ``[B, F, T]``."""

    name = "tones"
    whole_loss = "tones are heard as a whole"

    def __init__(self, silent: Sequence[int] = ()) -> None:
        self.silent = list(silent)
        self.asked: list[tuple[str, ...]] = []

    def random_target(self, steps: int, size: int, generator: torch.Generator) -> Tensor:
        return torch.rand(size, F, steps, generator=generator)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return (output.permute(1, 2, 0) - batch.target).square().mean()

    def jury(self, qualities: Sequence[str]) -> Callable[[Tensor, Batch], Heard]:
        self.asked.append(tuple(qualities))

        def hear(output: Tensor, batch: Batch) -> Heard:
            estimate = output.permute(1, 2, 0)
            far = (estimate - batch.target).detach().abs().mean((1, 2))
            measured = torch.stack([(1 - far / (1 + k)).clamp(0, 1) for k in range(len(qualities))])
            measured[:, self.silent] = math.nan
            return Heard(self.loss(output, batch), batch.target, estimate, measured)

        return hear


def network() -> Network:
    stack = StackConfig(neuron=LIF.Config(), hidden=(8, 7), readout=ReadoutConfig(kind="every"), dropout=0.1)
    return stack.build(4, F, stream(0, "weights"))  # type: ignore[return-value]


def a_batch(number: int = 0, size: int = B) -> Batch:
    source = stream(1, "batch", number)
    return Batch(torch.rand(T, size, 4, generator=source) * 2, torch.rand(size, F, T, generator=source))


def learner_of(config: MethodConfig, objective: Any, **optimizer: Any) -> Any:
    plan = Plan(
        optimizer=AdamWConfig(**{"learning_rate": 1e-2, **optimizer}),
        schedule=ConstantConfig(),
        steps_per_epoch=2,
        epochs=3,
        example=a_batch(),
    )
    return config.build(network(), objective, plan)


def updates(learner: Learner, numbers: Sequence[int]) -> list[dict[str, float]]:
    return [learner.update(a_batch(number)) for number in numbers]


def without_dropout(learner: Any) -> Any:
    for critic in learner.critics:
        critic.dropout.rate = 0.0
    return learner


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    assert one.keys() == two.keys()
    return all(torch.equal(value, two[name]) for name, value in one.items())


# -- what the network learns ---------------------------------------------------------------------


def test_without_weight_the_network_learns_what_bptt_teaches_bit_by_bit():
    plain = learner_of(BPTTConfig(), Tones())
    silent = learner_of(AdversarialConfig(weights=(0.0,), warmup=0), Tones())
    start = copy.deepcopy(silent.beside.state_dict())
    for one, two in zip(updates(plain, range(4)), updates(silent, range(4)), strict=True):
        assert one == {name: value for name, value in two.items() if name != "critic_loss"}
    assert same(plain.network.state_dict(), silent.network.state_dict())
    assert not torch.equal(start["0.out.weight"], silent.beside.state_dict()["0.out.weight"]), "the critic learns"


def test_the_network_heeds_critics_after_their_warmup():
    plain = learner_of(BPTTConfig(), Tones())
    warmed = learner_of(AdversarialConfig(weights=(1.0,), warmup=2), Tones())
    for number in range(3):
        assert same(plain.network.state_dict(), warmed.network.state_dict())
        updates(plain, [number])
        updates(warmed, [number])
    assert not same(plain.network.state_dict(), warmed.network.state_dict())


@pytest.mark.parametrize("weights", [(0.3,), (1.0, 0.5)])
def test_gradients_are_those_of_the_two_formulas_and_stay_apart(weights: tuple[float, ...]):
    config = AdversarialConfig(qualities=("a", "b")[: len(weights)], weights=weights, warmup=0)
    learner = without_dropout(learner_of(config, Tones(silent=[2]), learning_rate=0.0, clip=None))
    twin, judges, batch = copy.deepcopy(learner.network), copy.deepcopy(learner.critics), a_batch()
    found = learner.update(batch)

    twin.train()
    for name, part in twin.named_modules():
        if "generator" in vars(part):
            part.generator = stream(0, "update", 0, name)  # type: ignore[assignment]
    heard = learner.hear(twin(batch.x)[0], batch)
    total, wrong = heard.loss, 0.0
    for judge, weight in zip(judges, weights, strict=True):
        judge.eval()
        total = total + weight * (judge(torch.stack([heard.clean, heard.estimate], 1)) - 1).square().sum() / B
    own = torch.autograd.grad(total, list(twin.parameters()))
    assert found["loss"] == heard.loss.item()
    for one, two in zip(learner.network.parameters(), own, strict=True):
        torch.testing.assert_close(one.grad, two, rtol=1e-5, atol=1e-8)

    estimate, known = heard.estimate.detach(), [0, 1, 3, 4]
    for judge, learnt, quality in zip(judges, learner.critics, heard.measured, strict=True):
        judge.train()
        judged = judge(torch.stack([torch.cat([heard.clean] * 2), torch.cat([heard.clean, estimate])], 1))
        loss = ((judged[:B] - 1).square().sum() + (judged[B:] - quality)[known].square().sum()) / B
        wrong += loss.item()
        theirs = torch.autograd.grad(loss, list(judge.parameters()))
        for one, two in zip(learnt.parameters(), theirs, strict=True):
            torch.testing.assert_close(one.grad, two, rtol=1e-4, atol=1e-7)
    assert found["critic_loss"] == pytest.approx(wrong, rel=1e-5)
    assert all(p.requires_grad for p in learner.beside.parameters())


def test_clips_without_a_quality_teach_nothing_as_estimates():
    learner = learner_of(AdversarialConfig(warmup=0), Tones(silent=range(B)))
    assert all(math.isfinite(value) for found in updates(learner, range(3)) for value in found.values())


def test_critics_come_to_know_the_quality():
    learner = learner_of(AdversarialConfig(critic_rate=0.3), Tones())
    found = [learner.update(a_batch())["critic_loss"] for _ in range(40)]
    assert sum(found[-5:]) < 0.2 * sum(found[:5])


def test_rates_and_optimisers_are_their_own():
    learner = learner_of(AdversarialConfig(critic_rate=0.25), Tones())
    updates(learner, [0])
    rates = [{group["lr"] for group in share.optimizer.param_groups} for share in learner.shares]
    assert rates == [{1e-2}, {0.25e-2}]


# -- what learners owe ---------------------------------------------------------------------------


def test_a_resumed_learner_meets_the_same_numbers():
    config = AdversarialConfig(qualities=("a", "b"), weights=(0.5, 0.5), warmup=1)
    whole, first, second = (learner_of(config, Tones()) for _ in range(3))
    expected = updates(whole, range(5))
    found = updates(first, range(2))
    tensors, numbers = first.state_dict()
    second.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, numbers)
    assert found + updates(second, range(2, 5)) == expected
    assert same(whole.state_dict()[0], second.state_dict()[0])


def test_a_process_without_a_share_follows_the_critics_of_the_others():
    """Buffers are not exchanged: they must move alike."""
    busy, idle = (learner_of(AdversarialConfig(warmup=0), Tones(), learning_rate=0.0) for _ in range(2))
    busy.update(a_batch())
    assert idle._absent() == (0.0, 0.0, 0)
    assert same(dict(busy.beside.named_buffers()), dict(idle.beside.named_buffers()))


def test_what_is_no_number_stops_training_with_the_network_as_before():
    learner = learner_of(AdversarialConfig(warmup=0), Tones())
    updates(learner, range(2))
    before = copy.deepcopy(learner.network.state_dict())
    bad = a_batch()
    bad.target[0, 0, 0] = math.nan
    with pytest.raises(TrainingDiverged, match="The loss became nan in update 3"):
        learner.update(bad)
    assert same(before, learner.network.state_dict())


@pytest.mark.parametrize("weights", [(0.5,), (0.5, 0.5)])
def test_memory_is_foretold_from_shapes_alone(weights: tuple[float, ...]):
    config = AdversarialConfig(qualities=("a", "b")[: len(weights)], weights=weights, warmup=0)
    told = forecast(network(), dataclasses.replace(config, warmup=50), Tones(), (T, B, 4))
    learner = learner_of(config, Tones())
    learner.update(a_batch())
    seen = watched_update(learner, a_batch())
    assert told is not None
    assert told.saved == pytest.approx(seen.saved_peak, rel=0.03)
    assert told.live == pytest.approx(seen.live_peak, rel=0.08)


def test_its_gradient_stands_beside_that_of_bptt():
    methods = {"early": AdversarialConfig(), "late": AdversarialConfig(weights=(3.0,), warmup=0)}
    rows = {row.method: row for row in agreements(network(), Tones(), a_batch(), methods) if row.layer == "all"}
    assert rows["early"].cosine == pytest.approx(1.0) and rows["early"].ratio == pytest.approx(1.0)
    assert rows["late"].ratio != pytest.approx(1.0, abs=1e-4)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEEDY)
def test_tasks_without_sound_are_refused(name: str):
    plan = Plan.of_one(a_batch(), SGDConfig())
    with pytest.raises(ConfigError, match="measured qualities of sound, and CrossEntropy has no sounds.*\n.*bptt"):
        METHODS.get(name)().build(network(), CrossEntropy(), plan)
    with pytest.raises(ConfigError, match="seq-digits has no sounds"):
        METHODS.get(name)().build(network(), task_for("seq-digits").build(), plan)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"weights": (0.1, 0.2)}, "1 qualities and 2 weights"),
        ({"qualities": (), "weights": ()}, "0 qualities and 0 weights"),
        ({"qualities": ("stoi", "stoi"), "weights": (0.1, 0.2)}, "Each quality has one critic, got stoi, stoi"),
        ({"weights": (-1.0,)}, "numbers from 0 on"),
        ({"weights": (math.inf,)}, "numbers from 0 on"),
        ({"warmup": -1}, "warmup is a number of updates from 0 on, got -1"),
        ({"critic_rate": 0.0}, "critic_rate is a factor above 0, got 0.0"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(values: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        AdversarialConfig(**values)


def builds(config: AdversarialConfig, root: Path | None = None) -> Learner:
    task: Any = task_for("denoise-digits").build(root)
    stack = StackConfig(hidden=(4,), readout=ReadoutConfig(kind="every"))
    net = stack.build(task.signature.inputs, task.signature.outputs, stream(0, "weights"))
    return config.build(net, task, Plan.of_one(a_batch(), SGDConfig()))


@pytest.mark.parametrize(("quality", "package"), [("stoi", "pystoi"), ("pesq", "pesq"), ("dnsmos_sig", "onnxruntime")])
def test_a_missing_package_is_known_before_training(quality, package, monkeypatch, tmp_path):
    (tmp_path / "dnsmos").mkdir()
    (tmp_path / "dnsmos" / "sig_bak_ovr.onnx").write_bytes(b"model")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}.*\n.*spikeworks\[speech\]"):
        builds(AdversarialConfig(qualities=(quality,)), tmp_path)


def test_a_missing_model_and_an_unknown_quality_are_known_before_training(tmp_path):
    with pytest.raises(DataError, match=r"(?s)The model of DNSMOS: .*sig_bak_ovr\.onnx.*dnsmos.*DNS-Challenge"):
        builds(AdversarialConfig(qualities=("dnsmos_ovrl",)), tmp_path)
    with pytest.raises(UnknownName, match="Quality of speech 'stoy' is not registered. Did you mean 'stoi'"):
        builds(AdversarialConfig(qualities=("stoy",)))


# -- real speech ---------------------------------------------------------------------------------


def test_a_denoiser_learns_with_measured_intelligibility(data_set, data_root):
    pytest.importorskip("pystoi")
    for name in ("fsdd", "esc10"):
        data_set(name)
    config = task_for("denoise-digits", train_seconds=0.6, test_seconds=0.6, train_size=4, mask="complex")
    task: Any = config.build(data_root)
    stack = StackConfig(hidden=(8,), readout=ReadoutConfig(kind="every"))
    net = stack.build(task.signature.inputs, task.signature.outputs, stream(0, "weights"))
    batch = task.data("train").batch(task.data("train").plan(4)[0])
    plan = Plan.of_one(batch, AdamWConfig(learning_rate=3e-3))
    learner = AdversarialConfig(warmup=2).build(net, task, plan)
    assert isinstance(learner, Adversarial)

    heard = learner.hear(net(batch.x)[0], batch)
    estimate, clean, _, _ = task.waves(net(batch.x)[0], batch)
    expected = [stoi(one, other, 8_000) for one, other in zip(estimate, clean, strict=True)]
    assert heard.qualities().tolist() == [pytest.approx(expected, nan_ok=True)]
    assert heard.loss.item() == pytest.approx(task.loss(net(batch.x)[0], batch).item())
    assert heard.clean.shape == heard.estimate.shape == (4, 129, batch.length)

    found = [learner.update(batch) for _ in range(8)]
    assert found[-1]["loss"] < found[0]["loss"] and found[-1]["critic_loss"] < found[0]["critic_loss"]
