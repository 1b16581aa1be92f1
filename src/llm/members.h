#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/json.h"

/* What the dialects ask of a value that a walk over checked JSON has found; one that is absent
 * is empty. Pure. */

/* There and not null. */
bool member_is_given(struct str value);

/* There, and of this type. */
static inline bool member_is(struct str value, enum json_type type)
{
    return value.len > 0 && json_type_of(value) == type;
}

/* What stands between the quotes of a string, escapes and all; also between the brackets of an
 * array or an object. */
static inline struct str member_inside(struct str value)
{
    return str_of(value.ptr + 1, value.len - 2);
}

/* Whether it is this string, however that is written. */
bool member_is_text(struct str value, const char *text);

/* An array or object without anything in it. */
bool member_is_empty(struct str value);

/* A member that is there and not null, or empty. */
struct str member_get(struct str object, const char *key);

/* Whether a member's key (as json_iter gives it) is one of these. */
bool member_is_one_of(struct str key, const struct str *names, size_t count);

/* The arguments of a tool call as an object: OpenAI carries them as text, and many clients send
 * "" or nothing for none. ERR_TYPE: neither text nor an object; ERR_SYNTAX: the text is no JSON
 * object. Lives as long as `value` and the arena. */
NODISCARD enum err member_arguments(struct str value, struct arena *a, struct str *out);
