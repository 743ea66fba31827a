"""Bits hold exactly what was packed, by every means, and nothing but zeros and ones passes the check."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.kernels import build, packing
from spikeworks.kernels.packing import Packed, pack, pack_if_binary, unpack, unpack_into
from spikeworks.kernels.packing_c import source

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int64)
counts = st.integers(0, 3000) | st.sampled_from([8, 64, 511, 512, 513, 4096])


def spikes(*shape: int, seed: int = 0, rate: float = 0.3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).to(dtype)


@pytest.fixture(params=["c", "portable c", "numpy"])
def means(request, monkeypatch):
    """The kernels for this processor, for any, and the form without a compiler."""
    if request.param == "numpy":
        monkeypatch.setattr(build, "working_flags", lambda: "no compiler")
    elif request.param == "portable c":
        flags = (*build.FLAGS, *build.RELAXED)

        def portable(dtype):
            return packing.declared(build._load(source(dtype), build.find_compiler(), flags))

        monkeypatch.setattr(packing, "_built", portable)
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(0,), (1,), (8,), (3, 5), (2, 3, 24), (7, 11, 13), (130, 64)], ids=str)
def test_bits_come_back_in_the_order_of_the_values(means, shape, dtype):
    x = spikes(*shape, dtype=dtype)
    packed = pack(x)
    assert packed.shape == x.shape and packed.dtype == dtype and packed.bits.dtype == torch.uint8
    assert packed.bits.tolist() == np.packbits(x.bool().numpy(), bitorder="little").tolist()
    back = unpack(packed)
    assert back.dtype == dtype and torch.equal(back, x)
    checked = pack_if_binary(x)
    assert checked is not None and torch.equal(checked.bits, packed.bits)


@given(counts, st.integers(0, 99), st.sampled_from([torch.float32, torch.float64]))
def test_any_number_of_values_comes_back(count, seed, dtype):
    x = spikes(count, seed=seed, dtype=dtype)
    packed = pack(x)
    assert packed.bits.numel() == -(-count // 8)
    assert torch.equal(unpack(packed), x)
    assert packed.rate == pytest.approx(x.double().mean().item() if count else 0.0)


@pytest.mark.parametrize("wrong", [0.5, 2.0, -1.0, 1e-40, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_single_other_value_is_refused_wherever_it_is(means, wrong, dtype):
    for count, places in ((1, [0]), (13, range(13)), (1100, [0, 7, 8, 511, 512, 600, 1095, 1096, 1099])):
        for place in places:
            x = spikes(count, dtype=dtype)
            x[place] = wrong
            assert pack_if_binary(x) is None
            assert unpack(pack(x))[place] == 1  # what is not checked counts as a spike


def test_negative_zero_is_zero(means):
    x = torch.tensor([-0.0, 1.0, 0.0, -0.0, 1.0, -0.0, 0.0, -0.0, 1.0])
    packed = pack_if_binary(x)
    assert packed is not None and packed.bits.tolist() == [0b00010010, 1]


def test_layouts_are_read_by_their_axes(means):
    x = spikes(6, 5, 16)
    for view in (x.permute(2, 0, 1), x[:, ::2], x[0].expand(3, 5, 16)):
        assert torch.equal(unpack(pack(view)), view)


def test_threads_do_not_change_the_bits(means):
    x, before = spikes(200_003), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            packed = pack_if_binary(x)
            assert packed is not None
            results.append((packed.bits, unpack(packed)))
            flawed = x.clone()
            flawed[199_999] = 0.5
            assert pack_if_binary(flawed) is None
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1]) and torch.equal(results[1][1], x)


def test_a_part_of_a_buffer_is_filled_and_no_more(means):
    x, buffer = spikes(3, 8), torch.full((5, 8), 7.0)
    unpack_into(pack(x).bits, buffer[:3])
    assert torch.equal(buffer[:3], x) and bool((buffer[3:] == 7).all())


def test_no_gradient_runs_through_bits():
    x = spikes(4, 8).requires_grad_()
    packed = pack(x)
    assert not packed.bits.requires_grad and not unpack(packed).requires_grad


def test_rate_of_few_and_of_no_values():
    assert Packed(torch.tensor([255, 1], dtype=torch.uint8), torch.Size([9]), torch.float32).rate == 1.0
    assert pack(torch.zeros(0, 8)).rate == 0.0
