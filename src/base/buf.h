#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/*
 * A bounded queue of bytes in one piece of memory:
 *
 *      data        start            end            cap  (<= max)
 *        |  given   |     content    |    free      |
 *
 * Append at the end, take from the front. It never grows past `max`, which must be stated when
 * it is made. Memory is taken at the first append. Pointers into it live until the next append
 * or reserve. Not thread-safe.
 */

struct buf {
    char *data;
    size_t start;
    size_t end;
    size_t cap;
    size_t max;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* gives back the memory; usable again as after init */

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline struct str buf_str(const struct buf *b)
{
    return str_of(b->data ? b->data + b->start : "", b->end - b->start);
}

/* Copies s to the end. ERR_TOO_LARGE when it would pass max; then nothing is changed. */
NODISCARD enum err buf_append(struct buf *b, struct str s);

/* Room for `size` more bytes at the end: *room is where to write; then call buf_added. */
NODISCARD enum err buf_reserve(struct buf *b, size_t size, char **room);

/* `size` bytes were written where buf_reserve said. */
void buf_added(struct buf *b, size_t size);

/* Drops `size` bytes (<= length) from the front. */
void buf_consume(struct buf *b, size_t size);

/* printf to the end; ERR_TOO_LARGE as for append. */
NODISCARD enum err buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
