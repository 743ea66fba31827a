"""Laws of every registered task, and the shared classes."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest
import torch

from spikeworks.core.batch import UNLABELLED, Batch
from spikeworks.core.config import config_id, from_dict, to_dict
from spikeworks.core.errors import ConfigError, ShapeError, UnknownName
from spikeworks.tasks import SPLITS, TASKS, TaskConfig, describe, task_for

SMALL = {
    "aishell": {"stack": 2},
    "array-esc10": {"angles": 8, "train_size": 40, "validation_size": 16, "test_size": 16},
    "autonomous-localization": {"steps": 30, "capacity": 3.0, "train_size": 40, "validation_size": 9, "test_size": 8},
    "basic-motions": {},
    "binary-adding": {"steps": 20, "train_size": 40, "validation_size": 10, "test_size": 20},
    "cifar10-jpeg": {"train_size": 40, "validation_size": 20},
    "csv": {"path": "signals.csv"},
    "delayed-cue": {"lag": 30, "train_size": 40, "validation_size": 10, "test_size": 10},
    "denoise-digits": {"train_seconds": 0.5, "train_size": 9, "validation_size": 8, "test_size": 8},
    "digit-strings": {"longest": 3, "train_size": 20, "validation_size": 9, "test_size": 9},
    "dvs-lip": {"steps": 10, "words": 4},
    "eegmmidb-mi": {"steps": 80, "stride": 80},
    "event-digits-signed": {"steps": 20},
    "fashion-mnist": {"size": 7, "train_size": 40, "validation_size": 12},
    "gsc": {"classes": 12},
    "mnist": {"size": 14, "train_size": 40, "validation_size": 12},
    "ndns": {"crop": 1.0},
    "nmnist-sample": {"steps": 3, "pool": 2},
    "openbmi": {"subjects": (1, 2, 3), "steps": 100},
    "ps-mnist": {"pool": 4, "train_size": 40, "validation_size": 12},
    "ptb": {"steps": 10, "train_tokens": 1000},
    "qtdb-ecg": {"steps": 400},
    "s-mnist": {"pool": 2, "train_size": 40, "validation_size": 12},
    "seq-digits": {"by": "row"},
    "shd": {"steps": 50},
    "sloclas": {"angles": 8},
    "spoken-digits": {"steps": 50},
    "ssc": {"steps": 50},
    "timit": {"steps": 20},
    "wisdm": {"subjects": (1600, 1601, 1602)},
    "wrist-motion": {},
}
FOLDERS = {
    "aishell": "data_aishell",
    "array-esc10": "esc10",
    "basic-motions": "ucr_uea",
    "cifar10-jpeg": "cifar10_jpg",
    "denoise-digits": "fsdd",
    "digit-strings": "fsdd",
    "dvs-lip": "dvs_lip",
    "eegmmidb-mi": "eegmmidb",
    "event-digits-signed": "nmnist_small",
    "fashion-mnist": "fashion_mnist",
    "gsc": "speech_commands",
    "mnist": "mnist",
    "ndns": "ndns",
    "nmnist-sample": "nmnist_small",
    "openbmi": "openbmi",
    "ps-mnist": "mnist",
    "s-mnist": "mnist",
    "ptb": "ptb",
    "qtdb-ecg": "qtdb_ecg",
    "shd": "shd",
    "sloclas": "sloclas",
    "spoken-digits": "fsdd",
    "ssc": "ssc",
    "timit": "timit",
    "wisdm": "wisdm-dataset",
    "wrist-motion": "hmp_wrist_accel",
}
QUICK = [name for name in TASKS if name != "cifar10-jpeg"]
"""The archive of the other takes seconds to read; test_image_tasks.py reads it once."""


def write_csv(path):
    rows = [
        f"{label}{case},{step},{(step + case) % 3},{step * (case + 1)},{label}"
        for label in ("a", "b")
        for case in range(8)
        for step in range(4 + case % 3)
    ]
    path.write_text("\n".join(["id,time,x,y,label", *rows]) + "\n")


@pytest.fixture
def build(request, tmp_path):
    def make(name, **options):
        root = None
        if name == "csv":
            write_csv(tmp_path / "signals.csv")
            root = tmp_path
        elif name in FOLDERS:
            request.getfixturevalue("data_set")(FOLDERS[name])
            root = request.getfixturevalue("data_root")
        return task_for(name, **{**SMALL[name], **options}).build(root)

    return make


@pytest.mark.parametrize("name", QUICK)
def test_every_split_gives_batches_of_the_signature(name, build):
    task = build(name)
    signature = task.signature
    assert task.name == name and task.metric.name in ("accuracy", "perplexity", "si_snr", "cer")
    for split in SPLITS:
        data = task.data(split)
        assert data is task.data(split) and len(data) > 0
        plan = data.plan(8)
        batch = data.batch(plan[0])
        if signature.kind == "tokens":
            assert batch.tokens and batch.x.shape == batch.target.shape == (batch.size, signature.steps)
            output = torch.zeros(signature.steps, batch.size, signature.outputs)
            assert int(batch.x.max()) < signature.inputs
        else:
            steps = batch.x.shape[0]
            assert batch.x.shape == (signature.steps or steps, batch.size, *signature.shape)
            assert batch.x.dtype == torch.float32
            assert (batch.target.dtype == torch.int64) == (signature.kind != "signal")
            assert bool(torch.isfinite(batch.x).all())
            assert batch.mask is None or batch.mask.shape == batch.x.shape[:2]
            assert signature.classes is not None or signature.kind != "classification"
            assert signature.classes is None or len(signature.classes) == signature.outputs
            lead = () if signature.kind == "classification" else (steps,)
            output = torch.zeros(*lead, batch.size, signature.outputs)
        loss = task.loss(output, batch)
        if signature.kind in ("classification", "labelling", "tokens"):
            assert loss.item() == pytest.approx(torch.tensor(float(signature.outputs)).log().item(), rel=1e-5)
        assert batch.labelled == (signature.kind == "labelling")
        if batch.labelled:
            assert batch.target.shape == (batch.size, steps) and batch.count == int((batch.target != UNLABELLED).sum())
        else:
            assert batch.count == len(batch.target) * (signature.steps if signature.kind == "tokens" else 1)
        drawn = task.random_target(len(batch.x), 3, torch.Generator().manual_seed(0))
        assert drawn.dtype == batch.target.dtype and drawn.dim() == batch.target.dim()
        meter = task.meter()
        meter.update(output, batch)
        figures = meter.compute()
        assert task.metric.name in figures and figures["loss"] == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in QUICK if name != "ptb"])
def test_plans_are_fixed_and_splits_share_no_sample(name, build):
    task, again = build(name), build(name)
    seen: dict[str, set[bytes]] = {}
    for split in SPLITS:
        data, other = task.data(split), again.data(split)
        keys = []
        for item, same in zip(data.plan(16), other.plan(16), strict=True):
            batch, copy = data.batch(item), other.batch(same)
            assert torch.equal(batch.x, copy.x) and torch.equal(batch.target, copy.target)
            lengths = [len(batch.x)] * batch.size if batch.mask is None else batch.mask.sum(0).tolist()
            keys += [hashlib.sha256(batch.x[:n, i].numpy().tobytes()).digest() for i, n in enumerate(lengths)]
        seen[split] = set(keys)
    if name == "csv":  # the test writes equal signals for both classes; the ids tell cases apart
        seen = {split: set(task.ids[split]) for split in SPLITS}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not seen[a] & seen[b]


@pytest.mark.parametrize("name", TASKS.names())
def test_descriptions_survive_json_and_have_an_identity(name):
    config = task_for(name, **SMALL[name])
    assert from_dict(TaskConfig, to_dict(config)) == config
    assert config_id(config) == config_id(task_for(name, **SMALL[name]))
    assert TASKS.get(name) is type(config)


@pytest.mark.parametrize("name", TASKS.names())
def test_listing_and_defaults(name):
    row = describe(name)
    assert row.name == name and row.summary and row.shape and row.metric.unit
    assert {option for option, _ in row.options} == {f.name for f in dataclasses.fields(TASKS.get(name))}
    assert bool(row.files) == (name in FOLDERS) and bool(row.layout) == bool(row.files)
    assert row.downloadable == (FOLDERS.get(name) in ("mnist", "fashion_mnist", "cifar10_jpg", "fsdd"))
    defaults = task_for(name, **SMALL[name]).defaults()
    assert defaults.epochs > 0 and defaults.batch_size > 0 and 0 < defaults.learning_rate < 1 and defaults.hidden
    task_kind = task_for(name, **SMALL[name])
    if name != "csv":
        assert task_kind.build().default_readout == defaults.readout


@pytest.mark.parametrize(
    "name",
    [
        "seq-digits",
        "s-mnist",
        "ps-mnist",
        "ptb",
        "qtdb-ecg",
        "spoken-digits",
        "fashion-mnist",
        "mnist",
        "nmnist-sample",
        "event-digits-signed",
        "array-esc10",
        "denoise-digits",
        "digit-strings",
        "basic-motions",
        "eegmmidb-mi",
        "wrist-motion",
    ],
)
def test_sizes_of_the_listing_are_those_of_the_data(name, request):
    root = None
    if name in FOLDERS:
        request.getfixturevalue("data_set")(FOLDERS[name])
        root = request.getfixturevalue("data_root")
    task = task_for(name).build(root)
    assert tuple(len(task.data(split)) for split in SPLITS) == describe(name).sizes


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_missing_files_are_named_when_data_is_asked_for(name, tmp_path):
    task = task_for(name).build(tmp_path)
    with pytest.raises(Exception, match=rf"files are missing: .*Looked in: {tmp_path / FOLDERS[name]}.*\n.*--data DIR"):
        task.data("train")


def test_near_misses():
    with pytest.raises(UnknownName, match="task 'seq-digit' is not registered. Did you mean 'seq-digits'"):
        task_for("seq-digit")
    with pytest.raises(UnknownName, match="field 'permute' is not registered. Did you mean 'permuted'"):
        task_for("seq-digits", permute=True)
    with pytest.raises(UnknownName, match="value 'rows' is not registered. Did you mean 'row'"):
        task_for("seq-digits", by="rows")
    with pytest.raises(ConfigError, match="permuted: expected bool, got 3"):
        task_for("seq-digits", permuted=3)
    with pytest.raises(UnknownName, match="split 'valid' is not registered. Did you mean 'validation'"):
        task_for("seq-digits").build().data("valid")


def test_loss_refuses_an_output_of_every_step():
    task = task_for("seq-digits").build()
    batch = Batch(torch.zeros(64, 2, 1), torch.tensor([0, 1]))
    with pytest.raises(ShapeError, match=r"expected class scores of shape \[2, 10\], got \[64, 2, 10\]"):
        task.loss(torch.zeros(64, 2, 10), batch)


def test_loss_of_half_precision_is_float32_and_of_double_stays():
    task = task_for("seq-digits").build()
    batch = Batch(torch.zeros(64, 2, 1), torch.tensor([0, 1]))
    assert task.loss(torch.zeros(2, 10, dtype=torch.bfloat16), batch).dtype == torch.float32
    assert task.loss(torch.zeros(2, 10, dtype=torch.float64), batch).dtype == torch.float64
