"""Word-level text: one sentence a line, a vocabulary in order of first appearance.

Example: ``corpus = read_corpus({"train": a, "validation": b, "test": c})`` has ``corpus.words``
(a tuple of the distinct words) and ``corpus.tokens["train"]`` (an int32 tensor of word ids).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError

END = "<eos>"
"""The token that stands for the end of a line."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Word ids of each split and the words they stand for.

    Attributes:
        words: the vocabulary; a word's id is its position.
        tokens: for each split the ids in reading order, int32 ``[count]``.
    """

    words: tuple[str, ...]
    tokens: dict[str, Tensor]


def read_words(path: str | Path) -> list[str]:
    """The words of a file with ``<eos>`` at the end of each line.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or holds no words.
    """
    path = Path(path)
    words: list[str] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                words.extend(line.split())
                words.append(END)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from error
    if all(word == END for word in words):
        raise DataError(f"{path} holds no words: a sequence of zero length.")
    return words


def read_corpus(paths: Mapping[str, str | Path]) -> Corpus:
    """All splits with one vocabulary, filled in the order of ``paths``.

    Words that only later splits hold get ids too, so that every token can be scored.
    """
    ids: dict[str, int] = {}
    tokens = {}
    for split, path in paths.items():
        numbers = [ids.setdefault(word, len(ids)) for word in read_words(path)]
        tokens[split] = torch.tensor(numbers, dtype=torch.int32)
    return Corpus(words=tuple(ids), tokens=tokens)
