#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/loop.h"
#include "wire/http_head.h"
#include "wire/url.h"

/*
 * One HTTP request and its response, for commands, never for the data path: waited for on a
 * loop of its own, or beside other things on the caller's. http and https (certificates are
 * verified against the system's CAs).
 */

enum { FETCH_BODY_MAX = 16 * 1024 * 1024, FETCH_TICK_MS = 200 };

struct fetch_conf {
    const char *method;
    struct url url;
    struct str target;   /* behind the path of the URL: "/status?x=1"; both empty: "/" */
    struct str bearer;   /* token of an Authorization header; empty: none */
    struct str json;     /* body; empty: none */
    struct str extra;    /* further header lines, each with its line end */
    uint32_t timeout_ms; /* for all of it */
    int stop_fd;         /* of fetch: gives up when this becomes readable; 0: none */

    /* Of fetch: told every FETCH_TICK_MS while it waits; NULL: nobody. */
    void (*on_tick)(void *arg);
    void *tick_arg;

    /* Gets the body piece by piece, after the head is in `out`; false gives up. NULL: the body
     * is collected, at most FETCH_BODY_MAX. */
    bool (*on_piece)(void *owner, struct str piece);
    void *owner;
};

struct fetched {
    int status;      /* 0: no response head came */
    struct str body; /* without on_piece: what came of it */
    char why[128];   /* what went wrong, in words; "" for ERR_OK */

    /* private: */
    struct http_response head;
    struct buf collected;
    struct arena arena;
};

/*
 * ERR_OK: a whole response, whatever its status. ERR_EOF: given up because of stop_fd or the
 * callback. ERR_TIMEOUT, and what http_call_head and http_call_body say, ERR_TOO_LARGE for the
 * body, ERR_SYNTAX for a token that no header can carry. fetched_fini in any case.
 */
NODISCARD enum err fetch(const struct fetch_conf *conf, struct fetched *out);

/*
 * The same on the caller's loop. `on_end` is called once, with what fetch would have returned,
 * later and never from within fetch_open; it may not close the fetch itself. `conf`, what it
 * points to, and `out` must outlive it. fetch_close at any time, before fetched_fini: what was
 * under way is given up, and nobody is called.
 */
struct fetch;
struct fetch *fetch_open(struct loop *l, const struct fetch_conf *conf, struct fetched *out,
                         void (*on_end)(void *arg, enum err result), void *arg);
void fetch_close(struct fetch **f);

/* Value of a header of the response, or an empty str; lives until fetched_fini. */
struct str fetched_header(const struct fetched *f, const char *name);

void fetched_fini(struct fetched *f);

/* "http://host:port" of the URL, without its path. Lives as long as the arena. */
struct str fetch_origin(const struct url *u, struct arena *a);
