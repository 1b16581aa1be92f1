#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"

/*
 * One stream socket, plain or TLS, that never blocks. Events only call `notify`, which records
 * and readies; the owner then pulls with conn_read and conn_write. Who reads less than there is
 * is told again in the next phase, until nothing is left. Belongs to one loop's thread.
 */

enum conn_event {
    CONN_READABLE = 1, /* bytes, an end or an error can be read */
    CONN_WRITABLE = 2, /* a blocked write may go on, or connecting has ended */
};

struct conn;

/* Takes over fd (accepted, non-blocking). `tls`: NULL for plain; else handshake as the server.
 */
struct conn *conn_accepted(struct loop *l, int fd, SSL_CTX *tls,
                           void (*notify)(void *owner, unsigned events), void *owner);

struct conn_target {
    const struct sockaddr *address;
    socklen_t address_len;
    SSL_CTX *tls; /* NULL: plain; else handshake as a client */
    const char
        *server_name; /* with TLS: SNI and name check; an IP literal is checked as an address */
};

/* Begins to connect; CONN_WRITABLE when it has ended, then ask conn_connected. On error *out
 * stays untouched. */
NODISCARD enum err conn_connect(struct loop *l, const struct conn_target *to,
                                void (*notify)(void *owner, unsigned events), void *owner,
                                struct conn **out);

/* ERR_OK when connected and, with TLS, shaken hands; ERR_AGAIN; else why not. */
NODISCARD enum err conn_connected(struct conn *c);

/* A pooled connection changes hands. */
void conn_set_owner(struct conn *c, void (*notify)(void *owner, unsigned events), void *owner);

/* Up to `cap` bytes. ERR_OK with *got > 0, ERR_AGAIN, ERR_EOF, ERR_RESET, ERR_TLS, ERR_IO; an
 * end or an error is final. A TLS stream that ends without its close_notify is ERR_RESET. */
NODISCARD enum err conn_read(struct conn *c, char *dst, size_t cap, size_t *got);

/* Writes the parts in order as far as they go (one system call for plain sockets); *put says
 * how many bytes went, whatever is returned. ERR_OK when all went, ERR_AGAIN (CONN_WRITABLE
 * will come; the next write must begin with the bytes that did not go: TLS has already sealed
 * some), ERR_RESET, …. */
NODISCARD enum err conn_write(struct conn *c, const struct str *parts, size_t count,
                              size_t *put);

/* Reading interest on or off (back-pressure). A gone peer is still noticed as CONN_READABLE
 * when it is on again; use conn_is_gone to look without it. */
void conn_read_pause(struct conn *c);
void conn_read_resume(struct conn *c);

/* True when the peer has closed, its sending side at least, or reset; whether or not bytes
 * still wait to be read before that. */
bool conn_is_gone(struct conn *c);

/* "127.0.0.1:51234", for logs; static storage per conn. */
const char *conn_peer(const struct conn *c);

/* Ends sending, keeps reading: for answers that must not be lost in a reset (RFC 9112 9.6). */
void conn_shutdown_write(struct conn *c);

/* Closes and frees (later, at a safe point of the loop); no notify any more. `reset`: end with
 * RST, so that a cut answer cannot look whole. */
void conn_close(struct conn **c);
void conn_abort(struct conn **c);
