"""``ndns``: remove noise from speech, the Intel Neuromorphic DNS challenge at 16 kHz.

Clips of 30 s that the challenge's program has mixed (:mod:`~spikeworks.data.ndns`). Training takes a crop of 6 s from
each clip, another one every epoch; validation and test hear whole clips. Windows of 512 samples every 128 (32 and
8 ms): 125 frames a second, 257 frequencies; 751 frames to train and 3751 to test.

Splits are the folders of the challenge: ``training_set``, ``validation_set``, ``test_set_1``. As its program starts
from one seed and one pool of recordings for training and validation, the two can hold the same recordings. Protocol
``clean`` leaves out of training every clip whose sources, as far as its name tells, also stand in validation or test;
protocol ``paper`` takes all. ``shared`` counts them.

Published figures and what costs are: see arXiv 2303.09503 and 2410.04785. DNSMOS, the challenge's second score, is not
computed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..core.config import config_kind
from ..core.errors import ConfigError, DataError
from ..core.seeds import stream
from ..data.dataset import Dataset
from ..data.deep_filter import Mask, MaskKind
from ..data.disjoint import check_disjoint
from ..data.drawn import DrawnDataset
from ..data.ndns import CLIP, NDNS, RATE, NoisyClip, find_clips
from ..data.stft import Stft
from .base import TASKS, Figure, TaskConfig, TaskDefaults, TaskInfo
from .denoising import SI_SNR, DenoisingTask, Front, Level, check_options


@TASKS.register("ndns")
@config_kind("task", "ndns")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NdnsConfig(TaskConfig):
    """Options of ``ndns``.

    Attributes:
        protocol: ``clean`` or ``paper``.
        mask: of the magnitudes, one number a frequency, or ``complex``, two a tap.
        taps: frames that a complex mask filters over, the present one and those before it.
        level: what is done to the loudness of what the network hears, see :class:`~spikeworks.tasks.denoising.Front`.
        snr_weight: of the SI-SNR in the loss, beside the spectra.
        crop: seconds of a training crop, at most 30.
        seed: of the crops, not of the run.
    """

    info: ClassVar[TaskInfo] = TaskInfo(
        summary="remove noise from speech at 16 kHz (Intel N-DNS challenge)",
        shape="T=751 (test 3751) C=257, a mask of 257",
        sizes=None,
        metric=SI_SNR,
        files=NDNS,
    )

    protocol: Literal["clean", "paper"] = "clean"
    mask: MaskKind = "magnitude"
    taps: int = 1
    level: Level = "cumulative"
    snr_weight: float = 0.001
    crop: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_options("ndns", self.level, self.snr_weight)
        Mask(self.mask, self.taps)
        if self.protocol not in ("clean", "paper"):
            raise ConfigError(f"ndns: protocol is 'clean' or 'paper', got {self.protocol!r}.")
        if not 0.5 <= self.crop <= CLIP / RATE:
            raise ConfigError(f"ndns: a crop lasts from 0.5 to {CLIP / RATE:g} seconds, got {self.crop}.")

    def build(self, root: str | Path | None = None) -> Ndns:
        return Ndns(self, root)

    def defaults(self) -> TaskDefaults:
        return TaskDefaults(
            hidden=(320, 320),
            epochs=50,
            batch_size=64,
            learning_rate=1e-3,
            clip=10.0,
            readout="every",
            notes="budget and optimiser of the arena's denoising task; its network has sub-bands, a stack has none",
        )


class Ndns(DenoisingTask):
    """The built task; ``shared`` counts the training clips whose sources also stand in validation or test."""

    published = (
        Figure("Spiking-FullSubNet XL", 15.20, "arXiv 2410.04785, test set 1"),
        Figure("Spiking-FullSubNet M", 14.71, "arXiv 2410.04785, test set 1"),
        Figure("SDNN baseline", 12.26, "arXiv 2303.09503, test set 1"),
        Figure("the noisy signal", 7.37, "arXiv 2303.09503, test set 1"),
    )

    def __init__(self, config: NdnsConfig, root: str | Path | None) -> None:
        front = Front(Stft(window=512, hop=128), config.level)
        super().__init__(config, front, Mask(config.mask, config.taps), config.snr_weight, RATE, steps=None, root=root)
        self.shared = 0
        self._options = config

    def _load(self, split: str) -> dict[str, Dataset]:
        clips = find_clips(self._root)
        held = {clip.sources for name in ("validation", "test") for clip in clips[name]}
        kept = [clip for clip in clips["train"] if clip.sources not in held]
        self.shared = len(clips["train"]) - len(kept)
        if self._options.protocol == "clean":
            if not kept:
                raise DataError(f"{NDNS.title}: all {self.shared} training clips share their sources with other sets.")
            clips["train"] = kept
            keys = {"train": [clip.sources for clip in kept], "validation and test": held}
            check_disjoint(keys, what="pair of sources", who=NDNS.title)
        return {
            name: DrawnDataset(
                len(members), lambda i, draw, name=name: self._pair(name, i, draw, clips), self.front.join
            )
            for name, members in clips.items()
        }

    def _pair(self, split: str, position: int, draw: int, clips: dict[str, list[NoisyClip]]) -> Tensor:
        """Clean and noisy wave ``[2, S]``."""
        clip = clips[split][position]
        pair = clip.read()
        if split != "train":
            return pair
        size = round(self._options.crop * RATE)
        generator = stream(self._options.seed, self.name, position, draw)
        within = max(size, min(clip.samples, CLIP))  # no crop of the zeros behind a short clip
        start = int(torch.randint(within - size + 1, (), generator=generator))
        return pair[:, start : start + size]
