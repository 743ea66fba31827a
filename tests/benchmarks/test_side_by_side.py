"""The benchmarks' stopwatch: contestants in turns, medians of ratios, and no figure without agreement."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmarks.kernel_alone import alone
from benchmarks.side_by_side import (
    DisagreementError,
    Target,
    Times,
    check_close,
    check_spikes,
    in_turns,
    started,
    table,
    write,
)

from spikeworks import kernels
from spikeworks.neurons import config_for


class Clock:
    """Time that passes only when a contestant runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contestant(self, name: str, *seconds: float) -> Callable[[], None]:
        """Takes these seconds in its calls, one after the other and then again from the first."""
        calls = iter(list(seconds) * 100)

        def run() -> None:
            self.order.append(name)
            self.now += next(calls)

        return run


def test_contestants_take_turns_in_changing_order_after_a_warm_up() -> None:
    clock = Clock()
    in_turns({name: clock.contestant(name, 1.0) for name in "abc"}, 3, clock=clock)
    assert "".join(clock.order) == "abc" + "abc" + "bca" + "cab"


def test_figures_are_medians_and_ratios_are_taken_within_a_round() -> None:
    clock = Clock()
    # the machine is ten times slower in the second round; the ratio does not see it
    quick, slow = clock.contestant("quick", 9.0, 1.0, 10.0, 1.0), clock.contestant("slow", 9.0, 3.0, 30.0, 3.0)
    times = in_turns({"quick": quick, "slow": slow}, 3, clock=clock)
    assert times.seconds == {"quick": [1.0, 10.0, 1.0], "slow": [3.0, 30.0, 3.0]}
    assert times.ms("slow") == 3000.0
    assert times.ratio("slow", "quick") == pytest.approx(3.0)


def test_what_takes_very_long_runs_once_without_warm_up() -> None:
    clock = Clock()
    contestants = {"long": clock.contestant("long", 50.0), "short": clock.contestant("short", 1.0)}
    times = in_turns(contestants, 3, warmups=2, once=["long"], clock=clock)
    assert clock.order.count("long") == 1 and clock.order.count("short") == 5
    assert times.runs("long") == 1 and times.ratio("long", "short") == pytest.approx(50.0)


def test_different_values_refuse_a_figure() -> None:
    expected = torch.tensor([1.0, 100.0, float("nan")])
    check_close("kernel", expected + 1e-4, expected)
    with pytest.raises(DisagreementError, match="kernel: 1 values differ, by up to 0.5; no speed is told"):
        check_close("kernel", expected + torch.tensor([0.0, 0.5, 0.0]), expected)
    with pytest.raises(DisagreementError, match=r"shape \[2\], expected \[3\]"):
        check_close("kernel", expected[:2], expected)
    with pytest.raises(DisagreementError):
        check_close("kernel", torch.full((3,), float("nan")), expected)


def test_more_than_a_few_different_spikes_refuse_a_figure() -> None:
    expected = torch.zeros(2000)
    found = expected.clone()
    found[:1] = 1.0
    check_spikes("peer", found, expected)
    found[:3] = 1.0
    with pytest.raises(DisagreementError, match="peer: 0.15 % of the spikes differ"):
        check_spikes("peer", found, expected)


@pytest.mark.parametrize("name", ["lif", "alif"])
def test_kernels_alone_write_what_the_loop_computes(name: str) -> None:
    neuron = config_for(name).build(5, torch.Generator().manual_seed(0))
    x, gradient = (torch.randn(70, 3, 5, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    leaf = x.clone().requires_grad_()
    with kernels.use("loop"):
        y, _ = neuron(leaf)
    y.backward(gradient)
    found = alone(neuron, x, gradient)
    assert found is not None
    assert found.y.isnan().all() and found.gx.isnan().all()
    found.run()
    assert torch.equal(found.y, y)
    assert leaf.grad is not None
    check_close("gradient", found.gx, leaf.grad)


def test_targets_and_figures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [Target("fast", 2.0, 1.5), Target("small", 0.6, 0.5, at_least=False)]
    file = write(tmp_path / "new", "one", {"times": Times({"a": [1.0, None]}).to_dict(), "lost": float("nan")}, targets)
    body = json.loads(file.read_text())
    assert body["times"]["a"] == {"ms": 1000.0, "rounds_ms": [1000.0, None]}
    assert body["lost"] is None and "cpu" in body["environment"]["machine"]
    assert [t["met"] for t in body["targets"]] == [True, False]
    shown = capsys.readouterr().out
    assert "| small | ≤ 0.5 | 0.60 | **missed** |" in shown and "one.json" in shown


def test_options_are_checked_and_the_line_names_the_machine() -> None:
    with pytest.raises(SystemExit, match="at least 1"):
        started(argparse.Namespace(rounds=0, threads=1))
    assert "1 threads, medians of 3 rounds" in started(argparse.Namespace(rounds=3, threads=1))
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |"
