#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * The last lines that a backend wrote, for the account of an incident. A line maker cuts one
 * stream of bytes into lines; the ring keeps those of all streams in the order in which they
 * were completed. Longer lines are cut, empty ones left out; a carriage return ends a line, too
 * (progress bars). Bytes are kept as they came: whoever shows them escapes them. Pure.
 */

enum { LOG_RING_LINES = 200, LOG_RING_BYTES = 512 /* of a line */ };

struct log_line {
    unsigned short len;
    char text[LOG_RING_BYTES];
};

struct log_ring {
    size_t total; /* lines ever put in since it was zeroed */
    struct log_line line[LOG_RING_LINES];
};

/* Zeroed: at the beginning of a line. */
struct line_maker {
    size_t len;
    char text[LOG_RING_BYTES];
};

/* Calls take with each line completed by `bytes`; the line lives during the call only. */
void line_maker_feed(struct line_maker *m, struct str bytes,
                     void (*take)(void *owner, struct str line), void *owner);

/* The stream has ended: what is there is a line. */
void line_maker_end(struct line_maker *m, void (*take)(void *owner, struct str line),
                    void *owner);

void log_ring_put(struct log_ring *r, struct str line);

/* How many there are; log_ring_at(0) is the oldest. Lines live until the next put. */
size_t log_ring_count(const struct log_ring *r);
struct str log_ring_at(const struct log_ring *r, size_t index);
