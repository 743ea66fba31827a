"""Submissions: a good run is taken in whole; every edit is refused with its reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spikeworks.arena.checkpoint import load_tensors, save_tensors
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.arena.seal import digest, weights_hash
from spikeworks.arena.site import write_site
from spikeworks.arena.store import load_run
from spikeworks.arena.submit import FILES, NOTE, check, submit
from spikeworks.cli.main import main
from spikeworks.core.errors import RunError
from spikeworks.tasks import task_for

TASK = task_for("binary-adding", steps=10, marks=3, train_size=64, validation_size=48, test_size=40)
Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config: RunConfig = dataclasses.replace(
        describe_run(TASK, "lif", hidden=(6,)), budget=Budget(epochs=3, batch_size=16)
    )
    run = Run(config, tmp_path_factory.mktemp("elsewhere"))
    run.execute()
    return run.directory


@pytest.fixture
def foreign(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "post" / original.name))


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def seal_anew(run: Path) -> None:
    """What somebody does who forges with care."""
    record = load_run(run)
    sealed = {**record.result, "digest": digest(record.config, record.metrics, record.result, weights_hash(run))}
    (run / "result.json").write_text(json.dumps(sealed))


def test_a_good_run_is_taken_in_with_all_that_it_needs(foreign: Path, tmp_path: Path) -> None:
    (foreign / "evil.py").write_text("raise SystemExit('executed')")
    target = submit(foreign, tmp_path / "runs", anew=True)
    assert target == tmp_path / "runs" / "binary-adding" / foreign.name
    kept = {path.name for path in target.iterdir()}
    assert kept == {*FILES, "sample.safetensors", NOTE}
    note, result = json.loads((target / NOTE).read_text()), load_run(target).result
    assert note["scores"] == pytest.approx({split: result["score"][split] for split in ("validation", "test")})
    assert submit(foreign, tmp_path / "runs") == target  # the same again changes nothing
    page = write_site(tmp_path / "runs", tmp_path / "site", portraits=False).parent / "runs" / "binary-adding"
    assert "its score was computed anew from the weights" in (page / f"{foreign.name}.html").read_text()
    assert not list((tmp_path / "runs" / "binary-adding").glob(".submission*"))
    assert Run(RunConfig.from_dict(load_run(target).config), tmp_path / "runs").execute() == result


def edits() -> dict[str, tuple[Edit, str]]:
    def result(edit: Callable[[dict[str, Any]], Any]) -> Edit:
        return lambda run: change(run / "result.json", edit)

    def lines(edit: Callable[[list[dict[str, Any]]], Any]) -> Edit:
        def apply(run: Path) -> None:
            path = run / "metrics.jsonl"
            content = [json.loads(line) for line in path.read_text().splitlines()]
            edit(content)
            path.write_text("".join(json.dumps(line) + "\n" for line in content))

        return apply

    def renamed(run: Path) -> None:
        run.rename(run.with_name("lif-s0-000000000000"))

    def torn(name: str) -> Edit:
        def apply(run: Path) -> None:
            (run / name).write_bytes(b"{")

        return apply

    def other_weights(run: Path) -> None:
        tensors, about = load_tensors(run / "best.safetensors")
        save_tensors(run / "best.safetensors", {name: t + 0.01 for name, t in tensors.items()}, about)

    def smaller(run: Path) -> None:
        tensors, about = load_tensors(run / "best.safetensors")
        save_tensors(run / "best.safetensors", {name: t[:1] for name, t in tensors.items() if t.dim()}, about)

    return {
        "test score": (result(lambda r: r["score"].update(test=0.99)), "the test score is 0.99 under score"),
        "test score twice": (
            result(lambda r: (r["score"].update(test=0.99), r["test"].update(accuracy=0.99))),
            "by the confusion matrix the test score is",
        ),
        "validation score": (result(lambda r: r["score"].update(validation=0.99)), "the best validation score is"),
        "out of range": (result(lambda r: r["score"].update(test=1.5)), "lies between 0 and 1, got 1.5"),
        "chosen epoch": (result(lambda r: r["score"].update(chosen_epoch=99)), "validation chose epoch"),
        "parameters": (result(lambda r: r.update(parameters=7)), "the result says 7"),
        "energy": (result(lambda r: r["energy"].update(memory_aware_nj=0.1)), "the digest does not fit"),
        "no digest": (result(lambda r: r.pop("digest")), "the result has no digest"),
        "infinite": (result(lambda r: r.update(seconds=float("inf"))), "result.json holds Infinity"),
        "metric": (result(lambda r: r["metric"].update(higher_is_better=False)), "binary-adding is ranked by"),
        "seed": (result(lambda r: r.update(seed=5)), "the description says seed 0, the result 5"),
        "diverged": (
            result(lambda r: r.update(status="diverged", error="loss is nan")),
            "it has no score: loss is nan",
        ),
        "more epochs": (lines(lambda m: m.append({**m[-1], "epoch": 4})), "asks for 3 epochs, metrics.jsonl has 4"),
        "epoch missing": (lines(lambda m: m.pop(1)), "metrics.jsonl has epochs"),
        "better epoch": (
            lines(lambda m: m[1].update(validation_score=0.999)),
            "metrics.jsonl validation chose epoch 2",
        ),
        "time": (lines(lambda m: m[2].update(seconds=0.0)), "seconds in metrics.jsonl does not grow"),
        "train loss": (lines(lambda m: m[0].update(train_loss=0.1)), "the digest does not fit"),
        "description": (
            lambda run: change(run / "config.json", lambda c: c["budget"].update(batch_size=8)),
            "the description has the identity",
        ),
        "another protocol": (
            lambda run: change(run / "config.json", lambda c: c["task"].update(steps=9)),
            "the description has the identity",
        ),
        "unknown field": (
            lambda run: change(run / "config.json", lambda c: c["model"].update(depth=8)),
            "its description cannot be read by version",
        ),
        "unknown neuron": (
            lambda run: change(run / "config.json", lambda c: c["model"]["neuron"].update(kind="mine")),
            "neuron 'mine' is not registered",
        ),
        "name": (renamed, "the directory lif-s0-000000000000"),
        "weights": (other_weights, "the digest does not fit"),
        "other network": (smaller, "the weights do not fit the network"),
        "no weights": (lambda run: (run / "best.safetensors").unlink(), "best.safetensors is missing"),
        "torn weights": (torn("best.safetensors"), "best.safetensors cannot be read"),
        "torn result": (torn("result.json"), "result.json is damaged"),
        "odd matrix": (
            result(lambda r: r.update(confusion=[1, "x"])),
            "by the confusion matrix the test score is None",
        ),
        "machine": (lambda run: change(run / "environment.json", lambda e: e.pop("machine")), "does not say machine"),
    }


@pytest.mark.parametrize("edit", edits())
def test_what_was_edited_is_refused_with_the_reason(edit: str, foreign: Path, tmp_path: Path) -> None:
    spoil, reason = edits()[edit]
    spoil(foreign)
    (run,) = foreign.parent.iterdir()
    with pytest.raises(RunError) as caught:
        submit(run, tmp_path / "runs")
    assert reason in str(caught.value) and "is refused:" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_link_is_not_followed(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text((foreign / "environment.json").read_text())
    (foreign / "environment.json").unlink()
    (foreign / "environment.json").symlink_to(tmp_path / "secret")
    assert check(foreign).problems == ("environment.json is a link",)


def test_a_careful_forgery_is_found_by_evaluating_anew(foreign: Path, tmp_path: Path) -> None:
    def forge(result: dict[str, Any]) -> None:
        size = len(result["confusion"])
        total = sum(map(sum, result["confusion"]))
        result["confusion"] = [[total if i == j == 0 else 0 for j in range(size)] for i in range(size)]
        result["score"]["test"] = result["test"]["accuracy"] = 1.0

    change(foreign / "result.json", forge)
    seal_anew(foreign)
    assert check(foreign).problems == ()  # the digest has no key, and says so
    with pytest.raises(RunError, match="its weights give a test accuracy of 0.* here, the result says 1.0"):
        submit(foreign, tmp_path / "runs", anew=True)


def test_another_run_of_the_same_description_is_not_overwritten(foreign: Path, tmp_path: Path) -> None:
    target = submit(foreign, tmp_path / "runs")
    change(target / "result.json", lambda r: r.update(seconds=1.0))
    with pytest.raises(RunError, match="is there already and is not the same run"):
        submit(foreign, tmp_path / "runs")


def test_the_command_says_what_it_did(foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(foreign / "environment.json", lambda e: e.update(spikeworks="0.0.1"))
    words = ["submit", str(foreign), "--to", str(tmp_path / "runs")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "made with spikeworks 0.0.1" in said and "shows accidents, not forgery" in said
    assert main([*words, "--re-evaluate"]) == 0
    assert "its score computed anew" in capsys.readouterr().out
    assert main(["submit", str(tmp_path / "none"), "--to", str(tmp_path)]) == 2
    assert main([*words, "--tolerance", "2"]) == 2
    assert "is no directory" in capsys.readouterr().err
