"""C text of packing: spikes to bits and back at the speed of memory."""

from __future__ import annotations

import torch

CODE = """\
/* Written by spikeworks: spikes as bits, neuron i of a row in bit i % 8 of byte i / 8. */
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) || defined(__AVX__)
#include <immintrin.h>
#endif

typedef {real} real;
enum {{ RUN = 64 /* bytes of bits between two looks at what was refused */ }};

/* Which of eight values are not zero; what is neither 0 nor 1 is noted in *other. */
static inline unsigned eight(const real *x, unsigned *other) {{
#if defined(__AVX512F__) && {single}
    const __m512 v = _mm512_castps256_ps512(_mm256_loadu_ps(x));
    const unsigned zero = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_EQ_OQ) & 255u;
    const unsigned one = _mm512_cmp_ps_mask(v, _mm512_set1_ps(1), _CMP_EQ_OQ) & 255u;
#elif defined(__AVX512F__)
    const __m512d v = _mm512_loadu_pd(x);
    const unsigned zero = _mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_EQ_OQ);
    const unsigned one = _mm512_cmp_pd_mask(v, _mm512_set1_pd(1), _CMP_EQ_OQ);
#elif defined(__AVX__) && {single}
    const __m256 v = _mm256_loadu_ps(x);
    const unsigned zero = _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_EQ_OQ));
    const unsigned one = _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(1), _CMP_EQ_OQ));
#else
    unsigned zero = 0, one = 0;
    for (int k = 0; k < 8; ++k) {{
        zero |= (unsigned)(x[k] == 0) << k;
        one |= (unsigned)(x[k] == 1) << k;
    }}
#endif
    *other |= (zero | one) ^ 255u;
    return zero ^ 255u;
}}

/* Bytes first..last-1 of bits from x [count]. Returns 1, early, where check is set and a value
   is neither 0 nor 1. */
int pack(int64_t count, const real *x, uint8_t *bits, int check, int64_t first, int64_t last) {{
    for (int64_t run = first; run < last; run += RUN) {{
        const int64_t end = run + RUN < last ? run + RUN : last;
        const int64_t whole = end * 8 <= count ? end : count / 8;
        unsigned other = 0;
        for (int64_t b = run; b < whole; ++b) bits[b] = (uint8_t)eight(x + 8 * b, &other);
        if (whole < end) {{
            real rest[8] = {{0}};
            memcpy(rest, x + 8 * whole, (size_t)(count - 8 * whole) * sizeof(real));
            bits[whole] = (uint8_t)eight(rest, &other);
        }}
        if (check && other) return 1;
    }}
    return 0;
}}

/* Values of bytes first..last-1 into x [count]. */
void unpack(int64_t count, const uint8_t *bits, real *x, int64_t first, int64_t last) {{
    const int64_t whole = last * 8 <= count ? last : count / 8;
#if defined(__AVX512F__) && {single}
    const __m512 one = _mm512_set1_ps(1);
    int64_t b = first;
    for (; b + 2 <= whole; b += 2)
        _mm512_storeu_ps(x + 8 * b, _mm512_maskz_mov_ps((__mmask16)(bits[b] | bits[b + 1] << 8), one));
    for (int64_t i = 8 * b; i < 8 * last && i < count; ++i) x[i] = (real)(bits[i / 8] >> i % 8 & 1);
#else
    real table[256][8];
    for (int b = 0; b < 256; ++b)
        for (int k = 0; k < 8; ++k) table[b][k] = (real)(b >> k & 1);
    for (int64_t b = first; b < whole; ++b) memcpy(x + 8 * b, table[bits[b]], sizeof table[0]);
    if (whole < last) memcpy(x + 8 * whole, table[bits[whole]], (size_t)(count - 8 * whole) * sizeof(real));
#endif
}}
"""


def source(dtype: torch.dtype) -> str:
    """The C text for float32 or float64."""
    single = dtype == torch.float32
    return CODE.format(real="float" if single else "double", single=int(single))
