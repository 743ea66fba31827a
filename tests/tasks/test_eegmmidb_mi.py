from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from scipy.signal import butter, sosfiltfilt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tests.data.raw_edf import write_run
from tests.tasks.learn import learn

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.eeg import TrialPipeline
from spikeworks.data.eegmmidb import read_run
from spikeworks.tasks import SPLITS
from spikeworks.tasks.eegmmidb_mi import EegmmidbConfig

pytest.importorskip("mne", reason="reads EDF; pip install 'spikeworks[eeg]'")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("eegmmidb")
    for run in (4, 8, 12):
        write_run(root / f"eegmmidb/S001/S001R{run:02d}.edf", seed=run)
    return root


def test_runs_go_round_with_the_fold(tree):
    runs = ["S001R04.edf", "S001R08.edf", "S001R12.edf"]
    for fold in (0, 1, 2):
        task = EegmmidbConfig(imagery="left-right", fold=fold).build(tree)
        task.data("test")
        assert [task.runs[name] for name in SPLITS] == runs[fold:] + runs[:fold]


def test_trials_are_those_of_their_run_scaled_by_training(tree):
    task = EegmmidbConfig(imagery="left-right", steps=200, stride=100).build(tree)
    pipeline = TrialPipeline(rate=160.0, factor=2, steps=320, low=7.0, high=30.0)
    cut = {}
    for name in SPLITS:
        data = task.data(name)
        run = read_run(tree / "eegmmidb/S001" / task.runs[name])
        cut[name] = pipeline(run.signal * 1e6, run.cues).double()
        assert run.labels == (0, 1, 0, 1) and data.targets.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
        rows = cut["train"].flatten(0, 1)
        expected = (cut[name] - rows.mean(0)) / rows.std(0, correction=0)
        for window, first in ((0, 0), (1, 100)):
            windows = data.inputs[window::2].double()
            torch.testing.assert_close(windows, expected[:, first : first + 200], rtol=1e-4, atol=1e-4)
    assert task.data("train").batch(torch.arange(3)).x.shape == (200, 3, 64)


def test_errors(tree, tmp_path):
    for wrong in ({"steps": 321}, {"steps": 0}, {"stride": 0}):
        with pytest.raises(ConfigError, match="a window has 1 to 320 steps and a stride of at least 1"):
            EegmmidbConfig(**wrong)
    with pytest.raises(ConfigError, match="A band from 7 to 90 Hz does not fit"):
        EegmmidbConfig(high=90.0)
    with pytest.raises(DataError, match="3 of 3 files are missing: S001/S001R06.edf"):
        EegmmidbConfig().build(tree).data("train")
    path = tmp_path / "eegmmidb/S001"
    for run in (4, 8, 12):
        write_run(path / f"S001R{run:02d}.edf", seed=run)
    whole = (path / "S001R08.edf").read_bytes()
    (path / "S001R08.edf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"S001R08.edf is damaged: its header says 36 data records, only \d+ are whole"):
        EegmmidbConfig(imagery="left-right").build(tmp_path).data("train")


def patterns_and_discriminant(task) -> float:
    """Test accuracy of common spatial patterns and a linear discriminant, 7 to 30 Hz, 1 to 2 s behind the cue."""
    band = butter(4, [7, 30], btype="band", fs=80, output="sos")

    def seen(name):
        return sosfiltfilt(band, task.data(name).inputs.double().mT.numpy(), axis=-1)[:, :, 80:160]

    def covariance(trials):
        return np.mean([x @ x.T / np.trace(x @ x.T) for x in trials], axis=0)

    x, y = seen("train"), task.data("train").targets.numpy()
    one, other = (covariance(x[y == label]) for label in (0, 1))
    both = one + other
    _, vectors = eigh(one, both + 1e-3 * np.trace(both) / len(both) * np.eye(len(both)))
    chosen = vectors[:, [0, 1, -2, -1]].T

    def features(trials):
        return np.log(np.var(chosen @ trials, axis=-1))

    discriminant = LinearDiscriminantAnalysis().fit(features(x), y)
    return float(discriminant.score(features(seen("test")), task.data("test").targets.numpy()))


def test_the_classical_method_works_on_the_real_runs(data_set, data_root):
    data_set("eegmmidb")
    scores = [
        patterns_and_discriminant(EegmmidbConfig(steps=320, low=1.0, high=50.0, fold=fold).build(data_root))
        for fold in (0, 1, 2)
    ]
    assert np.mean(scores) > 0.7  # 0.84 when written; chance is 0.53


def test_the_real_runs(data_set, data_root):
    data_set("eegmmidb")
    task = EegmmidbConfig(imagery="left-right", steps=320).build(data_root)
    for name, right in zip(SPLITS, (7, 7, 8), strict=True):
        assert task.data(name).inputs.shape == (15, 320, 64) and int(task.data(name).targets.sum()) == right


def test_learning_works(data_set, data_root):
    data_set("eegmmidb")
    scores = [learn(EegmmidbConfig(fold=fold).build(data_root), updates=50, batch_size=32) for fold in (0, 1, 2)]
    assert np.mean(scores) > 0.6
