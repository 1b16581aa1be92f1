#include "cmd/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* How many bytes a character with this first byte has; 0: none begins so. */
static size_t claimed_len(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first < 0xe0) {
        return 2;
    }
    if (first >= 0xe0 && first < 0xf0) {
        return 3;
    }
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/* Overlong forms, surrogates and what is over U+10FFFF. */
static bool is_legal(uint32_t code, size_t len)
{
    if (len == 3) {
        return code >= 0x800 && (code < 0xd800 || code > 0xdfff);
    }
    return len != 4 || (code >= 0x10000 && code <= 0x10ffff);
}

size_t escape_character(struct str s, uint32_t *code)
{
    unsigned char first = (unsigned char)s.ptr[0];
    size_t len = claimed_len(first);
    if (len == 0 || len > s.len) {
        return 0;
    }
    *code = len == 1 ? first : first & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if (!is_tail(s.ptr[i])) {
            return 0;
        }
        *code = *code << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    }
    return is_legal(*code, len) ? len : 0;
}

/* Controls, and the invisible characters that change the order in which text is shown. */
static bool is_shown(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x200b, 0x200f}, {0x2028, 0x202e},
                  {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}};
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (code >= hidden[i].first && code <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

struct str escape_text(struct arena *a, struct str s, const char *keep)
{
    char *out = arena_alloc(a, s.len * 4 + 1);
    size_t len = 0;
    while (s.len > 0) {
        uint32_t code = 0;
        size_t size = escape_character(s, &code);
        bool kept = s.ptr[0] != '\0' && strchr(keep, s.ptr[0]) != NULL;
        bool shown = size > 0 && (kept || is_shown(code));
        size = size > 0 ? size : 1;
        if (shown) {
            memcpy(out + len, s.ptr, size);
            len += size;
        }
        for (size_t i = 0; i < size && !shown; i++) {
            len += (size_t)snprintf(out + len, 5, "\\x%02x", (unsigned char)s.ptr[i]);
        }
        s = str_from_at(s, size);
    }
    out[len] = '\0';
    return str_of(out, len);
}

size_t escape_width(struct str s)
{
    size_t width = 0;
    for (size_t i = 0; i < s.len; i++) {
        width += is_tail(s.ptr[i]) ? 0 : 1;
    }
    return width;
}

struct str escape_cut(struct str s, size_t max)
{
    if (s.len <= max) {
        return s;
    }
    while (max > 0 && is_tail(s.ptr[max])) {
        max--;
    }
    return str_of(s.ptr, max);
}
