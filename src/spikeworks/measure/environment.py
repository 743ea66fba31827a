"""What a number was made with: machine, versions, commit and command, as plain data.

``environment()["machine"]["cpu"]`` names the processor.
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

_GIT_SECONDS = 10


def environment(command: Sequence[str] | None = None, directory: str | Path = ".") -> dict[str, Any]:
    """Plain data for ``environment.json``.

    Args:
        command: the words of the command; by default those of this process.
        directory: where to look for a git commit.

    Returns:
        ``machine`` (architecture, cpu, cores, memory_bytes, os, devices), ``python``,
        ``torch``, ``threads``, ``spikeworks``, ``commit`` (``None`` outside a repository),
        ``modified`` (tracked files differ from the commit), ``command``, ``started`` (UTC).
        The host's name and the user's are left out: reports are passed on.
    """
    from .. import __version__

    commit = _git(directory, "rev-parse", "HEAD")
    return {
        "machine": machine(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "spikeworks": __version__,
        "commit": commit,
        "modified": None if commit is None else bool(_git(directory, "status", "--porcelain", "--untracked-files=no")),
        "command": _command(sys.argv if command is None else command),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def machine() -> dict[str, Any]:
    """Architecture, processor, usable cores, memory, operating system and accelerators."""
    return {
        "architecture": platform.machine(),
        "cpu": _cpu_name(),
        "cores": _cores(),
        "memory_bytes": _memory_bytes(),
        "os": platform.platform(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _cores() -> int | None:
    """Cores that this process may use, which a container may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_name() -> str | None:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model"):
                return value.strip()
    if platform.system() == "Darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    return platform.processor() or None


def _memory_bytes() -> int | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _command(words: Sequence[str]) -> str:
    """One line that can be pasted into a shell; the program without its folder."""
    if not words:
        return ""
    program = Path(words[0]).name
    # ``python -m spikeworks`` leaves the path of __main__.py as the program.
    start = ["python", "-m", Path(words[0]).parent.name] if program == "__main__.py" else [program]
    return shlex.join([*start, *words[1:]])


def _git(directory: str | Path, *words: str) -> str | None:
    return _output(["git", "-C", str(directory), *words])


def _output(command: list[str]) -> str | None:
    """What a program prints; ``None`` where it is missing, slow, or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
