#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/pick_status.h"

/*
 * Who serves a model now, for people: where the next request without needs of its own would go,
 * panic not counted. Lock-free; any thread.
 */

struct incumbent {
    const struct backend *backend; /* the first who would; the catalog's; NULL: nobody can */
    uint32_t tier;                 /* from 1; 0: nobody */
    enum pick_rank rank;
    enum state state; /* of those who would: the HEALTHY of a tier come before its others */
    const struct backend *rising; /* being started by ourselves; NULL: none is */
};

struct incumbent incumbent_of(const struct model *m, const struct board *b, uint64_t now_ms);

/* Whether this member of that tier is one of those who would. */
bool incumbent_has(const struct incumbent *i, const struct pick_prospect *p);
