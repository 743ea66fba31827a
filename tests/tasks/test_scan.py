from __future__ import annotations

import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.data import fixed_permutation
from spikeworks.tasks.scan import Scan, pool_images

IMAGES = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)


def test_by_pixel_reads_rows_from_top_to_bottom():
    x = Scan("pixel", scale=2.0)(IMAGES)
    assert x.shape == (12, 2, 1) and x.is_contiguous()
    assert x[:, 1, 0].tolist() == [value / 2 for value in range(12, 24)]


def test_by_row():
    x = Scan("row", scale=1.0)(IMAGES)
    assert x.shape == (3, 2, 4) and x.is_contiguous()
    assert torch.equal(x, IMAGES.transpose(0, 1).float())


@pytest.mark.parametrize("by", ["pixel", "row"])
def test_order_is_undone_by_its_inverse(by):
    order = fixed_permutation(12, seed=0)
    plain, shuffled = Scan(by, 1.0)(IMAGES), Scan(by, 1.0, order)(IMAGES)
    assert not torch.equal(plain, shuffled)
    flat = shuffled.transpose(0, 1).reshape(2, 12)
    assert torch.equal(flat[:, order.argsort()], plain.transpose(0, 1).reshape(2, 12))


def test_pool_sums_blocks_exactly():
    images = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    images[0, 0, 0] = 1
    assert pool_images(images, 2).tolist() == [[[766, 1020], [1020, 1020]]]
    assert pool_images(images, 1) is images
    with pytest.raises(ConfigError, match="Blocks of 3 by 3 pixels do not fit images of 4 by 4"):
        pool_images(images, 3)
