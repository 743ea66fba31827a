"""One clip of a denoiser as inline SVG: three spectrograms on one scale, and below them its spikes at the same times.

Legend: ``T`` frames, ``F`` frequencies, ``N`` neurons, ``S`` samples.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..core import quantities
from ..data.stft import Stft
from .denoising_bands import Band
from .svg import FONT, LIGHT, MUTED, drawing, to_svg

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANGE_DB = 60
"""What lies so far below the loudest point of a clip is as dark as silence."""
_LEVELS = 32  # steps of about 2 dB: more are not seen and make the page heavy
_ROWS = 64  # neurons of a band that are drawn
_COLORS = "magma"
_SPIKE = LIGHT[6]  # stands out from light and dark paper
_WIDTH = 3.6  # inches; three clips stand side by side, and on a phone one fills the page
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.36, 0.46, 0.24, 0.42, 0.25
_TALL, _LOW = 0.85, 0.55


def clip_figure(waves: Mapping[str, Tensor], bands: Sequence[Band], stft: Stft, rate: int, name: str) -> str:
    """Spectrograms of ``waves`` in dB below the loudest point of all, and a panel of spikes for each band.

    Args:
        waves: ``[S]`` each, by what stands above its spectrogram.
        bands: of as many frames.
        stft: the transform of the task.
        rate: samples a second.
        name: unique on the page.
    """
    pictures = _levels(waves, stft)
    heights = [_TALL] * len(pictures) + [_LOW] * len(bands)
    total = sum(heights) + _GAP * (len(heights) - 1) + _TOP + _BOTTOM
    frames = next(iter(pictures.values())).shape[1]
    span = (-0.5 * stft.hop / rate, (frames - 0.5) * stft.hop / rate)
    with drawing(_WIDTH, total) as figure:
        y = total - _TOP
        for index, height in enumerate(heights):
            y -= height
            axes = figure.add_axes((_LEFT / _WIDTH, y / total, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, height / total))
            y -= _GAP
            if index < len(pictures):
                title = list(pictures)[index]
                axes.imshow(
                    pictures[title], aspect="auto", origin="lower", interpolation="none",
                    extent=(*span, 0, rate / 2000),
                )  # fmt: skip
                axes.set_ylabel("kHz", labelpad=1)
                axes.locator_params(axis="y", nbins=4, integer=True)
            else:
                title = _draw_band(axes, bands[index - len(pictures)], span)
            axes.set_title(title, loc="left", fontsize=FONT - 1, color=MUTED, pad=3)
            axes.set_xlim(*span)
            axes.tick_params(length=0)
            if index < len(heights) - 1:
                axes.set_xticks([])
            else:
                axes.set_xlabel("seconds")
        _scale(figure, sum(heights[: len(pictures)]) + _GAP * (len(pictures) - 1), total)
        said = f"Spectrograms of one clip ({'; '.join(waves)})"
        if bands:
            said += " and spikes at the same times: " + "; ".join(
                f"{band.name}: {quantities.percent(band.rate)} spiking" for band in bands
            )
        return _lean(to_svg(figure, name, said))


def _levels(waves: Mapping[str, Tensor], stft: Stft) -> dict[str, np.ndarray]:
    """Colours ``[F, T, 4]`` of each wave."""
    import matplotlib
    import numpy as np

    loud = {title: stft(wave.unsqueeze(0))[:, 0].abs().numpy() for title, wave in waves.items()}
    most = max(float(part.max()) for part in loud.values()) or 1.0
    colors = matplotlib.colormaps[_COLORS]
    found = {}
    for title, part in loud.items():
        decibel = 20 * np.log10(np.maximum(part / most, 1e-12))
        share = np.clip(1 + decibel / RANGE_DB, 0, 1)
        found[title] = colors(np.round(share * (_LEVELS - 1)).T / (_LEVELS - 1), bytes=True)
    return found


def _draw_band(axes: Axes, band: Band, span: tuple[float, float]) -> str:
    """A point for each spike, low frequencies below; returns the panel's title."""
    import numpy as np
    from matplotlib.colors import to_rgb

    spikes = band.spikes.numpy()
    neurons = spikes.shape[1]
    shown = min(neurons, _ROWS)
    chosen = np.linspace(0, neurons - 1, shown).round().astype(int)
    image = np.zeros((shown, len(spikes), 4), dtype=np.uint8)
    image[..., :3] = np.round(255 * np.array(to_rgb(_SPIKE)))
    image[..., 3] = 255 * spikes[:, chosen].T
    axes.imshow(image, aspect="auto", origin="lower", interpolation="none", extent=(*span, 0, shown))
    axes.set_yticks([])
    axes.spines["left"].set_visible(True)
    rate = quantities.percent(band.rate) if band.rate else "silent"
    axes.text(1.015, 0.5, rate, transform=axes.transAxes, va="center", fontsize=FONT - 2, color=MUTED)
    return f"{band.name}: " + (f"{neurons} neurons" if shown == neurons else f"{shown} of {neurons} neurons")


def _scale(figure: Figure, height: float, total: float) -> None:
    """The colours and their decibels, beside the spectrograms."""
    import matplotlib
    import numpy as np

    low = total - _TOP - height
    axes = figure.add_axes(((_WIDTH - _RIGHT + 0.08) / _WIDTH, low / total, 0.08 / _WIDTH, height / total))
    bar: Any = matplotlib.colormaps[_COLORS](np.linspace(0, 1, _LEVELS)[:, None], bytes=True)
    axes.imshow(bar, aspect="auto", origin="lower", interpolation="none", extent=(0, 1, -RANGE_DB, 0))
    axes.set_xticks([])
    axes.set_yticks(range(-RANGE_DB, 1, 20))
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=2)
    axes.set_title("dB", fontsize=FONT - 1, color=MUTED, pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _lean(svg: str) -> str:
    """The same drawing with its images as few colours, a quarter of the bytes, and without ids that nothing uses."""
    svg = re.sub(r' id="image[0-9a-f]+"', "", svg)
    return re.sub(r"data:image/png;base64,\s*([\w+/=\s]+)", lambda found: _indexed(found[1]), svg)


def _indexed(encoded: str) -> str:
    """A PNG of at most 256 colours with a table of them; another one as it was."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA"))
    table, index = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(table) > 256:
        return f"data:image/png;base64,{encoded}"
    image = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8), "P")
    image.putpalette(table[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=table[:, 3].tobytes())
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
