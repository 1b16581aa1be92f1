#pragma once

#include "base/mem.h"
#include "base/str.h"

/*
 * Texts of others (names, a server's words, what a backend said) before they go into a message:
 * afterwards they are valid UTF-8 on one line, whose characters are shown and shown in their
 * order. What they mean to the format around them (HTML, JSON, headers) is each format's own
 * business. Pure.
 */

/* Bytes that are no UTF-8, control characters, line separators and what changes the direction
 * of writing become '?', each as one. Lives as long as the arena, and is followed by a NUL that
 * does not count. */
struct str clean_text(struct arena *a, struct str s);
