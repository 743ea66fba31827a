"""The page on surrogates shows what the code has."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from spikeworks.neurons import SURROGATES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plot_surrogates", DOCS / "plots" / "surrogates.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_that_of_the_code() -> None:
    page = (DOCS / "surrogates.md").read_text(encoding="utf-8")
    assert script().with_table(page) == page, "run: python docs/plots/surrogates.py"
    assert all(f"| `{kind}` |" in page for kind in SURROGATES.names())


def test_the_figure_has_a_panel_for_every_form() -> None:
    drawn = script().figure()
    kept = (DOCS / "images" / "surrogates.svg").read_text(encoding="utf-8")
    for kind in SURROGATES.names():
        assert f">{kind}<" in drawn and f">{kind}<" in kept, "run: python docs/plots/surrogates.py"
