#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"
#include "wire/http_head.h"

/*
 * The server side of HTTP/1.1 on one loop: connections, heads, bodies, keep-alive, limits and
 * their errors. Who answers is the handler (gate for the API port, ops for the admin port). One
 * request at a time on a connection; pipelined ones wait their turn in the buffer.
 *
 *     idle → head → [on_head] → body → [on_request] → answering → idle or closed
 *
 * Deadlines: a head must be complete within header_ms of its first byte, a body within body_ms
 * of its head (408), an idle connection is closed after idle_ms, an answer that the client does
 * not read at all for send_ms cuts the connection.
 *
 * A client that closes its side, resets, or stops reading while it is being answered is gone:
 * the attached user is told HTTP_GONE. From then on answers are accepted and thrown away; the
 * connection stays valid until the user ends as always, by `last` or by http_reply_abort. A
 * client that goes before on_request, when nobody is attached, disappears without a word.
 */

struct http_limits {
    size_t header_bytes;  /* 32 KiB → 431 */
    uint64_t body_bytes;  /* 32 MiB → 413, refused by its head before a byte of it is kept */
    uint32_t connections; /* per process → 503; shared counter */
    uint32_t header_ms;   /* 10 s */
    uint32_t body_ms;     /* 60 s */
    uint32_t idle_ms;     /* 75 s */
    uint32_t send_ms;     /* 60 s */
};

struct http_conn;

enum http_wake {
    HTTP_GONE = 1,   /* the client closed or reset while we were answering: cancel */
    HTTP_DRAINED = 2 /* what was queued has gone out: go on */
};

struct http_handler {
    void *owner;
    /* The head is there, the body is not. May answer at once with http_reply_* (then the body
     * is read away within limits or the connection closed); otherwise the body is read, and
     * on_request or on_fault follows. */
    void (*on_head)(void *owner, struct http_conn *c);
    /* The whole request is there. Must answer, now or later, by http_reply_*. */
    void (*on_request)(void *owner, struct http_conn *c);
    /* The server refuses this request itself (400, 408, 413, 417, 431, 501, 503, 505): answer
     * with this status in the dialect of the path (empty when unknown). The connection is
     * closed after it. */
    void (*on_fault)(void *owner, struct http_conn *c, int status, const char *code,
                     const char *why);
};

struct http_server;

/* Several servers (one a worker) may share `connection_count` (atomic), the limit's counter. */
struct http_server *http_server_new(struct loop *l, const struct http_limits *limits,
                                    const struct http_handler *handler, SSL_CTX *tls,
                                    _Atomic uint32_t *connection_count);
/* All connections must be closed (http_server_drain, or cut). May be called from on_empty. */
void http_server_free(struct http_server **s);

/* Takes over an accepted socket. Over the limit: refused by on_fault 503, far over it just
 * closed. */
void http_server_accept(struct http_server *s, int fd);

/* Idle connections are closed, others after their answer (Connection: close). `on_empty` (may
 * be NULL) is called once when the last one is gone, at once if there is none. */
void http_server_drain(struct http_server *s, void (*on_empty)(void *arg), void *arg);
/* Closes all sockets at once. Those being answered count until their users, told HTTP_GONE,
 * have ended the answer. */
void http_server_cut(struct http_server *s);
size_t http_server_connections(const struct http_server *s);

/* --- the request, valid from on_head until the answer is finished or aborted --- */

/* In on_fault it may be empty but for a guess at the path. */
const struct http_request *http_conn_request(const struct http_conn *c);
struct str http_conn_body(const struct http_conn *c);  /* from on_request on */
const char *http_conn_peer(const struct http_conn *c); /* "" when the server has cut it */

/* Who is told of enum http_wake bits while answering (at once, when the client is gone
 * already); record and ready only. The end of the answer detaches; a user that goes before
 * detaches with NULL. */
void http_conn_attach(struct http_conn *c, void (*wake)(void *user, unsigned what), void *user);

/* --- the answer --- */

struct http_reply {
    int status;
    struct str content_type;
    struct str extra; /* further header lines, each "Name: value\r\n", safe (http_put_header) */
    bool is_stream;   /* chunked (or until close for HTTP/1.0); else `length` bytes follow */
    uint64_t length;
    bool close; /* Connection: close */
};

/* Queues the head; it goes out with the first data or at finish (or http_reply_flush). Adds
 * Date, Content-Type, Content-Length or Transfer-Encoding, Connection, and `extra`. HEAD
 * requests, 204 and 304 get no body: data is swallowed. */
void http_reply_begin(struct http_conn *c, const struct http_reply *r);

/*
 * Sends payload: as one chunk, or plain. What the socket does not take is copied and goes out
 * later; then http_reply_pending is not 0 and HTTP_DRAINED follows. Wait for it: a queue that
 * passes HTTP_QUEUE_MAX counts as a client that is gone. `last`: nothing follows (ends the
 * framing in the same write); when this returns the request's slices are void and the
 * connection is no longer the caller's.
 */
enum { HTTP_QUEUE_MAX = 64 << 20 };
void http_reply_data(struct http_conn *c, const struct str *parts, size_t count, bool last);

/* Sends what is queued (a head without data yet). */
void http_reply_flush(struct http_conn *c);

size_t http_reply_pending(const struct http_conn *c); /* bytes not yet taken by the kernel */
bool http_reply_is_begun(const struct http_conn *c);

/* Ends the answer without the end of its framing: a broken answer never looks whole. Cuts the
 * connection with a reset at once; `polite`: queued bytes are sent first (an error event), then
 * it is closed. The connection is no longer the caller's. */
void http_reply_abort(struct http_conn *c, bool polite);

/* Head, body and end in one: for errors and small answers. */
void http_reply_whole(struct http_conn *c, const struct http_reply *r, struct str body);
