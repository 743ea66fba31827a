"""The ``.ts`` text format of the UCR and UEA archives: labelled series, a case a line.

Lines that begin with ``#`` are comments, those with ``@`` say what follows, and behind ``@data`` every
line is a case: its dimensions separated by ``:``, the values of a dimension by ``,``, and the class last.
Cases may differ in length; all dimensions of one case are equally long. Time stamps and missing
values are not supported.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import DataError


@dataclasses.dataclass(frozen=True)
class TsCases:
    """The cases of one file, in its order.

    Attributes:
        rows: the steps of all cases one after another, float64 ``[sum of lengths, C]``.
        lengths: steps of each case, int64 ``[N]``.
        targets: class ids in the order of ``classes``, int64 ``[N]``.
        classes: names of the classes as the header lists them.
    """

    rows: Tensor
    lengths: Tensor
    targets: Tensor
    classes: tuple[str, ...]


def read_ts(path: str | Path) -> TsCases:
    """Read a file.

    Raises:
        DataError: the file cannot be read, has no class labels, carries time stamps, holds no cases, or
            a case is damaged: another number of dimensions, dimensions of unequal length, a value that
            is no finite number, a class that the header does not list; the message names the
            first such line and says how many cases are fine.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file: {error.reason} at byte {error.start}.", "get it again") from error
    header: dict[str, list[str]] = {}
    first = 0
    for first, line in enumerate(lines, start=1):  # noqa: B007
        if line.startswith("@"):
            key, *values = line[1:].split()
            header[key.lower()] = values
            if key.lower() == "data":
                break
    classes = _classes(path, header)
    cases: list[list[list[float]]] = []
    targets: list[int] = []
    faults: list[tuple[int, str]] = []
    width: int | None = None
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        try:
            dimensions, target = _parse(line, classes, width)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        width = len(dimensions)
        cases.append(dimensions)
        targets.append(target)
    if faults:
        raise DataError(
            f"{path}, line {faults[0][0]}: {faults[0][1]}. {len(faults)} of {len(faults) + len(cases)} cases are "
            f"damaged, {len(cases)} are fine.",
            "get the file again",
        )
    if not cases:
        raise DataError(f"{path} holds no cases behind its header.", "get the file again")
    return TsCases(
        rows=torch.cat([torch.tensor(case, dtype=torch.float64).t() for case in cases]),
        lengths=torch.tensor([len(case[0]) for case in cases]),
        targets=torch.tensor(targets),
        classes=classes,
    )


def _classes(path: Path, header: dict[str, list[str]]) -> tuple[str, ...]:
    if "data" not in header:
        raise DataError(f"{path} is no .ts file: no line says @data.", "get the file again")
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path} carries time stamps, which are not supported.", "resample it to equal steps")
    labelled, *classes = header.get("classlabel", ["false"])
    if labelled.lower() != "true" or not classes:
        raise DataError(f"{path} has no class labels: expected a header line '@classLabel true' with their names.")
    return tuple(classes)


def _parse(line: str, classes: tuple[str, ...], width: int | None) -> tuple[list[list[float]], int]:
    """Dimensions and class id of a case; ValueError with the reason."""
    *texts, label = line.strip().split(":")
    if label.strip() not in classes:
        raise ValueError(f"class {label.strip()[:20]!r} is not in the header: {', '.join(classes)}")
    if not texts or (width is not None and len(texts) != width):
        raise ValueError(f"expected {width or 'one or more'} dimensions, got {len(texts)}")
    dimensions = [[_finite(value) for value in text.split(",")] for text in texts]
    lengths = {len(values) for values in dimensions}
    if len(lengths) > 1:
        raise ValueError(f"its dimensions differ in length: {min(lengths)} to {max(lengths)} values")
    return dimensions, classes.index(label.strip())


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {text.strip()!r}")
    return value
