"""SQL over results: what the tables hold, and what a query must not do."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from spikeworks.arena.query import EPOCHS, RUNS, Answer, query
from spikeworks.cli.main import main
from spikeworks.core.errors import ConfigError, RunError, UnknownName

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))
pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs of 'today'")
    for seed, score in enumerate((0.5, 0.75)):
        make.write_run(root, "lif", seed, score=score)
        config = {
            "task": {"kind": "wisdm", "protocol": "paper"},
            "model": {"kind": "stack", "neuron": {"kind": "glif"}},
            "method": {"kind": "sltt"},
        }
        make.write_run(root, "glif", seed, task="wisdm", score=score, config=config)
    make.write_diverged(root, "alif", 0)
    return root


def test_an_average_over_seeds(runs: Path) -> None:
    answer = query("select task, label, avg(score) as score from runs where status = 'finished' group by all", runs)
    assert answer.columns == ("task", "label", "score")
    assert sorted(answer.rows) == [("seq-digits", "lif", 0.625), ("wisdm", "glif", 0.625)]


def test_a_row_holds_what_the_directory_does(runs: Path) -> None:
    answer = query("select * from runs where label = 'glif' and seed = 1", runs)
    assert answer.columns == tuple(RUNS)
    (row,) = (dict(zip(answer.columns, values, strict=True)) for values in answer.rows)
    result = json.loads((Path(row["path"]) / "result.json").read_text())
    assert (row["protocol"], row["method"], row["network"], row["neuron"]) == ("paper", "sltt", "stack", "glif")
    assert row["score"] == 0.75 == row["validation"] and row["chosen_epoch"] == row["epochs"] == 12
    assert row["energy"] == result["energy"]["memory_aware_nj"] and row["memory"] == result["memory"]["saved_bytes"]
    assert row["parameters"] == 9034 and row["clock"] is True and row["machine"] == "Synthetic Test Processor"
    assert json.loads(row["config"])["task"]["protocol"] == "paper"
    assert query("select config->>'$.budget.epochs' from runs limit 1", runs).rows == (("12",),)


def test_epochs_join_runs_and_runs_without_a_score_are_there(runs: Path) -> None:
    answer = query(
        "select r.label, count(*), max(e.epoch) from epochs e join runs r using (path) group by all order by all", runs
    )
    assert answer.rows == (("alif", 12, 12), ("glif", 24, 12), ("lif", 24, 12))
    assert query("select * from epochs limit 1", runs).columns == tuple(EPOCHS)
    (row,) = query("select status, score, problem from runs where label = 'alif'", runs).rows
    assert row[0] == "diverged" and row[1] is None and "nan at step 41" in row[2]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select scor from runs", 'Referenced column "scor" not found'),
        ("selec 1", "syntax error"),
        ("select * from run", "Table with name run does not exist"),
        ("delete from runs", "only reads, got DELETE"),
        ("select 1; select 2", "only reads, got SELECT, SELECT"),
        ("", "only reads, got nothing"),
        ("copy runs to 'x.csv'", "only reads, got COPY"),
        ("select * from read_text('/etc/hostname')", "cannot be answered"),
        ("set threads = 1", "only reads, got SET"),
    ],
)
def test_a_wrong_query_gets_one_message(
    sql: str, message: str, runs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=".*") as caught:
        query(sql, runs)
    assert message in str(caught.value)
    assert main(["query", sql, "--out", str(runs)]) == 2
    seen = capsys.readouterr()
    assert seen.out == "" and seen.err.startswith("spikeworks: ") and "Traceback" not in seen.err


def test_every_form_of_an_answer() -> None:
    answer = Answer(("task", "score", "none"), (("a|b", 0.5, None), ("c,d", 1 / 3, None)))
    assert list(csv.reader(answer.shown("csv").splitlines()))[1:] == [["a|b", "0.5", ""], ["c,d", str(1 / 3), ""]]
    assert json.loads(answer.shown("json"))[0] == {"task": "a|b", "score": 0.5, "none": None}
    assert answer.shown("markdown").splitlines()[2:] == ["| a\\|b | 0.5 |  |", "| c,d | 0.333333 |  |"]
    with pytest.raises(UnknownName, match="format 'xml'"):
        answer.shown("xml")


def test_the_command_prints(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select label, count(*) as n from runs group by all order by all"
    assert main(["query", sql, "--out", str(runs), "--format", "csv"]) == 0
    assert capsys.readouterr().out == "label,n\nalif,1\nglif,2\nlif,2\n"
    assert main(["query", sql, "--out", str(runs)]) == 0
    assert "3 rows" in capsys.readouterr().out
    assert main(["query"]) == 0
    assert all(f"  {column}" in capsys.readouterr().out for column in ("energy_convention",))
    assert main(["query", sql, "--out", str(runs), "--format", "xml"]) == 2


def test_no_runs_and_no_duckdb_are_told(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="holds no run"):
        query("select 1", tmp_path)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=r"needs DuckDB.\n.*spikeworks\[arena\]"):
        query("select 1", runs)
