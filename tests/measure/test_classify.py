from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.batch import Batch
from spikeworks.core.errors import DataError, ShapeError
from spikeworks.measure.classify import ClassificationMeter


def batch(target):
    return Batch(torch.zeros(1, len(target), 1), torch.as_tensor(target))


@given(st.integers(2, 5), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 999))
def test_equals_scikit_learn_over_any_batches(classes, sizes, seed):
    from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

    generator = torch.Generator().manual_seed(seed)
    meter = ClassificationMeter(classes)
    outputs = [torch.randn(n, classes, generator=generator) for n in sizes]
    targets = [torch.randint(classes, (n,), generator=generator) for n in sizes]
    for output, target in zip(outputs, targets, strict=True):
        meter.update(output, batch(target))
    output, target = torch.cat(outputs).double(), torch.cat(targets).numpy()
    found = meter.compute()
    predicted = output.argmax(1).numpy()
    assert found["accuracy"] == pytest.approx(accuracy_score(target, predicted))
    assert found["loss"] == pytest.approx(log_loss(target, output.softmax(1).numpy(), labels=range(classes)))
    confusion = confusion_matrix(target, predicted, labels=range(classes))
    assert np.array_equal(meter.confusion.numpy(), confusion)
    recalls = [confusion[k, k] / confusion[k].sum() for k in range(classes) if confusion[k].sum()]
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / len(recalls))
    assert meter.count == sum(sizes)


def test_balanced_accuracy_does_not_reward_the_majority():
    meter = ClassificationMeter(3)
    meter.update(torch.tensor([[1.0, 0, 0]] * 10), batch([0] * 9 + [1]))
    found = meter.compute()
    assert found["accuracy"] == 0.9 and found["balanced_accuracy"] == 0.5
    recall = meter.recall
    assert recall[:2].tolist() == [1.0, 0.0] and math.isnan(recall[2])


def test_loss_does_not_drift():
    meter = ClassificationMeter(2)
    output = torch.zeros(1000, 2)
    for _ in range(300):
        meter.update(output, batch(torch.zeros(1000, dtype=torch.int64)))
    assert meter.compute()["loss"] == pytest.approx(math.log(2), abs=1e-12)


def test_half_precision_outputs_are_scored_in_float64():
    meter = ClassificationMeter(2)
    meter.update(torch.tensor([[0.0, 20.0]], dtype=torch.bfloat16), batch([1]))
    assert meter.compute()["loss"] == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_errors():
    meter = ClassificationMeter(3)
    with pytest.raises(DataError, match="before any sample"):
        meter.compute()
    with pytest.raises(ShapeError, match=r"Expected class scores of shape \[2, 3\], got \[4, 2, 3\]"):
        meter.update(torch.zeros(4, 2, 3), batch([0, 1]))
    with pytest.raises(DataError, match="Labels run from 0 to 3; expected 0 to 2"):
        meter.update(torch.zeros(2, 3), batch([0, 3]))
    assert meter.count == 0
