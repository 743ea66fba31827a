"""``spikeworks neuron``: the page and the text of every registered neuron."""

from __future__ import annotations

import pytest

from spikeworks.cli.main import main
from spikeworks.neurons import NEURONS


@pytest.mark.parametrize("name", NEURONS.names())
def test_every_neuron_has_a_page(name, tmp_path, capsys):
    assert main(["neuron", "show", name, "--output", str(tmp_path)]) == 0
    page = (tmp_path / f"{name}.html").read_text()
    assert capsys.readouterr().out.strip() == str(tmp_path / f"{name}.html")
    whole = getattr(NEURONS.get(name), "whole_sequence", False)
    assert f"<h1>{name}</h1>" in page and f"def {'parallel' if whole else 'step'}(" in page
    assert ("Impulse response" in page) != whole
    assert page.count("<svg") >= 2 - whole and "mathdefault" not in page


def test_settings_are_options(capsys):
    assert main(["neuron", "describe", "lif", "--neuron.decay", "0.5", "--neuron.reset.kind", "hard"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("LIF: Leaky integrate and fire.")
    assert "0.5 in (0, 1), fixed" in text and "hard to 0" in text and "triangle, width 1, area 1, peak 1" in text


def test_mistakes_are_named(capsys):
    assert main(["neuron", "show", "liff"]) == 2
    assert "Did you mean 'lif'" in capsys.readouterr().err
    assert main(["neuron", "describe", "lif", "--neuron.decy", "0.5"]) == 2
    assert "lif has no such setting. Did you mean --neuron.decay" in capsys.readouterr().err
