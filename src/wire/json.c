#include "wire/json.h"

#include <string.h>

#include "wire/json_keys.h"
#include "wire/json_scan.h"
#include "wire/json_wide.h"

/* From here on a string is worth the machine's widest steps. */
enum { WIDE_FROM = 256 };

/* Up to here top-level keys are compared as they come; past it they are sorted. */
enum { KEYS_FEW = 16 };

/* Nodes that the values in one bracket more leave to those in one less, so that a long list
 * does not push the members that follow it off the tape. */
enum { KEPT_FREE = 8 };

struct check {
    const char *start;
    const char *end;
    const char *blocks_end; /* before it a block of sixteen may be read; `start`: nowhere */
    const char *fault;
    enum err why;
    bool has_escape;                    /* a string had one since the value's name began */
    bool has_escaped_key;               /* at the top level */
    size_t depth;                       /* brackets open */
    size_t taped_depth;                 /* values in fewer brackets than this go on the tape */
    struct json_tape *tape;             /* NULL: taped_depth is 0 */
    size_t members;                     /* top-level ones seen */
    uint64_t key_marks;                 /* bit key_mark(k) is set for every top-level key k */
    const char *twin;                   /* the first of key[] that was there before */
    struct str name;                    /* of the value to come; none: it is no member */
    struct str key[KEYS_FEW];           /* the first of the top level */
    uint32_t open[JSON_TAPE_DEPTH + 1]; /* on the tape: the value in that many brackets */
    /* What closes the innermost bracket is closer[depth]; closer[0] is of no kind. */
    char closer[JSON_DEPTH_MAX + 1];
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

#ifdef __SSE2__
/* As skip_plain where a block would reach past the end: takes the last sixteen bytes of the
 * text instead and leaves out those before p. */
static __attribute__((noinline)) const char *skip_plain_tail(const struct check *c,
                                                             const char *p)
{
    if (c->blocks_end == c->start) {
        return scan_plain_portable(p, c->end);
    }
    const char *block = c->end - SCAN_WIDTH;
    unsigned mask = scan_odd(block) >> (p - block);
    return mask != 0 ? p + scan_first(mask) : c->end;
}

/* As skip_plain, for a string that goes on for longer than a block. */
static __attribute__((noinline)) const char *skip_plain_far(const struct check *c,
                                                            const char *p)
{
    const char *far = c->end - p > WIDE_FROM ? p + WIDE_FROM : c->end;
    p = wide_skip_sse2(p, far);
    p = p == far ? wide_skip(p, c->end) : p;
    while (p < c->blocks_end) {
        unsigned mask = scan_odd(p);
        if (mask != 0) {
            return p + scan_first(mask);
        }
        p += SCAN_WIDTH;
    }
    return skip_plain_tail(c, p);
}
#endif

/* To the first byte of a string that needs a look, or the end of the text. */
static inline const char *skip_plain(const struct check *c, const char *p)
{
#ifdef __SSE2__
    if (p >= c->blocks_end) {
        return skip_plain_tail(c, p);
    }
    unsigned mask = scan_odd(p);
    return mask != 0 ? p + scan_first(mask) : skip_plain_far(c, p + SCAN_WIDTH);
#else
    return scan_plain_portable(p, c->end);
#endif
}

/* As check_string, from the first byte that is not plain on. */
static __attribute__((noinline)) const char *check_odd_string(struct check *c, const char *p)
{
    while (p) {
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
        p = p ? skip_plain(c, p) : NULL;
    }
    return NULL;
}

/* From behind the opening quote to behind the closing one. */
static inline const char *check_string(struct check *c, const char *p)
{
    p = skip_plain(c, p);
    return p < c->end && *p == '"' ? p + 1 : check_odd_string(c, p);
}

/* --- other scalars --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline const char *check_digits(struct check *c, const char *p)
{
    const char *first = p;
    while (c->end - p >= 8 && scan_are_digits(p)) {
        p += 8;
    }
    while (p < c->end && is_digit(*p)) {
        p++;
    }
    return p > first ? p : fail(c, ERR_SYNTAX, p);
}

/* What may follow a number's whole part. */
static __attribute__((noinline)) const char *check_fraction(struct check *c, const char *p)
{
    if (*p == '.') {
        p = check_digits(c, p + 1);
    }
    if (p && p < c->end && (*p | 0x20) == 'e') {
        p++;
        p += p < c->end && (*p == '+' || *p == '-');
        p = check_digits(c, p);
    }
    return p;
}

static const char *check_number(struct check *c, const char *p)
{
    p += *p == '-';
    if (p < c->end && *p == '0') {
        p++;
    } else {
        p = check_digits(c, p);
    }
    if (p && p < c->end && (*p == '.' || (*p | 0x20) == 'e')) {
        p = check_fraction(c, p);
    }
    return p;
}

static __attribute__((noinline)) const char *fail_word(struct check *c, const char *p,
                                                       const char *word)
{
    while (p < c->end && *p == *word) {
        p++;
        word++;
    }
    return fail(c, ERR_SYNTAX, p);
}

static inline const char *check_word(struct check *c, const char *p, const char *word,
                                     size_t len)
{
    bool is_it = (size_t)(c->end - p) >= len && memcmp(p, word, len) == 0;
    return is_it ? p + len : fail_word(c, p, word);
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
        return check_word(c, p, "true", 4);
    case 'f':
        return check_word(c, p, "false", 5);
    case 'n':
        return check_word(c, p, "null", 4);
    default:
        return *p == '-' || is_digit(*p) ? check_number(c, p) : fail(c, ERR_SYNTAX, p);
    }
}

/* --- keys given twice --- */

static bool has_twin_before(const struct check *c, size_t index)
{
    struct str key = c->key[index];
    for (size_t i = 0; i < index; i++) {
        if (str_eq(c->key[i], key) ||
            (c->has_escaped_key && json_compare_keys(c->key[i], key) == 0)) {
            return true;
        }
    }
    return false;
}

static void check_twins(struct check *c, struct str text)
{
    const char *twin = c->members <= KEYS_FEW ? c->twin : json_find_twin(text);
    if (twin) {
        fail(c, ERR_DUPLICATE, twin - 1);
    }
}

/* A number below 64 that tells most keys of a text apart; `key` has a quote on either side. */
static inline unsigned key_mark(struct str key)
{
    unsigned first = (unsigned char)key.ptr[0];
    unsigned last = (unsigned char)key.ptr[(ptrdiff_t)key.len - 1];
    return (first + last * 5 + (unsigned)key.len * 11) % 64;
}

/* The name just read is a top-level key. */
static inline bool note_key(struct check *c)
{
    size_t index = c->members;
    if (index == JSON_MEMBERS_MAX) {
        return fail(c, ERR_TOO_LARGE, c->name.ptr - 1) != NULL;
    }
    c->members++;
    if (index < KEYS_FEW) {
        uint64_t mark = UINT64_C(1) << key_mark(c->name);
        c->key[index] = c->name;
        c->has_escaped_key |= c->has_escape;
        if (((c->key_marks & mark) != 0 || c->has_escaped_key) && !c->twin &&
            has_twin_before(c, index)) {
            c->twin = c->name.ptr;
        }
        c->key_marks |= mark;
    }
    return true;
}

/* --- the tape --- */

static bool is_in_object(const struct check *c)
{
    return c->closer[c->depth] == '}';
}

/* The tape is full for this depth: gives up what is inside the innermost open value, and from
 * now on takes nothing as deep as that. */
static __attribute__((noinline)) struct json_node *shorten_tape(struct check *c)
{
    c->taped_depth = c->depth;
    c->tape->count = c->open[c->depth - 1] + 1;
    return NULL;
}

/* For the value that starts at p; NULL when it does not go on the tape. */
static inline struct json_node *add_node(struct check *c, const char *p)
{
    struct json_tape *tape = c->tape;
    if (c->depth >= c->taped_depth) {
        return NULL;
    }
    if (tape->count + KEPT_FREE * c->depth >= JSON_TAPE_MAX + KEPT_FREE) {
        return shorten_tape(c);
    }
    struct json_node *node = &tape->node[tape->count++];
    node->key = c->name;
    node->key_has_escape = c->has_escape;
    node->has_inside = false;
    node->size = 1;
    node->value.ptr = p;
    return node;
}

static inline void end_node(struct json_node *node, const char *to)
{
    node->value.len = (size_t)(to - node->value.ptr);
}

/* The value at p, which is on the tape where it may be, has something inside. */
static inline void open_node(struct check *c)
{
    if (c->depth < c->taped_depth) {
        c->open[c->depth] = c->tape->count - 1;
    }
}

/* What open_node was told of ends at `to`, and depth is as it was then. */
static inline void close_node(struct check *c, const char *to)
{
    if (c->depth < c->taped_depth) {
        struct json_node *node = &c->tape->node[c->open[c->depth]];
        end_node(node, to);
        node->has_inside = c->depth + 1 < c->taped_depth;
        node->size = node->has_inside ? c->tape->count - c->open[c->depth] : 1;
    }
}

/* --- nesting --- */

/* A member's name and colon; leaves off where its value should start. */
static inline const char *check_name(struct check *c, const char *p)
{
    const char *from = p;
    if (p == c->end || *p != '"') {
        return fail(c, ERR_SYNTAX, p);
    }
    p = check_string(c, p + 1);
    if (!p) {
        return NULL;
    }
    c->name = str_of(from + 1, (size_t)(p - from) - 2);
    if (c->depth == 1 && !note_key(c)) {
        return NULL;
    }
    if (p == c->end || *p != ':') {
        p = scan_space(p, c->end);
        if (p == c->end || *p != ':') {
            return fail(c, ERR_SYNTAX, p);
        }
    }
    return scan_space(p + 1, c->end);
}

/* Goes into the object or array at p: to what it starts with, one deeper, or behind an empty
 * one. */
static inline const char *enter(struct check *c, const char *p)
{
    char closer = *p == '{' ? '}' : ']';
    if (c->depth == JSON_DEPTH_MAX) {
        return fail(c, ERR_TOO_DEEP, p);
    }
    p = scan_space(p + 1, c->end);
    if (p < c->end && *p == closer) {
        return p + 1;
    }
    open_node(c);
    c->closer[++c->depth] = closer;
    return p;
}

/* From behind a value to the start of the next one or its name, or behind the outermost closing
 * bracket. */
static inline const char *leave(struct check *c, const char *p)
{
    while (c->depth > 0) {
        p = scan_space(p, c->end);
        if (p == c->end) {
            return fail(c, ERR_SYNTAX, p);
        }
        if (*p == ',') {
            return scan_space(p + 1, c->end);
        }
        if (*p != c->closer[c->depth]) {
            return fail(c, ERR_SYNTAX, p);
        }
        p++;
        c->depth--;
        close_node(c, p);
    }
    return p;
}

/* A value that is not, or not yet, inside one that this began. Returns behind it, or with depth
 * one more inside it. */
static inline const char *check_one(struct check *c, const char *p)
{
    struct json_node *node = add_node(c, p);
    bool is_nest = p < c->end && (*p | 0x20) == '{';
    size_t depth = c->depth;
    p = is_nest ? enter(c, p) : check_scalar(c, p);
    if (p && node && c->depth == depth) {
        end_node(node, p);
        node->has_inside = true;
    }
    return p;
}

static const char *check_value(struct check *c, const char *p)
{
    size_t depth;
    do {
        c->has_escape = false;
        if (is_in_object(c)) {
            p = check_name(c, p);
        } else {
            c->name = STR_NONE;
        }
        depth = c->depth;
        p = p ? check_one(c, p) : NULL;
        if (p && c->depth == depth) {
            p = leave(c, p);
        }
    } while (p && c->depth > 0);
    return p;
}

/* --- the whole --- */

/* Where blocks of sixteen end to fit into the text. */
static const char *find_blocks_end(struct str text)
{
#ifdef __SSE2__
    return text.len >= SCAN_WIDTH ? text.ptr + text.len - SCAN_WIDTH + 1 : text.ptr;
#else
    return text.ptr;
#endif
}

static enum err check_text(struct str text, struct json_tape *tape, bool is_portable,
                           size_t *at)
{
    struct check c;
    if (text.len == 0) {
        *at = 0;
        return ERR_SYNTAX;
    }
    c.start = text.ptr;
    c.end = text.ptr + text.len;
    c.blocks_end = is_portable ? text.ptr : find_blocks_end(text);
    c.why = ERR_OK;
    c.has_escaped_key = false;
    c.depth = 0;
    c.taped_depth = tape ? JSON_TAPE_DEPTH + 1 : 0;
    c.tape = tape;
    c.members = 0;
    c.key_marks = 0;
    c.twin = NULL;
    c.closer[0] = '\0';
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
    return check_text(text, NULL, false, at);
}

enum err json_check_portable(struct str text, size_t *at)
{
    return check_text(text, NULL, true, at);
}

enum err json_check_tape(struct str text, struct json_tape *tape, size_t *at)
{
    tape->count = 0;
    enum err e = check_text(text, tape, false, at);
    if (e != ERR_OK) {
        tape->count = 0;
    }
    return e;
}

const char *json_check_path(void)
{
#ifdef __SSE2__
    return "sse2";
#else
    return "portable";
#endif
}
