from __future__ import annotations

import sys

import numpy as np
import pytest
from tests.data.raw_edf import write_edf, write_run

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.edf import read_edf
from spikeworks.data.eegmmidb import load_eegmmidb, read_run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "S001/S001R04.edf"


@pytest.fixture
def mne():
    return pytest.importorskip("mne", reason="reads EDF; pip install 'spikeworks[eeg]'")


def test_a_written_run_comes_back(path, mne):
    written = write_run(path, seed=1)
    run = read_run(path)
    np.testing.assert_allclose(run.signal * 1e6, written, atol=1e-6)
    assert run.cues == (400, 1680, 2960, 4240) and run.labels == (1, 0, 1, 0) and run.name == "S001R04.edf"


def test_annotations_and_names(path, mne):
    write_edf(path, np.zeros((320, 2)), [(0.0, 1.0, "T0"), (1.25, 0.5, "T2")])
    recording = read_edf(path)
    assert recording.rate == 160.0 and recording.channels == ("C0..", "C1..") and recording.signal.shape == (320, 2)
    assert recording.events == ((0.0, "T0"), (1.25, "T2"))


def test_rate_channels_and_annotations_are_checked(path, mne):
    write_run(path, seed=0, channels=63)
    with pytest.raises(DataError, match=r"S001R04.edf: expected 64 channels, got 63: C0\.\., C1"):
        read_run(path)
    write_run(path, seed=0, rate=128)
    with pytest.raises(DataError, match=r"expected a rate of 160 Hz, got 128 Hz\.\n.*resample it to 160 Hz"):
        read_run(path)
    for events, got in (([], "none"), ([(0.5, 1.0, "T0")], "T0"), ([(0.5, 1.0, "T1"), (1.5, 1.0, "T9")], "T9")):
        write_edf(path, np.zeros((320, 64)), events)
        with pytest.raises(DataError, match=rf"expected the annotations T0, T1 and T2, got {got}\."):
            read_run(path)


def test_damaged_files_are_refused_before_mne_sees_them(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    write_run(path, seed=0, trials=1)
    whole = path.read_bytes()
    cases = {
        whole[:-1]: "its header says 12 data records, only 11 are whole",
        whole + b"\x00\x00": "its header says 12 data records, 2 more bytes follow",
        whole[:300]: "the file ends inside its header",
        whole[:100]: "no EDF file: its first 256 bytes are not those of one",
        b"": "no EDF file",
        b"RIFF" + whole[4:]: "no EDF file",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_edf(path)
    with pytest.raises(DataError, match="Cannot read .*absent"):
        read_edf(path.parent / "absent.edf")


def test_without_mne_the_way_to_get_it_is_told(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    write_run(path, seed=0, trials=1)
    with pytest.raises(ConfigError, match=r"needs the package 'mne'.*\n.*pip install 'spikeworks\[eeg\]'"):
        read_edf(path)


def test_missing_runs_are_named(tmp_path):
    with pytest.raises(
        DataError, match=r"3 of 3 files are missing: S001/S001R06.edf, S001/S001R10.edf, S001/S001R14.edf"
    ):
        load_eegmmidb(tmp_path, "fists-feet")
