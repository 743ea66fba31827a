"""``arena`` and ``site`` in real processes, on a suite of a plugin."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from spikeworks.cli.main import main as command_line
from spikeworks.core.errors import DataError

main = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_main.py"))))
PLUGIN = '''
"""A suite for tests."""

from spikeworks.arena.config import Budget
from spikeworks.arena.suites import SUITES, Entrant, Part, Suite
from spikeworks.models import StackConfig
from spikeworks.neurons import config_for
from spikeworks.tasks import task_for


@SUITES.register("mine")
def mine(size="small"):
    """Two neurons on a short addition, and a task without data."""
    task = task_for("binary-adding", steps=10, marks=3, train_size=48, validation_size=16, test_size=16)
    models = tuple(Entrant(model=StackConfig(hidden=(6,), neuron=config_for(n))) for n in ("lif", "alif"))
    budget = Budget(epochs=1, batch_size=16)
    parts = tuple(Part(task=t, entrants=models, budget=budget) for t in (task, task_for("wisdm")))
    return Suite(name="mine", size=size, about="for tests", parts=parts, seeds=2)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return tmp_path


def test_a_suite_is_run_tried_and_shown(folder: Path) -> None:
    words = ["arena", "run", "mine", "--plugin", "plugin.py"]
    done = main.spikeworks(folder, *words, "--quiet", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "alif" in done.stdout and "wisdm was left out:" in done.stdout and "Site: site/index.html" in done.stdout
    assert (folder / "site" / "tasks" / "binary-adding.html").is_file()
    tried = main.spikeworks(folder, *words, "--dry-run", COLUMNS="160")
    assert tried.returncode == 0, tried.stderr
    assert "1 of 2" in tried.stdout and "8 runs, about" in tried.stdout and "wisdm is left out:" in tried.stdout
    assert len(list(folder.glob("runs/*/*-s0-*"))) == 2
    assert command_line(["site", str(folder / "runs"), "--out", str(folder / "pages"), "--no-portraits"]) == 0
    assert (folder / "pages" / "index.html").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["arena", "run", "nas"], "suite 'nas' is not registered. Did you mean 'nsa'"),
        (["arena", "run"], "Which suite? There are"),
        (["arena", "list", "nsa"], "takes no name, got nsa"),
        (["arena", "run", "nsa", "--only", "wrist-motoin"], "Did you mean 'wrist-motion'"),
        (["arena", "run", "nsa", "--model", "gatde"], "Did you mean 'gated'"),
        (["arena", "run", "nsa", "--seeds", "0"], "at least one seed, got 0"),
        (["arena", "run", "nsa", "--budget", "big"], "budget of a suite 'big'"),
        (
            ["arena", "run", "nsa", "--budget", "full", "--only", "wisdm", "--quiet", "--data", "."],
            "No run of the suite",
        ),
        (["site", "runs"], "runs does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_told(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line(words) == 2
    assert expected in capsys.readouterr().err


def test_the_list_names_every_suite(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikeworks.cli.arena.missing_data", lambda part, data: DataError("not here"))
    assert command_line(["arena", "list"]) == 0
    said = capsys.readouterr().out
    assert (
        "nsa: " in said and "temporal-suite: " in said and "data is missing for: ps-mnist, binary-adding, ptb" in said
    )
