"""``data ndns --clean … --noise …``: make the clips of the denoising challenge from folders of one's own."""

from __future__ import annotations

import argparse

from ..core import quantities
from ..core.errors import ConfigError
from ..data.files import data_root
from ..data.ndns import FOLDERS, RATE
from ..data.ndns_synthesis import synthesize

_BYTES = 2 * 3  # a sample of the three files of a clip


def synthesize_clips(args: argparse.Namespace) -> int:
    """Mix clips of speech and noise for the task ``ndns``; what is there already is kept."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if args.task != "ndns":
        raise ConfigError(f"Clips are made for the task ndns alone, not for {args.task}.", "leave out --clean, --noise")
    if not (args.clean and args.noise):
        raise ConfigError("Clips need two folders: speech (--clean DIR) and noise (--noise DIR).")
    root = data_root(args.data)
    if root is None:
        raise ConfigError("Nobody said where the clips go.", "give --data DIR, or set SPIKEWORKS_DATA")
    clips = _counts(args.clips)
    if not 1 <= args.seconds <= 30:
        raise ConfigError(f"Clips last from 1 to 30 seconds, got {args.seconds:g}.")
    samples = round(args.seconds * RATE)
    total = sum(clips.values())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("clips", total=total)
        folder = synthesize(
            args.clean,
            args.noise,
            root,
            clips,
            seed=args.seed,
            samples=samples,
            mode=args.ratios,
            progress=lambda split, number: bar.update(task, description=split, completed=number + 1),
        )
    length = quantities.duration(total * args.seconds)
    print(f"{folder}: {total} clips, {length} of sound, {quantities.size(total * samples * _BYTES)}")
    print("train on them: spikeworks run --task ndns --network spiking-fullsubnet-s --task.mask complex --task.taps 3")
    return 0


def _counts(text: str) -> dict[str, int]:
    words = text.split(",")
    if len(words) != len(FOLDERS) or not all(word.strip().isdigit() and int(word) for word in words):
        raise ConfigError(
            f"--clips takes three whole numbers from 1 on, for {', '.join(FOLDERS)}; got {text!r}.",
            "for instance --clips 600,60,60",
        )
    return dict(zip(FOLDERS, map(int, words), strict=True))
