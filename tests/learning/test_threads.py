"""Learners of small networks stay in one thread; what they run at once decides."""

from __future__ import annotations

import pytest
import torch

from spikeworks.core.batch import Batch
from spikeworks.kernels.threads import UPDATE_FROM
from spikeworks.learning import METHODS, Plan
from spikeworks.models import NETWORKS
from spikeworks.optim import SGDConfig
from spikeworks.tasks import task_for


@pytest.mark.parametrize(
    ("method", "network", "hidden", "threads"),
    [
        ("bptt", "stack", 64, 1),
        ("bptt", "stack", 512, 2),
        ("bptt", "gru", 512, 1),
        ("ottt", "stack", 512, 1),
        ("local", "stack", 512, 1),
    ],
)
def test_the_largest_product_decides(method, network, hidden, threads):
    steps, size = 64, 4
    assert (steps * size * hidden * hidden >= UPDATE_FROM) == (hidden == 512)
    batch = Batch(x=torch.rand(steps, size, 3), target=torch.zeros(size, dtype=torch.int64))
    model = NETWORKS.get(network)(hidden=(hidden, hidden)).build(3, 10, torch.Generator().manual_seed(0))
    learner = METHODS.get(method)().build(model, task_for("seq-digits").build(), Plan.of_one(batch, SGDConfig()))
    seen = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        learner.update(batch, lambda output, _: seen.append(torch.get_num_threads()))
        assert set(seen) == {threads} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
