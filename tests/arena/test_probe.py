"""The temporal probe: equal conditions, intervals that hold, rules of the verdict, a page with everything on it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spikeworks import kernels
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.probe_gain import Difference, above, difference, interval, values
from spikeworks.arena.probe_page import render, write_probe
from spikeworks.arena.probe_plan import Trial, plan_probe, windows
from spikeworks.arena.probe_run import Probe, probe
from spikeworks.arena.probe_verdict import Curve, Gains, Point, Score, gain_text, horizon, judge
from spikeworks.arena.progress import Progress
from spikeworks.arena.run import Run
from spikeworks.arena.summary import Estimate
from spikeworks.core.errors import ConfigError, UnknownName
from spikeworks.core.seeds import stream
from spikeworks.learning import BPTTConfig, NoTDConfig, SDBPConfig
from spikeworks.measure import stats
from spikeworks.tasks import task_for

ADDING = task_for("binary-adding", steps=12, marks=3, train_size=64, validation_size=32, test_size=64)
DIGITS = task_for("seq-digits", by="row")


def brief(config: RunConfig) -> RunConfig:
    model = dataclasses.replace(config.model, hidden=(8, 6))  # type: ignore[type-var]
    return dataclasses.replace(config, model=model, budget=Budget(epochs=2, batch_size=32))


@pytest.fixture(autouse=True)
def _without_a_compiler() -> Iterator[None]:
    with kernels.use("torch"):
        yield


class Count(Progress):
    def __init__(self) -> None:
        self.begun_: list[str] = []

    def begun(self, config: RunConfig, directory: Path, resumed: str | None) -> None:
        self.begun_.append(f"{config.shown} {config.seed}")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Probe, Path]:
    root = tmp_path_factory.mktemp("runs")
    with kernels.use("torch"):
        return probe(ADDING, "lif", seeds=2, root=root, change=brief), root


# -- what is trained -----------------------------------------------------------------------------


def test_the_networks_of_a_seed_differ_in_time_alone(found: tuple[Probe, Path]) -> None:
    trials = plan_probe(ADDING, "lif", seeds=(0, 1), horizons="full", change=brief)
    assert len(trials) == 2 * (2 * 3 + 2 * 2 * 3)
    plain = {dataclasses.replace(_neutral(t.config), seed=0).id for t in trials}
    assert len(plain) == 1
    assert [t.config.seed for t in trials] == [0] * 18 + [1] * 18
    labels = [t.config.label for t in trials[:18]]
    assert len(set(labels)) == 18 and labels[:3] == ["lif NoTD mean", "lif SDBP mean", "lif STBP mean"]
    assert "lif memory 4 last" in labels
    weights = []
    for trial in trials[:3]:
        network = Run(trial.config).network(ADDING.build())
        weights.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[2])


def _neutral(config: RunConfig) -> RunConfig:
    model: object = config.model
    model = dataclasses.replace(model, readout=dataclasses.replace(model.readout, kind="mean"))  # type: ignore
    return dataclasses.replace(config, method=BPTTConfig(), label=None, model=model)  # type: ignore[arg-type]


def test_methods_and_windows_of_the_plan() -> None:
    trials = plan_probe(ADDING, "lif", seeds=(0,), horizons="short", change=brief)
    told = [(t.mode, t.readout, type(t.config.method), getattr(t.config.method, "window", None)) for t in trials]
    assert told == [
        *(
            (mode, readout, kind, window)
            for readout in ("mean", "last")
            for mode, kind, window in (("notd", NoTDConfig, 1), ("sdbp", SDBPConfig, 1), ("stbp", BPTTConfig, None))
        ),
        ("credit", "last", SDBPConfig, 4),  # the task's own readout
        ("memory", "last", NoTDConfig, 4),
    ]
    assert {t.readout for t in plan_probe(DIGITS, "lif", seeds=(0,), change=brief) if t.reach} == {"mean"}


@pytest.mark.parametrize("steps", [2, 3, 7, 8, 12, 30, 31, 64, 101, 784])
@pytest.mark.parametrize("factor", [2, 4])
def test_windows_leave_the_last_step_the_reach_that_they_name(steps: int, factor: int) -> None:
    for reach, window in windows(steps, factor, last=True):
        assert 1 < reach < steps
        cuts = [t for t in range(steps) if t % window == 0]
        assert steps - cuts[-1] == reach
    reaches = [reach for reach, _ in windows(steps, factor, last=True)]
    assert reaches == sorted(set(reaches))
    assert all(reach == window for reach, window in windows(steps, factor, last=False))
    assert steps < 3 * factor or reaches


def test_what_cannot_be_probed_is_told() -> None:
    with pytest.raises(UnknownName, match="horizons 'longer'"):
        plan_probe(ADDING, "lif", horizons="longer")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="readout for task binary-adding 'every'"):
        plan_probe(ADDING, "lif", readouts=["every"])
    with pytest.raises(ConfigError, match="at least one readout"):
        plan_probe(ADDING, "lif", readouts=[])
    with pytest.raises(ConfigError, match="at least one seed"):
        plan_probe(ADDING, "lif", seeds=[])
    with pytest.raises(ConfigError, match="leave out method sdbp"):
        plan_probe(ADDING, "lif", change=lambda c: dataclasses.replace(c, method=SDBPConfig()))


def test_neurons_that_mix_all_steps_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mixes all steps at once"):
        probe(ADDING, "psn", seeds=1, root=tmp_path, change=brief)
    assert not any(tmp_path.iterdir())


# -- values and intervals ------------------------------------------------------------------------


def test_values_are_those_of_the_test_score(found: tuple[Probe, Path]) -> None:
    result, root = found
    for outcome in result.outcomes:
        assert outcome.result is not None
        run = Run(outcome.config, root)
        right = values(run.trained(), outcome.config.task.build(), 32)
        assert right.shape == (64,) and set(right.tolist()) <= {0.0, 1.0}
        assert right.mean().item() == pytest.approx(outcome.result["score"]["test"])


def test_gains_are_the_differences_of_the_scores(found: tuple[Probe, Path]) -> None:
    result, _ = found
    for gains in result.gains:
        none, space, full = (result.score(mode, gains.readout).test for mode in ("notd", "sdbp", "stbp"))
        assert none and space and full and gains.state and gains.credit and gains.total
        assert gains.state.mean == pytest.approx(space.mean - none.mean)
        assert gains.credit.mean == pytest.approx(full.mean - space.mean)
        assert gains.total.mean == pytest.approx(full.mean - none.mean)
        for gain in (gains.state, gains.credit, gains.total):
            assert gain.low <= gain.mean <= gain.high and gain.seeds == (0, 1)
    for score in result.scores:
        epochs = [o.result["score"]["chosen_epoch"] for o in result.outcomes if o.result and (o.result["label"]
                  == f"lif {score.mode.upper().replace('NOTD', 'NoTD')} {score.readout}")]  # fmt: skip
        assert len(epochs) == 2 and score.late == (sum(e > 1.8 for e in epochs) > 1)
    assert result.chance == pytest.approx(0.25) and result.steps == 12


def test_token_values_are_minus_the_losses() -> None:
    from spikeworks.core.batch import Batch
    from spikeworks.tasks.base import TokenTask

    class Data:
        def plan(self, size: int) -> list[int]:
            return [0, 1]

        def batch(self, item: int) -> Batch:
            ids = torch.arange(6).reshape(2, 3) % 4
            return Batch(x=ids, target=(ids + 1) % 4, fresh=item == 0)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(0.7))

        def forward(self, x: Tensor, state: object) -> tuple[Tensor, int]:
            assert (state is None) == (not hasattr(self, "seen"))
            self.seen = True
            return self.scale * torch.nn.functional.one_hot(x.t(), 4).float(), 1

    class Ids:
        kind = "tokens"

    task = type("T", (), {"signature": Ids, "data": lambda self, split: Data()})()
    net = Net()
    found = values(net, task, 2)  # type: ignore[arg-type]
    assert found.shape == (4,)
    batch = Data().batch(0)
    del net.seen
    loss = TokenTask.loss(task, net(batch.x, None)[0], batch)  # type: ignore[arg-type]
    assert -found.mean().item() == pytest.approx(loss.item(), rel=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Crossed noise of seeds and sequences; also with three seeds, where a plain bootstrap is far too narrow."""
    generator, inside, rounds = stream(0, "coverage"), 0, 200
    for _ in range(rounds):
        by_seed = 0.05 * torch.randn(3, 1, generator=generator, dtype=torch.float64)
        by_sequence = 0.3 * torch.randn(1, 60, generator=generator, dtype=torch.float64)
        noise = 0.3 * torch.randn(3, 60, generator=generator, dtype=torch.float64)
        low, high = interval(0.1 + by_seed + by_sequence + noise, generator, resamples=400)
        inside += low <= 0.1 <= high
    assert 0.92 <= inside / rounds <= 1.0


def test_the_seeds_part_is_about_students() -> None:
    rows = torch.tensor([0.02, 0.05, 0.09, 0.10], dtype=torch.float64)
    low, high = interval(rows[:, None].expand(4, 500).clone(), stream(0, "seeds"), resamples=20_000)
    told = stats.summarize(rows.tolist())
    assert told.low is not None and told.high is not None
    assert high - low == pytest.approx(told.high - told.low, rel=0.15)


def test_one_seed_leaves_the_bootstrap_over_sequences() -> None:
    one = (torch.rand(1, 400, generator=stream(0, "one"), dtype=torch.float64) < 0.3).double()
    low, high = interval(one, stream(0, "a"), resamples=5000)
    expected = stats.bootstrap_interval(one[0].tolist(), stream(0, "b"))
    assert expected is not None
    assert (low, high) == pytest.approx(expected, abs=0.006)


def test_differences_take_the_seeds_that_both_have() -> None:
    a = {0: torch.ones(4).double(), 2: torch.zeros(4).double()}
    b = {0: torch.zeros(4).double(), 1: torch.zeros(4).double()}
    assert difference(a, b) == Difference(mean=1.0, low=1.0, high=1.0, seeds=(0,))
    assert difference(a, {}) is None and above({}, 0.1) is None
    over = above(a, 0.25)
    assert over is not None and over.mean == pytest.approx(0.25) and over.seeds == (0, 2)


@pytest.mark.parametrize(
    ("low", "mean", "high", "kind"),
    [
        (0.01, 0.05, 0.09, "gain"),
        (-0.01, 0.05, 0.11, "open"),
        (0.001, 0.01, 0.019, "none"),
        (0.001, 0.01, 0.03, "open"),
        (-0.015, 0.0, 0.015, "none"),
        (-0.09, -0.05, -0.01, "loss"),
        (-0.11, -0.05, 0.01, "open"),
    ],
)
def test_kinds_of_a_difference(low: float, mean: float, high: float, kind: str) -> None:
    assert Difference(mean=mean, low=low, high=high).kind(0.02) == kind


# -- the verdict on made-up results --------------------------------------------------------------


def sure(mean: float, half: float = 0.01) -> Difference:
    return Difference(mean=mean, low=mean - half, high=mean + half)


def made(rows: dict[str, tuple[float, float, float]], half: float = 0.01, chance: float = 0.1, least: float = 0.02):
    """A verdict on NoTD, SDBP and STBP of every readout, all with the same uncertainty."""
    scores, gains = [], []
    for readout, row in rows.items():
        for mode, test in zip(("notd", "sdbp", "stbp"), row, strict=True):
            estimate = Estimate(test, 0.01, (test,) * 3)
            over = sure(test - chance, half)
            scores.append(Score(mode=mode, readout=readout, test=estimate, validation=test, above_chance=over))
        none, space, full = row
        gains.append(
            Gains(
                readout=readout,
                state=sure(space - none, half),
                credit=sure(full - space, half),
                total=sure(full - none, half),
            )
        )
    full, none = (max(row[i] for row in rows.values()) for i in (2, 0))
    return judge(scores, gains, sure(full - none, half), least=least)


@pytest.mark.parametrize(
    ("rows", "finding", "answer"),
    [
        ({"mean": (0.74, 0.39, 0.67), "last": (0.14, 0.14, 0.28)}, "pooling", "no"),  # adding, sheet 03 7b
        ({"last": (0.14, 0.14, 0.28)}, "credit", "yes"),
        ({"mean": (0.95, 0.95, 0.955), "last": (0.96, 0.955, 0.96)}, "step", "no"),
        ({"mean": (0.60, 0.75, 0.76), "last": (0.30, 0.50, 0.70)}, "state", "yes"),
        ({"mean": (0.60, 0.70, 0.80), "last": (0.30, 0.35, 0.50)}, "both", "yes"),
        ({"mean": (0.60, 0.615, 0.625)}, "memory", "yes"),
        ({"mean": (0.10, 0.105, 0.10), "last": (0.10, 0.10, 0.105)}, "untrained", "undecided"),
    ],
)
def test_findings(rows: dict[str, tuple[float, float, float]], finding: str, answer: str) -> None:
    verdict = made(rows)
    assert (verdict.finding, verdict.answer) == (finding, answer)
    assert verdict.sentence.startswith({"no": "No: ", "yes": "Yes: ", "undecided": "No statement: "}[answer])


def test_wide_intervals_decide_nothing() -> None:
    verdict = made({"mean": (0.60, 0.62, 0.64)}, half=0.06)
    assert verdict.finding == verdict.answer == "undecided" and "More seeds" in verdict.sentence
    assert any("+2.0 points [−4.0, +8.0], not sure" in line for line in verdict.details)


def test_what_counts_can_be_set() -> None:
    assert made({"mean": (0.60, 0.64, 0.66)}, least=0.1).finding == "pooling"
    assert made({"mean": (0.60, 0.64, 0.66)}, least=0.02).finding == "both"


def test_the_words_name_numbers_and_pitfalls() -> None:
    verdict = made({"mean": (0.74, 0.39, 0.67), "last": (0.14, 0.14, 0.28)})
    assert "a bag of frames suffices" in verdict.sentence and "67.0" in verdict.sentence and "74.0" in verdict.sentence
    assert "(−7.0 points [−8.0, −6.0])" in verdict.sentence
    text = " ".join(verdict.details)
    assert "Read by the last step: carrying the state brings +0.0 points" in text
    assert "temporal credit +14.0 points [+13.0, +15.0], a gain" in text
    assert "A mean over time is itself temporal pooling" in text and "not that time is absent" in text
    text = " ".join(made({"last": (0.14, 0.14, 0.28)}).details)
    assert "Only the last step was read" in text and "pooling:" not in text


def test_networks_that_may_not_be_done_are_named() -> None:
    scores = [
        Score(mode=m, readout="mean", test=Estimate(v, 0.01, (v, v)), validation=v, late=m == "notd")
        for m, v in zip(("notd", "sdbp", "stbp"), (0.6, 0.5, 0.7), strict=True)
    ]
    gains = [Gains(readout="mean", state=sure(-0.1), credit=sure(0.2), total=sure(0.1))]
    text = " ".join(judge(scores, gains, sure(0.1)).details)
    assert "Best in the last tenth of training: NoTD (mean). Longer training may move them" in text
    assert "last tenth" not in " ".join(made({"mean": (0.6, 0.5, 0.7)}).details)


def test_runs_that_failed_leave_it_open() -> None:
    scores = [Score(mode=mode, readout="mean", test=None) for mode in ("notd", "sdbp", "stbp")]
    verdict = judge(scores, [Gains(readout="mean", state=None, credit=None, total=None)], None)
    assert verdict.finding == "undecided" and "failed" in verdict.sentence
    assert gain_text(None, "fraction") == "–"


def curve(*gains: float, half: float = 0.01) -> Curve:
    points = tuple(
        Point(reach=2**k, window=2**k if k < len(gains) - 1 else None, test=Estimate(g, None, (g,)), gain=sure(g, half))
        for k, g in enumerate(gains)
    )
    return Curve(kind="memory", readout="last", points=points)


@pytest.mark.parametrize(
    ("gains", "reach", "short"),
    [
        ((0.0, 0.1, 0.19, 0.2, 0.2), 4, 2),
        ((0.0, 0.02, 0.05, 0.1, 0.2), 16, 8),
        ((0.0, 0.19, 0.1, 0.2, 0.2), 8, 4),  # from there on, not once
        ((0.0, 0.25, 0.3, 0.25, 0.2), 2, 1),  # less may be more
    ],
)
def test_horizons(gains: tuple[float, ...], reach: int, short: int) -> None:
    found = horizon(curve(*gains))
    assert found is not None and (found.reach, found.short) == (reach, short)


def test_no_gain_no_horizon() -> None:
    assert horizon(curve(0.0, 0.005, 0.01)) is None
    assert horizon(curve(0.0, 0.1, 0.1, half=0.2)) is None
    assert horizon(curve(0.0, -0.1, -0.2)) is None


def test_horizons_in_words() -> None:
    rows = {"last": (0.2, 0.2, 0.4)}
    scores, gains = [], []
    for readout, row in rows.items():
        scores = [
            Score(mode=m, readout=readout, test=Estimate(v, 0.01, (v, v)), validation=v)
            for m, v in zip(("notd", "sdbp", "stbp"), row, strict=True)
        ]
        gains = [Gains(readout=readout, state=sure(0.0), credit=sure(0.2), total=sure(0.2))]
    verdict = judge(scores, gains, sure(0.2), [curve(0.0, 0.1, 0.19, 0.2), curve(0.0, 0.05, 0.1), curve(0.0, 0.0)])
    text = " ".join(verdict.details)
    assert "Horizon of memory, read by the last step: 4 of 8 steps are enough for 90 % of the gain, 2 are" in text
    assert "all 4 steps; 2 are too few" in text and "shows no gain that is sure" in text


def test_nats_for_tokens() -> None:
    assert gain_text(sure(-0.05), "perplexity") == "−0.050 nats [−0.060, −0.040]"


# -- the whole of it -----------------------------------------------------------------------------


def test_a_probe_is_read_again_and_goes_on_where_runs_are_missing(found: tuple[Probe, Path]) -> None:
    result, root = found
    count = Count()
    again = probe(ADDING, "lif", seeds=2, root=root, change=brief, progress=count)
    assert count.begun_ == []
    assert (again.verdict, again.scores, again.gains, again.curves) == (
        result.verdict, result.scores, result.gains, result.curves,
    )  # fmt: skip
    more = probe(
        ADDING, "lif", seeds=[0, 2], readouts=["last"], horizons="none", root=root, change=brief, progress=count
    )
    assert count.begun_ == [f"lif {name} last 2" for name in ("NoTD", "SDBP", "STBP")]
    assert more.curves == () and [s.readout for s in more.scores] == ["last"] * 3


def test_curves_run_from_no_time_to_all_of_it(found: tuple[Probe, Path]) -> None:
    result, _ = found
    assert [(c.kind, c.readout) for c in result.curves] == [("credit", "last"), ("memory", "last")]
    for one, start in zip(result.curves, ("sdbp", "notd"), strict=True):
        assert [(p.reach, p.window) for p in one.points] == [(1, 1), (4, 4), (12, None)]
        first, full = result.score(start, "last").test, result.score("stbp", "last").test
        assert first and full and one.points[0].test == first and one.points[-1].test == full
        assert one.points[0].gain.mean == 0 and one.points[-1].gain.mean == pytest.approx(full.mean - first.mean)


def test_the_page_holds_verdict_scores_gains_and_curves(found: tuple[Probe, Path], tmp_path: Path) -> None:
    result, _ = found
    path = write_probe(result, tmp_path, "spikeworks probe binary-adding")
    assert path == tmp_path / "probe-binary-adding-lif.html"
    page = path.read_text(encoding="utf-8")
    assert result.verdict.sentence.replace("&", "&amp;") in page
    assert page.count("<svg") == 2 and page.count("</svg>") == 2 and "mathdefault" not in page
    for mode in ("notd", "sdbp", "stbp"):
        test = result.score(mode, "last").test
        assert test is not None and f"{100 * test.mean:.1f}" in page
    for gains in result.gains:
        assert gain_text(gains.state, "fraction") in page and gain_text(gains.credit, "fraction") in page
    assert "memory cleared every K steps" in page and "Made by <code>spikeworks probe binary-adding</code>" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)  # nothing is loaded
    assert "optimiser" in page and "epochs" in page


def test_a_page_without_curves_and_with_failed_runs(found: tuple[Probe, Path]) -> None:
    result, _ = found
    outcomes = (dataclasses.replace(result.outcomes[0], result=None, directory=Path("no/such")), *result.outcomes[1:])
    scores = (dataclasses.replace(result.scores[0], test=None), *result.scores[1:])
    gains = tuple(dataclasses.replace(g, state=None, credit=None, total=None) for g in result.gains)
    page = render(dataclasses.replace(result, outcomes=outcomes, scores=scores, gains=gains, overall=None, curves=()))
    assert "1 of 16 runs gave no score" in page and "<svg" not in page and "How long a memory" not in page


def test_runs_that_diverge_do_not_stop_the_probe(tmp_path: Path) -> None:
    def wild(config: RunConfig) -> RunConfig:
        return dataclasses.replace(
            brief(config), optimizer=dataclasses.replace(config.optimizer, learning_rate=1e37, clip=None)
        )

    result = probe(ADDING, "lif", seeds=1, readouts=["mean"], horizons="none", root=tmp_path, change=wild)
    assert any(outcome.result is None for outcome in result.outcomes)
    assert result.verdict.answer == "undecided" and "No score" not in render(result)


def test_digits_by_row_take_their_own_length(tmp_path: Path) -> None:
    def small(config: RunConfig) -> RunConfig:
        return dataclasses.replace(brief(config), budget=Budget(epochs=1, batch_size=256))

    result = probe(DIGITS, "lif", seeds=1, readouts=["mean"], root=tmp_path, change=small)
    assert result.steps == 8 and [p.reach for p in result.curves[0].points] == [1, 4, 8]
    assert any("One seed" in line for line in result.verdict.details)
    assert any("Where a readout pools" in note for note in result.notes)


def test_delays_and_norms_are_pointed_out(tmp_path: Path) -> None:
    from spikeworks.layers import DelayConfig

    def delayed(config: RunConfig) -> RunConfig:
        config = brief(config)
        model = dataclasses.replace(config.model, delay=DelayConfig(max_delay=3), norm="batch")  # type: ignore
        return dataclasses.replace(config, model=model, budget=Budget(epochs=1, batch_size=64))

    result = probe(ADDING, "lif", seeds=1, readouts=["mean"], horizons="none", root=tmp_path, change=delayed)
    assert any("Delays are a memory" in note for note in result.notes)
    assert any("Norm batch" in note for note in result.notes)


def test_trials_are_descriptions() -> None:
    trial = plan_probe(ADDING, "lif", seeds=(3,), horizons="none", change=brief)[0]
    assert isinstance(trial, Trial) and trial.config.seed == 3
    assert RunConfig.from_dict(_plain(trial.config)) == trial.config


def _plain(config: RunConfig) -> dict:
    from spikeworks.core.config import to_dict

    return to_dict(config)
