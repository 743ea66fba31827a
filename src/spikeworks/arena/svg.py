"""Inline SVG that follows the page: theme colours, one colour per model, the same bytes every time.

Figures are drawn with stand-in colours; :func:`to_svg` turns those into ``currentColor`` and CSS
variables with a fallback, so that one drawing suits light, dark and printed pages and still looks
right as a file of its own. The palette is that of Okabe and Ito (2008, "Color Universal Design"),
darkened or lightened where the contrast to the page would be below 3:1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#fefefe"
"""Stand-ins for text, secondary text, hairlines and the page itself."""

LIGHT = ("#0072b2", "#d55e00", "#00875f", "#b4508f", "#a87400", "#5c5c5c", "#2f8fc9", "#6a51a3")
DARK = ("#56aee6", "#ff8a4d", "#2fc79b", "#e594c6", "#f0b840", "#c3c7cc", "#9ad2f5", "#b9a7ee")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
_DASHES = ("solid", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
_THEME = {
    INK: "currentColor",
    MUTED: "var(--muted,#5f6670)",
    GRID: "var(--grid,#d9dde2)",
    PAPER: "var(--paper,#fff)",
    **{color: f"var(--c{i},{color})" for i, color in enumerate(LIGHT)},
}
WIDTH = 4.6
"""Inches of a figure."""
FONT = 9.0
"""Points, at that width: readable on a phone, large on a slide."""


@dataclasses.dataclass(frozen=True)
class Style:
    """How one model looks everywhere: ``index`` into the palette, marker and line."""

    index: int
    color: str
    marker: str
    dash: Any


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style per label, in the order given; beyond eight colours repeat with another marker and dash."""
    chosen = {}
    for i, label in enumerate(dict.fromkeys(labels)):
        turn, index = divmod(i, len(LIGHT))
        marker = _MARKERS[(index + turn) % len(_MARKERS)]
        chosen[label] = Style(index, LIGHT[index], marker, _DASHES[turn % len(_DASHES)])
    return chosen


def palette_css() -> tuple[str, str]:
    """CSS declarations of the model colours for light and for dark pages."""
    light, dark = (";".join(f"--c{i}:{color}" for i, color in enumerate(colors)) for colors in (LIGHT, DARK))
    return light, dark


@contextlib.contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A transparent figure in inches, drawn with the object interface alone.

    User text is never read as mathematics: a label with ``$`` stays what it is.
    """
    import matplotlib
    from matplotlib.figure import Figure

    options: dict[str, Any] = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": FONT,
        "svg.fonttype": "none",
        "text.parse_math": False,
        "text.color": INK,
        "axes.facecolor": "none",
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "axes.labelsize": FONT,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "axes.grid": False,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": GRID,
        "ytick.color": GRID,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": FONT - 1,
        "ytick.labelsize": FONT - 1,
        "lines.linewidth": 1.8,
        "path.simplify": True,
    }
    defaults: Any = {**matplotlib.rcParamsDefault, "backend": "svg", **options}  # whatever the user's matplotlibrc says
    with matplotlib.rc_context(defaults):
        yield Figure(figsize=(width, height), facecolor="none")


def box(
    width: float, height: float, left: float = 0.62, right: float = 0.1, top: float = 0.14, bottom: float = 0.48
) -> tuple[float, float, float, float]:
    """Margins in inches to the fractions that matplotlib wants."""
    return left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height


def grid(axes: Axes, which: Any) -> None:
    """Hairlines along ``x``, ``y`` or ``both`` and no ticks."""
    axes.grid(True, axis=which)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, which="both")
    axes.spines["left"].set_visible(False)


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one ``<svg>`` element that scales with its container.

    Args:
        figure: drawn inside :func:`drawing`.
        name: unique on the page; keeps the ids of two figures apart.
        description: read by screen readers.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": f"spikeworks {name}", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(
            buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda match: _THEME.get(match[0], match[0]), text)
    text = re.sub(r' d="[^"]*"', _rounded, text)
    box = re.search(r'viewBox="([^"]*)"', text)
    head = f'<svg viewBox="{box[1] if box else ""}" role="img" xmlns="http://www.w3.org/2000/svg" '
    head += f'xmlns:xlink="http://www.w3.org/1999/xlink" stroke-linejoin="round"><title>{escape(description)}</title>'
    return head + re.sub(r"\n\s*", "\n", text[text.index(">") + 1 :]).strip()


def _rounded(match: re.Match[str]) -> str:
    """Path coordinates to a hundredth of a point: invisible, and a third of the size."""
    short = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), match[0])
    return re.sub(r"\s*\n", "", short)
