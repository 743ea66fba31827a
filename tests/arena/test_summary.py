"""Rows over seeds: what belongs together, which is best, what lies on the frontier."""

from __future__ import annotations

import math
import runpy
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest

from spikeworks.arena.headline import headline
from spikeworks.arena.store import load_runs
from spikeworks.arena.summary import Row, compares_methods, frontier, separated, summarize

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))


def rows_of(root: Path) -> dict[str, Row]:
    return {row.label: row for row in summarize(load_runs(root))}


def test_seeds_become_one_row_with_mean_and_spread(tmp_path: Path) -> None:
    scores = [0.61, 0.66, 0.64]
    for seed, score in enumerate(scores):
        make.write_run(tmp_path, "lif", seed, score=score, energy=10.0 + seed, seconds=20.0, rates=(0.1, 0.3))
    (row,) = summarize(load_runs(tmp_path))
    assert row.score is not None and row.score.n == 3 and row.seeds == (0, 1, 2)
    assert row.score.mean == pytest.approx(statistics.fmean(scores))
    assert row.score.spread == pytest.approx(statistics.stdev(scores))
    assert row.energy_memory is not None and row.energy_memory.mean == pytest.approx(11.0)
    assert row.energy_convention is not None and row.energy_convention.mean == pytest.approx(11.0 / 3)
    assert row.train_rate is not None and row.train_rate.mean == pytest.approx(500.0)
    assert row.inference_rate is not None and row.inference_rate.mean == pytest.approx(1550.0)
    assert row.saved_bytes is not None and row.saved_bytes.mean == 4_300_000
    assert row.parameters is not None and (row.parameters.mean, row.parameters.spread) == (9034, 0)
    assert row.spike_rate is not None and row.spike_rate.mean == pytest.approx(0.2)
    assert row.spike_rates == pytest.approx((0.1, 0.3))
    assert row.train_seconds is not None and row.train_seconds.mean == 20.0
    assert row.epoch_seconds is not None and row.epoch_seconds.mean == pytest.approx(20.0 / 12)
    assert row.live_bytes is None  # runs of before it was measured
    assert row.best


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    score = rows_of(tmp_path)["lif"].score
    assert score is not None and score.n == 1 and score.spread is None


@pytest.mark.parametrize(("metric", "best"), [("ACCURACY", "high"), ("PERPLEXITY", "low")])
def test_the_direction_of_the_metric_decides_what_is_best(tmp_path: Path, metric: str, best: str) -> None:
    make.write_run(tmp_path, "low", 0, score=0.2, metric=getattr(make, metric))
    make.write_run(tmp_path, "high", 0, score=0.9, metric=getattr(make, metric))
    rows = summarize(load_runs(tmp_path))
    assert rows[0].label == best
    assert [row.label for row in rows if row.best] == [best]


def test_equal_scores_are_both_best(tmp_path: Path) -> None:
    for label in ("lif", "alif"):
        make.write_run(tmp_path, label, 0, score=0.5)
    assert all(row.best for row in summarize(load_runs(tmp_path)))


def test_a_unit_that_repeats_the_name_is_left_out(tmp_path: Path) -> None:
    make.write_run(tmp_path, metric=make.PERPLEXITY, score=90.0)
    metric = rows_of(tmp_path)["lif"].metric
    assert metric is not None and (metric.name, metric.unit, metric.higher_is_better) == ("perplexity", "", False)


def test_the_frontier_keeps_what_nothing_beats_in_score_and_cost(tmp_path: Path) -> None:
    for label, score, energy, seconds in (
        ("cheap", 0.3, 1.0, 50.0),
        ("middle", 0.6, 5.0, 40.0),
        ("waste", 0.5, 8.0, 20.0),
        ("best", 0.9, 20.0, 60.0),
        ("dear", 0.9, 30.0, 70.0),
    ):
        make.write_run(tmp_path, label, 0, score=score, energy=energy, seconds=seconds)
    rows = rows_of(tmp_path)
    assert {label for label, row in rows.items() if row.pareto_energy} == {"cheap", "middle", "best"}
    assert {label for label, row in rows.items() if row.pareto_time} == {"waste", "middle", "best"}
    ordered = frontier(list(rows.values()), lambda row: row.energy_memory)
    assert [row.label for row in ordered] == ["cheap", "middle", "best"]


def test_the_frontier_of_a_perplexity_looks_down(tmp_path: Path) -> None:
    for label, score, energy in (("cheap", 140.0, 1.0), ("waste", 150.0, 2.0), ("best", 110.0, 3.0)):
        make.write_run(tmp_path, label, 0, score=score, energy=energy, metric=make.PERPLEXITY)
    assert {label for label, row in rows_of(tmp_path).items() if row.pareto_energy} == {"cheap", "best"}


def test_equals_stand_on_the_frontier_side_by_side(tmp_path: Path) -> None:
    for label, score, saved in (
        ("a", 0.6, 50),
        ("b", 0.6, 50),
        ("worse", 0.5, 50),
        ("dearer", 0.6, 60),
        ("top", 0.7, 99),
    ):
        make.write_run(tmp_path, label, 0, score=score, memory={"saved_bytes": saved, "batch": 32})
    rows = rows_of(tmp_path)
    assert {label for label, row in rows.items() if row.pareto_memory} == {"a", "b", "top"}
    assert "memory" in rows["a"].frontiers and "memory" not in rows["dearer"].frontiers


def test_the_time_of_an_epoch_is_a_median_of_whole_epochs(tmp_path: Path) -> None:
    def epoch_seconds(lines: list[dict]) -> float | None:
        path = make.write_run(tmp_path / str(len(list(tmp_path.iterdir()))), "lif", 0)
        (path / "metrics.jsonl").write_text("".join(f"{make.json.dumps(line)}\n" for line in lines))
        (row,) = summarize(load_runs(path))
        return None if row.epoch_seconds is None else row.epoch_seconds.mean

    whole = [{"seconds": seconds, "step": step} for seconds, step in ((9.0, 10), (11.0, 20), (13.5, 30), (16.0, 40))]
    assert epoch_seconds(whole) == pytest.approx(2.5)  # the first is slow: kernels are built
    assert epoch_seconds([*whole[:3], {"seconds": 13.6, "step": 31}]) == pytest.approx(2.5)  # cut by a limit of time
    assert epoch_seconds([{"seconds": 4.0, "step": 7}]) == 4.0
    assert epoch_seconds([whole[0], {"step": 20}, whole[2]]) is None and epoch_seconds([]) is None


def test_methods_are_compared_where_one_network_learned_by_several(tmp_path: Path) -> None:
    make.write_methods(tmp_path / "methods")
    rows = rows_of(tmp_path / "methods")
    assert rows.keys() == {"lif bptt", "lif sltt", "lif local"} and compares_methods(rows.values())
    assert not compares_methods([rows["lif bptt"]])
    assert all(row.pareto_memory for row in rows.values())
    live = rows["lif sltt"].live_bytes
    assert live is not None and live.mean == 420_000
    for label, method in (("lif", "bptt"), ("alif", "sltt")):  # they differ in the network as well
        make.write_run(tmp_path / "both", label, 0, config={"method": {"kind": method}})
    assert not compares_methods(rows_of(tmp_path / "both").values()) and "lif" in rows_of(tmp_path / "both")
    make.write_run(tmp_path / "old", "lif", 0)  # a description of before there were methods
    assert not compares_methods(rows_of(tmp_path / "old").values())


def test_unknown_energy_is_no_frontier_and_no_crash(tmp_path: Path) -> None:
    unknown = {"convention_nj": None, "memory_aware_nj": None, "layers": []}
    make.write_run(tmp_path, "lif", 0, spike_rates=[])
    make.write_run(tmp_path, "odd", 0, score=0.9, result_energy=unknown)
    rows = rows_of(tmp_path)
    assert rows["odd"].best and rows["odd"].energy_memory is None and not rows["odd"].pareto_energy
    assert rows["lif"].pareto_energy and rows["lif"].spike_rate is None


def test_other_settings_are_another_row_and_say_which(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0, epochs=2, score=0.2)
    make.write_run(tmp_path, "lif", 0, epochs=30, score=0.6)
    make.write_run(tmp_path, "alif", 0, epochs=30)
    assert rows_of(tmp_path).keys() == {"lif (epochs=2)", "lif (epochs=30)", "alif"}


def test_tasks_of_one_name_but_other_settings_never_meet_in_a_table(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0, steps=64)
    make.write_run(tmp_path, "lif", 0, steps=8)
    rows = summarize(load_runs(tmp_path))
    assert [row.task for row in rows] == ["seq-digits (steps=64)", "seq-digits (steps=8)"]
    assert all(row.best and row.label == "lif" for row in rows)


def test_a_copied_run_is_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make.write_run(tmp_path, "lif", 0)
    make.write_run(tmp_path, "lif", 0, directory="lif-s0-copy")
    assert rows_of(tmp_path)["lif"].seeds == (0,)
    assert "repeats seed 0" in caplog.text


def test_runs_without_a_score_are_kept_and_come_last(tmp_path: Path) -> None:
    make.write_diverged(tmp_path, "a-first", 0)
    make.write_run(tmp_path, "lif", 0)
    make.write_unfinished(tmp_path, "lif", 1)
    rows = summarize(load_runs(tmp_path))
    assert [row.label for row in rows] == ["lif", "a-first"]
    assert rows[0].seeds == (0,) and [r.status for r in rows[0].failed] == ["unfinished"]
    assert rows[1].score is None and not rows[1].best


def test_separated_is_unknown_for_one_seed_and_asks_the_seeds_otherwise(tmp_path: Path) -> None:
    for seed, shift in enumerate((0.0, 0.02, -0.02)):
        make.write_run(tmp_path, "far", seed, score=0.9 + shift)
        make.write_run(tmp_path, "near", seed, score=0.51 - shift)
        make.write_run(tmp_path, "base", seed, score=0.5 + shift)
        make.write_run(tmp_path, "other", seed + 10, score=0.51 + shift)
    make.write_run(tmp_path, "single", 0)
    rows = rows_of(tmp_path)
    assert separated(rows["far"], rows["base"]) is True
    assert separated(rows["near"], rows["base"]) is False
    assert separated(rows["far"], rows["other"]) is True  # no shared seed: intervals
    assert separated(rows["base"], rows["other"]) is False
    assert separated(rows["far"], rows["single"]) is None


def test_the_headline_names_the_best_and_its_cost(tmp_path: Path) -> None:
    for seed in range(3):
        make.write_run(tmp_path, "lif", seed, score=0.30 + 0.01 * seed, energy=10.0)
        make.write_run(tmp_path, "tc-lif", seed, score=0.68 + 0.011 * seed, energy=40.0, seconds=44.0)
    text = plain(headline(summarize(load_runs(tmp_path))))
    assert text.startswith(
        "tc-lif scores best of 2 models: accuracy 69.1 ± 1.1 % over 3 seeds, at 40.0 nJ per inference and 44.0 s"
    )
    assert "Its lead over lif (31.0 ± 1.0 %) holds at 95 % confidence, with 3 seeds." in text
    assert "The least energy goes to lif: 10.0 nJ per inference, 4 times less, for 31.0 ± 1.0 %." in text


def test_the_headline_of_methods_speaks_of_memory(tmp_path: Path) -> None:
    make.write_methods(tmp_path)
    text = plain(headline(summarize(load_runs(tmp_path))))
    assert "lif bptt scores best of 3 models: accuracy 91.5 ± 0.7 % over 2 seeds, at 8.00 MB kept for backward" in text
    assert "The least memory goes to lif local: 90.0 kB kept for backward, 89 times less, for 70.5 ± 0.7 %." in text
    assert "energy" not in text


def test_the_headline_admits_overlap_and_single_seeds(tmp_path: Path) -> None:
    for seed, shift in enumerate((0.03, -0.03)):
        make.write_run(tmp_path / "two", "lif", seed, score=0.60 + shift)
        make.write_run(tmp_path / "two", "alif", seed, score=0.61 - shift)
        make.write_run(tmp_path / "two", "plif", seed, score=0.40 + shift)
    text = plain(headline(summarize(load_runs(tmp_path / "two"))))
    assert "lif (60.0 ± 4.2 %) lies within the spread of the seeds." in text
    assert "The lead over plif is larger than the spread, but 2 seeds are too few to be 95 % sure of it." in text
    make.write_run(tmp_path / "one", "lif", 0, score=0.5)
    assert "One seed says nothing about the spread." in plain(headline(summarize(load_runs(tmp_path / "one"))))
    make.write_run(tmp_path / "one", "alif", 0, score=0.6)
    text = plain(headline(summarize(load_runs(tmp_path / "one"))))
    assert "over one seed" in text and "Every model ran with one seed, so the order may be chance." in text


def test_the_headline_of_failures_alone(tmp_path: Path) -> None:
    for seed in range(2):
        make.write_diverged(tmp_path, "lif", seed)
    assert headline(summarize(load_runs(tmp_path))).lead == "None of 2 runs has a score."


def test_estimates_are_finite(tmp_path: Path) -> None:
    make.write_run(tmp_path, parameters=math.nan)
    assert rows_of(tmp_path)["lif"].parameters is None


def plain(text: object) -> str:
    return str(text).replace("\u00a0", " ")
