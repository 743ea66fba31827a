"""A class at every step, some steps without one: losses, chunks, methods, memory, shares of a batch."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from tests.learning.general import GENERAL

from spikeworks import kernels
from spikeworks.core.batch import UNLABELLED, Batch
from spikeworks.layers import ReadoutConfig
from spikeworks.learning import METHODS, BPTTConfig, Plan
from spikeworks.learning.forecast import forecast
from spikeworks.learning.stepwise import step_loss
from spikeworks.learning.watch import watched_update
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF
from spikeworks.optim import SGDConfig
from spikeworks.tasks import Signature, task_for
from spikeworks.tasks.base import LabellingTask

T, B, K = 9, 5, 3


class Labels(LabellingTask):
    """Has a loss; its data is made in the tests."""

    def _load(self, split):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def _without_a_compiler():
    with kernels.use("torch"):
        yield


@pytest.fixture
def task():
    return Labels(task_for("qtdb-ecg"), Signature(steps=T, inputs=4, outputs=K, kind="labelling"))


@pytest.fixture
def network():
    stack = StackConfig(neuron=LIF.Config(), hidden=(8, 7, 6), readout=ReadoutConfig(kind="every"))
    return stack.build(4, K, torch.Generator().manual_seed(0)).double()


def a_batch(masked: bool = False, size: int = B) -> Batch:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(T, size, 4, generator=draw, dtype=torch.float64) + 1.0
    target = torch.randint(K, (size, T), generator=draw)
    target[torch.rand(size, T, generator=draw) < 0.3] = UNLABELLED
    mask = None
    if masked:
        lengths = torch.arange(size) % 4 + T - 3
        mask = torch.arange(T)[:, None] < lengths
        target[~mask.t()] = UNLABELLED
    return Batch(x=x, target=target, mask=mask, labelled=True)


def gradients(method, network, task, batch):
    """Loss, count and the change of every weight by one step of plain descent."""
    twin = copy.deepcopy(network)
    method.prepare(twin)
    learner = method.build(twin, task, Plan.of_one(batch, SGDConfig(learning_rate=1.0, clip=None)))
    found = learner.update(batch)
    old = dict(network.named_parameters())
    return found, {name: old[name].detach() - p.detach() for name, p in twin.named_parameters()}


def assert_same(first, second):
    (a, changes), (b, others) = first, second
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-9) and a["count"] == b["count"]
    for name, change in changes.items():
        torch.testing.assert_close(change, others[name], rtol=1e-9, atol=1e-12, msg=name)
    assert any(change.abs().max() > 1e-6 for change in changes.values())


@pytest.mark.parametrize("masked", [False, True])
def test_bptt_follows_the_definition_of_the_loss(task, network, masked):
    batch = a_batch(masked)
    found, changes = gradients(BPTTConfig(), network, task, batch)
    arguments = () if batch.mask is None else (batch.mask,)
    output, _ = network(batch.x, None, *arguments)
    kept = [(t, b) for t in range(T) for b in range(B) if batch.target[b, t] >= 0]
    loss = -sum(output[t, b].log_softmax(0)[batch.target[b, t]] for t, b in kept) / len(kept)
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-9) and found["count"] == len(kept) == batch.count
    for name, p in network.named_parameters():
        expected = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(changes[name], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_of_every_step_is_that_of_the_sequence(task, network, masked):
    """One window of all steps is BPTT, whichever way the loss is taken: every step is answered anyway."""
    batch = a_batch(masked)
    whole = gradients(BPTTConfig(), network, task, batch)
    for loss in ("step", "sequence"):
        method = METHODS.get("tbptt")(window=None, chunk=None, loss=loss)  # type: ignore[call-arg]
        assert_same(gradients(method, network, task, batch), whole)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["ottt", "eprop", "local", "tbptt"])
def test_chunks_do_not_change_what_is_learnt(task, network, name, masked):
    batch, kind = a_batch(masked), METHODS.get(name)
    window = {"window": 1} if name in ("local", "tbptt") else {}  # a chunk holds whole windows
    first, *others = (gradients(kind(chunk=c, **window), network, task, batch) for c in (2, 5, T))  # type: ignore[call-arg]
    for other in others:
        assert_same(first, other)


def test_chunks_without_a_label_add_nothing(task, network):
    batch = a_batch()
    batch.target[:, 3:6] = UNLABELLED
    whole = gradients(METHODS.get("sltt")(chunk=T), network, task, batch)  # type: ignore[call-arg]
    assert_same(gradients(METHODS.get("sltt")(chunk=3), network, task, batch), whole)  # type: ignore[call-arg]


def test_k_of_t_steps_takes_its_share_of_the_loss(task, network):
    """At all T steps it is the whole; over many draws of fewer the mean is."""
    batch = a_batch()
    whole = gradients(METHODS.get("sltt")(), network, task, batch)
    assert_same(gradients(METHODS.get("sltt")(steps=T), network, task, batch), whole)  # type: ignore[call-arg]
    method = METHODS.get("sltt")(steps=4)  # type: ignore[call-arg]
    plan = Plan.of_one(batch, SGDConfig(learning_rate=0.0))
    learner = method.build(network, task, plan)
    losses = [learner.update(batch)["loss"] for _ in range(40)]
    assert len(set(losses)) > 10
    assert sum(losses) / len(losses) == pytest.approx(whole[0]["loss"], rel=0.1)


@pytest.mark.parametrize("name", GENERAL)
def test_every_method_learns(task, network, name):
    network, batch = network.float(), a_batch(masked=True)
    batch = dataclasses.replace(batch, x=batch.x.float())
    method = METHODS.get(name)()
    method.prepare(network)
    learner = method.build(network, task, Plan.of_one(batch, SGDConfig(learning_rate=0.3)))
    seen = []
    losses = [learner.update(batch, lambda output, _: seen.append(output.shape))["loss"] for _ in range(8)]
    assert losses[-1] < losses[0] and set(seen) == {(T, B, K)}


@pytest.mark.parametrize("name", ["bptt", "tbptt", "sltt", "ottt", "stdl", "auglocal", "local"])
def test_memory_is_foretold(task, network, name):
    network, batch, method = network.float(), a_batch(), METHODS.get(name)()
    batch = dataclasses.replace(batch, x=batch.x.float())
    told = forecast(network, method, task, batch.x.shape)
    twin = copy.deepcopy(network)
    method.prepare(twin)
    learner = method.build(twin, task, Plan.of_one(batch, SGDConfig(learning_rate=0.1)))
    learner.update(batch)
    found = watched_update(learner, batch)
    assert told is not None and told.saved == pytest.approx(found.saved_peak, rel=0.15)


def test_shares_of_a_batch_weigh_by_their_labels(task, network):
    batch = a_batch()
    parts = [batch.rows(slice(0, 2)), batch.rows(slice(2, B))]
    assert sum(part.count for part in parts) == batch.count
    with torch.no_grad():
        whole, *losses = (task.loss(network(b.x)[0], b).item() for b in (batch, *parts))
    assert whole == pytest.approx(sum(x * p.count for x, p in zip(losses, parts, strict=True)) / batch.count, rel=1e-9)


def test_a_batch_without_any_label_has_no_loss_and_no_gradient(task, network):
    batch = a_batch()
    batch.target[:] = UNLABELLED
    for name in ("bptt", "sltt"):
        found, changes = gradients(METHODS.get(name)(), network, task, batch)
        assert found["loss"] == 0.0 and found["count"] == 0
        assert all(not change.any() for change in changes.values())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_loss_of_chosen_steps_of_a_text_is_theirs_alone(share):
    """What SLTT with K of T steps learns from: their mean, weighted by how many they are of all."""
    draw = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, B, K, generator=draw)
    batch = Batch(torch.randint(K, (B, 8), generator=draw), torch.randint(K, (B, 8), generator=draw))
    counts = torch.rand(8, B, generator=draw) < share
    found = step_loss(task_for("ptb").build(), outputs, batch, counts, 2, 20)
    picked = [(t, b) for t in range(6) for b in range(B) if counts[2 + t, b]]
    losses = [-outputs[t, b].log_softmax(0)[batch.target[b, 2 + t]] for t, b in picked]
    assert found.item() == pytest.approx(float(sum(losses)) / 20, abs=1e-5)
