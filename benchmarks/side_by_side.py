"""Contestants timed in turns, checked against a reference first, written as table and JSON.

Every round runs every contestant once, so that a machine that is busy for a while slows all of
them alike; ratios are medians over rounds of the ratio within a round.

    times = in_turns({"copy": copy, "kernel": kernel}, rounds=7)
    times.ms("kernel"), times.ratio("kernel", "copy")
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeworks.measure import environment, machine

OUT = Path(__file__).resolve().parent / "out"

Contestant = Callable[[], object]


class DisagreementError(RuntimeError):
    """A contestant computes something else than the reference; its speed means nothing."""


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of every contestant by round; ``None`` where it was left out of a round."""

    seconds: Mapping[str, Sequence[float | None]]

    def ms(self, name: str) -> float:
        """Median in milliseconds."""
        return 1e3 * statistics.median(s for s in self.seconds[name] if s is not None)

    def ratio(self, slow: str, fast: str) -> float:
        """Median over common rounds of ``slow / fast``; above 1 where ``fast`` is faster."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(a / b for a, b in pairs if a is not None and b is not None)

    def runs(self, name: str) -> int:
        """How many rounds a contestant ran in."""
        return sum(s is not None for s in self.seconds[name])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: medians and all rounds, in milliseconds."""
        return {
            name: {"ms": self.ms(name), "rounds_ms": [None if s is None else 1e3 * s for s in row]}
            for name, row in self.seconds.items()
        }


def in_turns(
    contestants: Mapping[str, Contestant],
    rounds: int,
    *,
    warmups: int = 1,
    once: Collection[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Run each contestant to warm it up, then all of them round after round, each round in another order.

    Args:
        contestants: what to time; each call must return when its work is done.
        rounds: at least 1.
        warmups: runs of each before the first round.
        once: names of contestants that take so long that they run in one round only, not warmed up.
        clock: seconds.
    """
    for name, run in contestants.items():
        for _ in range(0 if name in once else warmups):
            run()
    rows: dict[str, list[float | None]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if turn and name in once:
                rows[name].append(None)
                continue
            start = clock()
            contestants[name]()
            rows[name].append(clock() - start)
    return Times(rows)


def check_close(what: str, found: Tensor, expected: Tensor, *, rtol: float = 1e-3, atol: float = 1e-5) -> None:
    """Refuse a figure where values differ; ``atol`` is relative to the largest expected value.

    Raises:
        DisagreementError: shapes or values differ.
    """
    if found.shape != expected.shape:
        raise DisagreementError(
            f"{what}: shape {list(found.shape)}, expected {list(expected.shape)}; no speed is told."
        )
    scale = float(expected.abs().nan_to_num().max()) if expected.numel() else 0.0
    wrong = ~torch.isclose(found, expected, rtol=rtol, atol=atol * scale, equal_nan=True)
    if bool(wrong.any()):
        worst = float((found - expected)[wrong].abs().nan_to_num(nan=float("inf")).max())
        raise DisagreementError(f"{what}: {int(wrong.sum())} values differ, by up to {worst:.3g}; no speed is told.")


def check_spikes(what: str, found: Tensor, expected: Tensor, *, share: float = 1e-3) -> None:
    """Refuse a figure where more than ``share`` of the spikes differ.

    Another order of the same arithmetic moves a potential across the threshold now and then,
    hence the share.

    Raises:
        DisagreementError: shapes or too many spikes differ.
    """
    if found.shape != expected.shape:
        raise DisagreementError(
            f"{what}: shape {list(found.shape)}, expected {list(expected.shape)}; no speed is told."
        )
    different = float((found != expected).float().mean())
    if not different <= share:
        raise DisagreementError(f"{what}: {100 * different:.2f} % of the spikes differ; no speed is told.")


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure that was promised: ``found`` must be at least, or at most, ``wanted``."""

    what: str
    found: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


def show_targets(targets: Sequence[Target]) -> str:
    """A Markdown table of promises."""
    rows = [
        [t.what, f"{'≥' if t.at_least else '≤'} {t.wanted:.3g}", f"{t.found:.2f}", "met" if t.met else "**missed**"]
        for t in targets
    ]
    return table(["target", "wanted", "found", ""], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column to the left, all others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Options that all benchmarks share: rounds, threads and the folder of results."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="rounds of each measurement")
    made.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch and of kernels")
    made.add_argument("--out", type=Path, default=OUT, help="folder for JSON and figures")
    return made


def started(options: argparse.Namespace) -> str:
    """Set the threads; the line that says where figures come from."""
    if options.rounds < 1 or options.threads < 1:
        raise SystemExit("--rounds and --threads are at least 1")
    torch.set_num_threads(options.threads)
    here = machine()
    gib = (here["memory_bytes"] or 0) / 2**30
    return (
        f"{here['cpu']}, {here['cores']} cores, {gib:.0f} GiB, {here['os']}; torch {torch.__version__}, "
        f"{options.threads} threads, medians of {options.rounds} rounds in turns"
    )


def write(folder: Path, name: str, found: Mapping[str, Any], targets: Sequence[Target] = ()) -> Path:
    """Print the targets; write figures, targets and environment to ``folder / name.json`` (a NaN becomes null)."""
    folder.mkdir(parents=True, exist_ok=True)
    promised = [{**dataclasses.asdict(t), "met": t.met} for t in targets]
    file = folder / f"{name}.json"
    body = {"environment": environment(), **found, "targets": promised}
    file.write_text(json.dumps(_finite(body), indent=1) + "\n", encoding="utf-8")
    if targets:
        print(f"\n{show_targets(targets)}")
    print(f"\nwritten: {os.path.relpath(file)}")
    return file


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
