"""The page on neurons has a line and an entry for every registered one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from spikeworks.neurons import NEURONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("neuron_pages", DOCS / "neuron_pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_parts_name_every_neuron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pages()
    kinds = ("states", "per_neuron", "per_layer", *module.COUNTED)
    monkeypatch.setattr(module, "cost_in_words", lambda config: dict.fromkeys(kinds, "7"))  # has a test of its own
    module.write(tmp_path)
    table = (tmp_path / "neurons_costs.inc").read_text(encoding="utf-8")
    entries = (tmp_path / "neurons_by_name.inc").read_text(encoding="utf-8")
    assert {len(line.split(" | ")) for line in table.splitlines()[:1] + table.splitlines()[2:]} == {9}
    for name in NEURONS.names():
        assert f"| [{name}](#{name}) | 7 | 7 + 7 a layer | 7 |" in table
        entry = entries.split(f"({name})=\n")[1].split("\n(")[0]
        cls = NEURONS.get(name)
        assert f".. autoclass:: spikeworks.neurons.{cls.__name__}\n" in entry
        assert "- states: " in entry and "- source: " in entry
        assert all(f"- {p}: " in entry for p in (*cls.parameters_declared, *cls.options_declared))


def test_the_page_includes_them() -> None:
    page = (DOCS / "neurons.md").read_text(encoding="utf-8")
    assert "```{include} api/neurons_costs.inc" in page and "```{include} api/neurons_by_name.inc" in page


def test_a_count_that_changes_shows_in_the_table() -> None:
    line = next(line for line in pages().costs(("clif",)).splitlines() if "clif" in line)
    assert line.startswith("| [clif](#clif) | 2 | 0 | 3 | 6 | 1 | 2 | 2 + 2 special | (1 - decay) v")
