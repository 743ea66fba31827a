"""What a report shows of denoisers: sound, spectrograms, spikes and figures, in the page itself."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import re
import wave
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spikeworks.arena import denoising_page
from spikeworks.arena.checkpoint import save_tensors
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.denoising import HeardClip, denoised, evaluate_denoiser, load_denoiser
from spikeworks.arena.denoising_bands import Band, bands
from spikeworks.arena.denoising_figures import _lean, clip_figure
from spikeworks.arena.report import render
from spikeworks.arena.run import Run
from spikeworks.arena.store import SCHEMA, RunRecord, load_runs
from spikeworks.core.batch import Batch
from spikeworks.core.config import to_dict
from spikeworks.core.errors import ConfigError, RunError
from spikeworks.core.files import write_json
from spikeworks.data.stft import Stft
from spikeworks.layers import ReadoutConfig
from spikeworks.models import FullSubNetConfig, GRUConfig, ModelConfig, StackConfig
from spikeworks.neurons import config_for
from spikeworks.tasks.denoise_digits import DenoiseDigitsConfig

EVERY = ReadoutConfig(kind="every")
TASK = DenoiseDigitsConfig(
    source="made", noise="seen", train_size=1, validation_size=1, test_size=7, train_seconds=1.0, test_seconds=1.0
)
FULL = FullSubNetConfig(full_hidden=(8, 6), sub_hidden=(6,), cuts=(16, 64, 128), widths=(4, 16, 32))
STACK = StackConfig(hidden=(24,), neuron=config_for("lif", threshold=0.1), readout=EVERY)
RATE = 8_000


def stored(root: Path, model: ModelConfig, score: float, **result: object) -> None:
    """A finished run with random weights: what a page shows of them does not depend on training."""
    run = Run(RunConfig(task=TASK, model=model, budget=Budget(epochs=1, batch_size=4)), root)
    run.directory.mkdir(parents=True)
    write_json(run.directory / "config.json", to_dict(run.config))
    save_tensors(run.directory / "best.safetensors", run.network(TASK.build()).state_dict(), {})
    metric = {"name": "si_snr", "unit": "dB", "higher_is_better": True}
    found = {"schema": SCHEMA, "status": "finished", "task": "denoise-digits", "score": {"test": score}}
    write_json(run.directory / "result.json", found | {"metric": metric} | result)


@pytest.fixture(scope="module")
def runs(data_set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_set("fsdd")
    root = tmp_path_factory.mktemp("runs")
    energy = {"memory_aware_nj": 2000.0, "convention_nj": 500.0, "steps": 125.0, "uncounted": [], "not_called": []}
    stored(root, FULL, 9.0, energy=energy)
    stored(root, GRUConfig(hidden=(8,), readout=EVERY), 5.0)
    stored(root, STACK, 7.0)
    return root


@pytest.fixture(scope="module")
def page(runs: Path, data_root: Path) -> str:
    return render(load_runs(runs), data_root=data_root)


def record_of(runs: Path, label: str) -> RunRecord:
    return next(record for record in load_runs(runs) if record.label == label)


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.players: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag == "audio":
            found = dict(attrs)
            assert "controls" in found and found["aria-label"]
            self.players.append(found["src"] or "")


def heard(address: str) -> tuple[np.ndarray, int]:
    head, _, content = address.partition(",")
    assert head == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(content, validate=True))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15, file.getframerate()


def words(page: str) -> str:
    body = re.sub(r"<(style|script).*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def test_everything_is_in_the_page_and_nothing_is_fetched(page: str) -> None:
    parsed = Parsed(page)
    assert all(link.startswith(("#", "data:")) for link in parsed.links)
    assert set(re.findall(r"https?://[^\"'\s<]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "media-src data:" in page
    assert len(page) < 3_000_000


def test_the_players_hold_the_waves_of_the_clips_at_one_volume(page: str, runs: Path, data_root: Path) -> None:
    task, network = load_denoiser(record_of(runs, "spiking-fullsubnet"), data_root)
    noisy = evaluate_denoiser(lambda batch: batch.target[:, 1], task)
    players = [heard(address) for address in Parsed(page).players]
    assert len(players) == 9 and {rate for _, rate in players} == {RATE}
    data = task.data("test")
    for place, clip in enumerate(denoising_page.chosen(noisy.clips)):
        batch = data.batch(data.plan(1)[clip.position])
        with torch.no_grad():
            estimate = denoised(network, task, batch)[0]
        wanted = [batch.target[0, 1], estimate, batch.target[0, 0]]
        gain = 0.9 / max(float(one.abs().max()) for one in wanted)
        for (samples, _), one in zip(players[3 * place : 3 * place + 3], wanted, strict=True):
            np.testing.assert_allclose(samples, (gain * one).numpy(), atol=1e-4)


def test_the_clips_are_named_and_drawn_with_the_bands_of_the_best_model(page: str) -> None:
    drawings = re.findall(r"<svg[^>]*><title>(Spectrograms of one clip.*?)</title>(.*?)</svg>", page, re.S)
    assert len(drawings) == 3
    for title, drawing in drawings:
        for band in ("whole (hears 0–1 kHz)", "0–0.5 kHz, 4 units", "0.5–2 kHz, 3 units", "2–4 kHz, 2 units"):
            assert band in title and band in drawing
        for name in ("noisy, SI-SNR", "denoised, SI-SNR", "clean"):
            assert name in title and name in drawing
        assert drawing.count("<image") == 3 + 4 + 1  # spectrograms, bands, the scale
    text = words(page)
    assert "through spiking-fullsubnet" in text and "theo in " in text
    assert (
        text.index("See and hear it") < text.index("By kind of noise and by ratio") < text.index("What a frame costs")
    )


def test_the_tables_hold_the_means_and_the_costs(page: str, runs: Path, data_root: Path) -> None:
    text = words(page).replace("\u00a0", " ")
    task, network = load_denoiser(record_of(runs, "spiking-fullsubnet"), data_root)
    found = evaluate_denoiser(network, task)
    for kind, clips in found.kinds.items():
        gain = f"{found.by_kind[kind]['si_snr_improvement']:+.1f}".replace("-", "\N{MINUS SIGN}")
        assert re.search(rf"{re.escape(kind.replace('_', ' '))} {re.escape(gain)} [^a-z]* {len(clips)} ", text), kind
    assert "all 7 test clips" in text
    assert "32.03 ms (window 32, transforms 0.03, network 0, look-ahead 0)" in text
    assert "2.00 µJ with memory, 500 nJ of arithmetic alone" in text  # 125 frames of 8 ms are one second
    assert text.count("not known in full") >= 2  # the other two runs have no energy
    for mode in ("published", "all-units", "everything"):
        assert text.count(f" {mode} ") >= 4


def test_measures_whose_packages_are_missing_are_named(
    runs: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        denoising_page.importlib.util, "find_spec", lambda name: None if name in ("pesq", "pystoi") else real(name)
    )
    text = words(render([record_of(runs, "gru")], data_root=data_root))
    assert "Not measured: STOI, PESQ ( pip install 'spikeworks[speech]' )" in text
    assert "STOI and PESQ: of the noisy" not in text
    assert "a point for every spike" not in text  # a GRU has none


def test_a_page_without_the_data_or_the_weights_says_so(runs: Path, tmp_path: Path) -> None:
    page = render([record_of(runs, "spiking-fullsubnet")], data_root=tmp_path)
    assert "No clips of spiking-fullsubnet:" in page and "See and hear it" in page and "<audio" not in page
    assert str(tmp_path) in page
    record = dataclasses.replace(record_of(runs, "gru"), path=tmp_path)
    assert "best.safetensors cannot be read" in render([record])


def test_weights_of_another_network_and_runs_of_other_tasks_are_refused(runs: Path, tmp_path: Path) -> None:
    record = record_of(runs, "gru")
    save_tensors(tmp_path / "best.safetensors", {"other": torch.zeros(1)}, {})
    with pytest.raises(RunError, match="do not fit the network"):
        load_denoiser(dataclasses.replace(record, path=tmp_path))
    other = to_dict(RunConfig(task=_seq_digits(), model=STACK, budget=Budget(epochs=1, batch_size=4)))
    with pytest.raises(ConfigError, match="which is no denoising"):
        load_denoiser(dataclasses.replace(record, config=other))
    with pytest.raises(RunError, match="cannot denoise yet: cut off"):
        load_denoiser(dataclasses.replace(record, status="unfinished", problem="cut off"))


def _seq_digits():
    from spikeworks.tasks import task_for

    return task_for("seq-digits")


def clips_of(ratios: list[float]) -> list[HeardClip]:
    return [
        HeardClip(position=i, about={}, values={"si_snr": ratio + 1, "si_snr_improvement": 1.0})
        for i, ratio in enumerate(ratios)
    ]


def test_one_clip_of_each_third_is_chosen_and_always_the_same() -> None:
    clips = clips_of([9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0])
    seen = set()
    for seed in range(30):
        low, middle, high = (clip.snr for clip in denoising_page.chosen(clips, seed))
        assert low <= 3 < middle <= 6 < high
        seen.add((low, middle, high))
    assert len(seen) > 5
    assert denoising_page.chosen(clips, 3) == denoising_page.chosen(list(reversed(clips)), 3)
    assert [clip.snr for clip in denoising_page.chosen(clips[:2])] == [1.0, 9.0]


def test_of_long_clips_the_part_with_most_speech_is_shown(
    runs: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = torch.zeros(1000)
    clean[620:700] = 1.0
    first, last = denoising_page._part(clean, 0.02, RATE, 64)
    assert (last - first) == 128 and first % 64 == 0 and clean[first:last].sum() == 80
    assert denoising_page._part(clean, 1.0, RATE, 64) == (0, 1000)
    monkeypatch.setattr(denoising_page, "AUDIO_BYTES", 9 * 2 * 4_000)  # half a second each
    page = render([record_of(runs, "spiking-fullsubnet")], data_root=data_root)
    lengths = {len(heard(address)[0]) for address in Parsed(page).players}
    assert lengths == {4_000 // 64 * 64}
    assert re.search(r"seen and heard: \d\.\d to \d\.\d s", page)


def one_clip(frequencies: int = 129) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(x=torch.rand(40, 1, frequencies, generator=generator), target=torch.zeros(1, 2, 39 * 64))


def outputs(network: nn.Module, batch: Batch, of: str) -> torch.Tensor:
    found = []
    hook = network.get_submodule(of).register_forward_hook(lambda _m, _a, result: found.append(result[0]))
    with torch.no_grad():
        network.eval()(batch.x)
    hook.remove()
    return found[0]


def test_bands_are_the_spikes_of_the_layers_unit_after_unit() -> None:
    network = FULL.build(129, 129, torch.Generator().manual_seed(0)).train()
    batch = one_clip()
    found = bands(network, batch, 31.25)
    assert network.training
    assert [band.spikes.shape[1] for band in found] == [8 + 6, 4 * 6, 3 * 6, 2 * 6]
    assert all(band.spikes.dtype == torch.bool and len(band.spikes) == 40 for band in found)
    network.eval()
    both = [outputs(network, batch, f"blocks.0.layers.{layer}") for layer in (0, 1)]
    assert torch.equal(found[0].spikes, torch.cat(both, 2)[:, 0] != 0)
    assert torch.equal(
        torch.cat([band.spikes for band in found[1:]], 1), outputs(network, batch, "blocks.1")[:, 0] != 0
    )
    assert all(0 < band.rate < 1 for band in found)
    assert [band.units for band in found] == [1, 4, 3, 2]


def test_other_networks_have_a_band_for_each_layer_that_spikes() -> None:
    batch = one_clip()
    stack = STACK.build(129, 129, torch.Generator().manual_seed(0))
    (band,) = bands(stack, batch, 31.25)
    assert band.name == "layer 1" and torch.equal(band.spikes, outputs(stack, batch, "blocks.0")[:, 0] != 0)
    gru = GRUConfig(hidden=(8,), readout=EVERY).build(129, 129, torch.Generator().manual_seed(0))
    assert bands(gru, batch, 31.25) == []


def images(svg: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,\s*([\w+/=\s]+)", svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGBA")) for one in found]


def test_a_figure_draws_every_spike_and_one_scale_for_all_spectrograms() -> None:
    stft = Stft(window=256, hop=64)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(6400) / RATE)
    spikes = torch.zeros(101, 3, dtype=torch.bool)
    spikes[10, 0] = spikes[50, 2] = True
    waves = {"loud": tone, "quiet": 0.1 * tone, "silent": torch.zeros(6400)}
    named = [Band(name="a", spikes=spikes), Band(name="b", spikes=torch.zeros(101, 2, dtype=torch.bool))]
    svg = clip_figure(waves, named, stft, RATE, "one")
    loud, quiet, silent, first, second, _ = images(svg)
    assert loud.shape == quiet.shape == (129, 101, 4)
    strength = [int(one[..., :3].astype(int).sum(2).max()) for one in (loud, quiet, silent)]
    assert strength[0] > strength[1] > strength[2]
    rows = loud[..., :3].astype(int).sum(2).mean(1)
    assert rows.argmax() in (32, 128 - 32)  # 1 kHz, counted from below or from above
    assert sorted(zip(*(axis.tolist() for axis in first[..., 3].nonzero()), strict=True)) in (
        [(0, 10), (2, 50)],
        [(0, 50), (2, 10)],
    )
    assert not second[..., 3].any()
    assert "a: 3 neurons" in svg and ">silent<" in svg and svg.count("<image") == 6
    assert clip_figure(waves, named, stft, RATE, "one") == svg


def test_images_keep_their_colours() -> None:
    random = np.random.default_rng(0)
    for colors in (2, 200, 900):
        table = random.integers(0, 256, (colors, 4), dtype=np.uint8)
        pixels = table[random.integers(0, colors, (40, 50))]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        lean = _lean(f'<image id="image0a1" href="data:image/png;base64,\n{encoded}"/>')
        assert "id=" not in lean
        np.testing.assert_array_equal(images(lean)[0], pixels)


def test_ranges_of_ratios_are_parts_of_the_whole(runs: Path, data_root: Path) -> None:
    task, network = load_denoiser(record_of(runs, "gru"), data_root)
    found = evaluate_denoiser(network, task, most=5, batch_size=2)
    assert [clip.position for clip in found.clips] == list(range(5))
    assert sum(len(clips) for clips in found.ranges.values()) == 5
    for name, clips in found.ranges.items():
        low, high = (int(end) for end in re.findall(r"-?\d+", name))
        assert high - low == 5 and all(low <= clip.about["snr"] < high for clip in clips)
        assert found.by_snr[name]["si_snr"] == pytest.approx(np.mean([clip.values["si_snr"] for clip in clips]))
    lows = [int(name.split(" ")[0]) for name in found.ranges]
    assert lows == sorted(lows)
    whole = evaluate_denoiser(network, task)
    for one, other in zip(whole.clips, found.clips, strict=False):
        assert one.values == pytest.approx(other.values, abs=1e-3)
    with pytest.raises(ConfigError, match="at least one clip"):
        evaluate_denoiser(network, task, most=0)


def test_sound_beyond_full_scale_is_clipped() -> None:
    samples, rate = heard(denoising_page.sound(torch.tensor([0.0, 2.0, -2.0, 0.5]), RATE))
    assert rate == RATE
    np.testing.assert_allclose(samples, [0, 1, -1, 0.5], atol=1e-4)
