"""``ssc``: which of 35 words, from the spikes of 700 cochlear units; recordings of Speech Commands v2.

Splits are the three published files, whose speakers differ; the published validation file chooses, under both protocols
(docs/arena.md).

Protocol ``clean``: every spike up to ``window`` seconds is counted, in steps of equal width; recordings whose spikes
equal those of one that is tested are left out. Protocol ``paper``, as the temporal-processing benchmark
(arXiv 2502.09449) has it: steps by :func:`~spikeworks.data.spike_bins.published_places` over 1 s.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from ..core.config import config_kind
from ..data.dataset import Dataset
from ..data.files import locate
from ..data.heidelberg import COMMANDS, SSC, UNITS
from .base import ACCURACY, TASKS, Signature, TaskInfo
from .spoken_spikes import SpokenSpikes, SpokenSpikesConfig, lost_share

_FILES = {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"}


@TASKS.register("ssc")
@config_kind("task", "ssc")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SscConfig(SpokenSpikesConfig):
    """Options of ``ssc``; see :class:`~spikeworks.tasks.spoken_spikes.SpokenSpikesConfig`."""

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="spoken commands as spikes of 700 cochlear units (SSC)",
        shape="T=250 C=700, 35 classes",
        sizes=None,
        metric=ACCURACY,
        files=SSC,
    )

    def build(self, root: str | Path | None = None) -> Ssc:
        return Ssc(self, root)


class Ssc(SpokenSpikes):
    """The built task."""

    def __init__(self, config: SscConfig, root: str | Path | None) -> None:
        classes = tuple(f"word {k}" for k in range(COMMANDS))
        super().__init__(config, Signature(steps=config.steps, inputs=UNITS, outputs=COMMANDS, classes=classes), root)

    def _load(self, split: str) -> dict[str, Dataset]:
        paths = locate(SSC, self._root)
        parts = {name: self._words(paths[file], speakers=False) for name, file in _FILES.items()}
        self.lost = lost_share(parts.values())
        return self._datasets(parts)
