#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * Text of others (names from a configuration, messages of a server, a model's words) for the
 * terminal of a person: whatever could steer the terminal or reorder what is read becomes \xNN,
 * byte by byte. So do bytes that are not UTF-8. Pure.
 */

/* `keep`: control characters that stay, such as "\n"; "" for none. Lives as long as the arena,
 * and is followed by a NUL that does not count. */
struct str escape_text(struct arena *a, struct str s, const char *keep);

/* Length of the UTF-8 character at the front of s, which is not empty, and its number; 0 when
 * there is no well-formed one. */
size_t escape_character(struct str s, uint32_t *code);

/* Columns that an escaped text takes, one for each character. */
size_t escape_width(struct str s);

/* The first `max` bytes at most, cut between two characters. */
struct str escape_cut(struct str s, size_t max);
