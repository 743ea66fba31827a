"""The cache of compiled kernels survives whatever happens to it."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys

import pytest
import torch

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, KernelError
from spikeworks.kernels import build
from spikeworks.neurons import LIF


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache and no memory of earlier builds."""
    monkeypatch.setenv("SPIKEWORKS_CACHE", str(tmp_path / "cache"))
    caches = (build.find_compiler, build.working_flags, build.compiler_version, build._writable, build._private)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path / "cache" / "kernels"
    for cached in caches:
        cached.cache_clear()


def built(folder):
    """Libraries in the cache, the compiler's trial left out."""
    trial = build._name(build._PROBE, build.find_compiler(), build.working_flags())
    return [path for path in folder.iterdir() if path.name != trial]


SOURCE = "int answer(void) { return 42; }\n"


def test_a_kernel_is_built_once(fresh, monkeypatch):
    assert build.load(SOURCE).answer() == 42
    (library,) = built(fresh)
    written = library.stat().st_mtime_ns
    monkeypatch.setattr(build, "_compile", lambda *a: pytest.fail("compiled again"))
    assert build.load(SOURCE).answer() == 42
    assert library.stat().st_mtime_ns == written
    assert built(fresh) == [library]


def test_denormal_numbers_survive_a_loaded_kernel(fresh):
    build.load(SOURCE)
    x = torch.full((4,), 2.0**-140)
    y, _ = LIF(4)(x.reshape(1, 1, 4))
    assert y.sum() == 0
    assert torch.equal(x * 0.5, torch.full((4,), 2.0**-141)) and (x * 0.5 > 0).all()


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None], ids=["empty", "short", "cut"])
def test_a_damaged_file_is_built_again(fresh, damage):
    build.load(SOURCE)
    (library,) = built(fresh)
    data = library.read_bytes()
    library.unlink()  # a loaded library must not be written over
    library.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert build.load(SOURCE).answer() == 42
    assert library.read_bytes() == data


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_replaced(fresh):
    fresh.mkdir(parents=True)
    fresh.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert build.load(SOURCE).answer() == 42
    assert list(fresh.iterdir()) == []


def test_a_cache_that_is_no_folder_is_replaced(fresh, caplog):
    fresh.parent.mkdir(parents=True)
    fresh.write_text("in the way")
    assert build.load(SOURCE).answer() == 42
    assert "cannot be written" in caplog.text


def _load_in_child(barrier, results):
    barrier.wait()
    results.put(build.load(SOURCE).answer())


def test_processes_that_build_at_once_agree(fresh):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    children = [context.Process(target=_load_in_child, args=(barrier, results)) for _ in range(3)]
    for child in children:
        child.start()
    assert [results.get(timeout=30) for _ in children] == [42, 42, 42]
    for child in children:
        child.join()
    assert len(built(fresh)) == 1


def test_the_compiler_s_complaint_is_shown(fresh):
    with pytest.raises(KernelError, match="(?s)rejected a kernel:.*error"):
        build.load("int answer(void) { return undeclared; }\n")
    assert built(fresh) == []


def test_without_a_compiler_torch_runs_the_traced_step_with_one_notice(tmp_path):
    program = (
        "import torch, logging; logging.basicConfig()\n"
        "from spikeworks.neurons import LIF, PMSN\n"
        "n = LIF(3)\n"
        "for _ in range(2): n(torch.rand(4, 2, 3))\n"
        "print(n.backend_report()[0], PMSN(3).backend_report()[0])\n"
    )
    environment = {**os.environ, "PATH": str(tmp_path), "SPIKEWORKS_CACHE": str(tmp_path)}
    environment.pop("CC", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "parallel"]
    assert done.stderr.count("no C compiler was found") == 1
    assert "pip install ziglang" in done.stderr


def test_asking_for_c_without_a_compiler_is_an_error(fresh, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CC", raising=False)
    with kernels.use("c"), pytest.raises(ConfigError, match="C kernel was asked for, but no C compiler"):
        LIF(3)(torch.rand(4, 2, 3))


def test_one_thread_and_many_give_the_same_bits():
    x = torch.randn(50, 64, 100, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            signal = x.clone().requires_grad_()
            neuron = LIF(100, decay=0.8, trainable=("decay",), per_channel=("decay",))
            y, _ = neuron(signal)
            (y * x).sum().backward()
            results.append((y.detach(), signal.grad, neuron.stored_decay.grad))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def _threaded(results=None):
    x = torch.rand(64, 8, 256, generator=torch.Generator().manual_seed(0))
    last = LIF(256)(x)[0][-1, 0, :9].tolist()  # few values: torch's own threads do not survive a fork
    return last if results is None else results.put(last)


def test_a_forked_child_makes_its_own_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        expected = _threaded()
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=_threaded, args=(results,))
        child.start()
        assert results.get(timeout=20) == expected
        child.join()
    finally:
        torch.set_num_threads(before)


def test_second_derivatives_are_refused():
    x = torch.randn(5, 2, 3, requires_grad=True)
    y, _ = LIF(3)(x)
    weight = torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad((weight * y).sum(), x, create_graph=True)
    with pytest.raises(KernelError, match="first derivatives only"):
        gradient.sum().backward()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_does_not_know_this_processor_is_used_without(fresh, tmp_path, monkeypatch):
    compiler = build.find_compiler()[0]
    picky = f'case "$*" in *-march*) echo "unknown -march" >&2; exit 1;; esac\nexec {compiler} "$@"'
    monkeypatch.setenv("CC", script(tmp_path / "picky", picky))
    build.find_compiler.cache_clear()
    assert build.working_flags() == (*build.FLAGS, *build.RELAXED)
    assert build.load(SOURCE).answer() == 42


def test_a_compiler_that_builds_nothing_is_named_and_torch_runs(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", script(tmp_path / "broken", 'echo "error: no headers" >&2\nexit 1'))
    build.find_compiler.cache_clear()
    neuron = LIF(3)
    backend, reason = neuron.backend_report()
    assert backend == "torch" and "broken cannot build a library" in reason and "no headers" in reason
    assert neuron(torch.rand(4, 2, 3))[0].shape == (4, 2, 3)
    with pytest.raises(KernelError, match="Cannot build a kernel: the compiler .*broken"):
        build.load(SOURCE)


def test_a_full_cache_is_left_for_a_private_folder(fresh, monkeypatch, caplog):
    build.working_flags()
    real = build._compile

    def full(command, flags, source, library):
        if library.parent == fresh:
            raise OSError(28, "No space left on device")
        real(command, flags, source, library)

    monkeypatch.setattr(build, "_compile", full)
    assert build.load(SOURCE).answer() == 42
    assert "cannot take another kernel" in caplog.text
