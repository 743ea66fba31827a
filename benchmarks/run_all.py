"""Run every benchmark in a process of its own; tables go to the screen and to ``out/<name>.md``.

    python benchmarks/run_all.py [--only layers pmsn] [options of the benchmarks, such as --rounds 3]

All know ``--rounds``, ``--threads`` and ``--out``; other options go with ``--only`` and one name. What trains for hours
runs only where ``--only`` names it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
NEEDS_GPU = ("gpu",)
TAKES_HOURS = ("probe",)


def run(command: list[str], report: Path) -> int:
    """Run a command, show what it prints and write it to ``report``; its exit status."""
    with (
        report.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as job,
    ):
        assert job.stdout is not None  # asked for
        for line in job.stdout:
            print(line, end="", flush=True)
            file.write(line)
    return job.returncode


def main() -> int:
    """The number of benchmarks that failed."""
    scripts = {file.stem.removeprefix("bench_"): file for file in sorted(HERE.glob("bench_*.py"))}
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    short = [name for name in scripts if name not in TAKES_HOURS]
    options.add_argument("--only", nargs="+", choices=scripts, default=short, help="these benchmarks alone")
    options.add_argument("--out", type=Path, default=OUT, help="folder for JSON and figures")
    given, passed_on = options.parse_known_args()
    if given.out != OUT:
        passed_on += ["--out", str(given.out)]
    given.out.mkdir(parents=True, exist_ok=True)
    before = {file: file.stat().st_mtime_ns for file in given.out.rglob("*")}
    failed = []
    for name in given.only:
        print(f"\n## {scripts[name].name}\n", flush=True)
        start = time.perf_counter()
        command = [sys.executable, "-u", str(scripts[name]), *passed_on]
        code = run(command, given.out / f"{name}.md")
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
        if code and name in NEEDS_GPU:
            print(f"{scripts[name].name} did not run; see its message above", flush=True)
        elif code:
            failed.append(name)
    written = [file for file in sorted(given.out.rglob("*")) if before.get(file) != file.stat().st_mtime_ns]
    print("\nWritten:")
    for file in written:
        print(f"  {os.path.relpath(file)}")
    if failed:
        print(f"\nFailed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
