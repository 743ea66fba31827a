"""Highest memory of one call, in a process of its own: what the operating system counts.

``peak_bytes("module", "function", arguments)`` runs ``module.function(*arguments)``, which returns
a callable, in a fresh Python and tells by how much resident memory rises during its second
call. Pages are given back between the calls, so that the second maps all it needs.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(module: str, function: str, *arguments: Any) -> int | None:
    """Bytes above those held before the call; ``None`` where the system does not tell."""
    if not CLEAR.exists():
        return None
    command = [sys.executable, __file__, json.dumps([module, function, arguments])]
    # the kernels' habit to keep pages would hide what a call needs
    environment = {**os.environ, "SPIKEWORKS_PAGES": "system"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"measuring the peak of {function}{arguments} failed:\n{done.stderr.strip()}")
    return int(done.stdout.split()[-1])


def main() -> None:
    """Called by :func:`peak_bytes` in the new process."""
    module, function, arguments = json.loads(sys.argv[1])
    run = getattr(importlib.import_module(module), function)(*arguments)
    run()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    CLEAR.write_text("5")  # the highest mark starts again from here
    before = _held("VmRSS")
    run()
    print(_held("VmHWM") - before)


def _held(field: str) -> int:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
