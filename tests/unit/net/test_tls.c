#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificate.h"
#include "net/tls.h"

struct files {
    struct certificate mine;
    struct certificate other;
    char sealed_key[64]; /* asks for a passphrase */
};

static struct files files;

static int make_files(void **state)
{
    (void)state;
    certificate_make(&files.mine, "DNS:a.test");
    certificate_make(&files.other, "DNS:b.test");
    FILE *out = certificate_file(files.sealed_key, sizeof(files.sealed_key));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    static const unsigned char passphrase[] = "secret";
    PEM_write_PrivateKey(out, key, EVP_aes_128_cbc(), passphrase, 6, NULL, NULL);
    EVP_PKEY_free(key);
    fclose(out);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certificate_remove(&files.mine);
    certificate_remove(&files.other);
    unlink(files.sealed_key);
    return 0;
}

static void says_why_a_file_cannot_be_used(void **state)
{
    (void)state;
    const struct {
        const char *cert;
        const char *key;
        const char *told;
    } cases[] = {
        {"/nonexistent/cert", files.mine.key_file, "/nonexistent/cert: No such file"},
        {files.mine.cert_file, "/nonexistent/key", "/nonexistent/key: No such file"},
        {files.mine.key_file, files.mine.key_file, "cannot use certificate"},
        {files.mine.cert_file, files.mine.cert_file, "cannot use key"},
        {files.mine.cert_file, files.other.key_file, "key"},
        {files.mine.cert_file, files.sealed_key, "cannot use key"},
        {"", files.mine.key_file, "cannot use certificate"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SSL_CTX *ctx = NULL;
        const char *why = NULL;
        assert_int_equal(
            tls_server_new(str_from(cases[i].cert), str_from(cases[i].key), &ctx, &why),
            ERR_TLS);
        assert_null(ctx);
        assert_non_null(why);
        assert_non_null(strstr(why, cases[i].told));
    }
    SSL_CTX *ctx = NULL;
    const char *why = NULL;
    assert_int_equal(tls_client_new(STR("/nonexistent/ca"), STR_NONE, STR_NONE, &ctx, &why),
                     ERR_TLS);
    assert_non_null(strstr(why, "/nonexistent/ca"));
    assert_int_equal(
        tls_client_new(STR_NONE, str_from(files.mine.cert_file), STR_NONE, &ctx, &why),
        ERR_TLS);
    assert_null(ctx);
}

/* Both sides over a pair of memory pipes; true when both have shaken hands. */
static bool shake(SSL *client, SSL *server)
{
    BIO *client_side = NULL;
    BIO *server_side = NULL;
    assert_int_equal(BIO_new_bio_pair(&client_side, 0, &server_side, 0), 1);
    SSL_set_bio(client, client_side, client_side);
    SSL_set_bio(server, server_side, server_side);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    bool is_client_done = false;
    bool is_server_done = false;
    for (int i = 0; i < 20 && !(is_client_done && is_server_done); i++) {
        is_client_done = is_client_done || SSL_do_handshake(client) == 1;
        is_server_done = is_server_done || SSL_do_handshake(server) == 1;
    }
    return is_client_done && is_server_done;
}

static SSL_CTX *server_ctx(void)
{
    SSL_CTX *ctx = NULL;
    const char *why = NULL;
    assert_int_equal(tls_server_new(str_from(files.mine.cert_file),
                                    str_from(files.mine.key_file), &ctx, &why),
                     ERR_OK);
    return ctx;
}

static SSL_CTX *client_ctx(void)
{
    SSL_CTX *ctx = NULL;
    const char *why = NULL;
    struct str cert = str_from(files.mine.cert_file);
    assert_int_equal(tls_client_new(cert, cert, str_from(files.mine.key_file), &ctx, &why),
                     ERR_OK);
    return ctx;
}

static void both_sides_agree_on_http_1_1(void **state)
{
    (void)state;
    static const struct {
        const unsigned char offer[16];
        unsigned offer_len; /* 0: what tls_client_new offers; 1: nothing */
        bool expected;
        unsigned chosen_len;
    } cases[] = {
        {{0}, 0, true, 8},
        {{0}, 1, true, 0},
        {{2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'}, 12, true, 8},
        {{2, 'h', '2'}, 3, false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        SSL_CTX *server_side = server_ctx();
        SSL_CTX *client_side = client_ctx();
        if (cases[i].offer_len > 0) {
            SSL_CTX_set_alpn_protos(client_side, cases[i].offer,
                                    cases[i].offer_len > 1 ? cases[i].offer_len : 0);
        }
        SSL *server = SSL_new(server_side);
        SSL *client = SSL_new(client_side);
        assert_int_equal(shake(client, server), cases[i].expected);
        const unsigned char *chosen = NULL;
        unsigned chosen_len = 0;
        SSL_get0_alpn_selected(client, &chosen, &chosen_len);
        assert_int_equal(chosen_len, cases[i].chosen_len);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_side);
        SSL_CTX_free(server_side);
    }
}

static void versions_before_1_2_are_refused(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        SSL_CTX *server_side = server_ctx();
        SSL_CTX *client_side = client_ctx();
        SSL_CTX_set_security_level(client_side, 0);
        SSL_CTX_set_min_proto_version(client_side, TLS1_1_VERSION);
        SSL_CTX_set_max_proto_version(client_side, versions[i]);
        SSL *server = SSL_new(server_side);
        SSL *client = SSL_new(client_side);
        assert_int_equal(shake(client, server), versions[i] != TLS1_1_VERSION);
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_side);
        SSL_CTX_free(server_side);
    }
}

static void a_client_verifies_its_server(void **state)
{
    (void)state;
    SSL_CTX *server_side = server_ctx();
    SSL_CTX *client_side = NULL;
    const char *why = NULL;
    assert_int_equal(
        tls_client_new(str_from(files.other.cert_file), STR_NONE, STR_NONE, &client_side, &why),
        ERR_OK);
    SSL *server = SSL_new(server_side);
    SSL *client = SSL_new(client_side);
    assert_false(shake(client, server));
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_side);
    SSL_CTX_free(server_side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_why_a_file_cannot_be_used),
        cmocka_unit_test(both_sides_agree_on_http_1_1),
        cmocka_unit_test(versions_before_1_2_are_refused),
        cmocka_unit_test(a_client_verifies_its_server),
    };
    return cmocka_run_group_tests_name("net/tls", tests, make_files, remove_files);
}
