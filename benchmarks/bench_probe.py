"""Which local tasks need temporal processing: the segregated temporal probe over all of them, one table.

    python benchmarks/bench_probe.py [--seeds 3] [--only TASK ...] [--runs DIR] [--data DIR]

LIF neurons in each task's own network and recipe, shortened to minutes; no horizon curves. Runs are ordinary ones:
a cut table goes on with the same command. Sequences of a signal or a transcript have no probe.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from spikeworks.arena.config import RunConfig
from spikeworks.arena.probe_gain import Difference
from spikeworks.arena.probe_run import Probe, probe
from spikeworks.tasks import task_for


@dataclasses.dataclass(frozen=True)
class Row:
    """A task as it is probed here: its options, epochs, and fields of its network other than the recipe's."""

    task: str
    options: dict[str, Any]
    epochs: int
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None

    @property
    def name(self) -> str:
        """The task and what is not its default."""
        said = [f"{key}={value}" for key, value in self.options.items() if not key.endswith("size")]
        return ", ".join([self.task, *said])

    def change(self) -> Callable[[RunConfig], RunConfig]:
        """What is done to the task's recipe."""

        def changed(config: RunConfig) -> RunConfig:
            size = self.batch_size or config.budget.batch_size
            budget = dataclasses.replace(config.budget, epochs=self.epochs, batch_size=size)
            model = dataclasses.replace(config.model, **self.model)
            return dataclasses.replace(config, budget=budget, model=model)

        return changed


SMALL = {"hidden": (64, 64)}
ROWS = (
    Row("autonomous-localization", {"steps": 50, "capacity": 5.0, "train_size": 4000, "validation_size": 1000,
                                    "test_size": 2000}, 10, SMALL, 100),
    Row("binary-adding", {"steps": 30, "train_size": 4000, "validation_size": 1000, "test_size": 2000}, 15, SMALL, 100),
    Row("delayed-cue", {}, 5, SMALL),
    Row("seq-digits", {"by": "row"}, 20, SMALL),
    Row("s-mnist", {"by": "row", "train_size": 5000}, 5, SMALL),
    Row("ps-mnist", {"pool": 2, "train_size": 3000, "validation_size": 1000}, 8, SMALL, 64),
    Row("spoken-digits", {}, 6, SMALL),
    Row("nmnist-sample", {}, 6, {"width": 0.5}),
    Row("fashion-mnist", {"size": 14, "train_size": 2000, "validation_size": 500}, 3, {"width": 0.5}),
    Row("event-digits-signed", {}, 4, {"hidden": (128, 64)}, 32),
    Row("wrist-motion", {}, 8, SMALL, 64),
    Row("basic-motions", {}, 30, SMALL, 16),
    Row("eegmmidb-mi", {}, 20, SMALL, 32),
    Row("array-esc10", {"angles": 8, "train_size": 1440, "validation_size": 720, "test_size": 720}, 6, SMALL, 64),
    Row("qtdb-ecg", {}, 10, SMALL),
    Row("ptb", {"steps": 35, "train_tokens": 92_958}, 2, {"hidden": (128,)}),
)  # fmt: skip


def lines(found: Probe, row: Row) -> list[str]:
    """Rows of the table, one a readout."""
    made = []
    for gains in found.gains:
        scores = [found.score(mode, gains.readout).test for mode in ("notd", "sdbp", "stbp")]
        shown = [_score(found, score) for score in scores]
        chance = "" if found.chance is None else f"{100 * found.chance:.1f}"
        made.append(
            f"| {row.name} | {chance} | {gains.readout} | {' | '.join(shown)} | {_gain(found, gains.state)} | "
            f"{_gain(found, gains.credit)} | {found.verdict.answer} |"
        )
    return made


def _score(found: Probe, score: Any) -> str:
    if score is None:
        return "diverged"
    factor = 100 if found.metric.unit == "fraction" else 1
    spread = "" if score.spread is None else f" ± {factor * score.spread:.1f}"
    return f"{factor * score.mean:.1f}{spread}"


def _gain(found: Probe, gain: Difference | None) -> str:
    if gain is None:
        return "–"
    factor, digits = (100, 1) if found.metric.unit == "fraction" else (1, 3)
    return f"{factor * gain.mean:+.{digits}f} [{factor * gain.low:+.{digits}f}, {factor * gain.high:+.{digits}f}]"


def main() -> None:
    """Print the table as it grows."""

    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--only", nargs="+", choices=[row.task for row in ROWS], help="these tasks alone")
    options.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    options.add_argument("--data", type=Path, help="folder of the real data (default: $SPIKEWORKS_DATA)")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--rounds", type=int, help="of other benchmarks; here seeds are what is repeated")
    options.add_argument("--out", type=Path, help="of other benchmarks; here all is printed")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    print("| task | largest class | readout | NoTD | SDBP | STBP | S − N | T − S | needs time? |")
    print("|---|---:|---|---:|---:|---:|---|---|---|", flush=True)
    start = time.perf_counter()
    for row in ROWS:
        if given.only and row.task not in given.only:
            continue
        task = task_for(row.task, **row.options)
        found = probe(
            task, "lif", seeds=given.seeds, horizons="none", root=given.runs, data_root=given.data, change=row.change()
        )
        print("\n".join(lines(found, row)), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
