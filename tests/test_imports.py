"""Lower parts never import higher ones, and ``import spikeworks`` is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "spikeworks"

# Each part and those directly below it; what lies below those is allowed as well.
BELOW: dict[str, set[str]] = {
    "core": set(),
    "kernels": {"core"},
    "neurons": {"kernels"},
    "layers": {"neurons"},
    "models": {"layers"},
    "optim": {"core"},
    "learning": {"models", "optim", "measure"},
    "data": {"core"},
    "measure": {"core"},
    "tasks": {"data", "measure"},
    "arena": {"learning", "tasks"},
    "recipes": {"arena"},
    "deploy": {"models", "measure"},
    "cli": {"recipes", "deploy"},
}
HEAVY = ("sklearn", "scipy", "matplotlib", "jinja2", "tyro", "rich", "pandas")


def allowed(part: str) -> set[str]:
    """The part itself and everything below it."""
    return {part}.union(*(allowed(below) for below in BELOW[part]))


def imported_modules(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import in ``source``, wherever it stands."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            stem = ".".join(base + ([node.module] if node.module else []))
            for name in node.names:
                yield node.lineno, f"{stem}.{name.name}"
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def violations(root: Path) -> list[str]:
    """Every import below ``root``, a package folder called spikeworks, that points upwards."""
    found = []
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if parts in (("__init__",), ("__main__",)):  # the front door shows every part
            continue
        is_package = parts[-1] == "__init__"
        module = ".".join(["spikeworks", *(parts[:-1] if is_package else parts)])
        if parts[0] not in BELOW:
            found.append(f"{file.relative_to(root)}: the part '{parts[0]}' is not in the table of test_imports.py")
            continue
        for line, name in imported_modules(file.read_text(encoding="utf-8"), module, is_package):
            head, _, rest = name.partition(".")
            target = rest.split(".")[0]
            if head != "spikeworks" or target in {*allowed(parts[0]), "__version__"}:
                continue
            wrong = f"must not import {target}" if target in BELOW else "must import from the part that defines a name"
            found.append(f"{file.relative_to(root)}:{line}: {parts[0]} {wrong}")
    return found


def test_lower_parts_never_import_higher_ones() -> None:
    assert violations(PACKAGE) == []


def test_every_part_of_the_package_is_in_the_table() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert "core" in folders and folders <= BELOW.keys()


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("core/a.py", "from spikeworks.neurons import Neuron", "core must not import neurons"),
        ("core/a.py", "import spikeworks.arena.run as run", "core must not import arena"),
        ("core/a.py", "from spikeworks import models", "core must not import models"),
        ("kernels/a.py", "from ..neurons.lif import LIF", "kernels must not import neurons"),
        ("kernels/deep/a.py", "from ... import layers", "kernels must not import layers"),
        ("data/__init__.py", "from ..tasks import Task", "data must not import tasks"),
        ("measure/a.py", "def f():\n    from ..models import Network", "measure must not import models"),
        ("measure/a.py", "import_module('spikeworks.tasks')", "measure must not import tasks"),
        ("tasks/a.py", "from ..models import Network", "tasks must not import models"),
        ("learning/a.py", "from ..tasks.base import Task", "learning must not import tasks"),
        ("learning/a.py", "from spikeworks.deploy import values", "learning must not import deploy"),
        ("arena/a.py", "from ..deploy.stream import Stream", "arena must not import deploy"),
        ("deploy/a.py", "from ..arena import Run", "deploy must not import arena"),
        ("optim/a.py", "from ..models import Network", "optim must not import models"),
        ("core/a.py", "from spikeworks import Network", "must import from the part"),
        ("arena/a.py", "import spikeworks", "must import from the part"),
        ("helpers/a.py", "", "the part 'helpers' is not in the table"),
        ("utils.py", "", "the part 'utils' is not in the table"),
    ],
)
def test_the_checker_sees_a_wrong_import(tmp_path: Path, file: str, source: str, expected: str) -> None:
    path = tmp_path / "spikeworks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    (found,) = violations(tmp_path / "spikeworks")
    assert expected in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/a.py", "from .errors import DataError\nimport torch.nn"),
        ("neurons/__init__.py", "from .lif import LIF\nfrom ..core.registry import Registry"),
        ("arena/a.py", "from .. import __version__\nfrom ..models import stack\nfrom spikeworks.measure import energy"),
        ("cli/a.py", "from ..deploy import export\nfrom ..arena import Run"),
        ("__main__.py", "from spikeworks.cli.main import main"),
    ],
)
def test_the_checker_accepts_a_right_import(tmp_path: Path, file: str, source: str) -> None:
    path = tmp_path / "spikeworks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    assert violations(tmp_path / "spikeworks") == []


def test_import_spikeworks_is_light() -> None:
    code = f"import sys, spikeworks; dir(spikeworks); print(*[name for name in {HEAVY!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert run.stdout.split() == []
