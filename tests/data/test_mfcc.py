from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from spikeworks.core.errors import ConfigError
from spikeworks.data.mel import LogMel
from spikeworks.data.mfcc import Mfcc, slopes


@pytest.fixture(scope="module")
def wave():
    return torch.randn(4000, generator=torch.Generator().manual_seed(0))


def test_39_numbers_of_25_ms_every_10(wave):
    front = Mfcc()
    assert front.channels == 39 and front(wave).shape == (1 + (4000 - 400) // 160, 39)
    assert front(wave[:100]).shape == (1, 39) and front(wave).dtype == torch.float32
    assert bool(torch.isfinite(front(torch.zeros(1000))).all())


def test_coefficients_by_the_definition(wave):
    front = Mfcc(mel=LogMel(rate=16_000, bands=26), cepstra=12, lifter=22)
    bands = front.mel(wave)[3].double().numpy()
    for n in (1, 5, 12):
        plain = math.sqrt(2 / 26) * sum(b * math.cos(math.pi * n * (k + 0.5) / 26) for k, b in enumerate(bands))
        expected = plain * (1 + 11 * math.sin(math.pi * n / 22))
        assert front.coefficients(wave)[3, n - 1].item() == pytest.approx(expected, rel=1e-9)
    bare = Mfcc(lifter=0).coefficients(wave)[3, 0].item()
    assert front.coefficients(wave)[3, 0].item() == pytest.approx(bare * (1 + 11 * math.sin(math.pi / 22)), rel=1e-9)


def test_energy_by_the_definition(wave):
    expected = math.log(float(wave[480 : 480 + 400].double().square().sum()) + 1e-6)
    found = Mfcc()(wave)
    assert found[3, 12].item() == pytest.approx(expected, rel=1e-6)
    assert Mfcc().energy(2 * wave)[3].item() == pytest.approx(expected + 2 * math.log(2), rel=1e-6)


def test_loudness_moves_the_energy_alone(wave):
    front = Mfcc(mel=LogMel(rate=16_000, bands=26, floor=1e-12))
    quiet, loud = front.coefficients(wave), front.coefficients(3 * wave)
    torch.testing.assert_close(quiet, loud, atol=1e-4, rtol=1e-4)


def test_slopes_are_least_squares_lines():
    rows = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padded = np.pad(rows.numpy(), ((2, 2), (0, 0)), mode="edge")
    expected = [np.polyfit(np.arange(5), padded[t : t + 5], 1)[0] for t in range(9)]
    np.testing.assert_allclose(slopes(rows).numpy(), expected, atol=1e-12)
    found = Mfcc()(torch.randn(4000, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(found[:, 13:26], slopes(found[:, :13]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, 26:], slopes(found[:, 13:26]), atol=1e-5, rtol=1e-4)


def test_options_are_checked():
    for wrong in ({"cepstra": 26}, {"cepstra": 0}, {"lifter": -1}, {"floor": 0.0}):
        with pytest.raises(ConfigError, match="Cepstra number 1 to 25 with 26 bands"):
            Mfcc(**wrong)
