#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

#include "wire/json_scan.h"

/* Up to here top-level keys are compared each with each; past it they are sorted. */
enum { KEYS_FEW = 16 };

struct check {
    const char *start;
    const char *end;
    const char *fault;
    enum err why;
    bool is_portable;
    bool has_escape;             /* a string had one since this was last cleared */
    bool has_escaped_key;        /* at the top level */
    size_t depth;                /* brackets open */
    size_t members;              /* top-level ones seen */
    struct str key[KEYS_FEW];    /* the first of them */
    char closer[JSON_DEPTH_MAX]; /* what will close each open bracket */
};

/* Always NULL, so that callers can return it. */
static const char *fail(struct check *c, enum err why, const char *where)
{
    c->why = why;
    c->fault = where;
    return NULL;
}

/* --- strings --- */

static bool is_hex(char c)
{
    char low = (char)(c | 0x20);
    return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'f');
}

static uint32_t hex_value(char c)
{
    return (uint32_t)(c & 0x0f) + (c > '9' ? 9 : 0);
}

static const char *check_hex(struct check *c, const char *p, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, p++) {
        if (p == c->end || !is_hex(*p)) {
            return fail(c, ERR_SYNTAX, p);
        }
        *unit = *unit << 4 | hex_value(*p);
    }
    return p;
}

/* The second half of a surrogate pair at p; `first` is where the first half starts. */
static const char *check_low_half(struct check *c, const char *p, const char *first)
{
    uint32_t unit;
    for (const char *want = "\\u"; *want; want++, p++) {
        if (p == c->end) {
            return fail(c, ERR_SYNTAX, p);
        }
        if (*p != *want) {
            return fail(c, ERR_SYNTAX, first);
        }
    }
    p = check_hex(c, p, &unit);
    if (p && (unit & 0xfc00) != 0xdc00) {
        return fail(c, ERR_SYNTAX, first);
    }
    return p;
}

static const char *check_code(struct check *c, const char *backslash)
{
    uint32_t unit;
    const char *p = check_hex(c, backslash + 2, &unit);
    if (!p || (unit & 0xf800) != 0xd800) {
        return p;
    }
    if (unit >= 0xdc00) {
        return fail(c, ERR_SYNTAX, backslash);
    }
    return check_low_half(c, p, backslash);
}

static const char *check_escape(struct check *c, const char *backslash)
{
    const char *p = backslash + 1;
    c->has_escape = true;
    if (p == c->end) {
        return fail(c, ERR_SYNTAX, p);
    }
    switch (*p) {
    case 'n':
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'r':
    case 't':
        return p + 1;
    case 'u':
        return check_code(c, backslash);
    default:
        return fail(c, ERR_SYNTAX, p);
    }
}

/* The text ends inside a sequence that was right so far: some continuation would complete it.
 */
static bool is_cut_utf8(const char *p, const char *end)
{
    static const char filler[] = {(char)0x80, (char)0xbf};
    size_t left = (size_t)(end - p);
    for (size_t i = 0; left < 4 && i < sizeof(filler); i++) {
        char whole[4];
        memset(whole, filler[i], sizeof(whole));
        memcpy(whole, p, left);
        if (scan_utf8(whole, whole + 4) > left) {
            return true;
        }
    }
    return false;
}

static const char *check_utf8(struct check *c, const char *p)
{
    do {
        size_t len = scan_utf8(p, c->end);
        if (len == 0) {
            bool is_cut = is_cut_utf8(p, c->end);
            return fail(c, is_cut ? ERR_SYNTAX : ERR_UTF8, is_cut ? c->end : p);
        }
        p += len;
    } while (p < c->end && (unsigned char)*p >= 0x80);
    return p;
}

/* From behind the opening quote to behind the closing one. */
static const char *check_string(struct check *c, const char *p)
{
    while (p) {
        p = c->is_portable ? scan_plain_portable(p, c->end) : scan_plain(p, c->end);
        if (p == c->end) {
            return fail(c, ERR_SYNTAX, p);
        }
        if (*p == '"') {
            return p + 1;
        }
        if (*p == '\\') {
            p = check_escape(c, p);
        } else if ((unsigned char)*p >= 0x80) {
            p = check_utf8(c, p);
        } else {
            return fail(c, ERR_SYNTAX, p);
        }
    }
    return NULL;
}

/* --- other scalars --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *check_digits(struct check *c, const char *p)
{
    const char *first = p;
    while (p < c->end && is_digit(*p)) {
        p++;
    }
    return p > first ? p : fail(c, ERR_SYNTAX, p);
}

static const char *check_number(struct check *c, const char *p)
{
    p += *p == '-';
    if (p < c->end && *p == '0') {
        p++;
    } else {
        p = check_digits(c, p);
    }
    if (p && p < c->end && *p == '.') {
        p = check_digits(c, p + 1);
    }
    if (p && p < c->end && (*p | 0x20) == 'e') {
        p++;
        p += p < c->end && (*p == '+' || *p == '-');
        p = check_digits(c, p);
    }
    return p;
}

static const char *check_word(struct check *c, const char *p, const char *word)
{
    for (; *word; word++, p++) {
        if (p == c->end || *p != *word) {
            return fail(c, ERR_SYNTAX, p);
        }
    }
    return p;
}

static const char *check_scalar(struct check *c, const char *p)
{
    if (p == c->end) {
        return fail(c, ERR_SYNTAX, p);
    }
    switch (*p) {
    case '"':
        return check_string(c, p + 1);
    case 't':
        return check_word(c, p, "true");
    case 'f':
        return check_word(c, p, "false");
    case 'n':
        return check_word(c, p, "null");
    default:
        return *p == '-' || is_digit(*p) ? check_number(c, p) : fail(c, ERR_SYNTAX, p);
    }
}

/* --- nesting --- */

/* A top-level key from its opening quote to behind its closing one. */
static bool note_key(struct check *c, const char *from, const char *to)
{
    if (c->members == JSON_MEMBERS_MAX) {
        return fail(c, ERR_TOO_LARGE, from) != NULL;
    }
    if (c->members < KEYS_FEW) {
        c->key[c->members] = str_of(from + 1, (size_t)(to - from) - 2);
        c->has_escaped_key |= c->has_escape;
    }
    c->members++;
    return true;
}

/* A member's name and colon; leaves off where its value should start. */
static const char *check_name(struct check *c, const char *p)
{
    const char *from = p;
    if (p == c->end || *p != '"') {
        return fail(c, ERR_SYNTAX, p);
    }
    c->has_escape = false;
    p = check_string(c, p + 1);
    if (!p || (c->depth == 1 && !note_key(c, from, p))) {
        return NULL;
    }
    p = scan_space(p, c->end);
    if (p == c->end || *p != ':') {
        return fail(c, ERR_SYNTAX, p);
    }
    return scan_space(p + 1, c->end);
}

static bool is_in_object(const struct check *c)
{
    return c->closer[c->depth - 1] == '}';
}

/* Goes into the object or array at p: to its first value (*is_inside), or behind an empty one.
 */
static const char *enter(struct check *c, const char *p, bool *is_inside)
{
    char closer = *p == '{' ? '}' : ']';
    if (c->depth == JSON_DEPTH_MAX) {
        return fail(c, ERR_TOO_DEEP, p);
    }
    p = scan_space(p + 1, c->end);
    if (p < c->end && *p == closer) {
        return p + 1;
    }
    c->closer[c->depth++] = closer;
    *is_inside = true;
    return closer == '}' ? check_name(c, p) : p;
}

/* From behind a value to the start of the next one, or behind the outermost closing bracket. */
static const char *leave(struct check *c, const char *p)
{
    while (c->depth > 0) {
        p = scan_space(p, c->end);
        if (p < c->end && *p == ',') {
            p = scan_space(p + 1, c->end);
            return is_in_object(c) ? check_name(c, p) : p;
        }
        if (p == c->end || *p != c->closer[c->depth - 1]) {
            return fail(c, ERR_SYNTAX, p);
        }
        p++;
        c->depth--;
    }
    return p;
}

static const char *check_value(struct check *c, const char *p)
{
    do {
        bool is_inside = false;
        if (p < c->end && (*p == '{' || *p == '[')) {
            p = enter(c, p, &is_inside);
        } else {
            p = check_scalar(c, p);
        }
        if (p && !is_inside) {
            p = leave(c, p);
        }
    } while (p && c->depth > 0);
    return p;
}

/* --- keys given twice --- */

/* Reads a key byte by byte with escapes resolved. */
struct key_reader {
    const char *p;
    const char *end;
    char held[4]; /* what an escape stood for */
    size_t held_at;
    size_t held_len;
};

static int read_byte(struct key_reader *r)
{
    if (r->held_at == r->held_len) {
        if (r->p == r->end) {
            return -1;
        }
        if (*r->p != '\\') {
            return (unsigned char)*r->p++;
        }
        r->held_len = json_unescape(&r->p, r->held);
        r->held_at = 0;
    }
    return (unsigned char)r->held[r->held_at++];
}

static int compare_keys(struct str a, struct str b)
{
    struct key_reader ra = {.p = a.ptr, .end = a.ptr + a.len};
    struct key_reader rb = {.p = b.ptr, .end = b.ptr + b.len};
    int ca;
    int cb;
    do {
        ca = read_byte(&ra);
        cb = read_byte(&rb);
    } while (ca == cb && ca >= 0);
    return (ca > cb) - (ca < cb);
}

/* qsort's: equal keys in the order of the text. */
static int order_keys(const void *left, const void *right)
{
    const struct str *a = left;
    const struct str *b = right;
    int order = compare_keys(*a, *b);
    return order != 0 ? order : (a->ptr > b->ptr) - (a->ptr < b->ptr);
}

static bool is_same_key(const struct check *c, struct str a, struct str b)
{
    return str_eq(a, b) || (c->has_escaped_key && compare_keys(a, b) == 0);
}

static bool has_twin_before(const struct check *c, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (is_same_key(c, c->key[i], c->key[index])) {
            return true;
        }
    }
    return false;
}

/* The first key that was there before, without its quote; NULL when all differ. */
static const char *find_twin_of_few(const struct check *c)
{
    for (size_t i = 1; i < c->members; i++) {
        if (has_twin_before(c, i)) {
            return c->key[i].ptr;
        }
    }
    return NULL;
}

/* As find_twin_of_few for any number: collects the keys again, sorts them and compares
 * neighbours. Not a hash table, because a client could choose keys that collide. */
static __attribute__((noinline)) const char *find_twin_of_many(struct str text)
{
    struct str key[JSON_MEMBERS_MAX];
    size_t count = 0;
    const char *twin = NULL;
    struct json_iter it;
    json_iter_init(&it, json_value(text));
    while (count < JSON_MEMBERS_MAX && json_iter_next(&it)) {
        key[count++] = it.key;
    }
    qsort(key, count, sizeof(key[0]), order_keys);
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(key[i - 1], key[i]) == 0 && (!twin || key[i].ptr < twin)) {
            twin = key[i].ptr;
        }
    }
    return twin;
}

static void check_twins(struct check *c, struct str text)
{
    const char *twin = c->members <= KEYS_FEW ? find_twin_of_few(c) : find_twin_of_many(text);
    if (twin) {
        fail(c, ERR_DUPLICATE, twin - 1);
    }
}

/* --- the whole --- */

static enum err check_text(struct str text, bool is_portable, size_t *at)
{
    struct check c;
    if (text.len == 0) {
        *at = 0;
        return ERR_SYNTAX;
    }
    c.start = text.ptr;
    c.end = text.ptr + text.len;
    c.why = ERR_OK;
    c.is_portable = is_portable;
    c.has_escaped_key = false;
    c.depth = 0;
    c.members = 0;
    const char *p = check_value(&c, scan_space(c.start, c.end));
    if (p) {
        p = scan_space(p, c.end);
        if (p < c.end) {
            fail(&c, ERR_SYNTAX, p);
        } else if (c.members > 1) {
            check_twins(&c, text);
        }
    }
    if (c.why != ERR_OK) {
        *at = (size_t)(c.fault - c.start);
    }
    return c.why;
}

enum err json_check(struct str text, size_t *at)
{
    return check_text(text, false, at);
}

enum err json_check_portable(struct str text, size_t *at)
{
    return check_text(text, true, at);
}

const char *json_check_path(void)
{
#ifdef __SSE2__
    return "sse2";
#else
    return "portable";
#endif
}
