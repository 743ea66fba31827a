"""Descriptions: an identity that changes exactly when what is computed changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.plugins import load_plugin, plugin_sources
from spikeworks.arena.resolve import describe_run
from spikeworks.core.config import to_dict
from spikeworks.core.errors import ConfigError, DataError, UnknownName
from spikeworks.neurons import LIF, NEURONS, Neuron, Parameter
from spikeworks.optim import StepConfig
from spikeworks.tasks import TASKS, task_for

PLUGIN = """
from spikeworks.neurons import Neuron, Parameter, register_neuron

@register_neuron("{name}")
class Mine(Neuron):
    states = ("voltage",)
    decay = Parameter({decay})

    def step(self, x, voltage, *, decay):
        charged = decay * voltage + x
        spike = self.fire(charged - 1.0)
        return spike, charged - spike
"""


def test_equal_descriptions_have_one_identity() -> None:
    one, same = describe_run("seq-digits", "tc-lif"), describe_run(task_for("seq-digits"), "tc-lif")
    assert one == same and one.id == same.id and len(one.id) == 12


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"label": "mine"}, {"budget": Budget(epochs=2)}, {"device": "cpu"}],
    ids=lambda changes: next(iter(changes)),
)
def test_every_change_is_another_identity(changes: dict[str, object]) -> None:
    one = describe_run("seq-digits", "lif")
    assert dataclasses.replace(one, **changes).id != one.id  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [name for name in TASKS if name != "csv"])
def test_descriptions_travel_through_json(task: str) -> None:
    for neuron in NEURONS:
        config = describe_run(task, neuron)
        assert RunConfig.from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_names_of_directories(tmp_path: Path) -> None:
    config = describe_run("seq-digits", "tc-lif", seed=3, recurrent=(True, False))
    assert config.directory(tmp_path) == tmp_path / "seq-digits" / f"tc-lif-rec-s3-{config.id}"
    assert config.shown == "tc-lif-rec" and dataclasses.replace(config, label="a/b").shown == "a/b"


def test_the_recipe_of_the_task_holds_where_nothing_is_said() -> None:
    task = task_for("s-mnist")
    defaults, config = task.defaults(), describe_run("s-mnist", "lif")
    assert config.model.hidden == defaults.hidden  # type: ignore[attr-defined]
    assert config.optimizer.learning_rate == defaults.learning_rate
    assert config.schedule == StepConfig(gamma=defaults.step_factor, every=defaults.step_epochs)
    assert describe_run("s-mnist", "lif", hidden=(3,)).model.hidden == (3,)  # type: ignore[attr-defined]


def test_a_neuron_may_be_a_name_a_class_or_a_description() -> None:
    assert (
        describe_run("seq-digits", "lif") == describe_run("seq-digits", LIF) == describe_run("seq-digits", LIF.Config())
    )

    class Own(Neuron):
        states = ("voltage",)
        decay = Parameter(0.5)

    assert describe_run("seq-digits", Own).model_name == "Own"


def test_unknown_names_are_told_with_their_neighbours() -> None:
    with pytest.raises(UnknownName, match="task 'seq-digit' is not registered. Did you mean 'seq-digits'"):
        describe_run("seq-digit", "lif")
    with pytest.raises(UnknownName, match="neuron 'tclif' is not registered. Did you mean 'tc-lif'"):
        describe_run("seq-digits", "tclif")


@pytest.mark.parametrize("values", [{"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"max_seconds": 0.0}])
def test_an_empty_budget_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"budget.{next(iter(values))} must be"):
        Budget(**values)  # type: ignore[arg-type]


def test_a_plugin_registers_once_wherever_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(name="config-test-mine", decay=0.5))
    moved = tmp_path / "elsewhere" / "mine.py"
    moved.parent.mkdir()
    moved.write_text(path.read_text())
    assert load_plugin(path) == {"neurons": ["config-test-mine"]} == load_plugin(moved)
    assert plugin_sources(describe_run("seq-digits", "config-test-mine").model) == {"mine.py": path.read_text()}
    assert plugin_sources(describe_run("seq-digits", "lif").model) == {}


def test_the_whole_file_of_a_neuron_is_part_of_the_identity(tmp_path: Path) -> None:
    definitions = []
    for number, helper in enumerate(("", "", "\nHELPER = 2\n")):
        path = tmp_path / f"file{number}.py"
        path.write_text(PLUGIN.format(name="config-test-file", decay=0.5) + helper)
        NEURONS._members.pop("config-test-file", None)  # as in three processes
        load_plugin(path)
        definitions.append(describe_run("seq-digits", "config-test-file").model.neuron.definition)
    assert definitions[0] == definitions[1] != definitions[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Cannot read the plugin .*mine.py: No such file"),
        ("def broken(:\n", r"The plugin .*mine.py fails in line 1: SyntaxError"),
        ("a = 1\nb = a / 0\n", r"The plugin .*mine.py fails in line 2: ZeroDivisionError: division by zero"),
        (
            "a = 1\n",
            r"The plugin .*mine.py registers nothing; it can add neurons, .*, methods, .* and energy conventions",
        ),
        (PLUGIN.format(name="lif", decay=0.5), r"neuron 'lif' is registered already"),
    ],
    ids=["missing", "syntax", "fails", "empty", "taken name"],
)
def test_a_plugin_that_does_not_work_is_told(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises((DataError, ConfigError), match=message):
        load_plugin(path)
