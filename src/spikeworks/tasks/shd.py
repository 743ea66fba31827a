"""``shd``: which of twenty digits, English or German, from the spikes of 700 cochlear units.

Protocol ``clean``: every spike up to ``window`` seconds is counted, in steps of equal width. The set has no validation
file; here two of the ten speakers of the training file are held out. The published test file mixes two speakers that
training never hears with further recordings of the ten that it does: ``test_speakers="unseen"`` tests on the two alone,
so that no speaker is on two sides; ``"all"`` on the whole file, as the published figures do.

Protocol ``paper``, as the temporal-processing benchmark (arXiv 2502.09449) has it: steps by
:func:`~spikeworks.data.spike_bins.published_places` over 1 s, which loses what comes later; all of the training file
trains and the test file tests. The benchmark reports the best test score over all epochs; here, as under every
``paper`` protocol (docs/arena.md), a random tenth of the training recordings chooses instead. Do not compare with
papers that use 1.4 s.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..data.dataset import Dataset
from ..data.disjoint import check_disjoint
from ..data.files import locate
from ..data.heidelberg import DIGITS, SHD, UNITS
from ..data.splits import hash_order, stratified_split
from .base import ACCURACY, TASKS, Signature, TaskInfo
from .spoken_spikes import SpokenSpikes, SpokenSpikesConfig, Words, lost_share

_HELD = 0.1  # of the training recordings, for validation in the protocol paper
_SEED = 0


@TASKS.register("shd")
@config_kind("task", "shd")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ShdConfig(SpokenSpikesConfig):
    """Options of ``shd``; for those not named here see :class:`~spikeworks.tasks.spoken_spikes.SpokenSpikesConfig`.

    Attributes:
        validation_speakers: of the training file, held out; of ``clean`` only.
        test_speakers: ``unseen`` or ``all``; ``paper`` always tests on all.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="spoken digits as spikes of 700 cochlear units (SHD)",
        shape="T=250 C=700, 20 classes",
        sizes=None,
        metric=ACCURACY,
        files=SHD,
    )

    validation_speakers: int = 2
    test_speakers: Literal["unseen", "all"] = "unseen"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_speakers < 1 or self.test_speakers not in ("unseen", "all"):
            raise ConfigError(
                f"shd: at least one speaker is held out and test_speakers is 'unseen' or 'all', got "
                f"{self.validation_speakers} and {self.test_speakers!r}."
            )

    def build(self, root: str | Path | None = None) -> Shd:
        return Shd(self, root)


class Shd(SpokenSpikes):
    """The built task. ``speakers`` holds, once a split was loaded, who speaks in which split."""

    def __init__(self, config: ShdConfig, root: str | Path | None) -> None:
        super().__init__(config, Signature(steps=config.steps, inputs=UNITS, outputs=len(DIGITS), classes=DIGITS), root)
        self.speakers: dict[str, list[int]] = {}
        self._shd = config

    def _load(self, split: str) -> dict[str, Dataset]:
        paths = locate(SHD, self._root)
        train, test = (self._words(paths[f"shd_{name}.h5"], speakers=True) for name in ("train", "test"))
        self.lost = lost_share([train, test])
        parts = self._clean(train, test) if self._options.protocol == "clean" else self._paper(train, test)
        self.speakers = {
            name: sorted({who for who in part.speakers if who is not None}) for name, part in parts.items()
        }
        return self._datasets(parts)

    def _clean(self, train: Words, test: Words) -> dict[str, Words]:
        known = sorted({who for who in train.speakers if who is not None})
        count = self._shd.validation_speakers
        if count >= len(known):
            raise DataError(
                f"{SHD.title}: {count} of {len(known)} speaker(s) of the training file cannot be held out; one at "
                "least has to be left for training."
            )
        held = {known[i] for i in hash_order(known, _SEED)[:count]}
        if self._shd.test_speakers == "unseen":
            test = test[[i for i, who in enumerate(test.speakers) if who not in known]]
        parts = {
            "train": train[[i for i, who in enumerate(train.speakers) if who not in held]],
            "validation": train[[i for i, who in enumerate(train.speakers) if who in held]],
        }
        apart = parts | ({"test": test} if self._shd.test_speakers == "unseen" else {})
        check_disjoint({name: part.speakers for name, part in apart.items()}, what="speaker", who=SHD.title)
        return {**parts, "test": test}

    def _paper(self, train: Words, test: Words) -> dict[str, Words]:
        held, rest = stratified_split(train.labels, range(len(train)), (_HELD,), _SEED, SHD.title)
        return {"train": train[rest], "validation": train[held], "test": test}
