"""What a first use costs: building the kernels of each neuron, and importing the package.

    python benchmarks/bench_first_use.py [--rounds 3]

Kernels are built in a fresh process with an empty cache, forward and backward of a small layer,
and again with the cache that the first left behind. Imports are timed in processes of their own, in turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from side_by_side import Target, Times, in_turns, parser, started, table, write

from spikeworks.neurons import NEURONS

LIMIT_BUILD, LIMIT_IMPORT = 2.0, 1.5

USE = """\
import time, torch
from spikeworks import kernels
from spikeworks.neurons import config_for
neuron = config_for({name!r}).build(16, torch.Generator().manual_seed(0))
signals = tuple(torch.randn(3, 2, 16, requires_grad=True) for _ in neuron.inputs)
start = time.perf_counter()
with kernels.use("c"):
    neuron(signals if len(signals) > 1 else signals[0])[0].sum().backward()
print(time.perf_counter() - start)
"""


def fresh(code: str, **environment: str) -> str:
    """Run Python code in a process of its own; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    if done.returncode:
        raise SystemExit(f"a first use failed:\n{done.stderr.strip()}")
    return done.stdout


def builds(name: str, rounds: int) -> Times:
    """Seconds of the first call, with an empty cache and with the cache that it left."""
    cold: list[float | None] = []
    warm: list[float | None] = [None] * rounds
    for turn in range(rounds):
        with tempfile.TemporaryDirectory(prefix="first-use-") as cache:
            cold.append(float(fresh(USE.format(name=name), SPIKEWORKS_CACHE=cache)))
            if turn == 0:  # nothing is promised about it, and starting Python takes longer than it does
                warm[0] = float(fresh(USE.format(name=name), SPIKEWORKS_CACHE=cache))
    return Times({"cold": cold, "warm": warm})


def main() -> None:
    """Measure, print tables, write ``first_use.json``."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--import-rounds", type=int, default=7, help="rounds of the imports")
    built = [name for name in NEURONS.names() if NEURONS.get(name)(1).backend_report("cpu")[0] == "c"]
    options.add_argument("--neurons", nargs="+", default=built, choices=built, help="those that have a kernel")
    given = options.parse_args()
    line = started(given)
    print(line)
    rows, targets, found = [], [], {}
    for name in given.neurons:
        times = builds(name, given.rounds)
        rows.append([name, f"{times.ms('cold') / 1e3:.2f} s", f"{times.ms('warm') / 1e3:.2f} s"])
        targets.append(Target(f"first use of {name}, seconds", times.ms("cold") / 1e3, LIMIT_BUILD, at_least=False))
        found[name] = times.to_dict()
    print("\nfirst call of a layer, forward + backward: trace, emit, compile, load\n")
    print(table(["neuron", "empty cache", "kernels in the cache"], rows))

    statements = {
        "import torch": "import torch",
        "import spikeworks": "import spikeworks",
        "import spikeworks, its neurons and models": "import spikeworks; spikeworks.Neuron; spikeworks.StackConfig",
    }
    imports = in_turns({name: lambda c=code: fresh(c) for name, code in statements.items()}, given.import_rounds)
    ratio = {name: imports.ratio(name, "import torch") for name in statements}
    print()
    print(table(["", "time", "times torch"], [[n, f"{imports.ms(n):.0f} ms", f"{ratio[n]:.2f}"] for n in statements]))
    targets += [
        Target(name, value, LIMIT_IMPORT, at_least=False) for name, value in ratio.items() if name != "import torch"
    ]
    write(given.out, "first_use", {"line": line, "builds": found, "imports": imports.to_dict()}, targets)


if __name__ == "__main__":
    main()
