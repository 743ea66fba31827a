"""Checkpoint files: exact, whole or absent, and honest about damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.arena.checkpoint import (
    Position,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
    truncate_lines,
)
from spikeworks.arena.meters import load_meter, meter_state
from spikeworks.core.batch import Batch
from spikeworks.core.errors import RunError
from spikeworks.measure.classify import ClassificationMeter
from spikeworks.measure.text import PerplexityMeter


def test_tensors_and_position_come_back_exactly(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(3, 2, dtype=torch.float64), "b": torch.tensor(7), "c": torch.rand(4, 5).t()}
    position = Position(
        epoch=3, batch=5, lines=2, seconds=0.1 + 0.2, best_score=1 / 3, loss=1e-300, learner={"step": 9}
    )
    save_checkpoint(tmp_path / "c.safetensors", tensors, position)
    found, again = load_checkpoint(tmp_path / "c.safetensors")
    assert again == position
    assert found.keys() == tensors.keys() and all(torch.equal(found[n], tensors[n]) for n in tensors)


def test_tied_tensors_can_be_stored(tmp_path: Path) -> None:
    table = torch.rand(3, 2)
    save_tensors(tmp_path / "c.safetensors", {"embedding": table, "decoder": table}, {})
    found, _ = load_tensors(tmp_path / "c.safetensors")
    assert torch.equal(found["embedding"], table) and torch.equal(found["decoder"], table)


def test_a_failed_write_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": torch.zeros(2)}, Position(epoch=1))

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"Cannot write .*c.safetensors: No space left on device"):
        save_checkpoint(path, {"a": torch.ones(2)}, Position(epoch=2))
    monkeypatch.undo()
    assert load_checkpoint(path)[1].epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("content", [b"", b"half a file", None], ids=["empty", "damaged", "missing"])
def test_damage_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"c.safetensors cannot be read as a checkpoint[\s\S]*start this run anew"):
        load_checkpoint(path)


def test_another_version_is_told(tmp_path: Path) -> None:
    save_tensors(tmp_path / "c.safetensors", {"a": torch.zeros(1)}, {"epoch": 1, "unheard_of": 2})
    with pytest.raises(RunError, match="was written by another version of spikeworks"):
        load_checkpoint(tmp_path / "c.safetensors")


@given(st.lists(st.text("abc", max_size=4), max_size=5), st.integers(0, 5), st.booleans())
def test_truncation_keeps_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], keep: int, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("lines") / "metrics.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines) + ("half" if cut else ""))
    if keep > len(lines):
        with pytest.raises(RunError, match=f"was written after {keep}"):
            truncate_lines(path, keep)
    else:
        truncate_lines(path, keep)
        assert path.read_text().splitlines() == lines[:keep]


@pytest.mark.parametrize("seen", [0, 1])
def test_meters_continue_exactly(seen: int) -> None:
    generator = torch.Generator().manual_seed(0)
    classes = [
        (torch.randn(5, 3, generator=generator), Batch(torch.zeros(1, 5, 1), torch.tensor([0, 1, 2, 1, 0])))
        for _ in range(3)
    ]
    words = [
        (torch.randn(4, 2, 6, generator=generator), Batch(torch.zeros(2, 4).long(), torch.zeros(2, 4).long()))
        for _ in range(3)
    ]
    for make, batches in ((lambda: ClassificationMeter(3), classes), (PerplexityMeter, words)):
        whole, first, again = make(), make(), make()
        for output, batch in batches:
            whole.update(output, batch)
        for output, batch in batches[: seen + 1]:
            first.update(output, batch)
        load_meter(again, meter_state(first))
        for output, batch in batches[seen + 1 :]:
            again.update(output, batch)
        assert again.compute() == whole.compute()
