#include "net/conn_tls.h"

#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/conn.h"

/*
 * After a blocked write the next one must offer at least as many bytes, the same ones first.
 * Every write is of min(what is left, RECORD_BYTES), however the parts are cut, so this holds
 * as long as the caller offers again what was not taken.
 */
enum { RECORD_BYTES = 16384 };

static void check_name(SSL *ssl, const char *server_name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, server_name) == 1) {
        return; /* an address: SNI is for names only (RFC 6066 3) */
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    CHECK(SSL_set1_host(ssl, server_name) == 1);
    char *name = mem_dup(str_from(server_name)); /* OpenSSL's macro casts const away */
    CHECK(SSL_set_tlsext_host_name(ssl, name) == 1);
    free(name);
}

SSL *conn_tls_new(SSL_CTX *ctx, int fd, const char *server_name)
{
    SSL *ssl = SSL_new(ctx);
    CHECK(ssl != NULL);
    CHECK(SSL_set_fd(ssl, fd) == 1);
    if (server_name) {
        check_name(ssl, server_name);
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    ERR_clear_error();
    return ssl;
}

static enum err explain_protocol_error(void)
{
    bool is_cut = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    ERR_clear_error();
    return is_cut ? ERR_RESET : ERR_TLS;
}

static enum err explain(const SSL *ssl, int result, unsigned *want)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *want = CONN_READABLE;
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        *want = CONN_WRITABLE;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return ERR_EOF;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return ERR_RESET;
    default:
        return explain_protocol_error();
    }
}

enum err conn_tls_handshake(SSL *ssl, unsigned *want)
{
    ERR_clear_error();
    int result = SSL_do_handshake(ssl);
    if (result == 1) {
        return ERR_OK;
    }
    enum err e = explain(ssl, result, want);
    return e == ERR_EOF ? ERR_RESET : e;
}

enum err conn_tls_read(SSL *ssl, char *dst, size_t cap, size_t *got, unsigned *want)
{
    ERR_clear_error();
    int result = SSL_read_ex(ssl, dst, cap, got);
    return result == 1 ? ERR_OK : explain(ssl, result, want);
}

/* Where in the parts we are. */
struct cursor {
    const struct str *parts;
    size_t count;
    size_t skip; /* bytes of the first part already written */
};

static void skip_empty(struct cursor *at)
{
    while (at->count > 0 && at->skip == at->parts->len) {
        at->parts++;
        at->count--;
        at->skip = 0;
    }
}

/* The next record's bytes: in place when the first part fills it or is the only one, else
 * gathered. */
static struct str gather(struct cursor at, char room[RECORD_BYTES])
{
    size_t left = at.parts->len - at.skip;
    if (left >= RECORD_BYTES || at.count == 1) {
        return str_of(at.parts->ptr + at.skip, left < RECORD_BYTES ? left : RECORD_BYTES);
    }
    size_t used = 0;
    while (at.count > 0 && used < RECORD_BYTES) {
        size_t size = at.parts->len - at.skip;
        size = size < RECORD_BYTES - used ? size : RECORD_BYTES - used;
        if (size > 0) {
            memcpy(room + used, at.parts->ptr + at.skip, size);
        }
        used += size;
        at.skip += size;
        skip_empty(&at);
    }
    return str_of(room, used);
}

static void advance(struct cursor *at, size_t size)
{
    while (size > 0) {
        size_t left = at->parts->len - at->skip;
        size_t step = size < left ? size : left;
        at->skip += step;
        size -= step;
        skip_empty(at);
    }
}

enum err conn_tls_write(SSL *ssl, const struct str *parts, size_t count, size_t *put,
                        unsigned *want)
{
    char room[RECORD_BYTES];
    struct cursor at = {.parts = parts, .count = count, .skip = 0};
    *put = 0;
    skip_empty(&at);
    while (at.count > 0) {
        struct str bytes = gather(at, room);
        size_t taken = 0;
        ERR_clear_error();
        int result = SSL_write_ex(ssl, bytes.ptr, bytes.len, &taken);
        if (result != 1) {
            enum err e = explain(ssl, result, want);
            return e == ERR_EOF ? ERR_RESET : e;
        }
        *put += taken;
        advance(&at, taken);
    }
    return ERR_OK;
}

void conn_tls_end(SSL *ssl)
{
    ERR_clear_error();
    if (SSL_is_init_finished(ssl)) {
        (void)SSL_shutdown(ssl);
    }
    ERR_clear_error();
}
