"""Small products in a loop stay in one thread, large ones do not, and torch's number of threads comes back."""

from __future__ import annotations

import pytest
import torch

from spikeworks.kernels.threads import PRODUCT_FROM, products_of
from spikeworks.layers import Recurrent
from spikeworks.neurons import LIF


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("work", "threads"), [(PRODUCT_FROM - 1, 1), (PRODUCT_FROM, 3)])
def test_products_get_the_threads_they_deserve(three_threads, work, threads):
    with products_of(work):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_threads_come_back_after_an_error(three_threads):
    with pytest.raises(ZeroDivisionError), products_of(1):
        _ = 1 / 0
    assert torch.get_num_threads() == 3


def test_a_recurrent_layer_multiplies_in_one_thread_and_gives_the_others_back(three_threads, monkeypatch):
    seen = []
    product = torch.Tensor.addmm_
    monkeypatch.setattr(torch.Tensor, "addmm_", lambda *args: (seen.append(torch.get_num_threads()), product(*args))[1])
    layer = Recurrent(LIF(4), generator=torch.Generator().manual_seed(0))
    x = torch.rand(5, 2, 4, requires_grad=True)
    y, _ = layer(x)
    y.sum().backward()
    assert set(seen) <= {1} and torch.get_num_threads() == 3
    if layer.neuron.backend_report("cpu")[0] == "c":
        assert len(seen) == 5 + 4
