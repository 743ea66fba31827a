"""Compile emitted C once and keep the library: found by content, written atomically.

The cache lies in ``SPIKEWORKS_CACHE`` or the user's cache folder. A library is filed under the
hash of its source, compiler, flags and processor; a damaged file is built again; a folder that
cannot be written is replaced by a private temporary one.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import importlib.util
import logging
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..core.errors import KernelError

log = logging.getLogger(__name__)

NATIVE = ("-march=native",)
WIDE = ("-mprefer-vector-width=512",)
"""Compilers use half of a 512-bit vector unit unless told."""
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-ffp-contract=off")
"""Contraction stays off so that kernels round as the Python loop does; never -ffast-math,
whose start-up code would flush denormals for the whole process."""
RELAXED = ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros")
"""What may be relaxed without changing a finite result; without it comparisons do not vectorise."""

NO_COMPILER = (
    "no C compiler was found (looked for $CC, cc, gcc, clang and the package ziglang)",
    "install one, for instance with 'pip install ziglang', or set CC",
)


@functools.lru_cache(maxsize=1)
def find_compiler() -> tuple[str, ...] | None:
    """The command of a C compiler, or ``None``."""
    if named := os.environ.get("CC"):
        command = tuple(shlex.split(named))
        if command and shutil.which(command[0]):
            return command
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return (path,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    return None


@functools.lru_cache(maxsize=1)
def working_flags() -> tuple[str, ...] | str:
    """The flags with which the compiler builds a small library, or why it builds none.

    Not every compiler knows every flag, so the ones for this very processor may be left out.
    """
    command = find_compiler()
    if command is None:
        return NO_COMPILER[0]
    complaint, plain = "", (*FLAGS, *RELAXED)
    for flags in ((*NATIVE, *WIDE, *plain), (*NATIVE, *plain), plain, FLAGS):
        try:
            _load(_PROBE, command, flags)
            return flags
        except (KernelError, OSError) as error:
            complaint = complaint or str(error)
    return f"the compiler {command[0]} cannot build a library: {complaint}"


_PROBE = "#include <math.h>\n#include <stdint.h>\ndouble probe(double x) { return exp(x); }\n"


@functools.lru_cache(maxsize=1)
def compiler_version() -> str:
    """First line of the compiler's own version text; empty where there is none."""
    command = find_compiler()
    if command is None:
        return ""
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].strip()


@functools.lru_cache(maxsize=1)
def processor() -> str:
    """What distinguishes this processor for ``-march=native``: its name and features."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    found = {line.split(":")[0].strip(): line.split(":", 1)[-1].strip() for line in lines if line.startswith(wanted)}
    return f"{platform.machine()} " + " ".join(found[key] for key in sorted(found))


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    if named := os.environ.get("SPIKEWORKS_CACHE"):
        return Path(named) / "kernels"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spikeworks" / "kernels"


def load(source: str) -> ctypes.CDLL:
    """The library compiled from ``source``, from the cache where it is there.

    Raises:
        KernelError: there is no compiler, or it rejects the source.
    """
    flags = working_flags()
    command = find_compiler()
    if command is None or isinstance(flags, str):
        raise KernelError(f"Cannot build a kernel: {flags}.", NO_COMPILER[1])
    return _load(source, command, flags)


def _load(source: str, command: tuple[str, ...], flags: tuple[str, ...]) -> ctypes.CDLL:
    library = _writable(cache_folder()) / _name(source, command, flags)
    if library.exists():
        try:
            return _open(library)
        except OSError as error:
            log.warning("rebuilding a damaged kernel in the cache (%s)", error)
    try:
        _compile(command, flags, source, library)
    except OSError as error:  # a full disk: the folder for temporary files may lie on another
        log.warning("kernel cache %s cannot take another kernel (%s)", library.parent, error)
        library = _private() / library.name
        _compile(command, flags, source, library)
    return _open(library)


def _name(source: str, command: tuple[str, ...], flags: tuple[str, ...]) -> str:
    identity = "\0".join([source, compiler_version(), *command, *flags, processor()])
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.so"


def _open(library: Path) -> ctypes.CDLL:
    # an empty or cut file can crash the dynamic loader rather than fail, hence the trailer
    data = library.read_bytes()
    if len(data) < 40 or hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise OSError(f"{library.name} is incomplete")
    return ctypes.CDLL(str(library))


def _compile(command: tuple[str, ...], flags: tuple[str, ...], source: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="build-", dir=library.parent) as work:
        text, built = Path(work) / "kernel.c", Path(work) / "kernel.so"
        text.write_text(source, encoding="utf-8")
        arguments = [*command, *flags, "-o", str(built), str(text), "-lm"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            first = "\n".join(done.stderr.strip().splitlines()[:5])
            if "No space left" in done.stderr:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise KernelError(f"The compiler {command[0]} rejected a kernel:\n{first}")
        data = built.read_bytes()
        # loaders ignore what follows the image; the digest tells a whole file from a cut one
        built.write_bytes(data + hashlib.sha256(data).digest())
        built.replace(library)


@functools.lru_cache(maxsize=8)
def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning("kernel cache %s cannot be written (%s); kernels are kept for this process", folder, error)
        return _private()


@functools.lru_cache(maxsize=1)
def _private() -> Path:
    return Path(tempfile.mkdtemp(prefix="spikeworks-kernels-"))
