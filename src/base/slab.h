#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Pieces of one size that are needed again and again, kept for the next one to ask. It is for
 * those that malloc keeps no list of (in glibc what is larger than 1,032 bytes), so that each
 * would be cut from the heap and joined with its neighbours again. What a slab keeps counts as
 * memory of the process: `most` pieces. Not thread-safe: it is its thread's.
 *
 * Under AddressSanitizer nothing is kept, so that a use after the end is seen.
 */

struct slab {
    /* private: */
    size_t size;
    uint32_t most;
    uint32_t kept;
    void *first; /* each begins with the address of the next */
};

/* `size`: bytes of a piece, at least those of a pointer. `most`: kept at once. */
void slab_init(struct slab *s, size_t size, uint32_t most);

/* Frees what it keeps; pieces that were taken and not given back stay their owners'. */
void slab_fini(struct slab *s);

/* A piece, zeroed, aligned as malloc's. It is given back, or freed with free(). */
void *slab_take(struct slab *s);

/* `piece`: of slab_take of this slab; not to be touched any more. */
void slab_give(struct slab *s, void *piece);
