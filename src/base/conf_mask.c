#include "base/conf_mask.h"

#include <stdbool.h>
#include <stdlib.h>

/* U+10FF00 plus the character: F4 8F BC+(c/64) 80+(c%64). */
enum { MASK_LEN = 4 };

static bool is_masked(struct str s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s.ptr + at;
    return s.len - at >= MASK_LEN && p[0] == 0xf4 && p[1] == 0x8f && (p[2] & 0xfe) == 0xbc;
}

static size_t put_masked(char *out, char c)
{
    out[0] = '\xf4';
    out[1] = '\x8f';
    out[2] = (char)(0xbc + ((unsigned char)c >> 6));
    out[3] = (char)(0x80 + ((unsigned char)c & 0x3f));
    return MASK_LEN;
}

static char get_masked(const char *in)
{
    return (char)((((unsigned char)in[2] & 1) << 6) | ((unsigned char)in[3] & 0x3f));
}

/* The length of the ${…} at `at`, or 0. */
static size_t measure(struct str s, size_t at)
{
    if (s.len - at < 2 || s.ptr[at] != '$' || s.ptr[at + 1] != '{') {
        return 0;
    }
    for (size_t i = at + 2; i < s.len && s.ptr[i] != '\n'; i++) {
        if (s.ptr[i] == '}') {
            return i + 1 - at;
        }
    }
    return 0;
}

void conf_mask(struct str source, char **masked, size_t *len)
{
    char *out = mem_alloc(source.len * MASK_LEN + 1);
    size_t used = 0;
    size_t end = 0; /* of the ${…} that we are in */
    for (size_t i = 0; i < source.len; i++) {
        char c = source.ptr[i];
        if (i >= end) {
            end = i + measure(source, i);
        }
        if (i < end && c != '\0' && strchr("{}[],:#", c)) {
            used += put_masked(out + used, c);
        } else {
            out[used++] = c;
        }
    }
    *masked = out;
    *len = used;
}

struct str conf_unmask(struct arena *a, struct str s)
{
    size_t first = 0;
    while (first < s.len && !is_masked(s, first)) {
        first++;
    }
    if (first == s.len) {
        return s;
    }
    char *out = arena_alloc(a, s.len + 1);
    size_t used = 0;
    for (size_t i = 0; i < s.len;) {
        if (is_masked(s, i)) {
            out[used++] = get_masked(s.ptr + i);
            i += MASK_LEN;
        } else {
            out[used++] = s.ptr[i++];
        }
    }
    out[used] = '\0';
    return str_of(out, used);
}

/* The length of the UTF-8 character at p, 0 when it is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char lead_mask, lead, low, high; /* low, high: of the second byte */
        unsigned char len;
    } FORMS[] = {
        {0x80, 0x00, 0, 0, 1},       {0xff, 0xe0, 0xa0, 0xbf, 3}, {0xff, 0xed, 0x80, 0x9f, 3},
        {0xff, 0xf0, 0x90, 0xbf, 4}, {0xff, 0xf4, 0x80, 0x8f, 4}, {0xfe, 0xc0, 1, 0, 2},
        {0xe0, 0xc0, 0x80, 0xbf, 2}, {0xf0, 0xe0, 0x80, 0xbf, 3}, {0xfc, 0xf0, 0x80, 0xbf, 4},
    };
    for (size_t f = 0; f < sizeof(FORMS) / sizeof(FORMS[0]); f++) {
        if ((p[0] & FORMS[f].lead_mask) != FORMS[f].lead) {
            continue;
        }
        size_t len = FORMS[f].len;
        bool ok = left >= len && (len == 1 || (p[1] >= FORMS[f].low && p[1] <= FORMS[f].high));
        for (size_t i = 2; ok && i < len; i++) {
            ok = (p[i] & 0xc0) == 0x80;
        }
        return ok ? len : 0;
    }
    return 0;
}

static const char *judge_character(struct str s, size_t at, size_t len)
{
    unsigned char c = (unsigned char)s.ptr[at];
    if (len == 0) {
        return "not valid UTF-8";
    }
    if (c == '\r' && (s.len - at < 2 || s.ptr[at + 1] != '\n')) {
        return "a carriage return that ends no line";
    }
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
        return "a control character";
    }
    if (len == 2 && c == 0xc2 && (unsigned char)s.ptr[at + 1] < 0xa0) {
        return "a control character";
    }
    return is_masked(s, at) ? "a private-use character that cannot be used here" : NULL;
}

enum err conf_mask_check(struct str source, size_t *at, const char **why)
{
    for (size_t i = 0; i < source.len;) {
        size_t len = utf8_len((const unsigned char *)source.ptr + i, source.len - i);
        *why = judge_character(source, i, len);
        if (*why) {
            *at = i;
            return ERR_SYNTAX;
        }
        i += len;
    }
    return ERR_OK;
}
