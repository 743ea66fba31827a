"""PMSN trained on real data against simpler neurons with the same budget (sheet of arXiv 2408.14917)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.data.idx import read_idx
from spikeworks.layers import ReadoutConfig
from spikeworks.models import StackConfig
from spikeworks.neurons import config_for

pytestmark = pytest.mark.slow


def accuracy_by_rows(neuron: str, images, labels, epochs: int = 6) -> float:
    """Train on 10 000 images, one row a step, and score on 5000 others."""
    generator = torch.Generator().manual_seed(0)
    readout = ReadoutConfig(kind="mean", scale=10.0)
    network = StackConfig(hidden=(64, 64), neuron=config_for(neuron), readout=readout).build(28, 10, generator)
    optimizer = torch.optim.AdamW(network.parameter_groups(0.0), lr=5e-3)
    steps, train = epochs * 100, 10_000
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, pct_start=0.1)
    for _ in range(epochs):
        for part in torch.randperm(train, generator=generator).split(100):
            loss = functional.cross_entropy(network(images[part].transpose(0, 1))[0], labels[part])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        found = network(images[train:].transpose(0, 1))[0].argmax(1)
    return (found == labels[train:]).double().mean().item()


def test_fashion_by_rows_pmsn_lies_above_lif(data_set):
    folder = data_set("fashion_mnist")
    images = read_idx(folder / "train-images-idx3-ubyte.gz")[:15_000].float() / 255
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")[:15_000].long()
    torch.set_num_threads(2)
    scores = {name: accuracy_by_rows(name, images, labels) for name in ("lif", "pmsn")}
    assert scores["pmsn"] > scores["lif"] > 0.6, scores


def test_digits_by_pixel_pmsn_lies_above_tclif_and_far_above_lif(tmp_path):
    torch.set_num_threads(2)
    scores = {}
    for name in ("lif", "tc-lif", "pmsn"):
        scores[name] = Run(describe_run("seq-digits", name), tmp_path / name).execute()["test"]["accuracy"]
    assert scores["pmsn"] > scores["tc-lif"] > scores["lif"] + 0.2, scores
