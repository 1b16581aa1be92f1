#pragma once

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
