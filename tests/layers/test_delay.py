"""Learnable delays: the kernel, its forms, and the layer in training, evaluation and chunks."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks import kernels
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.layers import DelayConfig, DelayLinear, delay_kernel
from spikeworks.layers import delay_forms as forms
from spikeworks.layers.delay_kernel import clamp_delay, delay_taps
from spikeworks.layers.delay_taps import deliver
from spikeworks.neurons import WidthSchedule

GRANULARITIES = ("synapse", "axon", "dendrite")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def spikes(*shape: int, rate: float = 0.3, seed: int = 0) -> torch.Tensor:
    return (torch.rand(*shape, generator=seeded(seed)) < rate).float()


def layer(inputs: int, outputs: int, *, seed: int = 0, bias: bool = True, **options) -> DelayLinear:
    return DelayLinear(inputs, outputs, DelayConfig(**options), bias=bias, generator=seeded(seed))


# -- kernel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delays", "sig"), [(25, 12.0), (25, 0.23), (5, 1.0), (1, 0.0)])
def test_kernel_is_that_of_the_published_formula(delays, sig):
    weight, half = normal(3, 2, 2), delays // 2
    position = (normal(3, 2, 2, seed=1) * half).clamp(-half, half)
    centre, width = position + half, abs(sig) + 0.27
    place = torch.arange(delays, dtype=torch.float64)
    bell = (-0.5 * ((place - centre.unsqueeze(-1)) / width) ** 2).exp()
    bell = bell / (bell.sum(-1, keepdim=True) + 1e-7)
    published = (weight.unsqueeze(-1) * bell).sum(2)
    ours = delay_kernel(weight, (delays - 1) / 2 - position, delays, width, "gauss")
    assert_close(ours.flip(-1), published, rtol=1e-6, atol=1e-9)


def test_rounded_kernel_is_that_of_the_published_test_form_at_whole_positions():
    weight, delay = normal(3, 4, 1), torch.randint(0, 9, (3, 4, 1), generator=seeded()).double()
    place = torch.arange(9, dtype=torch.float64)
    hat = (1.0 - (place - (8 - delay).unsqueeze(-1)).abs()).relu()
    published = (weight.unsqueeze(-1) * hat / (hat.sum(-1, keepdim=True) + 1e-7)).sum(2)
    assert_close(delay_kernel(weight, delay, 9, 1.0, "round").flip(-1), published, rtol=1e-6, atol=0)


def test_half_steps_round_to_even():
    taps = delay_taps(torch.tensor([0.5, 1.5, 2.5]), 4, 1.0, "round")
    assert taps.argmax(-1).tolist() == [0, 2, 2]


@pytest.mark.parametrize("mode", ["gauss", "ste", "round"])
@pytest.mark.parametrize("width", [12.0, 0.5, 0.05, 1e-3])
def test_taps_of_unit_sum_for_any_width_and_position(mode, width):
    taps = delay_taps(torch.linspace(-3, 12, 31), 9, width, mode)
    assert taps.isfinite().all()
    assert_close(taps.sum(-1), torch.ones(31), rtol=1e-6, atol=1e-6)


def test_taps_at_one_position_add_their_weights():
    weight = normal(2, 3, 2)
    once = delay_kernel(weight.sum(2, keepdim=True), torch.full((2, 3, 1), 1.3).double(), 5, 0.7, "gauss")
    assert_close(delay_kernel(weight, torch.full((2, 3, 2), 1.3).double(), 5, 0.7, "gauss"), once)


@pytest.mark.parametrize("shape", [(3, 2, 2), (1, 2, 2), (3, 1, 2)], ids=str)
def test_gradients_of_weight_position_and_width(shape):
    weight = normal(3, 2, 2).requires_grad_()
    position = (torch.rand(*shape, generator=seeded(), dtype=torch.float64) * 5 + 0.3).requires_grad_()
    width = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, p, s: delay_kernel(w, p, 7, s, "gauss"), (weight, position, width))


def test_straight_through_has_the_rounded_values_and_the_gaussian_gradient_of_the_position():
    weight, upstream, found = normal(3, 2, 1), normal(3, 2, 6, seed=1), {}
    for mode in ("gauss", "round", "ste"):
        w = weight.clone().requires_grad_()
        p = torch.linspace(0.2, 4.9, 6, dtype=torch.float64).view(3, 2, 1).requires_grad_()
        kernel = delay_kernel(w, p, 6, 0.6, mode)
        (kernel * upstream).sum().backward()
        found[mode] = kernel.detach(), w.grad, p.grad
    assert torch.equal(found["ste"][0], found["round"][0])
    assert torch.equal(found["ste"][1], found["round"][1])
    assert torch.equal(found["ste"][2], found["gauss"][2])
    assert found["round"][2] is None


@pytest.mark.parametrize(
    ("position", "upstream", "passed"),
    [(-1.0, 1.0, 0.0), (-1.0, -1.0, -1.0), (5.0, 1.0, 1.0), (5.0, -1.0, 0.0), (0.0, 1.0, 1.0), (2.0, -1.0, -1.0)],
)
def test_a_position_outside_learns_only_towards_the_range(position, upstream, passed):
    p = torch.tensor(position, requires_grad=True)
    used = clamp_delay(p, 4)
    used.backward(torch.tensor(upstream))
    assert 0 <= used <= 4 and p.grad == passed


def test_kernel_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"got \[3, 2, 1\] and \[2, 2, 1\]"):
        delay_kernel(torch.zeros(3, 2, 1), torch.zeros(2, 2, 1), 4, 1.0, "gauss")
    with pytest.raises(ConfigError, match="gauss, round or ste; got 'max'"):
        delay_kernel(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 4, 1.0, "max")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="above 0, got 0"):
        delay_kernel(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), 4, 0.0, "gauss")


# -- forms -----------------------------------------------------------------------------------------

sizes = st.integers(1, 5)


@given(sizes, sizes, sizes, st.integers(1, 13), st.integers(1, 40), st.integers(0, 30))
def test_forms_agree_with_the_sum_over_delays_values_and_gradients(batch, outputs, inputs, delays, steps, longer):
    results = []
    for form in (forms.by_delay, forms.direct, lambda x, k: forms.fourier(x, k, delays + longer)):
        x = normal(delays - 1 + steps, batch, inputs).requires_grad_()
        kernel = normal(outputs, inputs, delays, seed=1).requires_grad_()
        y = form(x, kernel)
        assert y.shape == (steps, batch, outputs)
        (y * normal(steps, batch, outputs, seed=2)).sum().backward()
        results.append((y.detach(), x.grad, kernel.grad))
    for other in results[1:]:
        assert_close(other, results[0], rtol=1e-10, atol=1e-10)


def test_single_precision_costs_little_accuracy():
    x, kernel = normal(200, 4, 30), normal(20, 30, 25, seed=1)
    exact = forms.by_delay(x, kernel)
    block = forms.choose(176, 4, 20, 30, 25).block
    for y in (forms.direct(x.float(), kernel.float()), forms.fourier(x.float(), kernel.float(), block or 75)):
        assert (y - exact).abs().max() < 3e-6 * exact.abs().max()


@pytest.mark.parametrize("backend", ["c", "loop"])
@given(sizes, sizes, sizes, st.integers(1, 3), st.integers(0, 9), st.integers(1, 20), st.booleans())
def test_whole_delays_deliver_as_the_definition_says(backend, batch, outputs, inputs, taps, longest, steps, real):
    x = normal(longest + steps, batch, inputs) if real else spikes(longest + steps, batch, inputs).double()
    weight = normal(outputs, inputs, taps, seed=1)
    delays = torch.randint(0, longest + 1, weight.shape, generator=seeded(2))
    wanted = torch.zeros(steps, batch, outputs, dtype=torch.float64)
    for o in range(outputs):
        for i in range(inputs):
            for k in range(taps):
                d = int(delays[o, i, k])
                wanted[:, :, o] += weight[o, i, k] * x[longest - d : longest - d + steps, :, i]
    with kernels.use(backend):
        assert_close(deliver(x, weight, delays, longest), wanted, rtol=1e-12, atol=1e-12)


def test_threads_change_nothing():
    x, weight = spikes(60, 7, 40), normal(50, 40, 1).float()
    delays = torch.randint(0, 11, weight.shape, generator=seeded())
    one = deliver(x, weight, delays, 10)
    torch.set_num_threads(2)
    assert torch.equal(deliver(x, weight, delays, 10), one)


@pytest.mark.parametrize(
    ("sizes", "form"),
    [
        ((1, 32, 128, 128, 25), "direct"),
        ((100, 32, 256, 140, 3), "direct"),
        ((100, 32, 256, 140, 25), "fourier"),
        ((784, 16, 128, 128, 41), "fourier"),
        ((50, 8, 4, 4, 1), "direct"),
    ],
)
def test_the_form_is_chosen_by_size_and_says_why(sizes, form):
    choice = forms.choose(*sizes)
    assert choice.form == form and "multiply-accumulates" in choice.reason
    assert form == "direct" or sizes[4] <= choice.block <= sizes[0] + sizes[4] - 1


# -- layer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("taps", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_shared_delays_equal_the_same_delay_at_every_synapse(granularity, taps, training):
    shared = layer(4, 3, max_delay=6, taps=taps, granularity=granularity).double().train(training)
    each = layer(4, 3, max_delay=6, taps=taps).double().train(training)
    with torch.no_grad():
        each.weight.copy_(shared.weight)
        each.bias.copy_(shared.bias)
        each.position.copy_(shared.position.expand_as(each.position))
    found = []
    for module in (shared, each):
        x = normal(11, 2, 4).requires_grad_()
        y, _ = module(x)
        (y * normal(11, 2, 3, seed=1)).sum().backward()
        found.append((y.detach(), x.grad, module.weight.grad, module.position.grad))
    assert_close(found[0][:3], found[1][:3])
    if training:
        assert_close(found[0][3], found[1][3].sum_to_size(shared.position.shape))
    else:
        assert found[0][3] is None


@pytest.mark.parametrize("form", ["direct", "fourier"])
@pytest.mark.parametrize("finish", ["none", "ste"])
def test_training_forms_agree_in_the_layer(form, finish):
    found = []
    for asked in (form, "auto"):
        module = layer(5, 4, max_delay=7, form=asked, finish=finish).double()
        module.set_progress(0.6)
        y, _ = module(normal(20, 3, 5))
        y.square().sum().backward()
        found.append((y.detach(), module.weight.grad, module.position.grad))
    assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
    assert module.choice(20, 3).form in ("direct", "fourier")
    assert layer(5, 4, form="fourier").choice(20, 3).reason == "asked for"


def test_a_spike_arrives_with_its_weight_after_its_delay():
    module = layer(1, 1, max_delay=9, bias=False).eval()
    with torch.no_grad():
        module.position.fill_(3.4)
    x = torch.zeros(12, 1, 1)
    x[2] = 1.0
    wanted = torch.zeros(12)
    wanted[5] = module.weight.item()
    assert torch.equal(module(x)[0].flatten(), wanted)


def test_no_delay_is_a_linear_map():
    module, x = layer(5, 4, max_delay=0), normal(6, 3, 5).float()
    wanted = torch.nn.functional.linear(x, module.weight[:, :, 0], module.bias)
    for mode in (True, False):
        y, state = module.train(mode)(x)
        assert_close(y, wanted)
        assert state.shape == (3, 0, 5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_later_input_comes_out_as_much_later(granularity, training):
    module = layer(4, 3, max_delay=6, granularity=granularity).double().train(training)
    x = normal(9, 2, 4)
    late, _ = module(torch.cat([torch.zeros(5, 2, 4, dtype=x.dtype), x]))
    assert_close(late[5:], module(x)[0])


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_output_is_causal(granularity):
    module = layer(2, 2, max_delay=4, granularity=granularity).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: module(x)[0], normal(7, 1, 2)).sum((1, 2, 4, 5))
    reach = torch.arange(7).view(-1, 1) - torch.arange(7)
    assert (jacobian[(reach < 0) | (reach > 4)] == 0).all()
    assert (jacobian[(reach >= 0) & (reach <= 4)] != 0).all()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("phase", ["gauss", "ste", "round"])
def test_gradients_of_the_layer_reach_input_state_and_parameters(granularity, phase):
    module = layer(3, 2, max_delay=4, granularity=granularity, taps=2).double()
    module.train(phase != "round").set_progress(0.7 if phase == "ste" else 0.1)
    channels = 4 if granularity == "dendrite" else 3
    inputs = normal(6, 2, 3).requires_grad_(), normal(2, 4, channels, seed=1).requires_grad_()
    assert module.mode == phase
    assert torch.autograd.gradcheck(lambda x, s: module(x, s), inputs)
    if phase == "gauss":
        point = {"weight": module.weight.detach(), "position": module.position.detach().clamp(0.2, 3.8)}
        tensors = [t.clone().requires_grad_() for t in point.values()]

        def run(*values):
            named = dict(zip(point, values, strict=True))
            return torch.func.functional_call(module, named, (inputs[0].detach(),))[0]

        assert torch.autograd.gradcheck(run, tensors)


@given(
    st.sampled_from(GRANULARITIES), st.integers(1, 2), st.integers(0, 8), st.lists(st.integers(1, 12), min_size=1),
    st.booleans(),
)  # fmt: skip
def test_chunks_equal_the_whole(granularity, taps, max_delay, cuts, training):
    module = layer(4, 5, max_delay=max_delay, taps=taps, granularity=granularity).double().train(training)
    x = normal(sum(cuts), 3, 4)
    whole, end = module(x)
    state, parts = None, []
    for part in x.split(cuts):
        y, state = module(part, state)
        parts.append(y)
    assert_close(torch.cat(parts), whole, rtol=1e-10, atol=1e-10)
    assert_close(state, end, rtol=1e-12, atol=1e-12)


def test_chunks_have_the_gradients_of_the_whole():
    grads = []
    for cuts in ([20], [3, 1, 16]):
        module, state, total = layer(3, 4, max_delay=5).double(), None, torch.zeros(())
        for part, target in zip(normal(20, 2, 3).split(cuts), normal(20, 2, 4, seed=1).split(cuts), strict=True):
            y, state = module(part, state)
            total = total + (y * target).sum()
        total.backward()
        grads.append([p.grad for p in module.parameters()])
    assert_close(grads[0], grads[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("taps", [1, 3])
def test_streaming_has_the_bits_of_the_whole(taps):
    module = layer(30, 17, max_delay=11, taps=taps).eval()
    with torch.no_grad():
        for x in (spikes(40, 3, 30), normal(40, 3, 30).float()):
            whole, _ = module(x)
            for step in (1, 7):
                state, parts = None, []
                for part in x.split(step):
                    y, state = module(part, state)
                    parts.append(y)
                assert torch.equal(torch.cat(parts), whole)


def test_straight_through_training_computes_what_evaluation_does():
    module, x = layer(6, 5, max_delay=9).double(), spikes(30, 2, 6).double()
    module.set_progress(0.5)
    trained, _ = module(x)
    with torch.no_grad():
        assert_close(module.eval()(x)[0], trained.detach(), rtol=1e-12, atol=1e-12)


def test_evaluation_leaves_everything_as_it_was():
    module, x = layer(4, 3, max_delay=8), spikes(20, 2, 4)
    before, trained = copy.deepcopy(module.state_dict()), module(x)[0]
    rounded = module.eval()(x)[0]
    assert not torch.equal(rounded, trained)
    assert set(before) == {"weight", "bias", "position"}
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert torch.equal(module.train()(x)[0], trained)


def test_tail_lets_the_last_spikes_arrive():
    module, x = layer(3, 2, max_delay=6).eval(), spikes(8, 2, 3)
    y, state = module(x, tail=6)
    assert y.shape == (14, 2, 2) and not state.any()
    padded, _ = module(torch.cat([x, torch.zeros(6, 2, 3)]))
    assert torch.equal(y, padded)


def test_state_is_the_last_inputs_and_rows_of_the_batch_can_be_picked():
    module, x = layer(3, 2, max_delay=4).eval(), normal(9, 5, 3).float()
    _, state = module(x)
    assert torch.equal(state, x[-4:].transpose(0, 1))
    with torch.no_grad():
        assert torch.equal(module(x, state)[0][:, 1:3], module(x[:, 1:3], state[1:3])[0])


def test_delays_start_uniform_over_the_whole_steps():
    module = layer(200, 100, max_delay=4)
    share = module.whole_delays().flatten().bincount(minlength=5) / 20_000
    assert (share - 0.2).abs().max() < 0.015
    assert module.position.min() >= 0 and module.position.max() <= 4


def test_delays_stay_in_their_range_and_come_back():
    module, x = layer(4, 3, max_delay=5), spikes(30, 2, 4)
    optimizer = torch.optim.SGD([module.position], lr=1e4)
    for _ in range(5):
        optimizer.zero_grad()
        module(x)[0].square().sum().backward()
        optimizer.step()
        assert module.whole_delays().min() >= 0 and module.whole_delays().max() <= 5
    lone = layer(1, 1, max_delay=5, bias=False, width=2.0)
    x = torch.zeros(12, 1, 1)
    x[3] = 1.0
    with torch.no_grad():
        lone.position.fill_(7.5)  # beyond the border; a clamp with zero gradient would keep it there
        lone.weight.fill_(1.0)
    optimizer = torch.optim.Adam([lone.position], lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        (lone(x)[0][5].sum() - 1).square().backward()  # wants a delay of 2
        optimizer.step()
    assert lone.whole_delays().item() == 2


def test_width_and_finish_follow_the_progress_of_training():
    module = layer(2, 2, max_delay=24)
    assert (module.width.item(), module.mode) == (12.5, "gauss")
    module.set_progress(0.125)
    assert module.width.item() == pytest.approx(math.sqrt(12.5 * 0.5))
    module.set_progress(0.25)
    assert (module.width.item(), module.mode) == (0.5, "gauss")
    module.set_progress(0.5)
    assert (module.mode, module.eval().mode) == ("ste", "round")
    never = layer(2, 2, finish="none", width=3.0, schedule=WidthSchedule(stop=1.0, over=1.0))
    never.set_progress(1.0)
    assert (never.mode, never.width.item()) == ("gauss", 1.0)
    assert never.double().width.dtype == torch.float64


def test_fixed_delays_are_whole_and_no_parameter():
    module = layer(20, 20, max_delay=9, learned=False)
    assert torch.equal(module.position, module.position.round()) and module.mode == "round"
    assert [name for name, _ in module.named_parameters()] == ["weight", "bias"]
    assert module.parameter_rates == {} and layer(1, 1).parameter_rates == {"position": 100.0}
    module(spikes(5, 2, 20))[0].sum().backward()
    assert module.weight.grad is not None and module.weight.grad.any()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_operations_count_every_synaptic_event(granularity):
    module = layer(6, 5, max_delay=2, taps=2, granularity=granularity)
    x = spikes(15, 3, 6) * torch.randint(1, 3, (15, 3, 6), generator=seeded(1))
    y, _ = module.eval()(x)
    delays = module.whole_delays().tolist()
    fan_out = [sum(len(set(delays[o][i])) for o in range(5)) for i in range(6)]
    events = sum(int(x[:, :, i].sum()) * fan_out[i] for i in range(6))
    counted = module.operations(x, y)
    assert (counted.acs, counted.weight_reads, counted.macs) == (events, events, 0)
    assert counted.state_reads == counted.state_writes == y.numel()
    assert sum(fan_out) < 60  # some taps fell together
    assert module.operations(x + 0.5, y).macs == 45 * sum(fan_out)


def test_buffers_hold_what_the_delays_need():
    module = layer(2, 3, max_delay=30)
    with torch.no_grad():
        module.position.copy_(torch.tensor([[0.0, 9.0], [17.2, 3.0], [1.0, 30.4]]).unsqueeze(-1))
    assert module.buffer_bytes() == (6, 4 * (10 + 18 + 31))  # 17 + 30 bits


def test_half_precision_keeps_its_dtype():
    module = layer(4, 3, max_delay=5)
    for mode in (True, False):
        y, _ = module.train(mode).bfloat16()(spikes(6, 2, 4).bfloat16())
        assert y.dtype == torch.bfloat16 and y.isfinite().all()


def test_bad_input_is_refused():
    module = layer(4, 3, max_delay=5)
    with pytest.raises(ShapeError, match=r"expected x of shape \[T, B, 4, \.\.\.\], got \[6, 2, 5\]"):
        module(torch.zeros(6, 2, 5))
    with pytest.raises(ShapeError, match=r"batch of 2, got \[3, 5, 4\]"):
        module(torch.zeros(6, 2, 4), torch.zeros(3, 5, 4))
    with pytest.raises(ShapeError, match="its longest delay"):
        module(torch.zeros(6, 2, 4), layer(4, 3, max_delay=9)(torch.zeros(6, 2, 4))[1])
    with pytest.raises(ConfigError, match="at least 0 steps, got -1"):
        module(torch.zeros(6, 2, 4), tail=-1)
    with pytest.raises(ConfigError, match=r"share in \[0, 1\], got 1.5"):
        module.set_progress(1.5)
    with pytest.raises(ConfigError, match="at least one input and output, got 0 and 3"):
        layer(0, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_delay": -1}, "max_delay of at least 0"),
        ({"taps": 0}, "at least one tap"),
        ({"granularity": "neuron"}, "synapse, axon, dendrite; got 'neuron'"),
        ({"finish": "round"}, "none, ste; got 'round'"),
        ({"form": "fft"}, "auto, direct, fourier; got 'fft'"),
        ({"width": 0.0}, "above 0, got 0.0"),
        ({"finish_at": 2.0}, r"share of training in \[0, 1\], got 2.0"),
        ({"rate": -1.0}, "must not be negative, got -1.0"),
    ],
)
def test_bad_descriptions_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DelayConfig(**options)
