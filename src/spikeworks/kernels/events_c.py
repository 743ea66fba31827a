"""C text of the event-driven products: rows of weights added where a bit is set.

Three loops share one shape. A tile of up to sixteen vectors of one row is held in registers,
the places of the ones of a row of bits are listed first, and the list is walked with one load
and one addition a vector: no branch depends on a single bit. What the list selects from (the
tile of the weights, or of a block of gradients) fits the second-level cache.
"""

from __future__ import annotations

from pathlib import Path

import torch

BLOCK = 128
"""Rows whose gradients are gathered together: 128 KiB in float32, half of a small second-level cache."""
_SECOND_LEVEL = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
LEAST_TILE, MOST_TILE = 256 * 1024, 1024 * 1024
"""Bounds of :func:`tile_bytes`."""
ALIGN = 16
"""Rows of weights are padded to a multiple of it, which every vector width divides."""

CODE = """\
/* Written by spikeworks: products with rows of bits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "eight bytes of bits are read as one little-endian word"
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
#define VECTOR 64
#define STREAM(p, v) _mm512_stream_si512((__m512i *)(p), (__m512i)(v))
#elif defined(__AVX__)
#define VECTOR 32
#define STREAM(p, v) _mm256_stream_si256((__m256i *)(p), (__m256i)(v))
#elif defined(__SSE2__)
#define VECTOR 16
#define STREAM(p, v) _mm_stream_si128((__m128i *)(p), (__m128i)(v))
#else
#define VECTOR 16
#define STREAM(p, v) (*(vec *)(p) = (v))
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define WIDEST 16 /* half of the 32 registers */
#else
#define WIDEST 8
#endif

#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast") /* sums of products round as they come, here as in any matrix product */
#endif

typedef {real} real;
typedef real vec __attribute__((vector_size(VECTOR), aligned(sizeof(real)), may_alias));
typedef int{bits}_t order __attribute__((vector_size(VECTOR)));
#define LANES (VECTOR * 8 / {bits})
enum {{ BLOCK = {block}, SPILL = 16, TILE_BYTES = {tile} }};
#define INLINE static inline __attribute__((always_inline))
#define EACH _Pragma("GCC unroll 16") for (int k = 0; k < width; ++k)
#define AT(p) (((const vec *)(p))[k])
/* call f with the widest constant tile that fits into the columns c..end-1 and into a panel, and go on behind it */
#define TILES(f, c, end, panel, ...) \\
    for (int64_t at = (c), left; at < (end);) {{ \\
        left = (((end) < at - at % panel + panel ? (end) : at - at % panel + panel) - at + LANES - 1) / LANES; \\
        if (WIDEST >= 16 && left >= 16) {{ f(WIDEST, at, panel, __VA_ARGS__); at += WIDEST * LANES; }} \\
        else if (left >= 8) {{ f(8, at, panel, __VA_ARGS__); at += 8 * LANES; }} \\
        else if (left >= 4) {{ f(4, at, panel, __VA_ARGS__); at += 4 * LANES; }} \\
        else if (left == 3) {{ f(3, at, panel, __VA_ARGS__); at += 3 * LANES; }} \\
        else if (left == 2) {{ f(2, at, panel, __VA_ARGS__); at += 2 * LANES; }} \\
        else {{ f(1, at, panel, __VA_ARGS__); at += LANES; }} \\
    }}

/* -- weights lie in panels: some columns of all inputs, then the next columns ---------------- */

/* Columns of a panel. Whole rows would put the pieces of a tile at the same few places of a cache. */
static int64_t panel_for(int64_t inputs) {{
    int64_t columns = WIDEST * LANES;
    while (columns > 4 * LANES && inputs * columns * (int64_t)sizeof(real) > TILE_BYTES) columns /= 2;
    return columns;
}}

/* Columns of the panel that holds column c, of so many in all. */
INLINE int64_t step_at(int64_t c, int64_t panel, int64_t stride) {{
    const int64_t left = stride - (c - c % panel);
    return left < panel ? left : panel;
}}

/* Where column c of input 0 lies; the same column of the next input lies step_at behind it. */
INLINE int64_t place_at(int64_t c, int64_t panel, int64_t inputs) {{
    return (c - c % panel) * inputs + c % panel;
}}

/* weight [outputs, inputs] into panels of stride columns in all, zero behind the outputs, or back again */
#define TURN(to, from) \\
    const int64_t panel = panel_for(inputs); \\
    for (int64_t p = 0; p < stride; p += panel) {{ \\
        const int64_t step = step_at(p, panel, stride); \\
        for (int64_t square = 0; square < inputs; square += 16) \\
            for (int64_t k = 0; k < step; ++k) \\
                for (int64_t j = square; j < inputs && j < square + 16; ++j) {{ \\
                    real *restrict in_panel = panels + p * inputs + j * step + k; \\
                    if (p + k < outputs) to = from; \\
                    else *in_panel = 0; \\
                }} \\
    }}

void turn(int64_t inputs, int64_t outputs, int64_t stride, const real *weight, real *panels) {{
    TURN(*in_panel, weight[(p + k) * inputs + j])
}}

void turn_back(int64_t inputs, int64_t outputs, int64_t stride, real *weight, real *panels) {{
    TURN(weight[(p + k) * inputs + j], *in_panel)
}}

/* -- lists of ones --------------------------------------------------------------------------- */

/* Bits 8 * byte .. 8 * byte + 63 of a row of so many bytes; zero behind its end. */
INLINE uint64_t word_at(const uint8_t *row, int64_t byte, int64_t bytes) {{
    uint64_t word = 0;
    if (byte + 8 <= bytes) memcpy(&word, row + byte, 8);
    else for (int64_t k = byte; k < bytes; ++k) word |= (uint64_t)row[k] << 8 * (k - byte);
    return word;
}}

/* Append the places of the ones; up to SPILL places behind them are overwritten. */
INLINE uint32_t *append(uint32_t *list, uint64_t word, uint32_t base) {{
#if defined(__AVX512F__)
    const __m512i from_0 = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int quarter = 0; quarter < 4; ++quarter) {{
        const __mmask16 ones = (__mmask16)(word >> 16 * quarter);
        const __m512i all = _mm512_add_epi32(from_0, _mm512_set1_epi32((int)base + 16 * quarter));
        _mm512_storeu_si512(list, _mm512_maskz_compress_epi32(ones, all));
        list += __builtin_popcount(ones);
    }}
    return list;
#else
    const int ones = __builtin_popcountll(word);
    for (int done = 0; done < ones; done += 4) /* four at a time: fewer branches to guess */
        for (int k = 0; k < 4; ++k) {{
            list[done + k] = base + (word ? (uint32_t)__builtin_ctzll(word) : 0);
            word &= word - 1;
        }}
    return list + ones;
#endif
}}

INLINE int64_t places(const uint8_t *row, int64_t bytes, uint32_t *list) {{
    uint32_t *end = list;
    for (int64_t b = 0; b < bytes; b += 8) end = append(end, word_at(row, b, bytes), (uint32_t)(8 * b));
    return end - list;
}}

/* -- y = bias + the rows of the weights that a row of bits selects ------------------------- */

INLINE void select_rows(const int width, int64_t c, int64_t panel, int64_t bytes, int64_t outputs, int64_t stride,
                        const uint8_t *bits, const real *weight, const real *bias, real *y, int stream, uint32_t *list,
                        int64_t first, int64_t last) {{
    const int64_t room = outputs - c < width * LANES ? outputs - c : width * LANES;
    const int64_t step = step_at(c, panel, stride);
    const real *column = weight + place_at(c, panel, 8 * bytes);
    for (int64_t r = first; r < last; ++r) {{
        const int64_t n = places(bits + r * bytes, bytes, list);
        vec sum[WIDEST];
        EACH sum[k] = AT(bias + c);
        for (int64_t s = 0; s < n; ++s) {{
            const real *row = column + list[s] * step;
            EACH sum[k] += AT(row);
        }}
        real *to = y + r * outputs + c;
        if (stream) EACH STREAM(to + k * LANES, sum[k]);
        else if (room == width * LANES) EACH ((vec *)to)[k] = sum[k];
        else {{
            vec out[WIDEST];
            EACH out[k] = sum[k];
            memcpy(to, out, (size_t)room * sizeof(real));
        }}
    }}
}}

/* bits: rows of `bytes` bytes. weight: panels, bias: [stride], y: [rows, outputs].
   Rows first..last-1 are done. Where stream is set the rows of y are whole vectors at multiples of
   64 bytes, and written past the caches. Returns 1 where memory is short. */
int forward(int64_t bytes, int64_t outputs, int64_t stride, const uint8_t *bits, const real *weight, const real *bias,
            real *y, int stream, int64_t first, int64_t last) {{
    uint32_t *list = malloc((size_t)(8 * bytes + SPILL) * sizeof *list);
    if (!list) return 1;
    const int64_t panel = panel_for(8 * bytes);
    TILES(select_rows, 0, outputs, panel, bytes, outputs, stride, bits, weight, bias, y, stream, list, first, last)
#if defined(__SSE2__)
    if (stream) _mm_sfence();
#endif
    free(list);
    return 0;
}}

/* -- gradient of the weights: for each input, the sum of the gradients of the rows it fired in */

/* A square of 64 x 64 bits about its diagonal: halves, quarters, ... are exchanged. */
INLINE void transpose(uint64_t *square) {{
    uint64_t mask = 0x00000000FFFFFFFFull;
    for (int d = 32; d; d >>= 1, mask ^= mask << d)
        for (int k = 0; k < 64; k = ((k | d) + 1) & ~d) {{
            const uint64_t swap = ((square[k] >> d) ^ square[k | d]) & mask;
            square[k] ^= swap << d;
            square[k | d] ^= swap;
        }}
}}

typedef struct {{
    uint64_t *turned; /* for each input of the part, the rows of the block in which it fired */
    real *padded;     /* a tile of gradients that is narrower than its vectors */
    uint32_t *list;
}} scratch;

/* gw: panels of `all` inputs, of which j0..j1-1 are done. */
INLINE void gather_rows(const int width, int64_t c, int64_t panel, int64_t rows, int64_t outputs, int64_t stride,
                        const real *g, real *gw, real *gb, int64_t all, int64_t j0, int64_t j1, scratch s) {{
    const int64_t room = outputs - c < width * LANES ? outputs - c : width * LANES;
    const int64_t step_w = step_at(c, panel, stride);
    real *column = gw + place_at(c, panel, all) + j0 * step_w;
    const real *tile = g + c;
    int64_t step = outputs;
    if (room < width * LANES) {{
        step = width * LANES;
        memset(s.padded, 0, (size_t)(rows * step) * sizeof(real));
        for (int64_t r = 0; r < rows; ++r)
            memcpy(s.padded + r * step, tile + r * outputs, (size_t)room * sizeof(real));
        tile = s.padded;
    }}
    if (gb) {{ /* in order, which also brings the tile into the cache */
        vec sum[WIDEST];
        EACH sum[k] = AT(gb + c);
        for (int64_t r = 0; r < rows; ++r) EACH sum[k] += AT(tile + r * step);
        EACH ((vec *)(gb + c))[k] = sum[k];
    }}
    for (int64_t j = 0; j < j1 - j0; ++j) {{
        uint32_t *end = s.list;
        for (int w = 0; w < BLOCK / 64; ++w) end = append(end, s.turned[j * (BLOCK / 64) + w], (uint32_t)(64 * w));
        const int64_t n = end - s.list;
        real *to = column + j * step_w;
        vec sum[WIDEST];
        EACH sum[k] = AT(to);
        for (int64_t i = 0; i < n; ++i) {{
            const real *row = tile + s.list[i] * step;
            EACH sum[k] += AT(row);
        }}
        EACH ((vec *)to)[k] = sum[k];
    }}
}}

/* bits: [rows, bytes]. g: [rows, outputs]. Adds to the columns c0..c1-1 of gw, panels, for the inputs j0..j1-1, and
   to the same columns of gb [stride], the sum of all rows, unless it is NULL. c0 is a multiple of the padding of the
   weights, j0 of 64. Returns 1 where memory is short. */
int gather(int64_t rows, int64_t bytes, int64_t outputs, int64_t stride, const uint8_t *bits, const real *g, real *gw,
           real *gb, int64_t c0, int64_t c1, int64_t j0, int64_t j1) {{
    const int64_t columns = c1 < outputs ? c1 : outputs, words = (j1 - j0 + 63) / 64;
    const int64_t panel = panel_for(8 * bytes);
    scratch s = {{
        malloc((size_t)(words * 64 * (BLOCK / 64)) * sizeof(uint64_t)),
        malloc((size_t)BLOCK * WIDEST * LANES * sizeof(real)),
        malloc((BLOCK + SPILL) * sizeof(uint32_t)),
    }};
    const int failed = !s.turned || !s.padded || !s.list;
    for (int64_t r = 0; r < rows && !failed; r += BLOCK) {{
        const int64_t n = rows - r < BLOCK ? rows - r : BLOCK;
        for (int64_t w = 0; w < words; ++w)
            for (int64_t q = 0; q < BLOCK / 64; ++q) {{
                uint64_t square[64];
                for (int64_t k = 0; k < 64; ++k)
                    square[k] = 64 * q + k < n ? word_at(bits + (r + 64 * q + k) * bytes, j0 / 8 + 8 * w, bytes) : 0;
                transpose(square);
                for (int64_t k = 0; k < 64; ++k) s.turned[(64 * w + k) * (BLOCK / 64) + q] = square[k];
            }}
        TILES(gather_rows, c0, columns, panel, n, outputs, stride, g + r * outputs, gw, gb, 8 * bytes, j0, j1, s)
    }}
    free(s.turned);
    free(s.padded);
    free(s.list);
    return failed;
}}

/* -- gradient of the input, where a bit says that it is wanted ------------------------------ */

#if defined(__clang__)
#define SHUFFLED(v, ...) __builtin_shufflevector(v, v, __VA_ARGS__)
#else
#define SHUFFLED(v, ...) __builtin_shuffle(v, (order){{__VA_ARGS__}})
#endif
#define FOUR(d, k) (k) ^ (d), (k + 1) ^ (d), (k + 2) ^ (d), (k + 3) ^ (d)
#if LANES == 16
#define SWAPPED(v, d) SHUFFLED(v, FOUR(d, 0), FOUR(d, 4), FOUR(d, 8), FOUR(d, 12))
#elif LANES == 8
#define SWAPPED(v, d) SHUFFLED(v, FOUR(d, 0), FOUR(d, 4))
#elif LANES == 4
#define SWAPPED(v, d) SHUFFLED(v, FOUR(d, 0))
#else
#define SWAPPED(v, d) SHUFFLED(v, (d), 1 ^ (d))
#endif

INLINE real total(vec v) {{
#if LANES > 8
    v += SWAPPED(v, 8);
#endif
#if LANES > 4
    v += SWAPPED(v, 4);
#endif
#if LANES > 2
    v += SWAPPED(v, 2);
#endif
    v += SWAPPED(v, 1);
    return v[0];
}}

INLINE void dot_rows(const int width, int64_t c, int64_t panel, int64_t bytes, int64_t outputs, int64_t stride,
                     const uint8_t *active, const real *weight, const real *g, real *gx, uint32_t *list, int64_t first,
                     int64_t last) {{
    const int64_t room = outputs - c < width * LANES ? outputs - c : width * LANES;
    const int64_t step = step_at(c, panel, stride);
    const real *base = weight + place_at(c, panel, 8 * bytes);
    for (int64_t r = first; r < last; ++r) {{
        const int64_t n = places(active + r * bytes, bytes, list);
        real *to = gx + r * 8 * bytes;
        vec row[WIDEST];
        if (room == width * LANES) EACH row[k] = AT(g + r * outputs + c);
        else {{
            vec in[WIDEST];
            memset(in, 0, sizeof in);
            memcpy(in, g + r * outputs + c, (size_t)room * sizeof(real));
            EACH row[k] = in[k];
        }}
        if (c == 0) memset(to, 0, (size_t)(8 * bytes) * sizeof(real));
        for (int64_t s = 0; s < n; ++s) {{
            const real *column = base + list[s] * step;
            vec even = {{0}}, odd = {{0}}; /* two sums: one would wait for each of its additions */
            EACH {{
                if (k % 2) odd += row[k] * AT(column);
                else even += row[k] * AT(column);
            }}
            to[list[s]] += total(even + odd);
        }}
    }}
}}

/* active: rows of `bytes` bytes. g: [rows, outputs]. weight: panels, zero behind the outputs.
   gx: [rows, 8 * bytes], zero where no bit is set. Returns 1 where memory is short. */
int masked(int64_t bytes, int64_t outputs, int64_t stride, const uint8_t *active, const real *weight, const real *g,
           real *gx, int64_t first, int64_t last) {{
    uint32_t *list = malloc((size_t)(8 * bytes + SPILL) * sizeof *list);
    if (!list) return 1;
    const int64_t panel = panel_for(8 * bytes);
    TILES(dot_rows, 0, outputs, panel, bytes, outputs, stride, active, weight, g, gx, list, first, last)
    free(list);
    return 0;
}}
"""


def source(dtype: torch.dtype) -> str:
    """The C text for float32 or float64."""
    single = dtype == torch.float32
    return CODE.format(real="float" if single else "double", bits=8 * dtype.itemsize, block=BLOCK, tile=tile_bytes())


def tile_bytes() -> int:
    """How much of the weights is walked at once: half of the second-level cache, the other half is for what passes."""
    try:
        cache = 1024 * int(_SECOND_LEVEL.read_text(encoding="ascii").strip().removesuffix("K"))
    except (OSError, ValueError):  # not Linux, or a machine that does not tell
        return 2 * LEAST_TILE
    return min(max(cache // 2, LEAST_TILE), MOST_TILE)
