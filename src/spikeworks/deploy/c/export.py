"""From a network to files of C, and what they will take on a device."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from ...core.errors import ConfigError, RunError
from ...core.files import atomic_path
from ...core.operations import Operations
from .emit import Sources, emit
from .layers import lower
from .program import Program
from .quantize import quantized

Weights = Literal["float32", "int8"]


@dataclasses.dataclass(frozen=True)
class Export:
    """A network in C.

    Attributes:
        program: what was emitted.
        sources: the texts.
    """

    program: Program
    sources: Sources

    @property
    def weight_bytes(self) -> int:
        """Constants in flash: weights, biases, scales, tables."""
        return self.sources.weight_bytes

    @property
    def ram_bytes(self) -> int:
        """The struct that the caller owns, scratch included; a step takes little of the stack beside it."""
        return self.sources.layout.struct_bytes

    def operations(self, rate: float = 1.0) -> Operations:
        """Of one step in which the share ``rate`` of the neurons fires; 1 is the most that there can be."""
        return self.program.work.at(rate)

    def summary(self) -> list[str]:
        """Flash, memory and operations of a step, as lines to print."""
        code, layout = self.code_bytes(), self.sources.layout
        estimate = "code not estimated without gcc" if code is None else f"code {code:,} B by gcc -Os on this machine"
        silent, full = self.operations(0.0), self.operations(1.0)
        specials = f", {silent.specials:,.0f} special functions" if silent.specials else ""
        return [
            f"flash      {self.weight_bytes + (code or 0):,} B: weights and tables {self.weight_bytes:,} B, {estimate}",
            f"RAM        {self.ram_bytes:,} B: states {layout.state_bytes:,} B, scratch {layout.scratch_bytes:,} B",
            f"operations {silent.macs:,.0f} multiply-accumulates, {silent.acs:,.0f} additions{specials} a step; "
            f"spikes add at most {full.acs - silent.acs:,.0f} additions",
        ]

    def files(self) -> dict[str, str]:
        """File names and their texts."""
        name = self.sources.name
        return {
            f"{name}.c": self.sources.source,
            f"{name}.h": self.sources.header,
            f"{name}_weights.h": self.sources.weights,
        }

    def code_bytes(self, compiler: Sequence[str] = ("gcc",), size: str = "size") -> int | None:
        """What a compiler makes of the functions, optimised for size, constants not counted; ``None`` without one.

        Args:
            compiler: command and flags, ``("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb")`` for instance.
            size: the program ``size`` that belongs to it.
        """
        if shutil.which(compiler[0]) is None or shutil.which(size) is None:
            return None
        with tempfile.TemporaryDirectory() as folder:
            for name, text in self.files().items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            target = Path(folder) / "network.o"
            source = Path(folder) / f"{self.sources.name}.c"
            command = [*compiler, "-Os", "-std=c99", "-c", str(source), "-o", str(target)]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                return None
            listed = subprocess.run([size, "-A", str(target)], capture_output=True, text=True, check=True).stdout
        return sum(int(line.split()[1]) for line in listed.splitlines() if line.startswith(".text"))


def export_c(
    network: nn.Module, name: str = "network", *, weights: Weights = "float32", dtype: torch.dtype = torch.float32
) -> Export:
    """A network as C99: a source and its headers, without heap, files or an operating system.

    ``NAME_reset(state)`` and ``NAME_step(state, input, output)`` run the network as it acts in evaluation, one step a
    call: ``output`` is the answer that the network gives to all steps since the reset, or to each with the readout
    ``every``. The neurons' arithmetic is emitted from the traced graph of their step, as for the kernels.

    Args:
        network: a :class:`~spikeworks.models.Network`; it is not changed.
        name: prefix of all names that are seen from outside.
        weights: ``float32``, or ``int8`` with one scale for each neuron that a map reaches.
        dtype: of the arithmetic; float64 tells rounding from mistakes.

    Example:
        >>> from spikeworks.models import StackConfig
        >>> made = export_c(StackConfig(hidden=(8,)).build(3, 2, torch.Generator().manual_seed(0)), "tiny")
        >>> sorted(made.files()), made.weight_bytes
        (['tiny.c', 'tiny.h', 'tiny_weights.h'], 200)

    Raises:
        CExportError: a part that cannot be expressed, by name and with the reason.
        ConfigError: a name that C does not take, or unknown weights.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(f"{name!r} is no name for functions of C.", "take letters, digits and underscores")
    program = program_of(network, weights, dtype)
    return Export(program, emit(program, name))


def program_of(network: nn.Module, weights: Weights, dtype: torch.dtype) -> Program:
    """What :func:`export_c` writes; arguments and errors as there."""
    if weights not in ("float32", "int8"):
        raise ConfigError(f"Weights are float32 or int8, got {weights!r}.")
    if dtype not in (torch.float32, torch.float64):
        raise ConfigError(f"The arithmetic is float32 or float64, got {dtype}.")
    program = lower(network, dtype)
    return quantized(program) if weights == "int8" else program


def write_c(network: nn.Module, path: str | Path, *, weights: Weights = "float32") -> tuple[Path, Export]:
    """Write :func:`export_c` to ``path``, its headers beside it; all files are written, or none.

    Args:
        network, weights: as there.
        path: of the source; its stem becomes the name, with underscores for what C does not take.

    Returns:
        The path of the source and the export.

    Raises:
        CExportError: as there.
        RunError: the files cannot be written.
    """
    path = Path(path)
    path = path if path.suffix == ".c" else path.with_name(f"{path.name}.c")
    stem = re.sub(r"[^A-Za-z0-9_]", "_", path.stem)
    name = stem if stem[:1].isalpha() else f"network_{stem}"
    path = path.with_name(f"{name}.c")
    made = export_c(network, name, weights=weights)
    targets = {path.with_name(file): text for file, text in made.files().items()}
    for target in targets:
        if target.is_dir():
            raise RunError(f"Cannot write {target}: it is a folder.", "choose another name")
    with contextlib.ExitStack() as all_or_none:  # files get their names when all are written, the source last
        for target, text in targets.items():
            all_or_none.enter_context(atomic_path(target)).write_text(text, encoding="utf-8")
    return path, made
