"""Every registered neuron learns real digits: all of them quickly by row, and in the shared recipes by pixel."""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import pytest
import torch

from spikeworks import kernels
from spikeworks.arena.config import RunConfig
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.core.progress import set_progress
from spikeworks.core.seeds import stream
from spikeworks.learning import Plan
from spikeworks.neurons import NEURONS, Neuron
from spikeworks.tasks import SeqDigitsConfig, Task

CHANCE = 0.1


@functools.cache
def digits(by: str) -> Task:
    return SeqDigitsConfig(by=by).build()  # type: ignore[arg-type]


def train(config: RunConfig, epochs: int) -> float:
    """The best validation accuracy over the epochs; nothing is written and the test split is not read."""
    task = digits(config.task.by)  # type: ignore[attr-defined]
    data, held_out = task.data("train"), task.data("validation")
    network = Run(config).network(task)
    updates = len(data.plan(config.budget.batch_size))
    plan = Plan(optimizer=config.optimizer, schedule=config.schedule, steps_per_epoch=updates, epochs=epochs)
    learner = config.method.build(network, task, plan)
    best = 0.0
    for epoch in range(1, epochs + 1):
        network.train()
        for index in data.plan(config.budget.batch_size, stream(config.seed, "order", epoch)):
            set_progress(network, learner.step / (epochs * updates))
            learner.update(data.batch(index))
        network.eval()
        (every,) = held_out.plan(len(held_out))
        seen = held_out.batch(every)
        with torch.no_grad():
            found = network(seen.x)[0].argmax(-1)
        best = max(best, (found == seen.target).double().mean().item())
    return best


def by_definition(monkeypatch: pytest.MonkeyPatch, name: str) -> contextlib.AbstractContextManager[None]:
    """The step in a loop, untraced: for eight steps no kernel is worth its compilation."""
    monkeypatch.setattr(Neuron, "_trace", lambda neuron, dtype: "untraced")
    return kernels.use("parallel" if hasattr(NEURONS.get(name), "whole_sequence") else "loop")


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_learns_digits_by_row(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = describe_run(SeqDigitsConfig(by="row"), name, hidden=(32,), norm="batch")
    with by_definition(monkeypatch, name):
        assert train(config, epochs=4) >= 2.5 * CHANCE


def test_training_is_what_makes_the_difference() -> None:
    config = describe_run(SeqDigitsConfig(by="row"), "lif", hidden=(32,), norm="batch")
    still = dataclasses.replace(config.optimizer, learning_rate=1e-12)  # type: ignore[type-var]
    assert train(dataclasses.replace(config, optimizer=still), epochs=2) < 2.5 * CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_learns_digits_by_pixel_with_the_recipe_of_the_task(name: str) -> None:
    """One recipe for all, T=64; the weakest are those that forget within a few pixels."""
    config = describe_run("seq-digits", name)
    assert train(config, epochs=config.budget.epochs) >= 2.5 * CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_lies_clearly_above_chance_with_normalised_currents(name: str) -> None:
    """The same recipe with ``--model.norm batch``, which gives every neuron currents of its own size."""
    config = describe_run("seq-digits", name, norm="batch")
    assert train(config, epochs=config.budget.epochs) >= 3.0 * CHANCE
