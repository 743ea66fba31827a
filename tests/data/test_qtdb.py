from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import torch

from spikeworks.core.batch import UNLABELLED
from spikeworks.core.errors import DataError
from spikeworks.data.qtdb import load_qtdb, read_beats


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    x = draw.integers(-1, 2, (5, 30, 4)).astype(np.int16)
    waves = draw.integers(0, 7, (5, 30))  # 6: none
    return x, np.eye(7, dtype=np.uint8)[waves][:, :, :6], waves


def test_a_file_is_what_was_written(tmp_path, arrays):
    x, y, waves = arrays
    scipy.io.savemat(tmp_path / "a.mat", {"x": x, "y": y})
    beats = read_beats(tmp_path / "a.mat")
    assert torch.equal(beats.events, torch.from_numpy(x).to(torch.int8))
    assert np.array_equal(beats.waves.numpy(), np.where(waves == 6, UNLABELLED, waves))


def test_the_published_files(data_set, data_root):
    data_set("qtdb_ecg")
    files = load_qtdb(data_root)
    assert {name: tuple(one.waves.shape) for name, one in files.items()} == {"train": (618, 1301), "test": (141, 1301)}
    shares = [(one.waves == UNLABELLED).double().mean().item() for one in files.values()]
    assert shares == [pytest.approx(65_785 / 804_018), pytest.approx(19_056 / 183_441)]
    assert sorted(set(files["train"].events.flatten().tolist())) == [-1, 0, 1]


def test_damaged_and_foreign_files(tmp_path, arrays):
    x, y, _ = arrays
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(DataError, match=r"Cannot read .*a\.mat as a MATLAB file"):
        read_beats(path)
    with pytest.raises(DataError, match="Cannot read"):
        read_beats(tmp_path / "none.mat")
    scipy.io.savemat(path, {"x": x, "z": y})
    with pytest.raises(DataError, match="expected the arrays x and y, found x"):
        read_beats(path)
    scipy.io.savemat(path, {"x": x[:, :, :3], "y": y})
    with pytest.raises(DataError, match=r"expected x \[N, T, 4\] and y \[N, T, 6\], got \[5, 30, 3\]"):
        read_beats(path)
    twice, large = y.copy(), x.copy()
    twice[3, 7, :2] = 1
    large[4, 0, 0] = 2
    scipy.io.savemat(path, {"x": large, "y": twice})
    with pytest.raises(DataError, match="sequence 3 has .*; 2 of 5 are damaged, 3 are fine"):
        read_beats(path)
