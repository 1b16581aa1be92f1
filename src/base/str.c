#include "base/str.h"

static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* Eight bytes at once; those that are not ASCII stay as they are. */
static uint64_t fold_word(const char *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = ones * 0x80;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t low = w & ~highs;
    uint64_t from_a = low + ones * (0x80 - 'A');
    uint64_t behind_z = low + ones * (0x80 - 'Z' - 1);
    return w | (from_a & ~behind_z & ~w & highs) >> 2;
}

/* For a.len == b.len >= 8: the last word may hold bytes again. */
static bool eq_nocase_words(struct str a, struct str b)
{
    size_t last = a.len - sizeof(uint64_t);
    for (size_t i = 0; i < last; i += sizeof(uint64_t)) {
        if (fold_word(a.ptr + i) != fold_word(b.ptr + i)) {
            return false;
        }
    }
    return fold_word(a.ptr + last) == fold_word(b.ptr + last);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len) {
        return false;
    }
    if (a.len >= sizeof(uint64_t)) {
        return eq_nocase_words(a, b);
    }
    for (size_t i = 0; i < a.len; i++) {
        if (fold(a.ptr[i]) != fold(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq(str_of(s.ptr, prefix.len), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq_nocase(str_of(s.ptr, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_eq(str_of(s.ptr + (s.len - suffix.len), suffix.len), suffix);
}

bool str_has(struct str s, struct str needle)
{
    return needle.len == 0 ||
           (s.len >= needle.len && memmem(s.ptr, s.len, needle.ptr, needle.len) != NULL);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s = str_from_at(s, 1);
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

struct str str_cut(struct str *s, char sep)
{
    const char *at = s->len > 0 ? memchr(s->ptr, sep, s->len) : NULL;
    struct str head = *s;
    if (!at) {
        *s = str_from_at(*s, s->len);
        return head;
    }
    head.len = (size_t)(at - s->ptr);
    *s = str_from_at(*s, head.len + 1);
    return head;
}

enum err str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0) {
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return ERR_SYNTAX;
        }
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return ERR_RANGE;
        }
        value = value * 10 + digit;
    }
    if (value > max) {
        return ERR_RANGE;
    }
    *out = value;
    return ERR_OK;
}

bool str_eq_secret(struct str a, struct str b)
{
    volatile unsigned char diff = 0;
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        diff = (unsigned char)(diff | ((unsigned char)a.ptr[i] ^ (unsigned char)b.ptr[i]));
    }
    return diff == 0;
}

uint64_t str_hash(struct str s)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3U;
    }
    return h;
}

struct str str_number(uint64_t value, char room[STR_NUMBER_MAX])
{
    size_t at = STR_NUMBER_MAX;
    do {
        room[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return str_of(room + at, STR_NUMBER_MAX - at);
}

struct str str_hex64(uint64_t value, char room[STR_NUMBER_MAX])
{
    for (size_t i = 0; i < 16; i++) {
        room[i] = "0123456789abcdef"[(value >> (60 - 4 * i)) & 15];
    }
    return str_of(room, 16);
}
