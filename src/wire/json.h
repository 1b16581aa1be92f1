#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * Strict JSON (RFC 8259) without a tree. json_check validates a whole text once, at memory
 * speed; everything else walks text that has been checked and returns slices of it. Nothing is
 * copied but strings that hold escapes. Pure; any thread.
 *
 * What is refused: anything but one value with white space around it, depth over
 * JSON_DEPTH_MAX, bytes that are not UTF-8 (overlong forms and surrogates included), control
 * characters in strings, lone surrogate escapes (\ud800), a top-level key given twice (compared
 * unescaped), a byte order mark.
 */

enum { JSON_DEPTH_MAX = 128, JSON_MEMBERS_MAX = 1024 };

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* ERR_OK, or ERR_SYNTAX, ERR_UTF8, ERR_TOO_DEEP, ERR_DUPLICATE (top-level key),
 * ERR_TOO_LARGE (more than JSON_MEMBERS_MAX top-level members) with *at = byte offset of the
 * fault (for text that ends too early: its length). */
NODISCARD enum err json_check(struct str text, size_t *at);

/* The name of the vector path that json_check uses on this machine ("sse2", "portable"); a
 * test compares the two. */
const char *json_check_path(void);

/* As json_check, always by the portable path. */
NODISCARD enum err json_check_portable(struct str text, size_t *at);

/*
 * The tape: the outermost values of a text, noted while it is checked, so that whoever looks
 * into a small text need not read it again. It only makes walks faster: all that takes a tape
 * (json_pick, json_iter_init_on) gives the same without one, for any value of the text, and
 * where the tape ends reads the text.
 *
 *   {"id":7,"choices":[{"delta":{}}]}       node  value            depth  size
 *                                             0   {"id":…}           0     5
 *                                             1   7                  1     1
 *                                             2   [{…}]              1     3
 *                                             3   {"delta":{}}       2     2
 *                                             4   {}                 3     1
 *
 * A value that is deeper than JSON_TAPE_DEPTH is left out. When the tape is full, the inside of
 * the innermost value then open is taken off again and nothing more as deep as that is noted.
 * It counts as full the sooner the deeper a value is, so that long lists do not cost the top
 * level its place.
 */
enum { JSON_TAPE_MAX = 64, JSON_TAPE_DEPTH = 4 };

struct json_node {
    struct str key;   /* raw, as in json_iter; empty for what is no member */
    struct str value; /* without white space around it */
    uint32_t size;    /* of this node and those of all that is inside: the next begins there */
    bool key_has_escape; /* `key` is not the text that it stands for */
    bool has_inside;     /* all that is directly inside (maybe nothing) is on the tape */
};

/* The caller's memory, about 3 KiB, which needs no setting up. It holds slices of the text and
 * no pointer into itself. */
struct json_tape {
    uint32_t count; /* 0 after an error */
    struct json_node node[JSON_TAPE_MAX];
};

/* As json_check, and fills *tape. */
NODISCARD enum err json_check_tape(struct str text, struct json_tape *tape, size_t *at);

/* json_value of the text that json_check_tape accepted. */
static inline struct str json_tape_root(const struct json_tape *tape)
{
    return tape->count > 0 ? tape->node[0].value : STR_NONE;
}

/* False when the tape shows that nothing in `value`, an object or array, is an array, however
 * deep. True: something may be, or the tape does not go so far. */
bool json_tape_may_hold_array(const struct json_tape *tape, struct str value);

/* True when `text` is one string and nothing else, as json_check would accept it: for a part of
 * a text whose rest is known. Cheap for short ASCII. */
bool json_is_quoted(struct str text);

/* --- The rest needs text that json_check accepted. --- */

/* The value without the white space around it. */
struct str json_value(struct str text);

/* Type of a value (its first byte says it). Empty input: JSON_NULL. */
enum json_type json_type_of(struct str value);

/* Walks an object or an array. `rest` starts as the value (json_value of it). */
struct json_iter {
    struct str key;   /* objects: raw text between the quotes, escapes not resolved */
    struct str value; /* the member's or element's value, without white space around it */
    struct str whole; /* objects: from the key's opening quote to the end of the value */
    bool key_has_escape;
    /* private: */
    bool is_object;
    const char *at;
    const char *end;
    const struct json_node *node; /* the next one; NULL: walks the text */
    const struct json_node *node_end;
};

/* `value` must be an object or an array; otherwise the walk is empty. */
void json_iter_init(struct json_iter *it, struct str value);

/* As json_iter_init, by the tape where that holds the value's inside. `tape` is of the text
 * that `value` is a slice of, and must outlive the walk; NULL: none. */
void json_iter_init_on(struct json_iter *it, const struct json_tape *tape, struct str value);

/* Moves to the next member or element; false at the end. */
bool json_iter_next(struct json_iter *it);

/* The member's value, or an empty str. Keys are compared unescaped. In nested objects, where a
 * key may be there twice, the last one counts (as in every backend's parser). */
struct str json_get(struct str object, const char *key);

/* Several members in one walk: value[i] becomes that of the member called name[i], or empty.
 * Otherwise as json_get; not an object: all empty. No name may be there twice. `tape` as for
 * json_iter_init_on. */
void json_pick(const struct json_tape *tape, struct str object, const struct str *name,
               size_t count, struct str *value);

/* Member of a member: json_path(v, "choices", "0", NULL) walks objects by key and arrays by
 * index. Empty str when something on the way is missing or of another type. */
struct str json_path(struct str value, ...) __attribute__((sentinel));

/* json_key_eq's second half: `raw` is no shorter than `text`. */
bool json_key_eq_long(struct str raw, struct str text);

/* Equal to text, escapes resolved (each is longer than what it stands for). `raw` is what is
 * between the quotes. */
static inline bool json_key_eq(struct str raw, struct str text)
{
    return raw.len >= text.len && json_key_eq_long(raw, text);
}

/* json_key_eq for the member that the walk is at; cheaper, as it knows whether there are
 * escapes. */
static inline bool json_key_is(const struct json_iter *it, struct str text)
{
    return it->key_has_escape ? json_key_eq(it->key, text) : str_eq(it->key, text);
}

/* A string's text with escapes resolved: a slice of `value` where it has none, else a copy in
 * the arena. ERR_TYPE when it is not a string. The text may hold NUL (from \u0000). */
NODISCARD enum err json_text(struct str value, struct arena *a, struct str *out);

/* Length in bytes of a string value's text with escapes resolved; 0 when it is not a string.
 * Allocates nothing: for "is there content?". */
size_t json_text_len(struct str value);

/* A number that is a whole number 0 … max (1e3 and 5.0 count as whole). ERR_TYPE, ERR_RANGE. */
NODISCARD enum err json_u64(struct str value, uint64_t max, uint64_t *out);

/* A finite double. ERR_TYPE, ERR_RANGE. */
NODISCARD enum err json_double(struct str value, double *out);

/* True for the literal true. */
bool json_is_true(struct str value);

/* Appends s as a JSON string with quotes, escaping what must be; s must be UTF-8 (bytes that
 * are not become U+FFFD). The result lives as long as the arena. */
struct str json_quote(struct arena *a, struct str s);
