from __future__ import annotations

import pytest
import torch

from spikeworks.core.batch import UNLABELLED
from spikeworks.core.errors import DataError
from spikeworks.data.step_labels import StepLabels


def arrays():
    inputs = torch.arange(24.0).reshape(3, 4, 2)
    targets = torch.tensor([[0, 1, UNLABELLED, 1], [1, 1, 0, 0], [0, UNLABELLED, UNLABELLED, UNLABELLED]])
    return inputs, targets


def test_batches_hold_time_first_inputs_and_a_label_for_every_step():
    inputs, targets = arrays()
    data = StepLabels(inputs, targets.to(torch.int8), classes=2)
    batch = data.batch(torch.tensor([2, 0]))
    assert torch.equal(batch.x, inputs[[2, 0]].transpose(0, 1)) and torch.equal(batch.target, targets[[2, 0]])
    assert batch.target.dtype == torch.int64 and batch.labelled and batch.mask is None
    assert batch.count == 4 and batch.rows(slice(0, 1)).count == 1 and batch.length == 4
    assert [len(item) for item in data.plan(2)] == [2, 1] and len(data) == 3


def test_shorter_samples_carry_a_mask():
    inputs, targets = arrays()
    data = StepLabels(inputs, targets, torch.tensor([4, 4, 2]), classes=2)
    mask = data.batch(torch.tensor([0, 2])).mask
    assert mask is not None and mask.t().tolist() == [[True] * 4, [True, True, False, False]]
    assert data.batch(torch.tensor([0, 1])).mask is None


def test_what_cannot_be_learnt_is_refused():
    inputs, targets = arrays()
    with pytest.raises(DataError, match=r"ECG: label 2 of sample 1, step 3 is out of range; expected 0 to 1, or -100"):
        StepLabels(inputs, targets.index_put((torch.tensor(1), torch.tensor(3)), torch.tensor(2)), classes=2, who="ECG")
    with pytest.raises(DataError, match=r"labels \[3, 4\] came with signals \[3, 3, 2\]"):
        StepLabels(inputs[:, :3], targets, classes=2)
    with pytest.raises(DataError, match="sample 0 has values that are not finite"):
        StepLabels(inputs / 0.0, targets, classes=2)
    with pytest.raises(DataError, match="behind the end of a sample"):
        StepLabels(inputs, targets, torch.tensor([4, 3, 4]), classes=2)
    with pytest.raises(DataError, match="no step has a label"):
        StepLabels(inputs, torch.full_like(targets, UNLABELLED), classes=2)
    with pytest.raises(DataError, match="holds no samples"):
        StepLabels(inputs[:0], targets[:0], classes=2)
    with pytest.raises(DataError, match="2 lengths for 3 samples"):
        StepLabels(inputs, targets, torch.tensor([4, 3]), classes=2)
