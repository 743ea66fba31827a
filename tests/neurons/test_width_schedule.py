"""A width that changes in training is a coefficient: every form follows it, and no kernel is built again."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.config import from_dict, replace_leaves, to_dict
from spikeworks.core.errors import ConfigError
from spikeworks.core.progress import set_progress
from spikeworks.layers import Recurrent
from spikeworks.models import StackConfig
from spikeworks.neurons import (
    LIF,
    PMSN,
    SURROGATES,
    MaskedPSN,
    NeuronConfig,
    Option,
    SlidingPSN,
    Surrogate,
    WidthSchedule,
    config_for,
)

SCHEDULE = WidthSchedule(stop=0.5)


def current(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.8 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def gradients(neuron, backend, x):
    x = x.clone().requires_grad_()
    neuron.zero_grad()
    with kernels.use(backend):
        y, _ = neuron(x)
    (y * current(*y.shape, seed=7)).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in neuron.parameters())]


@pytest.mark.parametrize("backend", ["loop", "c", "torch"])
@pytest.mark.parametrize("kind", SURROGATES.names())
def test_a_scheduled_width_is_the_width_of_the_moment(kind, backend):
    values = {"trainable": ("decay", "threshold")}
    scheduled = LIF(6, surrogate=Surrogate(kind=kind, width=1.5, schedule=SCHEDULE), **values).double()
    x = current(40, 3, 6)
    for part in (0.0, 0.4, 1.0):
        scheduled.set_progress(part)
        fixed = LIF(6, surrogate=Surrogate(kind=kind, width=SCHEDULE.width(1.5, part)), **values).double()
        assert_close(gradients(scheduled, backend, x), gradients(fixed, "loop", x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("make", [SlidingPSN, PMSN])
def test_parallel_forms_follow(make):
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    scheduled = make(6, surrogate=Surrogate(width=1.5, schedule=SCHEDULE), generator=generators[0]).double()
    scheduled.set_progress(0.4)
    fixed = make(6, surrogate=Surrogate(width=1.1), generator=generators[1]).double()
    x = current(40, 3, 6)
    assert_close(gradients(scheduled, "parallel", x), gradients(fixed, "parallel", x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", ["loop", "c"])
def test_a_recurrent_layer_follows(backend):
    layers = []
    for surrogate in (Surrogate(width=1.5, schedule=SCHEDULE), Surrogate(width=1.1)):
        layers.append(Recurrent(LIF(6, surrogate=surrogate), generator=torch.Generator().manual_seed(0)).double())
    layers[0].neuron.set_progress(0.4)
    x = current(40, 3, 6)
    assert_close(gradients(layers[0], backend, x), gradients(layers[1], backend, x), rtol=1e-6, atol=1e-9)


def test_nothing_is_traced_or_built_again(monkeypatch):
    neuron = LIF(6, surrogate=Surrogate(schedule=SCHEDULE)).double()
    gradients(neuron, "c", current(10, 3, 6))
    for forbidden in ("spikeworks.neurons.derived.trace_step", "spikeworks.kernels.build.load"):
        monkeypatch.setattr(forbidden, None)
    found = []
    for part in (0.0, 0.5, 1.0):
        neuron.set_progress(part)
        found.append(gradients(neuron, "c", current(10, 3, 6))[1])
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[1], found[2])


def test_a_schedule_costs_nothing_forward_and_travels_with_the_weights():
    neuron, twin = (LIF(6, surrogate=Surrogate(schedule=SCHEDULE)) for _ in range(2))
    assert neuron.graph().operations() == LIF(6).graph().operations()
    neuron.set_progress(0.5)
    twin.load_state_dict(neuron.state_dict())
    assert twin.surrogate_sharpness == pytest.approx(1 / 0.75)
    assert not list(neuron.parameters()) and "surrogate_sharpness" not in LIF(6).state_dict()


def test_descriptions_with_a_schedule_round_trip():
    config = config_for("lif", surrogate=Surrogate(schedule=SCHEDULE))
    assert from_dict(NeuronConfig, to_dict(config)) == config
    changed = replace_leaves(config, {"surrogate.schedule.stop": 0.2})
    assert changed.surrogate.schedule.stop == 0.2


def test_the_network_tells_its_neurons():
    neuron = config_for("lif", surrogate=Surrogate(schedule=SCHEDULE))
    network = StackConfig(hidden=(6, 5), neuron=neuron).build(3, 2, torch.Generator().manual_seed(0))
    set_progress(network, 0.25)
    assert [1 / n.surrogate_sharpness.item() for _, n in network.neurons()] == pytest.approx([0.875, 0.875])


def test_a_mask_is_blended_in_over_training():
    neuron = MaskedPSN(6, blend=0.2, blend_over=0.5)
    seen = []
    for part in (0.0, 0.25, 0.5, 1.0):
        neuron.set_progress(part)
        seen.append(neuron.blend.item())
    assert seen == pytest.approx([0.2, 0.6, 1.0, 1.0])
    with pytest.raises(ConfigError, match="from 0 to 1; got 2"):
        MaskedPSN(6, blend_over=2.0)


def test_a_neuron_of_ones_own_gets_schedules_too():
    class Half(LIF):
        surrogate = Option(Surrogate(kind="arctan", schedule=SCHEDULE))

    neuron = Half(3)
    neuron.set_progress(1.0)
    assert neuron.surrogate_sharpness == 2.0
