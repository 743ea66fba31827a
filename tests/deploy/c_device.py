"""Exported networks, compiled for this machine under the strictest warnings, and run step by step."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spikeworks.deploy.c import Export
from spikeworks.kernels import use
from spikeworks.kernels.build import find_compiler
from spikeworks.layers import Readout, ReadoutConfig
from spikeworks.models import Network

STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99", "-ffreestanding", "-O1", "-ffp-contract=off")


def compiler() -> tuple[str, ...]:
    found = find_compiler()
    if found is None:
        pytest.skip("needs a C compiler")
    return found


class Device:
    """The library of an export; several streams have a state each."""

    def __init__(self, made: Export, folder: Path) -> None:
        self.made, self.name = made, made.sources.name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in made.files().items():
            (folder / file).write_text(text, encoding="utf-8")
        size = folder / f"{self.name}_size.c"
        size.write_text(
            f'#include "{self.name}.h"\nint {self.name}_bytes(void);\n'
            f"int {self.name}_bytes(void) {{ return (int)sizeof({self.name}_state); }}\n"
        )
        target = folder / f"{self.name}.so"
        sources = [str(folder / f"{self.name}.c"), str(size)]
        command = [*compiler(), *STRICT, "-fPIC", "-shared", "-o", str(target), *sources, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.library: Any = ctypes.CDLL(str(target))
        self.real = np.float32 if made.program.dtype == torch.float32 else np.float64

    def function(self, name: str) -> Any:
        return getattr(self.library, f"{self.name}_{name}")

    @property
    def bytes(self) -> int:
        return self.function("bytes")()

    def start(self) -> Any:
        """A state at rest, in memory that held something else."""
        state = ctypes.create_string_buffer(b"\xa5" * self.bytes, self.bytes)
        self.function("reset")(state)
        return state

    def step(self, state: Any, x: Tensor) -> Tensor | None:
        """``x [inputs]`` to ``[outputs]``; ``None`` where the network refuses to go on."""
        given = np.ascontiguousarray(x.numpy().astype(self.real))
        found = np.full(self.made.program.output.size, np.nan, self.real)
        as_pointer = ctypes.c_void_p
        refused = self.function("step")(state, given.ctypes.data_as(as_pointer), found.ctypes.data_as(as_pointer))
        return None if refused else torch.from_numpy(found)

    def run(self, x: Tensor) -> Tensor:
        """``x [T, inputs]`` from rest to the answer after each step ``[T, outputs]``."""
        state = self.start()
        answers = [self.step(state, one) for one in x]
        assert all(a is not None for a in answers)
        return torch.stack([a for a in answers if a is not None])


def running(network: Network, x: Tensor) -> Tensor:
    """The answer after each step of ``x [T, inputs]``, ``[T, outputs]``, by the definition of the neurons."""
    answers, state = [], None
    with torch.no_grad(), use("loop"):
        for one in x:
            y, state = network(one.reshape(1, 1, -1), state)
            answers.append(y.reshape(-1))
    return torch.stack(answers)


def showing_spikes(network: Network) -> tuple[Network, int]:
    """The same blocks, and at every step their last spikes before the answer; and how many these are."""
    linear = network.readout.linear
    size = linear.weight.shape[1]
    readout = Readout(size, size + len(linear.weight), ReadoutConfig(kind="every"))
    with torch.no_grad():
        readout.linear.weight.copy_(torch.cat([torch.eye(size), linear.weight]))
        readout.linear.bias.copy_(torch.cat([torch.zeros(size), linear.bias]))
    return Network(list(network.blocks), readout, inputs=network.inputs).to(linear.weight.dtype).eval(), size


def every_step(network: Network, x: Tensor) -> Tensor:
    """What a network with the readout ``every`` answers to ``x [T, inputs]``, by the definition of the neurons."""
    with torch.no_grad(), use("loop"):
        return network(x.unsqueeze(1))[0].squeeze(1)
