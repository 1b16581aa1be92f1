#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/rand.h"
#include "sim_conn.h"
#include "sim_record.h"
#include "sim_reply.h"
#include "sim_setup.h"
#include "tiers/catalog.h"

/*
 * The scripted backends of one episode: they accept connections (or do not), read requests,
 * answer each by a script of its own, and die and come back.
 */

/* One backend's process. */
struct server {
    struct servers *all;
    const struct backend *conf;
    struct str model; /* by what name it knows the model */
    uint32_t tier;
    uint32_t serving;
    bool is_refusing_partials;
    bool is_echoing;
    uint32_t tokenizer;     /* how its POST /tokenize answers: 0 … 99 */
    uint32_t fault_percent; /* of requests after an exchange's first */
    uint32_t sick_percent;  /* of probes */
    uint64_t dead_until_ms;
    uint64_t connect_trouble_ms; /* when it last could not be asked; 0: never */
    bool has_misbehaved;         /* ever did anything that it may be blamed for */
    bool has_been_silent;        /* took longer than anybody waits, or might have */
    bool has_broken;             /* broke a connection off */
    uint64_t probed_ms;          /* when it was last probed */
    struct list sessions;        /* its open connections */
};

struct servers {
    struct record *record; /* borrowed */
    struct arena arena;
    struct rand rand;
    uint64_t seed;
    struct server at[RECORD_SERVERS_MAX];
    uint32_t count;
    uint32_t connect_percent; /* of connects that fail */
    enum setup_resume resume;
    bool hedges;         /* two may work on one exchange */
    struct plan inquiry; /* what the model says to the gateway's own questions */
};

void servers_start(struct servers *all, struct record *rec, const struct setup *setup,
                   struct rand rand, uint64_t seed);
/* The gateway must have closed its connections. */
void servers_stop(struct servers *all);

/* Where server i listens. */
uint16_t servers_port(uint32_t i);

/* Bytes of its response that the gateway has read; 0 when it is over. */
size_t servers_read(const struct servers *all, const struct ask *k);

/* And those that it has not. */
size_t servers_unread(const struct servers *all, const struct ask *k);

/* Connections of the gateway to them that are open. */
size_t servers_sessions(const struct servers *all);
