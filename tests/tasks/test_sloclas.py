from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_sloclas import plane_wave, write_mirror, write_sloclas, write_wav

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.disjoint import check_disjoint, check_spans_disjoint
from spikeworks.data.sound_windows import nsa_layout
from spikeworks.tasks import SPLITS
from spikeworks.tasks.sloclas import SLoClasConfig


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """All azimuths, four seconds each, and what was written."""
    root = tmp_path_factory.mktemp("sloclas")
    return root, write_sloclas(root, range(0, 72, 9), seconds=4.0)


def built(tree, **options):
    task = SLoClasConfig(angles=8, **options).build(tree[0])
    task.data("train")
    return task


def whole(task, split):
    data = task.data(split)
    return data.batch(torch.arange(len(data)))


def written(tree, task, split):
    """The windows of a split, cut from what was written, and the azimuth in the file's name."""
    spans = task.spans[split]
    windows = np.stack([tree[1][name][start:stop] for name, start, stop in spans]).astype(np.float32) / 2**15
    return torch.from_numpy(windows), [int(name[-6:-4]) for name, _, _ in spans]


def test_shapes_and_classes(tree):
    task = built(tree)
    assert task.signature.steps == 500 and task.signature.shape == (4,) and task.signature.classes[0] == "45°"
    for split in SPLITS:
        batch = whole(task, split)
        assert batch.x.shape == (500, batch.size, 4) and batch.x.dtype == torch.float32
        assert sorted(set(batch.target.tolist())) == list(range(8))
        numbers = written(tree, task, split)[1]
        assert [8 if n == 0 else n // 9 for n in numbers] == [k + 1 for k in batch.target.tolist()]
    assert SLoClasConfig().build().signature.classes[-1] == "360°"


@pytest.mark.parametrize("protocol", ["clean", "paper"])
@pytest.mark.parametrize("split", SPLITS)
def test_layouts_recover_the_written_windows(tree, protocol, split):
    task = built(tree, protocol=protocol, snr=400.0)  # the noise is below the last bit
    windows, _ = written(tree, task, split)
    if protocol == "clean":
        windows = windows / windows.square().mean((1, 2), keepdim=True).sqrt()
    assert torch.equal(whole(task, split).x, windows.transpose(0, 1))
    nsa = built(tree, protocol=protocol, snr=400.0, layout="nsa")
    assert torch.equal(whole(nsa, split).x, nsa_layout(windows).transpose(0, 1))


def test_clean_splits_are_apart_in_time_in_every_recording(tree):
    task = built(tree)
    check_spans_disjoint(task.spans)
    for name in tree[1]:
        ends = [(min(s), max(e)) for s, e in (_bounds(task.spans[split], name) for split in SPLITS)]
        assert ends[0][1] + 3000 <= ends[1][0] and ends[1][1] + 3000 <= ends[2][0]  # 6 windows of 4 s are the gap
        assert ends[0][1] <= 0.7 * 64_000 and ends[2][0] >= 0.85 * 64_000


def _bounds(spans, name):
    return [s for n, s, _ in spans if n == name], [e for n, _, e in spans if n == name]


def test_only_loud_windows_are_used(tree):
    task = built(tree)
    name, stored = next(iter(tree[1].items()))
    part = abs(stored[: round(128 * 0.7) * 500].astype(float)).reshape(-1, 2000)
    expected = (part.mean(1) > part.mean()).nonzero()[0]
    assert [start // 500 for n, start, _ in task.spans["train"] if n == name] == expected.tolist()


def test_noise_of_0_db_in_both_protocols(tree):
    quiet, noisy = built(tree, protocol="paper", snr=400.0), built(tree, protocol="paper")
    signal, sum_ = whole(quiet, "train").x, whole(noisy, "train").x
    ratio = (sum_ - signal).square().mean() / signal.square().mean()
    assert 0.9 < ratio < 1.1
    powers = whole(built(tree), "train").x.square().mean((0, 2))
    torch.testing.assert_close(powers, torch.ones_like(powers))


def test_paper_draws_windows_independently_and_never_twice(tree):
    task = built(tree, protocol="paper")
    sizes = [len(task.data(split)) for split in SPLITS]
    loud = sum(_loud(stored) for stored in tree[1].values())
    assert abs(sizes[0] + sizes[1] - 0.8 * loud) < 0.1 * loud and 0.02 * loud < sizes[2] < 0.07 * loud  # .2 (1 - .8)
    check_disjoint({split: task.spans[split] for split in SPLITS}, what="window")
    assert any(abs(a[1] - b[1]) == 500 and a[0] == b[0] for a in task.spans["train"] for b in task.spans["test"])
    fewer = built(tree, protocol="paper", per_recording=64)  # half of the windows of a recording
    assert abs(len(fewer.data("train")) + len(fewer.data("validation")) - 0.4 * loud) < 0.1 * loud


def _loud(stored):
    windows = abs(stored.astype(float)).reshape(-1, 2000).mean(1)
    return int((windows > abs(stored.astype(float)).mean()).sum())


def test_per_recording_bounds_every_split(tree):
    task = built(tree, per_recording=20)
    for split, most in zip(SPLITS, (14, 3, 3), strict=True):
        counts = [sum(n == name for n, _, _ in task.spans[split]) for name in tree[1]]
        assert max(counts) == most or split != "train"
        assert max(counts) <= most


def test_the_mirror(tmp_path):
    windows = np.random.default_rng(0).normal(size=(160, 500, 4)).astype(np.float32)
    angles = np.tile(np.arange(45, 361, 45), 20)
    write_mirror(tmp_path, windows, angles, "Training")
    write_mirror(tmp_path, windows[:16] + 1, angles[:16], "Testing")
    task = SLoClasConfig(source="mirror", protocol="paper", angles=8, layout="nsa").build(tmp_path)
    assert [len(task.data(split)) for split in SPLITS] == [144, 16, 16]
    test = whole(task, "test")
    rows = (windows[:16] + 1).transpose(0, 2, 1).reshape(16, 2000)
    assert np.array_equal(test.x.numpy(), rows.T.reshape(500, 4, 16).transpose(0, 2, 1))
    assert test.target.tolist() == [0, 1, 2, 3, 4, 5, 6, 7] * 2
    time = SLoClasConfig(source="mirror", protocol="paper", angles=8).build(tmp_path)
    assert np.array_equal(whole(time, "test").x.numpy(), (windows[:16] + 1).transpose(1, 0, 2))
    with pytest.raises(DataError, match="sloclas train: 64 of 72 directions have no windows; the first is 5°"):
        SLoClasConfig(source="mirror", protocol="paper").build(tmp_path).data("test")


def test_refusals(tree, tmp_path):
    with pytest.raises(ConfigError, match="cannot be split cleanly"):
        SLoClasConfig(source="mirror")
    for wrong in ({"angles": 7}, {"layout": "space"}, {"protocol": "nsa"}, {"source": "web"}, {"per_recording": 3}):
        with pytest.raises(ConfigError, match="sloclas"):
            SLoClasConfig(**wrong)
    with pytest.raises(DataError, match="directions have no windows; the first is 5°"):
        SLoClasConfig().build(tree[0]).data("train")
    write_sloclas(tmp_path, range(0, 72, 9), seconds=1.0)
    write_wav(tmp_path / "sloclas/Unsegmented_Sound/Seq1_azimuth_18.wav", plane_wave(90, 1.0, 0, 2))
    with pytest.raises(
        DataError, match=r"1 of 8 SLoClas recordings .* the other 7 are fine.*expected 4 channel\(s\), got 2"
    ):
        SLoClasConfig(angles=8).build(tmp_path).data("test")
