"""``spikeworks COMMAND``: dispatch, and errors as people read them.

Exit codes: 0 done, 2 something that the user can repair (one message, no traceback), 130
stopped by Ctrl-C with everything kept.
"""

from __future__ import annotations

import importlib
import logging
import os
import shlex
import sys
from collections.abc import Sequence

from ..core.errors import SpikeworksError
from .parser import overview, parser_for

_HOME = {
    "quickstart": ("train", "quickstart"),
    "run": ("train", "run"),
    "compare": ("train", "compare"),
    "sweep": ("sweep", "search"),
    "arena": ("arena", "arena"),
    "probe": ("probe", "probe"),
    "gradients": ("gradients", "gradients"),
    "memory": ("memory", "memory"),
    "neuron": ("neuron", "neuron"),
    "list": ("look", "show_list"),
    "show": ("look", "show"),
    "report": ("look", "report"),
    "query": ("query", "ask"),
    "site": ("site", "site"),
    "submit": ("submit", "take_in"),
    "denoise": ("denoise", "denoise"),
    "export": ("export", "export"),
    "doctor": ("doctor", "doctor"),
    "data": ("doctor", "get_data"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words behind ``spikeworks``; by default those of this process.

    Returns:
        The exit code.
    """
    # Read when torch loads its thread pool. Threads that spin while they wait stop each other
    # when several runs share the cores: two runs on two cores took 40 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="spikeworks: %(message)s", level=logging.WARNING)
    try:
        return _dispatch(words)
    except SpikeworksError as error:
        print(f"spikeworks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = shlex.join(["spikeworks", *words])
        print(f"\nspikeworks: stopped; what was done is kept. The same command goes on:\n  {again}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"spikeworks: the system refused{where}: {error.strerror or error}.", file=sys.stderr)
        return 2
    except SystemExit as leave:  # --help
        return leave.code if isinstance(leave.code, int) else 0


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from .. import __version__

        print(__version__)
        return 0
    command, rest = words[0], words[1:]
    parser = parser_for(command)
    dotted: dict[str, list[str]] = {}
    if command in ("run", "compare", "sweep", "probe", "gradients", "memory", "neuron"):
        from .leaves import split_dotted

        rest, dotted = split_dotted(rest)
    args = parser.read(rest)
    module, function = _HOME[command]
    return getattr(importlib.import_module(f".{module}", __package__), function)(args, dotted)
