#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

/*
 * Memory. Allocation never fails to the caller: out of memory ends the process, and budgets
 * (arena limit, buffer maximum, admission) see to it that it does not come to that.
 *
 * An arena is memory that is given back all at once. A mark taken before a piece of work and a
 * rewind after it give back just that work's memory (an attempt that failed). Not thread-safe.
 */

void *mem_alloc(size_t size);             /* zeroed; free with free() */
void *mem_resize(void *ptr, size_t size); /* as realloc; the new part is not zeroed */
char *mem_dup(struct str s);              /* NUL-terminated copy; free with free() */

struct arena {
    /* private: */
    struct arena_chunk *top;
    size_t used;      /* bytes given out */
    size_t next_size; /* of the next chunk */
};

struct arena_mark {
    struct arena_chunk *chunk;
    size_t chunk_used;
    size_t used;
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);

/* Aligned to 16 bytes, not zeroed, valid until the arena is rewound past it or ended. */
void *arena_alloc(struct arena *a, size_t size);

/* As arena_alloc, zeroed. */
void *arena_zalloc(struct arena *a, size_t size);

/* A copy, followed by a NUL that does not count. */
struct str arena_dup(struct arena *a, struct str s);

/* The same as characters that may be written to: arguments of a process. */
char *arena_chars(struct arena *a, struct str s);

/* The parts one after another in one piece, followed by a NUL that does not count. */
struct str arena_join(struct arena *a, const struct str *parts, size_t count);

/* printf into the arena; followed by a NUL that does not count. */
struct str arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

/* Bytes given out since init, for limits and accounting. */
static inline size_t arena_used(const struct arena *a)
{
    return a->used;
}
