#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "tiers/alert.h"

/*
 * An alert as text, for a file that a later version may read: a JSON object with a member a
 * field. Pure.
 */

/* For the caller to free(). */
char *alert_pack(const struct alert *a);

/* False: it is none. What is missing is empty, what is too long is cut. */
bool alert_unpack(struct str text, struct alert *out);
