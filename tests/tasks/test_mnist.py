from __future__ import annotations

import gzip
import struct

import pytest
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.idx import read_idx
from spikeworks.tasks import PSMnistConfig, SMnistConfig


@pytest.fixture(scope="module")
def raw(request):
    folder = request.getfixturevalue("data_set")("mnist")
    return read_idx(folder / "t10k-images-idx3-ubyte.gz"), read_idx(folder / "t10k-labels-idx1-ubyte.gz")


def test_sequence_is_the_image(raw, data_root):
    images, labels = raw
    data = SMnistConfig().build(data_root).data("test")
    batch = data.batch(torch.arange(3))
    assert batch.x.shape == (784, 3, 1)
    assert torch.allclose(batch.x[:, 1, 0], images[1].flatten().float() / 255)
    assert batch.target.tolist() == labels[:3].tolist()


def test_rows_and_pool(raw, data_root):
    images, _ = raw
    rows = SMnistConfig(by="row").build(data_root).data("test").batch(torch.arange(2))
    assert torch.allclose(rows.x[:, 0], images[0].float() / 255)
    pooled = SMnistConfig(pool=2).build(data_root)
    assert pooled.signature.steps == 196
    expected = torch.nn.functional.avg_pool2d(images[:2, None].float() / 255, 2).flatten(1).t()
    assert torch.allclose(pooled.data("test").batch(torch.arange(2)).x[:, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("pool", "steps"), [(1, 784), (2, 196)])
def test_permutation_is_a_bijection_of_the_same_images(raw, data_root, pool, steps):
    plain, permuted = SMnistConfig(pool=pool).build(data_root), PSMnistConfig(pool=pool).build(data_root)
    assert torch.equal(permuted.order.sort().values, torch.arange(steps))
    item = torch.arange(4)
    x, y = plain.data("test").batch(item).x, permuted.data("test").batch(item).x
    assert torch.equal(x[permuted.order], y) and not torch.equal(x, y)
    assert torch.equal(PSMnistConfig(pool=pool).build(data_root).order, permuted.order)


def test_subsets_are_parts_of_the_splits_in_proportion(raw, data_root):
    whole = SMnistConfig(pool=7).build(data_root)
    part = SMnistConfig(pool=7, train_size=1000, validation_size=100).build(data_root)
    assert [len(part.data(split)) for split in ("train", "validation", "test")] == [1000, 100, 10_000]
    share = torch.bincount(whole.data("train").targets) / 54_000
    assert torch.allclose(torch.bincount(part.data("train").targets) / 1000, share, atol=1.1e-3)
    images = {row.numpy().tobytes() for row in whole.data("train").inputs}
    assert all(row.numpy().tobytes() in images for row in part.data("train").inputs)


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match="expected 1, 2, 4 or 7, got 3"):
        SMnistConfig(pool=3)
    with pytest.raises(ConfigError, match="one pixel a step"):
        PSMnistConfig(by="row")
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(struct.pack(">4I", 2051, 0, 28, 28)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged or another version: expected md5"):
        SMnistConfig().build(tmp_path).data("test")


def test_published_figures_belong_to_the_published_task():
    assert {figure.model for figure in PSMnistConfig().build().published} >= {"lif", "pmsn"}
    assert PSMnistConfig(pool=2).build().published == ()
