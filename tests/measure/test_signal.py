"""SI-SNR counts neither gain nor offset, equals hand-made numbers, and ends at 100 dB."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.batch import Batch
from spikeworks.core.errors import DataError, ShapeError
from spikeworks.measure.signal import DenoisingMeter, si_snr


def waves(seed: int = 0, size: int = 3, samples: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randn(size, samples, generator=generator, dtype=torch.float64)
    return clean, clean + 0.3 * torch.randn(size, samples, generator=generator, dtype=torch.float64)


@given(st.floats(1e-3, 1e3), st.floats(-10, 10), st.floats(1e-3, 1e3), st.floats(-10, 10), st.booleans())
def test_gain_and_offset_of_either_do_not_count(gain, offset, other_gain, other_offset, flipped):
    clean, noisy = waves()
    gain = -gain if flipped else gain
    changed = si_snr(gain * noisy + offset, other_gain * clean + other_offset)
    torch.testing.assert_close(changed, si_snr(noisy, clean), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("wanted", [-20.0, 0.0, 7.5, 40.0])
def test_orthogonal_noise_has_the_ratio_of_the_powers(wanted):
    clean, noise = waves()
    clean, noise = clean - clean.mean(1, keepdim=True), noise - noise.mean(1, keepdim=True)
    noise = noise - (noise * clean).sum(1, keepdim=True) / clean.square().sum(1, keepdim=True) * clean
    noise = noise * (clean.norm(dim=1) / noise.norm(dim=1) * 10 ** (-wanted / 20)).unsqueeze(1)
    torch.testing.assert_close(
        si_snr(clean + noise, clean), torch.full((3,), wanted, dtype=torch.float64), rtol=0, atol=1e-5
    )  # the floor


def test_ends():
    clean, noisy = waves()
    assert si_snr(clean, clean).tolist() == pytest.approx([100.0] * 3, abs=1e-3)
    silent = torch.zeros_like(clean)
    assert si_snr(silent, clean).tolist() == pytest.approx([-100.0] * 3)
    assert si_snr(noisy, silent).tolist() == pytest.approx([-100.0] * 3)
    assert torch.isfinite(si_snr(silent.float(), silent.float())).all()


def test_lengths_are_those_of_the_waves_alone():
    clean, noisy = waves()
    lengths = torch.tensor([400, 123, 50])
    inside = torch.arange(400) < lengths.unsqueeze(1)
    found = si_snr(noisy * inside, clean * inside, lengths)
    for i, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[i : i + 1], si_snr(noisy[i : i + 1, :n], clean[i : i + 1, :n]))


def test_gradients_are_finite_even_for_silence():
    clean, noisy = waves(size=1, samples=6)
    assert torch.autograd.gradcheck(lambda x: si_snr(x, clean), noisy.requires_grad_())
    silent = torch.zeros(1, 6, requires_grad=True)
    si_snr(silent, clean.float()).sum().backward()
    assert silent.grad is not None and torch.isfinite(silent.grad).all()


def test_shapes():
    with pytest.raises(ShapeError, match=r"two waves \[B, S\], got \[2, 3\] and \[2, 4\]"):
        si_snr(torch.zeros(2, 3), torch.zeros(2, 4))


def test_the_meter_means_over_clips():
    figures = iter([(torch.tensor([1.0, 2.0]), torch.tensor([10.0, 6.0]), torch.tensor([4.0, 4.0])),
                    (torch.tensor([6.0]), torch.tensor([5.0]), torch.tensor([1.0]))])  # fmt: skip
    meter = DenoisingMeter(lambda output, batch: next(figures))
    with pytest.raises(DataError, match="before any clip"):
        meter.compute()
    for size in (2, 1):
        meter.update(torch.zeros(1), Batch(torch.zeros(1, size, 1), torch.zeros(size, 2, 4)))
    assert meter.compute() == {"si_snr": 7.0, "si_snr_improvement": 4.0, "noisy_si_snr": 3.0, "loss": 3.0}
