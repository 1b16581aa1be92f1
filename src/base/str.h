#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/*
 * A borrowed run of bytes: never owns, need not end in NUL, may hold any byte. Whoever returns
 * one says how long it lives.
 */

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){.ptr = "" literal, .len = sizeof("" literal) - 1})
#define STR_INIT(literal)                                \
    {                                                    \
        .ptr = "" literal, .len = sizeof("" literal) - 1 \
    } /* for static tables */
#define STR_NONE ((struct str){.ptr = NULL, .len = 0})

/* For printf: "%.*s", STR_FMT(s). Cuts at INT_MAX. */
#define STR_FMT(s) str_precision(s), str_chars(s)

/* Never NULL, which printf must not be given even with no characters to print. */
static inline const char *str_chars(struct str s)
{
    return s.ptr ? s.ptr : "";
}

static inline int str_precision(struct str s)
{
    return s.len > 0x7fffffff ? 0x7fffffff : (int)s.len;
}

static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){.ptr = ptr, .len = len};
}

/* Of a NUL-terminated string; NULL gives STR_NONE. */
static inline struct str str_from(const char *z)
{
    return (struct str){.ptr = z, .len = z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* From byte `at` to the end; `at` past the end gives an empty run. */
static inline struct str str_from_at(struct str s, size_t at)
{
    if (at < s.len) {
        return str_of(s.ptr + at, s.len - at);
    }
    return s.len > 0 ? str_of(s.ptr + s.len, 0) : s; /* no arithmetic on NULL */
}

/* ASCII letters only are folded, whatever the locale. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* True when `needle` occurs in s; an empty needle does. */
bool str_has(struct str s, struct str needle);

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);

/* Cuts s at the first `sep`: returns what is before it and leaves what is after it in *s;
 * without a `sep` returns all and leaves *s empty. */
struct str str_cut(struct str *s, char sep);

/* Decimal digits only, no sign, no space. ERR_SYNTAX (also when empty) or ERR_RANGE over `max`.
 */
NODISCARD enum err str_to_u64(struct str s, uint64_t max, uint64_t *out);

/* Equal or not in time that depends on the lengths only; for secrets. */
bool str_eq_secret(struct str a, struct str b);

/* FNV-1a, 64 bits; for tables, not for secrets. */
uint64_t str_hash(struct str s);

/* The number in decimal digits, written into `room`, which the result points into. */
enum { STR_NUMBER_MAX = 20 };
struct str str_number(uint64_t value, char room[STR_NUMBER_MAX]);

/* 16 lower-case hexadecimal digits, likewise. */
struct str str_hex64(uint64_t value, char room[STR_NUMBER_MAX]);
