#include "wire/json_find.h"

#include <string.h>

#include "wire/json_scan.h"

#ifdef __SSE2__
/* Bit n is set where p[n] is the word's first byte and its middle one follows where it must. */
static unsigned find_both(const char *p, struct str word)
{
    size_t middle = word.len / 2;
    __m128i first = scan_equal(scan_load(p), word.ptr[0]);
    return scan_mask(_mm_and_si128(first, scan_equal(scan_load(p + middle), word.ptr[middle])));
}

static bool is_any(const char *p, unsigned mask, struct str word)
{
    for (; mask != 0; mask &= mask - 1) {
        if (memcmp(p + scan_first(mask), word.ptr, word.len) == 0) {
            return true;
        }
    }
    return false;
}
#endif

bool json_find_word(struct str text, struct str quoted)
{
    const char *p = text.ptr;
    size_t left = text.len;
#ifdef __SSE2__
    while (left >= SCAN_WIDTH + quoted.len) {
        if (is_any(p, find_both(p, quoted), quoted)) {
            return true;
        }
        p += SCAN_WIDTH;
        left -= SCAN_WIDTH;
    }
#endif
    return left >= quoted.len && memmem(p, left, quoted.ptr, quoted.len) != NULL;
}
