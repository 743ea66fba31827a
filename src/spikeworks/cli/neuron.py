"""``neuron``: one neuron as a page or as text."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from typing import ClassVar

from ..neurons import NeuronConfig, config_for
from .describe import plugins
from .leaves import Values, apply_leaves


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Shown:
    """What the options of the command describe."""

    neuron: NeuronConfig
    settings_shown_by: ClassVar[str] = "spikeworks neuron describe NAME shows all settings"

    @property
    def subject(self) -> str:
        """What messages call it."""
        return self.neuron.label


def neuron(args: argparse.Namespace, dotted: Values) -> int:
    """Print the conventions of a neuron, or write its page."""
    plugins(args)
    config = apply_leaves(_Shown(neuron=config_for(args.name)), dotted).neuron
    if args.action == "describe":
        from ..neurons.describe import describe

        print(describe(config.build(1)))
        return 0
    from ..arena.portrait import write_portrait

    given = [word for name, values in dotted.items() for word in (f"--{name}", *values)]
    print(write_portrait(config, args.output, shlex.join(["spikeworks", "neuron", "show", args.name, *given])))
    return 0
