"""``show RUN --metrics``: how the denoiser of a run sounds, by measures of speech."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..arena.denoising import DenoiserEvaluation, HeardClip, evaluate_denoiser, load_denoiser
from ..arena.store import load_run
from ..core import quantities
from ..core.errors import ConfigError
from ..measure.listen import METRICS, averages
from .describe import plugins

if TYPE_CHECKING:
    from rich.table import Table

_HEADS = {"si_snr": "SI-SNR, dB", "si_snr_improvement": "gain, dB"}


def hear(args: argparse.Namespace) -> int:
    """Print means over all test clips, each kind of noise and each range of ratios."""
    from rich.console import Console

    plugins(args)
    names = [name.strip().lower() for name in (args.metrics or "").split(",") if name.strip()]
    if not names:
        raise ConfigError("--metrics names no measure.", f"of {','.join(METRICS)}, for instance --metrics stoi,pesq")
    if args.dnsmos is not None and "dnsmos" not in names:
        raise ConfigError("--dnsmos is the model of the measure dnsmos, which was not asked for.", "--metrics dnsmos")
    if "dnsmos" in names and args.dnsmos is None:
        raise ConfigError(
            "DNSMOS needs the file of its model, which is not part of this package.",
            "--dnsmos sig_bak_ovr.onnx, of github.com/microsoft/DNS-Challenge",
        )
    task, network = load_denoiser(load_run(args.run, args.out), args.data)
    found = evaluate_denoiser(network, task, metrics=names, dnsmos=args.dnsmos)
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(_table(found))
    return 0


def _table(found: DenoiserEvaluation) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1))
    table.add_column("test clips", no_wrap=True)
    names = [name for name in found.mean if name not in _HEADS]
    for head in ("clips", *_HEADS.values(), *(name.replace("_", " ") for name in names)):
        table.add_column(head, justify="right", overflow="fold")

    def add(name: str, clips: Sequence[HeardClip]) -> None:
        means = averages([clip.values for clip in clips])
        cells = [f"{means['si_snr']:.2f}", f"{means['si_snr_improvement']:+.2f}"]
        cells += [quantities.MISSING if math.isnan(means[key]) else f"{means[key]:.3f}" for key in names]
        table.add_row(Text(name), str(len(clips)), *cells)

    add("all", found.clips)
    for title, groups in (("kind of noise", found.kinds), ("signal to noise", found.ranges)):
        if groups:
            table.add_row("")
            table.add_row(Text(title, "dim"))
        for name, clips in groups.items():
            add(f"  {name}".replace("_", " "), clips)
    return table
