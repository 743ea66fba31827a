from __future__ import annotations

import dataclasses
import hashlib

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.files import FileSet, Source, WantedFile, data_root, locate, tree_digest

SET = FileSet(
    name="birds",
    title="Bird songs",
    files=(WantedFile("a.txt", "md5:" + hashlib.md5(b"robin").hexdigest()), WantedFile("sub/b.txt")),
    layout="a.txt and sub/b.txt",
    folders=("Birds/raw",),
    source=Source(("https://example.org/birds",)),
    advice="ask the ornithologist",
)


def fill(folder, first=b"robin"):
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(first)
    (folder / "sub" / "b.txt").write_bytes(b"wren")


@pytest.mark.parametrize("folder", ["birds", "Birds/raw"])
def test_finds_the_set_in_its_folders(tmp_path, folder):
    fill(tmp_path / folder)
    assert locate(SET, tmp_path) == {
        "a.txt": tmp_path / folder / "a.txt",
        "sub/b.txt": tmp_path / folder / "sub" / "b.txt",
    }


def test_missing_files_are_all_named_with_places_and_ways(tmp_path):
    with pytest.raises(DataError) as caught:
        locate(SET, tmp_path)
    message = str(caught.value)
    for part in (
        "Bird songs: 2 of 2 files are missing: a.txt, sub/b.txt.",
        f"Looked in: {tmp_path / 'birds'}, {tmp_path / 'Birds/raw'}.",
        "--data DIR or SPIKEWORKS_DATA",
        "'spikeworks data TASK' downloads it from https://example.org/birds",
        "ask the ornithologist",
    ):
        assert part in message


def test_only_what_is_missing_is_named(tmp_path):
    fill(tmp_path / "Birds/raw")
    (tmp_path / "Birds/raw/a.txt").unlink()
    with pytest.raises(DataError, match=r"1 of 2 files are missing: a\.txt\."):
        locate(SET, tmp_path)


def test_many_missing_files_are_counted(tmp_path):
    many = dataclasses.replace(SET, files=tuple(WantedFile(f"{i}.wav") for i in range(3000)))
    with pytest.raises(DataError, match="3000 of 3000 files are missing: 0.wav, .*7.wav and 2992 more"):
        locate(many, tmp_path)


def test_no_directory_given(monkeypatch, tmp_path):
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    with pytest.raises(DataError, match=r"no data directory was given. Wanted: a\.txt, sub/b\.txt"):
        locate(SET, None)
    monkeypatch.setenv("SPIKEWORKS_DATA", str(tmp_path))
    assert data_root(None) == tmp_path
    assert data_root(tmp_path / "x") == tmp_path / "x"
    fill(tmp_path / "birds")
    assert len(locate(SET, None)) == 2


def test_wrong_checksum(tmp_path):
    fill(tmp_path / "birds", first=b"raven")
    with pytest.raises(DataError, match=r"a\.txt is damaged or another version: expected md5 [0-9a-f]{32}, got"):
        locate(SET, tmp_path)
    assert len(locate(SET, tmp_path, verify=False)) == 2


def test_digest_of_the_whole_set(tmp_path):
    fill(tmp_path / "birds")
    digest = tree_digest(locate(SET, tmp_path))
    sealed = dataclasses.replace(SET, digest=digest)
    locate(sealed, tmp_path)
    (tmp_path / "birds/sub/b.txt").write_bytes(b"wren!")
    with pytest.raises(DataError, match="the 2 files are all there, but their contents differ"):
        locate(sealed, tmp_path)
