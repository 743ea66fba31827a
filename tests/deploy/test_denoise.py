"""A denoiser on a stream gives what the task makes of the whole clip, and nothing poisons what follows."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeworks.core.errors import ConfigError, DataError, ShapeError
from spikeworks.data.deep_filter import Mask
from spikeworks.data.stft import Stft
from spikeworks.deploy import Denoiser
from spikeworks.deploy.c import compiled
from spikeworks.kernels.build import find_compiler
from spikeworks.layers import ReadoutConfig
from spikeworks.models import FullSubNetConfig, GatedConfig, StackConfig, TransformerConfig
from spikeworks.neurons import config_for
from spikeworks.tasks import task_for
from spikeworks.tasks.denoise_stream import DenoisingStream
from spikeworks.tasks.denoising import DenoisingTask, Front
from spikeworks.tasks.ndns import NdnsConfig

EVERY = ReadoutConfig(kind="every")
LIF = config_for("lif", threshold=0.1)
NETWORKS = {
    "lif": StackConfig(hidden=(12, 12), neuron=LIF, readout=EVERY),
    "recurrent": StackConfig(hidden=(12,), neuron=LIF, recurrent=(True,), readout=EVERY),
    "gated": GatedConfig(hidden=(8, 8), readout=EVERY),
    "spiking-fullsubnet": FullSubNetConfig(),
}
CUTS = st.lists(st.integers(0, 900), max_size=6)


class Bare(DenoisingTask):
    """A task without data."""

    def _load(self, split):
        return {}


def bare(kind="magnitude", taps=1, level="cumulative", window=32, hop=8) -> Bare:
    return Bare(NdnsConfig(), Front(Stft(window=window, hop=hop), level), Mask(kind, taps), 0.001, 8000, None)


def made(config, task, seed=0, dtype=torch.float64):
    signature, generator = task.signature, torch.Generator().manual_seed(seed)
    return config.build(signature.inputs, signature.outputs, generator).to(dtype)


def sound(*shape: int, seed=1, dtype=torch.float64):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def offline(task, network, wave):
    """What the task makes of ``wave [S]`` as a whole, a partial hop filled with zeros."""
    hops = torch.nn.functional.pad(wave, (0, -len(wave) % task.front.stft.hop))
    batch = task.front.join([torch.stack([hops, hops])])
    with torch.no_grad():
        return task.waves(network.eval()(batch.x)[0], batch)[0][0, : len(wave)]


def streamed(denoiser, wave, cuts=()):
    bounds = [0, *sorted(min(cut, wave.shape[-1]) for cut in cuts), wave.shape[-1]]
    parts = [denoiser.push(wave[..., a:b]) for a, b in itertools.pairwise(bounds)]
    return torch.cat([*parts, denoiser.flush()], -1)


# -- the same as offline -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("kind", "taps", "level"), [("magnitude", 1, "cumulative"), ("complex", 3, "raw")])
def test_any_cut_and_any_chunk_is_the_whole(name, kind, taps, level):
    if name == "spiking-fullsubnet" and kind == "magnitude":
        kind = "complex"
    wide = name == "spiking-fullsubnet"  # its bands want enough frequencies
    task = bare(kind, taps, level, *((256, 64) if wide else (32, 8)))
    network = made(NETWORKS[name], task)

    @settings(max_examples=15)
    @given(st.integers(1, 500), CUTS, st.sampled_from([1, 3, 64]))
    def holds(samples, cuts, frames):
        wave = sound(samples)
        wanted = offline(task, network, wave)
        found = streamed(Denoiser(network, DenoisingStream(task, dtype=torch.float64), frames=frames), wave, cuts)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)

    holds()
    wave = sound(1200)
    assert (offline(task, network, wave) - wave).abs().max() > 1e-3  # the network does something


@pytest.mark.parametrize(("mask", "taps"), [("magnitude", 1), ("complex", 3)])
@pytest.mark.parametrize("frames", [1, 64])
def test_single_precision_stays_within_a_hundred_thousandth(mask, taps, frames):
    task = task_for("denoise-digits", mask=mask, taps=taps).build()
    network = made(StackConfig(hidden=(64, 64), neuron=LIF, readout=EVERY), task, dtype=torch.float32)
    wave = sound(2 * 8000 + 33, dtype=torch.float32)
    found = streamed(Denoiser(network, DenoisingStream(task), frames=frames), wave, range(0, 16_000, 777))
    torch.testing.assert_close(found, offline(task, network, wave), rtol=0, atol=1e-5)


@pytest.mark.skipif(find_compiler() is None, reason="needs a C compiler")
@pytest.mark.parametrize("name", ["lif", "recurrent", "spiking-fullsubnet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_compiled_network_denoises_alike(name, dtype):
    task = task_for("denoise-digits", mask="complex", taps=3).build()
    network = made(NETWORKS[name], task, dtype=dtype)
    fast = compiled(network, dtype=dtype)
    wave = sound(2, 8000 + 33, dtype=dtype)
    wave[1] *= 3
    for frames in (1, 64):
        denoiser = Denoiser(fast, DenoisingStream(task, 2, dtype), frames=frames)
        denoiser.push(wave[:, :300])
        assert not denoiser.grows and denoiser.kept_bytes > 2 * fast.state_bytes
        denoiser.reset()
        found = streamed(denoiser, wave, range(0, 8000, 777))
        for row, alone in zip(found, wave, strict=True):
            atol = 1e-5 if dtype == torch.float32 else 1e-11
            torch.testing.assert_close(row, offline(task, network, alone), rtol=0, atol=atol)


def test_output_is_behind_by_one_window_at_most():
    task = bare()
    denoiser = Denoiser(made(NETWORKS["lif"], task), DenoisingStream(task, dtype=torch.float64))
    gone = 0
    for came in range(1, 200):
        gone += len(denoiser.push(sound(1)))
        assert came - denoiser.latency_samples < gone <= came
    assert denoiser.latency_samples == 32 and gone + len(denoiser.flush()) == 199


def test_channels_run_side_by_side():
    task = bare("complex", 2)
    network = made(NETWORKS["gated"], task)
    wave = sound(2, 500)
    wave[1] *= 7
    found = streamed(Denoiser(network, DenoisingStream(task, 2, torch.float64)), wave, [100, 333])
    for row, alone in zip(found, wave, strict=True):
        torch.testing.assert_close(row, offline(task, network, alone), rtol=0, atol=1e-11)


# -- what must not poison ------------------------------------------------------------------------


def test_samples_that_are_no_numbers_count_and_are_zero():
    task = bare()
    network = made(NETWORKS["lif"], task)
    broken, wave = sound(600), sound(600)
    for place, value in ((10, float("nan")), (11, float("inf")), (300, -float("inf")), (301, 1e30)):
        broken[place], wave[place] = value, 0.0
    denoiser = Denoiser(network, DenoisingStream(task, dtype=torch.float64))
    torch.testing.assert_close(streamed(denoiser, broken, [200]), offline(task, network, wave), rtol=0, atol=1e-11)
    assert denoiser.replaced == 4


@pytest.mark.parametrize("end", ["flush", "reset"])
def test_after_a_gap_the_stream_is_a_fresh_one(end):
    task = bare("complex", 3)
    network = made(NETWORKS["gated"], task)
    denoiser = Denoiser(network, DenoisingStream(task, dtype=torch.float64))
    denoiser.push(1e5 * sound(333))
    getattr(denoiser, end)()
    wave = sound(400, seed=2)
    torch.testing.assert_close(streamed(denoiser, wave), offline(task, network, wave), rtol=0, atol=1e-11)


@settings(max_examples=10)
@given(CUTS, st.sampled_from([1, 4, 64]))
def test_sound_after_a_long_silence_starts_from_rest(cuts, frames):
    task = bare()
    network = made(NETWORKS["lif"], task)
    first, silence, second = sound(160), torch.zeros(480, dtype=torch.float64), sound(320, seed=2)
    wave = torch.cat([first, silence, second])

    def run(reset_after):
        denoiser = Denoiser(network, DenoisingStream(task, dtype=torch.float64), frames=frames, reset_after=reset_after)
        return streamed(denoiser, wave, cuts), denoiser.resets

    (kept, none), (fresh, one) = run(None), run(0.05)  # 0.05 s are 400 samples, 50 frames
    torch.testing.assert_close(kept, offline(task, network, wave), rtol=0, atol=1e-11)
    assert (none, one) == (0, 1)
    # frame 79, around sample 632, is the first with sound; its predecessors are silent but share its overlap
    alone = offline(task, network, wave[632:])
    torch.testing.assert_close(fresh[632 + 32 :], alone[32:], rtol=0, atol=1e-11)
    torch.testing.assert_close(fresh[:600], kept[:600], rtol=0, atol=1e-11)
    assert (fresh[664:] - kept[664:]).abs().max() > 1e-4


def test_nothing_that_is_kept_grows():
    task = bare("complex", 3)
    for config in (NETWORKS["lif"], NETWORKS["gated"]):
        denoiser = Denoiser(made(config, task), DenoisingStream(task, dtype=torch.float64))
        sizes = []
        for _ in range(60):
            denoiser.push(sound(8 * 5))
            sizes.append(denoiser.kept_bytes)
        assert len(set(sizes)) == 1 and not denoiser.grows
        assert denoiser.samples == 60 * 40 and denoiser.real_time_factor and denoiser.slowest_call > 0
    path = DenoisingStream(task, dtype=torch.float64)
    assert Denoiser(made(TransformerConfig(width=8, heads=2, readout=EVERY), task), path).grows


# -- what does not work --------------------------------------------------------------------------


def test_networks_that_cannot_denoise():
    task = bare()
    path = DenoisingStream(task, dtype=torch.float64)
    with pytest.raises(ConfigError, match="(?s)answers a frame with .*needs the readout 'every'"):
        Denoiser(made(StackConfig(hidden=(4,)), task), path)
    with pytest.raises(ConfigError, match=r"(?s)answers a frame with \[1, 1, 17\], and this task wants \[1, 1, 34\]"):
        Denoiser(made(NETWORKS["lif"], task), DenoisingStream(bare("complex"), dtype=torch.float64))
    with pytest.raises(ConfigError, match="does not work frame by frame: .*whole sequence"):
        Denoiser(made(StackConfig(hidden=(4,), neuron=config_for("masked-psn"), readout=EVERY), task), path)
    broken = made(NETWORKS["lif"], task)
    with torch.no_grad():
        next(broken.readout.parameters())[0] = float("nan")
    with pytest.raises(ConfigError, match="readout.* holds numbers that are not finite"):
        Denoiser(broken, path)


def test_an_unstable_network_ends_in_a_message_and_starts_anew():
    class Unstable(torch.nn.Module):
        def forward(self, x, state=None):
            return (x / (x.amax() < 1e3)).nan_to_num(posinf=float("nan")), torch.zeros(1)

    task = bare(level="raw")
    denoiser = Denoiser(Unstable(), DenoisingStream(task, dtype=torch.float64))
    with pytest.raises(DataError, match="not finite: it is unstable"):
        denoiser.push(torch.full((100,), 1e6, dtype=torch.float64))
    wave = sound(100)
    assert torch.isfinite(streamed(denoiser, wave)).all()


def test_samples_and_options_that_cannot_be():
    task = bare()
    network = made(NETWORKS["lif"], task)
    denoiser = Denoiser(network, DenoisingStream(task, dtype=torch.float64))
    for wrong in (torch.zeros(2, 8), torch.zeros(8, dtype=torch.int16)):
        with pytest.raises(ShapeError, match=r"expected float samples \[S\], got"):
            denoiser.push(wrong)
    with pytest.raises(ConfigError, match="at least one frame"):
        Denoiser(network, denoiser.path, frames=0)
    with pytest.raises(ConfigError, match="reset_after is a number of seconds above 0"):
        Denoiser(network, denoiser.path, reset_after=0.0)
    with pytest.raises(ConfigError, match="at least one channel"):
        DenoisingStream(task, 0)
