"""A digest that joins the description, the curve, the weights and the result of a run.

It is written into ``result.json`` when a run ends. It has no key: who edits a number can compute it anew, so that it
shows accidents and careless edits, not forgery. Against forgery stands :func:`~.submit.re_evaluate`, which
computes the score from the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import RunError

FIELD = "digest"
"""Where it stands in ``result.json``."""
WEIGHTS = "best.safetensors"


def digest(
    config: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], result: Mapping[str, Any], weights: str | None
) -> str:
    """SHA-256 over the contents of a run's files; the digest in the result itself does not count.

    Args:
        config, result: contents of ``config.json`` and ``result.json``.
        metrics: lines of ``metrics.jsonl``.
        weights: SHA-256 of the file of weights.
    """
    content = {
        "config": config,
        "metrics": list(metrics),
        "result": {key: value for key, value in result.items() if key != FIELD},
        "weights": weights,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sealed(directory: Path, config: Mapping[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """``result`` with the digest of everything that a run leaves.

    Raises:
        RunError: a file of the run cannot be read.
    """
    path = directory / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        metrics = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    return {**result, FIELD: digest(config, metrics, result, weights_hash(directory))}


def weights_hash(directory: Path) -> str | None:
    """SHA-256 of the chosen weights; ``None`` where there are none."""
    path = directory / WEIGHTS
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
