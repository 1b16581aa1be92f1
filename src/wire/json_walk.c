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
/* Bit n is for byte n of a block. */
struct marks {
    unsigned quote;
    unsigned backslash;
    unsigned bracket;
};

static inline struct marks find_marks(const char *p)
{
    __m128i block = scan_load(p);
    /* This bit is all that tells the square brackets from the curly ones. */
    __m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
    __m128i bracket = _mm_or_si128(scan_equal(folded, '{'), scan_equal(folded, '}'));
    return (struct marks){.quote = scan_mask(scan_equal(block, '"')),
                          .backslash = scan_mask(scan_equal(block, '\\')),
                          .bracket = scan_mask(bracket)};
}

/* A block with a backslash: one mark after the other. */
static bool pass_escapes(struct nest *n, const char **at, const struct marks *m)
{
    const char *p = *at;
    size_t used = SCAN_WIDTH;
    for (unsigned mask = m->quote | m->backslash | m->bracket; mask != 0; mask &= mask - 1) {
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

/* The bytes from each opening quote up to its closing one; `is_open`: from the start, too. */
static inline unsigned find_strings(unsigned quote, bool is_open)
{
    quote ^= quote << 1;
    quote ^= quote << 2;
    quote ^= quote << 4;
    quote ^= quote << 8;
    return is_open ? ~quote : quote;
}

/* One block of sixteen from *at; true with *at behind the closing bracket when that is in it.
 */
static bool pass_block(struct nest *n, const char **at)
{
    const char *p = *at;
    struct marks m = find_marks(p);
    if (m.backslash != 0) {
        return pass_escapes(n, at, &m);
    }
    *at = p + SCAN_WIDTH;
    if (m.quote != 0) {
        unsigned inside = find_strings(m.quote, n->is_in_string);
        m.bracket &= ~inside;
        n->is_in_string = (inside >> (SCAN_WIDTH - 1) & 1) != 0;
    } else if (n->is_in_string) {
        return false;
    }
    for (unsigned mask = m.bracket; mask != 0; mask &= mask - 1) {
        unsigned i = (unsigned)__builtin_ctz(mask);
        bool is_opening = (p[i] | 0x20) == '{';
        n->depth += is_opening;
        n->depth -= !is_opening;
        if (n->depth == 0) {
            *at = p + i + 1;
            return true;
        }
    }
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

static inline const char *skip_value(const char *p, const char *end)
{
    bool has_escape;
    if (p == end) {
        return p;
    }
    if (*p == '"') {
        p = scan_string(p + 1, end, &has_escape);
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

/* The node of exactly this value; NULL when there is none. */
static const struct json_node *find_node(const struct json_tape *tape, struct str value)
{
    size_t low = 0;
    size_t count = tape->count;
    /* The whole text, which is asked for most, is the first; they lie in its order. */
    count = count > 1 && tape->node[0].value.ptr == value.ptr ? 1 : count;
    while (count > 1) {
        size_t half = count / 2;
        low += tape->node[low + half].value.ptr <= value.ptr ? half : 0;
        count -= half;
    }
    const struct json_node *node = &tape->node[low];
    bool is_it = count > 0 && node->value.ptr == value.ptr && node->value.len == value.len;
    return is_it ? node : NULL;
}

/* As find_node, and what is inside must be on the tape, too. */
static const struct json_node *find_inside(const struct json_tape *tape, struct str value)
{
    const struct json_node *node = tape ? find_node(tape, value) : NULL;
    return node && node->has_inside ? node : NULL;
}

static void init_nodes(struct json_iter *it, const struct json_node *node)
{
    *it = (struct json_iter){.is_object = node->value.ptr[0] == '{',
                             .node = node + 1,
                             .node_end = node + node->size};
}

static void init_text(struct json_iter *it, struct str value)
{
    struct str v = json_value(value);
    enum json_type type = json_type_of(v);
    *it = (struct json_iter){.is_object = type == JSON_OBJECT};
    if (type == JSON_OBJECT || type == JSON_ARRAY) {
        it->at = v.ptr + 1;
        it->end = v.ptr + v.len;
    }
}

void json_iter_init(struct json_iter *it, struct str value)
{
    init_text(it, value);
}

void json_iter_init_on(struct json_iter *it, const struct json_tape *tape, struct str value)
{
    const struct json_node *node = find_inside(tape, value);
    if (node) {
        init_nodes(it, node);
    } else {
        init_text(it, value);
    }
}

bool json_tape_may_hold_array(const struct json_tape *tape, struct str value)
{
    const struct json_node *outer = find_inside(tape, value);
    if (!outer) {
        return true;
    }
    for (const struct json_node *n = outer + 1; n < outer + outer->size; n++) {
        if (!n->has_inside || n->value.ptr[0] == '[') {
            return true;
        }
    }
    return false;
}

/* From a key's opening quote to where its value starts. */
static inline const char *take_key(struct json_iter *it, const char *p)
{
    const char *close = scan_string(p + 1, it->end, &it->key_has_escape);
    it->key = str_of(p + 1, (size_t)(close - p) - 1);
    p = scan_space(close + (close < it->end), it->end);
    return scan_space(p + (p < it->end), it->end);
}

static bool take_node(struct json_iter *it)
{
    const struct json_node *node = it->node;
    if (node == it->node_end) {
        return false;
    }
    const char *from = it->is_object ? node->key.ptr - 1 : node->value.ptr;
    it->key = node->key;
    it->key_has_escape = node->key_has_escape;
    it->value = node->value;
    it->whole = str_of(from, (size_t)(node->value.ptr + node->value.len - from));
    it->node = node + node->size;
    return true;
}

bool json_iter_next(struct json_iter *it)
{
    if (it->node) {
        return take_node(it);
    }
    const char *p = scan_space(it->at, it->end);
    if (p < it->end && *p == ',') {
        p = scan_space(p + 1, it->end);
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

bool json_key_eq_long(struct str raw, struct str text)
{
    if (raw.len > text.len) {
        bool can_be = raw.ptr[0] == '\\' || (text.len > 0 && raw.ptr[0] == text.ptr[0]);
        return can_be && is_equal_unescaped(raw, text);
    }
    return str_eq(raw, text) && (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL);
}

struct str json_get(struct str object, const char *key)
{
    struct str name = str_from(key);
    struct str found;
    json_pick(NULL, object, &name, 1, &found);
    return found;
}

/* What json_pick looks for. */
struct pick {
    const struct str *name;
    size_t count;
    struct str *value;
    uint64_t lengths; /* bit n is set: some name's length is n (modulo 64) */
};

static inline uint64_t length_bit(struct str name)
{
    return UINT64_C(1) << (name.len % 64);
}

static inline size_t find_name(const struct pick *k, struct str key)
{
    size_t i = 0;
    /* The first byte settles most of it without a call. */
    while (i < k->count && (k->name[i].len != key.len ||
                            (key.len > 0 && (k->name[i].ptr[0] != key.ptr[0] ||
                                             memcmp(k->name[i].ptr, key.ptr, key.len) != 0)))) {
        i++;
    }
    return i;
}

static __attribute__((noinline)) size_t find_unescaped(const struct pick *k, struct str key)
{
    size_t i = 0;
    while (i < k->count && !json_key_eq(key, k->name[i])) {
        i++;
    }
    return i;
}

static inline void take_member(const struct pick *k, struct str key, bool has_escape,
                               const struct str *found)
{
    /* Most members are not asked for, and their length tells. */
    if (!has_escape && (k->lengths & length_bit(key)) == 0) {
        return;
    }
    size_t i = has_escape ? find_unescaped(k, key) : find_name(k, key);
    if (i < k->count) {
        k->value[i] = *found;
    }
}

static void pick_nodes(const struct pick *k, const struct json_node *object)
{
    const struct json_node *end = object + object->size;
    for (const struct json_node *n = object + 1; n < end; n += n->size) {
        take_member(k, n->key, n->key_has_escape, &n->value);
    }
}

static void pick_text(const struct pick *k, struct str object)
{
    struct json_iter it;
    init_text(&it, object);
    while (it.is_object && json_iter_next(&it)) {
        take_member(k, it.key, it.key_has_escape, &it.value);
    }
}

void json_pick(const struct json_tape *tape, struct str object, const struct str *name,
               size_t count, struct str *value)
{
    struct pick k = {.name = name, .count = count, .value = value};
    const struct json_node *node = find_inside(tape, object);
    for (size_t i = 0; i < count; i++) {
        value[i] = STR_NONE;
        k.lengths |= length_bit(name[i]);
    }
    if (!node) {
        pick_text(&k, object);
    } else if (json_type_of(object) == JSON_OBJECT) {
        pick_nodes(&k, node);
    }
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
