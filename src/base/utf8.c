#include "base/utf8.h"

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

/* Neither an overlong form, nor a surrogate, nor over U+10FFFF. */
static bool is_legal(uint32_t code, size_t len)
{
    if (len == 3) {
        return code >= 0x800 && (code < 0xd800 || code > 0xdfff);
    }
    return len != 4 || (code >= 0x10000 && code <= 0x10ffff);
}

size_t utf8_read(struct str s, uint32_t *code)
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

bool utf8_is_shown(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {{0, 0x1f},        {0x7f, 0x9f},     {0x200b, 0x200f}, {0x2028, 0x202e},
                  {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xfffe, 0xffff}};
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (code >= hidden[i].first && code <= hidden[i].last) {
            return false;
        }
    }
    return true;
}

struct str utf8_cut(struct str s, size_t max)
{
    if (s.len <= max) {
        return s;
    }
    while (max > 0 && is_tail(s.ptr[max])) {
        max--;
    }
    return str_of(s.ptr, max);
}

size_t utf8_count(struct str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++) {
        count += is_tail(s.ptr[i]) ? 0 : 1;
    }
    return count;
}
