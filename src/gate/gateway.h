#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/hash.h"
#include "gate/answer_cache.h"
#include "gate/settings.h"
#include "llm/dialect.h"
#include "net/loop.h"
#include "tiers/account_queue.h"
#include "tiers/board.h"
#include "tiers/hedge.h"
#include "tiers/journal.h"
#include "tiers/notices.h"
#include "tiers/processes.h"
#include "tiers/retry_budget.h"
#include "tiers/tally.h"
#include "tiers/verdict_log.h"

/*
 * What all threads of one gateway share: the settings, the board, TLS settings, and the way to
 * wake the prober. Made before the threads start, freed after they have ended; everything in it
 * is either immutable or atomic.
 */

/* Of what we send to a backend: settings allow 64 headers of 8 KiB, a key and a path. */
enum { REQUEST_HEAD_MAX = 1 << 20 };

struct gateway {
    const struct settings *settings; /* borrowed: outlives the gateway */
    struct board *board;
    struct tally *tally;
    struct verdict_log *verdicts;
    struct journal *journal; /* what happens, on its way to who keeps it */
    SSL_CTX *listen_tls;     /* NULL: plain */
    SSL_CTX *collector_tls;  /* of traces; NULL: plain */
    SSL_CTX **backend_tls;   /* one a backend, NULL: plain */
    SSL_CTX **teller_tls;    /* TELLERS a backend, by kind; likewise */
    struct str
        *request_head; /* one a backend: head of a chat request up to "Content-Length: " */
    struct retry_budget **retry_budget; /* one a model */
    struct hedge_budget *hedge_budget;  /* one a model */
    struct answer_cache *answer_cache;  /* NULL: no model keeps answers */
    struct notices *notices;            /* which conversations were told of another model */
    struct processes *processes;        /* of managed backends; for the control thread */
    struct account_queue *access_log;   /* on their way to it; NULL: off */
    struct account_queue *spans;        /* likewise, to the collector */
    struct hash_key hash_key;           /* of what names sessions, prompts and conversations */
    uint64_t started_wall_ms;
    _Atomic uint32_t connections; /* open on the API port, all workers */
    _Atomic uint64_t exchange_serial;
    _Atomic bool draining;
    void (*wake_prober)(void *arg); /* any thread may call; set before the workers start */
    void *wake_arg;
    void (*wake_calibrator)(void *arg); /* likewise */
    void *calibrator_arg;
    void (*tell_hang)(
        void *arg); /* likewise: the board says that some backend hangs, is cut or disabled */
    void *tell_hang_arg;

    /* private: */
    struct arena arena;
};

/* Loads certificates and prepares what each backend needs. On error *why says what failed
 * (valid until the next call of this function). */
NODISCARD enum err gateway_new(const struct settings *s, struct gateway **out,
                               const char **why);
void gateway_free(struct gateway **g);

/* How a backend of this type is spoken to; never NULL. */
const struct dialect *gateway_dialect(const struct backend *b);

/* Begins the head of a request to this backend: request line, Host, User-Agent (with its
 * purpose, if any: "probe"), the backend's key and its configured headers. `path` stands behind
 * the backend's prefix. ERR_TOO_LARGE over the buffer's maximum. */
NODISCARD enum err gateway_put_head(const struct backend *b, const char *method,
                                    const char *path, const char *purpose, struct buf *head);

/* Logs a change of state, wakes the prober where the change asks for it, the calibrator, and
 * who waits for a slot of it. Any thread. */
void gateway_note_change(struct gateway *g, const struct backend *b,
                         const struct board_change *change);

/* The operator gives this word on a backend. False: it stood already. The control thread. */
bool gateway_order(struct gateway *g, const struct backend *b, enum operator_word word,
                   uint64_t now_ms);

/* As gateway_note_change, for what others tell of it: its page in the board's telemetry has
 * changed, and more than its sentences. */
void gateway_note_telemetry(struct gateway *g, const struct backend *b, uint64_t now_ms);

/* An attempt at this member of a tier answers; a whole answer. Tells the board, and logs what
 * it does to the breaker. Any thread. */
void gateway_note_content(struct gateway *g, const struct tier_member *m,
                          struct ended_attempt e, uint64_t now_ms);
void gateway_note_answer(struct gateway *g, const struct tier_member *m, struct ended_attempt e,
                         uint64_t now_ms);

/* Logs that a failed attempt there opened the breaker. */
void gateway_note_opened(const struct gateway *g, const struct tier_member *m, uint64_t now_ms);
