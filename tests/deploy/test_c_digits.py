"""A trained classifier in C: on this machine, with bytes for weights, and on an emulated Cortex-M4."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.deploy import c_cortex
from tests.deploy.c_device import Device
from torch import Tensor

from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.run import Run
from spikeworks.cli.main import main
from spikeworks.core.batch import Batch
from spikeworks.deploy.c import Export, export_c
from spikeworks.layers import ReadoutConfig
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import ALIF
from spikeworks.optim import AdamWConfig
from spikeworks.tasks import SeqDigitsConfig

FLOAT32_FLASH, INT8_FLASH = 24_000, 7_500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two layers of 64 ALIF, read by row, for a few epochs."""
    readout = ReadoutConfig(kind="sum")
    model = StackConfig(hidden=(64, 64), neuron=ALIF.Config(), norm="batch", readout=readout)
    budget = Budget(epochs=8, batch_size=32)
    adam = AdamWConfig(learning_rate=5e-3)
    config = RunConfig(task=SeqDigitsConfig(by="row"), model=model, budget=budget, optimizer=adam)
    made = Run(config, tmp_path_factory.mktemp("runs"))
    made.execute()
    return made


@pytest.fixture(scope="module")
def network(run: Run) -> Network:
    found = run.trained().eval()
    assert isinstance(found, Network)
    return found


@pytest.fixture(scope="module")
def test_split() -> Batch:
    data = SeqDigitsConfig(by="row").build().data("test")
    (every,) = data.plan(len(data))
    return data.batch(every)


def answers(made: Export, folder: Path, x: Tensor) -> Tensor:
    """``x [T, B, C]`` to the answers after the last step, ``[B, outputs]``."""
    device = Device(made, folder)
    return torch.stack([device.run(one)[-1] for one in x.unbind(1)])


def accuracy(found: Tensor, target: Tensor) -> float:
    return (found.argmax(-1) == target).double().mean().item()


def test_float32_answers_as_the_network(network: Network, test_split: Batch, tmp_path: Path) -> None:
    with torch.no_grad():
        expected = network(test_split.x)[0]
    found = answers(export_c(network), tmp_path, test_split.x)
    assert accuracy(expected, test_split.target) > 0.8
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
    # a spike may flip where a potential meets the threshold to the last bit; then a whole answer differs
    same = ((found - expected).abs() <= 1e-5 * (1 + expected.abs())).all(1)
    assert same.double().mean() >= 0.99


def test_bytes_for_weights_cost_at_most_two_points(network: Network, test_split: Batch, tmp_path: Path) -> None:
    exact, small = export_c(network, "exact"), export_c(network, "small", weights="int8")
    before = accuracy(answers(exact, tmp_path, test_split.x), test_split.target)
    after = accuracy(answers(small, tmp_path, test_split.x), test_split.target)
    print(f"float32 {before:.3f} of {exact.weight_bytes} B, int8 {after:.3f} of {small.weight_bytes} B")
    assert after >= before - 0.02
    assert exact.weight_bytes < FLOAT32_FLASH and small.weight_bytes < INT8_FLASH


def test_the_command_writes_three_files_and_says_what_they_take(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "digits-rows.c"
    command = ["export", str(run.directory), "--target", "c", "--weights", "int8", "--output", str(target)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(str(tmp_path / "digits_rows.c"))
    assert [line.split()[0] for line in lines[1:]] == ["flash", "RAM", "operations"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits_rows.c", "digits_rows.h", "digits_rows_weights.h"]
    assert "int8_t" in (tmp_path / "digits_rows_weights.h").read_text()
    assert main(["export", str(run.directory), "--weights", "int8"]) == 2
    assert "add --target c" in capsys.readouterr().err


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_a_cortex_m4_answers_as_this_machine(network: Network, test_split: Batch, tmp_path: Path, weights: str) -> None:
    c_cortex.needs(c_cortex.COMPILER[0], c_cortex.SIZE, c_cortex.EMULATOR)
    made = export_c(network, "digits", weights=weights)  # type: ignore[arg-type]
    x = test_split.x[:, :20].transpose(0, 1)
    found = c_cortex.emulate(c_cortex.build(made, x, tmp_path)).reshape(*x.shape[:2], -1)
    device = Device(made, tmp_path / "host")
    expected = torch.stack([device.run(one) for one in x])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    code = made.code_bytes(c_cortex.COMPILER, c_cortex.SIZE)
    print(f"{weights}: weights {made.weight_bytes} B, code {code} B, RAM {made.ram_bytes} B")
    assert code is not None and 500 < code < 4000
