"""Registry, seeds, states, files and batches."""

from __future__ import annotations

import os
import stat
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from spikeworks.core.batch import Batch
from spikeworks.core.errors import ConfigError, RunError, ShapeError, SpikeworksError, UnknownName
from spikeworks.core.files import append_line, atomic_path, write_json, write_text
from spikeworks.core.registry import Registry
from spikeworks.core.seeds import derive_seed, stream
from spikeworks.core.state import detach, leaves, map_state, restore, select_batch, state_bytes


def test_registry_suggests_and_refuses_a_second_meaning():
    registry: Registry[type] = Registry("colour", hint="paint one")
    registry.register("red")(int)
    registry.register("red")(int)  # the same object again, as a reloaded module does
    with pytest.raises(ConfigError, match="registered already"):
        registry.register("red")(str)
    with pytest.raises(UnknownName, match="colour 'rad' is not registered. Did you mean 'red'.*\n  Hint: paint one"):
        registry.get("rad")
    assert issubclass(UnknownName, SpikeworksError)


def test_streams_are_independent_of_order_and_named():
    a = torch.rand(3, generator=stream(1, "weights"))
    torch.rand(100)
    assert torch.equal(a, torch.rand(3, generator=stream(1, "weights")))
    seeds = {derive_seed(s, *n) for s in (0, 1) for n in (("a",), ("b",), ("a", 1), ("a", "1x"), ("a1",))}
    assert len(seeds) == 10


Pair = namedtuple("Pair", "first second")


def test_states_of_any_nesting():
    state = Pair((torch.ones(2, 3), None), [torch.zeros(2, requires_grad=True)])
    assert [name for name, _ in leaves(state)] == ["first.0", "second.0"]
    assert state_bytes(state) == 8 * 4
    assert isinstance(map_state(lambda t: t + 1, state), Pair)
    assert not detach(state).second[0].requires_grad
    assert select_batch(state, slice(0, 1)).first[0].shape == (1, 3)
    again = restore(state, dict(leaves(map_state(lambda t: t + 1, state))))
    assert again.first[0].sum() == 12 and again.first[1] is None
    with pytest.raises(ShapeError, match="State 'second.0' expected shape"):
        restore(state, {"first.0": torch.ones(2, 3), "second.0": torch.ones(3)})


def test_a_file_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "deep" / "result.json"
    write_json(path, {"b": 1, "a": 2})
    assert path.read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyError("power cut")
    assert path.read_text().startswith("{")
    assert list(path.parent.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_what_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    write_text(blocked, "x")
    with pytest.raises(RunError, match="(?s)Cannot write .*what was written before is untouched"):
        write_text(blocked / "below", "y")
    with pytest.raises(RunError, match="Cannot append"):
        append_line(blocked / "below", "y")
    append_line(blocked, "tail")
    assert blocked.read_text() == "xtail\n"


def test_a_full_disk_leaves_the_old_file():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(RunError, match="No space left"):
        append_line(full, "x")


def test_batches_are_cut_along_their_rows():
    batch = Batch(torch.rand(5, 4, 2), torch.arange(4), torch.ones(5, 4, dtype=torch.bool))
    part = batch.rows(slice(1, 3))
    assert part.x.shape == (5, 2, 2) and part.mask.shape == (5, 2) and part.target.tolist() == [1, 2]
    ids = Batch(torch.zeros(4, 7, dtype=torch.int64), torch.zeros(4, 7, dtype=torch.int64))
    assert ids.tokens and ids.count == 28 and ids.rows(slice(0, 1)).x.shape == (1, 7)
