#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * White space as Unicode has it, in text as it stands between the quotes of a JSON string in
 * checked text, escapes and all. Anthropic refuses texts of nothing else, and half a message
 * that ends in it. Pure.
 */

/* Nothing else is in it, or nothing at all. */
bool blank_is_all(struct str raw);

/* The length of `raw` without the white space at its end. */
size_t blank_trim(struct str raw);
