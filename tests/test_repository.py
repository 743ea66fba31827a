"""The repository's own files agree with each other and with the code."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType

import pytest

import spikeworks

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("[a-z]*.md"))]
PINS = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def tracked(pattern: str) -> list[Path]:
    """Files below the folders that belong to the project."""
    folders = ("src", "tests", "docs", "benchmarks")
    generated = ("docs/_build", "docs/api")
    files = [file for folder in folders for file in (ROOT / folder).rglob(pattern) if file.is_file()]
    return [file for file in files if not file.relative_to(ROOT).as_posix().startswith(generated)]


def wanted() -> list[str]:
    """Names of all requirements, extras included."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [re.split(r"[<>=!~ \[]", line)[0] for line in lines]


@pytest.mark.parametrize("name", spikeworks.__all__)
def test_public_name_loads_and_is_listed(name: str) -> None:
    assert getattr(spikeworks, name) is not None
    assert name in dir(spikeworks)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'spikeworks' has no attribute 'Nework'"):
        _ = spikeworks.Nework


def test_lazy_names_are_what_type_checkers_see() -> None:
    tree = ast.parse(Path(spikeworks.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    seen = {name.name: node.module for node in imports for name in node.names}
    assert seen == spikeworks._HOME
    assert {*seen, "__version__"} == set(spikeworks.__all__)


def test_every_requirement_has_one_exact_pin() -> None:
    pins = [line.split("==")[0] for line in PINS]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in PINS)
    assert PINS[0].startswith("torch==")
    assert len(pins) == len(set(pins))
    assert set(wanted()) <= set(pins)


def test_what_an_installed_package_requires_is_pinned_too() -> None:
    pins = {line.split("==")[0].replace("_", "-") for line in PINS}
    for name in ("tyro", "rich", "scikit-learn", "matplotlib", "jinja2", "pytest", "hypothesis"):
        for line in requires(name) or []:
            if ";" not in line:
                below = re.split(r"[<>=!~ (\[]", line)[0].lower().replace("_", "-")
                assert below in pins, f"{name} requires {below}, which constraints.txt does not pin"


def test_everything_in_the_package_is_shipped() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["spikeworks"]
    package = ROOT / "src" / "spikeworks"
    for file in package.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(package).parts)  # a tool's cache
        if file.is_file() and not hidden and file.suffix not in (".py", ".pyc"):
            assert any(file in package.glob(pattern) for pattern in patterns), f"{file} is not in package-data"
    for file in package.rglob("*.py"):
        assert (file.parent / "__init__.py").is_file(), f"{file.parent} is no package: __init__.py is missing"


def test_ci_runs_lint_before_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").split("\n\n")[-1].split("\n")[:3] == [
        "make lint",
        "make test-triton",
        "make test",
    ]
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    "target", ["quickstart", "test", "test-triton", "test-slow", "lint", "fmt", "bench", "docs", "clean"]
)
def test_make_knows_the_target(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert re.search(rf"^make {target} +\w", listed, re.MULTILINE)


def test_changelog_has_a_place_for_changed_results() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.split("\n## ")[1]
    assert unreleased.startswith("Unreleased")
    assert "### Results changed" in unreleased


def test_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not link.startswith("api/"):  # written by the documentation build
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_no_file_names_a_folder_of_one_machine() -> None:
    somebody = re.compile(r"(?<![\w./-])/(" + "|".join(["home", "root", "Users"]) + ")/")
    pages = [ROOT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md", "pyproject.toml", "constraints.txt")]
    for file in [*tracked("*.py"), *tracked("*.md"), *tracked("*.j2"), *pages]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not somebody.search(line), f"{file}:{number}"


class TestRealData:
    """The fixtures that find real data say what they miss."""

    @pytest.fixture
    def conftest(self, request: pytest.FixtureRequest) -> ModuleType:
        return request.config.pluginmanager.get_plugin(str(ROOT / "tests" / "conftest.py"))

    def test_unset_skips(self, conftest: ModuleType) -> None:
        with pytest.raises(pytest.skip.Exception, match="set SPIKEWORKS_DATA to a folder that holds mnist/, ptb/"):
            conftest.find_data_root({})

    def test_a_missing_folder_fails(self, conftest: ModuleType, tmp_path: Path) -> None:
        with pytest.raises(pytest.fail.Exception, match=r"SPIKEWORKS_DATA names no folder: .*nowhere"):
            conftest.find_data_root({"SPIKEWORKS_DATA": str(tmp_path / "nowhere")})

    def test_a_missing_set_skips_by_name(self, conftest: ModuleType, tmp_path: Path) -> None:
        (tmp_path / "ptb").mkdir()
        assert conftest.find_data_set(tmp_path, "ptb") == tmp_path / "ptb"
        with pytest.raises(pytest.skip.Exception, match="needs the data set 'mnist'"):
            conftest.find_data_set(tmp_path, "mnist")
