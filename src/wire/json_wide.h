#pragma once

#include "wire/json_scan.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

/*
 * Skipping far over the plain bytes of long strings, with what this machine has: AVX2, else
 * SSE2. Private to wire/json.c, which does the same in small steps first, as most strings are
 * short. Not inline, but in a header: where the compiler sees what the callee does to registers
 * the caller keeps its own, which it needs for every value of a text.
 */

#ifdef __SSE2__
enum { WIDE_WIDTH = 32 };

#define WIDE_AVX2 __attribute__((target("avx2")))

/* As scan_odd_signs, for twice as many bytes. */
WIDE_AVX2 static inline __m256i wide_odd_signs(const char *p)
{
    __m256i block = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i quote = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('\\'));
    __m256i strange = _mm256_subs_epi8(block, _mm256_set1_epi8(0x20));
    return _mm256_or_si256(_mm256_or_si256(quote, backslash), strange);
}

/* Whether all bytes of four blocks are plain. */
WIDE_AVX2 static inline bool wide_are_plain(const char *p)
{
    __m256i front = _mm256_or_si256(wide_odd_signs(p), wide_odd_signs(p + WIDE_WIDTH));
    __m256i back = _mm256_or_si256(wide_odd_signs(p + 2 * (ptrdiff_t)WIDE_WIDTH),
                                   wide_odd_signs(p + 3 * (ptrdiff_t)WIDE_WIDTH));
    return _mm256_movemask_epi8(_mm256_or_si256(front, back)) == 0;
}

WIDE_AVX2 static __attribute__((noinline)) const char *wide_skip_avx2(const char *p,
                                                                      const char *end)
{
    enum { STEP = 4 * WIDE_WIDTH };
    while (end - p >= STEP && wide_are_plain(p)) {
        p += STEP;
    }
    return p;
}

static inline const char *wide_skip_sse2(const char *p, const char *end)
{
    enum { STEP = 4 * SCAN_WIDTH };
    while (end - p >= STEP && scan_are_plain(p)) {
        p += STEP;
    }
    return p;
}

/* From p on over plain bytes in whole steps: what is left of them is shorter than a step, or at
 * the end of the text. */
static inline const char *wide_skip(const char *p, const char *end)
{
    if (__builtin_cpu_supports("avx2")) {
        p = wide_skip_avx2(p, end);
    }
    return wide_skip_sse2(p, end);
}
#endif
