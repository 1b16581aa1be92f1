#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/*
 * Dates in HTTP fields, in the one form that may be sent: IMF-fixdate (RFC 9110 5.6.7), such as
 * "Sun, 06 Nov 1994 08:49:37 GMT". The two obsolete forms are not read. Pure.
 */

/* Milliseconds since 1970, UTC. ERR_SYNTAX: not of that form, or no such day or time (the name
 * of the weekday need not fit; a leap second is the next one). ERR_RANGE: before 1970. */
NODISCARD enum err http_date_read(struct str text, uint64_t *wall_ms);
