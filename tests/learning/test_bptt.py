"""The learner: equal to plain torch, exact to resume, refuses to learn from what is not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spikeworks.core.batch import Batch
from spikeworks.core.errors import RunError, TrainingDiverged, UnknownName
from spikeworks.core.seeds import stream
from spikeworks.learning import BPTT, METHODS, BPTTConfig, MethodConfig, Plan
from spikeworks.models import Network, StackConfig
from spikeworks.optim import AdamWConfig, ConstantConfig, CosineConfig, SGDConfig


class CrossEntropy:
    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(output, batch.target)


def network(**values: object) -> Network:
    return StackConfig(hidden=(6, 5), **values).build(3, 4, stream(0, "weights"))  # type: ignore[arg-type]


def batch(index: int, fresh: bool = True, size: int = 8) -> Batch:
    generator = stream(1, "batch", index)
    x = 2 * torch.rand(7, size, 3, generator=generator)
    return Batch(x=x, target=torch.randint(4, (size,), generator=generator), fresh=fresh)


def learner(net: nn.Module, plan: Plan | None = None) -> BPTT:
    return BPTTConfig().build(net, CrossEntropy(), plan or Plan(
        optimizer=AdamWConfig(learning_rate=0.02, weight_decay=0.1, clip=0.5),
        schedule=CosineConfig(warmup=2), steps_per_epoch=4, epochs=2, seed=3,
    ))  # fmt: skip


def weights(net: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def test_an_update_is_what_plain_torch_computes() -> None:
    net, twin = network(), network()
    plan = Plan(
        optimizer=SGDConfig(learning_rate=0.5, clip=0.1), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1
    )
    metrics = learner(net, plan).update(batch(0))
    output, _ = twin(batch(0).x)
    loss = CrossEntropy().loss(output, batch(0))
    loss.backward()
    norm = nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
    assert metrics["loss"] == loss.item() and metrics["gradient_norm"] == norm.item() > 0.1
    assert metrics["learning_rate"] == 0.5 and metrics["count"] == 8
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        expected = b if b.grad is None else b - 0.5 * b.grad
        assert torch.allclose(a, expected, rtol=1e-6, atol=1e-7)


def test_the_learner_learns_and_the_rate_follows_the_schedule() -> None:
    one = learner(network())
    seen = [one.update(batch(0)) for _ in range(8)]
    assert seen[-1]["loss"] < seen[0]["loss"]
    assert [m["learning_rate"] for m in seen[:3]] == [0.01, 0.02, 0.02] and seen[-1]["learning_rate"] < 0.01


def test_output_and_batch_are_shown_to_an_observer() -> None:
    shown = []
    learner(network()).update(batch(0), lambda output, b: shown.append((output, b)))
    ((output, seen),) = shown
    assert output.shape == (8, 4) and not output.requires_grad and seen.size == 8


@pytest.mark.parametrize("fresh", [True, False])
def test_resumed_learner_continues_bit_for_bit(fresh: bool) -> None:
    """With dropout, momentum, warm-up and carried state: everything that the next update depends on."""
    options = {"dropout": 0.5, "input_dropout": 0.3, "norm": "batch"}
    whole = learner(network(**options))
    losses = [whole.update(batch(i, fresh))["loss"] for i in range(6)]
    first = learner(network(**options))
    for i in range(3):
        first.update(batch(i, fresh))
    tensors, numbers = first.state_dict()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    again = learner(network(**options))
    again.load_state_dict(tensors, numbers)
    assert [again.update(batch(i, fresh))["loss"] for i in range(3, 6)] == losses[3:]
    for a, b in zip(weights(whole.network), weights(again.network), strict=True):
        assert torch.equal(a, b)


def test_carried_state_survives_a_second_checkpoint_before_it_is_used() -> None:
    first = learner(network())
    first.update(batch(0))
    once = first.state_dict()
    again = learner(network())
    again.load_state_dict(*once)
    twice = again.state_dict()
    assert once[0].keys() == twice[0].keys() and any(name.startswith("carried.") for name in once[0])


def test_state_is_carried_only_where_a_batch_continues() -> None:
    def second_loss(fresh: bool) -> float:
        one = learner(network())
        one.update(batch(0))
        return one.update(batch(1, fresh))["loss"]

    assert second_loss(True) != second_loss(False)


def test_dropout_depends_on_seed_and_update_alone() -> None:
    def losses(seed: int, disturb: bool) -> list[float]:
        plan = Plan(optimizer=AdamWConfig(), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1, seed=seed)
        one = learner(network(dropout=0.5), plan)
        found = []
        for i in range(2):
            if disturb:
                torch.rand(5)
            found.append(one.update(batch(i))["loss"])
        return found

    assert losses(0, False) == losses(0, True) != losses(1, False)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change() -> None:
    one = learner(network())
    one.update(batch(0))
    before = weights(one.network)
    spoiled = batch(1)
    spoiled.x[0, 0, 0] = math.nan
    with pytest.raises(TrainingDiverged, match=r"The loss became nan in update 2 at learning rate 0.02"):
        with torch.no_grad():
            one.network.readout.linear.bias.fill_(math.nan)
        one.update(spoiled)
    for a, b in zip(before[:-1], weights(one.network)[:-1], strict=True):
        assert torch.equal(a, b)


def test_a_gradient_that_is_not_finite_is_named() -> None:
    class Steep(CrossEntropy):
        def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
            return (output - output.detach()).abs().sqrt().sum()  # 0, with an infinite slope

    plan = Plan(optimizer=AdamWConfig(), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1)
    net = network()
    with pytest.raises(TrainingDiverged, match="The gradient's norm became nan in update 1"):
        BPTTConfig().build(net, Steep(), plan).update(batch(0))


def test_a_checkpoint_of_another_network_is_refused() -> None:
    tensors, numbers = learner(network()).state_dict()
    other = StackConfig(hidden=(7,)).build(3, 4, stream(0, "weights"))
    with pytest.raises(RunError, match="The checkpoint fits another network"):
        learner(other).load_state_dict(tensors, numbers)
    with pytest.raises(RunError, match="holds 'extra.a', which no BPTT learner wrote"):
        learner(network()).load_state_dict({"extra.a": torch.zeros(1)}, numbers)


def test_any_module_with_the_calling_convention_can_learn() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 4)

        def forward(self, x: torch.Tensor, state: None = None) -> tuple[torch.Tensor, None]:
            return self.linear(x.mean(0)), None

    one = learner(Plain())
    first = one.update(batch(0))["loss"]
    assert [one.update(batch(0))["loss"] for _ in range(5)][-1] < first


def test_methods_are_found_by_name() -> None:
    assert METHODS.get("bptt") is BPTTConfig
    with pytest.raises(UnknownName, match="learning method 'bpt' is not registered. Did you mean 'bptt'"):
        METHODS.get("bpt")
    plan = Plan(optimizer=AdamWConfig(), schedule=ConstantConfig(), steps_per_epoch=1, epochs=1)
    with pytest.raises(Exception, match="describes no learning method"):
        MethodConfig().build(network(), CrossEntropy(), plan)
