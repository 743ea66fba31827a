"""``spikeworks probe``: tables, verdict and page from one command, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikeworks import kernels
from spikeworks.cli.main import main

SMALL = [
    "probe", "binary-adding", "--task.steps", "12", "--task.marks", "3", "--task.train_size", "64",
    "--task.validation_size", "32", "--task.test_size", "32", "--hidden", "8", "6", "--epochs", "1",
    "--batch-size", "32", "--quiet",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _without_a_compiler():
    with kernels.use("torch"):
        yield


def test_one_command_gives_tables_verdict_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--seeds", "2"]) == 0
    text = capsys.readouterr().out
    for word in ("NoTD", "SDBP", "STBP", "state, S − N", "credit, T − S", "Credit horizon", "Memory horizon"):
        assert word in text
    assert "read by the last step" in text and "chance 25.0" in text
    assert "temporal pooling" in text
    page = Path("runs/probe-binary-adding-lif.html").read_text()
    assert f"Page: {Path('runs/probe-binary-adding-lif.html')}" in text
    assert page.count("<svg") == 2 and "Does binary-adding need temporal processing?" in page
    assert len(list(Path("runs/binary-adding").iterdir())) == 2 * (6 + 2)
    assert main([*SMALL, "--seeds", "2", "--output", "mine.html"]) == 0  # nothing is trained twice
    again = capsys.readouterr().out
    assert again.splitlines()[:-1] == text.splitlines()[:-1] and again.splitlines()[-1] == "Page: mine.html"
    assert len(list(Path("runs/binary-adding").iterdir())) == 16


def test_readouts_horizons_and_neuron_are_options(tmp_path, capsys):
    out = tmp_path / "runs"
    words = ["--seeds", "1", "--readouts", "last", "--horizons", "none", "--neuron", "plif", "--out", str(out)]
    assert main([*SMALL, *words]) == 0
    text = capsys.readouterr().out
    assert "plif: test accuracy" in text and "mean" not in text.splitlines()[2] and "horizon," not in text
    assert "One seed" in text and "Only the last step was read" in text
    assert main([*SMALL, *words, "--describe"]) == 0
    text = capsys.readouterr().out
    assert text.count("# plif") == 3 and "--method.window 1" in text and "--model.readout.kind last" in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["Which task?"]),
        (["binary-addin"], ["task 'binary-addin'", "Did you mean 'binary-adding'"]),
        (["seq-digits", "--task", "ptb"], ["named twice"]),
        (["seq-digits", "--method", "sltt"], ["leave out --method sltt"]),
        (["seq-digits", "--seeds", "0"], ["--seeds must be at least 1"]),
        (["seq-digits", "--least", "0"], ["--least must be above 0"]),
        (["seq-digits", "--horizons", "shrot"], ["horizons 'shrot'", "'short'"]),
        (["seq-digits", "--readouts", "mean,every"], ["readout for task seq-digits 'every'", "leaky"]),
        (["seq-digits", "--neuron", "plfi"], ["Did you mean 'plif'"]),
        (["seq-digits", "--neuron", "psn", "--quiet"], ["mixes all steps at once", "sliding-psn"]),
    ],
)
def test_wrong_words_are_told(tmp_path, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    assert main(["probe", *words]) == 2
    read = capsys.readouterr()
    assert read.out == "" and all(part in read.err for part in expected), read.err
    assert not list(tmp_path.iterdir())
