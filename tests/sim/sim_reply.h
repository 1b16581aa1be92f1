#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "sim_ask.h"

/*
 * A response as bytes on a connection, and how they come: HTTP around what sim_speech says, in
 * all framings, with the fault of the ask applied.
 */

enum reply_end {
    END_KEPT,   /* complete; the connection may serve the next request */
    END_CLOSED, /* complete by its framing or not: closed behind the last byte */
    END_RESET,
    END_SILENT, /* open, and nothing more ever */
    END_DEATH   /* reset; the process is gone for a while */
};

struct reply_script {
    struct str bytes; /* those that will be sent */
    enum reply_end end;
    uint32_t first_ms; /* until the first byte */
    uint32_t gap_ms;   /* at most, between two pieces */
    uint32_t slow_ms;  /* at least; 0: as it comes */
    uint32_t piece;    /* bytes at a time, at most */
    size_t glue_at;    /* with this byte a few more go at once; SIZE_MAX: none */
    size_t pause_at;   /* a silence before this byte; SIZE_MAX: none */
    uint32_t pause_ms;
};

/* Writes the response to a chat request and completes the ask's record (to, finish, marks,
 * hope). Bytes live as long as the arena. `patience`: the backend's deadlines. */
struct reply_script reply_compose(struct ask *k, const struct deadlines *patience,
                                  struct rand *r, struct arena *a);

/* A small JSON (or empty) response to anything else. */
struct reply_script reply_small(int status, struct str body, struct rand *r, struct arena *a);
