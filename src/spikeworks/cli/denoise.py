"""``denoise``: a sound file, or a live stream, without its noise, by the network of a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ..core.errors import ConfigError
from .describe import plugins
from .leaves import Values


def denoise(args: argparse.Namespace, dotted: Values) -> int:
    """Denoise a file, or standard input."""
    plugins(args)
    torch.set_num_threads(1)  # a frame is too little work to share
    if args.live:
        if args.source or args.target:
            raise ConfigError("--live reads standard input and writes standard output; leave the files out.")
        from .denoise_live import live

        return live(args)
    if not args.source or not args.target:
        raise ConfigError(
            "Two files are needed: the noisy one, and where to write.",
            "spikeworks denoise in.wav out.wav --run RUN, or --live for raw PCM from a pipe",
        )
    from .denoise_file import denoise_file

    try:
        return denoise_file(args, Path(args.source), Path(args.target))
    except KeyboardInterrupt:
        print(f"\nspikeworks: stopped; {args.target} was not written.", file=sys.stderr)
        return 130
