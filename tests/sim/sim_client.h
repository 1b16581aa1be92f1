#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/rand.h"
#include "gate/worker.h"
#include "sim_conn.h"
#include "sim_loop.h"
#include "sim_record.h"
#include "sim_server.h"
#include "wire/http_body.h"

/*
 * A scripted client: one connection at a time to the gateway, on which it asks its exchanges
 * one after the other, reads as fast or slowly as the plan says, and leaves where the plan says
 * so. Each exchange that has ended, in whatever way, is handed to `judge`.
 *
 *     start → (connect) → send → read → judge → the next one, after a while
 */

struct client {
    struct sim_end end;
    struct record *record;         /* borrowed */
    const struct servers *servers; /* borrowed */
    struct worker *worker;         /* borrowed */
    struct rand *rand;             /* borrowed */
    void (*judge)(void *owner, struct sim_exchange *x);
    void *owner;
    struct sim_exchange *queue[RECORD_EXCHANGES_MAX];
    uint32_t count;
    uint32_t next;
    /* private: */
    struct sim_exchange *now; /* the one that is asked; NULL: none */
    bool is_open;
    struct sim_event send;
    struct sim_event read;
    struct buf request;
    struct buf unread; /* in the kernel: the gateway has written it, we have not read it */
    bool is_ended;     /* behind what is unread */
    size_t taken;      /* bytes of this answer that were read */
    uint64_t read_ms;  /* when it last read */
    const struct ask
        *waits_for; /* by the last check: bytes of it were not read by the gateway */
    uint64_t waits_since;
    size_t waits_at;
    struct buf head; /* until it is whole */
    struct http_body decoder;
};

void client_init(struct client *c, struct record *rec, const struct servers *servers,
                 struct worker *w, struct rand *r);

/* Begins with the first exchange after so long. */
void client_start(struct client *c, uint32_t after_ms);

bool client_is_done(const struct client *c);

/* From time to time: a client that has read all is not to wait for what a backend has said. */
void client_check_waiting(struct client *c);

/* Closes what is still open. */
void client_stop(struct client *c);
