"""A user's file may add to any registry, and works through the command line."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from spikeworks.arena.plugins import REGISTRIES, load_plugin, plugin_sources
from spikeworks.arena.resolve import describe_run
from spikeworks.cli.main import main
from spikeworks.core import config as core_config
from spikeworks.core.errors import DataError
from spikeworks.core.registry import Registry
from spikeworks.learning import METHODS
from spikeworks.recipes import RECIPES

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "contributing" / "method.md"
SMALL = [
    "--task", "binary-adding", "--task.steps", "12", "--task.marks", "3", "--task.train_size", "64",
    "--task.validation_size", "32", "--task.test_size", "32", "--hidden", "8", "6", "--quiet",
]  # fmt: skip
DESCRIPTION = """
import dataclasses
from spikeworks.core.config import config_kind
from spikeworks.{part} import {registry}, {base}

@{registry}.register("{name}")
@config_kind("{family}", "{name}")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine({base}):
    pass
"""
PARTS = {
    "methods": ("learning", "METHODS", "MethodConfig", "method"),
    "networks": ("models", "NETWORKS", "ModelConfig", "model"),
    "tasks": ("tasks", "TASKS", "TaskConfig", "task"),
    "optimizers": ("optim", "OPTIMIZERS", "OptimizerConfig", "optimizer"),
    "schedules": ("optim", "SCHEDULES", "ScheduleConfig", "schedule"),
}


@pytest.fixture(autouse=True)
def registries_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone when it ends: other tests go through whole registries."""
    for registry in (*REGISTRIES.values(), RECIPES):
        monkeypatch.setattr(registry, "_members", dict(registry._members))
    monkeypatch.setattr(core_config, "_KINDS", dict(core_config._KINDS))


def worked_example(name: str) -> str:
    """The method that the contributor's page writes, under another name."""
    (code,) = re.findall(r"## Write it\n\n```python\n(.*?)```", EXAMPLE.read_text(encoding="utf-8"), re.DOTALL)
    return code.replace('"tail"', f'"{name}"')


@pytest.mark.parametrize("kind", PARTS)
def test_a_file_may_add_to_any_registry(tmp_path: Path, kind: str) -> None:
    part, registry, base, family = PARTS[kind]
    name = f"plugin-test-{family}"
    path = tmp_path / f"{family}.py"
    path.write_text(DESCRIPTION.format(part=part, registry=registry, base=base, family=family, name=name))
    assert load_plugin(path) == {kind: [name]} == load_plugin(path)
    assert name in REGISTRIES[kind]


def test_a_registry_from_above_the_arena_counts_where_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "recipes_only.py"
    path.write_text("from spikeworks.recipes import RECIPES\nRECIPES.register('plugin-test-recipe')(print)\n")
    with pytest.raises(DataError, match="registers nothing; it can add neurons, networks, methods, tasks"):
        load_plugin(path)
    del RECIPES._members["plugin-test-recipe"]
    assert load_plugin(path, {"recipes": RECIPES}) == {"recipes": ["plugin-test-recipe"]}


def test_the_sources_of_every_part_of_a_description_are_found(tmp_path: Path) -> None:
    path = tmp_path / "sourced.py"
    path.write_text(worked_example("plugin-test-sourced"))
    load_plugin(path)
    config = describe_run("seq-digits", "lif")
    assert plugin_sources(config) == {}
    config = dataclasses.replace(config, method=METHODS.get("plugin-test-sourced")())
    assert plugin_sources(config) == {"sourced.py": path.read_text()}
    assert plugin_sources(config.model) == {}


def test_a_method_of_ones_own_is_compared_and_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tail.py"
    path.write_text(worked_example("plugin-test-tail"))
    own = [*SMALL, "--plugin", str(path), "--methods", "bptt,plugin-test-tail"]
    runs = ["--out", str(tmp_path / "runs"), "--seeds", "1", "--epochs", "2", "--batch-size", "32"]
    assert main(["compare", *own, *runs]) == 0
    out, err = capsys.readouterr()
    assert "lif bptt" in out and "lif plugin-test-tail" in out, err
    page = tmp_path / "runs" / "binary-adding" / "comparison.html"
    assert out.splitlines()[-1] == f"Report: {page}"
    assert "<b>Memory of an update</b>" in page.read_text()
    results = [json.loads(file.read_text()) for file in tmp_path.glob("runs/*/*/result.json")]
    assert {result["status"] for result in results} == {"finished"}
    assert main(["run", *own[:-2], *runs[:2], "--neuron", "lif", "--method", "plugin-test-tail",
                 "--method.window", "5", "--describe"]) == 0  # fmt: skip
    assert "--method.window 5" in capsys.readouterr().out


def test_a_method_of_ones_own_has_its_gradient_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "again.py"
    path.write_text(worked_example("plugin-test-again"))
    own = [*SMALL, "--plugin", str(path), "--methods", "bptt,plugin-test-again", "--neuron", "lif"]
    assert main(["gradients", *own, "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    assert "plugin-test-again" in capsys.readouterr().out and (tmp_path / "gradients.html").is_file()


def test_every_registry_of_the_listing_can_be_added_to() -> None:
    from spikeworks.cli.look import _registry
    from spikeworks.cli.parser import LISTS

    assert all(isinstance(registry, Registry) for registry in REGISTRIES.values())
    for what in set(LISTS) - {"tasks", "recipes", "energy-profiles"}:
        assert REGISTRIES[what.replace("-", " ")] is _registry(what)


def test_a_run_of_an_edited_plugin_is_not_taken_for_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edited.py"
    path.write_text(worked_example("plugin-test-edited"))
    command = ["run", *SMALL, "--neuron", "lif", "--method", "plugin-test-edited", "--epochs", "1"]
    command += ["--out", str(tmp_path / "runs"), "--plugin", str(path)]
    assert main(command) == 0
    assert main(command) == 0
    (kept,) = (tmp_path / "runs").glob("*/*/edited.py")
    kept.write_text("# what it was before\n" + kept.read_text())
    assert main(command) != 0
    assert "is not the plugin that is loaded now" in capsys.readouterr().err
