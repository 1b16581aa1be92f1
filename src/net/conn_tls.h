#pragma once

#include <stddef.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"

/*
 * The TLS half of a connection: OpenSSL's calls on a non-blocking socket, with its errors as
 * ours. When one says ERR_AGAIN, *want is CONN_READABLE or CONN_WRITABLE: what the socket must
 * be for going on, which need not be what the caller is doing. An end without close_notify is
 * ERR_RESET, so that a cut stream cannot look whole.
 */

/* server_name NULL: we are the server. */
SSL *conn_tls_new(SSL_CTX *ctx, int fd, const char *server_name);

NODISCARD enum err conn_tls_handshake(SSL *ssl, unsigned *want);
NODISCARD enum err conn_tls_read(SSL *ssl, char *dst, size_t cap, size_t *got, unsigned *want);

/* As conn_write. After ERR_AGAIN the next call must begin with the same bytes. */
NODISCARD enum err conn_tls_write(SSL *ssl, const struct str *parts, size_t count, size_t *put,
                                  unsigned *want);

/* Sends close_notify if that can be done at once. Not after an error. */
void conn_tls_end(SSL *ssl);
