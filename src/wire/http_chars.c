#include "wire/http_chars.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Sums of enum http_class, 16 a row; bytes from 128 on are in no class. */
/* clang-format off */
const uint8_t http_class_of[256] = {
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
     0,  3,  0,  1,  3,  3,  3,  3,  2,  2,  3,  3,  2,  7,  7,  2,
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31,  2,  2,  0,  2,  0,  2,
     2, 15, 15, 15, 15, 15, 15,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  2,  0,  2,  1,  7,
     1, 15, 15, 15, 15, 15, 15,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  0,  1,  0,  3,  0,
};
/* clang-format on */

static bool is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 0x20 && u != 0x7f) || u == '\t';
}

size_t http_text_span(struct str s)
{
    size_t at = 0;
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    for (; s.len - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s.ptr + at));
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, last_control), x);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), low), _mm_cmpeq_epi8(x, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask != 0) {
            return at + (size_t)__builtin_ctz(mask);
        }
    }
#endif
    while (at < s.len && is_text(s.ptr[at])) {
        at++;
    }
    return at;
}

#ifdef __SSE2__
static inline __m128i is_from_to(__m128i block, char from, char to)
{
    __m128i above = _mm_cmpgt_epi8(block, _mm_set1_epi8((char)(from - 1)));
    return _mm_andnot_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8(to)), above);
}

/* How many of the sixteen bytes at p are letters, digits or '-' in one run: most of what names
 * are made of, and in all the classes of names. */
static inline size_t word_span(const char *p)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i letter = is_from_to(_mm_or_si128(block, _mm_set1_epi8(0x20)), 'a', 'z');
    __m128i other =
        _mm_or_si128(is_from_to(block, '0', '9'), _mm_cmpeq_epi8(block, _mm_set1_epi8('-')));
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(letter, other));
    return (size_t)__builtin_ctz(~mask);
}
#endif

size_t http_class_span(struct str s, enum http_class class)
{
    size_t at = 0;
#ifdef __SSE2__
    size_t run = class <= HTTP_HOST ? 16 : 0;
    while (run == 16 && s.len - at >= 16) {
        run = word_span(s.ptr + at);
        at += run;
    }
#endif
    while (at < s.len && http_is(s.ptr[at], class)) {
        at++;
    }
    return at;
}

bool http_is_token(struct str s)
{
    return s.len > 0 && http_class_span(s, HTTP_TOKEN) == s.len;
}

unsigned http_hex_value(char c)
{
    unsigned u = (unsigned char)c;
    return u <= '9' ? u - '0' : (u | 0x20) - 'a' + 10;
}
