#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/str.h"

/*
 * Stop strings that begin in the text of one backend and end in that of the next: neither of
 * them can see such a one. Only as many bytes on each side of the seam are looked at as the
 * longest stop string has. Pure.
 *
 *      … text that was given | new text …
 *                     [ window ]
 */

enum { STOPS_MAX = 16, STOP_LEN_MAX = 1024 }; /* more, or longer ones, are not looked for */

struct stops {
    struct str stop[STOPS_MAX]; /* unescaped */
    size_t count;
    /* private: */
    char *window;
    size_t cap;
    size_t seam; /* where the new text begins in the window */
    size_t len;
};

/* `stop` is the request's member (JSON: text, array of texts, or empty), `given` what the
 * client has (escaped). Strings and window live as long as the arena and `stop`. */
void stops_init(struct stops *s, struct str stop, struct str given, struct arena *a);

/* New text (escaped) in its order. True when it completes a stop string that began before the
 * seam. */
bool stops_add(struct stops *s, struct str text, struct arena *scratch);
