#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"
#include "tiers/alert_policy.h"
#include "tiers/catalog.h"
#include "wire/url.h"

/*
 * The configuration file as one immutable value (design section 3). Made by settings_load,
 * passed down, shared by all threads; no configuration globals. Secrets in it are never
 * printed.
 */

enum annotate { ANNOTATE_BODY, ANNOTATE_HEADERS, ANNOTATE_OFF };

struct client_key {
    struct str name;        /* for logs */
    struct str key;         /* secret */
    enum priority priority; /* the highest that it may ask for */
};

/* Where events are kept, and how long (ops/history). */
struct history_policy {
    struct str path; /* empty: in memory only */
    uint64_t keep_ms;
    uint64_t max_bytes;
    uint32_t settle_ms; /* how long all must be well before an incident is over */
};

/* Where spans go (ops/otlp), and of which requests. */
struct trace_policy {
    const struct backend *collector; /* of it only where it is, headers and TLS; NULL: off */
    double sample;                   /* 0 … 1, where the client has not decided */
    struct str service;
    uint32_t queue; /* requests that may wait */
    uint32_t timeout_ms;
};

/* The access log (ops/access_log). */
struct access_policy {
    struct str file; /* "stdout", "stderr" or a path; empty: off */
    enum log_format format;
};

struct settings {
    struct catalog catalog;
    const struct address *listen;
    size_t listen_count;
    struct address admin;
    struct str admin_token; /* secret; empty: none (loopback only) */
    uint32_t workers;       /* >= 1; auto is resolved to the number of usable cores */
    struct http_limits limits;
    enum annotate annotate;
    size_t answer_cache_bytes;    /* of answers kept as a last resort, all models together */
    struct stream_policy streams; /* of models that say nothing else */
    struct load_policy load;      /* likewise */
    struct queue_policy queue;    /* likewise */
    const struct client_key *keys;
    size_t key_count;             /* 0: open (loopback only) */
    bool has_low_keys;            /* some may not even ask for normal priority */
    struct str tls_cert, tls_key; /* PEM files of the API port; empty: plain */
    enum log_level log_level;
    enum log_format log_format;
    struct str log_file; /* "stderr" or a path */
    struct history_policy history;
    struct alert_policy alerts; /* who is told of incidents */
    struct trace_policy traces;
    struct access_policy access_log;

    /* private: */
    struct arena arena;
};

/*
 * Reads `path`. On success *out is new (free with settings_free) and *errors may hold warnings
 * only; otherwise NULL and every mistake is in *errors, each with line and column. Looks up
 * ${NAME} in the environment and {file: PATH} on disk; opens nothing else.
 */
NODISCARD enum err settings_load(struct str path, struct conf_errors *errors,
                                 struct settings **out);
void settings_free(struct settings **s);
