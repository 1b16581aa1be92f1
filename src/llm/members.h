#pragma once

#include <stdbool.h>

#include "base/str.h"

/* What the dialects ask of a member that json_pick found. Pure. */

/* There and not null. */
bool member_is_given(struct str value);

/* Whether a member's key (as json_iter gives it) is one of these. */
bool member_is_one_of(struct str key, const struct str *names, size_t count);
