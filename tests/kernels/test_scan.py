"""Closed forms over time against their definitions: values, gradients, long sequences, edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from spikeworks.core.errors import ShapeError, UnknownName
from spikeworks.kernels.scan import (
    FAMILIES,
    causal_filter,
    choose_form,
    diagonal_scan,
    linear_scan,
    modulo_scan,
    planned_forms,
    powers,
    use_forms,
    whole_thresholds,
)

DOUBLE = torch.float64
EXACT = {"rtol": 1e-10, "atol": 1e-11}
SITES = [((1,), (1,)), ((3,), (3,)), ((2, 5), (5,)), ((2, 5), ()), ((2, 3, 4), (3, 1)), ((2, 3), (2, 3))]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def decays(*shape: int, seed: int = 0, complex_: bool = True) -> torch.Tensor:
    """Inside the unit circle, the first one 0, the last one almost on it."""
    generator = torch.Generator().manual_seed(seed)
    size, angle = (torch.rand(shape, generator=generator, dtype=DOUBLE) for _ in range(2))
    found = torch.polar(size, 6.3 * angle) if complex_ else size
    found.view(-1)[-1] *= 0.9999 / size.reshape(-1)[-1]
    found.view(-1)[0] = 0
    return found


def outcome(function, inputs, weights):
    """Results of ``function`` and the gradients of a fixed functional of them."""
    inputs = [i.clone().requires_grad_() for i in inputs]
    results = function(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    loss = sum((torch.real(r * w.conj())).sum() for r, w in zip(results, weights, strict=True))
    loss.backward()
    return [r.detach() for r in results], [i.grad for i in inputs]


def same(function, definition, inputs, weights, values=EXACT, gradients=EXACT):
    found, expected = outcome(function, inputs, weights), outcome(definition, inputs, weights)
    assert_close(found[0], expected[0], **values)
    assert_close(found[1], expected[1], **gradients)


# -- linear recurrences -------------------------------------------------------------------


def recurrence(x, decay, start):
    now, found = start.expand(x.shape[1:]), []
    for x_t in x:
        now = decay * now + x_t
        found.append(now)
    return torch.stack(found)


@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("site, shape", SITES, ids=str)
@pytest.mark.parametrize("form", FAMILIES["linear"])
def test_linear_scan_is_the_recurrence(form, site, shape, complex_):
    decay = decays(*shape, complex_=complex_)
    for steps in (1, 64, 131):
        x, start, weight = noise(steps, *site), noise(*site, seed=1, dtype=decay.dtype), noise(steps, *site, seed=2)
        same(lambda *a: linear_scan(*a, form=form), recurrence, (x, decay, start), (weight.to(decay.dtype),))


@pytest.mark.parametrize("form", FAMILIES["linear"])
@settings(max_examples=10)
@given(steps=st.integers(1, 300), batch=st.integers(1, 3), cut=st.integers(1, 300), seed=st.integers(0, 99))
def test_linear_scan_of_two_parts_is_that_of_the_whole(form, steps, batch, cut, seed):
    x, decay = noise(steps, batch, 2, seed=seed), decays(2, seed=seed)
    whole = linear_scan(x, decay, form=form)
    cut = min(cut, steps)
    parts = [linear_scan(x[:cut], decay, form=form)]
    if cut < steps:
        parts.append(linear_scan(x[cut:], decay, parts[0][-1], form=form))
    assert_close(torch.cat(parts), whole, **EXACT)
    assert_close(whole, recurrence(x.to(decay.dtype), decay, torch.zeros((), dtype=decay.dtype)), **EXACT)


@pytest.mark.parametrize("form", ["associative", "chunked", "fft"])
def test_linear_scan_of_long_sequences_in_single_precision(form):
    """At the border of stability, where powers of the decay keep their size and their phase errors count."""
    x = noise(20_000, 3)
    decay = torch.polar(torch.tensor([1.0, 0.9999, 0.5], dtype=DOUBLE), torch.tensor([0.7, 3.0, 2.0], dtype=DOUBLE))
    decay = decay.to(torch.complex64)  # the same rounded numbers for both
    exact = linear_scan(x, decay.to(torch.complex128), form="chunked")
    single = linear_scan(x.float(), decay, form=form)
    assert (single - exact).abs().max() < 1e-4 * exact.abs().max()


def test_linear_scan_of_constant_input_at_decay_one_is_a_running_sum():
    x = torch.ones(1000, 1)
    for form in FAMILIES["linear"]:
        found = linear_scan(x, torch.ones(1), form=form).flatten()
        # a transform rounds by the largest value of the sequence, the others by the value itself
        assert_close(found, torch.arange(1.0, 1001.0), rtol=1e-6, atol=1e-3 if form == "fft" else 0)


@pytest.mark.parametrize("form", FAMILIES["linear"])
def test_linear_scan_has_gradients_of_second_order(form):
    x, decay, start = noise(5, 1, 2), decays(2), noise(1, 2, seed=1, dtype=torch.complex128)
    for inputs in ((x, decay, start), (x, decay.abs(), start.real)):
        inputs = [i.clone().requires_grad_() for i in inputs]
        assert torch.autograd.gradgradcheck(lambda *a: linear_scan(*a, form=form), inputs)


def test_linear_scan_says_what_is_wrong():
    with pytest.raises(ShapeError, match=r"steps of shape \[2, 3\] expected coefficients .* got shape \[2\]"):
        linear_scan(torch.zeros(4, 2, 3), torch.zeros(2))
    with pytest.raises(UnknownName, match="form of a linear scan 'chunk' is not registered. Did you mean 'chunked'"):
        linear_scan(torch.zeros(4, 2), torch.zeros(2), form="chunk")


# -- powers -------------------------------------------------------------------------------


def test_powers_of_zero_and_their_gradient():
    base = torch.tensor([0.0, 0.5], dtype=torch.complex128, requires_grad=True)
    table = powers(base, 4)
    assert_close(table.real, torch.tensor([[1, 1], [0, 0.5], [0, 0.25], [0, 0.125]], dtype=DOUBLE))
    table.real.sum().backward()
    assert_close(base.grad, torch.tensor([1, 1 + 2 * 0.5 + 3 * 0.25], dtype=torch.complex128))


def test_powers_in_single_precision_keep_their_phase():
    base = torch.polar(torch.ones(5), torch.linspace(0.1, 3.0, 5))
    exact = torch.exp(torch.log(base.to(torch.complex128)) * torch.arange(100_000).unsqueeze(1))
    assert (powers(base, 100_000) - exact).abs().max() < 2e-7


# -- diagonal systems ---------------------------------------------------------------------


def modes_one_by_one(x, decay, read, start):
    modes, found = start, []
    broadcast = (len(decay), *(1,) * (x.dim() - decay.dim()), *decay.shape[1:])
    decay, read = decay.reshape(broadcast), read.reshape(broadcast)
    for x_t in x:
        modes = decay * modes + x_t
        found.append((read * modes).real.sum(0))
    return torch.stack(found), modes


@pytest.mark.parametrize("site, shape", SITES, ids=str)
@pytest.mark.parametrize("form", FAMILIES["diagonal"])
def test_diagonal_scan_is_the_sum_of_its_modes(form, site, shape):
    decay, read = decays(3, *shape), noise(3, *shape, seed=1, dtype=torch.complex128)
    start = noise(3, *site, seed=2, dtype=torch.complex128)
    for steps in (1, 64, 133):
        weights = noise(steps, *site, seed=3), noise(3, *site, seed=4, dtype=torch.complex128)
        inputs = (noise(steps, *site), decay, read, start)
        same(lambda *a: diagonal_scan(*a, form=form), modes_one_by_one, inputs, weights)


@pytest.mark.parametrize("form", ["associative", "chunked", "fft"])
def test_diagonal_scan_in_single_precision(form):
    decay = torch.polar(torch.full((4, 8), 0.999), 3 * torch.rand(4, 8, generator=torch.Generator().manual_seed(1)))
    read, start = 0.05 * noise(4, 8, seed=1, dtype=torch.complex64), torch.zeros(4, 2, 8, dtype=torch.complex64)
    x = noise(2000, 2, 8, dtype=torch.float32)
    wide = (t.to(torch.complex128) for t in (decay, read, start))
    exact = diagonal_scan(x.double(), *wide, form="loop")[0]
    found = diagonal_scan(x, decay, read, start, form=form)[0]
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


def test_chunks_keep_the_input_once_for_backward():
    decay, read = (t.requires_grad_() for t in (decays(4, 8), noise(4, 8, seed=1, dtype=torch.complex128)))
    start = torch.zeros(4, 64, 8, dtype=torch.complex128)
    kept = {}
    for steps in (512, 1024):
        x, saved = noise(steps, 64, 8).requires_grad_(), []

        def keep(tensor, saved=saved):
            saved.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            diagonal_scan(x, decay, read, start, "chunked")
        memories = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
        kept[steps] = sum(memories.values()) / x.nbytes
    assert kept[1024] < kept[512] < 1.9


# -- windows ------------------------------------------------------------------------------


def filtered(x, past, taps):
    padded, window = torch.cat([past, x]), len(taps)
    taps = taps.reshape(window, *(1,) * (x.dim() - taps.dim()), *taps.shape[1:])
    return torch.stack(
        [sum(taps[i] * padded[window - 1 + t - i] for i in range(window)) for t in range(len(x))]  # type: ignore[misc]
    )


@pytest.mark.parametrize("site, shape", SITES, ids=str)
@pytest.mark.parametrize("form", FAMILIES["window"])
def test_causal_filter_is_the_sum_over_its_window(form, site, shape):
    for steps, window in ((1, 1), (1, 4), (70, 3), (20, 65), (64, 66)):
        inputs = noise(steps, *site), noise(window - 1, *site, seed=1), noise(window, *shape, seed=2)
        same(lambda *a: causal_filter(*a, form=form), filtered, inputs, (noise(steps, *site, seed=3),))


@settings(max_examples=25)
@given(steps=st.integers(1, 200), window=st.integers(1, 140), size=st.integers(1, 4))
def test_windows_of_any_size(steps, window, size):
    inputs = noise(steps, 2, size), noise(window - 1, 2, size, seed=1), noise(window, seed=2)
    first, *others = (causal_filter(*inputs, form=form) for form in FAMILIES["window"])
    for other in others:
        assert_close(other, first, **EXACT)


# -- modulo reset -------------------------------------------------------------------------


def serial(increment, start, threshold):
    rest, found = start, []
    for step in increment.tolist():
        found.append(rest + step)
        rest = found[-1] - (found[-1] // threshold) * threshold
    return torch.tensor(found, dtype=DOUBLE), rest


@pytest.mark.parametrize("form", FAMILIES["modulo"])
def test_modulo_scan_is_exact_where_its_numbers_are(form):
    """Multiples of 2 ** -20: no sum below 2 is rounded, so every form must give every bit in float32."""
    steps = 1_000_000 if form != "loop" else 20_000
    increment = torch.randint(0, 3 << 19, (steps,), generator=torch.Generator().manual_seed(0)).double() / (1 << 20)
    expected, rest = serial(increment, 0.25, 1.0)
    found, last = modulo_scan(increment.float(), torch.tensor(0.25), torch.tensor(1.0), form)
    assert torch.equal(found.double(), expected)
    assert last.item() == rest


def test_a_plain_running_sum_in_single_precision_is_wrong():
    """The reason for the forms: the same numbers, cumulated as a paper would write it."""
    increment = torch.randint(0, 3 << 19, (1_000_000,), generator=torch.Generator().manual_seed(0)).double() / (1 << 20)
    expected, _ = serial(increment, 0.0, 1.0)
    total = torch.from_numpy(increment.float().numpy().cumsum(dtype="float32"))
    before = torch.cat([torch.zeros(1), torch.floor(total[:-1])])
    wrong = (total - before >= 1) != (expected >= 1)
    assert wrong.double().mean() > 1e-3
    for form in ("float64", "associative", "chunked"):
        found, _ = modulo_scan(increment.float(), torch.tensor(0.0), torch.tensor(1.0), form)
        assert torch.equal(found >= 1, expected >= 1)


@pytest.mark.parametrize("form", FAMILIES["modulo"])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE], ids=str)
def test_modulo_scan_follows_the_serial_form_for_any_numbers(form, dtype):
    increment = torch.rand(3000, generator=torch.Generator().manual_seed(1), dtype=DOUBLE).to(dtype)
    for threshold in (1.0, 0.3, 0.7):
        level = torch.tensor(threshold, dtype=dtype)
        expected, rest = serial(increment.double(), 0.1, level.double().item())
        found, last = modulo_scan(increment, torch.tensor(0.1, dtype=dtype), level, form)
        tolerance = 1e-4 if dtype == torch.float32 else 1e-10
        margin = (expected / level.double() - (expected / level.double()).round()).abs()
        apart = ((found.double() - expected).abs() - threshold).abs() < tolerance  # the other side of a threshold
        assert ((found.double() - expected).abs()[~apart] < tolerance).all()
        assert apart.double().mean() < 1e-2 and (margin.roll(1)[apart] < tolerance).all()
        assert 0 <= last < level and abs(last.item() - rest) < tolerance


@pytest.mark.parametrize("form", FAMILIES["modulo"])
@settings(max_examples=12)
@given(steps=st.integers(1, 90), cut=st.integers(1, 90), scale=st.floats(0.01, 5.0), seed=st.integers(0, 99))
def test_modulo_scan_of_two_parts_is_that_of_the_whole(form, steps, cut, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    increment = scale * torch.rand(steps, 2, 3, generator=generator, dtype=DOUBLE).relu()
    start, threshold = torch.zeros(2, 3, dtype=DOUBLE), 0.2 + torch.rand(3, generator=generator, dtype=DOUBLE)
    whole, end = modulo_scan(increment, start, threshold, form)
    cut = min(cut, steps)
    found, rest = modulo_scan(increment[:cut], start, threshold, form)
    assert (rest >= 0).all() and (rest < threshold).all()
    if cut < steps:
        more, rest = modulo_scan(increment[cut:], rest, threshold, form)
        found = torch.cat([found, more])
    assert_close(found, whole, rtol=0, atol=1e-11)
    assert_close(rest, end, rtol=0, atol=1e-11)


@pytest.mark.parametrize("form", FAMILIES["modulo"])
def test_modulo_scan_passes_gradients_to_its_own_step_alone(form):
    increment = torch.rand(50, 3, dtype=DOUBLE, requires_grad=True)
    start = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    found, rest = modulo_scan(increment, start, torch.tensor(1.0, dtype=DOUBLE), form)
    weight = noise(50, 3)
    (found * weight).sum().backward()
    assert_close(increment.grad, weight, rtol=0, atol=0)
    assert start.grad is None and not rest.requires_grad


@settings(max_examples=200)
@given(
    whole=st.integers(0, 1 << 12),
    level=st.floats(0.0078125, 1024.0, width=32),
    ulps=st.integers(-3, 3),
    dtype=st.sampled_from([torch.float32, DOUBLE]),
)
def test_remainders_stay_in_range_at_the_edge_of_rounding(whole, level, ulps, dtype):
    threshold = torch.tensor(level, dtype=dtype)
    potential = whole * threshold
    for _ in range(abs(ulps)):
        potential = torch.nextafter(potential, torch.tensor(torch.inf if ulps > 0 else 0.0, dtype=dtype))
    count, rest = whole_thresholds(potential, threshold)
    assert 0 <= rest < threshold
    assert count == count.round()
    spacing = torch.finfo(dtype).eps * potential
    assert abs(count.double() * threshold.double() + rest.double() - potential.double()) <= 4 * spacing
    assert (count >= 1) == (potential >= threshold)
    if potential < threshold:
        assert rest == potential  # nothing is taken without a spike


def test_remainders_in_range_for_many_thresholds():
    generator = torch.Generator().manual_seed(0)
    threshold = 0.05 + 3 * torch.rand(400_000, generator=generator)
    multiple = torch.randint(0, 50, (400_000,), generator=generator) * threshold
    for potential in (40 * torch.rand(400_000, generator=generator), torch.nextafter(multiple, torch.tensor(0.0))):
        plain = potential - torch.floor(potential / threshold) * threshold
        _, rest = whole_thresholds(potential, threshold)
        assert ((rest >= 0) & (rest < threshold)).all()
    assert ((plain < 0) | (plain >= threshold)).any()  # what the plain expression does
    assert whole_thresholds(torch.tensor(torch.nan), torch.tensor(1.0))[1].isnan()


# -- the choice ---------------------------------------------------------------------------


def test_forms_are_chosen_by_size_and_device_with_a_reason():
    chosen = {
        ("diagonal", 64): "direct",
        ("diagonal", 65): "chunked",
        ("linear", 10): "direct",
        ("linear", 1000): "chunked",
    }
    for (family, steps), form in chosen.items():
        assert choose_form(family, steps=steps)[0] == form
    modulo = [choose_form("modulo", steps=9, device=d)[0] for d in ("cpu", "cuda", "mps")]
    assert modulo == ["float64", "float64", "associative"]
    windows = [choose_form("window", steps=500, window=k)[0] for k in (1, 16, 17, 128, 129)]
    assert windows == ["shifted", "shifted", "chunked", "chunked", "fft"]
    assert all(choose_form(family, steps=70, window=9)[1] for family in FAMILIES)


def test_forms_can_be_asked_for():
    x = torch.zeros(100, 2, 3)
    with use_forms(diagonal="fft"), use_forms(modulo="loop"):
        expected = "diagonal scan fft: asked for; modulo scan loop: asked for"
        assert planned_forms(x, "diagonal", "modulo") == ("fft + loop", expected)
    assert planned_forms(x, "diagonal")[0] == "chunked"
    with pytest.raises(UnknownName, match="family of scans 'modulus' is not registered. Did you mean 'modulo'"):
        use_forms(modulus="loop").__enter__()
    with pytest.raises(UnknownName, match="form of a modulo scan 'cumsum'"):
        use_forms(modulo="cumsum").__enter__()


@pytest.mark.parametrize("form", ["chunked", "fft"])
def test_settings_that_round_matrix_products_do_not_reach_potentials(form):
    decay, read = decays(4, 6).to(torch.complex64), noise(4, 6, dtype=torch.complex64)
    start, x = noise(4, 8, 6, dtype=torch.complex64), noise(130, 8, 6, dtype=torch.float32)
    taps, past = noise(40, dtype=torch.float32), noise(39, 8, 6, dtype=torch.float32)

    def everything():
        filtered = causal_filter(x, past, taps, form)
        return *diagonal_scan(x, decay, read, start, form), linear_scan(x, decay[0], form=form), filtered

    expected = everything()
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(everything(), expected, rtol=0, atol=0)
    setting = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    try:
        setting.fp32_precision = "bf16"
        assert_close(everything(), expected, rtol=1e-5, atol=1e-5)
    finally:
        setting.fp32_precision = before
