"""Checkpoints: safetensors files, whole or absent, that say where a run stands.

Random streams are not stored: each derives from the run's seed and the number of the update
or epoch. The metadata is one JSON object in the header of the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.errors import RunError
from ..core.files import atomic_path

_KEY = "spikeworks"


@dataclasses.dataclass
class Position:
    """Where a run stands.

    Attributes:
        epoch: the epoch under way, from 1; ``batch``: its finished batches.
        lines: whole lines of ``metrics.jsonl`` that belong to this position.
        seconds: training seconds so far.
        best_score, best_epoch: the best validation score and its epoch.
        stale: epochs since then.
        rate: learning rate of the last update.
        loss, count, meter: sums over the batches of the epoch under way.
        learner: the learner's numbers.
    """

    epoch: int = 1
    batch: int = 0
    lines: int = 0
    seconds: float = 0.0
    best_score: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    rate: float = 0.0
    loss: float = 0.0
    count: int = 0
    meter: dict[str, Any] = dataclasses.field(default_factory=dict)
    learner: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"epoch {self.epoch}, batch {self.batch}"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and metadata atomically.

    Raises:
        RunError: the folder cannot be written or the disk is full; an older file stands as it was.
    """
    from safetensors.torch import save

    seen: set[int] = set()
    plain = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        # The format knows no shared storage; tied weights are stored twice.
        plain[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    content = save(plain, {_KEY: json.dumps(metadata)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file written by :func:`save_tensors`.

    Raises:
        RunError: it is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read as a checkpoint: {error}.", f"remove {path.parent} to start this run anew"
        ) from error


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], position: Position) -> None:
    """Write where a run stands."""
    save_tensors(path, tensors, dataclasses.asdict(position))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], Position]:
    """Read where a run stood.

    Raises:
        RunError: the file is missing, damaged or of another version.
    """
    tensors, metadata = load_tensors(path)
    try:
        return tensors, Position(**metadata)
    except TypeError as error:
        raise RunError(
            f"{path} was written by another version of spikeworks: {error}.",
            f"remove {path.parent} to start this run anew",
        ) from None


def truncate_lines(path: Path, lines: int) -> None:
    """Keep the first ``lines`` lines: what came after the checkpoint will be written again.

    Raises:
        RunError: fewer whole lines are there, or the file cannot be written.
    """
    try:
        kept = path.read_bytes().splitlines(keepends=True)[:lines] if path.exists() else []
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror or error}.") from error
    if len(kept) < lines or any(not line.endswith(b"\n") for line in kept):
        raise RunError(
            f"{path} has {len(kept)} whole lines, but the checkpoint beside it was written after {lines}.",
            f"remove {path.parent} to start this run anew",
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(kept))
