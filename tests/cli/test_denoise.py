"""``spikeworks denoise``: files and streams through the network of a run, and what is said of bad ones."""

from __future__ import annotations

import io
import math
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import resample_poly

from spikeworks.arena.checkpoint import save_tensors
from spikeworks.arena.config import Budget, RunConfig
from spikeworks.arena.run import Run
from spikeworks.arena.store import SCHEMA
from spikeworks.cli.denoise_live import Pcm
from spikeworks.cli.main import main
from spikeworks.core.config import to_dict
from spikeworks.core.files import write_json
from spikeworks.deploy.c import native
from spikeworks.kernels import build
from spikeworks.layers import ReadoutConfig
from spikeworks.models import StackConfig, TransformerConfig
from spikeworks.neurons import config_for
from spikeworks.tasks import task_for

MODEL = StackConfig(hidden=(24,), neuron=config_for("lif", threshold=0.1), readout=ReadoutConfig(kind="every"))


def stored(root: Path, task, model=MODEL) -> Run:
    """A finished run with random weights: what a denoiser does with them does not depend on training."""
    run = Run(RunConfig(task=task, model=model, budget=Budget(epochs=1, batch_size=4)), root)
    built = task.build()
    run.directory.mkdir(parents=True)
    write_json(run.directory / "config.json", to_dict(run.config))
    save_tensors(run.directory / "best.safetensors", run.network(built).state_dict(), {})
    metric = {"name": "si_snr", "unit": "dB", "higher_is_better": True}
    result = {"schema": SCHEMA, "status": "finished", "task": built.name, "score": {"test": 0.0}, "metric": metric}
    write_json(run.directory / "result.json", result)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stored(tmp_path_factory.mktemp("runs"), task_for("denoise-digits", mask="complex", taps=2))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


def wanted(run: Run, wave: np.ndarray) -> np.ndarray:
    """What the task makes of ``wave [S]`` as a whole."""
    task = run.config.task.build()
    network = run.trained(task).eval()
    padded = torch.nn.functional.pad(torch.from_numpy(wave.astype(np.float32)), (0, -len(wave) % task.front.stft.hop))
    batch = task.front.join([torch.stack([padded, padded])])
    with torch.no_grad():
        return task.waves(network(batch.x)[0], batch)[0][0, : len(wave)].numpy()


def denoise(run: Run, *words: object) -> int:
    return main(["denoise", *map(str, words), "--run", str(run.directory)])


# -- files ---------------------------------------------------------------------------------------


def test_a_file_is_what_the_task_makes_of_it(run, tmp_path, capsys):
    soundfile.write(tmp_path / "in.wav", noise(16_033), 8000, subtype="FLOAT")
    assert denoise(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    heard, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    found, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == 8000 and len(found) == 16_033
    np.testing.assert_allclose(found, wanted(run, heard), rtol=0, atol=1e-5)
    assert np.abs(found - heard).max() > 1e-3
    said = capsys.readouterr()
    shown = said.out.replace("\u00a0", " ")
    assert "2.00 s, 1 channel at 8000 Hz; latency 256 samples (32.0 ms); real-time factor" in shown and not said.err
    assert "than real time" in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav", "out.wav"]


@pytest.mark.parametrize("rate", [44_100, 5_512])
def test_other_rates_are_resampled_and_brought_back(run, tmp_path, capsys, rate):
    wave = noise(rate + 7)
    soundfile.write(tmp_path / "in.wav", wave, rate, subtype="FLOAT")
    assert denoise(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    assert f"has {rate} Hz; it is resampled to the network's 8000 Hz" in capsys.readouterr().err
    common = math.gcd(rate, 8000)
    heard, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    through = wanted(run, resample_poly(heard.astype(float), 8000 // common, rate // common))
    found, back = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert back == 8000
    np.testing.assert_allclose(found, through, rtol=0, atol=1e-5)

    assert denoise(run, tmp_path / "in.wav", tmp_path / "kept.wav", "--keep-rate") == 0
    kept, back = soundfile.read(tmp_path / "kept.wav", dtype="float32")
    assert back == rate and len(kept) == rate + 7
    again = resample_poly(through.astype(float), rate // common, 8000 // common)[: rate + 7]
    np.testing.assert_allclose(kept, again, rtol=0, atol=1e-5)
    assert ("nothing above 4 kHz" in capsys.readouterr().err) == (rate > 8000)


def test_channels_one_by_one_or_mixed(run, tmp_path, capsys):
    wave = noise(5000, 2)
    soundfile.write(tmp_path / "in.wav", wave, 8000, subtype="FLOAT")
    assert denoise(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    assert "2 channels; they are denoised each for itself" in capsys.readouterr().err
    found, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    for channel in range(2):
        np.testing.assert_allclose(found[:, channel], wanted(run, wave[:, channel]), rtol=0, atol=1e-5)
    assert denoise(run, tmp_path / "in.wav", tmp_path / "one.wav", "--mix-down") == 0
    assert "mixed down to one" in capsys.readouterr().err
    mixed, _ = soundfile.read(tmp_path / "one.wav", dtype="float32")
    mean = wave.astype(np.float32).mean(1)
    np.testing.assert_allclose(mixed, wanted(run, mean), rtol=0, atol=1e-5)


def test_bad_samples_have_a_note_and_the_output_none(run, tmp_path, capsys):
    wave = noise(9000).astype(np.float32)
    wave[[5, 600]] = np.nan, np.inf
    soundfile.write(tmp_path / "nan.wav", wave, 8000, subtype="FLOAT")
    assert denoise(run, tmp_path / "nan.wav", tmp_path / "out.wav") == 0
    assert "2 sample(s) of" in capsys.readouterr().err
    found, _ = soundfile.read(tmp_path / "out.wav")
    assert len(found) == 9000 and np.isfinite(found).all() and np.abs(found).max() <= 1
    soundfile.write(tmp_path / "clipped.wav", np.clip(50 * noise(9000), -1, 1), 8000)
    assert denoise(run, tmp_path / "clipped.wav", tmp_path / "out.wav") == 0
    assert "is clipped:" in (said := capsys.readouterr().err) and "beyond full scale and limited" in said
    soundfile.write(tmp_path / "silent.wav", np.zeros(2000), 8000)
    assert denoise(run, tmp_path / "silent.wav", tmp_path / "out.wav") == 0
    assert "is silent" in capsys.readouterr().err
    assert not soundfile.read(tmp_path / "out.wav")[0].any()


def test_what_is_no_sound_leaves_no_output(run, tmp_path, capsys):
    soundfile.write(tmp_path / "in.wav", noise(9000), 8000)
    soundfile.write(tmp_path / "none.wav", noise(0), 8000)
    whole = (tmp_path / "in.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:5000])
    (tmp_path / "text.wav").write_text("not a sound")
    target = tmp_path / "out.wav"
    cases = {
        "none.wav": "holds no samples",
        "cut.wav": "its header says 9000 samples",
        "text.wav": "is damaged or no sound file",
        "absent.wav": "no such file",
    }
    for name, message in cases.items():
        assert denoise(run, tmp_path / name, target) == 2
        said = capsys.readouterr().err
        assert message in said and said.startswith("spikeworks: ") and "Traceback" not in said
    for words, message in (
        (("in.wav", "out.mp3"), "does not end in .wav"),
        (("in.wav", "in.wav"), "is the input"),
        (("in.wav",), "Two files are needed"),
        (("in.wav", "out.wav", "--live"), "leave the files out"),
    ):
        assert denoise(run, *(w if w.startswith("--") else tmp_path / w for w in words)) == 2
        assert message in capsys.readouterr().err
    assert not any(tmp_path.glob("out*")) and not any(tmp_path.glob(".*"))
    assert (tmp_path / "in.wav").read_bytes() == whole


def test_a_file_that_breaks_halfway_or_a_key_leaves_what_stood_there(run, tmp_path, capsys, monkeypatch):
    soundfile.write(tmp_path / "in.flac", noise(90_000), 8000)
    broken = (tmp_path / "in.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(broken[: len(broken) // 2])
    (tmp_path / "out.wav").write_text("older")
    assert denoise(run, tmp_path / "cut.flac", tmp_path / "out.wav") == 2
    assert "is damaged" in capsys.readouterr().err

    from spikeworks.deploy import Denoiser

    calls = []

    def stop(self, samples):
        calls.append(len(samples))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return samples

    monkeypatch.setattr(Denoiser, "push", stop)
    assert denoise(run, tmp_path / "in.flac", tmp_path / "out.wav") == 130
    assert "stopped;" in (said := capsys.readouterr().err) and "was not written" in said
    assert (tmp_path / "out.wav").read_text() == "older" and not any(tmp_path.glob(".*"))


def test_only_finished_runs_of_denoising_tasks(run, tmp_path, capsys):
    other = stored(tmp_path / "runs", task_for("binary-adding", steps=12, marks=3))
    soundfile.write(tmp_path / "in.wav", noise(900), 8000)
    assert denoise(other, tmp_path / "in.wav", tmp_path / "out.wav") == 2
    assert "was trained on binary-adding, which is no denoising" in capsys.readouterr().err
    (other.directory / "result.json").unlink()
    assert denoise(other, tmp_path / "in.wav", tmp_path / "out.wav") == 2
    assert "cannot denoise yet: no result.json" in capsys.readouterr().err
    assert main(["denoise", "a.wav", "b.wav"]) == 2
    assert "--run" in capsys.readouterr().err


# -- engines -------------------------------------------------------------------------------------


@pytest.fixture
def no_compiler(monkeypatch):
    """As on a machine without one."""
    native._library.cache_clear()
    monkeypatch.setattr(build, "working_flags", lambda: build.NO_COMPILER[0])
    yield
    native._library.cache_clear()


@pytest.mark.parametrize("engine", ["auto", "c", "torch"])
def test_every_engine_gives_the_same_and_is_named(run, tmp_path, capsys, engine):
    if engine != "torch" and build.find_compiler() is None:
        pytest.skip("needs a C compiler")
    soundfile.write(tmp_path / "in.wav", noise(9_033), 8000, subtype="FLOAT")
    assert denoise(run, tmp_path / "in.wav", tmp_path / "out.wav", "--engine", engine) == 0
    heard, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    found, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(found, wanted(run, heard), rtol=0, atol=1e-5)
    said = capsys.readouterr()
    assert said.out.endswith("; by PyTorch\n" if engine == "torch" else "; by C\n") and not said.err


def test_without_a_compiler_torch_runs_and_one_note_says_why(run, tmp_path, capsys, no_compiler, monkeypatch):
    soundfile.write(tmp_path / "in.wav", noise(3000), 8000, subtype="FLOAT")
    assert denoise(run, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    said = capsys.readouterr()
    assert said.out.endswith("; by PyTorch\n") and len(said.err.splitlines()) == 1
    assert said.err.startswith("note: PyTorch runs the network") and "no C compiler was found" in said.err
    heard, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    found, _ = soundfile.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(found, wanted(run, heard), rtol=0, atol=1e-5)
    piped(run, monkeypatch, noise(3000).astype("<f4").tobytes(), "--format", "f32le")
    assert "spikeworks: note: PyTorch runs the network" in (said := heard_by(capsys)) and "; by PyTorch" in said
    assert denoise(run, tmp_path / "in.wav", tmp_path / "none.wav", "--engine", "c") == 2
    assert "pip install ziglang" in capsys.readouterr().err and not (tmp_path / "none.wav").exists()


def test_a_network_without_c_runs_in_torch(tmp_path, capsys):
    attention = TransformerConfig(width=8, heads=2, readout=ReadoutConfig(kind="every"))
    other = stored(tmp_path / "runs", task_for("denoise-digits"), attention)
    soundfile.write(tmp_path / "in.wav", noise(3000), 8000)
    assert denoise(other, tmp_path / "in.wav", tmp_path / "out.wav") == 0
    said = capsys.readouterr()
    assert "note: PyTorch runs the network" in said.err and "there is no C for such a part" in said.err
    assert said.out.endswith("; by PyTorch\n")
    assert denoise(other, tmp_path / "in.wav", tmp_path / "none.wav", "--engine", "c") == 2
    assert "C: blocks.0" in capsys.readouterr().err
    assert denoise(other, tmp_path / "in.wav", tmp_path / "out.wav", "--engine", "torch") == 0
    assert "PyTorch runs" not in capsys.readouterr().err


# -- streams -------------------------------------------------------------------------------------


class Bytes(io.BytesIO):
    """A pipe that gives a few bytes at a time, an odd number."""

    def read1(self, size: int | None = -1) -> bytes:
        return self.read(1001)


class Stream:
    """Standard input or output over bytes in memory."""

    def __init__(self, data: bytes = b"", terminal: bool = False) -> None:
        self.buffer, self.terminal = Bytes(data), terminal

    def isatty(self) -> bool:
        return self.terminal


def heard_by(capsys) -> str:
    """Standard error with plain spaces."""
    return capsys.readouterr().err.replace("\u00a0", " ")


def piped(run, monkeypatch, data: bytes, *words: str) -> bytes:
    monkeypatch.setattr(sys, "stdin", Stream(data))
    monkeypatch.setattr(sys, "stdout", out := Stream())
    assert denoise(run, "--live", *words) == 0
    return out.buffer.getvalue()


@pytest.mark.parametrize(("form", "scale"), [("s16le", 2**15), ("f32le", 1)])
def test_a_pipe_gives_what_the_file_gives(run, monkeypatch, capsys, form, scale):
    dtype = np.dtype("<i2" if form == "s16le" else "<f4")
    sent = (noise(6017) * scale).astype(dtype)
    found = np.frombuffer(piped(run, monkeypatch, sent.tobytes(), "--format", form), dtype)
    heard = sent.astype(np.float32) / scale
    np.testing.assert_allclose(found / scale, wanted(run, heard), rtol=0, atol=1e-5 if scale == 1 else 0.6 / scale)
    assert "8000 Hz, one channel" in (said := heard_by(capsys)) and "752 ms" in said
    assert "; by C; the slowest answer took" in said or build.find_compiler() is None


def test_a_stream_that_is_broken_cut_and_silent(run, monkeypatch, capsys):
    sent = np.concatenate([noise(4000), np.zeros(6000), noise(4000, seed=1)]).astype("<f4")
    sent[17] = np.nan
    data = sent.tobytes() + b"\x00"
    found = np.frombuffer(piped(run, monkeypatch, data, "--format", "f32le", "--reset-after", "0.5"), "<f4")
    said = capsys.readouterr().err
    assert len(found) == 14_000 and np.isfinite(found).all()
    for part in ("1 sample(s) were no usable numbers", "1 reset(s) after silence", "1 byte(s) were dropped"):
        assert part in said


def test_pcm_keeps_to_full_scale():
    pcm = Pcm("s16le")
    assert np.frombuffer(pcm.bytes(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])), "<i2").tolist() == [
        *(-32768, -32768, 0, 32767, 32767)
    ]
    assert pcm.limited == 2
    assert pcm.samples(b"\x00").tolist() == [] and pcm.cut == 1
    assert pcm.samples(b"\x40\x00").tolist() == [0.5] and pcm.cut == 1


def test_a_terminal_is_no_pipe_and_a_microphone_wants_its_package(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Stream(terminal=True))
    assert denoise(run, "--live") == 2
    assert "Standard input is a terminal" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert denoise(run, "--live", "--microphone") == 2
    assert "needs the package sounddevice" in capsys.readouterr().err


class Device(types.ModuleType):
    """A sound device that plays ``wave`` into the microphone, loses samples once, and ends by Ctrl-C."""

    class PortAudioError(Exception):
        pass

    def __init__(self, wave: np.ndarray) -> None:
        super().__init__("sounddevice")
        self.wave, self.at, self.played = wave, 0, []
        self.Stream = self.InputStream = self.open

    def open(self, **options):
        assert options == {"samplerate": 8000, "blocksize": 64, "channels": 1, "dtype": "float32"}
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read(self, size):
        block = self.wave[self.at : self.at + size, None]
        if not len(block):
            raise KeyboardInterrupt
        self.at += size
        return block, self.at == 640 + size

    def write(self, samples):
        self.played.append(samples[:, 0].copy())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_microphone(run, monkeypatch, capsys, terminal):
    wave = noise(1280).astype(np.float32)
    device, out = Device(wave), Stream(terminal=terminal)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr(sys, "stdout", out)
    assert denoise(run, "--live", "--microphone", "--format", "f32le") == 0
    found = np.concatenate(device.played) if terminal else np.frombuffer(out.buffer.getvalue(), "<f4")
    both = np.concatenate([wanted(run, wave[:640]), wanted(run, wave[640:])])  # a gap: two waves
    np.testing.assert_allclose(found, both, rtol=0, atol=1e-5)
    assert "1 gap(s)" in capsys.readouterr().err


def test_a_real_pipe_answers_while_it_is_open_and_ends_by_control_c(run):
    words = [sys.executable, "-m", "spikeworks", "denoise", "--live", "--run", str(run.directory)]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write((noise(1000) * 2**15).astype("<i2").tobytes())
        process.stdin.flush()
        first = process.stdout.read(2 * (1000 - 256))  # all but the latency, before the input ends
        process.send_signal(signal.SIGINT)
        rest, said = process.stdout.read(), process.stderr.read().decode()
    assert process.returncode == 0 and len(first) + len(rest) == 2000, said
    assert "125\u00a0ms of sound" in said
