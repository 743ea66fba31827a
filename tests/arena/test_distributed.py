"""One run over two processes: each gets its share, one writes, the numbers are those of one process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.arena import distributed
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.distributed import agree, resolve_device, share
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError
from spikeworks.optim import SGDConfig
from spikeworks.tasks import task_for


def small() -> RunConfig:
    task = task_for("binary-adding", steps=12, marks=3, train_size=64, validation_size=32, test_size=32)
    config = describe_run(task, "lif", hidden=(8, 6))
    return RunConfig(
        task=task, model=config.model, budget=Budget(epochs=2, batch_size=15), optimizer=SGDConfig(learning_rate=0.1)
    )


@given(st.integers(0, 9), st.integers(1, 4))
def test_shares_are_a_partition_and_the_first_is_never_the_empty_one(size: int, processes: int) -> None:
    batch = Batch(x=torch.arange(size).float().reshape(1, size, 1), target=torch.arange(size))
    found: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "world_size", lambda: processes)
        for number in range(processes):
            patch.setattr(distributed, "rank", lambda number=number: number)
            part = share(batch)
            assert part.x.shape[1] == part.size
            assert number or part.size or not size
            found += part.target.tolist()
    assert found == list(range(size))


def test_alone_everything_is_the_identity() -> None:
    batch = Batch(x=torch.zeros(1, 3, 1), target=torch.zeros(3).long())
    assert share(batch) is batch and agree({"a": 1}) == {"a": 1}


def test_devices_are_resolved() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        assert resolve_device("auto") == torch.device("cpu")
        with pytest.raises(ConfigError, match="'cuda' was asked for, but torch sees no GPU"):
            resolve_device("cuda")


def test_torchrun_trains_one_run_with_the_numbers_of_one_process(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from test_distributed import Run, small

            result = Run(small(), {str(tmp_path / "two")!r}).execute()
            print("score", result["score"]["test"], flush=True)
            assert Run(small(), {str(tmp_path / "two")!r}).execute() == result
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("score") == 2
    one = Run(small(), tmp_path / "one")
    one.execute()
    two = Run(small(), tmp_path / "two")
    lines = [
        [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()] for run in (one, two)
    ]
    for alone, together in zip(*lines, strict=True):
        assert together["step"] == alone["step"]
        for key in ("train_loss", "validation_loss"):
            assert together[key] == pytest.approx(alone[key], rel=1e-4)
