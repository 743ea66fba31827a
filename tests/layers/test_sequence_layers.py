"""Layers with a memory along the sequence against their definitions: values, gradients, states, messages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from spikeworks.core.credit import Credit
from spikeworks.core.errors import ConfigError, ShapeError
from spikeworks.kernels.scan import use_forms
from spikeworks.layers import GLU, LSTM, S4D, CausalConv, InnerTime, LinearAttention, SoftmaxAttention, TernaryGate
from spikeworks.layers.attention import positions
from spikeworks.layers.s4d import ternary
from spikeworks.neurons import LIF, config_for


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def with_gradients(function, *inputs: Tensor) -> list[Tensor]:
    """Output and gradients of a sum of its squares with respect to the inputs."""
    y = function()
    return [y, *torch.autograd.grad(y.square().sum(), inputs)]


# -- convolution along time --------------------------------------------------------------------


@given(
    steps=st.integers(1, 20), kernel=st.integers(1, 5), dilation=st.integers(1, 4), cut=st.integers(0, 20),
    norm=st.booleans(),
)  # fmt: skip
def test_a_causal_convolution_is_a_sum_over_earlier_inputs_whole_or_in_chunks(steps, kernel, dilation, cut, norm):
    conv = CausalConv(3, 4, kernel=kernel, dilation=dilation, weight_norm=norm, generator=generator()).double()
    x = draw(steps, 2, 3)
    y, state = conv(x)
    for t in range(steps):
        expected = conv.bias.expand(2, 4).clone()
        for k in range(kernel):
            s = t - (kernel - 1 - k) * dilation
            if s >= 0:
                expected = expected + x[s] @ conv.weight[:, :, k].t()
        assert_close(y[t], expected)
    assert state.shape == (2, (kernel - 1) * dilation, 3)
    if 0 < cut < steps:
        first, before = conv(x[:cut])
        second, after = conv(x[cut:], before)
        assert_close(torch.cat([first, second]), y)
        assert torch.equal(after, state)


def test_weight_norm_is_that_of_torch_with_its_gradients():
    ours = CausalConv(3, 4, kernel=3, dilation=2, generator=generator()).double()
    theirs = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3, dilation=2)).double()
    stored = theirs.parametrizations.weight
    with torch.no_grad():
        stored.original1.copy_(ours.direction)
        stored.original0.copy_(2.0 * ours.gain.reshape(4, 1, 1))
        ours.gain.mul_(2.0)
        theirs.bias.copy_(ours.bias)
    x = draw(9, 2, 3)
    a = with_gradients(lambda: ours(x)[0], ours.direction, ours.gain, ours.bias)
    b = with_gradients(
        lambda: theirs(functional.pad(x.permute(1, 2, 0), (4, 0))).permute(2, 0, 1),
        stored.original1, stored.original0, theirs.bias,
    )  # fmt: skip
    b[2] = b[2].flatten()
    for ours_, theirs_ in zip(a, b, strict=True):
        assert_close(ours_, theirs_)


def test_a_convolution_starts_uniform_with_a_gain_that_changes_nothing():
    conv = CausalConv(8, 200, kernel=5, generator=generator())
    bound = (8 * 5) ** -0.5
    assert torch.allclose(conv.weight, conv.direction, atol=1e-7)
    assert 0.98 * bound < conv.weight.abs().max() <= bound * (1 + 1e-6)
    assert conv.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_operations_of_a_convolution_by_hand():
    conv = CausalConv(1, 2, kernel=3, dilation=2)
    x = torch.zeros(6, 1, 1)
    x[0] = x[4] = 1.0  # heard at steps 0, 2, 4 and at step 4 alone
    counted = conv.operations(x, conv(x)[0])
    assert counted.acs == counted.weight_reads == 2 * (3 + 1) and counted.macs == 0
    dense = conv.operations(x + 0.5, conv(x)[0])
    assert dense.macs == 6 * 2 * 3 and dense.state_reads == 6 * 2 and dense.state_writes == 6


# -- attention ---------------------------------------------------------------------------------


def masked_product(x: Tensor, heads: int, scale: float, causal: bool) -> Tensor:
    """The published form: ``scale * ((q k') masked) v``, head by head."""
    q, k, v = (p.unflatten(2, (heads, -1)).permute(1, 2, 0, 3) for p in x.chunk(3, 2))
    seen = q @ k.mT
    seen = seen.tril() if causal else seen
    return scale * (seen @ v).permute(2, 0, 1, 3).flatten(2)


@given(steps=st.sampled_from([1, 2, 63, 64, 65, 130]), heads=st.sampled_from([1, 2, 4]), causal=st.booleans())
def test_linear_attention_is_the_masked_product(steps, heads, causal):
    layer, x = LinearAttention(8, heads, causal=causal), draw(steps, 2, 24).requires_grad_()
    ours = with_gradients(lambda: layer(x)[0], x)
    expected = with_gradients(lambda: masked_product(x, heads, 0.125, causal), x)
    for a, b in zip(ours, expected, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_linear_attention_of_spikes_is_exact_in_chunks_and_its_state_is_one_matrix_a_head():
    layer, x = LinearAttention(16, 4), (torch.rand(300, 3, 48, generator=generator()) < 0.3).float()
    whole, state = layer(x)
    assert state.shape == (3, 4, 4, 4)
    before, parts = None, []
    for part in x.split([1, 70, 64, 165]):
        y, before = layer(part, before)
        parts.append(y)
    assert torch.equal(torch.cat(parts), whole) and torch.equal(before, state)


@pytest.mark.parametrize("cuts", [(12,), (5, 7), (1,) * 12], ids=str)
def test_softmax_attention_is_that_of_torch(cuts):
    layer, x = SoftmaxAttention(8, 2), draw(12, 3, 24).requires_grad_()

    def in_chunks() -> Tensor:
        state, parts = None, []
        for part in x.split(list(cuts)):
            y, state = layer(part, state)
            parts.append(y)
        assert state.keys.shape == (3, 12, 8)
        return torch.cat(parts)

    def theirs() -> Tensor:
        q, k, v = (p.unflatten(2, (2, -1)).permute(1, 2, 0, 3) for p in x.chunk(3, 2))
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True).permute(2, 0, 1, 3).flatten(2)

    for a, b in zip(with_gradients(in_chunks, x), with_gradients(theirs, x), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("kind", [LinearAttention, SoftmaxAttention])
def test_attention_that_sees_all_steps_leaves_padding_out(kind):
    layer, x = kind(8, 2, causal=False), draw(7, 2, 24)
    padded = torch.cat([x, 9.0 * torch.ones(3, 2, 24, dtype=x.dtype)])
    mask = (torch.arange(10) < 7).unsqueeze(1).expand(10, 2)
    assert_close(layer(padded, None, mask)[0][:7], layer(x)[0])
    assert not torch.allclose(layer(padded)[0][:7], layer(x)[0])


def test_attention_says_what_it_cannot():
    with pytest.raises(ConfigError, match="10 is no multiple of 4"):
        LinearAttention(10, 4)
    with pytest.raises(ShapeError, match=r"queries, keys and values \[T, B, 24\], got \[5, 2, 8\]"):
        LinearAttention(8, 2)(torch.zeros(5, 2, 8))
    with pytest.raises(ShapeError, match="a state belongs to one batch"):
        LinearAttention(8, 2)(torch.zeros(5, 2, 24), torch.zeros(3, 2, 4, 4))


def test_operations_of_linear_attention_by_hand():
    layer, x = LinearAttention(4, 2), torch.zeros(3, 1, 12)
    x[0, 0, 4] = x[0, 0, 8] = 1.0  # a key and a value
    x[2, 0, 0] = 1.0  # a query
    counted = layer.operations(x, layer(x)[0])
    assert counted.acs == 2 * (1 + 1) and counted.macs == 3 * 4  # heads of 2 channels; the scale
    assert layer(x)[0][2, 0].tolist() == [0.125, 0, 0, 0]


def test_positions_go_on_where_they_stopped():
    whole = positions(torch.zeros(2), 9, 6)
    assert_close(torch.cat([positions(torch.zeros(2), 4, 6), positions(torch.full((2,), 4.0), 5, 6)]), whole)
    place = torch.tensor(3 / 10000 ** (2 / 6), dtype=torch.float64)
    assert_close(whole[3, 0, 2:4], torch.stack([place.sin(), place.cos()]))


# -- state spaces ------------------------------------------------------------------------------


def by_kernel(layer: S4D, x: Tensor) -> Tensor:
    """The published form: a kernel of all steps, and a convolution by Fourier transforms of twice the length."""
    steps = len(x)
    rate = torch.complex(-layer.log_damping.exp(), layer.frequency)
    moved = rate * layer.log_step.exp().unsqueeze(1)
    read = torch.complex(*layer.read.unbind(2)) * (moved.exp() - 1.0) / rate
    kernel = 2.0 * (read.unsqueeze(2) * torch.exp(moved.unsqueeze(2) * torch.arange(steps))).sum(1).real  # [N, T]
    spectrum = torch.fft.rfft(kernel, 2 * steps) * torch.fft.rfft(x.permute(1, 2, 0), 2 * steps)
    return torch.fft.irfft(spectrum, 2 * steps)[..., :steps].permute(2, 0, 1) + layer.feedthrough * x


@pytest.mark.parametrize("steps", [1, 63, 200])
@pytest.mark.parametrize("form", [None, "fft", "chunked", "loop"])
def test_s4d_is_the_convolution_with_its_kernel_in_every_form(form, steps):
    layer = S4D(5, modes=8, generator=generator()).double()
    x = draw(steps, 2, 5).requires_grad_()
    inputs = [x, *layer.parameters()]
    expected = with_gradients(lambda: by_kernel(layer, x), *inputs)
    if form is None:
        found = with_gradients(lambda: layer(x)[0], *inputs)
    else:
        with use_forms(diagonal=form):
            found = with_gradients(lambda: layer(x)[0], *inputs)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_s4d_by_steps_equals_the_convolution_to_1e_5_in_single_precision_with_gradients():
    layer, x = S4D(16, generator=generator()), draw(150, 2, 16, dtype=torch.float32).requires_grad_()
    inputs = [x, *layer.parameters()]

    def by_steps() -> Tensor:
        state, parts = None, []
        for one in x.split(1):
            y, state = layer(one, state)
            parts.append(y)
        return torch.cat(parts)

    with use_forms(diagonal="fft"):
        whole = with_gradients(lambda: layer(x)[0], *inputs)
    for a, b in zip(whole, with_gradients(by_steps, *inputs), strict=True):
        assert (a - b).norm() < 1e-5 * b.norm()


def test_s4d_starts_as_published_and_trains_its_kernel_apart():
    layer = S4D(400, rate=0.25, generator=generator())
    assert layer.read.shape == (400, 32, 2) and layer.log_damping.exp().unique().tolist() == [0.5]
    assert_close(layer.frequency[7], torch.pi * torch.arange(32))
    step = layer.log_step.exp()
    assert 1e-3 <= step.min() < 1.2e-3 and 0.085 < step.max() <= 0.1
    assert layer.log_step.median().exp().item() == pytest.approx(1e-2, rel=0.3)
    assert layer.read.square().sum(2).mean().item() == pytest.approx(1.0, rel=0.05)
    assert layer.parameter_rates == {"log_step": 0.25, "log_damping": 0.25, "frequency": 0.25}


def test_ternary_gates_by_hand_and_where_their_gradient_goes():
    assert ternary(torch.tensor([1.0, -0.15, 0.14, 0.0]), torch.tensor(1.0)).tolist() == [1, -1, 0, 0]
    gate = TernaryGate(3, generator=generator()).double()
    y = draw(4, 2, 3).requires_grad_()
    signs = torch.where(y.abs() >= 0.15 * y.abs().amax(2, keepdim=True), y.sign(), 0.0).detach()
    chosen = torch.where(gate.weight.abs() >= 0.15 * gate.weight.abs().max(), gate.weight.sign(), 0.0).detach()
    first, second = signs @ gate.weight + gate.first_bias, y @ chosen + gate.second_bias
    assert_close(gate(y), first * second)
    to_y, to_weight = torch.autograd.grad(gate(y).sum(), [y, gate.weight])
    assert_close(to_y, first @ chosen.t())
    assert_close(to_weight, torch.einsum("tbi,tbo->io", signs, second))
    assert GLU()(torch.tensor([[[2.0, 0.0]]])).item() == 1.0


# -- recurrence, and neurons on a time of their own ----------------------------------------------


def test_lstm_is_that_of_torch_and_starts_by_its_generator():
    ours, again = (LSTM(3, 5, generator=generator()).double() for _ in range(2))
    theirs = nn.LSTM(3, 5).double()
    theirs.load_state_dict(ours.cell.state_dict())
    x = draw(7, 2, 3)
    y, (output, cell) = ours(x)
    expected, (last, inner) = theirs(x)
    assert_close(y, expected)
    assert_close((output, cell), (last[0], inner[0]))
    assert torch.equal(again(x)[0], y)
    assert max(p.abs().max().item() for p in ours.parameters()) <= 5**-0.5


@pytest.mark.parametrize("steps", [1, 3])
def test_inner_time_is_rest_before_every_step_of_the_sequence(steps):
    neuron = LIF(4, threshold=1.0)
    inner = InnerTime(neuron, steps)
    x = draw(6, 2 * steps, 4, dtype=torch.float32)
    found, state = inner(x)
    assert state is None
    for t in range(6):
        for b in range(2):
            expected, _ = neuron(x[t, b * steps : (b + 1) * steps].unsqueeze(1))
            assert torch.equal(found[t, b * steps : (b + 1) * steps], expected.squeeze(1))


def test_inner_time_says_which_neurons_fit():
    with pytest.raises(ConfigError, match="GSN has 2 inputs and needs dense blocks"):
        InnerTime(config_for("gsn", shared=False).build(3), 1)
    with pytest.raises(ConfigError, match="at least one inner step"):
        InnerTime(LIF(3), 0)
    x = 2.0 * torch.rand(5, 2, 3, generator=generator())
    found, expected = InnerTime(LIF(3), None)(x), LIF(3)(x)
    assert torch.equal(found[0], expected[0]) and torch.equal(found[1].voltage, expected[1].voltage)


@pytest.mark.parametrize("window", [1, 2, 3, 50])
def test_credit_is_cut_at_windows_and_answers_stay(window):
    for layer, width in (
        (CausalConv(3, 4, kernel=3), 3),
        (S4D(3, modes=4), 3),
        (LinearAttention(3, 1), 9),
        (LSTM(3, 3), 3),
    ):
        layer, x = layer.double(), draw(7, 2, width).requires_grad_()
        whole, end = layer(x)
        layer.credit = Credit(window=window)
        y, state = layer(x)
        assert_close(y, whole)
        assert type(state) is type(end)
        for t in (3, 6):
            reached = torch.autograd.grad(y[t].sum(), x, retain_graph=True)[0].abs().amax((1, 2)) > 0
            start = t - t % window
            assert not reached[:start].any() and not reached[t + 1 :].any() and reached[start : t + 1].any()
