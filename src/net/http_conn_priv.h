#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/stock.h"
#include "net/conn.h"
#include "net/http_server.h"
#include "net/loop.h"
#include "wire/http_body.h"

/*
 * What the four files of the HTTP server share; nobody else includes this. http_server.c owns
 * connections and their deadlines, http_input.c reads requests, http_room.c has
 * the memory for their bodies, http_reply.c writes answers.
 *
 * A connection is two small machines side by side, because an answer may begin before the
 * request has been read and queued bytes may go out after it has ended:
 *
 *   input    IN_HEAD → IN_BODY → IN_STORE → IN_HEAD …       IN_DRAIN: nothing more is of
 * interest └─ answered early ─ IN_DISCARD ┘ output   OUT_IDLE → OUT_OWED → OUT_BEGUN →
 * OUT_ENDED → OUT_IDLE … └→ OUT_LAST → (OUT_SHUT →) OUT_CLOSED
 *
 * The next request is looked at when output is OUT_ENDED with nothing queued and input is
 * IN_STORE.
 */

enum http_in {
    IN_HEAD,    /* idle, or a part of a head is in `in` */
    IN_BODY,    /* on_head has been called, on_request has not */
    IN_DISCARD, /* the rest of a body whose answer has begun is read away */
    IN_STORE,   /* the request is whole; what comes belongs to the next one */
    IN_DRAIN    /* what comes is thrown away until the connection is closed */
};

enum http_out {
    OUT_IDLE,  /* no request */
    OUT_OWED,  /* the handler has a request to answer */
    OUT_BEGUN, /* the head of the answer is queued or sent */
    OUT_ENDED, /* the answer is complete; some of it may be queued */
    OUT_LAST,  /* as OUT_ENDED, and the connection closes after it */
    OUT_SHUT,  /* sending has ended; waits for the client to close (RFC 9112 9.6) */
    OUT_CLOSED /* memory is given back at the end of the turn */
};

/* Besides the bits of enum conn_event. */
enum { EV_STORED = 256, EV_DUE = 512, EV_REFUSE = 1024 };

enum {
    PIPELINE_MAX = 64 * 1024, /* bytes of later requests that may wait */
    DISCARD_MAX = 256 * 1024, /* bytes of an unwanted body that are read away */
    DISCARD_MS = 5000,
    LINGER_MS = 2000
};

/* A request while it is read and answered. */
struct http_active {
    struct http_active *next; /* in the server's free list */
    char *head;               /* what the slices of `request` point into; may be NULL */
    char *body;               /* owned; its memory is the block's where there is one */
    size_t body_len;
    size_t body_cap; /* so much may be written */
    struct block block;
    struct http_request request;
};

struct http_server {
    struct loop *loop; /* borrowed; outlives the server */
    struct http_limits limits;
    struct http_handler handler;
    SSL_CTX *tls;
    _Atomic uint32_t *count; /* shared by all servers */
    struct list conns;
    bool is_draining;
    void (*on_empty)(void *arg);
    void *empty_arg;
    struct task empty_task;
    struct http_active *spare; /* owned; a few blocks for the next requests */
    size_t spare_count;
    struct stock stock;       /* memory for large bodies */
    struct timer stock_timer; /* armed while something is kept */
    uint64_t date_s;          /* wall second that `date` shows */
    char date[32];
};

struct http_conn {
    /* What each piece of an answer needs lies together: with many streams, each line of the
     * cache that it touches costs a wait for memory. */
    struct conn *conn; /* NULL once closed or cut */
    struct buf out;    /* bytes not yet taken by the kernel */
    uint64_t out_due_ms;
    enum http_out out_state;
    bool is_blocked;     /* CONN_WRITABLE will come */
    bool is_gone;        /* the client is, while we answer */
    bool is_silent;      /* the answer has no body */
    bool is_chunked;     /* the answer is */
    bool is_stream;      /* its length is not known */
    bool is_closing;     /* Connection: close */
    bool may_say_more;   /* the client may send a further request: linger when closing */
    uint64_t reply_left; /* bytes that the announced length still owes */
    void (*wake)(void *user, unsigned what);
    void *user; /* borrowed */

    struct http_server *server; /* borrowed; outlives its connections */
    struct http_active *active; /* owned; from on_head to the end of the answer */
    struct task task;
    unsigned events; /* recorded, not yet looked at */
    enum http_in in_state;
    uint64_t in_due_ms;
    struct timer timer; /* at the earlier one of the two dues */
    struct buf in;      /* bytes read but not used: a part of a head, later requests */
    size_t scanned;     /* of `in`, by http_head_find */
    unsigned blanks;    /* empty lines skipped before this head */
    bool is_paused;     /* reading */
    bool is_ended;      /* the client has ended its side */
    bool wants_100;     /* the client waits for 100 Continue */
    uint64_t discarded; /* bytes of IN_DISCARD or IN_DRAIN */
    struct http_body decoder;
    struct list_node node;
};

/* --- http_server.c --- */

/* Arms the timer for the earlier due. */
void http_conn_arm(struct http_conn *c);
void http_conn_pause(struct http_conn *c);
void http_conn_resume(struct http_conn *c);
/* The client is gone: tells the user, or closes when nobody is answering. */
void http_conn_lose(struct http_conn *c);
/* After progress: the next request, or the end of the connection, when it is time. */
void http_conn_settle(struct http_conn *c);
void http_conn_close(struct http_conn *c, bool reset);
/* A block for a request: `head` is copied; everything else is the caller's to set. */
struct http_active *http_conn_begin(struct http_conn *c, struct str head);
/* Ends the request: gives back its memory, detaches the user. */
void http_conn_release(struct http_conn *c);

/* --- http_room.c --- */

void http_room_init(struct http_server *s);
void http_room_fini(struct http_server *s);
/* Room for `size` bytes of body or for `most`, if that is less (body_cap says); what is there
 * stays. More than `size` where that costs nothing, never more than `most`. */
void http_room_grow(struct http_conn *c, size_t size, size_t most);
/* Gives back the body's memory. */
void http_room_free(struct http_server *s, struct http_active *a);

/* --- http_input.c --- */

/* One read, and what follows from it. */
void http_input_read(struct http_conn *c);
/* Goes on with stored bytes. */
void http_input_stored(struct http_conn *c);
/* The deadline of the input has come. */
void http_input_due(struct http_conn *c);
/* The answer begins before the body is read: from here on it is read away, or not at all. */
void http_input_discard(struct http_conn *c);
/* Refuses by the handler; `seen`: the bytes of the head, for a guess at its path. */
void http_input_fault(struct http_conn *c, const struct http_fault *fault, struct str seen);

/* --- http_reply.c --- */

/* The socket takes bytes again. */
void http_output_go_on(struct http_conn *c);
/* Sends the parts, behind what is queued. */
void http_output_send(struct http_conn *c, const struct str *parts, size_t count);
