"""The page: complete, self-contained, safe with any label, and drawn the same way twice."""

from __future__ import annotations

import re
import runpy
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from spikeworks.arena import costs, figures
from spikeworks.arena.report import render, write_report
from spikeworks.arena.store import load_runs
from spikeworks.arena.summary import summarize
from spikeworks.arena.svg import DARK, LIGHT, styles
from spikeworks.core.errors import RunError

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic_runs.py"))))
VOID = {"meta", "link", "br", "input", "img", "hr"}


class Page(HTMLParser):
    """Tags, attributes, ids and text of a page; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words += data


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        make.write_run(root, "lif", seed, score=0.31 + 0.01 * seed, energy=9.0, seconds=21.0)
        make.write_run(root, "tc-lif", seed, score=0.68 + 0.01 * seed, energy=17.0, seconds=44.0)
        make.write_run(root, "lif", seed, task="ptb", metric=make.PERPLEXITY, score=141.0 + seed, channels=16)
    make.write_diverged(root, "cuba-lif", 0)
    make.write_unfinished(root, "adlif", 1)
    return root


@pytest.fixture(scope="module")
def page(comparison: Path) -> str:
    return render(load_runs(comparison), command="spikeworks report runs")


def test_the_page_holds_every_section(page: str) -> None:
    words = Page(page).words.replace("\u00a0", " ")
    for part in (
        "tc-lif scores best of 2 models: accuracy 68.5 ± 0.7 % over 2 seeds, at 17.0 nJ per inference",
        "lif reaches perplexity 141.5 ± 0.7 over 2 seeds",
        "handwritten digits of 8 x 8 pixels",
        "to validate, 360 to test",
        "Score against energy",
        "Score against training time",
        "Score against memory",
        "Memory of an update",
        "Learning curves",
        "Spike rates",
        "Spikes of one test sample",
        "Which classes are taken for which",
        "Where the energy goes",
        "blocks.0.neuron",
        "How it was measured",
        "Synthetic Test Processor",
        "2.13.0+cpu",
        "spikeworks compare --task seq-digits --neurons lif,tc-lif --seeds 2",
        "spikeworks report runs",
        "c – compiled with cc",
        "Runs without a score",
        "loss is nan at step 41, learning rate 0.9",
        "no result.json; 11 of 12 epochs done",
        '"threshold": 1.0',
    ):
        assert part in words, part


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    parsed = Page(page)
    assert all(link.startswith(("#", "data:")) for link in parsed.links)
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", page) and "@import" not in page
    assert "default-src 'none'" in page


def test_links_within_the_page_have_a_target_and_ids_are_unique(page: str) -> None:
    parsed = Page(page)
    targets = {link[1:] for link in parsed.links if link.startswith("#")}
    targets |= set(re.findall(r"url\(#([\w-]+)\)", page))
    assert targets <= set(parsed.ids)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_same_runs_give_the_same_page(comparison: Path, page: str) -> None:
    def undated(text: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text)

    assert undated(render(load_runs(comparison), command="spikeworks report runs")) == undated(page)


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    evil = "<b>x</b><script>alert(1)</script>$\\frac$\n&amp;\"'"
    make.write_run(tmp_path, evil, 0, directory="x-s0-000000000001", classes=2, score=0.8)
    for name in ("config.json", "result.json", "environment.json"):
        file = tmp_path / "seq-digits" / "x-s0-000000000001" / name
        content = make.json.loads(file.read_text())
        content.update(classes=[evil, "b"], command=evil, kernels={"n": {"backend": evil, "reason": evil}})
        file.write_text(make.json.dumps(content))
    text = render(load_runs(tmp_path), command=evil)
    parsed = Page(text)
    assert parsed.tags.count("script") == 1 and "b" in parsed.tags
    assert "<b>x</b>" not in text and "<script>alert" not in text
    assert "<b>x</b><script>alert(1)</script>" in parsed.words


def test_the_table_can_be_sorted_by_value(page: str) -> None:
    values = re.findall(r'data-key="score" data-value="([^"]*)"', page)
    assert [round(float(value), 3) if value else value for value in values] == [141.5, 0.685, 0.315, "", ""]


def test_write_report_takes_a_file_or_a_folder(comparison: Path, tmp_path: Path) -> None:
    assert write_report(comparison, tmp_path, task="ptb") == tmp_path / "report.html"
    path = write_report(comparison, tmp_path / "new" / "page.html", task="ptb")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "seq-digits</b>" not in text


def test_an_empty_folder_gives_no_page(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(RunError, match="holds no run"):
        write_report(tmp_path / "runs", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_half_written_run_gives_no_page(tmp_path: Path) -> None:
    make.write_unfinished(tmp_path / "runs")
    with pytest.raises(RunError, match="the only run is half written"):
        write_report(tmp_path / "runs", tmp_path / "report.html")


def test_an_unwritable_output_is_one_clear_error(comparison: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    with pytest.raises(RunError, match=r"Cannot write .*report.html: (Not a directory|File exists)"):
        write_report(comparison, tmp_path / "file" / "report.html", task="ptb")
    assert (tmp_path / "file").read_text() == "here first"


def test_diverged_runs_alone_make_a_page_that_says_so(tmp_path: Path) -> None:
    make.write_diverged(tmp_path, "lif", 0)
    words = Page(render(load_runs(tmp_path))).words
    assert "The only run has no score." in words and "loss is nan at step 41" in words


def test_runs_from_two_machines_carry_a_warning(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    path = make.write_run(tmp_path, "alif", 0)
    assert "do not compare" not in render(load_runs(tmp_path))
    other = make.ENVIRONMENT | {"machine": make.ENVIRONMENT["machine"] | {"cpu": "another"}}
    (path / "environment.json").write_text(make.json.dumps(other))
    assert "These runs come from 2 different machines or devices" in render(load_runs(tmp_path))


def test_a_model_without_a_fused_kernel_is_named(tmp_path: Path) -> None:
    make.write_run(tmp_path, "lif", 0)
    make.write_run(tmp_path, "own", 0, kernels={"blocks.0.neuron": {"backend": "loop", "reason": "no graph"}})
    assert "Without a fused kernel: own." in Page(render(load_runs(tmp_path))).words


@pytest.mark.parametrize(
    "odd",
    [
        {"confusion": [[1, 2], [3]]},
        {"confusion": [[1, 2, 3], [4, 5, 6]]},
        {"confusion": [["a"]]},
        {"confusion": [[0, 0], [0, 0]]},
        {"spike_rates": None, "kernels": None},
        {"energy": None, "speed": None, "memory": None, "seconds": None},
        {"energy": {"convention_nj": 0.0, "memory_aware_nj": 0.0, "layers": []}},
        {"classes": ["too", "few"]},
    ],
    ids=str,
)
def test_gaps_in_a_result_leave_out_a_figure_not_the_page(tmp_path: Path, odd: dict) -> None:
    path = make.write_run(tmp_path, "lif", 0)
    content = make.json.loads((path / "result.json").read_text()) | odd
    (path / "result.json").write_text(make.json.dumps(content))
    (path / "sample.safetensors").unlink()
    words = Page(render(load_runs(tmp_path))).words
    assert "lif reaches accuracy" in words and "Spikes of one test sample" not in words


def test_energy_that_is_not_known_is_never_shown_as_zero(tmp_path: Path) -> None:
    layers = [
        {"name": "blocks.0.synapse", "convention_nj": 2.0, "memory_aware_nj": 5.0},
        {"name": "blocks.0.neuron", "convention_nj": None, "memory_aware_nj": None},
    ]
    unknown = {"convention_nj": None, "memory_aware_nj": None, "layers": layers}
    make.write_run(tmp_path, "own", 0, result_energy=unknown)
    (row,) = summarize(load_runs(tmp_path))
    assert costs.energy_layers(row) == [("blocks.0.synapse", 2.0, 5.0), ("blocks.0.neuron", None, None)]
    assert costs.energy_bars([row], styles(["own"]), "bars") is None
    assert costs.score_against_energy([row], styles(["own"]), "energy") is None
    words = Page(render(load_runs(tmp_path))).words
    assert "Not known in full, hence without a total: own." in words and "0\u00a0pJ" not in words


def texts_of(svg: str | None) -> list[str]:
    assert svg is not None
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip().replace("\u00a0", " ") for element in found]


def test_memory_comes_first_where_methods_are_compared(tmp_path: Path, comparison: Path) -> None:
    make.write_methods(tmp_path)
    page = render(load_runs(tmp_path))
    titles = re.findall(r"<figcaption><b>(.*?)</b>", page)
    assert titles[:3] == ["Memory of an update", "Score against memory", "Score against energy"]
    assert page.index("Memory of an update") < page.index("Spikes of one test sample")
    assert page.index('data-key="saved_bytes"') < page.index('data-key="energy_memory"')
    assert page.count('<span class="tag">memory</span>') == 3
    assert "The least memory goes to lif local" in Page(page).words
    titles = re.findall(r"<figcaption><b>(.*?)</b>", render(load_runs(comparison, task="ptb")))
    assert titles[:6] == ["Score against energy", "Score against training time", "Learning curves", "Spike rates",
                          "Memory of an update", "Score against memory"]  # fmt: skip


def test_memory_is_drawn_kept_beside_alive_on_round_bytes(tmp_path: Path) -> None:
    make.write_methods(tmp_path)
    rows = summarize(load_runs(tmp_path))
    look = styles(row.label for row in rows)
    bars = texts_of(costs.memory_bars(rows, look, "bars"))
    ends = [text for text in bars if text.endswith((" kept", " alive"))]
    assert ends == ["8.00 MB kept", "9.60 MB alive", "250 kB kept", "420 kB alive", "90.0 kB kept", "130 kB alive"]
    for svg in (costs.memory_bars(rows, look, "bars"), costs.score_against_memory(rows, look, "kept")):
        ticks = [text for text in texts_of(svg) if re.fullmatch(r"[\d.]+ [kM]B", text)]
        assert len(ticks) >= 2 and all(len(tick.split()[0].strip("0.")) == 1 for tick in ticks), ticks


def test_runs_that_measured_no_memory_have_no_picture_of_it(tmp_path: Path) -> None:
    make.write_run(tmp_path, "old", 0)
    make.write_run(tmp_path, "older", 0, memory=None)
    rows = summarize(load_runs(tmp_path))
    texts = texts_of(costs.memory_bars(rows, styles(["old", "older"]), "bars"))
    assert "4.30 MB kept" in texts and "older" not in texts and not any("alive" in text for text in texts)
    without = [row for row in rows if row.label == "older"]
    assert costs.memory_bars(without, styles(["older"]), "bars") is None
    assert costs.score_against_memory(without, styles(["older"]), "kept") is None


def test_the_template_is_a_package_resource() -> None:
    assert resources.files("spikeworks.arena").joinpath("templates").joinpath("report.html.j2").is_file()


def test_figures_follow_the_theme_and_name_the_models(comparison: Path) -> None:
    rows = [row for row in summarize(load_runs(comparison, task="seq-digits")) if row.score is not None]
    look = styles(row.label for row in rows)
    before = dict(matplotlib.rcParams)
    for draw in (
        figures.learning_curves,
        costs.score_against_energy,
        costs.score_against_time,
        costs.score_against_memory,
        costs.memory_bars,
        costs.spike_rate_bars,
        costs.energy_bars,
    ):
        svg = draw(rows, look, "figure")
        assert svg is not None
        root = ElementTree.fromstring(svg)
        texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {"lif", "tc-lif"} <= texts
        assert f"var(--c0,{LIGHT[0]})" in svg and f"var(--c1,{LIGHT[1]})" in svg and "var(--muted" in svg
        assert not re.search(r"(fill|stroke): #", svg), "a fixed colour would be wrong on one of the themes"
        assert "width=" not in svg[: svg.index(">")] and "<metadata" not in svg and "<!--" not in svg
    assert dict(matplotlib.rcParams) == before


def test_a_raster_draws_every_spike_and_thins_out_wide_layers() -> None:
    from spikeworks.arena.store import Sample

    spikes = np.zeros((50, 8), dtype=np.uint8)
    spikes[[3, 9, 9, 40], [0, 1, 7, 3]] = 1
    style = styles(["lif"])["lif"]
    svg = figures.raster(Sample(np.ones((50, 1)), (spikes,), None, None), style, "small")
    assert svg is not None and "8 neurons, 1.0\u00a0% spiking" in svg
    ticks = max(re.findall(r' d="([^"]*)"', svg.replace("\n", "")), key=lambda path: path.count("M"))
    assert ticks.count("M") == 4
    dense = np.ones((500, 300), dtype=np.uint8)
    svg = figures.raster(Sample(np.ones((500, 1)), (dense,), None, None), style, "dense")
    assert svg is not None and "8 of 300 neurons, 100.0\u00a0% spiking" in svg and len(svg) < 200_000
    silent = figures.raster(Sample(np.ones((5, 1)), (np.zeros((5, 2), np.uint8),), None, None), style, "silent")
    assert silent is not None and "2 neurons, silent" in silent


def test_confusion_rows_are_shares_of_the_true_class() -> None:
    matrix = np.array([[30.0, 10.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    svg = figures.confusion(matrix, ["a", "b", "c"], styles(["lif"])["lif"], "confusion")
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", svg)
    assert sorted(text for text in texts if text.isdigit()) == ["100", "25", "75"]


def test_each_model_keeps_its_own_look() -> None:
    look = styles([f"model {i}" for i in range(20)])
    assert len({(style.color, style.marker, str(style.dash)) for style in look.values()}) == 20
    assert len(LIGHT) == len(DARK) == len(set(LIGHT)) == len(set(DARK))


@pytest.mark.parametrize(("colors", "paper"), [(LIGHT, "#ffffff"), (DARK, "#171b21")])
def test_every_colour_stands_out_from_the_page(colors: tuple[str, ...], paper: str) -> None:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in colors:
        low, high = sorted((luminance(color), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 3, color
