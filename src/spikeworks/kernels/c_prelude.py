"""What every emitted C source starts with: types, sizes, the exponential, and the handling of whole rows."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def c_prelude(dtype: torch.dtype, sizes: Mapping[str, int]) -> str:
    """The head of a source for ``dtype`` (float32 or float64), with ``sizes`` as constants of these names."""
    single = dtype == torch.float32
    constants = ", ".join(f"{name} = {value}" for name, value in sizes.items())
    head = _HEAD.format(real="float" if single else "double", bits=32 if single else 64, sizes=constants)
    rows = _ROWS.replace("{four}", _FOUR_FLOAT if single else _FOUR_DOUBLE)
    return head + c_exponential(dtype) + rows


def c_exponential(dtype: torch.dtype) -> str:
    """``FUSED``, ``exp_real`` and ``sigmoid_real`` for the type ``real``; they need math.h and stdint.h."""
    single = dtype == torch.float32
    fused = _FUSED.replace("{suffix}", "f" if single else "")
    return fused + (_EXP_FLOAT if single else _EXP_DOUBLE) + _DERIVED


_HEAD = """\
/* Emitted by spikeworks from a traced neuron step. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef {real} real;
typedef int{bits}_t truth;
enum {{ {sizes},
       ROW = BLOCK + 16 /* the pad keeps rows from meeting at the same place of a 4 KiB page */,
       AHEAD = 2 /* rows fetched ahead */, STREAM = 4 << 20 /* bytes from which results go past the cache */ }};
"""

_FUSED = """
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define FUSED(a, b, c) __builtin_fma{suffix}(a, b, c)
#else
#define FUSED(a, b, c) ((a) * (b) + (c))
#endif
"""

_EXP_FLOAT = """
/* exp without a branch, so that loops around it become vector code; error below 2 ulp. Adding 1.5 * 2^23
   rounds to a whole number k and leaves it in the low bits, from where it becomes the exponent of 2^k. */
static inline real exp_real(real x) {
    union { float f; uint32_t i; } rounded = { FUSED(x, 1.44269504088896341f, 12582912.0f) }, scale;
    const real k = rounded.f - 12582912.0f;
    const real r = FUSED(k, 2.12194440e-4f, FUSED(k, -0.693359375f, x));
    const real h = FUSED(FUSED(FUSED(1.9875691500e-4f, r, 1.3981999507e-3f), r, 8.3334519073e-3f), r, 4.1665795894e-2f);
    const real q = FUSED(FUSED(h, r, 1.6666665459e-1f), r, 5.0000001201e-1f);
    const real p = FUSED(q * r, r, r) + 1.0f;
    scale.i = (rounded.i << 23) + 0x3f800000u;
    const real y = p * scale.f;
    return x > 88.7f ? INFINITY : (x < -87.3f ? 0.0f : y);
}
"""
_EXP_DOUBLE = "\nstatic inline real exp_real(real x) { return exp(x); }\n"
_DERIVED = """static inline real sigmoid_real(real x) { return 1 / (1 + exp_real(-x)); }
"""


_ROWS = """
/* Rows of one array lie a whole layer apart, out of the reach of the processor's own prefetching. */
static inline void fetch_row(const real *p, int64_t n) {
    for (int64_t i = 0; i < n; i += 64 / sizeof(real)) __builtin_prefetch(p + i, 0, 3);
}

#if defined(__SSE2__)
#include <emmintrin.h>
/* Whether an array is too large for the cache and aligned for streaming: plain stores would read it first. */
static inline int streams(const real *p, int64_t T, int64_t M) {
    return T * M * (int64_t)sizeof(real) >= STREAM && M % 16 == 0 && (uintptr_t)p % 64 == 0;
}
static inline void stream_row(real *restrict to, const real *restrict from, int64_t n) {
    const __m128i *source = (const __m128i *)from;
    __m128i *target = (__m128i *)to;
    for (int64_t i = 0; i < n * (int64_t)sizeof(real) / 16; ++i)
        _mm_stream_si128(target + i, _mm_load_si128(source + i));
}
static inline void finish_stream(void) { _mm_sfence(); }
/* Four values as four words, all ones where they are not 0. */
#define FOUR(p) {four}
#else
static inline int streams(const real *p, int64_t T, int64_t M) { return 0; }
static inline void stream_row(real *restrict to, const real *restrict from, int64_t n) { }
static inline void finish_stream(void) { }
#endif
/* n values, a multiple of 8, as bits: 1 where they are not 0. */
static inline void pack_row(const real *restrict y, uint8_t *restrict bits, int64_t n) {
    int64_t i = 0;
#if defined(__SSE2__)
    for (; i + 16 <= n; i += 16) {
        const __m128i a = FOUR(y + i), b = FOUR(y + i + 4), c = FOUR(y + i + 8), d = FOUR(y + i + 12);
        const int two = _mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
        bits[i / 8] = (uint8_t)two;
        bits[i / 8 + 1] = (uint8_t)(two >> 8);
    }
#endif
    for (; i < n; i += 8) {
        uint8_t byte = 0;
        for (int k = 0; k < 8; ++k) byte |= (uint8_t)((y[i + k] != 0) << k);
        bits[i / 8] = byte;
    }
}
"""

_FOUR_FLOAT = "_mm_castps_si128(_mm_cmpneq_ps(_mm_loadu_ps(p), _mm_setzero_ps()))"
_FOUR_DOUBLE = (
    "_mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(_mm_cmpneq_pd(_mm_loadu_pd(p), _mm_setzero_pd())), "
    "_mm_castpd_ps(_mm_cmpneq_pd(_mm_loadu_pd((p) + 2), _mm_setzero_pd())), 0x88))"
)
