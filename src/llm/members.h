#pragma once

#include <stdbool.h>

#include "base/str.h"

/* What the dialects ask of a member that json_pick found. Pure. */

/* There and not null. */
bool member_is_given(struct str value);
