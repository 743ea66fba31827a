"""Curves of long runs, finished or not, as one CSV file and one picture a task.

    python benchmarks/curves.py RUNS [--out benchmarks/reproduction]

RUNS is a folder of runs (``runs/TASK/...``). A run that goes on later writes a longer curve under the same name.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

from spikeworks.arena.config import RunConfig
from spikeworks.core.files import atomic_path

COLUMNS = ("model", "seed", "epoch", "seconds", "train_loss", "train_score", "validation_score", "test_score")


def rows(directory: Path) -> list[dict[str, Any]]:
    """A row for each epoch of a run; the test score stands in the last one of a finished run."""
    config = RunConfig.from_dict(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    found = []
    for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        epoch = json.loads(line)
        picked = {name: epoch[name] for name in ("epoch", "train_loss", "train_score", "validation_score")}
        found.append({"model": config.shown, "seed": config.seed, **picked, "seconds": round(epoch["seconds"], 1)})
    result = directory / "result.json"
    if found and result.exists():
        found[-1]["test_score"] = json.loads(result.read_text(encoding="utf-8"))["score"]["test"]
    return found


def write(task: str, curves: list[list[dict[str, Any]]], out: Path) -> Iterable[Path]:
    """``TASK.csv`` and ``TASK.svg``."""
    with atomic_path(out / f"{task}.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for curve in curves:
            writer.writerows(curve)
    yield out / f"{task}.csv"
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.6, 3.4), layout="constrained")
    for curve in curves:
        scores = [row["validation_score"] for row in curve]
        axes.plot([row["epoch"] for row in curve], scores, marker=".", label=f"{curve[0]['model']}")
    axes.set(xlabel="epoch", ylabel="validation score", title=task)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_path(out / f"{task}.svg") as path:
        figure.savefig(path, format="svg")
    yield out / f"{task}.svg"


def main() -> None:
    """Write all tasks of a folder of runs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", type=Path)
    options.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "reproduction")
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for task in sorted(path for path in given.runs.iterdir() if path.is_dir()):
        found = [rows(run) for run in sorted(task.iterdir()) if (run / "metrics.jsonl").exists()]
        curves = sorted((curve for curve in found if curve), key=lambda curve: curve[0]["model"])
        for path in write(task.name, curves, given.out) if curves else ():
            print(path)


if __name__ == "__main__":
    main()
