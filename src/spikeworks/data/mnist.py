"""MNIST: 60 000 training and 10 000 test images of digits, 28 x 28 pixels.

Y. LeCun, C. Cortes, C. J. C. Burges. The md5 sums are the published ones of the gzip files.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .check import check_arrays
from .files import FileSet, Source, WantedFile, locate
from .idx import read_idx

MNIST = FileSet(
    name="mnist",
    title="MNIST",
    files=(
        WantedFile("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        WantedFile("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
        WantedFile("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
        WantedFile("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    layout="the four official .gz files",
    folders=("MNIST/raw", "."),
    source=Source(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        )
    ),
)

_PARTS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}


def load_mnist(root: str | Path | None, part: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, 28, 28]`` uint8 and labels ``[N]`` int64 of the official ``"train"`` or ``"test"`` part.

    Raises:
        DataError: files missing or damaged, or counts that differ from the published ones.
    """
    return load_idx_part(MNIST, root, part)


def load_idx_part(files: FileSet, root: str | Path | None, part: str) -> tuple[Tensor, Tensor]:
    """One part of a set with MNIST's file names, counts and number of classes; see :func:`load_mnist`."""
    paths = locate(files, root)
    prefix, count = _PARTS[part]
    images = read_idx(paths[f"{prefix}-images-idx3-ubyte.gz"], dimensions=3, count=count)
    labels = read_idx(paths[f"{prefix}-labels-idx1-ubyte.gz"], dimensions=1, count=count).long()
    check_arrays(f"{files.title} {part}", images, labels, classes=10)
    return images, labels
