"""Penn Treebank, the word-level text as preprocessed by T. Mikolov: 10 000 words, numbers as ``N``.

The text is licensed by the Linguistic Data Consortium; there is no address to download it from.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import DataError
from .files import FileSet, WantedFile, locate
from .text import Corpus, read_corpus

PTB = FileSet(
    name="ptb",
    title="Penn Treebank",
    files=(
        WantedFile("ptb.train.txt", "md5:f26c4b92c5fdc7b3f8c7cdcb991d8420"),
        WantedFile("ptb.valid.txt", "md5:aa0affc06ff7c36e977d7cd49e3839bf"),
        WantedFile("ptb.test.txt", "md5:8b80168b89c18661a38ef683c0dc3721"),
    ),
    layout="ptb.train.txt, ptb.valid.txt and ptb.test.txt",
    folders=("penn", "."),
    advice="the text is licensed (LDC99T42), so copy the three files of Mikolov's word-level split there yourself",
)
COUNTS = {"train": 929_589, "validation": 73_760, "test": 82_430}
"""Tokens of each split, line ends included."""
WORDS = 10_000
"""Size of the vocabulary, ``<eos>`` included."""


def load_ptb(root: str | Path | None) -> Corpus:
    """The three splits with one vocabulary in order of first appearance over train, validation, test.

    Raises:
        DataError: files missing or damaged, or counts that differ from the published ones.
    """
    paths = locate(PTB, root)
    corpus = read_corpus(
        {
            "train": paths["ptb.train.txt"],
            "validation": paths["ptb.valid.txt"],
            "test": paths["ptb.test.txt"],
        }
    )
    found = {split: len(tokens) for split, tokens in corpus.tokens.items()}
    if found != COUNTS or len(corpus.words) != WORDS:
        raise DataError(
            f"Penn Treebank: expected {COUNTS} tokens of {WORDS} words, got {found} of {len(corpus.words)}."
        )
    return corpus
