"""The table of denoisers, from the command line: a run of a GRU beside bounds and the classical method."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spikeworks.arena import Budget, Run, RunConfig
from spikeworks.layers import ReadoutConfig
from spikeworks.models import GRUConfig
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_denoise.py"
SOURCE = SCRIPT.parents[1] / "src"


def table(data_root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "SPIKEWORKS_DATA": str(data_root), "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, str(SCRIPT), *arguments, "--clips", "2", "--threads", "1"]
    return subprocess.run(command, env=around, capture_output=True, text=True, check=False)


def test_a_trained_run_stands_in_the_table_with_its_costs(data_root, data_set, tmp_path):
    data_set("fsdd")
    data_set("esc10")
    task = DenoiseDigitsConfig(train_size=2, validation_size=1, test_size=1, train_seconds=0.5, test_seconds=1.0)
    config = RunConfig(
        task=task,
        model=GRUConfig(hidden=(6,), readout=ReadoutConfig(kind="every")),
        budget=Budget(epochs=1, batch_size=2),
    )
    run = Run(config, tmp_path, data_root=data_root)
    run.execute()
    done = table(data_root, str(run.directory), "--noise", "seen", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "denoise.json").read_text())["rows"]["esc10, rotation 0, -5 to 19 dB (true)"]["seen"]
    assert found["noisy"]["si_snr_improvement"] == 0
    assert found["oracle complex mask, at most 1"]["si_snr"] > found["oracle magnitude mask, at most 1"]["si_snr"] > 10
    (row,) = (values for name, values in found.items() if name.endswith(f"({run.directory.name})"))
    weights = 3 * 6 * (129 + 6) + 6 * 129
    assert row["parameters"] == weights + 2 * 3 * 6 + 129
    assert row["published"] == row["everything"] == pytest.approx((weights + 10 * (129 + 6 + 129)) / 0.008)
    assert row["pdp published"] == pytest.approx(row["published"] * 0.03203)
    assert row["energy_uj_per_s"] > 0 and "| noisy |" in done.stdout


def test_what_is_no_run_is_named(data_root, tmp_path):
    done = table(data_root, str(tmp_path / "nothing"), "--noise", "seen", "--out", str(tmp_path))
    assert done.returncode == 1 and "nothing" in done.stderr and "Traceback" not in done.stderr
