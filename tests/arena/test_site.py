"""The site: every link leads somewhere, nothing is loaded from elsewhere, and only its own files are touched."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from spikeworks.arena import site as site_module
from spikeworks.arena.site import MANIFEST, write_site
from spikeworks.arena.site_links import slug
from spikeworks.core.errors import RunError

HERE = Path(__file__)
make = SimpleNamespace(**runpy.run_path(str(HERE.with_name("synthetic_runs.py"))))
Page = runpy.run_path(str(HERE.with_name("test_report.py")))["Page"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("arena") / "runs"
    for seed in range(2):
        make.write_run(root, "lif", seed, score=0.31 + 0.01 * seed)
        make.write_run(root, "alif", seed, score=0.68 + 0.02 * seed)
    clock = {"model": {"kind": "stack", "hidden": [64], "neuron": {"kind": "ce-lif"}}}
    make.write_run(root, "ce-lif", 0, score=0.9, config=clock)
    for protocol, score in (("paper", 0.9), ("clean", 0.7)):
        config = {"task": {"kind": "wisdm", "protocol": protocol}}
        make.write_run(root, "lif", 0, task="wisdm", score=score, config=config)
    make.write_run(root, "lif", 0, task="ptb", metric=make.PERPLEXITY, score=141.0)
    make.write_diverged(root, "cuba-lif", 0)
    make.write_unfinished(root, "adlif", 1)
    return root


@pytest.fixture(scope="module")
def site(runs: Path) -> Path:
    return write_site(runs, runs.parent / "site", command="spikeworks site runs", portraits=False).parent


def pages(site: Path) -> dict[str, str]:
    return {str(p.relative_to(site)): p.read_text(encoding="utf-8") for p in site.rglob("*.html")}


def test_there_is_a_page_for_every_task_neuron_and_run(site: Path, runs: Path) -> None:
    found = pages(site)
    assert {n for n in found if n.startswith("tasks/")} == {
        "tasks/seq-digits.html",
        "tasks/wisdm.html",
        "tasks/ptb.html",
    }
    neurons = {"lif", "alif", "ce-lif", "cuba-lif", "adlif"}
    assert {n for n in found if n.startswith("neurons/")} == {f"neurons/{name}.html" for name in neurons}
    directories = {path.name for path in runs.glob("*/*")}
    assert {Path(n).stem for n in found if n.startswith("runs/")} == directories and "index.html" in found


def test_every_link_is_relative_and_leads_somewhere(site: Path) -> None:
    count = 0
    for name, text in pages(site).items():
        parsed = Page(text)
        assert len(parsed.ids) == len(set(parsed.ids)), name
        assert set(re.findall(r"url\(#([\w-]+)\)", text)) <= set(parsed.ids), name
        for link in parsed.links:
            if link.startswith(("data:", "#")):
                assert link.startswith("data:") or link[1:] in parsed.ids, (name, link)
                continue
            assert not re.match(r"[a-z]+:|/", link), (name, link)
            path, _, anchor = link.partition("#")
            target = (site / name).parent / path
            assert target.is_file(), (name, link)
            if anchor:
                assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), (name, link)
            count += 1
    assert count > 60


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for name, text in pages(site).items():
        addresses = set(re.findall(r"https?://[^\"'\s<]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, name
        assert "default-src 'none'" in text and "@import" not in text


def test_what_the_pages_say(site: Path) -> None:
    words = {name: " ".join(Page(text).words.replace("\u00a0", " ").split()) for name, text in pages(site).items()}
    index, task, neuron = words["index.html"], words["tasks/seq-digits.html"], words["neurons/lif.html"]
    for part in ("5 models on 3 tasks", "wisdm (protocol=clean)", "90.0 % ★", "ce-lif clock", "Runs without a score",
                 "loss is nan at step 41"):  # fmt: skip
        assert part in index, part
    for part in (
        "ce-lif scores best of 3 models",
        "95 % interval",
        "behind the leader",
        "+59.0 %",
        "Score against energy",
    ):
        assert part in task, part
    assert "flattered by" in words["tasks/wisdm.html"] and "+20.0 %" in words["tasks/wisdm.html"]
    for part in ("seq-digits", "wisdm (protocol=paper)", "1 of 1", "3 of 3", "141.0"):
        assert part in neuron, part
    run = next(text for name, text in words.items() if name.startswith("runs/seq-digits/lif-s0"))
    for part in ("31.0 % test accuracy", "Synthetic Test Processor", "spikeworks compare --task", '"threshold": 1.0',
                 "Spikes of one test sample"):  # fmt: skip
        assert part in run, part
    cut = next(text for name, text in words.items() if name.startswith("runs/seq-digits/adlif-s1"))
    assert "Unfinished: no result.json; 11 of 12 epochs done" in cut


def test_written_again_only_what_changed_is_drawn_and_what_is_gone_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "runs", tmp_path / "site"
    first, second = make.write_run(root, "lif", 0), make.write_run(root, "lif", 1)
    write_site(root, out, portraits=False)
    (out / "CNAME").write_text("kept")
    shutil.rmtree(first)
    result = json.loads((second / "result.json").read_text())
    third = make.write_run(root, "lif", 2)
    drawn = []
    plain = site_module.run_page_text
    monkeypatch.setattr(site_module, "run_page_text", lambda s, r: drawn.append(r.id) or plain(s, r))
    write_site(root, out, portraits=False)
    assert drawn == [third.name]
    assert {p.stem for p in (out / "runs").rglob("*.html")} == {second.name, third.name}
    assert (out / "CNAME").read_text() == "kept"
    (second / "result.json").write_text(json.dumps({**result, "seconds": 31.0}))
    write_site(root, out, portraits=False)
    assert drawn == [third.name, second.name]


def test_a_foreign_page_is_not_overwritten_and_a_damaged_list_is_told(tmp_path: Path) -> None:
    make.write_run(tmp_path / "runs", "lif", 0)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(RunError, match="was not written by spikeworks site"):
        write_site(tmp_path / "runs", tmp_path, portraits=False)
    assert (tmp_path / "index.html").read_text() == "mine"
    out = tmp_path / "site"
    write_site(tmp_path / "runs", out, portraits=False)
    listed = json.loads((out / MANIFEST).read_text())
    (tmp_path / "precious").write_text("kept")
    (out / MANIFEST).write_text(json.dumps({**listed, "pages": {**listed["pages"], "../precious": None}}))
    write_site(tmp_path / "runs", out, portraits=False)
    assert (tmp_path / "precious").read_text() == "kept"
    (out / MANIFEST).write_text("[]")
    with pytest.raises(RunError, match="is damaged"):
        write_site(tmp_path / "runs", out, portraits=False)


def test_hostile_names_stay_text_and_make_plain_file_names(tmp_path: Path) -> None:
    evil = "<b>x</b><script>alert(1)</script>\"'"
    make.write_run(tmp_path / "runs", evil, 0, directory="x-s0-000000000001")
    path = tmp_path / "runs" / "seq-digits" / "x-s0-000000000001" / "environment.json"
    path.write_text(json.dumps({**make.ENVIRONMENT, "command": evil, "machine": {"cpu": evil}}))
    out = write_site(tmp_path / "runs", tmp_path / "site", command=evil).parent
    for name, text in pages(out).items():
        assert "<script>alert" not in text and "<b>x" not in text, name
        assert re.fullmatch(r"[a-z0-9._/+-]+", name)
    assert slug("../../etc") != slug("etc") and "/" not in slug("../../etc")
    assert len({slug(n) for n in ("A", "a", "A/", "ä", "ü", "")}) == 6


def test_a_neuron_gets_its_portrait(tmp_path: Path) -> None:
    make.write_run(tmp_path / "runs", "lif", 0)
    out = write_site(tmp_path / "runs", tmp_path / "site").parent
    assert "f-I curve" in (out / "portraits" / "lif.html").read_text()
    assert "../portraits/lif.html" in (out / "neurons" / "lif.html").read_text()
