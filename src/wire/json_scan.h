#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * Skipping over JSON text; private to wire/json*.c. These are the innermost loops of everything
 * that touches JSON, so they are inline although some are longer than a header's usual five
 * lines. None reads at or past `end`.
 */

static inline bool scan_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Over white space, of which there is most often none. */
static inline const char *scan_space(const char *p, const char *end)
{
    while (p < end && (unsigned char)*p <= ' ' && scan_is_space(*p)) {
        p++;
    }
    return p;
}

static inline bool scan_is_plain(char c)
{
    unsigned char b = (unsigned char)c;
    return b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
}

/* To the first byte of a string that needs a look: quote, backslash, control or not ASCII. */
static inline const char *scan_plain_portable(const char *p, const char *end)
{
    while (p < end && scan_is_plain(*p)) {
        p++;
    }
    return p;
}

#ifdef __SSE2__
enum { SCAN_WIDTH = 16 };

static inline __m128i scan_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i scan_equal(__m128i block, char c)
{
    return _mm_cmpeq_epi8(block, _mm_set1_epi8(c));
}

static inline unsigned scan_mask(__m128i hits)
{
    return (unsigned)_mm_movemask_epi8(hits);
}
#endif

#ifdef __SSE2__
/* The sign is set of each byte of a block that is not plain. */
static inline __m128i scan_odd_signs(const char *p)
{
    __m128i block = scan_load(p);
    __m128i quoting = _mm_or_si128(scan_equal(block, '"'), scan_equal(block, '\\'));
    /* The sign is set, and stays, below the space and, as this is signed, where not ASCII. */
    __m128i strange = _mm_subs_epi8(block, _mm_set1_epi8(0x20));
    return _mm_or_si128(quoting, strange);
}

/* Bit n is set where p[n] is not plain. */
static inline unsigned scan_odd(const char *p)
{
    return scan_mask(scan_odd_signs(p));
}

/* Whether all bytes of four blocks are plain. */
static inline bool scan_are_plain(const char *p)
{
    __m128i front = _mm_or_si128(scan_odd_signs(p), scan_odd_signs(p + SCAN_WIDTH));
    __m128i back = _mm_or_si128(scan_odd_signs(p + 2 * (ptrdiff_t)SCAN_WIDTH),
                                scan_odd_signs(p + 3 * (ptrdiff_t)SCAN_WIDTH));
    return scan_mask(_mm_or_si128(front, back)) == 0;
}

/* Where the lowest bit of a mask is. */
static inline size_t scan_first(unsigned mask)
{
    return (unsigned)__builtin_ctz(mask);
}
#endif

/* As scan_plain_portable, sixteen bytes at a time where the machine can. */
static inline const char *scan_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    while (end - p >= SCAN_WIDTH) {
        unsigned mask = scan_odd(p);
        if (mask != 0) {
            return p + scan_first(mask);
        }
        p += SCAN_WIDTH;
    }
#endif
    return scan_plain_portable(p, end);
}

/* Eight digits at once: no byte but these keeps its upper half when six is added. */
static inline bool scan_are_digits(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return ((w & (w + 0x0606060606060606)) & 0xf0f0f0f0f0f0f0f0) == 0x3030303030303030;
}

/* To the next quote or backslash. */
static inline const char *scan_quoting(const char *p, const char *end)
{
#ifdef __SSE2__
    while (end - p >= SCAN_WIDTH) {
        __m128i block = scan_load(p);
        unsigned mask =
            scan_mask(_mm_or_si128(scan_equal(block, '"'), scan_equal(block, '\\')));
        if (mask != 0) {
            return p + scan_first(mask);
        }
        p += SCAN_WIDTH;
    }
#endif
    while (p < end && *p != '"' && *p != '\\') {
        p++;
    }
    return p;
}

/* Checked text only: from behind the opening quote to the closing one. */
static inline const char *scan_string(const char *p, const char *end, bool *has_escape)
{
    p = scan_quoting(p, end);
    *has_escape = end - p >= 2 && *p == '\\';
    while (end - p >= 2 && *p == '\\') {
        p = scan_quoting(p + 2, end);
    }
    return p;
}

/* Length of the well-formed UTF-8 sequence in the four bytes of `w` (first byte lowest), else
 * 0. */
static inline size_t scan_utf8_word(uint32_t w)
{
    if ((w & 0x80) == 0) {
        return 1;
    }
    if ((w & 0x00c0c0f0) == 0x008080e0) {
        /* Neither overlong (E0 80…9F) nor a surrogate (ED A0…BF). */
        return (w & 0x200f) != 0 && (w & 0x200f) != 0x200d ? 3 : 0;
    }
    if ((w & 0xc0e0) == 0x80c0) {
        return (w & 0x1e) != 0 ? 2 : 0;
    }
    if ((w & 0xc0c0c0f8) == 0x808080f0) {
        /* Neither overlong (F0 80…8F) nor over U+10FFFF (F4 90…, F5…). */
        return (w & 0x3007) != 0 && ((w & 4) == 0 || (w & 0x3003) == 0) ? 4 : 0;
    }
    return 0;
}

/* Length of the well-formed UTF-8 sequence at p (< end), 0 when there is none. */
static inline size_t scan_utf8(const char *p, const char *end)
{
    const unsigned char *b = (const unsigned char *)p;
    ptrdiff_t left = end - p;
    if (left >= 4) {
        return scan_utf8_word((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                              (uint32_t)b[3] << 24);
    }
    /* A missing byte reads as zero, which continues no sequence. */
    uint32_t w = b[0];
    w |= left > 1 ? (uint32_t)b[1] << 8 : 0;
    w |= left > 2 ? (uint32_t)b[2] << 16 : 0;
    return scan_utf8_word(w);
}

/* Checked text only: resolves the escape whose backslash is at *at, moves *at behind it (behind
 * both halves of a surrogate pair) and returns how many bytes of UTF-8 it put into out. */
size_t json_unescape(const char **at, char out[4]);
