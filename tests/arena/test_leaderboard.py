"""Leader boards: places, intervals, paired tests that are corrected for their number, and the gap of protocols."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy.stats import ttest_rel

from spikeworks.arena.leaderboard import boards, gaps, holm
from spikeworks.arena.store import load_runs
from spikeworks.measure import stats

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))


def write(root: Path, label: str, scores: list[float], **options: object) -> None:
    for seed, score in enumerate(scores):
        make.write_run(root, label, seed, score=score, **options)


def test_places_intervals_and_tests_are_those_of_the_scores(tmp_path: Path) -> None:
    scores = {"a": [0.90, 0.91, 0.93], "b": [0.89, 0.92, 0.91], "c": [0.50, 0.53, 0.52], "d": [0.70, 0.74, 0.71]}
    for label, values in scores.items():
        write(tmp_path, label, values)
    (board,) = boards(load_runs(tmp_path))
    assert [(e.row.label, e.place) for e in board.entries] == [("a", 1), ("b", 2), ("d", 3), ("c", 4)]
    plain = {label: float(ttest_rel(scores["a"], scores[label]).pvalue) for label in "bdc"}  # type: ignore[attr-defined]
    expected = dict(zip("bdc", holm([plain[label] for label in "bdc"]), strict=True))
    assert board.entries[0].behind is None
    for entry in board.entries[1:]:
        behind, label = entry.behind, entry.row.label
        assert behind is not None and behind.seeds == (0, 1, 2)
        assert behind.p_value == pytest.approx(expected[label]) and expected[label] >= plain[label]
        assert behind.difference == pytest.approx(sum(scores["a"]) / 3 - sum(scores[label]) / 3)
        found = stats.summarize(scores[label])
        assert (entry.low, entry.high) == (found.low, found.high)
    assert [e.leads for e in board.entries] == [True, True, False, False]


def test_a_low_score_leads_where_low_is_good_and_equals_share_a_place(tmp_path: Path) -> None:
    for label, values in {"x": [120.0, 121.0], "y": [110.0, 111.0], "z": [120.0, 121.0]}.items():
        write(tmp_path, label, values, task="ptb", metric=make.PERPLEXITY)
    (board,) = boards(load_runs(tmp_path))
    assert [(e.row.label, e.place) for e in board.entries] == [("y", 1), ("x", 2), ("z", 2)]
    assert board.entries[1].behind is not None and board.entries[1].behind.difference == pytest.approx(-10)


def test_one_seed_tells_nothing_and_other_seeds_are_not_paired(tmp_path: Path) -> None:
    write(tmp_path, "a", [0.9])
    write(tmp_path, "b", [0.5])
    make.write_run(tmp_path, "c", 7, score=0.4)
    (board,) = boards(load_runs(tmp_path))
    first, second, third = board.entries
    assert first.low is None and second.behind is not None and second.behind.p_value is None
    assert second.behind.told_apart is None and not second.leads
    assert third.behind is None


def test_boards_are_apart_by_protocol_and_the_gap_is_shown(tmp_path: Path) -> None:
    for protocol, score in (("paper", 0.9), ("clean", 0.7)):
        config = {"task": {"kind": "wisdm", "protocol": protocol}}
        write(tmp_path, "lif", [score, score + 0.02], task="wisdm", config=config)
    write(tmp_path, "alif", [0.8], task="wisdm", config={"task": {"kind": "wisdm", "protocol": "clean"}})
    found = boards(load_runs(tmp_path))
    assert [(b.task, b.protocol, len(b.entries)) for b in found] == [("wisdm", "clean", 2), ("wisdm", "paper", 1)]
    (gap,) = gaps(found)
    assert gap.label == "lif" and gap.gain == pytest.approx(0.2)


def test_runs_without_a_score_are_listed_last(tmp_path: Path) -> None:
    write(tmp_path, "lif", [0.5])
    make.write_diverged(tmp_path, "alif", 0)
    (board,) = boards(load_runs(tmp_path))
    assert [row.label for row in board.rows] == ["lif", "alif"] and len(board.unscored) == 1


def test_holm_never_lowers_a_p_value_and_keeps_their_order() -> None:
    given = [0.3, 0.001, 0.04, 0.02, 0.9]
    got = holm(given)
    assert got == pytest.approx([0.6, 0.005, 0.12, 0.08, 0.9])
    assert all(after >= before for before, after in zip(given, got, strict=True)) and holm([]) == []
    assert not any(map(math.isnan, got))
