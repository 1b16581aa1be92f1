#pragma once

#include <stddef.h>

#include "base/slab.h"

/*
 * Memory that is given up now and freed later, when nobody is inside a function of its owner
 * any more. Not thread-safe.
 */

struct doomed_piece {
    void *ptr;
    struct slab *slab;
};

struct doomed {
    /* private: */
    struct doomed_piece *pieces;
    size_t count;
    size_t cap;
};

/* Zeroed memory is an empty one. `to`: what the piece is given back to; NULL: it is malloc's.
 */
void doomed_add(struct doomed *d, struct slab *to, void *piece);

/* Frees the pieces, in the order in which they came. */
void doomed_free(struct doomed *d);

/* The same, and its own memory. */
void doomed_fini(struct doomed *d);
