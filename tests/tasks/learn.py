"""A small training, to see that a task can be learnt at all."""

from __future__ import annotations

from typing import Any

import torch

from spikeworks.core.batch import Batch
from spikeworks.layers import ReadoutConfig
from spikeworks.models import StackConfig
from spikeworks.neurons import NEURONS


def learn(task: Any, updates: int, batch_size: int, hidden: tuple[int, ...] = (48,), neuron: str = "alif") -> float:
    """Accuracy on the test split after ``updates`` of one small network."""
    generator = torch.Generator().manual_seed(0)
    stack = StackConfig(
        neuron=NEURONS.get(neuron).Config(), hidden=hidden, readout=ReadoutConfig(kind=task.default_readout, scale=10.0)
    )
    network = stack.build(task.signature.inputs, task.signature.outputs, generator)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.0)
    train, done = task.data("train"), 0
    while done < updates:
        for item in train.plan(batch_size, generator)[: updates - done]:
            batch: Batch = train.batch(item)
            optimizer.zero_grad()
            task.loss(network(batch.x)[0], batch).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            done += 1
    meter, test = task.meter(), task.data("test")
    with torch.no_grad():
        for item in test.plan(256):
            batch = test.batch(item)
            meter.update(network(batch.x)[0], batch)
    return meter.compute()["accuracy"]
