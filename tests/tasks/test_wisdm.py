from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split
from tests.data.raw_wisdm import lines_of, write_wisdm

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.data.disjoint import check_disjoint, check_spans_disjoint
from spikeworks.tasks import SPLITS
from spikeworks.tasks.wisdm import WisdmConfig

SUBJECTS = tuple(range(1600, 1606))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("wisdm")
    write_wisdm(root, SUBJECTS)
    return root


def built(tree, **options):
    task = WisdmConfig(subjects=SUBJECTS, **options).build(tree)
    task.data("train")
    return task


def zscored(subject):
    """The lines of a subject, by hand."""
    rows = np.array([[float(x) for x in line[:-1].split(",")[3:]] for line in lines_of(subject)])
    return (rows - rows.mean(0)) / rows.std(0)


def test_shapes_and_counts(tree):
    task = built(tree)
    batch = task.data("train").batch(torch.arange(5))
    assert batch.x.shape == (200, 5, 3) and batch.x.dtype == torch.float32 and batch.mask is None
    # 450 readings of each activity hold three windows, from 0, 100 and 200
    assert {name: len(task.data(name)) for name in SPLITS} == {"train": 4 * 54, "validation": 54, "test": 54}
    for name in SPLITS:
        assert torch.bincount(task.data(name).targets, minlength=18).unique().numel() == 1


def test_windows_are_the_standardised_lines(tree):
    task = built(tree)
    for part in task.windows.values():
        for i in (0, 1, 53):
            (_, start, stop), subject = part.spans[i], part.groups[i]
            np.testing.assert_allclose(part.inputs[i].numpy(), zscored(subject)[start:stop], rtol=0, atol=1e-6)
            assert part.targets[i] == start // 450 == (stop - 1) // 450


def test_clean_splits_share_nobody(tree):
    task = built(tree)
    groups = {name: set(part.groups) for name, part in task.windows.items()}
    assert sorted(who for group in groups.values() for who in group) == list(SUBJECTS)
    check_disjoint(groups, what="subject")
    assert task.leaking == 0.0
    again = built(tree)
    for name in SPLITS:
        assert torch.equal(task.data(name).inputs, again.data(name).inputs)


def test_paper_protocol_keeps_the_faults(tree):
    task = built(tree, protocol="paper")
    joined = np.concatenate([zscored(subject) for subject in SUBJECTS]).astype(np.float32)
    labels = np.tile(np.repeat(np.arange(18), 450), len(SUBJECTS))
    starts = np.arange(0, len(joined) - 199, 100)
    starts = starts[labels[starts] == labels[starts + 199]]
    learn, test = train_test_split(starts, test_size=0.2, random_state=42)
    part = task.windows
    assert [start for _, start, _ in part["test"].spans] == test.tolist()
    assert [start for name in ("validation", "train") for _, start, _ in part[name].spans] == learn.tolist()
    assert len(part["validation"]) == len(learn) // 10
    for name in SPLITS:
        for inputs, (_, start, stop) in zip(part[name].inputs, part[name].spans, strict=True):
            np.testing.assert_allclose(inputs.numpy(), joined[start:stop], rtol=0, atol=1e-5)
    with pytest.raises(DataError, match="share 6 subject"):
        check_disjoint({name: windows.groups for name, windows in part.items()}, what="subject")
    with pytest.raises(DataError, match="windows of test share samples with train"):
        check_spans_disjoint({"train": part["train"].spans, "test": part["test"].spans})


def test_paper_windows_straddle_files(tmp_path):
    # all subjects do one activity only, 250 readings each: the end labels agree across files
    write_wisdm(tmp_path, SUBJECTS, per_activity=250, codes="A")
    task = built(tmp_path, protocol="paper")
    starts = sorted(start for part in task.windows.values() for _, start, _ in part.spans)
    assert starts == list(range(0, 6 * 250 - 199, 100))
    assert any(start // 250 != (start + 199) // 250 for start in starts)
    clean = built(tmp_path)
    assert all(stop <= 250 for part in clean.windows.values() for _, _, stop in part.spans)


def test_nearly_every_published_test_window_leaks(tmp_path):
    write_wisdm(tmp_path, SUBJECTS, per_activity=3000, codes="AB")
    assert built(tmp_path, protocol="paper").leaking == pytest.approx(0.96, abs=0.06)
    assert built(tmp_path).leaking == 0.0


def test_options_are_checked(tree):
    for wrong in ({"steps": 0}, {"stride": 0}):
        with pytest.raises(ConfigError, match="steps and stride are at least 1"):
            WisdmConfig(**wrong)
    with pytest.raises(DataError, match=r"wisdm: 2 subject\(s\) cannot be split"):
        WisdmConfig(subjects=(1600, 1601)).build(tree).data("train")
    with pytest.raises(DataError, match="holds no samples"):
        WisdmConfig(subjects=SUBJECTS, steps=500).build(tree).data("train")
