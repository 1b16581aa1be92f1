#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_scan.h"

/* --- walking --- */

struct str json_value(struct str text)
{
    if (text.len == 0) {
        return text;
    }
    const char *end = text.ptr + text.len;
    const char *p = scan_space(text.ptr, end);
    while (end > p && scan_is_space(end[-1])) {
        end--;
    }
    return str_of(p, (size_t)(end - p));
}

enum json_type json_type_of(struct str value)
{
    switch (value.len > 0 ? value.ptr[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* On the way through an object or array to its closing bracket. */
struct nest {
    size_t depth;
    bool is_in_string;
};

/* A quote, backslash or bracket: true when it closes the outermost bracket. */
static inline bool pass_mark(struct nest *n, char c)
{
    if (c == '"') {
        n->is_in_string = !n->is_in_string;
    } else if (!n->is_in_string) {
        bool is_opening = (c | 0x20) == '{';
        n->depth += is_opening;
        n->depth -= !is_opening;
        return n->depth == 0;
    }
    return false;
}

#ifdef __SSE2__
/* Bit n is set where p[n] is a quote, a backslash or a bracket of any kind. */
static unsigned find_marks(const char *p)
{
    __m128i block = scan_load(p);
    /* This bit is all that tells the square brackets from the curly ones. */
    __m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
    __m128i bracket = _mm_or_si128(scan_equal(folded, '{'), scan_equal(folded, '}'));
    __m128i quoting = _mm_or_si128(scan_equal(block, '"'), scan_equal(block, '\\'));
    return scan_mask(_mm_or_si128(bracket, quoting));
}

/* One block of sixteen from *at; true with *at behind the closing bracket when that is in it.
 */
static bool pass_block(struct nest *n, const char **at)
{
    const char *p = *at;
    size_t used = SCAN_WIDTH;
    for (unsigned mask = find_marks(p); mask != 0; mask &= mask - 1) {
        unsigned i = (unsigned)__builtin_ctz(mask);
        if (p[i] == '\\') {
            /* What is escaped is no mark, be it the next block's first byte. */
            mask &= ~(2U << i);
            used += i == SCAN_WIDTH - 1;
        } else if (pass_mark(n, p[i])) {
            *at = p + i + 1;
            return true;
        }
    }
    *at = p + used;
    return false;
}
#endif

/* p is at an opening bracket; goes behind the one that closes it. */
static const char *skip_nest(const char *p, const char *end)
{
    struct nest n = {.depth = 0};
#ifdef __SSE2__
    while (end - p >= SCAN_WIDTH) {
        if (pass_block(&n, &p)) {
            return p;
        }
    }
#endif
    for (; p < end; p++) {
        bool is_bracket = (*p | 0x20) == '{' || (*p | 0x20) == '}';
        if (*p == '\\') {
            p++;
        } else if ((is_bracket || *p == '"') && pass_mark(&n, *p)) {
            return p + 1;
        }
    }
    return end;
}

static const char *skip_value(const char *p, const char *end)
{
    if (p == end) {
        return p;
    }
    if (*p == '"') {
        p = scan_string(p + 1, end);
        return p < end ? p + 1 : end;
    }
    if (*p == '{' || *p == '[') {
        return skip_nest(p, end);
    }
    while (p < end && *p != ',' && *p != '}' && *p != ']' && !scan_is_space(*p)) {
        p++;
    }
    return p;
}

void json_iter_init(struct json_iter *it, struct str value)
{
    struct str v = json_value(value);
    enum json_type type = json_type_of(v);
    *it = (struct json_iter){.is_object = type == JSON_OBJECT};
    if (type == JSON_OBJECT || type == JSON_ARRAY) {
        it->at = v.ptr + 1;
        it->end = v.ptr + v.len;
    }
}

/* From a key's opening quote to where its value starts. */
static const char *take_key(struct json_iter *it, const char *p)
{
    const char *close = scan_string(p + 1, it->end);
    it->key = str_of(p + 1, (size_t)(close - p) - 1);
    p = close;
    while (p < it->end && (*p == '"' || *p == ':' || scan_is_space(*p))) {
        if (*p++ == ':') {
            return scan_space(p, it->end);
        }
    }
    return p;
}

bool json_iter_next(struct json_iter *it)
{
    const char *p = it->at;
    while (p < it->end && (*p == ',' || scan_is_space(*p))) {
        p++;
    }
    if (p == it->end || *p == '}' || *p == ']') {
        it->at = it->end;
        return false;
    }
    const char *from = p;
    if (it->is_object) {
        p = take_key(it, p);
    }
    it->at = skip_value(p, it->end);
    it->value = str_of(p, (size_t)(it->at - p));
    it->whole = str_of(from, (size_t)(it->at - from));
    return true;
}

/* `raw` is longer than `text`, so they can be equal only through escapes. */
static bool is_equal_unescaped(struct str raw, struct str text)
{
    const char *p = raw.ptr;
    const char *end = raw.ptr + raw.len;
    size_t at = 0;
    while (p < end) {
        char out[4] = {*p};
        size_t len = 1;
        if (*p == '\\') {
            len = json_unescape(&p, out);
        } else {
            p++;
        }
        if (text.len - at < len || memcmp(text.ptr + at, out, len) != 0) {
            return false;
        }
        at += len;
    }
    return at == text.len;
}

bool json_key_eq(struct str raw, struct str text)
{
    /* An escape is always longer than what it stands for. */
    if (raw.len > text.len) {
        return is_equal_unescaped(raw, text);
    }
    return str_eq(raw, text) && (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL);
}

struct str json_get(struct str object, const char *key)
{
    struct json_iter it;
    struct str name = str_from(key);
    struct str found = STR_NONE;
    json_iter_init(&it, object);
    while (it.is_object && json_iter_next(&it)) {
        if (json_key_eq(it.key, name)) {
            found = it.value;
        }
    }
    return found;
}

static struct str get_element(struct str array, const char *index)
{
    struct json_iter it;
    uint64_t left;
    if (str_to_u64(str_from(index), SIZE_MAX, &left) != ERR_OK) {
        return STR_NONE;
    }
    json_iter_init(&it, array);
    while (json_iter_next(&it)) {
        if (left-- == 0) {
            return it.value;
        }
    }
    return STR_NONE;
}

struct str json_path(struct str value, ...)
{
    va_list args;
    struct str at = json_value(value);
    va_start(args, value);
    for (const char *step = va_arg(args, const char *); step && at.len > 0;
         step = va_arg(args, const char *)) {
        at = json_type_of(at) == JSON_ARRAY ? get_element(at, step) : json_get(at, step);
    }
    va_end(args);
    return at;
}

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
    memcpy(out + 1, "u00", 3);
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
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
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
    if (len > 0) {
        quote_into(s, out + 1);
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

enum err json_u64(struct str value, uint64_t max, uint64_t *out)
{
    if (!is_number(value)) {
        return ERR_TYPE;
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

enum err json_double(struct str value, double *out)
{
    char room[64];
    char *text = room;
    if (!is_number(value)) {
        return ERR_TYPE;
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
