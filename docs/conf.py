"""Sphinx settings. The API pages are written from the package tree, so no module can be forgotten."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "src" / "spikeworks"
sys.path.insert(0, str(PACKAGE.parent))

import spikeworks

project = "spikeworks"
author = "The spikeworks contributors"
copyright = author
version = release = spikeworks.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]

autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"
# An attribute list such as "states, coefficients:" is read as a reference, and several classes have states.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"spikeworks {release}"

PARTS = [
    "core", "kernels", "neurons", "layers", "models", "optim", "learning",
    "data", "tasks", "measure", "arena", "recipes", "deploy", "cli",
]  # fmt: skip


def _summary(file: Path) -> str:
    """The first sentence of a module's docstring, read without importing it."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")


def write_api_pages(app: Sphinx) -> None:
    """One page a part, one section a module, below docs/api/."""
    folder = DOCS / "api"
    folder.mkdir(exist_ok=True)
    parts = [part for part in PARTS if (PACKAGE / part / "__init__.py").is_file()]
    for old in folder.glob("*.md"):
        if old.stem not in (*parts, "index"):
            old.unlink()
    for part in parts:
        lines = [f"# spikeworks.{part}", "", _summary(PACKAGE / part / "__init__.py")]
        for file in sorted((PACKAGE / part).rglob("*.py")):
            if file.name == "__init__.py":
                continue
            module = ".".join(["spikeworks", *file.relative_to(PACKAGE).with_suffix("").parts])
            lines += ["", f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}", "```"]
        (folder / f"{part}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"- [{part}]({part}.md): {_summary(PACKAGE / part / '__init__.py')}" for part in parts]
    toctree = ["```{toctree}", ":hidden:", "", *parts, "```"]
    (folder / "index.md").write_text("\n".join(["# API", "", *rows, "", *toctree]) + "\n", encoding="utf-8")


def write_neuron_entries(app: Sphinx) -> None:
    """Costs and docstrings of all registered neurons, which docs/neurons.md includes."""
    sys.path.insert(0, str(DOCS))
    import neuron_pages

    neuron_pages.write(DOCS / "api")


def indented_blocks_are_code(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """In a module's docstring, an indented block behind a blank line is code, not a quotation."""
    if what != "module":
        return
    for i in reversed(range(1, len(lines) - 1)):
        opens = not lines[i] and lines[i + 1][:1] == " " and lines[i - 1][:1].strip()
        if opens and not lines[i - 1].endswith("::"):
            lines[i : i + 1] = ["", "::", ""]


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_api_pages)
    app.connect("builder-inited", write_neuron_entries)
    app.connect("autodoc-process-docstring", indented_blocks_are_code)
