#pragma once

#include <stdbool.h>

#include "base/str.h"

/*
 * A glance at JSON text, cheaper than any walk: whether something may be in it at all. Pure.
 */

/* Whether `quoted`, a word with its quotes ("\"image_url\""), stands in the text. No: then in
 * text that json_check accepted no key or string is that word, spelt without escapes. Yes: one
 * may be, for a string that ends with a quote of its own and the word looks the same. */
bool json_find_word(struct str text, struct str quoted);

/* Whether a key or string in text that json_check accepted may begin with the character
 * `first`, which is not a quote or a backslash; spelt as an escape, too. No: none does. */
bool json_may_begin_with(struct str text, char first);
