#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * ${NAME} must be writable without quotes inside {…} and […], where YAML takes its braces for
 * its own. So the characters of ${…} that mean something to YAML are swapped for private-use
 * ones, one for one (columns stay true), before YAML sees them, and swapped back in the scalars
 * that come out.
 */

/* *masked is malloc'ed. */
void conf_mask(struct str source, char **masked, size_t *len);

/* The original text; s itself when nothing in it is masked. */
struct str conf_unmask(struct arena *a, struct str s);

/*
 * Whether the source is what a configuration file may hold: UTF-8 without control characters
 * other than tab and line ends, and without the private-use characters above. *at is the first
 * byte that is not, *why names it.
 */
NODISCARD enum err conf_mask_check(struct str source, size_t *at, const char **why);
