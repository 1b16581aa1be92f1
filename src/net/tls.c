#include "net/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/check.h"
#include "base/mem.h"

static const unsigned char http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* The earliest error of OpenSSL's queue names the cause; those after it only who passed it on.
 */
static const char *tell_why(const char *what, struct str file)
{
    static _Thread_local char text[512];
    unsigned long code = ERR_get_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerrordesc_np(ERR_GET_REASON(code))
                                                : ERR_reason_error_string(code);
    snprintf(text, sizeof(text), "%s%s%.*s: %s", what, file.len > 0 ? " " : "", STR_FMT(file),
             reason ? reason : "unknown reason");
    ERR_clear_error();
    return text;
}

/* An encrypted key must not stop the start with a question on the terminal. */
static int refuse_passphrase(char *buf, int size, int is_write, void *arg)
{
    (void)buf;
    (void)size;
    (void)is_write;
    (void)arg;
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are OpenSSL's. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    unsigned char *selected = NULL;
    if (SSL_select_next_proto(&selected, out_len, http11, sizeof(http11), in, in_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = selected;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);
    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1); /* one system call for a record instead of two */
    SSL_CTX_set_default_passwd_cb(ctx, refuse_passphrase);
    return ctx;
}

static enum err load_identity(SSL_CTX *ctx, struct str cert_file, struct str key_file,
                              const char **why)
{
    char *cert = mem_dup(cert_file);
    char *key = mem_dup(key_file);
    enum err e = ERR_TLS;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
        *why = tell_why("cannot use certificate", cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        *why = tell_why("cannot use key", key_file);
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        *why = tell_why("key does not belong to the certificate", key_file);
    } else {
        e = ERR_OK;
    }
    free(cert);
    free(key);
    return e;
}

static enum err load_authorities(SSL_CTX *ctx, struct str ca_file, const char **why)
{
    if (ca_file.len == 0) {
        if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
            *why = tell_why("cannot use the system's authorities", STR_NONE);
            return ERR_TLS;
        }
        return ERR_OK;
    }
    char *ca = mem_dup(ca_file);
    int ok = SSL_CTX_load_verify_file(ctx, ca);
    free(ca);
    if (ok != 1) {
        *why = tell_why("cannot use authorities", ca_file);
        return ERR_TLS;
    }
    return ERR_OK;
}

enum err tls_server_new(struct str cert_file, struct str key_file, SSL_CTX **out,
                        const char **why)
{
    SSL_CTX *ctx = new_ctx(TLS_server_method());
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    enum err e = load_identity(ctx, cert_file, key_file, why);
    if (e != ERR_OK) {
        SSL_CTX_free(ctx);
        return e;
    }
    *out = ctx;
    return ERR_OK;
}

enum err tls_client_new(struct str ca_file, struct str cert_file, struct str key_file,
                        SSL_CTX **out, const char **why)
{
    SSL_CTX *ctx = new_ctx(TLS_client_method());
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    CHECK(SSL_CTX_set_alpn_protos(ctx, http11, sizeof(http11)) == 0);
    enum err e = load_authorities(ctx, ca_file, why);
    if (e == ERR_OK && (cert_file.len > 0 || key_file.len > 0)) {
        e = load_identity(ctx, cert_file, key_file, why);
    }
    if (e != ERR_OK) {
        SSL_CTX_free(ctx);
        return e;
    }
    *out = ctx;
    return ERR_OK;
}
