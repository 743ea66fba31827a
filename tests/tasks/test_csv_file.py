from __future__ import annotations

import hashlib

import pytest
import torch

from spikeworks.core.errors import ConfigError, DataError
from spikeworks.tasks import CsvConfig


def write(path, cases=10, lengths=(4, 5, 6), labels=("up", "down"), edit=lambda lines: lines):
    lines = ["subject,x,flat,y,kind"]
    for label in labels:
        for case in range(cases):
            for step in range(lengths[case % len(lengths)]):
                lines.append(f"{label}-{case},{step + case},3.5,{(case * step) % 7 * 100},{label}")
    path.write_text("\n".join(edit(lines)) + "\n")
    return path


OPTIONS = {"label_column": "kind", "id_column": "subject"}


def test_unequal_cases(tmp_path):
    task = CsvConfig(path=str(write(tmp_path / "a.csv")), **OPTIONS).build()
    signature = task.signature
    assert (signature.steps, signature.inputs, signature.outputs) == (None, 3, 2)
    assert signature.classes == ("down", "up") and task.channels == ("x", "flat", "y")
    assert [len(task.data(split)) for split in ("train", "validation", "test")] == [12, 4, 4]
    for split in ("train", "validation", "test"):
        data = task.data(split)
        batch = data.batch(data.plan(100)[0])
        labels = [signature.classes[i] for i in batch.target.tolist()]
        assert labels == [name.split("-")[0] for name in task.ids[split]]
        lengths = [(4, 5, 6)[int(name.split("-")[1]) % 3] for name in task.ids[split]]
        assert (batch.mask.sum(0).tolist() if batch.mask is not None else [len(batch.x)] * batch.size) == lengths


def test_channels_are_scaled_by_the_training_split_only(tmp_path):
    task = CsvConfig(path=str(write(tmp_path / "a.csv")), **OPTIONS).build()
    rows = task.data("train").rows.double()
    assert rows.mean(0).abs().max() < 1e-5
    assert torch.allclose(rows.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64), atol=1e-5)
    case = int(task.ids["test"][0].split("-")[1])
    x = task.data("test").batch(torch.tensor([0])).x[:, 0].double() * task.scale.deviation + task.scale.mean
    assert torch.allclose(x[:, 0], torch.arange(len(x), dtype=torch.float64) + case, atol=1e-4)


def test_split_depends_on_ids_and_not_on_the_order_of_the_file(tmp_path):
    first = CsvConfig(path=str(write(tmp_path / "a.csv")), **OPTIONS).build()

    def reverse(lines):
        return [lines[0], *lines[:0:-1]]

    second = CsvConfig(path=str(write(tmp_path / "b.csv", edit=reverse)), **OPTIONS).build()
    assert {s: set(ids) for s, ids in first.ids.items()} == {s: set(ids) for s, ids in second.ids.items()}
    other = CsvConfig(path=str(tmp_path / "a.csv"), split_seed=1, **OPTIONS).build()
    assert set(other.ids["test"]) != set(first.ids["test"])


def test_equal_lengths_need_no_mask_and_numbers_sort_as_numbers(tmp_path):
    path = write(tmp_path / "a.csv", lengths=(5,), labels=("10", "9", "-1"))
    task = CsvConfig(path=str(path), **OPTIONS).build()
    assert task.signature.steps == 5 and task.signature.classes == ("-1", "9", "10")
    data = task.data("train")
    assert all(data.batch(item).mask is None for item in data.plan(4))


def test_path_below_the_data_directory_and_hash(tmp_path):
    digest = hashlib.sha256(write(tmp_path / "a.csv").read_bytes()).hexdigest()
    CsvConfig(path="a.csv", sha256=digest, **OPTIONS).build(tmp_path)
    with pytest.raises(DataError, match=r"a\.csv is damaged or another version: expected sha256 00"):
        CsvConfig(path="a.csv", sha256="00", **OPTIONS).build(tmp_path)
    with pytest.raises(DataError, match=f"b.csv does not exist. Looked for: .*, {tmp_path / 'b.csv'}"):
        CsvConfig(path="b.csv", **OPTIONS).build(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": 2}, r"class 'up' has 2 sample\(s\); at least 3 are needed|class 'down' has 2"),
        ({"labels": ("up",)}, "column 'kind' holds one class only: 'up'"),
        ({"edit": lambda lines: [lines[0], lines[1].replace("3.5", ""), *lines[2:]]}, "line 2, column 'flat'"),
        ({"edit": lambda lines: lines[:1]}, "no rows"),
        ({"edit": lambda lines: [*lines, "up-0,1,1,1,down"]}, "case 'up-0' has two labels"),
        ({"edit": lambda lines: [lines[0].replace("kind", "kinds"), *lines[1:]]}, "Did you mean 'kinds'"),
        (
            {
                "edit": lambda lines: [
                    lines[0],
                    *(line.replace(",3.5,", f",{i % 9}e300,") for i, line in enumerate(lines[1:])),
                ]
            },
            "Channel 1 cannot be scaled: its values reach 8e",
        ),
    ],
)
def test_files_that_cannot_be_used(tmp_path, options, message):
    path = write(tmp_path / "a.csv", **options)
    with pytest.raises(DataError, match=message):
        CsvConfig(path=str(path), **OPTIONS).build()


def test_shares():
    with pytest.raises(ConfigError, match="leave something for training"):
        CsvConfig(path="a.csv", test_share=0.5, validation_share=0.5)
