#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_scan.h"

/* --- strings --- */

static uint32_t read_unit(const char *p)
{
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        unit = unit << 4 | ((uint32_t)(p[i] & 0x0f) + (p[i] > '9' ? 9 : 0));
    }
    return unit;
}

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)((0xf00U >> len & 0xf0) | code);
    return len;
}

static char escape_meaning(char letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter;
    }
}

size_t json_unescape(const char **at, char out[4])
{
    const char *p = *at + 1;
    if (*p != 'u') {
        out[0] = escape_meaning(*p);
        *at = p + 1;
        return 1;
    }
    uint32_t code = read_unit(p + 1);
    p += 5;
    if ((code & 0xfc00) == 0xd800) {
        code = 0x10000 + ((code & 0x3ff) << 10) + (read_unit(p + 2) & 0x3ff);
        p += 6;
    }
    *at = p;
    return put_utf8(code, out);
}

/* What is between the quotes. */
static struct str string_inside(struct str value)
{
    return str_of(value.ptr + 1, value.len - 2);
}

static bool is_string(struct str value)
{
    return value.len >= 2 && value.ptr[0] == '"';
}

bool json_is_quoted(struct str text)
{
    size_t at;
    if (!is_string(text) || text.ptr[text.len - 1] != '"') {
        return false;
    }
    const char *end = text.ptr + text.len - 1;
    return scan_plain(text.ptr + 1, end) == end || json_check(text, &at) == ERR_OK;
}

/* Up to the next backslash or the end. */
static size_t plain_run(const char *p, const char *end)
{
    const char *backslash = p < end ? memchr(p, '\\', (size_t)(end - p)) : NULL;
    return (size_t)((backslash ? backslash : end) - p);
}

enum err json_text(struct str value, struct arena *a, struct str *out)
{
    if (!is_string(value)) {
        return ERR_TYPE;
    }
    struct str raw = string_inside(value);
    const char *p = raw.ptr;
    const char *end = raw.ptr + raw.len;
    size_t run = plain_run(p, end);
    if (run == raw.len) {
        *out = raw;
        return ERR_OK;
    }
    char *text = arena_alloc(a, raw.len);
    size_t len = 0;
    while (p < end) {
        memcpy(text + len, p, run);
        len += run;
        p += run;
        while (p < end && *p == '\\') {
            len += json_unescape(&p, text + len);
        }
        run = plain_run(p, end);
    }
    *out = str_of(text, len);
    return ERR_OK;
}

size_t json_text_len(struct str value)
{
    if (!is_string(value)) {
        return 0;
    }
    struct str raw = string_inside(value);
    const char *p = raw.ptr;
    const char *end = raw.ptr + raw.len;
    size_t len = 0;
    while (p < end) {
        size_t run = plain_run(p, end);
        char ignored[4];
        len += run;
        p += run;
        while (p < end && *p == '\\') {
            len += json_unescape(&p, ignored);
        }
    }
    return len;
}

static size_t escape_control(char c, char out[6])
{
    static const char digits[] = "0123456789abcdef";
    static const char letters[] = "btn_fr"; /* for 8 … 13; 11 has none */
    out[0] = '\\';
    if (c >= '\b' && c <= '\r' && c != '\v') {
        out[1] = letters[c - '\b'];
        return 2;
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = digits[c >> 4 & 0x0f];
    out[5] = digits[c & 0x0f];
    return 6;
}

/* Encodes what is at *at, which is not plain, into out and moves on. */
static size_t quote_special(const char **at, const char *end, char out[6])
{
    const char *p = *at;
    size_t len = scan_utf8(p, end);
    *at = p + (len > 0 ? len : 1);
    if (len == 0) {
        return put_utf8(0xfffd, out);
    }
    if (len > 1) {
        memcpy(out, p, len);
        return len;
    }
    if (*p == '"' || *p == '\\') {
        out[0] = '\\';
        out[1] = *p;
        return 2;
    }
    return escape_control(*p, out);
}

/* Writes to `out` unless that is NULL; returns the length. */
static size_t quote_into(struct str s, char *out)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    size_t len = 0;
    while (p < end) {
        const char *from = p;
        char special[6];
        p = scan_plain(p, end);
        size_t run = (size_t)(p - from);
        size_t extra = p < end ? quote_special(&p, end, special) : 0;
        if (out) {
            memcpy(out + len, from, run);
            memcpy(out + len + run, special, extra);
        }
        len += run + extra;
    }
    return len;
}

struct str json_quote(struct arena *a, struct str s)
{
    size_t len = s.len > 0 ? quote_into(s, NULL) : 0;
    char *out = arena_alloc(a, len + 2);
    out[0] = '"';
    /* Whatever is escaped becomes longer. */
    if (len > s.len) {
        quote_into(s, out + 1);
    } else if (len > 0) {
        memcpy(out + 1, s.ptr, len);
    }
    out[len + 1] = '"';
    return str_of(out, len + 2);
}

/* --- numbers and literals --- */

bool json_is_true(struct str value)
{
    return str_eq(value, STR("true"));
}

static bool is_number(struct str value)
{
    return value.len > 0 &&
           (value.ptr[0] == '-' || (value.ptr[0] >= '0' && value.ptr[0] <= '9'));
}

/* A number as `significand` times ten to the `exponent`; the significand ends in no zero. */
struct decimal {
    uint64_t significand;
    int64_t exponent;
    bool is_over; /* the significand does not fit */
};

/* value * factor + plus; false when that does not fit. */
static bool scale_up(uint64_t *value, uint64_t factor, uint64_t plus)
{
    return !__builtin_mul_overflow(*value, factor, value) &&
           !__builtin_add_overflow(*value, plus, value);
}

/* Exponents are cut at a size that no text's digits can make up for. */
static int64_t read_exponent(const char *p, const char *end)
{
    const int64_t far = INT64_MAX / 100;
    int64_t value = 0;
    bool is_negative = *p == '-';
    p += *p == '-' || *p == '+';
    for (; p < end && value < far; p++) {
        value = value * 10 + (*p - '0');
    }
    return is_negative ? -value : value;
}

static void add_digit(struct decimal *d, uint64_t digit)
{
    if (digit == 0) {
        d->exponent++;
        return;
    }
    /* The zeros that were held back now stand inside; over zero they would not count. */
    for (; d->exponent > 0 && !d->is_over && d->significand > 0; d->exponent--) {
        d->is_over = !scale_up(&d->significand, 10, 0);
    }
    d->exponent = 0;
    d->is_over = d->is_over || !scale_up(&d->significand, 10, digit);
}

static struct decimal read_decimal(struct str value)
{
    struct decimal d = {0};
    const char *end = value.ptr + value.len;
    const char *p = value.ptr + (value.ptr[0] == '-');
    bool is_fraction = false;
    int64_t places = 0;
    for (; p < end && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            is_fraction = true;
            continue;
        }
        add_digit(&d, (uint64_t)(*p - '0'));
        places += is_fraction;
    }
    d.exponent += (p < end ? read_exponent(p + 1, end) : 0) - places;
    return d;
}

/* Most numbers are a few digits, which always fit. */
static bool read_few_digits(struct str value, uint64_t *out)
{
    enum { DIGITS_MAX = 19 };
    uint64_t number = 0;
    if (value.len > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned char)value.ptr[i] - (unsigned)'0';
        if (digit > 9) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}

enum err json_u64(struct str value, uint64_t max, uint64_t *out)
{
    uint64_t number;
    if (!is_number(value)) {
        return ERR_TYPE;
    }
    if (read_few_digits(value, &number)) {
        if (number <= max) {
            *out = number;
        }
        return number <= max ? ERR_OK : ERR_RANGE;
    }
    struct decimal d = read_decimal(value);
    if (d.significand == 0 && !d.is_over) {
        *out = 0;
        return ERR_OK;
    }
    if (d.exponent < 0) {
        return ERR_TYPE;
    }
    if (d.is_over || value.ptr[0] == '-') {
        return ERR_RANGE;
    }
    for (; d.exponent > 0; d.exponent--) {
        if (!scale_up(&d.significand, 10, 0)) {
            return ERR_RANGE;
        }
    }
    if (d.significand > max) {
        return ERR_RANGE;
    }
    *out = d.significand;
    return ERR_OK;
}

/* Most numbers are a few digits and a point: a whole number and a power of ten that are both
 * exact as doubles, so that one division, which rounds once, gives what strtod does. False for
 * any other length or spelling, and where the machine would round twice. */
static bool read_short_double(struct str value, double *out)
{
    enum { DIGITS_MAX = 15 };
    static const double power[DIGITS_MAX] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                             1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
    uint64_t number = 0;
    size_t places = 0;
    bool is_fraction = false;
    if (value.len > DIGITS_MAX || FLT_EVAL_METHOD != 0) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned char)value.ptr[i] - (unsigned)'0';
        if (digit > 9 && (is_fraction || value.ptr[i] != '.')) {
            return false;
        }
        number = digit > 9 ? number : number * 10 + digit;
        places += is_fraction;
        is_fraction |= digit > 9;
    }
    *out = (double)number / power[places];
    return true;
}

enum err json_double(struct str value, double *out)
{
    char room[64];
    char *text = room;
    if (!is_number(value)) {
        return ERR_TYPE;
    }
    if (read_short_double(value, out)) {
        return ERR_OK;
    }
    if (value.len < sizeof(room)) {
        memcpy(room, value.ptr, value.len);
        room[value.len] = '\0';
    } else {
        text = mem_dup(value);
    }
    double number = strtod(text, NULL);
    if (text != room) {
        free(text);
    }
    if (!isfinite(number)) {
        return ERR_RANGE;
    }
    *out = number;
    return ERR_OK;
}
