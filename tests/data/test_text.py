from __future__ import annotations

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data import read_corpus, read_words


def test_vocabulary_in_order_of_first_appearance(tmp_path):
    (tmp_path / "a").write_text(" the cat \n sat N\n")
    (tmp_path / "b").write_text("the dog\n")
    (tmp_path / "c").write_text("a cat\n")
    corpus = read_corpus({"train": tmp_path / "a", "validation": tmp_path / "b", "test": tmp_path / "c"})
    assert corpus.words == ("the", "cat", "<eos>", "sat", "N", "dog", "a")
    assert {split: ids.tolist() for split, ids in corpus.tokens.items()} == {
        "train": [0, 1, 2, 3, 4, 2],
        "validation": [0, 5, 2],
        "test": [6, 1, 2],
    }


def test_errors(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_words(path)
    path.write_text("\n \n")
    with pytest.raises(DataError, match="holds no words"):
        read_words(path)
    with pytest.raises(DataError, match="Cannot read .*absent"):
        read_words(tmp_path / "absent")
