#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/*
 * What a person sees while a command takes long, on standard error: nothing in the first
 * second; then, on a terminal, one line that is written over again and again, else a line every
 * ten seconds. One thread.
 */

struct progress {
    bool is_terminal;
    bool is_shown; /* a line stands there that must go */
    uint64_t started_ms;
    uint64_t told_ms; /* the last line; 0: none yet */
};

void progress_begin(struct progress *p);

/* `text` is escaped already (cmd/escape.h), and has no line end. As often as one likes. */
void progress_tell(struct progress *p, struct str text);

/* Before anything else is written, and at the end. */
void progress_clear(struct progress *p);

/* Since progress_begin, as in "12s"; `size` >= 24. */
void progress_took(const struct progress *p, char *out, size_t size);
