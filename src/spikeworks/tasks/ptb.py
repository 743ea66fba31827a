"""``ptb``: predict the next word of the Penn Treebank; state is carried from window to window.

Words and line ends (``<eos>``) of Mikolov's split, vocabulary of 10 000 in order of first
appearance over training, validation and test. The text is cut into columns that run side by side
(training: as many as the batch size, 20 in the published recipe; validation 10; test 1), and
into windows of 70 words; the target of each word is the next one. Perplexity is the exponential
of the mean loss of a word.

Splits: the published files, 929 589, 73 760 and 82 430 tokens.
Source: arXiv 2502.09449.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from ..core.config import config_kind
from ..core.errors import ConfigError
from ..data.dataset import Dataset
from ..data.ptb import COUNTS, PTB, WORDS, load_ptb
from ..data.windows import TextWindows
from .base import PERPLEXITY, TASKS, Figure, Signature, TaskConfig, TaskDefaults, TaskInfo, TokenTask

_SOURCE = "arXiv 2502.09449, feed-forward, about 5 M parameters"
PUBLISHED = tuple(
    Figure(model, value, _SOURCE)
    for model, value in (
        ("lif", 129.96),
        ("plif", 123.76),
        ("alif", 113.67),
        ("adlif", 118.52),
        ("tc-lif", 286.71),
        ("sliding-psn", 120.43),
        ("pmsn", 113.24),
    )
)
COLUMNS = {"train": None, "validation": 10, "test": 1}
"""Columns of each split; ``None`` takes the batch size."""


@TASKS.register("ptb")
@config_kind("task", "ptb")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PTBConfig(TaskConfig):
    """Options of ``ptb``.

    Attributes:
        steps: words of a window, T.
        train_tokens: use only so many words from the beginning of the training text; ``None``: all.
            The vocabulary and the other splits stay whole.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="next word of the Penn Treebank, state carried between windows",
        shape="T=70, 10000 words",
        sizes=(COUNTS["train"], COUNTS["validation"], COUNTS["test"]),
        metric=PERPLEXITY,
        files=PTB,
    )

    steps: int = 70
    train_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"ptb: a window holds at least one word, got steps={self.steps}.")
        if self.train_tokens is not None and not self.steps < self.train_tokens <= COUNTS["train"]:
            raise ConfigError(
                f"ptb: train_tokens must be more than a window and at most {COUNTS['train']}, got {self.train_tokens}."
            )

    def build(self, root: str | Path | None = None) -> PTBTask:
        return PTBTask(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(256,),
            epochs=4,
            batch_size=20,
            learning_rate=2e-3,
            clip=0.25,
            readout="every",
            embedding=128,
            notes="small form that trains in minutes: steps=35 train_tokens=92958; the published recipe has "
            "embedding 400, layers 1100 and 400, SGD with rate 3, weight decay 1.2e-6, 100 epochs",
        )


class PTBTask(TokenTask):
    """The built task; ``words`` is the vocabulary once a split was loaded."""

    published = PUBLISHED

    def __init__(self, config: PTBConfig, root: str | Path | None) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=WORDS, outputs=WORDS, kind="tokens"))
        self.words: tuple[str, ...] = ()
        self._options = config
        self._root = root

    def _load(self, split: str) -> dict[str, Dataset]:
        corpus = load_ptb(self._root)
        self.words = corpus.words
        tokens = dict(corpus.tokens)
        tokens["train"] = tokens["train"][: self._options.train_tokens]
        return {name: TextWindows(ids, self._options.steps, COLUMNS[name]) for name, ids in tokens.items()}
