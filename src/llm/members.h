#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * Several members of a JSON object in one walk over it, instead of one json_get for each. The
 * text must have been checked (json_check). Pure; allocates nothing.
 */

/* value[i] becomes the value of the member called name[i], or empty; of a key that is there
 * twice the last one counts. Not an object: all empty. */
void members_pick(struct str object, const struct str *name, size_t count, struct str *value);

/* There and not null. */
bool member_is_given(struct str value);
