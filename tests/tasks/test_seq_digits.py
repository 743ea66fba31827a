from __future__ import annotations

import numpy as np
import pytest
import torch

from spikeworks.core.errors import DataError
from spikeworks.tasks import SeqDigitsConfig
from spikeworks.tasks import seq_digits as module


def test_all_images_are_there_once_and_in_proportion():
    from sklearn.datasets import load_digits

    task = SeqDigitsConfig().build()
    parts = [task.data(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1257, 180, 360]
    found = sorted(row.numpy().tobytes() for part in parts for row in part.inputs)
    assert found == sorted(row.astype(np.uint8).tobytes() for row in load_digits().images)
    for part in parts:
        assert torch.allclose(torch.bincount(part.targets) / len(part), torch.tensor(0.1), atol=0.012)


def test_values_and_permutation():
    plain, shuffled = SeqDigitsConfig().build(), SeqDigitsConfig(permuted=True).build()
    item = torch.arange(5)
    x, y = plain.data("train").batch(item).x, shuffled.data("train").batch(item).x
    assert x.shape == (64, 5, 1) and x.min() == 0 and x.max() == 1
    assert plain.order is None and not torch.equal(x, y)
    assert torch.equal(x[shuffled.order], y)


def test_another_set_of_digits_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_SHA256", "0" * 64)
    with pytest.raises(DataError, match="differ from the published ones: 1797 images"):
        SeqDigitsConfig().build().data("train")


def test_recipe():
    defaults = SeqDigitsConfig().defaults()
    assert (defaults.hidden, defaults.batch_size, defaults.learning_rate) == ((64, 64), 64, 5e-3)
    assert (defaults.clip, defaults.epochs, defaults.readout) == (1.0, 25, "mean")
