"""The tables and entries of the page on neurons, written from the registry when the documentation is built."""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from pathlib import Path

import torch

from spikeworks.neurons import NEURONS, config_for
from spikeworks.neurons.costs import cost_in_words
from spikeworks.neurons.describe import conventions, published_in

TABLE = Path(__file__).resolve().parents[1] / "tests" / "neurons" / "operations_table.py"
COUNTED = ("multiplications", "additions", "comparisons", "specials")


def costs(names: Iterable[str] = NEURONS.names()) -> str:
    """One line a neuron, as a Markdown table."""
    published = runpy.run_path(str(TABLE))["TABLE"]
    head = ("neuron", "states", "trained", "×", "+", "≥", "special", "published", "why it differs")
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * 6 + "|---|---|"]
    for name in names:
        words = cost_in_words(config_for(name))
        kinds = (("per_neuron", ""), ("per_layer", " a layer"))
        trained = " + ".join(words[kind] + unit for kind, unit in kinds if words[kind] != "0") or "0"
        row = published.get(name)
        told = (row.published or "–", row.reason) if row else ("–", "")
        cells = (f"[{name}](#{name})", words["states"], trained, *(words[kind] for kind in COUNTED), *told)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def entry(name: str) -> str:
    """A neuron's docstring and the conventions of its default configuration."""
    cls = NEURONS.get(name)
    # large enough that values drawn at random show their range
    described = conventions(config_for(name).build(256, torch.Generator().manual_seed(0)))
    lines = [f"({name})=", f"### {name}", "", "```{eval-rst}", f".. autoclass:: spikeworks.neurons.{cls.__name__}"]
    lines += ["   :no-members:", "   :no-index:", "```", ""]
    lines += [f"- {what}: {_escaped(text)}" for what, text in described.items()]
    lines += [f"- source: {published_in(cls)}"]
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Both parts into ``folder``, for the page to include."""
    (folder / "neurons_costs.inc").write_text(costs() + "\n", encoding="utf-8")
    entries = "\n\n".join(map(entry, NEURONS.names()))
    (folder / "neurons_by_name.inc").write_text(entries + "\n", encoding="utf-8")


def _escaped(text: str) -> str:
    return text.replace("[", "\\[").replace("<", "\\<").replace("*", "\\*")
