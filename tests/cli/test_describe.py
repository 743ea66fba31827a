"""What ``--describe`` prints beside the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeworks.cli.main import main
from spikeworks.tasks import TASKS


def test_the_notes_of_a_recipe_stand_above_its_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = TASKS.get("seq-digits")().defaults().notes
    words = ["--task", "seq-digits", "--out", str(tmp_path), "--describe"]
    assert notes and main(["run", *words, "--neuron", "lif"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"# {tmp_path}/seq-digits/lif-s0-") and lines[1] == f"# seq-digits: {notes}"
    assert main(["compare", *words, "--neurons", "lif,alif", "--seeds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("# seq-digits: ") for line in lines) == 1
    assert sum(line.startswith(f"# {tmp_path}/") for line in lines) == 2


def test_a_recipe_without_notes_gets_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert TASKS.get("delayed-cue")().defaults().notes == ""
    assert main(["run", "--task", "delayed-cue", "--neuron", "lif", "--out", str(tmp_path), "--describe"]) == 0
    assert not capsys.readouterr().out.splitlines()[1].startswith("#")
