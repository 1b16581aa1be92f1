#pragma once

#include "base/mem.h"
#include "base/str.h"

/*
 * One spelling for JSON text, so that the answers of two servers can be compared byte by byte:
 * UTF-8 as it is; only quotes, backslashes and control characters are escaped, the short way
 * where there is one. Canonical pieces joined are canonical. Pure.
 */

/* `raw` is what stands between the quotes of a string in checked JSON. `raw` itself where it is
 * canonical already, as nearly always; else a copy in the arena. */
struct str canonical_text(struct str raw, struct arena *a);

/* The text that it stands for; `raw` itself when it has no escapes, else a copy. */
struct str canonical_unescape(struct str raw, struct arena *a);

/* A checked JSON text without space between its tokens, every string in canonical form: what
 * two servers mean by the same arguments of a call. Numbers and the order of members stay. A
 * copy in the arena. */
struct str canonical_json(struct str json, struct arena *a);
