"""Pages that spikeworks writes: templates, what stands on each of them, and where they go."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from spikeworks import __version__

from ..core.files import write_text
from .svg import palette_css


def write_page(text: str, output: str | Path, name: str) -> Path:
    """Write a page and return its path.

    Args:
        output: the HTML file, or an existing folder that gets a file called ``name``.
    """
    output = Path(output)
    if output.is_dir():
        output = output / name
    write_text(output, text)
    return output


def render_page(template: str, /, **values: Any) -> str:
    """A template of this package as text, with its colours, the version and the time.

    Every value is escaped unless the template says otherwise; one that it asks for and does not get is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("spikeworks.arena", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    light, dark = palette_css()
    return environment.get_template(template).render(
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        light=light,
        dark=dark,
        **values,
    )
