"""A static site about a folder of runs: an index, and a page for every task, neuron and run.

Pages link to each other by relative addresses and load nothing, so that the folder can be opened from a disk, hosted
anywhere, or sent as an archive. Written again, the site keeps the pages of runs that have not changed and removes
those of runs that are gone; other files in the folder are not touched.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.errors import RunError
from ..core.files import write_json, write_text
from ..core.registry import Registry
from .leaderboard import boards
from .portrait import render as render_portrait
from .site_links import INDEX, Site, model_of, model_page, portrait_page, run_page, task_page
from .site_pages import index_page, model_page_text, run_page_text, task_page_text
from .store import RunRecord, load_runs
from .svg import styles

_log = logging.getLogger(__name__)
MANIFEST = ".spikeworks-site.json"
"""Which pages the site wrote, and what each was made from."""


def write_site(
    root: str | Path, output: str | Path = "site", *, command: str | None = None, portraits: bool = True
) -> Path:
    """Write the site of all runs below ``root`` and return its first page.

    Args:
        root: a folder of runs.
        output: the site's folder.
        command: the command line that asked for it, printed on the pages.
        portraits: whether neurons get a page that shows what they do.

    Raises:
        RunError: ``root`` holds no run that has ended, ``output`` cannot be written, or holds another site.

    Example:
        >>> write_site("runs", "site")  # doctest: +SKIP
        PosixPath('site/index.html')
    """
    records = load_runs(root)
    output = Path(output)
    before = _earlier_pages(output)
    site = _site(records, command, portraits)
    pages: dict[str, str | None] = {}

    def write(name: str, text: str, mark: str | None = None) -> None:
        write_text(output / name, text)
        pages[name] = mark

    for record in records:
        name, mark = run_page(record), _mark(record, command)
        if before.get(name) == mark and (output / name).is_file():
            pages[name] = mark
        else:
            write(name, run_page_text(site, record), mark)
    for neuron in sorted(site.portraits):
        name, mark = portrait_page(neuron), f"{__version__} {_neuron_source(neuron)}"
        if before.get(name) == mark and (output / name).is_file():
            pages[name] = mark
        else:
            write(name, render_portrait(_config(neuron), command), mark)
    for task in site.tasks:
        write(task_page(task), task_page_text(site, task))
    for model in site.models:
        write(model_page(model), model_page_text(site, model))
    write(INDEX, index_page(site))
    for name in before.keys() - pages.keys():
        (output / name).unlink(missing_ok=True)
    write_json(output / MANIFEST, {"spikeworks": __version__, "pages": pages})
    _log.info("wrote the site of %d runs to %s", len(records), output)
    return output / INDEX


def _site(records: list[RunRecord], command: str | None, portraits: bool) -> Site:
    found = boards(records)
    scored = {entry.row.label for board in found for entry in board.entries}
    others = {row.label for board in found for row in board.unscored} - scored
    shown = {model_of(record) for record in records} & set(_neurons()) if portraits else set()
    look = styles([*sorted(scored), *sorted(others)])
    return Site(records=records, boards=found, look=look, portraits=frozenset(shown), command=command)


def _earlier_pages(output: Path) -> dict[str, str | None]:
    """What an earlier site wrote here; refuses a folder with somebody else's index."""
    path = output / MANIFEST
    if not path.exists():
        if (output / INDEX).exists():
            raise RunError(
                f"{output / INDEX} was not written by spikeworks site.", "choose another folder, or remove the file"
            )
        return {}
    try:
        pages = json.loads(path.read_text(encoding="utf-8"))["pages"]
        return {str(name): mark for name, mark in pages.items() if _inside(output, str(name))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}.", f"remove {output}; the site is then written anew") from error


def _inside(output: Path, name: str) -> bool:
    """Whether a page lies in the site: what a damaged list names elsewhere is never removed."""
    return (output / name).resolve().is_relative_to(output.resolve())


def _mark(record: RunRecord, command: str | None) -> str:
    """Equal for a run that has not changed."""
    content = json.dumps(
        [__version__, command, record.config, record.environment, record.metrics, record.result], sort_keys=True
    )
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _neurons() -> Registry[Any]:
    from ..neurons import NEURONS

    return NEURONS


def _config(neuron: str) -> Any:
    from ..neurons import config_for

    return config_for(neuron)


def _neuron_source(neuron: str) -> str:
    """Equal for a neuron whose source has not changed."""
    import inspect

    return hashlib.sha256(inspect.getsource(_neurons().get(neuron)).encode()).hexdigest()[:16]
