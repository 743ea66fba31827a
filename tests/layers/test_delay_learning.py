"""What learnt delays are for: tasks whose answer is in the timing, solved by memoryless neurons."""

from __future__ import annotations

import math
from statistics import mean

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikeworks.layers import BatchNorm, DelayConfig, DelayLinear, Readout, ReadoutConfig
from spikeworks.neurons import LIF, Surrogate, WidthSchedule

# -- a teacher's delays ------------------------------------------------------------------------------


def recovered(config: DelayConfig, seed: int, *, inputs: int = 8, outputs: int = 8, updates: int = 400) -> float:
    """Share of the delays of a teacher's strong synapses that a student finds from its output."""
    generator = torch.Generator().manual_seed(seed)
    fixed = DelayConfig(max_delay=config.max_delay, learned=False)
    teacher = DelayLinear(inputs, outputs, fixed, generator=generator).eval()
    student = DelayLinear(inputs, outputs, config, generator=generator)
    with torch.no_grad():
        teacher.weight.mul_(3.0)
    groups = [{"params": [student.weight, student.bias], "lr": 0.1}, {"params": [student.position], "lr": 0.3}]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for update in range(updates):
        student.set_progress(update / updates)
        x = (torch.rand(60, 16, inputs, generator=generator) < 0.1).float()
        with torch.no_grad():
            target, _ = teacher(x)
        optimizer.zero_grad()
        functional.mse_loss(student(x)[0], target).backward()
        optimizer.step()
        schedule.step()
    strong = teacher.weight.abs() > 0.5 * teacher.weight.abs().max()
    return (teacher.whole_delays() == student.whole_delays())[strong].float().mean().item()


def narrowing(max_delay: int) -> DelayConfig:
    whole = WidthSchedule(stop=0.5, kind="exponential", over=1.0)
    return DelayConfig(max_delay=max_delay, schedule=whole, finish="none")


def narrow(max_delay: int) -> DelayConfig:
    return DelayConfig(max_delay=max_delay, width=0.5, finish="none")


def test_a_student_finds_the_delays_of_a_teacher():
    assert recovered(narrowing(12), 0, outputs=4, updates=200) > 0.8
    assert recovered(narrow(12), 0, outputs=4, updates=60) < 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_narrowing_width_finds_delays_that_a_narrow_one_misses():
    assert min(recovered(narrowing(20), seed) for seed in range(3)) > 0.9
    assert max(recovered(narrow(20), seed) for seed in range(3)) < 0.5


# -- two spikes and the time between them ------------------------------------------------------------


class Coincidence(nn.Module):
    """Delays, then neurons without memory that tell whether two spikes arrive together."""

    def __init__(self, config: DelayConfig, hidden: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.synapse = DelayLinear(2, hidden, config, generator=generator)
        self.norm = BatchNorm(hidden)
        self.neuron = LIF(hidden, decay=0.0, surrogate=Surrogate(kind="arctan", width=0.4))
        self.readout = Readout(hidden, classes, ReadoutConfig(kind="sum"), generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        current, _ = self.synapse(x)
        spikes, _ = self.neuron(self.norm(current))
        return self.readout(spikes)[0]


def two_spikes(lags: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One spike in each of two channels; the class is the lag of the second behind the first."""
    reach = int(lags.abs().max())
    target = torch.randint(len(lags), (count,), generator=generator)
    first = torch.randint(reach, reach + 6, (count,), generator=generator)
    x, rows = torch.zeros(4 * reach + 12, count, 2), torch.arange(count)
    x[first, rows, 0] = 1.0
    x[first + lags[target], rows, 1] = 1.0
    return x, target


def accuracies(
    config: DelayConfig, seed: int, *, lags: Tensor, hidden: int = 24, updates: int = 600
) -> tuple[float, float]:
    """Accuracy after training: with the kernels of training, and as deployed."""
    generator = torch.Generator().manual_seed(seed)
    network = Coincidence(config, hidden, len(lags), generator)
    delays = [p for name, p in network.named_parameters() if name.endswith("position")]
    others = [p for name, p in network.named_parameters() if not name.endswith("position")]
    groups = [{"params": others, "lr": 1e-2}, *([{"params": delays, "lr": 0.1}] if delays else [])]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda u: 0.5 * (1 + math.cos(math.pi * u / updates)))
    for update in range(updates):
        network.synapse.set_progress(update / updates)
        x, target = two_spikes(lags, 64, generator)
        optimizer.zero_grad()
        functional.cross_entropy(network(x), target).backward()
        optimizer.step()
        schedule.step()
    x, target = two_spikes(lags, 512, torch.Generator().manual_seed(99))
    with torch.no_grad():
        network.norm.eval()
        trained = (network(x).argmax(1) == target).float().mean().item()
        return trained, (network.eval()(x).argmax(1) == target).float().mean().item()


def test_learnt_delays_tell_lags_that_no_memoryless_network_can():
    lags = torch.tensor([-6, -2, 2, 6])
    assert accuracies(DelayConfig(max_delay=12), 1, lags=lags, updates=200)[1] > 0.7
    assert accuracies(DelayConfig(max_delay=0), 1, lags=lags, updates=40)[1] < 0.4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_learnt_delays_beat_drawn_ones_and_need_the_finish():
    lags = torch.arange(-10, 12, 3)

    def run(config: DelayConfig) -> tuple[float, float]:
        trained, deployed = zip(*(accuracies(config, seed, lags=lags) for seed in range(3)), strict=True)
        return mean(trained), mean(deployed)

    drawn = run(DelayConfig(max_delay=20, learned=False))
    gaussian = run(DelayConfig(max_delay=20, finish="none"))
    finished = run(DelayConfig(max_delay=20))
    assert run(DelayConfig(max_delay=0))[1] < 0.3
    assert gaussian[0] > 0.85  # what training saw ...
    assert gaussian[1] < gaussian[0] - 0.3  # ... is not what rounding leaves
    assert finished[0] == finished[1]
    assert finished[1] > drawn[1] + 0.1 and finished[1] > gaussian[1] + 0.1
