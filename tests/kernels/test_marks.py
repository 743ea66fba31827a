"""Bits never outlive what they describe."""

from __future__ import annotations

import copy
import gc
import io
import math
import pickle
import weakref

import pytest
import torch

from spikeworks.core.errors import ShapeError
from spikeworks.kernels.marks import bits_of, mark, mark_fake, packed_of
from spikeworks.kernels.packing import Packed, pack, unpack


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(0)) < 0.2).double()


def marked(*shape: int) -> tuple[torch.Tensor, Packed]:
    y = spikes(*(shape or (4, 2, 16)))
    packed = pack(y)
    mark(y, packed)
    return y, packed


def test_a_mark_is_found_until_the_tensor_changes():
    y, packed = marked()
    assert packed_of(y) is packed and packed_of(y) is packed
    y[0, 0, 0] = 1 - y[0, 0, 0]
    assert packed_of(y) is None
    changes = {
        "in place": lambda y: y.mul_(2),
        "a view": lambda y: y[1].zero_(),
        "without gradients": lambda y: torch.no_grad()(y.add_)(1),
        "shape": lambda y: y.resize_(2, 4, 16),
        "storage": lambda y: setattr(y, "data", torch.rand(4, 2, 16)),
        "out": lambda y: torch.neg(y, out=y),
    }
    for name, change in changes.items():
        y, _ = marked()
        change(y)
        assert packed_of(y) is None, name
    y, packed = marked()
    y.zero_()
    mark(y, pack(y))
    assert packed_of(y) is not packed and not unpack(packed_of(y)).any()


def test_copies_and_derived_tensors_carry_no_mark():
    y, _ = marked()
    file = io.BytesIO()
    torch.save(y, file)
    file.seek(0)
    others = [
        y.clone(), y.detach(), y.reshape(4, 32), y[:], y.view_as(y), copy.copy(y), copy.deepcopy(y),
        pickle.loads(pickle.dumps(y)), torch.load(file, weights_only=True),
    ]  # fmt: skip
    for other in others:
        assert packed_of(other) is None
        mark(other, pack(other))  # what took the place of the mark is no obstacle
    assert all(torch.equal(other.reshape(y.shape), y) for other in others)
    assert packed_of(y) is not None


def test_a_stale_mark_is_not_revived_by_a_copy():
    y, _ = marked()
    y.zero_()
    assert packed_of(copy.deepcopy(y)) is None and packed_of(copy.copy(y)) is None


def test_marks_do_not_hold_tensors():
    y, packed = marked()
    alive = [weakref.ref(y), weakref.ref(packed.bits)]
    gc.disable()
    try:
        del y, packed
        assert [link() for link in alive] == [None, None]
    finally:
        gc.enable()


def test_marks_that_could_mislead_are_not_set():
    y, _ = marked(4, 2, 12)  # rows of a byte and a half
    assert packed_of(y) is None
    with torch.inference_mode():
        y, _ = marked()
        assert packed_of(y) is None
    with pytest.raises(ShapeError, match=r"Bits of shape \[4, 2, 16\] cannot mark spikes of shape \[4, 16, 2\]"):
        mark(torch.zeros(4, 16, 2), pack(torch.zeros(4, 2, 16)))


def test_fake_spikes_are_what_their_neuron_says():
    with torch._subclasses.FakeTensorMode():
        y = torch.zeros(4, 2, 13)
        assert bits_of(y) is None
        mark_fake(y)
        packed = bits_of(y)
        assert packed is not None and packed.bits.shape == (13,) and math.isnan(packed.rate)
        assert unpack(packed).shape == y.shape


def test_bits_are_packed_once_for_all_readers():
    x = spikes(4, 2, 16)
    packed = bits_of(x)
    assert packed is not None and bits_of(x) is packed and torch.equal(unpack(packed), x)
    assert bits_of(x + 0.5) is None


def test_a_mark_inside_compiled_code_is_silent():
    def step(x: torch.Tensor) -> torch.Tensor:
        y = (x > 0).to(x.dtype)
        mark(y, Packed(y, y.shape, y.dtype))
        return y + (0 if packed_of(y) is None else 1)

    x = torch.tensor([[[-1.0, 1.0] * 4]])
    assert torch.equal(torch.compile(step, backend="eager", fullgraph=True)(x), (x > 0).float())
