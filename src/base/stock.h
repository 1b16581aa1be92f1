#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/*
 * Large blocks of memory that are used again. The kernel gives such memory page by page, each
 * zeroed at the first touch, and for a body of megabytes that costs a quarter of all that the
 * body costs. What has been given back is kept, up to `keep_bytes` and for `keep_ms`; then the
 * kernel has it again, so that one burst of large bodies leaves nothing behind. Without time of
 * its own and not thread-safe: one for each thread.
 *
 * Memory taken is not zeroed: it may hold what an earlier user left there.
 */

struct stock {
    size_t keep_bytes; /* at most so much is kept, in whole blocks */
    uint64_t keep_ms;
    /* private: */
    struct list kept; /* the one given back last comes first; each block holds its own node */
    size_t kept_bytes;
};

/* The taker's own, until he gives it back. */
struct block {
    char *ptr;  /* at the start of a page; NULL: there is none */
    size_t cap; /* whole pages */
};

#define STOCK_NEVER UINT64_MAX

void stock_init(struct stock *s, size_t keep_bytes, uint64_t keep_ms);
/* Blocks that are not given back yet stay their takers': none may be. */
void stock_fini(struct stock *s);

/* Room for `wish` bytes where a block that is kept has it, else for `least` at least (both more
 * than 0). */
struct block stock_take(struct stock *s, size_t least, size_t wish);

/* Room for `size` bytes at least; what is in it stays, but may move. */
void stock_grow(struct block *b, size_t size);

/* Gives the block back and clears it; does nothing when there is none. */
void stock_give(struct stock *s, struct block *b, uint64_t now_ms);

/* Lets go of what has been kept for keep_ms. When to come again: STOCK_NEVER with nothing
 * kept. */
uint64_t stock_trim(struct stock *s, uint64_t now_ms);
