"""TIMIT: read American English with the phone of every sample, 630 speakers, 16 kHz.

J. Garofolo and others, LDC93S1. ``{TRAIN,TEST}/DR{1-8}/{speaker}/{sentence}.WAV`` in the SPHERE format, and beside each
``{sentence}.PHN``: lines ``first last phone``, in samples. The two SA sentences of every speaker are the same for all
and are left out, as is usual: 3696 sentences of 462 speakers and 1344 of 168 others remain.

The benchmark of arXiv 2502.09449 speaks of 61 phones, but its table names one that does not exist (``tck``), another
twice, and joins ``pau``, ``epi`` and ``h#``, so that 59 of its classes ever occur. Here they are the 61.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError
from .disjoint import check_disjoint
from .files import FileSet, WantedFile
from .records import read_records
from .sphere import read_sphere
from .splits import hash_order
from .trees import locate_tree

RATE = 16_000
PHONES = (
    *("aa", "ae", "ah", "ao", "aw", "ax", "ax-h", "axr", "ay", "b", "bcl", "ch", "d", "dcl", "dh", "dx", "eh", "el"),
    *("em", "en", "eng", "epi", "er", "ey", "f", "g", "gcl", "h#", "hh", "hv", "ih", "ix", "iy", "jh", "k", "kcl"),
    *("l", "m", "n", "ng", "nx", "ow", "oy", "p", "pau", "pcl", "q", "r", "s", "sh", "t", "tcl", "th", "uh", "uw"),
    *("ux", "v", "w", "y", "z", "zh"),
)
"""The 61 phones, by name; the class ids count through them."""
_CLASS = {phone: number for number, phone in enumerate(PHONES)}
_PATTERN = "{}/DR[1-8]/*/*.WAV"
_SAME_FOR_ALL = "SA"

TIMIT = FileSet(
    name="timit",
    title="TIMIT",
    files=(WantedFile(_PATTERN.format("TRAIN")), WantedFile(_PATTERN.format("TEST"))),
    layout="{TRAIN,TEST}/DR{1-8}/{speaker}/{sentence}.WAV and .PHN",
    folders=("TIMIT", "timit/TIMIT"),
    advice="it is sold by the Linguistic Data Consortium as LDC93S1; names are in capitals as on the disc",
)


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One recording.

    Attributes:
        name: part, region, speaker and sentence.
        speaker: who reads.
        wave: float signal ``[samples]`` at 16 kHz.
        begins: the first sample of each phone, int64 ``[P]``, never decreasing.
        phones: class ids, int64 ``[P]``.
    """

    name: str
    speaker: str
    wave: Tensor
    begins: Tensor
    phones: Tensor

    def labels(self, window: int, hop: int) -> Tensor:
        """The phone in the middle of each frame, int64 ``[T]``.

        Args:
            window, hop: length and distance of frames in samples; no frame reaches beyond the last sample.
        """
        frames = 1 + max(0, len(self.wave) - window) // hop
        middles = torch.arange(frames) * hop + min(window, len(self.wave)) // 2
        return self.phones[(torch.searchsorted(self.begins, middles, right=True) - 1).clamp(min=0)]


def split_sentences(root: str | Path | None, held: float = 0.1, seed: int = 0) -> dict[str, list[Path]]:
    """The sound files of each split, by name: training and validation share no speaker, nor does the test part.

    Args:
        root: the data directory.
        held: share of the speakers of TRAIN that are validation, in every region, at least one in all.
        seed: another number, another choice.

    Raises:
        DataError: files missing, only one speaker to train on, or a speaker in both parts.
    """
    folder, found = locate_tree(TIMIT, root)
    parts = {
        name: [path for path in found[_PATTERN.format(name)] if not path.name.startswith(_SAME_FOR_ALL)]
        for name in ("TRAIN", "TEST")
    }
    chosen = _held_out(parts["TRAIN"], held, seed)
    splits = {
        "train": [path for path in parts["TRAIN"] if path.parent.name not in chosen],
        "validation": [path for path in parts["TRAIN"] if path.parent.name in chosen],
        "test": parts["TEST"],
    }
    for name, paths in splits.items():
        if not paths:
            raise DataError(f"{TIMIT.title}: {folder} leaves no sentence for the split {name}.")
    check_disjoint({n: [path.parent.name for path in paths] for n, paths in splits.items()}, "speaker", TIMIT.title)
    return splits


def read_sentences(paths: list[Path]) -> Iterator[Sentence]:
    """The recordings with their phones, one at a time.

    Raises:
        DataError: recordings that are damaged, not mono or not at 16 kHz, or whose notes are missing or wrong: how
            many are bad, how many fine, and what is wrong with the first.
    """
    return read_records(paths, _read, f"{TIMIT.title} sentence")


def read_phones(path: Path, samples: int) -> tuple[Tensor, Tensor]:
    """First samples and class ids of the phones of one file, int64 ``[P]`` each.

    Args:
        path: a file of lines ``first last phone``.
        samples: of the recording.

    Raises:
        DataError: the file is missing or empty; a line that is none of these, names no phone, begins before the one
            above it, or ends before it begins; or a phone that begins behind the recording.
    """
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    begins: list[int] = []
    phones: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split()
        where = f"{path}, line {number}"
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            raise DataError(f"{where}: expected the first sample, the last and a phone, got {line!r}.")
        first, last = int(fields[0]), int(fields[1])
        if fields[2] not in _CLASS:
            raise DataError(f"{where}: '{fields[2]}' is none of the {len(PHONES)} phones.")
        if last < first or (begins and first < begins[-1]):
            raise DataError(
                f"{where}: a phone from {first} to {last} stands behind one that begins at {(begins or [0])[-1]}."
            )
        if first >= samples:
            raise DataError(f"{where}: a phone begins at sample {first}, but the recording has {samples}.")
        begins.append(first)
        phones.append(_CLASS[fields[2]])
    if not begins:
        raise DataError(f"{path} names no phone.")
    return torch.tensor(begins), torch.tensor(phones)


def _read(path: Path) -> Sentence:
    wave, _ = read_sphere(path, rate=RATE)
    begins, phones = read_phones(path.with_suffix(".PHN"), len(wave))
    part, region, speaker = path.parts[-4:-1]
    return Sentence(f"{part}/{region}/{speaker}/{path.stem}", speaker, wave, begins, phones)


def _held_out(paths: list[Path], held: float, seed: int) -> set[str]:
    regions: dict[str, set[str]] = {}
    for path in paths:
        regions.setdefault(path.parts[-3], set()).add(path.parent.name)
    chosen: set[str] = set()
    for speakers in regions.values():
        ordered = sorted(speakers)
        chosen.update(ordered[i] for i in hash_order(ordered, seed)[: round(held * len(ordered))])
    everybody = sorted(set().union(*regions.values()))
    return chosen or {everybody[i] for i in hash_order(everybody, seed)[:1]}
