#include "wire/json_find.h"

#include <string.h>

#include "wire/json_scan.h"

#ifdef __SSE2__
/* Apart from the loop, which need not save its registers for it. */
static __attribute__((noinline)) bool is_any(const char *p, unsigned mask, struct str word)
{
    for (; mask != 0; mask &= mask - 1) {
        if (memcmp(p + scan_first(mask), word.ptr, word.len) == 0) {
            return true;
        }
    }
    return false;
}

/* Looks where the word's first byte and its middle one are as far apart as they must be. *text
 * is left with what is too short for a block. */
static bool find_in_blocks(struct str *text, struct str word)
{
    size_t middle = word.len / 2;
    const __m128i first = _mm_set1_epi8(word.ptr[0]);
    const __m128i second = _mm_set1_epi8(word.ptr[middle]);
    const char *p = text->ptr;
    const char *end = text->ptr + text->len;
    for (; (size_t)(end - p) >= SCAN_WIDTH + word.len; p += SCAN_WIDTH) {
        __m128i is_first = _mm_cmpeq_epi8(scan_load(p), first);
        __m128i is_second = _mm_cmpeq_epi8(scan_load(p + middle), second);
        unsigned mask = scan_mask(_mm_and_si128(is_first, is_second));
        if (mask != 0 && is_any(p, mask, word)) {
            return true;
        }
    }
    *text = str_from_at(*text, (size_t)(p - text->ptr));
    return false;
}
#endif

bool json_find_word(struct str text, struct str quoted)
{
#ifdef __SSE2__
    if (find_in_blocks(&text, quoted)) {
        return true;
    }
#endif
    return text.len >= quoted.len && memmem(text.ptr, text.len, quoted.ptr, quoted.len) != NULL;
}

/* For a quote and a byte before the last one of the text. */
static bool begins_with(const char *quote, const char *end, char first)
{
    return quote[1] == first || (quote[1] == '\\' && end - quote > 2 && quote[2] == 'u');
}

bool json_may_begin_with(struct str text, char first)
{
    const char *p = text.ptr;
    const char *end = text.ptr + text.len;
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi8(first);
    for (; end - p > SCAN_WIDTH; p += SCAN_WIDTH) {
        __m128i next = scan_load(p + 1);
        __m128i is_next = _mm_or_si128(_mm_cmpeq_epi8(next, wanted), scan_equal(next, '\\'));
        unsigned mask = scan_mask(_mm_and_si128(scan_equal(scan_load(p), '"'), is_next));
        for (; mask != 0; mask &= mask - 1) {
            if (begins_with(p + scan_first(mask), end, first)) {
                return true;
            }
        }
    }
#endif
    for (; end - p > 1; p++) {
        if (*p == '"' && begins_with(p, end, first)) {
            return true;
        }
    }
    return false;
}
