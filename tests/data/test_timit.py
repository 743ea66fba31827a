from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.data.raw_timit import sentence, sphere, write_sentence, write_timit

from spikeworks.core.errors import DataError
from spikeworks.data.disjoint import check_disjoint
from spikeworks.data.mfcc import Mfcc
from spikeworks.data.timit import PHONES, Sentence, read_phones, read_sentences, split_sentences


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("timit")
    write_timit(root)
    return root


def test_there_are_61_phones():
    assert len(PHONES) == len(set(PHONES)) == 61


def test_splits_keep_speakers_apart_and_leave_out_the_same_sentences(tree):
    splits = split_sentences(tree)
    assert {name: len(paths) for name, paths in splits.items()} == {"train": 36, "validation": 4, "test": 8}
    check_disjoint({n: [path.parent.name for path in paths] for n, paths in splits.items()}, what="speaker")
    assert {path.parts[-3] for path in splits["validation"]} == {"DR1", "DR2"}
    assert not any(path.name.startswith("SA") for paths in splits.values() for path in paths)
    assert splits == split_sentences(tree) and splits != split_sentences(tree, seed=1)


def test_sentences_are_what_was_written(tree):
    paths = split_sentences(tree)["test"]
    for one, path in zip(read_sentences(paths), paths, strict=True):
        samples, lines = sentence(one.speaker, 1 if path.name.startswith("SI") else 2)
        assert torch.equal(one.wave, torch.from_numpy(samples.astype(np.float32) / 2**15))
        notes = [f"{b} {e} {PHONES[p]}" for b, e, p in _spans(one)]
        assert notes == lines and one.name.endswith(f"{one.speaker}/{path.stem}")


def _spans(one):
    begins = one.begins.tolist()
    return list(zip(begins, [*begins[1:], len(one.wave)], one.phones.tolist(), strict=True))


def test_each_frame_has_the_phone_of_its_middle(tree):
    front = Mfcc()
    for one in read_sentences(split_sentences(tree)["validation"]):
        labels = one.labels(400, 160)
        assert len(labels) == len(front(one.wave))
        for frame, label in enumerate(labels.tolist()):
            assert label == next(p for b, e, p in _spans(one) if b <= frame * 160 + 200 < e)


def test_frames_outside_of_the_notes_take_the_nearest_phone():
    one = Sentence("a", "b", torch.zeros(2000), torch.tensor([600, 900]), torch.tensor([7, 8]))
    assert one.labels(400, 160).tolist() == [7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8]
    assert Sentence("a", "b", torch.zeros(100), torch.tensor([0]), torch.tensor([3])).labels(400, 160).tolist() == [3]


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 500 h#\n500 aa\n", "line 2: expected the first sample, the last and a phone, got '500 aa'"),
        ("0 500 h#\n500 900 tck\n", "line 2: 'tck' is none of the 61 phones"),
        ("0 500 h#\n500 400 aa\n", "line 2: a phone from 500 to 400 stands behind one that begins at 0"),
        ("300 500 h#\n200 700 aa\n", "line 2: a phone from 200 to 700 stands behind one that begins at 300"),
        ("0 500 h#\n1000 1200 aa\n", "line 2: a phone begins at sample 1000, but the recording has 1000"),
        ("\n", "names no phone"),
    ],
    ids=["fields", "phone", "backwards", "order", "late", "empty"],
)
def test_damaged_notes(tmp_path, text, message):
    path = tmp_path / "a.PHN"
    path.write_text(text)
    with pytest.raises(DataError, match=f"a.PHN.*{message}"):
        read_phones(path, 1000)


def test_damage_is_counted(tmp_path):
    folder = write_timit(tmp_path)
    paths = split_sentences(tmp_path)["test"]
    paths[1].with_suffix(".PHN").unlink()
    paths[3].write_bytes(sphere(np.zeros(100, np.int16))[:-2])
    with pytest.raises(
        DataError, match=r"2 of 8 TIMIT sentences cannot be used, the other 6 are fine.*Cannot read .*\.PHN: No such"
    ):
        list(read_sentences(paths))
    write_sentence(folder / "TEST/DR2" / paths[0].parent.name, "SX9", *sentence("x", 0))
    twin = next((folder / "TRAIN/DR1").iterdir()).name
    write_sentence(folder / "TEST/DR2" / twin, "SX9", *sentence("x", 0))
    with pytest.raises(DataError, match=rf"TIMIT: the splits \w+ and test share 1 speaker\(s\): {twin}"):
        split_sentences(tmp_path)


def test_missing_and_empty_splits(tmp_path):
    with pytest.raises(DataError, match=r"2 of 2 files are missing: TRAIN/DR\[1-8\]"):
        split_sentences(tmp_path)
    write_sentence(tmp_path / "timit/TRAIN/DR1/A", "SX1", *sentence("A", 0))
    write_sentence(tmp_path / "timit/TEST/DR1/B", "SX1", *sentence("B", 0))
    with pytest.raises(DataError, match="leaves no sentence for the split train"):
        split_sentences(tmp_path)
