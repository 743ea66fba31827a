from __future__ import annotations

import pytest
import torch

from spikeworks.core.batch import UNLABELLED, Batch
from spikeworks.core.errors import DataError, ShapeError
from spikeworks.measure.labelling import LabellingMeter


def labelled(target):
    return Batch(torch.zeros(target.shape[1], target.shape[0], 1), target, labelled=True)


def test_labelled_steps_count_and_no_others():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(7, 5, 3, generator=generator)
    target = torch.randint(3, (5, 7), generator=generator)
    target[torch.rand(5, 7, generator=generator) < 0.4] = UNLABELLED
    meter = LabellingMeter(3)
    for rows in (slice(0, 2), slice(2, 5)):
        meter.update(scores[:, rows], labelled(target[rows]))
    right, losses = [], []
    for t in range(7):
        for b in range(5):
            if target[b, t] >= 0:
                right.append(int(scores[t, b].argmax() == target[b, t]))
                losses.append(-scores[t, b].double().log_softmax(0)[target[b, t]].item())
    found = meter.compute()
    assert meter.count == len(right) == int(meter.confusion.sum())
    assert found["accuracy"] == sum(right) / len(right)
    assert found["loss"] == pytest.approx(sum(losses) / len(losses))


def test_shapes_and_labels_are_checked():
    meter = LabellingMeter(3)
    with pytest.raises(ShapeError, match=r"scores of every step, \[7, 5, 3\] for targets \[5, 7\], got \[5, 3\]"):
        meter.update(torch.zeros(5, 3), labelled(torch.zeros(5, 7, dtype=torch.int64)))
    with pytest.raises(DataError, match="Labels run from 0 to 3; expected 0 to 2"):
        meter.update(torch.zeros(2, 2, 3), labelled(torch.tensor([[0, 3], [1, UNLABELLED]])))
    meter.update(torch.zeros(2, 1, 3), labelled(torch.tensor([[UNLABELLED, UNLABELLED]])))
    with pytest.raises(DataError, match="before any sample"):
        meter.compute()
