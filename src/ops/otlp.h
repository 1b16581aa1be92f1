#pragma once

#include <stdint.h>

#include <openssl/ssl.h>

#include "base/str.h"
#include "net/loop.h"
#include "tiers/account_queue.h"
#include "tiers/catalog.h"

/*
 * Spans on their way to a collector: OTLP over HTTP, as protocol buffers (opentelemetry-proto,
 * "OTLP/HTTP"). Takes accounts from the queue once a second, or sooner when many wait, and
 * sends them in batches, one at a time. A collector that is away, or says 429, 502, 503 or 504,
 * is asked again later and later (or when its Retry-After says); meanwhile the queue fills, and
 * what finds no room there is lost. Any other answer loses its batch. Nobody who carries
 * traffic ever waits for it. Belongs to the loop's thread; the counts may be read by any.
 */

struct otlp_conf {
    struct loop *loop;
    struct account_queue *queue;     /* borrowed */
    const struct backend *collector; /* where it is, path and headers; borrowed */
    SSL_CTX *tls;                    /* NULL: plain; borrowed */
    struct str service;              /* borrowed */
    uint32_t timeout_ms;             /* for an answer */
};

struct otlp;

struct otlp *otlp_start(const struct otlp_conf *conf);
void otlp_stop(struct otlp **o); /* NULL: nothing */

/* No more accounts will come: sends what there is, for limit_ms at most, then calls `done`
 * (from the loop). A collector that is away now is not waited for. */
void otlp_drain(struct otlp *o, uint32_t limit_ms, void (*done)(void *arg), void *arg);

/* Since the start. */
uint64_t otlp_exported(const struct otlp *o); /* spans that the collector has taken */
uint64_t otlp_dropped(const struct otlp *o);  /* that it never will */
