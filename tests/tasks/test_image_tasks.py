"""Tasks on images and event frames: raw files in their true layout, frames, splits, and a short training."""

from __future__ import annotations

import dataclasses
import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.arena.resolve import describe_run
from spikeworks.arena.run import Run
from spikeworks.cli.main import main
from spikeworks.core.errors import ConfigError, DataError, UnknownName
from spikeworks.data import cifar10_jpeg, fashion_mnist, mnist, nmnist
from spikeworks.data.events import Events, event_frames
from spikeworks.data.files import FileSet, WantedFile, file_hash, tree_digest
from spikeworks.data.idx import read_idx
from spikeworks.models import Conv8Config, StackConfig
from spikeworks.tasks import Cifar10JpegConfig, FashionMnistConfig, MnistConfig, NMnistSampleConfig

# -- grey images -------------------------------------------------------------------------------


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes(), 1))


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A data directory with 600 and 30 images in the layout of Fashion-MNIST."""
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for prefix, count in (("train", 600), ("t10k", 30)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", draw.integers(0, 256, (count, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    files = tuple(
        dataclasses.replace(file, checksum=f"md5:{file_hash(folder / file.name, 'md5')}")
        for file in fashion_mnist.FASHION_MNIST.files
    )
    monkeypatch.setattr(fashion_mnist, "FASHION_MNIST", dataclasses.replace(fashion_mnist.FASHION_MNIST, files=files))
    monkeypatch.setattr(mnist, "_PARTS", {"train": ("train", 600), "test": ("t10k", 30)})
    monkeypatch.setattr("spikeworks.tasks.static_images.VALIDATION", 60)
    return tmp_path


def test_images_are_repeated_without_being_copied(clothes):
    task = FashionMnistConfig(steps=5).build(clothes)
    stored = read_idx(clothes / "fashion_mnist" / "t10k-images-idx3-ubyte.gz")
    batch = task.data("test").batch(torch.arange(3))
    assert batch.x.shape == (5, 3, 1, 28, 28) and batch.x.stride(0) == 0
    assert batch.x.untyped_storage().nbytes() == 4 * 3 * 28 * 28
    assert torch.allclose(batch.x[4, :, 0], stored[:3].float() / 255)
    assert task.signature.frames and task.signature.inputs == task.signature.shape == (1, 28, 28)


@pytest.mark.parametrize(("size", "pool"), [(14, 2), (7, 4)])
def test_smaller_images_are_means(clothes, size, pool):
    whole, small = (FashionMnistConfig(size=s).build(clothes).data("validation") for s in (28, size))
    item = torch.arange(4)
    expected = torch.nn.functional.avg_pool2d(whole.batch(item).x[0], pool)
    assert torch.allclose(small.batch(item).x[0], expected, atol=1e-6)
    assert whole.batch(item).target.tolist() == small.batch(item).target.tolist()


def test_pixels_as_vectors(clothes):
    frames, flat = (FashionMnistConfig(size=14, flatten=f).build(clothes) for f in (False, True))
    assert flat.signature.inputs == 196 and not flat.signature.frames and flat.signature.shape == (196,)
    item = torch.arange(4)
    x = flat.data("train").batch(item).x
    assert x.shape == (4, 4, 196) and torch.equal(x, frames.data("train").batch(item).x.flatten(2))
    assert flat.config.defaults().network == "stack" and frames.config.defaults().network == "conv8"


def test_splits(clothes):
    task = FashionMnistConfig(train_size=100, validation_size=20).build(clothes)
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [100, 20, 30]
    assert torch.bincount(task.data("train").targets).tolist() == [10] * 10
    whole = FashionMnistConfig().build(clothes)
    assert [len(whole.data(split)) for split in ("train", "validation")] == [540, 60]
    rows = {split: {r.numpy().tobytes() for r in whole.data(split).inputs} for split in ("train", "validation")}
    assert not rows["train"] & rows["validation"]
    assert {r.numpy().tobytes() for r in task.data("train").inputs} <= rows["train"]


def test_damaged_and_missing_images(clothes):
    path = clothes / "fashion_mnist" / "train-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged or another version: expected md5"):
        FashionMnistConfig().build(clothes).data("train")
    path.unlink()
    with pytest.raises(DataError, match="Fashion-MNIST: 1 of 4 files are missing: train-images"):
        FashionMnistConfig().build(clothes).data("train")


def test_real_images(data_root, data_set):
    images = data_set("fashion_mnist")
    labels = read_idx(images / "t10k-labels-idx1-ubyte.gz")
    task = FashionMnistConfig(size=14).build(data_root)
    batch = task.data("test").batch(torch.arange(10))
    assert batch.target.tolist() == labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert 0.1 < batch.x.mean() < 0.5 and batch.x.max() <= 1
    assert task.signature.classes[9] == "ankle boot"


# -- CIFAR-10 as JPEG --------------------------------------------------------------------------


def jpeg(seed: int, side: int = 32, mode: str = "RGB") -> bytes:
    from PIL import Image

    draw = np.random.default_rng(seed)
    shape = (side, side, 3) if mode == "RGB" else (side, side)
    held = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8), mode).save(held, "JPEG", quality=95)
    return held.getvalue()


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A data directory with 20 + 2 images of each class in the layout of the public tree."""
    counts = {"train": 20, "test": 2}
    files = []
    for p, (part, count) in enumerate(counts.items()):
        for c, name in enumerate(cifar10_jpeg.CIFAR10_CLASSES):
            folder = tmp_path / "cifar10_jpg" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:04d}.jpg").write_bytes(jpeg(1000 * p + 100 * c + number))
                files.append(WantedFile(f"{part}/{name}/{number:04d}.jpg"))
    paths = {file.name: tmp_path / "cifar10_jpg" / file.name for file in files}
    small = dataclasses.replace(cifar10_jpeg.CIFAR10_JPEG, files=tuple(files), digest=tree_digest(paths))
    monkeypatch.setattr(cifar10_jpeg, "CIFAR10_JPEG", small)
    monkeypatch.setattr(cifar10_jpeg, "PER_CLASS", counts)
    return tmp_path


def test_pictures_from_files_and_from_an_archive(pictures, tmp_path_factory, monkeypatch):
    from PIL import Image

    task = Cifar10JpegConfig(steps=3).build(pictures)
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [180, 20, 20]
    batch = task.data("test").batch(torch.tensor([5]))
    raw = np.array(Image.open(pictures / "cifar10_jpg" / "test" / "bird" / "0001.jpg"))
    assert batch.x.shape == (3, 1, 3, 32, 32) and batch.target.tolist() == [2] and batch.x.stride(0) == 0
    assert torch.equal(batch.x[1, 0], torch.from_numpy(raw).permute(2, 0, 1).float() / 255)
    assert torch.bincount(task.data("validation").targets).tolist() == [2] * 10

    root = tmp_path_factory.mktemp("archived")
    archive = root / "cifar10_jpg" / "cifar10_jpg.tar.xz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:xz", preset=0) as content:
        content.add(pictures / "cifar10_jpg", "cifar10")
    packed = FileSet(
        name="cifar10_jpg",
        title="archive",
        files=(WantedFile(archive.name, f"sha256:{file_hash(archive, 'sha256')}"),),
        layout="",
    )
    monkeypatch.setattr(cifar10_jpeg, "ARCHIVE", packed)
    again = Cifar10JpegConfig(steps=3).build(root)
    for split in ("train", "validation", "test"):
        assert torch.equal(again.data(split).inputs, task.data(split).inputs)
        assert torch.equal(again.data(split).targets, task.data(split).targets)
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cifar10_jpg\.tar\.xz is damaged or another version"):
        Cifar10JpegConfig().build(root).data("train")


def test_pictures_that_lack_or_are_damaged(pictures):
    path = pictures / "cifar10_jpg" / "train" / "cat" / "0003.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="contents differ from the published set"):
        Cifar10JpegConfig().build(pictures).data("train")
    path.unlink()
    with pytest.raises(DataError, match=r"1 of 220 files are missing: train/cat/0003\.jpg"):
        Cifar10JpegConfig().build(pictures).data("train")


def test_what_is_no_picture():
    assert cifar10_jpeg.decode(jpeg(0), "a.jpg").shape == (3, 32, 32)
    with pytest.raises(DataError, match=r"a\.jpg is damaged: it cannot be decoded as JPEG"):
        cifar10_jpeg.decode(jpeg(0)[:300], "a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg is damaged"):
        cifar10_jpeg.decode(b"\x89PNG\r\n", "a.jpg")
    with pytest.raises(DataError, match=r"expected 32 x 32 pixels of 3 colours, got an array of \[16, 16, 3\]"):
        cifar10_jpeg.decode(jpeg(0, side=16), "a.jpg")
    with pytest.raises(DataError, match=r"got an array of \[32, 32\]"):
        cifar10_jpeg.decode(jpeg(0, mode="L"), "a.jpg")


@pytest.mark.slow
def test_real_pictures(data_root, data_set):
    data_set("cifar10_jpg")
    task = Cifar10JpegConfig(train_size=500, validation_size=50).build(data_root)
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [500, 50, 10_000]
    means = task.data("test").inputs.float().mean((0, 2, 3)) / 255
    assert torch.allclose(means, torch.tensor([0.494, 0.485, 0.450]), atol=0.004)  # of the official test part
    assert torch.bincount(task.data("test").targets).tolist() == [1000] * 10


# -- event frames ------------------------------------------------------------------------------


def nmnist_bytes(rows: list[tuple[int, int, int, int]]) -> bytes:
    """Events ``(x, y, polarity, time)`` in the format of the recordings."""
    return b"".join(bytes([x, y]) + ((p << 23) | t).to_bytes(3, "big") for x, y, p, t in rows)


def test_recordings_are_read_and_overflows_of_the_clock_counted(tmp_path):
    path = tmp_path / "00001.bin"
    path.write_bytes(nmnist_bytes([(3, 5, 1, 70_000), (33, 0, 0, 70_001), (0, 240, 0, 0), (1, 33, 1, 70_001)]))
    events = nmnist.read_nmnist(path)
    assert events.x.tolist() == [3, 33, 1] and events.y.tolist() == [5, 0, 33]
    assert events.polarity.tolist() == [1, 0, 1] and events.time.tolist() == [70_000, 70_001, 78_193]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nmnist_bytes([(1, 1, 0, 5)])[:-1], "is damaged: events have 5 bytes, the file has 4"),
        (b"", "holds no events"),
        (nmnist_bytes([(34, 1, 0, 5)]), r"event 0 lies at x=34, y=1, outside of 34 x 34 pixels \(1 of 1 do\)"),
        (nmnist_bytes([(1, 1, 0, 5), (1, 1, 0, 4)]), "event 1 is at 4 us, earlier than event 0 at 5 us"),
    ],
)
def test_recordings_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "00001.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        nmnist.read_nmnist(path)
    with pytest.raises(DataError, match="Cannot read"):
        nmnist.read_nmnist(tmp_path / "none.bin")


@given(
    gaps=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    steps=st.integers(1, 12),
    by=st.sampled_from(["time", "count"]),
    seed=st.integers(0, 5),
)
def test_frames_count_every_event_once_where_it_belongs(gaps, steps, by, seed):
    draw = np.random.default_rng(seed)
    count, time = len(gaps), np.cumsum(gaps)
    x, y, p = (torch.from_numpy(draw.integers(0, n, count)) for n in (4, 3, 2))
    frames = event_frames(Events(x, y, p, torch.from_numpy(time)), steps, (3, 4), by=by)
    expected = torch.zeros(steps, 2, 3, 4, dtype=torch.int32)
    for i in range(count):
        if by == "count":
            frame = next(k for k in range(steps) if k * count // steps <= i < (k + 1) * count // steps)
        else:
            width = max(time[-1] - time[0], 1) / steps
            frame = next(k for k in range(steps) if time[i] - time[0] < (k + 1) * width or k == steps - 1)
        expected[frame, p[i], y[i], x[i]] += 1
    assert torch.equal(frames, expected)


def test_frames_that_cannot_be_made():
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ConfigError, match="at least one frame"):
        event_frames(Events(one, one, one, one), 0, (3, 4))
    with pytest.raises(ConfigError, match="by time or by count, got 'size'"):
        event_frames(Events(one, one, one, one), 2, (3, 4), by="size")  # type: ignore[arg-type]


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A data directory with 20 + 4 recordings in the layout of N-MNIST."""
    draw = np.random.default_rng(0)
    files = []
    for part, count in (("Train", 20), ("Test", 4)):
        for number in range(1, count + 1):
            path = tmp_path / "nmnist_small" / part / str(number % 2) / f"{number:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            times = np.sort(draw.integers(0, 300_000, 50))
            places = draw.integers(0, [34, 34, 2], (50, 3))
            path.write_bytes(nmnist_bytes([(*map(int, row), int(t)) for row, t in zip(places, times, strict=True)]))
            files.append(WantedFile(path.relative_to(tmp_path / "nmnist_small").as_posix()))
    paths = {file.name: tmp_path / "nmnist_small" / file.name for file in files}
    small = dataclasses.replace(nmnist.NMNIST_SAMPLE, files=tuple(files), digest=tree_digest(paths))
    monkeypatch.setattr(nmnist, "NMNIST_SAMPLE", small)
    return tmp_path


@pytest.mark.parametrize("by", ["time", "count"])
def test_recordings_become_frames(recordings, by):
    task = NMnistSampleConfig(steps=6, by=by).build(recordings)
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [18, 2, 4]
    batch = task.data("test").batch(torch.arange(4))
    assert batch.x.shape == (6, 4, 2, 34, 34) and batch.target.tolist() == [1, 0, 1, 0]
    assert batch.x.sum((0, 2, 3, 4)).tolist() == [50] * 4
    events = nmnist.read_nmnist(recordings / "nmnist_small" / "Test" / "1" / "00001.bin")
    assert torch.equal(batch.x[:, 0], event_frames(events, 6, (34, 34), by=by).float())


def test_options_of_event_frames(recordings):
    whole, pooled, binary, flat = (
        NMnistSampleConfig(steps=2, **options).build(recordings).data("test").batch(torch.arange(4)).x
        for options in ({}, {"pool": 2}, {"binary": True}, {"flatten": True})
    )
    expected = 4 * torch.nn.functional.avg_pool2d(whole.flatten(0, 1), 2)
    assert torch.equal(pooled.flatten(0, 1), expected)
    assert torch.equal(binary, (whole > 0).float())
    assert torch.equal(flat, whole.flatten(2))
    assert len(NMnistSampleConfig(train_size=10).build(recordings).data("train")) == 10


def test_recordings_that_lack_or_are_damaged(recordings):
    path = recordings / "nmnist_small" / "Train" / "1" / "00003.bin"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="contents differ from the published set"):
        NMnistSampleConfig().build(recordings).data("train")
    path.unlink()
    with pytest.raises(DataError, match=r"1 of 24 files are missing: Train/1/00003\.bin.*\n.*unpack Train\.zip"):
        NMnistSampleConfig().build(recordings).data("train")


def test_real_recordings(data_root, data_set):
    """One recording against a known reading of the same file, and the digits against MNIST's labels."""
    events = nmnist.read_nmnist(data_set("event_samples") / "tonic" / "sample_nmnist.bin")
    assert len(events) == 4325 and int(events.time[-1]) == 311_175
    data_set("nmnist_small")
    labels = read_idx(data_set("mnist") / "t10k-labels-idx1-ubyte.gz")
    batch = NMnistSampleConfig(steps=5).build(data_root).data("test").batch(torch.arange(100))
    assert batch.target.tolist() == labels[:100].tolist()
    assert batch.x.sum((0, 2, 3, 4)).min() >= 1069 and batch.x.sum((0, 2, 3, 4)).max() <= 7152


# -- options, networks and the command line ----------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FashionMnistConfig(size=16), "a size of 28, 14 or 7, got 16"),  # type: ignore[arg-type]
        (lambda: MnistConfig(steps=0), "at least one step, got steps=0"),
        (lambda: NMnistSampleConfig(steps=0), "at least one frame, got steps=0"),
        (lambda: NMnistSampleConfig(by="events"), "by time or by count, got 'events'"),  # type: ignore[arg-type]
        (lambda: NMnistSampleConfig(pool=3), "pool is 1 or 2, got 3"),  # type: ignore[arg-type]
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_recipe_names_the_network():
    config = describe_run("fashion-mnist", "lif", width=0.5)
    assert isinstance(config.model, Conv8Config) and config.model.width == 0.5
    assert config.shown == "conv8-lif" and config.model.readout.scale == 10.0
    vgg = describe_run("nmnist-sample", "lif", network="vgg-snn")
    assert vgg.shown == "vgg-snn-lif" and Run(vgg).network(vgg.task.build()).blocks[0].shape_in == (2, 34, 34)
    assert isinstance(describe_run("s-mnist", "lif").model, StackConfig)
    with pytest.raises(UnknownName, match="network 'vgg1' is not registered. Did you mean 'vgg11'"):
        describe_run("fashion-mnist", "lif", network="vgg1")
    with pytest.raises(UnknownName, match="field of network conv8 'widht' is not registered. Did you mean 'width'"):
        describe_run("fashion-mnist", "lif", widht=0.5)


def test_networks_and_tasks_that_do_not_fit():
    stack = describe_run("fashion-mnist", "lif", network="stack")
    with pytest.raises(ConfigError, match=r"gives frames of 1 x 28 x 28 values, and network stack .*\n.*flatten True"):
        Run(stack).network(stack.task.build())
    frames = describe_run("seq-digits", "lif", network="conv8")
    with pytest.raises(ConfigError, match=r"conv8 takes frames .* input is 1 values a step"):
        Run(frames).network(frames.task.build())
    flat = describe_run(FashionMnistConfig(flatten=True), "lif", hidden=(8,))
    assert Run(flat).network(flat.task.build()).blocks[0].synapse.weight.shape == (8, 784)


def test_command_line(capsys, tmp_path):
    assert main(["list", "networks"]) == 0
    listed = capsys.readouterr().out
    assert "vgg11 " in listed and "sew-resnet18 " in listed and "stack " in listed
    words = ["run", "--task", "fashion-mnist", "--neuron", "lif", "--network", "resnet18", "--out", str(tmp_path)]
    assert main([*words, "--model.width", "0.25", "--describe"]) == 0
    described = capsys.readouterr().out
    assert "resnet18-lif-s0-" in described and "--model.width 0.25" in described and "--model.stem small" in described
    assert main([*words[:-3], "vgg12"]) == 2
    assert "Did you mean 'vgg11'" in capsys.readouterr().err


def train(task, width: float, epochs: int, batch_size: int) -> float:
    """Accuracy on the validation split after some epochs of Adam."""
    network = Conv8Config(width=width, readout=describe_run("fashion-mnist", "lif").model.readout).build(
        (1, 14, 14), 10, torch.Generator().manual_seed(0)
    )
    optimizer, order = torch.optim.Adam(network.parameters(), 4e-3), torch.Generator().manual_seed(0)
    data = task.data("train")
    for _ in range(epochs):
        for item in data.plan(batch_size, order):
            batch = data.batch(item)
            optimizer.zero_grad()
            task.loss(network(batch.x)[0], batch).backward()
            optimizer.step()
    network.eval()
    meter, data = task.meter(), task.data("validation")
    with torch.no_grad():
        for item in data.plan(100):
            batch = data.batch(item)
            meter.update(network(batch.x)[0], batch)
    return meter.compute()["accuracy"]


def test_a_narrow_network_learns(data_root, data_set):
    data_set("fashion_mnist")
    task = FashionMnistConfig(size=14, steps=2, train_size=600, validation_size=300).build(data_root)
    assert train(task, 0.25, epochs=5, batch_size=16) > 0.3  # three times chance


@pytest.mark.slow
def test_a_network_learns(data_root, data_set):
    data_set("fashion_mnist")
    task = FashionMnistConfig(size=14, train_size=2000, validation_size=500).build(data_root)
    assert train(task, 0.5, epochs=2, batch_size=32) > 0.5
