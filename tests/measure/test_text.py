from __future__ import annotations

import math

import pytest
import torch

from spikeworks.core.batch import Batch
from spikeworks.core.errors import DataError, ShapeError
from spikeworks.measure.text import PerplexityMeter, token_losses


def batch(target):
    return Batch(torch.zeros_like(target), target)


def test_perplexity_is_exp_of_the_mean_loss_over_all_batches():
    generator = torch.Generator().manual_seed(0)
    meter = PerplexityMeter()
    losses = []
    for steps, columns in ((5, 2), (3, 4)):
        output = torch.randn(steps, columns, 7, generator=generator)
        target = torch.randint(7, (columns, steps), generator=generator)
        meter.update(output, batch(target))
        log = output.double().log_softmax(2)
        losses += [-log[t, b, target[b, t]].item() for t in range(steps) for b in range(columns)]
    found = meter.compute()
    assert meter.tokens == 22 and found["tokens"] == 22
    assert found["loss"] == pytest.approx(sum(losses) / 22, rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(sum(losses) / 22), rel=1e-6)


def test_losses_of_half_precision_are_float32():
    losses = token_losses(torch.zeros(2, 1, 5, dtype=torch.bfloat16), torch.zeros(1, 2, dtype=torch.int64))
    assert losses.dtype == torch.float32 and losses.tolist() == pytest.approx([math.log(5)] * 2)


@pytest.mark.parametrize(("score", "expected"), [(1e4, math.inf), (math.nan, math.nan)])
def test_hopeless_models_have_a_figure(score, expected):
    meter = PerplexityMeter()
    meter.update(torch.tensor([[[0.0, score]]]), batch(torch.zeros(1, 1, dtype=torch.int64)))
    assert meter.compute()["perplexity"] == pytest.approx(expected, nan_ok=True)


def test_errors():
    meter = PerplexityMeter()
    with pytest.raises(DataError, match="before any token"):
        meter.compute()
    message = r"Expected word scores of shape \[3, 2, 'V'\] for targets \[2, 3\], got \[2, 3, 9\]"
    with pytest.raises(ShapeError, match=message):
        meter.update(torch.zeros(2, 3, 9), batch(torch.zeros(2, 3, dtype=torch.int64)))
