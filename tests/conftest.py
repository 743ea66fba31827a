"""What every test may rely on: real data where it lies, one thread a process, a kernel cache of its own."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Two test processes share two cores; more threads than that only wait for each other. Set before
# torch is imported, and inherited by every subprocess that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

_CACHE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """One kernel cache for the whole run: shared by its processes, empty at the start, gone at the end."""
    torch.set_num_threads(1)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background jobs of a shell
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # workers inherit the environment of the process that starts them
        config.stash[_CACHE] = tempfile.mkdtemp(prefix="spikeworks-kernels-")
        os.environ["SPIKEWORKS_CACHE"] = config.stash[_CACHE]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the kernel cache that this run made."""
    if _CACHE in config.stash:
        shutil.rmtree(config.stash[_CACHE], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def find_data_root(environment: Mapping[str, str]) -> Path:
    """The folder of real data; skips where none is named and fails where the named one is missing."""
    named = environment.get("SPIKEWORKS_DATA")
    if not named:
        pytest.skip("needs real data: set SPIKEWORKS_DATA to a folder that holds mnist/, ptb/, fsdd/")
    if not Path(named).is_dir():
        pytest.fail(f"SPIKEWORKS_DATA names no folder: {named}", pytrace=False)
    return Path(named)


def find_data_set(root: Path, name: str) -> Path:
    """The folder of one data set below ``root``; skips where it is absent."""
    if not (root / name).is_dir():
        pytest.skip(f"needs the data set '{name}': no folder {root / name}")
    return root / name


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data that SPIKEWORKS_DATA names."""
    return find_data_root(os.environ)


@pytest.fixture(scope="session")
def data_set(data_root: Path) -> Callable[[str], Path]:
    """``data_set("mnist")`` is the folder of that set, or skips the test and says so."""
    return lambda name: find_data_set(data_root, name)


@pytest.fixture(autouse=True)
def single_thread() -> None:
    """One torch thread at the start of each test, whatever the test before asked for."""
    torch.set_num_threads(1)


POISONED = ("kernels", "laws", "layers", "models")
"""Folders of tests in which uninitialised memory is NaN."""


@pytest.fixture(autouse=True)
def poisoned(request: pytest.FixtureRequest) -> Iterator[None]:
    """What spikeworks allocates without filling it is NaN, so that an element that nobody writes is loud."""
    if request.path.parent.name not in POISONED:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
            patch.setattr(owner, name, _poisoning(getattr(owner, name)))
        yield


def _poisoning(allocate: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(allocate)
    def wrapper(*arguments: Any, **options: Any) -> torch.Tensor:
        made = allocate(*arguments, **options)
        if torch.compiler.is_compiling() or type(made) is not torch.Tensor or made.device.type != "cpu":
            return made
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("spikeworks."):  # all bits set is NaN in every floating type, without a thread of torch
            ctypes.memset(made.untyped_storage().data_ptr(), 0xFF, made.untyped_storage().nbytes())
        return made

    return wrapper
