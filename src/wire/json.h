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
    /* private: */
    const char *at;
    const char *end;
    bool is_object;
};

/* `value` must be an object or an array; otherwise the walk is empty. */
void json_iter_init(struct json_iter *it, struct str value);

/* Moves to the next member or element; false at the end. */
bool json_iter_next(struct json_iter *it);

/* The member's value, or an empty str. Keys are compared unescaped. In nested objects, where a
 * key may be there twice, the last one counts (as in every backend's parser). */
struct str json_get(struct str object, const char *key);

/* Member of a member: json_path(v, "choices", "0", NULL) walks objects by key and arrays by
 * index. Empty str when something on the way is missing or of another type. */
struct str json_path(struct str value, ...) __attribute__((sentinel));

/* Equal to text, escapes resolved. `raw` is what is between the quotes. */
bool json_key_eq(struct str raw, struct str text);

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
