"""The functions that emitted networks call, each only where it is needed."""

from __future__ import annotations

_LAYER_NORM = """
static void layer_norm_{kind}(real *to, const {type} *x, const real *weight, const real *bias, real epsilon, uint32_t n)
{{
    real mean = 0, variance = 0;
    for (uint32_t i = 0; i < n; ++i) mean += x[i];
    mean /= (real)n;
    for (uint32_t i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
    const real factor = 1 / sqrt_real(variance / (real)n + epsilon);
    for (uint32_t i = 0; i < n; ++i) to[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}}"""

_SUMS = """
/* sums = weight x, bytes stored by column, where x is not 0. */
static void sum_columns_{kind}({sum} *sums, const int8_t *weight, const {type} *x, uint32_t inputs, uint32_t outputs)
{{
    for (uint32_t o = 0; o < outputs; ++o) sums[o] = 0;
    for (uint32_t i = 0; i < inputs; ++i, weight += outputs)
        if (x[i] != 0)
            for (uint32_t o = 0; o < outputs; ++o) sums[o] += {term};
}}"""

_ADD_SCALED = """
static void add_scaled_{name}(real *to, const {sum} *sums, const real *scale, uint32_t n)
{{
    for (uint32_t i = 0; i < n; ++i) to[i] += scale[i] * {value};
}}"""

_COLUMNS = """
/* to += weight x, stored by column: {what}. */
static void add_columns_{kind}(real *to, const real *weight, const {type} *x, uint32_t inputs, uint32_t outputs)
{{
    for (uint32_t i = 0; i < inputs; ++i, weight += outputs)
        if (x[i] != 0)
            for (uint32_t o = 0; o < outputs; ++o) to[o] += {term};
}}"""

_COPY = """
static void copy_{kind}({type} *to, const {type} *from, uint32_t n)
{{
    for (uint32_t i = 0; i < n; ++i) to[i] = from[i];
}}"""

HELPERS: dict[str, str] = {
    "copy_real": _COPY.format(kind="real", type="real"),
    "copy_spike": _COPY.format(kind="spike", type="uint8_t"),
    "fill": """
static void fill(real *to, real value, uint32_t n)
{
    for (uint32_t i = 0; i < n; ++i) to[i] = value;
}""",
    "add": """
static void add(real *to, const real *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; ++i) to[i] += from[i];
}""",
    "take_row": """
/* The row that is due, which is empty again behind it. */
static void take_row(real *to, real *row, uint32_t n)
{
    for (uint32_t i = 0; i < n; ++i) {
        to[i] = row[i];
        row[i] = 0;
    }
}""",
    "add_columns_spikes": _COLUMNS.format(
        kind="spikes", type="uint8_t", term="weight[o]", what="the columns of the neurons that fired are added"
    ),
    "add_columns_reals": _COLUMNS.format(kind="reals", type="real", term="x[i] * weight[o]", what="zeros are skipped"),
    "sum_columns_spikes": _SUMS.format(kind="spikes", sum="int32_t", type="uint8_t", term="weight[o]"),
    "sum_columns_reals": _SUMS.format(kind="reals", sum="real", type="real", term="x[i] * (real)weight[o]"),
    "add_scaled_sums": _ADD_SCALED.format(name="sums", sum="int32_t", value="(real)sums[i]"),
    "add_scaled_reals": _ADD_SCALED.format(name="reals", sum="real", value="sums[i]"),
    "layer_norm_reals": _LAYER_NORM.format(kind="reals", type="real"),
    "layer_norm_spikes": _LAYER_NORM.format(kind="spikes", type="uint8_t"),
}
"""Text by name."""
