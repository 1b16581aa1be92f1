#pragma once

#include <stdint.h>

#include "tiers/board.h"
#include "tiers/catalog.h"

/*
 * Who serves a model now, for people: where the next request without needs of its own would go,
 * panic not counted. Lock-free; any thread.
 */

struct incumbent {
    const struct backend *backend; /* the catalog's; NULL: nobody can */
    uint32_t tier;                 /* from 1; 0: nobody */
    const struct backend *rising;  /* being started by ourselves; NULL: none is */
};

struct incumbent incumbent_of(const struct model *m, const struct board *b, uint64_t now_ms);
