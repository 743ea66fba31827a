"""Files of an export: whole or absent, with names that C takes, and sizes that compilers confirm."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest
import torch
from tests.deploy.c_device import compiler

from spikeworks.core.errors import ConfigError, RunError
from spikeworks.deploy.c import CExportError, export_c, write_c
from spikeworks.models import Network, StackConfig
from spikeworks.neurons import ALIF, PSN


def network(neuron: type = ALIF) -> Network:
    return StackConfig(hidden=(6, 5), neuron=neuron.Config()).build(4, 3, torch.Generator().manual_seed(0))


def test_files_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.h").mkdir()  # where a header should go
    with pytest.raises(RunError, match=r"Cannot write .*net\.h: it is a folder"):
        write_c(network(), tmp_path / "net.c")
    with pytest.raises(CExportError, match="reads a whole sequence"):
        write_c(network(PSN), tmp_path / "other.c")

    def fill_up(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    whole = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda p, *a, **k: (fill_up if "weights" in p.name else whole)(p, *a, **k))
    with pytest.raises(RunError, match="No space left"):
        write_c(network(), tmp_path / "full.c")
    assert [p.name for p in tmp_path.iterdir()] == ["net.h"]


@pytest.mark.parametrize(
    ("asked", "name"), [("a-b.c", "a_b"), ("2025 run.c", "network_2025_run"), ("plain", "plain"), ("v1.2", "v1_2")]
)
def test_names_that_c_takes(tmp_path: Path, asked: str, name: str) -> None:
    path, made = write_c(network(), tmp_path / asked)
    assert path == tmp_path / f"{name}.c"
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.c", f"{name}.h", f"{name}_weights.h"]
    assert f'#include "{name}.h"' in path.read_text() and f"{name}_step" in made.sources.header


def test_wrong_wishes_are_told() -> None:
    with pytest.raises(ConfigError, match="'a b' is no name"):
        export_c(network(), "a b")
    with pytest.raises(ConfigError, match="float32 or int8, got 'int4'"):
        export_c(network(), weights="int4")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"float32 or float64, got torch\.float16"):
        export_c(network(), dtype=torch.float16)


def test_an_export_changes_nothing_and_is_the_same_twice() -> None:
    one = network().train()
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    files = export_c(one).files()
    assert one.training and all(torch.equal(before[name], tensor) for name, tensor in one.state_dict().items())
    assert export_c(one).files() == files


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_the_source_needs_no_memory_of_its_own(tmp_path: Path, weights: str) -> None:
    """No variable that a step changes, no allocation, nothing from outside but the library of mathematics."""
    made = export_c(network(), "net", weights=weights)  # type: ignore[arg-type]
    for file, text in made.files().items():
        (tmp_path / file).write_text(text)
    command = [*compiler(), "-std=c99", "-Os", "-fno-pic", "-c", str(tmp_path / "net.c"), "-o", str(tmp_path / "net.o")]
    subprocess.run(command, check=True)
    listed = subprocess.run(["nm", str(tmp_path / "net.o")], capture_output=True, text=True, check=True).stdout
    kinds = {line.split()[-1]: line.split()[-2] for line in listed.splitlines()}
    assert {name for name, kind in kinds.items() if kind == "T"} == {"net_reset", "net_step"}
    assert not {name for name, kind in kinds.items() if kind in "bBdDC"}
    assert {name for name, kind in kinds.items() if kind == "U"} <= {"memset", "memcpy", "memmove"}


def test_weights_are_in_flash_as_told(tmp_path: Path) -> None:
    made = export_c(network(), "net")
    for file, text in made.files().items():
        (tmp_path / file).write_text(text)
    command = [*compiler(), "-std=c99", "-Os", "-c", str(tmp_path / "net.c"), "-o", str(tmp_path / "net.o")]
    subprocess.run(command, check=True)
    listed = subprocess.run(["size", "-A", str(tmp_path / "net.o")], capture_output=True, text=True, check=True).stdout
    constants = sum(int(line.split()[1]) for line in listed.splitlines() if line.startswith(".rodata"))
    assert made.weight_bytes <= constants <= made.weight_bytes + 256  # alignment, and literals of the code
    assert made.code_bytes() == sum(int(s.split()[1]) for s in listed.splitlines() if s.startswith(".text"))
