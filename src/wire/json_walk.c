#include <stdarg.h>
#include <string.h>

#include "wire/json.h"
#include "wire/json_scan.h"

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
