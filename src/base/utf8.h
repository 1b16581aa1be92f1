#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/*
 * Characters in UTF-8 (RFC 3629), for texts that people are shown. What must be fast reads
 * UTF-8 by itself (wire/json_scan). Pure.
 */

/* Length of the character at the front of s, which is not empty, and its number; 0 when there
 * is no well-formed one: overlong forms, surrogates and what is over U+10FFFF are not. */
size_t utf8_read(struct str s, uint32_t *code);

/* Neither a control, nor a separator of lines, nor an invisible character that changes the
 * order in which text is shown, nor a non-character. */
bool utf8_is_shown(uint32_t code);

/* The first `max` bytes at most of a well-formed text, cut between two characters. */
struct str utf8_cut(struct str s, size_t max);

/* How many characters a well-formed text has. */
size_t utf8_count(struct str s);
