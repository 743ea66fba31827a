from __future__ import annotations

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.files import FileSet, WantedFile
from spikeworks.data.trees import locate_tree

SET = FileSet(
    name="set",
    title="A set",
    files=(WantedFile("train/*/*.npy"), WantedFile("list.csv")),
    layout="…",
    folders=("other",),
)


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_all_matches_by_name_from_the_first_folder_that_has_all(tmp_path):
    make(tmp_path / "set", "train/a/0.npy")
    make(tmp_path / "other", "train/b/1.npy", "train/a/2.npy", "train/a/2.txt", "list.csv")
    folder, found = locate_tree(SET, tmp_path)
    assert folder == tmp_path / "other"
    assert [path.relative_to(folder).as_posix() for path in found["train/*/*.npy"]] == [
        "train/a/2.npy",
        "train/b/1.npy",
    ]
    assert found["list.csv"] == [folder / "list.csv"]


def test_only_what_is_missing_is_named(tmp_path, monkeypatch):
    make(tmp_path / "set", "list.csv")
    with pytest.raises(DataError, match=r"1 of 1 files are missing: train/\*/\*.npy. Looked in: .*set, .*other"):
        locate_tree(SET, tmp_path)
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    with pytest.raises(DataError, match=r"no data directory was given. Wanted: train/\*/\*.npy, list.csv"):
        locate_tree(SET, None)
