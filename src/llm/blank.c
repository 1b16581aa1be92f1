#include "llm/blank.h"

#include <string.h>

/* U+0020 is not in it, nor what is escaped in JSON: see below. */
static const struct str spaces[] = {
    STR_INIT("\xc2\x85"),     STR_INIT("\xc2\xa0"),     STR_INIT("\xe1\x9a\x80"),
    STR_INIT("\xe2\x80\x80"), STR_INIT("\xe2\x80\x81"), STR_INIT("\xe2\x80\x82"),
    STR_INIT("\xe2\x80\x83"), STR_INIT("\xe2\x80\x84"), STR_INIT("\xe2\x80\x85"),
    STR_INIT("\xe2\x80\x86"), STR_INIT("\xe2\x80\x87"), STR_INIT("\xe2\x80\x88"),
    STR_INIT("\xe2\x80\x89"), STR_INIT("\xe2\x80\x8a"), STR_INIT("\xe2\x80\xa8"),
    STR_INIT("\xe2\x80\xa9"), STR_INIT("\xe2\x80\xaf"), STR_INIT("\xe2\x81\x9f"),
    STR_INIT("\xe3\x80\x80"),
};

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

static bool is_space(unsigned c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

/* What follows a backslash. */
static bool is_escaped_space(const char *p)
{
    if (*p != 'u') {
        return strchr("nrtf", *p) != NULL;
    }
    return is_space(hex_value(p[1]) << 12 | hex_value(p[2]) << 8 | hex_value(p[3]) << 4 |
                    hex_value(p[4]));
}

static bool is_wide_space(struct str rest)
{
    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        if (str_starts(rest, spaces[i])) {
            return true;
        }
    }
    return false;
}

/* Bytes of the character at the start, and whether it is white space. */
static size_t look(struct str rest, bool *is_blank)
{
    unsigned char first = (unsigned char)rest.ptr[0];
    if (first == '\\') {
        *is_blank = is_escaped_space(rest.ptr + 1);
        return rest.ptr[1] == 'u' ? 6 : 2;
    }
    if (first < 0x80) {
        *is_blank = is_space(first);
        return 1;
    }
    *is_blank = is_wide_space(rest);
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

bool blank_is_all(struct str raw)
{
    bool is_blank = true;
    while (is_blank && raw.len > 0) {
        raw = str_from_at(raw, look(raw, &is_blank));
    }
    return is_blank;
}

size_t blank_trim(struct str raw)
{
    size_t kept = 0;
    for (size_t at = 0; at < raw.len;) {
        bool is_blank = false;
        at += look(str_from_at(raw, at), &is_blank);
        kept = is_blank ? kept : at;
    }
    return kept;
}
