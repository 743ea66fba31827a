"""The code in the README and on the documentation's pages runs as it stands: all blocks of a page in turn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "contributing").glob("*.md")),
]


def python_blocks(text: str) -> str:
    """The Python code of a page, every line where the page has it, so that a traceback names the right line."""
    kept, inside = [], False
    for line in text.splitlines():
        fence = re.fullmatch(r"```(\w*)", line)
        if fence:
            inside = fence.group(1) == "python"
        kept.append(line if inside and not fence else "")
    return "\n".join(kept) + "\n"


def run(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Execute a page's code in a process of its own: it registers names that no other test shall see."""
    script = folder / f"{page.stem}.py"
    script.write_text(python_blocks(page.read_text(encoding="utf-8")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = (sys.executable, "-W", "error", str(script))
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "index"], ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    assert python_blocks(page.read_text(encoding="utf-8")).strip()
    done = run(page, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_wrong_block_is_noticed_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\none = 1\n```\n\n```\nno code\n```\n\n```python\nassert one == 2\n```\n")
    done = run(page, tmp_path)
    assert done.returncode == 1
    assert "line 12" in done.stderr and "assert one == 2" in done.stderr
