from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_openbmi import write_openbmi

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.disjoint import check_disjoint
from spikeworks.data.eeg import TrialPipeline
from spikeworks.data.openbmi import load_openbmi
from spikeworks.tasks import SPLITS
from spikeworks.tasks.openbmi import OpenbmiConfig

SUBJECTS, TRIALS, STEPS = (1, 2, 3), 4, 300


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("openbmi")
    write_openbmi(root, SUBJECTS, TRIALS)
    return root


def built(tree, **options):
    task = OpenbmiConfig(subjects=SUBJECTS, steps=STEPS, **options).build(tree)
    task.data("test")
    return task


@pytest.fixture(scope="module")
def clean(tree):
    return built(tree)


@pytest.fixture(scope="module")
def paper(tree):
    return built(tree, protocol="paper")


@pytest.fixture(scope="module")
def cut(tree):
    """The trials of every recording before any scaling, for both ways to lower the rate."""
    recordings = list(load_openbmi(tree, SUBJECTS))
    return {
        way: {
            one.name: TrialPipeline(rate=1000.0, factor=10, steps=STEPS, decimation=way)(one.signal, one.cues)
            for one in recordings
        }
        for way in ("fir", "mean")
    }


def test_shapes(clean):
    batch = clean.data("train").batch(torch.arange(4))
    assert batch.x.shape == (STEPS, 4, 62) and batch.x.dtype == torch.float32 and batch.mask is None
    assert {name: len(clean.data(name)) for name in SPLITS} == dict.fromkeys(SPLITS, 4 * TRIALS)
    for name in SPLITS:
        assert torch.bincount(clean.data(name).targets).tolist() == [2 * TRIALS, 2 * TRIALS]


def test_clean_splits_share_no_subject_and_training_alone_scales(clean, cut):
    people = {name: {recording[7:13] for recording in names} for name, names in clean.recordings.items()}
    assert sorted(who for some in people.values() for who in some) == ["subj01", "subj02", "subj03"]
    raw = {
        name: torch.cat([cut["fir"][recording] for recording in dict.fromkeys(clean.recordings[name])])
        for name in SPLITS
    }
    train = raw["train"].double().flatten(0, 1)
    for name in SPLITS:
        expected = (raw[name].double() - train.mean(0)) / train.std(0, correction=0)
        torch.testing.assert_close(clean.data(name).inputs.double(), expected, rtol=1e-4, atol=1e-4)


def test_clean_by_session(tree):
    names = built(tree, split="session").recordings
    check_disjoint(names, what="recording")
    assert all(name.startswith("sess02") for name in names["test"]) and len(names["test"]) == 6 * TRIALS
    for split, phase in (("train", "train"), ("validation", "test")):
        assert {(name[:6], name[14:]) for name in names[split]} == {("sess01", phase)}


def test_paper_protocol_keeps_the_faults(paper, cut):
    every = 12 * TRIALS
    learn = int(0.8 * every)
    sizes = {name: len(paper.data(name)) for name in SPLITS}
    assert sizes == {"train": learn - learn // 10, "validation": learn // 10, "test": every - learn}
    with pytest.raises(DataError, match="share .* recording"):
        check_disjoint(paper.recordings, what="recording")
    # every trial is scaled by all trials of its subject, those of the test split among them
    for subject in SUBJECTS:
        own = [signals for name, signals in cut["mean"].items() if f"subj{subject:02d}" in name]
        rows = torch.cat(own).double().flatten(0, 1)
        expected = [((one.double() - rows.mean(0)) / rows.std(0, correction=0)) for one in torch.cat(own)]
        got = [
            signals
            for name in SPLITS
            for signals, recording in zip(paper.data(name).inputs, paper.recordings[name], strict=True)
            if f"subj{subject:02d}" in recording
        ]
        assert len(got) == len(expected)
        for one in expected:
            assert min(float((one - other).abs().max()) for other in got) < 1e-4


def test_the_label_belongs_to_the_signal(clean, paper):
    """The rhythm is weaker over the first third of the channels for class 0, over the last for class 1."""
    for task in (clean, paper):
        for name in SPLITS:
            data = task.data(name)
            rhythm = np.fft.rfft(data.inputs.numpy(), axis=1)
            power = np.abs(rhythm[:, STEPS // 10]) ** 2  # 10 Hz at 100 samples a second
            guess = power[:, :20].sum(1) > power[:, 42:].sum(1)
            assert (guess == data.targets.numpy().astype(bool)).all()


def test_the_mirror(tmp_path):
    folder = tmp_path / "openbmi"
    folder.mkdir()
    draw = np.random.default_rng(0)
    x = {part: draw.normal(size=(n, 1, 62, 5)) for part, n in (("train", 30), ("test", 4))}
    for part, array in x.items():
        np.save(folder / f"x_{part}.npy", array)
        np.save(folder / f"y_{part}.npy", np.arange(len(array)) % 2)
    task = OpenbmiConfig(protocol="paper", layout="mirror", steps=5).build(tmp_path)
    assert {name: len(task.data(name)) for name in SPLITS} == {"train": 27, "validation": 3, "test": 4}
    batch = task.data("validation").batch(torch.arange(3))
    np.testing.assert_allclose(batch.x.numpy(), x["train"][27:, 0].transpose(2, 0, 1), rtol=1e-6)
    assert batch.target.tolist() == [1, 0, 1]


def test_options_that_exclude_each_other(tree):
    with pytest.raises(ConfigError, match="the mirror does not say whose a trial is.*\n.*layout=raw"):
        OpenbmiConfig(layout="mirror")
    with pytest.raises(ConfigError, match="the mirror does not say"):
        OpenbmiConfig(layout="mirror", protocol="paper", subjects=(1,))
    with pytest.raises(ConfigError, match="split=session is for clean"):
        OpenbmiConfig(protocol="paper", split="session")
    with pytest.raises(ConfigError, match="at least one step, got steps=0"):
        OpenbmiConfig(steps=0)
    with pytest.raises(DataError, match=r"sess01_subj01/train: trial .* 3 of 4 trials are fine"):
        OpenbmiConfig(subjects=(1, 2, 3), steps=1000).build(tree).data("train")
