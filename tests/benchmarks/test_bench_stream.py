"""The table of streams: both engines agree before any speed is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spikeworks.kernels.build import find_compiler

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_stream.py"


@pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler")
def test_the_recipe_is_streamed_by_both_engines(tmp_path):
    around = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1] / "src")}
    command = [sys.executable, str(SCRIPT), "--networks", "recipe", "--rounds", "2", "--frames", "6"]
    done = subprocess.run([*command, "--out", str(tmp_path)], env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| recipe | 88,984 |" in done.stdout
    (row,) = json.loads((tmp_path / "stream.json").read_text())["networks"]
    assert row["frame_ms"] == 8 and set(row["cpu_ms"]) == {"PyTorch", "C", "C, int8", "no network"}
    assert 0 < row["read_bytes"] < 5 * row["table_bytes"]["C"]
