"""PMSN against its own step loop and against the plain LIF of every peer.

    python benchmarks/bench_pmsn.py [--steps 1024 --batch 64 --neurons 128 --rounds 5]

Forward and backward of one layer. PMSN has nine states and eight trained parameters a neuron
where LIF has one state; it is promised to be faster all the same.
"""

from __future__ import annotations

import torch
from bench_layers import BACKENDS, build, checked, own
from peers import forms, installed
from side_by_side import Contestant, Target, in_turns, parser, started, table, write

KERNEL = "pmsn, kernel"


def main() -> None:
    """Measure, print the table, write ``pmsn.json``."""
    options = parser(__doc__, rounds=5)
    for name, value in {"steps": 1024, "batch": 64, "neurons": 128}.items():
        options.add_argument(f"--{name}", type=int, default=value)
    given = options.parse_args()
    line = started(given)
    print(line)
    here = installed()
    shape = (given.steps, given.batch, given.neurons)
    x, gradient = (torch.randn(shape, generator=torch.Generator().manual_seed(s)) * 0.5 for s in (0, 1))
    neuron, lif = build("pmsn", given.neurons), build("lif", given.neurons)
    own_forms = {"parallel": "parallel in time, torch", **BACKENDS}
    runs = {f"pmsn, {form}": own(neuron, backend, x, gradient) for backend, form in own_forms.items()}
    checked("pmsn", runs[KERNEL](), runs["pmsn, loop"]())
    contestants: dict[str, Contestant] = {**runs}
    contestants["lif, loop"] = own(lif, "loop", x, gradient)
    peer_forms = forms(quadratic=False)
    contestants |= {form.label: form.build(x, gradient) for form in peer_forms}
    times = in_turns(contestants, given.rounds)

    print(f"\nT={shape[0]} B={shape[1]} N={shape[2]}\n")
    peers = [form.label for form in peer_forms]
    rows = [
        [f"lif of {name}" if name in peers else name, f"{times.ms(name):.0f} ms", f"{times.ratio(name, KERNEL):.1f}"]
        for name in contestants
    ]
    print(table(["layer", "forward + backward", "times the PMSN kernel"], rows))
    targets = [Target("pmsn, loop / kernel", times.ratio("pmsn, loop", KERNEL), 10)]
    # what runs no loop over time in Python stands in the table, but nothing was promised against it
    loops = [form.label for form in peer_forms if form.layer is not None]
    targets += [Target(f"lif of {name} / pmsn kernel", times.ratio(name, KERNEL), 1) for name in loops]
    write(given.out, "pmsn", {"line": line, "peers": here, "shape": shape, "times": times.to_dict()}, targets)


if __name__ == "__main__":
    main()
