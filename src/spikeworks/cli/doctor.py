"""``doctor`` and ``data``: what this machine offers, and which files are there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from ..core.errors import DataError
from .leaves import Values

_FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def doctor(args: argparse.Namespace, dotted: Values) -> int:
    """Facts in sections."""
    facts = [("machine", _machine()), ("kernels", _kernels()), ("data", _data(args.data))]
    for title, lines in facts:
        print(title)
        for name, value in lines:
            print(f"  {name:<24} {value}")
    return 0


def _machine() -> Iterator[tuple[str, str]]:
    from ..measure import environment

    found = environment()
    machine = found["machine"]
    yield "processor", f"{machine['cpu'] or machine['architecture']}, {machine['cores']} cores usable"
    yield "features", " ".join(_features()) or "unknown"
    if machine["memory_bytes"]:
        yield "memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB"
    yield "system", machine["os"]
    yield "GPU", ", ".join(machine["devices"]) or "none that torch can use"
    yield "python", found["python"]
    yield "torch", f"{found['torch']}, {found['threads']} threads"
    yield "spikeworks", found["spikeworks"] + (f", commit {found['commit'][:12]}" if found["commit"] else "")


def _features() -> list[str]:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return []
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return [feature for feature in _FEATURES if feature in value.split()]
    return []


def _kernels() -> Iterator[tuple[str, str]]:
    import torch

    from ..kernels import build
    from ..neurons import NEURONS

    compiler = build.find_compiler()
    flags = build.working_flags()
    if compiler is None or isinstance(flags, str):
        yield "compiler", f"{flags}; {build.NO_COMPILER[1]}"
    else:
        yield "compiler", f"{' '.join(compiler)} ({build.compiler_version()})"
        yield "flags", " ".join(flags)
    cache = build.cache_folder()
    libraries = list(cache.glob("*.so")) if cache.is_dir() else []
    yield "cache", f"{cache}, {len(libraries)} compiled"
    yield "triton", _triton()
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    for name in NEURONS:
        for device in devices:
            backend, reason = NEURONS.get(name)(1).backend_report(device)
            yield f"neuron {name}{' on GPU' if device == 'cuda' else ''}", f"{backend}: {reason}"


def _triton() -> str:
    import torch

    from ..kernels.run_triton import obstacle_to_triton

    try:
        version = metadata.version("triton")
    except metadata.PackageNotFoundError:
        return "not installed; a GPU runs neurons as torch operations without it"
    if not torch.cuda.is_available():
        return f"{version}, and no GPU that torch can use"
    obstacle = obstacle_to_triton(torch.device("cuda"), torch.float32, None)
    return version if obstacle is None else f"{version}, not used: {obstacle}"


def _data(given: str | None) -> Iterator[tuple[str, str]]:
    from ..data.files import ENVIRONMENT, data_root
    from ..data.trees import all_files
    from ..tasks import TASKS

    root = data_root(given)
    yield "folder", str(root) if root else f"none given; use --data DIR or set {ENVIRONMENT}"
    for name in TASKS:
        files = TASKS.get(name).info.files
        if files is None:
            yield f"task {name}", "needs no files" if name != "csv" else "reads your own file"
            continue
        if root is None:
            yield f"task {name}", f"wants {files.name}/: {files.layout}"
            continue
        try:
            yield f"task {name}", f"found in {_folder(all_files(files, root, verify=False))}"
        except DataError as error:
            yield f"task {name}", str(error).split("\n")[0]


def get_data(args: argparse.Namespace, dotted: Values) -> int:
    """Find the files of a task, check them, download them where they have a public address, or make them."""
    from ..data.download import fetch
    from ..data.files import data_root
    from ..data.trees import all_files
    from ..tasks import TASKS

    if args.clean or args.noise:
        from .synthesis import synthesize_clips

        return synthesize_clips(args)
    files = TASKS.get(args.task).info.files
    if files is None:
        print(f"Task {args.task} needs no files." if args.task != "csv" else "Task csv reads the file after --csv.")
        return 0
    root = data_root(args.data)
    try:
        found = all_files(files, root)
    except DataError:
        if files.source is None or root is None:
            raise
        print(f"{files.title}: fetched and checked, in {fetch(files, root)}")
        return 0
    print(f"{files.title}: {len(found)} files found and checked, in {_folder(found)}")
    return 0


def _folder(paths: Sequence[Path]) -> str:
    return os.path.commonpath([path.parent for path in paths])
