from __future__ import annotations

import numpy as np
import pytest
from tests.data.raw_openbmi import file_name, seed_of, structure, write_file, write_openbmi

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.openbmi import load_openbmi, load_openbmi_arrays, read_openbmi

GOOD = structure(seed=0, trials=2)


def test_a_written_tree_comes_back(tmp_path):
    write_openbmi(tmp_path, subjects=(3, 1), trials=2)
    read = list(load_openbmi(tmp_path, subjects=(3, 1)))
    assert [one.name for one in read] == [
        f"sess0{session}_subj0{subject}/{phase}"
        for subject in (1, 3)
        for session in (1, 2)
        for phase in ("train", "test")
    ]
    for one in read:
        written = structure(seed_of(one.subject, one.session, one.phase), trials=2)
        np.testing.assert_array_equal(one.signal, written["x"])
        assert one.cues == tuple(int(t) - 1 for t in written["t"][0])
        assert one.labels == tuple(int(y) - 1 for y in written["y_dec"][0])


def without(name):
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (without("x"), "EEG_MI_test has no field x; its fields: t, y_dec, fs, chan"),
        (without("y_dec"), "EEG_MI_test has no field y_dec"),
        (
            {**GOOD, "x": GOOD["x"][:, :61]},
            r"expected a signal x of shape \[samples, 62\], got \[18000, 61\] of float32",
        ),
        ({**GOOD, "x": GOOD["x"].T}, r"got \[62, 18000\]"),
        (
            {**GOOD, "y_dec": np.array([[1, 3]])},
            "trial 2 has class 3, expected 1 or 2. 1 of 2 trials are wrong, 1 are fine",
        ),
        ({**GOOD, "y_dec": np.array([[1]])}, "2 cues t came with 1 classes y_dec"),
        ({**GOOD, "t": np.zeros((1, 0)), "y_dec": np.zeros((1, 0))}, "0 cues t came with 0 classes"),
        ({**GOOD, "fs": np.array([[250]])}, "expected a rate of 1000 Hz, got 250 Hz"),
        (np.arange(3.0), "EEG_MI_test is missing or no structure"),
    ],
)
def test_damaged_structures_are_named(tmp_path, damaged, message):
    path = tmp_path / file_name(1, 1)
    write_file(path, EEG_MI_train=GOOD, EEG_MI_test=damaged)
    with pytest.raises(DataError, match=message) as caught:
        read_openbmi(path, 1, 1)
    assert f"{path}, EEG_MI_test" in str(caught.value)


def test_files_that_are_none(tmp_path):
    path = tmp_path / file_name(1, 1)
    write_file(path, EEG_MI_train=GOOD)
    with pytest.raises(DataError, match="EEG_MI_test is missing or no structure"):
        read_openbmi(path, 1, 1)
    whole = path.read_bytes()
    for damaged in (whole[:200], whole[: len(whole) // 2], b"", b"no MATLAB file at all" * 20):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="sess01_subj01_EEG_MI.mat is cut off or no MATLAB file"):
            read_openbmi(path, 1, 1)
    import h5py

    with h5py.File(path, "w", userblock_size=512) as handle:
        handle["x"] = [1.0]
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(DataError, match="version 7.3.\n.*save it with"):
        read_openbmi(path, 1, 1)


def test_missing_files_and_unknown_subjects(tmp_path):
    write_file(tmp_path / "openbmi" / file_name(1, 1), EEG_MI_train=GOOD, EEG_MI_test=GOOD)
    with pytest.raises(DataError, match="1 of 2 files are missing: sess02_subj01_EEG_MI.mat. Looked in"):
        list(load_openbmi(tmp_path, subjects=(1,)))
    for wrong in ((0,), (55,), (2, 2)):
        with pytest.raises(ConfigError, match="distinct numbers from 1 to 54"):
            list(load_openbmi(tmp_path, subjects=wrong))


def write_mirror(root, n=4, steps=6, **changes):
    folder = root / "openbmi"
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    held = {}
    for part in ("train", "test"):
        held[f"x_{part}"], held[f"y_{part}"] = draw.normal(size=(n, 1, 62, steps)), np.arange(n) % 2
    for name, array in {**held, **changes}.items():
        np.save(folder / f"{name}.npy", array)
    return held


def test_the_mirror_comes_back_with_time_first(tmp_path):
    held = write_mirror(tmp_path)
    for part, (signals, labels) in load_openbmi_arrays(tmp_path, steps=6).items():
        assert signals.shape == (4, 6, 62) and labels.tolist() == [0, 1, 0, 1]
        np.testing.assert_allclose(signals[2, 5].numpy(), held[f"x_{part}"][2, 0, :, 5], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": np.zeros((4, 1, 61, 6))}, r"x_test.npy: expected floats \[N, 1, 62, 6\], got \[4, 1, 61, 6\]"),
        ({"x_train": np.zeros((4, 62, 6))}, r"x_train.npy: expected floats .*, got \[4, 62, 6\] of float64"),
        ({"x_train": np.zeros((4, 1, 62, 6), dtype=np.int16)}, "of int16"),
        ({"y_train": np.arange(3)}, r"y_train.npy: expected 4 whole numbers, got \[3\] of int64"),
        ({"y_test": np.zeros(4)}, r"y_test.npy: expected 4 whole numbers, got \[4\] of float64"),
    ],
)
def test_damaged_mirrors_are_named(tmp_path, changes, message):
    write_mirror(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load_openbmi_arrays(tmp_path, steps=6)


def test_a_mirror_that_is_cut_off_or_missing(tmp_path):
    write_mirror(tmp_path)
    path = tmp_path / "openbmi" / "x_test.npy"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="x_test.npy is cut off or no NumPy file"):
        load_openbmi_arrays(tmp_path, steps=6)
    path.unlink()
    with pytest.raises(DataError, match="1 of 4 files are missing: x_test.npy"):
        load_openbmi_arrays(tmp_path, steps=6)
