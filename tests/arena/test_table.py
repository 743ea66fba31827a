"""The comparison as text: aligned, marked, narrow-safe, and never mistaken for markup."""

from __future__ import annotations

import io
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from spikeworks.arena.store import load_runs
from spikeworks.arena.summary import summarize
from spikeworks.arena.table import run_table, tables, to_markdown
from spikeworks.core import quantities

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))


def printed(root: Path, width: int | None = None, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width or 300, force_terminal=color, color_system="standard" if color else None)
    for table in tables(summarize(load_runs(root)), width):
        console.print(table)
    return out.getvalue().replace("\u00a0", " ")


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    for seed in range(2):
        make.write_run(tmp_path, "lif", seed, score=0.31 + 0.01 * seed, energy=0.8, parameters=12_345)
        make.write_run(tmp_path, "tc-lif", seed, score=0.68 + 0.01 * seed, energy=1530.0, parameters=2_500_000)
    make.write_diverged(tmp_path, "lif", 2)
    make.write_diverged(tmp_path, "alif", 0)
    return tmp_path


def test_the_full_table_holds_every_number_with_its_unit(comparison: Path) -> None:
    text = printed(comparison)
    best, second, failed = text.splitlines()[4:7]
    assert best.split()[:6] == ["★", "tc-lif", "68.5", "±", "0.7", "%"]
    for part in ("2.50 M", "1.53 µJ", "510 nJ", "10.0 %", "30.0 s", "333 /s", "1.03 k/s", "4.30 MB"):
        assert part in best
    assert "31.5 ± 0.7 %" in second and "2 of 3" in second and "800 pJ" in second and "12.3 k" in second
    assert "diverged" in failed and "0 of 1" in failed
    assert "accuracy ↑" in text and text.splitlines()[0].strip() == "seq-digits"


def test_columns_are_aligned_and_the_best_is_highlighted(comparison: Path) -> None:
    lines = [line.rstrip() for line in printed(comparison).splitlines()[4:7]]
    assert len({line.index("%") for line in lines[:2]}) == 1
    assert "\x1b[1;32m" in printed(comparison, color=True).splitlines()[4]


@pytest.mark.parametrize("width", [160, 100, 80, 60, 40])
def test_a_narrow_terminal_gets_fewer_columns_never_broken_ones(comparison: Path, width: int) -> None:
    text = printed(comparison, width)
    assert all(cell_len(line.rstrip()) <= width for line in text.splitlines())
    assert "68.5 ± 0.7 %" in text and "tc-lif" in text and "…" not in text
    assert len(text.splitlines()) == len(printed(comparison).splitlines())


def test_methods_differ_in_memory_first(tmp_path: Path) -> None:
    make.write_methods(tmp_path)
    wide, narrow = printed(tmp_path), printed(tmp_path, 62)
    heads = ["model", "accuracy", "↑", "seeds", "memory", "alive"]
    assert wide.splitlines()[2].split()[:6] == heads and "energy, time, memory" in wide
    assert "lif sltt" in wide and "250 kB" in wide and "420 kB" in wide and "3.00 s" in wide
    assert "memory: most that is kept for backward at once in an update of 32 sequences; alive: most that" in wide
    assert narrow.splitlines()[2].split() == [*heads[:5], "an", "epoch"] and "energy" not in narrow
    assert all(cell_len(line.rstrip()) <= 62 for line in narrow.splitlines())


def test_what_an_older_run_did_not_measure_is_missing(comparison: Path) -> None:
    best = printed(comparison).splitlines()[4].split()
    heads = printed(comparison).splitlines()[2]
    assert heads.split()[-2:] == ["alive", "pareto"] and "most that is kept" not in printed(comparison)
    assert best[best.index("MB") + 1] == "–"


def test_markup_in_a_label_stays_text(tmp_path: Path) -> None:
    make.write_run(tmp_path, "[red]a|b*", 0, directory="own-s0-000000000000")
    assert "[red]a|b*" in printed(tmp_path)
    assert r"**\[red\]a&#124;b\***" in to_markdown(summarize(load_runs(tmp_path)))


def test_a_long_label_is_cut_in_a_terminal(tmp_path: Path) -> None:
    make.write_run(tmp_path, "n" * 60, 0)
    text = printed(tmp_path, 60)
    assert "…" in text and "60.0 %" in text


def test_markdown_is_a_table_with_the_best_in_bold(comparison: Path) -> None:
    lines = to_markdown(summarize(load_runs(comparison))).replace("\u00a0", " ").splitlines()
    assert lines[0].startswith("| model | accuracy ↑ | seeds | params | energy |")
    assert lines[2].startswith("| **tc-lif** | **68.5 ± 0.7 %** | 2 | 2.50 M | 1.53 µJ |")
    assert lines[3].startswith("| lif | 31.5 ± 0.7 % | 2 of 3 |")
    assert len({line.count("|") for line in lines}) == 1


def test_markdown_of_several_tasks_has_headings(comparison: Path) -> None:
    make.write_run(comparison, "lif", 0, task="ptb", metric=make.PERPLEXITY, score=141.25)
    text = to_markdown(summarize(load_runs(comparison)))
    assert "### ptb\n\n| model | perplexity ↓ |" in text and "### seq-digits" in text and "**141.2**" in text


def test_one_run_in_full(comparison: Path) -> None:
    out = io.StringIO()
    record = load_runs(comparison)[1]
    Console(file=out, width=120).print(run_table(record))
    text = out.getvalue().replace("\u00a0", " ")
    for part in (
        record.id,
        "accuracy ↑",
        "31.0 %",
        "12, best at 12",
        "c – compiled with cc",
        "memory",
        "4.30 MB",
        "an epoch",
    ):
        assert part in text


def test_one_diverged_run_says_why(tmp_path: Path) -> None:
    make.write_diverged(tmp_path)
    out = io.StringIO()
    Console(file=out, width=120).print(run_table(load_runs(tmp_path)[0]))
    assert "loss is nan at step 41, learning rate 0.9" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (quantities.count(9034), "9034"),
        (quantities.count(999_960), "1.00 M"),
        (quantities.count(12_345), "12.3 k"),
        (quantities.energy(0.0), "0 pJ"),
        (quantities.energy(999.7), "1.00 µJ"),
        (quantities.energy(2.5e9), "2.50 J"),
        (quantities.size(1_500_000), "1.50 MB"),
        (quantities.rate(0.25), "0.25 /s"),
        (quantities.duration(0.0853), "85.3 ms"),
        (quantities.duration(12.5), "12.5 s"),
        (quantities.duration(200), "3 min 20 s"),
        (quantities.duration(3000), "50 min"),
        (quantities.duration(7500), "2 h 05 min"),
        (quantities.duration(3599.8), "1 h"),
        (quantities.percent(0.0012), "0.12 %"),
        (quantities.score(0.6817, 0.0112, "fraction"), "68.2 ± 1.1 %"),
        (quantities.score(118.43, 1.17), "118.4 ± 1.2"),
        (quantities.score(2.5, None, "degree"), "2.500 degree"),
        (quantities.score(None), "–"),
        (quantities.energy(float("nan")), "–"),
        (quantities.duration(None), "–"),
    ],
)
def test_quantities_read_well(text: str, expected: str) -> None:
    assert text.replace("\u00a0", " ") == expected
