"""The command line in real processes: what works, and one clear message for what does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    "--task", "binary-adding", "--task.steps", "12", "--task.marks", "3", "--task.train_size", "64",
    "--task.validation_size", "32", "--task.test_size", "32", "--hidden", "8", "6", "--epochs", "2",
    "--batch-size", "16",
]  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "SPIKEWORKS_DATA"}
    source = str(Path(__file__).resolve().parents[2] / "src")
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [source, kept.get("PYTHONPATH")])), **more}


def spikeworks(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spikeworks", *words]
    return subprocess.run(command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Exit code 2, one message on standard error, no traceback, nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    message = done.stderr
    assert message.startswith("spikeworks: ") and message.count("spikeworks: ") == 1
    for part in expected:
        assert part in message


def csv_file(folder: Path, spoil: str | None = None) -> Path:
    """Twenty short series of two classes; ``spoil`` damages one value."""
    lines = ["id,label,a,b"]
    for case in range(20):
        for step in range(5):
            lines.append(f"{case},{'up' if case % 2 else 'down'},{step * (1 if case % 2 else -1)},{case % 3}")
    if spoil is not None:
        lines[7] = spoil
    path = folder / "signals.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rnu"], ["command 'rnu' is not registered. Did you mean", "'run'"]),
        (["run", "--task", "seq-digit", "--neuron", "lif"], ["task 'seq-digit'", "Did you mean 'seq-digits'"]),
        (["run", "--task", "seq-digits", "--neuron", "tclif"], ["neuron 'tclif'", "Did you mean 'tc-lif'"]),
        (["run", "--task", "seq-digits", "--neurn", "lif"], ["option --neurn is unknown. Did you mean --neuron"]),
        (["run", "--task", "seq-digits", "--neuron", "lif", "--model.neuron.deccay", "1"],
         ["--model.neuron.deccay is unknown", "Did you mean --model.neuron.decay"]),
        (["run", "--task", "seq-digits", "--neuron", "lif", "--epochs", "many"],
         ["--budget.epochs expected a whole number, got many"]),
        (["run", "--task", "seq-digits", "--neuron", "lif", "--model.norm", "bach"],
         ["--model.norm expected one of none, batch, layer, batch-step, tdbn, tebn, bntt, got bach"]),
        (["run", "--task", "seq-digits", "--neuron", "lif", "--model.neuron.decay", "1.5"], ["decay", "1.5"]),
        (["run", "--task", "seq-digits", "--neuron", "lif", "--optimizer", "adam"], ["optimizer 'adam'", "'adamw'"]),
        (["run", "--task", "seq-digits"], ["Which neuron? Give --neuron NAME, or a network that has its own"]),
        (["run", "--neuron", "lif"], ["Which task? Give --task NAME, or --csv FILE."]),
        (["run", "--recipe", "quickstrat"], ["recipe 'quickstrat'", "Did you mean 'quickstart'"]),
        (["compare", "--task", "seq-digits", "--neurons", "lif,plfi"], ["neuron 'plfi'", "Did you mean 'plif'"]),
        (["compare", "--task", "seq-digits", "--neurons", "lif", "--budget", "parms"], ["budget 'parms'", "'params'"]),
        (["compare", "--task", "seq-digits", "--neurons", "lif", "--seeds", "0"], ["--seeds must be at least 1"]),
        (["list", "neuron"], ["list 'neuron' is not registered. Did you mean 'neurons'"]),
        (["show"], ["required: RUN"]),
        (["data", "s-mnits"], ["task 's-mnits' is not registered. Did you mean", "s-mnist"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_words_get_the_nearest_right_ones(
    tmp_path: Path,
    words: list[str],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spikeworks.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    code = main(words)
    out, err = capsys.readouterr()
    assert_refused(subprocess.CompletedProcess(words, code, out, err), *expected)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_neuron_in_a_real_process(tmp_path: Path) -> None:
    done = spikeworks(tmp_path, "run", "--task", "seq-digits", "--neuron", "tclif")
    assert_refused(done, "neuron 'tclif' is not registered. Did you mean 'tc-lif'")


def test_missing_data_files_are_named_with_a_way_to_get_them(tmp_path: Path) -> None:
    done = spikeworks(tmp_path, "run", "--task", "s-mnist", "--neuron", "lif", "--data", "nowhere")
    assert_refused(done, "train-images-idx3-ubyte", "nowhere/mnist", "--data")
    assert not (tmp_path / "runs").exists()


def test_damaged_data_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ptb"
    folder.mkdir(parents=True)
    for part in ("train", "valid", "test"):
        (folder / f"ptb.{part}.txt").write_text("not the treebank\n")
    done = spikeworks(tmp_path, "run", "--task", "ptb", "--neuron", "lif", SPIKEWORKS_DATA="data")
    assert_refused(done, "ptb.train.txt", "damaged or another version")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        ("1,up,nan,1", ["signals.csv", "line 8"]),
        ("1,,1,1", ["signals.csv", "line 8"]),
        ("1,up,high,1", ["signals.csv", "line 8", "high"]),
        ("1,down,1,1", ["signals.csv", "label"]),
    ],
    ids=["nan", "no label", "no number", "two labels"],
)
def test_a_spoilt_csv_file_is_told_by_line(tmp_path: Path, spoil: str, expected: list[str]) -> None:
    csv_file(tmp_path, spoil)
    done = spikeworks(tmp_path, "run", "--csv", "signals.csv", "--label-column", "label", "--neuron", "lif")
    assert_refused(done, *expected)
    assert not (tmp_path / "runs").exists()


def test_a_csv_file_without_rows_and_a_wrong_column_are_told(tmp_path: Path) -> None:
    path = csv_file(tmp_path)
    done = spikeworks(tmp_path, "run", "--csv", "signals.csv", "--label-column", "lable", "--neuron", "lif")
    assert_refused(done, "lable", "label")
    path.write_text("id,label,a,b\n")
    assert_refused(spikeworks(tmp_path, "run", "--csv", "signals.csv", "--neuron", "lif"), "signals.csv")
    done = spikeworks(tmp_path, "run", "--csv", "absent.csv", "--neuron", "lif")
    assert_refused(done, "absent.csv does not exist")


def test_reports_of_nothing_and_of_half_a_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(spikeworks(tmp_path, "report", "empty"), "empty holds no run")
    half = tmp_path / "half" / "seq-digits" / "lif-s0-0123456789ab"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    assert_refused(spikeworks(tmp_path, "report", "half"), "half written")
    assert_refused(spikeworks(tmp_path, "show", "lif", "--out", "none"), "none does not exist")


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    done = spikeworks(tmp_path, "run", *SMALL, "--neuron", "lif")
    assert_refused(done, "Cannot write", "Not a directory", "--out")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    wild = ["--learning-rate", "1e37", "--optimizer.clip", "None", "--checkpoint-seconds", "0", "--quiet"]
    done = spikeworks(tmp_path, "run", *SMALL, "--neuron", "lif", *wild)
    assert_refused(done, "in update 2 at learning rate 1e+37", "Last good checkpoint: ", "checkpoint.safetensors")
    named = done.stderr.split("Last good checkpoint: ")[1].split(" (")[0]
    assert (tmp_path / named).is_file()


def test_run_show_report_and_read_again(tmp_path: Path) -> None:
    done = spikeworks(tmp_path, "run", *SMALL, "--neuron", "tc-lif", "--label", "mine")
    assert done.returncode == 0, done.stderr
    assert "mine seed 0: epoch 2/2" in done.stderr and "test accuracy" in done.stderr
    (result,) = tmp_path.glob("runs/binary-adding/tc-lif-s0-*/result.json")
    assert json.loads(result.read_text())["label"] == "mine"
    again = spikeworks(tmp_path, "run", *SMALL, "--neuron", "tc-lif", "--label", "mine")
    assert again.returncode == 0 and again.stdout == done.stdout and "epoch" not in again.stderr
    shown = spikeworks(tmp_path, "show", result.parent.name.rpartition("-")[2])
    assert shown.returncode == 0 and shown.stdout == done.stdout
    made = spikeworks(tmp_path, "report")
    assert made.returncode == 0 and made.stdout.strip() == "runs/report.html"
    assert "<html" in (tmp_path / "runs" / "report.html").read_text()
    table = spikeworks(tmp_path, "report", "--markdown")
    assert table.returncode == 0 and "| mine |" in table.stdout.replace("**", "")


def test_compare_prints_a_table_and_skips_what_is_done(tmp_path: Path) -> None:
    words = ["compare", *SMALL, "--neurons", "lif,tc-lif", "--seeds", "1", "--budget", "params"]
    words += ["--model.hidden", "20,12"]
    done = spikeworks(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "lif" in done.stdout and "accuracy" in done.stdout and "[2/2]" in done.stderr
    again = spikeworks(tmp_path, *words)
    assert again.returncode == 0 and again.stdout == done.stdout and "starts" not in again.stderr


def test_a_csv_file_and_a_neuron_of_ones_own(tmp_path: Path) -> None:
    csv_file(tmp_path)
    (tmp_path / "my_neuron.py").write_text(
        "from spikeworks.neurons import Neuron, Parameter, register_neuron\n\n\n"
        "@register_neuron('mine')\nclass Mine(Neuron):\n    states = ('voltage',)\n    decay = Parameter(0.8)\n\n"
        "    def step(self, x, voltage, *, decay):\n        charged = decay * voltage + x\n"
        "        spike = self.fire(charged - 1.0)\n        return spike, charged - spike\n"
    )
    own = ["--csv", "signals.csv", "--label-column", "label", "--id-column", "id", "--plugin", "my_neuron.py"]
    done = spikeworks(tmp_path, "run", *own, "--neuron", "mine", "--epochs", "2", "--hidden", "8")
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("runs/csv/mine-s0-*")
    assert (folder / "my_neuron.py").read_text() == (tmp_path / "my_neuron.py").read_text()
    described = spikeworks(tmp_path, "run", *own, "--describe")
    assert described.returncode == 0 and "--model.neuron.decay 0.8" in described.stdout


def test_a_recipe_can_be_changed_leaf_by_leaf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeworks.cli.main import main

    words = ["run", "--recipe", "ptb", "--neuron", "alif", "--seed", "2", "--epochs", "3", "--hidden", "50,400"]
    words += ["--task.steps", "35", "--schedule", "cosine", "--model.embedding.dropout=0", "--out", str(tmp_path)]
    assert main([*words, "--describe"]) == 0
    described = capsys.readouterr().out.splitlines()
    for line in (
        "--task.steps 35",
        "--model.hidden 50 400",
        "--budget.epochs 3",
        "--optimizer.learning_rate 3.0",
        "--optimizer sgd",
        "--schedule cosine",
        "--schedule.warmup 0",
        "--model.embedding.dropout 0.0",
        "--model.embedding.tied True",
        "--seed 2",
    ):
        assert line in described
    assert described[0].startswith(f"# {tmp_path}/ptb/alif-s2-") and list(tmp_path.iterdir()) == []


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    words = ["run", *SMALL, "--neuron", "lif", "--budget.epochs", "5000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeworks", *words], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 2/" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130
    assert "what was done is kept" in rest and "spikeworks run --task binary-adding" in rest and "Traceback" not in rest
    (folder,) = tmp_path.glob("runs/binary-adding/lif-s0-*")
    assert (folder / "checkpoint.safetensors").is_file() and not (folder / "result.json").exists()


def test_lists_doctor_and_data(tmp_path: Path) -> None:
    everything = spikeworks(tmp_path, "list")
    for name in ("seq-digits", "tc-lif", "quickstart", "adamw", "cosine", "bptt", "triangle"):
        assert name in everything.stdout
    doctor = spikeworks(tmp_path, "doctor", "--data", "nowhere")
    assert doctor.returncode == 0, doctor.stderr
    for name in ("compiler", "cache", "torch", "neuron pmsn", "task s-mnist", "nowhere"):
        assert name in doctor.stdout
    assert_refused(spikeworks(tmp_path, "data", "s-mnist"), "train-images-idx3-ubyte", "--data")
    assert "needs no files" in spikeworks(tmp_path, "data", "seq-digits").stdout


def test_help_is_light_and_complete(tmp_path: Path) -> None:
    code = "import sys; from spikeworks.cli.main import main; main(['--help']); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("False")
    for command in ("quickstart", "run", "compare", "list", "show", "report", "doctor", "data"):
        assert command in done.stdout
    helped = spikeworks(tmp_path, "run", "--help")
    assert helped.returncode == 0 and "--plugin" in helped.stdout and "--model.neuron.decay 0.95" in helped.stdout
