"""The probe's methods: what NoTD, SDBP and their windows leave of a network, forward and backward."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError
from spikeworks.core.state import detach
from spikeworks.layers import ReadoutConfig, Recurrent
from spikeworks.learning import BPTTConfig, MethodConfig, NoTDConfig, SDBPConfig
from spikeworks.learning.forgetful import Forgetful, make_forgetful
from spikeworks.models import Network, StackConfig
from spikeworks.models.resnet import SEWResNet18Config
from spikeworks.neurons import config_for

STEPS = 12


@pytest.fixture(autouse=True)
def _without_a_compiler():
    """What is tested here stands around the kernels, and compiling them takes longer than all of it."""
    with kernels.use("torch"):
        yield


def network(method: MethodConfig, *, recurrent: bool = False, steps: int = STEPS, **options: object) -> Network:
    config = StackConfig(hidden=(7, 5), recurrent=(True, True) if recurrent else (), **options)  # type: ignore[arg-type]
    built = config.build(3, 4, torch.Generator().manual_seed(2)).double()
    for p in built.parameters():  # dense enough for spikes everywhere
        p.data.mul_(2.0)
    method.prepare(built)
    return built


def signal(steps: int = STEPS, batch: int = 6) -> Tensor:
    return 1.5 * torch.rand(steps, batch, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def hidden(net: Network, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _m, _a, result: found.append(result[0])) for block in net.blocks]
    net(x)
    for hook in hooks:
        hook.remove()
    return found


def learned(net: Network, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    target = torch.arange(x.shape[1]) % 4
    loss = torch.nn.functional.cross_entropy(net(x)[0], target)
    return loss, list(torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, materialize_grads=True))


@pytest.mark.parametrize("recurrent", [False, True])
def test_complete_and_spatial_have_the_same_spikes_and_loss_and_other_gradients(recurrent):
    x = signal()
    complete, spatial = (network(m, recurrent=recurrent) for m in (BPTTConfig(), SDBPConfig()))
    spikes = hidden(complete, x)
    assert all(torch.equal(a, b) for a, b in zip(spikes, hidden(spatial, x), strict=True))
    assert all(0.02 < s.mean() < 0.98 for s in spikes)
    (loss, full), (same, cut) = learned(complete, x), learned(spatial, x)
    assert torch.equal(loss, same)
    assert not torch.allclose(full[0], cut[0])
    (loss, full), (same, cut) = learned(complete, x[:1]), learned(spatial, x[:1])
    assert torch.equal(loss, same)
    without = [i for i, (name, _) in enumerate(complete.named_parameters()) if "neuron.synapse.weight" not in name]
    assert_close([full[i] for i in without], [cut[i] for i in without], rtol=0, atol=0)


@pytest.mark.parametrize("recurrent", [False, True])
def test_spatial_gradients_reach_no_other_step_in_any_layer(recurrent):
    x = signal(6).requires_grad_()
    reached = False
    for spikes in hidden(network(SDBPConfig(), recurrent=recurrent), x):
        for t in range(6):
            (g,) = torch.autograd.grad(spikes[t].sum(), x, retain_graph=True)
            assert not g[:t].any() and not g[t + 1 :].any()
            reached |= bool(g[t].any())
    assert reached


@pytest.mark.parametrize("recurrent", [False, True])
def test_without_memory_the_mean_does_not_heed_the_order_of_time(recurrent):
    x = signal()
    order = torch.randperm(STEPS, generator=torch.Generator().manual_seed(3))
    y, mixed = (network(NoTDConfig(), recurrent=recurrent)(one)[0] for one in (x, x[order]))
    assert_close(y, mixed, rtol=0, atol=1e-12)
    y, mixed = (network(BPTTConfig(), recurrent=recurrent)(one)[0] for one in (x, x[order]))
    assert not torch.allclose(y, mixed, atol=1e-3)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("kind", [SDBPConfig, NoTDConfig])
def test_a_window_of_all_steps_is_the_complete_network(kind, recurrent):
    x = signal()
    expected = learned(network(BPTTConfig(), recurrent=recurrent), x)
    assert_close(learned(network(kind(window=STEPS), recurrent=recurrent), x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_memory_window_of_one_step_is_no_memory(recurrent):
    x = signal()
    expected = learned(network(NoTDConfig(), recurrent=recurrent), x)
    forgetful = network(BPTTConfig(), recurrent=recurrent)
    make_forgetful(forgetful, 1)
    loss, gradients = learned(forgetful, x)
    assert_close(loss, expected[0], rtol=1e-10, atol=1e-12)
    names = [name for name, _ in forgetful.named_parameters()]
    # R hears nothing in both, but its bias
    kept = [i for i, name in enumerate(names) if not name.endswith("inner.synapse.weight")]
    assert_close([gradients[i] for i in kept], [expected[1][i] for i in kept], rtol=1e-10, atol=1e-12)
    assert all(not gradients[i].any() for i in range(len(names)) if i not in kept)


@pytest.mark.parametrize(("name", "recurrent"), [("lif", True), ("tc-lif", False), ("ce-lif", False), ("glif", True)])
def test_memory_windows_equal_calls_from_rest(name, recurrent):
    """Clocks (ce-lif, glif) go on: by hand they are put into the resting state."""
    window, x = 5, signal(13)
    net = network(NoTDConfig(window=window), neuron=config_for(name), recurrent=recurrent)
    plain = network(BPTTConfig(), neuron=config_for(name), recurrent=recurrent)
    x = x.requires_grad_()
    found = hidden(net, x)
    expected: list[Tensor] = []
    passed = x
    for block in plain.blocks:
        parts, state = [], None
        for part in passed.split(window):
            current = block.synapse(part)
            inner = block.neuron.neuron if isinstance(block.neuron, Recurrent) else block.neuron
            if state is not None:
                held = state.neuron if isinstance(block.neuron, Recurrent) else state
                clocks = {n: getattr(held, n) for n in held._fields if n == "position"}
                rest = inner.rest(current)._replace(**clocks)
                start = type(state)(rest, torch.zeros_like(state.output)) if held is not state else rest
            else:
                start = None
            y, state = block.neuron(current, start)
            parts.append(y)
        passed = torch.cat(parts)
        expected.append(passed)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    got, wanted = (torch.autograd.grad(s[-1].square().sum(), x)[0] for s in (found[-1], expected[-1]))
    assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    assert wanted[: 2 * window].abs().max() == 0 and wanted[2 * window :].any()


@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    window=st.integers(1, 8),
    name=st.sampled_from(["lif", "ce-lif"]),
)
def test_chunks_with_the_state_carried_equal_the_whole(cuts, window, name):
    layer = Forgetful(built(name), window)
    x = 2 * signal(sum(cuts), 2)
    whole, last = layer(x)
    state, outputs = None, []
    for part in x.split(cuts):
        y, state = layer(part, detach(state))
        outputs.append(y)
    assert torch.equal(torch.cat(outputs), whole)
    assert state is not None and torch.equal(state.age, last.age) and last.age.tolist() == [sum(cuts) % window] * 2
    assert_close(tuple(state.inner), tuple(last.inner))


def built(name: str, cache: dict = {}):  # noqa: B006 - tracing takes longer than all else here
    if name not in cache:
        cache[name] = config_for(name).build(3, torch.Generator().manual_seed(3)).double()
    return cache[name]


def test_the_output_of_the_last_step_sees_its_own_window_alone():
    """A window of T - r leaves r steps to the last one; so the probe counts."""
    for steps, window, reach in ((12, 9, 3), (12, 4, 4), (12, 7, 5)):
        x = signal(steps).requires_grad_()
        spikes = hidden(network(NoTDConfig(window=window), steps=steps), x)[-1]
        (g,) = torch.autograd.grad(spikes[-1].sum(), x)
        assert not g[: steps - reach].any()
        assert g[steps - reach :].any()


def test_packed_blocks_and_fused_kernels_forget_alike():
    x = signal()
    expected = learned(network(NoTDConfig(window=5)), x)
    assert_close(learned(network(NoTDConfig(window=5), memory="packed"), x), expected, rtol=1e-10, atol=1e-12)
    with kernels.use("auto"):
        assert_close(learned(network(NoTDConfig(window=5)), x), expected, rtol=1e-10, atol=1e-12)


def test_parameters_keep_their_values_and_copies_their_window():
    plain, net = network(BPTTConfig()), network(NoTDConfig(window=4))
    assert [tuple(p.shape) for p in plain.parameters()] == [tuple(p.shape) for p in net.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), net.parameters(), strict=True))
    twin = copy.deepcopy(net)
    assert [m.window for m in twin.modules() if isinstance(m, Forgetful)] == [4, 4]
    assert torch.equal(twin(signal())[0], net(signal())[0])


@pytest.mark.parametrize("kind", [SDBPConfig, NoTDConfig])
def test_bad_windows_are_told(kind):
    for window in (0, -1, 1.5):
        with pytest.raises(ConfigError, match=f"a number of steps from 1 on, got {window}"):
            kind(window=window)


def test_neurons_without_steps_are_refused():
    for window in (1, 3):
        with pytest.raises(ConfigError, match="mixes all steps at once"):
            network(NoTDConfig(window=window), neuron=config_for("psn"))


@pytest.mark.parametrize("kind", [SDBPConfig, NoTDConfig])
def test_residual_networks_of_frames_take_windows(kind):
    """Blocks with several layers of neurons: windows of all steps are BPTT, shorter ones end gradients."""
    x = torch.randn(4, 2, 2, 8, 8, generator=torch.Generator().manual_seed(4)).double()
    found = []
    for method in (BPTTConfig(), kind(window=4), kind(window=2)):
        config = SEWResNet18Config(channels=4, depths=(1, 1), readout=ReadoutConfig(kind="last"))
        net = config.build((2, 8, 8), 3, torch.Generator().manual_seed(5)).double().eval()
        for p in net.parameters():
            p.data.mul_(2.0)
        method.prepare(net)
        given = x.clone().requires_grad_()
        y = net(given)[0]
        found.append((y.detach(), torch.autograd.grad(y.sum(), given)[0]))
    assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)
    assert found[0][1][:2].any() and not found[2][1][:2].any() and found[2][1][2:].any()
    assert torch.equal(found[2][0], found[0][0]) == (kind is SDBPConfig)
