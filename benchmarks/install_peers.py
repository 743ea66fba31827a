"""Fill the environment that runs this script with the libraries of ``requirements.txt``.

    .venv-bench/bin/python benchmarks/install_peers.py .venv [LIST]

LIST is another file in place of ``requirements.txt``. The packages of the environment named are
made visible first, so that torch is there once. Exits with 1 where a library could not be
installed; the others are in place then.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def see(environment: Path) -> None:
    """Make the packages of another environment of the same Python visible in this one."""
    folders = sorted(environment.resolve().glob("lib/python*/site-packages"))
    link = Path(sysconfig.get_path("purelib")) / "spikeworks-environment.pth"
    # addsitedir also reads that folder's own .pth files, among them the one of an editable install
    link.write_text("".join(f"import site; site.addsitedir({str(f)!r})\n" for f in folders), encoding="utf-8")


def install(*requirements: str) -> bool:
    """Whether pip could install these, without what they depend on."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--quiet"]
    done = subprocess.run([*command, "install", "--no-deps", "--retries", "1", *requirements], check=False)
    return done.returncode == 0


def main() -> int:
    """Install the whole list, or else what can be had of it."""
    see(Path(sys.argv[1]))
    listed = Path(sys.argv[2]) if len(sys.argv) > 2 else REQUIREMENTS
    lines = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if install(*wanted):
        return 0
    missing = [line for line in wanted if not install(line)]
    print("not installed:", ", ".join(missing))
    return 1


if __name__ == "__main__":
    sys.exit(main())
