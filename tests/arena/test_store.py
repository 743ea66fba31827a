"""Run directories read back, whole, cut off and damaged."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spikeworks.arena.store import load_run, load_runs
from spikeworks.core.errors import RunError

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    path = make.write_run(tmp_path, "tc-lif", 3, score=0.7, epochs=5)
    (record,) = load_runs(tmp_path)
    assert (record.task, record.label, record.model, record.seed) == ("seq-digits", "tc-lif", "tc-lif", 3)
    assert record.finished and record.status == "finished" and record.problem is None
    assert (record.path, record.id) == (path, path.name)
    assert [line["epoch"] for line in record.metrics] == [1, 2, 3, 4, 5]
    assert record.result["score"]["test"] == 0.7
    assert record.environment["torch"] == "2.13.0+cpu"
    assert record.config["model"]["neuron"]["kind"] == "tc-lif"


def test_the_sample_holds_input_and_spikes_of_every_block(tmp_path: Path) -> None:
    make.write_run(tmp_path, steps=20, channels=3, rates=(0.1, 0.1, 0.1))
    sample = load_runs(tmp_path)[0].sample()
    assert sample is not None
    assert sample.input.shape == (20, 3) and [s.shape for s in sample.spikes] == [(20, 64)] * 3
    assert sample.target == 3 and sample.predicted in (3, 8)
    assert set(np.unique(sample.spikes[0])) <= {0, 1}


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all, but long enough"])
def test_a_missing_or_damaged_sample_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = make.write_run(tmp_path)
    (path / "sample.safetensors").unlink()
    if content is not None:
        (path / "sample.safetensors").write_bytes(content)
    assert load_runs(tmp_path)[0].sample() is None


def test_the_root_may_be_all_runs_one_task_or_one_run(tmp_path: Path) -> None:
    path = make.write_run(tmp_path, "lif", 0)
    make.write_run(tmp_path, "alif", 1)
    make.write_run(tmp_path, "lif", 0, task="s-mnist")
    assert [r.task for r in load_runs(tmp_path)] == ["s-mnist", "seq-digits", "seq-digits"]
    assert [r.label for r in load_runs(tmp_path / "seq-digits")] == ["alif", "lif"]
    assert [r.path for r in load_runs(path)] == [path]
    assert [r.task for r in load_runs(tmp_path, task="s-mnist")] == ["s-mnist"]


def test_a_cut_off_run_is_listed_with_what_it_has(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    make.write_unfinished(tmp_path, "alif", 1, epochs=6)
    alif, lif = load_runs(tmp_path)
    assert lif.finished and not alif.finished
    assert (alif.status, alif.label, alif.seed, alif.task) == ("unfinished", "alif", 1, "seq-digits")
    assert alif.problem == "no result.json; 5 of 6 epochs done; metrics.jsonl is cut off in line 6"
    assert len(alif.metrics) == 5


def test_strict_refuses_a_cut_off_run(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    make.write_unfinished(tmp_path, "alif", 1, epochs=6)
    with pytest.raises(RunError, match=r"1 of 2 runs are half written \(alif-s1-\w+: no result.json; 5 of 6 epochs"):
        load_runs(tmp_path, strict=True)


def test_a_half_written_run_alone_is_an_error_that_says_so(tmp_path: Path) -> None:
    make.write_unfinished(tmp_path, "alif", 1)
    with pytest.raises(RunError, match="the only run is half written") as caught:
        load_runs(tmp_path)
    assert "expected runs that ended with a result.json" in str(caught.value)
    assert "Hint: start the same command again: it resumes what was cut" in str(caught.value)


def test_an_empty_folder_says_what_was_expected_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        load_runs(tmp_path)
    message = str(caught.value)
    assert f"{tmp_path} holds no run (it is empty): expected run directories <task>/<neuron>-s<seed>-<id>/" in message
    assert "Hint: train first, for example: spikeworks compare" in message


def test_a_folder_without_runs_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(RunError, match=r"holds no run \(found there: notes.txt, photos\)"):
        load_runs(tmp_path)


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere does not exist: expected run directories"):
        load_runs(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="file is a file: expected run directories"):
        load_runs(tmp_path / "file")


def test_an_unknown_task_gets_the_nearest_name(tmp_path: Path) -> None:
    make.write_run(tmp_path)
    make.write_run(tmp_path, task="ptb")
    with pytest.raises(
        RunError, match=r"no run of task 'seq-digit'. Did you mean 'seq-digits'\? Found: ptb, seq-digits"
    ):
        load_runs(tmp_path, task="seq-digit")


def test_a_diverged_run_keeps_its_error(tmp_path: Path) -> None:
    make.write_diverged(tmp_path, "cuba-lif", 2)
    (record,) = load_runs(tmp_path)
    assert (record.status, record.seed) == ("diverged", 2)
    assert record.problem == "loss is nan at step 41, learning rate 0.9"


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("result.json", "{", "result.json is damaged: Expecting property name"),
        ("result.json", "[1]", "result.json is damaged: expected an object, got list"),
        ("result.json", '{"schema": 7}', "result.json has schema 7, this version of spikeworks reads 1"),
        ("result.json", '{"schema": 1, "status": "odd"}', "result.json says status 'odd'"),
        ("result.json", '{"schema": 1, "status": "finished"}', "no finite number under score.test"),
        ("result.json", '{"schema":1,"status":"finished","score":{"test":NaN}}', "no finite number under score.test"),
        ("result.json", '{"schema": 1, "status": "finished", "score": {"test": 0.5}}', "metric needs name"),
        ("config.json", "\udcff", "config.json is damaged: 'utf-8' codec"),
    ],
)
def test_a_damaged_file_makes_one_run_unfinished_not_all(tmp_path: Path, file: str, content: str, problem: str) -> None:
    make.write_run(tmp_path, "lif", 0)
    broken = make.write_run(tmp_path, "alif", 0)
    (broken / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    alif, lif = load_runs(tmp_path)
    assert lif.finished and alif.status == "unfinished"
    assert problem in str(alif.problem)


def test_names_come_from_the_folder_where_files_are_gone(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    path = make.write_unfinished(tmp_path, "tc-lif", 4)
    (path / "config.json").unlink()
    record = load_runs(tmp_path)[1]
    assert (record.task, record.label, record.seed) == ("seq-digits", "tc-lif", 4)


def test_a_run_is_found_by_path_name_and_beginning(tmp_path: Path) -> None:
    path = make.write_run(tmp_path, "lif", 0)
    other = make.write_run(tmp_path, "tc-lif", 0)
    identity = json.loads((other / "result.json").read_text())["id"]
    assert load_run(path).path == path
    assert load_run(other.name, tmp_path).path == other
    assert load_run("tc-", tmp_path).path == other
    assert load_run(f"seq-digits/{path.name[:6]}", tmp_path).path == path
    assert load_run(identity[:8], tmp_path).path == other


def test_an_ambiguous_beginning_lists_the_candidates(tmp_path: Path) -> None:
    names = [make.write_run(tmp_path, "lif", seed).name for seed in range(2)]
    with pytest.raises(RunError, match="'lif' fits 2 runs below") as caught:
        load_run("lif", tmp_path)
    assert all(name in str(caught.value) for name in names)
    assert "Hint: give more characters" in str(caught.value)


def test_an_unknown_id_gets_near_names(tmp_path: Path) -> None:
    name = make.write_run(tmp_path, "tc-lif", 0).name
    make.write_run(tmp_path, "alif", 0)
    with pytest.raises(RunError, match=r"No run below .* begins with 'tclif-s0'") as caught:
        load_run("tclif-s0", tmp_path)
    assert f"nearest of 2: {name}" in str(caught.value)


@pytest.mark.parametrize("wanted", ["", "  "])
def test_an_empty_id_is_refused(tmp_path: Path, wanted: str) -> None:
    make.write_run(tmp_path)
    with pytest.raises(RunError, match=r"The id of a run is empty|is no run directory"):
        load_run(wanted, tmp_path)


def test_a_run_that_never_ended_can_still_be_shown(tmp_path: Path) -> None:
    path = make.write_unfinished(tmp_path, "alif", 1)
    assert load_run(path).status == "unfinished"
