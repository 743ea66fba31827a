"""Fashion-MNIST: 60 000 training and 10 000 test images of clothes, 28 x 28 grey pixels.

H. Xiao, K. Rasul, R. Vollgraf (arXiv 1708.07747), MIT licence. The md5 sums are the published ones of the gzip
files, which have the names of MNIST's.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .files import FileSet, Source, WantedFile
from .mnist import load_idx_part

FASHION_MNIST = FileSet(
    name="fashion_mnist",
    title="Fashion-MNIST",
    files=(
        WantedFile("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        WantedFile("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"),
        WantedFile("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"),
        WantedFile("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    layout="the four official .gz files",
    folders=("FashionMNIST/raw", "fashion-mnist"),
    source=Source(("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",)),
)

CLOTHES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""Names of the classes, in the order of their ids."""


def load_fashion_mnist(root: str | Path | None, part: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, 28, 28]`` uint8 and labels ``[N]`` int64 of the official ``"train"`` or ``"test"`` part.

    Raises:
        DataError: files missing or damaged, or counts that differ from the published ones.
    """
    return load_idx_part(FASHION_MNIST, root, part)
