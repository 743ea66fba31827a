"""``spikeworks show RUN --metrics``: a denoiser by measures of speech, and what is said where it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spikeworks.arena.checkpoint import save_tensors
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.denoising import evaluate_denoiser
from spikeworks.arena.run import Run
from spikeworks.arena.store import SCHEMA
from spikeworks.cli.main import main
from spikeworks.core.config import to_dict
from spikeworks.core.files import write_json
from spikeworks.layers import ReadoutConfig
from spikeworks.models import StackConfig
from spikeworks.tasks import TaskConfig, task_for
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig

TASK = DenoiseDigitsConfig(
    source="made", noise="seen", train_size=1, validation_size=1, test_size=4, train_seconds=1.0, test_seconds=1.0
)


def stored(root: Path, task: TaskConfig, readout: str) -> Run:
    model = StackConfig(hidden=(8,), readout=ReadoutConfig(kind=readout))  # type: ignore[arg-type]
    run = Run(RunConfig(task=task, model=model, budget=Budget(epochs=1, batch_size=4)), root)
    built = task.build()
    run.directory.mkdir(parents=True)
    write_json(run.directory / "config.json", to_dict(run.config))
    save_tensors(run.directory / "best.safetensors", run.network(built).state_dict(), {})
    metric = {"name": built.metric.name, "unit": built.metric.unit, "higher_is_better": True}
    result = {"schema": SCHEMA, "status": "finished", "task": built.name, "score": {"test": 0.5}, "metric": metric}
    write_json(run.directory / "result.json", result)
    return run


@pytest.fixture(scope="module")
def run(data_set, tmp_path_factory: pytest.TempPathFactory) -> Run:
    data_set("fsdd")
    return stored(tmp_path_factory.mktemp("runs"), TASK, "every")


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["show", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_means_of_all_clips_kinds_and_ranges_are_printed(run: Run, data_root: Path, capsys) -> None:
    pytest.importorskip("pystoi")
    code, out, err = shown(capsys, run.directory, "--metrics", "stoi,ESTOI", "--data", data_root)
    assert (code, err) == (0, "")
    task = TASK.build(data_root)
    found = evaluate_denoiser(run.trained(task), task, metrics=("stoi", "estoi"))
    lines = {line[:18].strip(): line[18:].split() for line in out.splitlines()}
    for name, clips, means in [
        ("all", found.clips, found.mean),
        *((kind.replace("_", " "), found.kinds[kind], found.by_kind[kind]) for kind in found.kinds),
        *((low, found.ranges[low], found.by_snr[low]) for low in found.ranges),
    ]:
        row = next(cells for label, cells in lines.items() if label == name)
        assert row == [
            str(len(clips)),
            f"{means['si_snr']:.2f}",
            f"{means['si_snr_improvement']:+.2f}",
            f"{means['stoi']:.3f}",
            f"{means['estoi']:.3f}",
        ]
    assert found.kinds and "SI-SNR, dB" in out and "kind of noise" in out and "signal to noise" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--metrics", "stio"], ["'stio' is not registered. Did you mean 'stoi'"]),
        (["--metrics", ", "], ["--metrics names no measure", "stoi"]),
        (["--metrics", "dnsmos"], ["DNSMOS needs the file of its model", "--dnsmos sig_bak_ovr.onnx"]),
        (["--metrics", "stoi", "--dnsmos", "x.onnx"], ["--dnsmos is the model of the measure dnsmos"]),
        (["--dnsmos", "x.onnx"], ["--metrics names no measure"]),
        (["--metrics", "dnsmos", "--dnsmos", "absent.onnx"], ["absent.onnx is none", "DNS-Challenge"]),
        (["--metrics", "pesq"], ["PESQ needs the package pesq", "pip install 'spikeworks[speech]'"]),
        (["--metrics", "stoi"], ["STOI needs the package pystoi", "pip install 'spikeworks[speech]'"]),
        (["--metrics", "stoi", "--data", "nowhere"], ["nowhere"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_what_cannot_be_measured_is_one_message(
    run: Run, data_root: Path, arguments: list[str], expected: list[str], capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    monkeypatch.setenv("SPIKEWORKS_DATA", str(data_root))
    code, out, err = shown(capsys, run.directory, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("spikeworks: ") and "Traceback" not in err
    for part in expected:
        assert part in err


def test_a_run_of_another_task_is_named(tmp_path: Path, capsys) -> None:
    other = stored(tmp_path, task_for("seq-digits"), "mean")
    code, _, err = shown(capsys, other.directory, "--metrics", "stoi")
    assert code == 2 and "was trained on seq-digits, which is no denoising" in err
    assert shown(capsys, other.directory)[0] == 0  # in numbers as ever
