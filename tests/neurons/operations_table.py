"""Operations a neuron and step: what the code counts beside what one counts in the published equations.

Plain data, for the test that holds it against the code and for the documentation's page on neurons.
Letters: N neurons of the layer, T steps, K branches, k taps or steps of a window; figures are those
of the default configuration.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One neuron.

    Attributes:
        counted: multiplications, additions, comparisons, special functions, from the traced step.
        published: multiplications in the equations, and special functions where there are some, as the
            survey that we follow gives them; empty where it has no figure.
        reason: why ``counted`` differs; empty where it does not.
    """

    counted: tuple[str, str, str, str]
    published: str = ""
    reason: str = ""


LETTERS = {"T": 128, "K": 4, "k": 16}
"""Values of the default configurations."""

TABLE = {
    "adaptive-tc-lif": Row(("9", "12", "1", "2")),
    "adlif": Row(("4", "7", "1", "0"), "3–4"),
    "alif": Row(("3", "6", "1", "0"), "3–4"),
    "bhrf": Row(("6", "7", "1", "0")),
    "brf": Row(
        ("7", "7", "1", "0"),
        "4",
        "beside the rotation: the refractory trace decays and damps, and the input has a gain, one product each",
    ),
    "ce-lif": Row(("3", "7", "1", "0"), "3"),
    "clif": Row(("3", "6", "1", "2"), "2 + 2 special", "(1 - decay) v inside the sigmoid is a third product"),
    "cuba-lif": Row(("2", "4", "1", "0"), "2"),
    "dh-lif": Row(("5", "14", "1", "0"), "K + 1"),
    "glif": Row(("4", "7", "1", "0"), "5", "the soft reset multiplies by a spike, which selects"),
    "gsn": Row(("1", "5", "1", "1"), "2 + 1 special", "f c + (1 - f) y is computed as c + (1 - f) (y - c)"),
    "i-lif": Row(
        ("2", "6", "0", "1"),
        "1",
        "the potential is divided by the threshold, and the reset is the count times the threshold",
    ),
    "if": Row(("0", "3", "1", "0")),
    "izhikevich": Row(("7", "11", "1", "0"), "7"),
    "klif": Row(("2", "4", "1", "0")),
    "lif": Row(("1", "3", "1", "0"), "1"),
    "lmh": Row(("4", "5", "1", "0")),
    "lstm-lif": Row(("2", "6", "1", "0"), "2"),
    "ltc": Row(("4 N + 3", "4 N + 7", "1", "2"), "4 N + 3 + 2 special"),
    "masked-psn": Row(("15.06", "15.06", "1", "0"), "k", "the first k - 1 steps see fewer inputs; the mean of 128"),
    "plif": Row(("1", "3", "1", "0"), "1"),
    "pmsn": Row(
        ("26", "25", "3", "1"),
        "33",
        "the input coefficient is folded into the read-out, two products fewer in each of four compartments; "
        "the modulo reset is a division and a product",
    ),
    "psn": Row(("128", "128", "1", "0"), "T"),
    "rf": Row(("4", "5", "3", "0"), "4"),
    "se-adlif": Row(("7", "8", "1", "0")),
    "sliding-psn": Row(("16", "16", "1", "0"), "k"),
    "stochastic-psn": Row(("16", "21", "1", "1")),
    "tc-lif": Row(("2", "6", "1", "0"), "2"),
    "two-compartment": Row(("4", "6", "1", "0")),
}
