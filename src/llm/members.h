#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* What the dialects ask of a member that json_pick found. Pure. */

/* There and not null. */
bool member_is_given(struct str value);

/* Whether a member's key (as json_iter gives it) is one of these. */
bool member_is_one_of(struct str key, const struct str *names, size_t count);

/* The arguments of a tool call as an object: OpenAI carries them as text, and many clients send
 * "" or nothing for none. ERR_TYPE: neither text nor an object; ERR_SYNTAX: the text is no JSON
 * object. Lives as long as `value` and the arena. */
NODISCARD enum err member_arguments(struct str value, struct arena *a, struct str *out);
