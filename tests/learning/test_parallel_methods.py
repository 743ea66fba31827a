"""Every learning method in two real processes computes what it computes in one with the whole batch."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from tests.learning.general import GENERAL
from torch import Tensor, nn

from spikeworks import kernels
from spikeworks.core.batch import Batch
from spikeworks.core.seeds import stream
from spikeworks.layers.dropout import TimeTiedDropout
from spikeworks.learning import (
    METHODS,
    AdversarialConfig,
    AugLocalConfig,
    LocalConfig,
    MethodConfig,
    OnlineConfig,
    Plan,
    SLTTConfig,
    STDLConfig,
    TruncatedConfig,
)
from spikeworks.models import StackConfig
from spikeworks.neurons import LIF, Reset
from spikeworks.optim import ConstantConfig, SGDConfig

STEPS = 6
VARIANTS: dict[str, MethodConfig] = {
    "online, a step of the optimiser each step": OnlineConfig(update="step"),
    "online, random feedback": OnlineConfig(feedback="random"),
    "online, through the next layer": OnlineConfig(traces="exact", spikes="cut", through_next=True),
    "sltt, two steps of six": SLTTConfig(steps=2),
    "tbptt, chunks of the sequence": TruncatedConfig(window=2, chunk=4),
    "local, random heads, time outside": LocalConfig(window=1, chunk=2, order="time", heads="random"),
    "auglocal, a loss of every step": AugLocalConfig(depth=1, loss="step", window=2),
    "stdl, planned for 6.5 kB": STDLConfig(memory="6.5kB", count=3),
    "adversarial, two critics": AdversarialConfig(qualities=("a", "b"), weights=(3.0, 1.0), warmup=1),
    "stdl with traces": STDLConfig(count=3, ratio=0.9, traces="auto"),
}
"""Beside every method that learns any task as it is by default."""
CASES = {"uneven": (5, 3), "one without a share": (3, 3)}
"""Size of the batch, and how much of it the first process gets."""


class CrossEntropy:
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output, batch.target)

    def jury(self, qualities: Sequence[str]) -> Any:
        """Scores as if they were a sound; their quality is what the softmax gives the target, once nothing."""

        def hear(output: Tensor, batch: Batch) -> Any:
            wanted = nn.functional.one_hot(batch.target, output.shape[1]).to(output)
            measured = (output.detach().softmax(1) * wanted).sum(1)
            measured = measured.where(batch.target != 2, math.nan).expand(len(qualities), -1)
            sounds = {"clean": wanted, "estimate": output}
            sounds = {name: (sound * sound).unsqueeze(2).expand(-1, -1, 3) for name, sound in sounds.items()}
            return SimpleNamespace(**sounds, loss=self.loss(output, batch), qualities=lambda: measured)

        return hear


def methods() -> dict[str, MethodConfig]:
    return {**{name: METHODS.get(name)() for name in GENERAL}, **VARIANTS}


def batch(size: int) -> Batch:
    """Sequences of different lengths, so that shares differ in the number of steps that count as well."""
    generator = stream(1, "batch")
    x = 3 * torch.rand(STEPS, size, 3, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([6, 2, 5, 3, 6, 4])[:size]
    mask = torch.arange(STEPS).unsqueeze(1) < lengths
    return Batch(x=x, target=torch.randint(4, (size,), generator=generator), mask=mask)


Found = tuple[list[dict[str, float]], dict[str, Tensor], list[str]]


def train(config: MethodConfig, data: Batch, example: Batch) -> Found:
    """Two updates, the second on the states and weights that the first left; metrics, weights and notes."""
    with kernels.use("loop"):  # the exchange knows no kernels, and none has to be built
        return updates(config, data, example)


def updates(config: MethodConfig, data: Batch, example: Batch) -> Found:
    neuron = LIF.Config(decay=0.8, reset=Reset(detach=True), trainable=("decay",))
    network: Any = StackConfig(hidden=(7, 6, 8), neuron=neuron).build(3, 4, stream(0, "weights")).double()
    config.prepare(network)
    plan = Plan(
        optimizer=SGDConfig(learning_rate=0.5, clip=0.2),
        schedule=ConstantConfig(),
        steps_per_epoch=2,
        epochs=1,
        example=example,
    )
    learner: Any = config.build(network, CrossEntropy(), plan)
    for part in learner.beside.modules():
        if isinstance(part, TimeTiedDropout):  # each process draws masks of its own
            part.rate = 0.0
    metrics = [learner.update(data), learner.update(dataclasses.replace(data, fresh=False))]
    weights = {**dict(network.named_parameters()), **{f"beside {n}": p for n, p in learner.beside.named_parameters()}}
    return metrics, {name: p.detach().clone() for name, p in weights.items()}, list(learner.notes)


def worker(number: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=number,
        world_size=processes,
        timeout=datetime.timedelta(seconds=90),  # processes that do not do the same wait for each other
    )
    try:
        found = {}
        for case, (size, cut) in CASES.items():
            share = batch(size).rows(slice(0, cut) if number == 0 else slice(cut, size))
            found |= {(name, case): train(config, share, share) for name, config in methods().items()}
        torch.save(found, f"{folder}/{number}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    """What both processes found, for all methods and cases in one go."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(worker, (2, str(folder)), nprocs=2)
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


@pytest.mark.timeout(180)  # the first of them waits for two fresh interpreters
@pytest.mark.parametrize("name", list(methods()))
def test_two_processes_learn_what_one_does(name: str, together: list[dict[Any, Any]]) -> None:
    for case, (size, cut) in CASES.items():
        share = batch(size).rows(slice(0, cut))  # what a process holds is planned for its share, the largest one
        metrics, weights, planned = train(methods()[name], batch(size), share)
        for number, found in enumerate(together):
            theirs, moved, notes = found[name, case]
            assert notes == planned, f"{case}: process {number} made another plan"
            for one, two in zip(metrics, theirs, strict=True):
                assert one == pytest.approx(two, abs=1e-12), f"{case}, process {number}"
            assert weights.keys() == moved.keys()
            for key, value in weights.items():
                assert (value - moved[key]).abs().max().item() < 1e-10, f"{case}, process {number}: {key}"


def test_weights_move_and_methods_differ() -> None:
    """The comparison above would hold for learners that do nothing."""
    found = {
        name: train(config, batch(5), batch(5))[1]["blocks.0.synapse.weight"] for name, config in methods().items()
    }
    start = StackConfig(hidden=(7, 6, 8)).build(3, 4, stream(0, "weights")).double().blocks[0].synapse.weight  # type: ignore[union-attr]
    for name, weight in found.items():
        assert (weight - start).abs().max() > 1e-4, name
    for one, two in (("bptt", "sltt"), ("sltt", "ottt"), ("local", "auglocal"), ("tbptt", "stdl"), ("sdbp", "notd")):
        assert (found[one] - found[two]).abs().max() > 1e-6, (one, two)
