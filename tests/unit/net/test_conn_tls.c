#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificate.h"
#include "net/tls.h"
#include "pair.h"

struct keys {
    struct certificate certificate;
    SSL_CTX *server;
    SSL_CTX *client;   /* trusts the server's certificate */
    SSL_CTX *stranger; /* trusts the system's authorities only */
};

static struct keys keys;

static int make_keys(void **state)
{
    (void)state;
    const char *why = "";
    certificate_make(&keys.certificate, "DNS:gateway.test,IP:127.0.0.1");
    struct str cert = str_from(keys.certificate.cert_file);
    struct str key = str_from(keys.certificate.key_file);
    bool ok = tls_server_new(cert, key, &keys.server, &why) == ERR_OK &&
              tls_client_new(cert, STR_NONE, STR_NONE, &keys.client, &why) == ERR_OK &&
              tls_client_new(STR_NONE, STR_NONE, STR_NONE, &keys.stranger, &why) == ERR_OK;
    certificate_remove(&keys.certificate);
    return ok ? 0 : -1;
}

static int free_keys(void **state)
{
    (void)state;
    SSL_CTX_free(keys.server);
    SSL_CTX_free(keys.client);
    SSL_CTX_free(keys.stranger);
    return 0;
}

static struct pair *tls_pair(void)
{
    struct pair *p = pair_new(keys.client, "gateway.test", keys.server);
    assert_int_equal(settle(p), ERR_OK);
    return p;
}

static void shakes_hands_and_talks_in_pieces_of_many_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 255, 16383, 16384, 16385, 32768, 70000};
    char *bytes = make_bytes(70000);
    struct pair *p = tls_pair();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        p->client.in_len = 0;
        p->server.in_len = 0;
        send_bytes(&p->client, bytes, sizes[i]);
        assert_true(step_until_read(p, &p->server, sizes[i]));
        send_bytes(&p->server, bytes, sizes[i]);
        assert_true(step_until_read(p, &p->client, sizes[i]));
        assert_memory_equal(p->server.in, bytes, sizes[i]);
        assert_memory_equal(p->client.in, bytes, sizes[i]);
    }
    pair_free(p);
    free(bytes);
}

static void a_blocked_tls_write_goes_on_however_the_parts_are_cut(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    char *bytes = make_bytes(SIZE);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct pair *p = tls_pair();
        int small = 30000;
        assert_int_equal(setsockopt(p->server_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                         0);
        p->client.step = 30000;
        p->server.rand.state = seed;
        send_bytes(&p->server, bytes, SIZE);
        assert_true(step_until_read(p, &p->client, SIZE));
        assert_memory_equal(p->client.in, bytes, SIZE);
        assert_true(p->server.out_blocked > 10);
        pair_free(p);
    }
    free(bytes);
}

static void both_ways_at_once(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *bytes = make_bytes(SIZE);
    struct pair *p = tls_pair();
    send_bytes(&p->client, bytes, SIZE);
    send_bytes(&p->server, bytes, SIZE);
    assert_true(step_until_read(p, &p->server, SIZE));
    assert_true(step_until_read(p, &p->client, SIZE));
    assert_memory_equal(p->server.in, bytes, SIZE);
    assert_memory_equal(p->client.in, bytes, SIZE);
    pair_free(p);
    free(bytes);
}

static void an_owner_that_reads_a_byte_at_a_time_gets_them_all(void **state)
{
    (void)state;
    enum { SIZE = 3000 };
    char *bytes = make_bytes(SIZE);
    struct pair *p = tls_pair();
    p->client.step = 1;
    send_bytes(&p->server, bytes, SIZE);
    assert_true(step_until_read(p, &p->client, SIZE));
    assert_memory_equal(p->client.in, bytes, SIZE);
    pair_free(p);
    free(bytes);
}

static void bytes_inside_tls_wait_for_a_paused_reader(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    p->client.step = 10;
    send_bytes(&p->server, "0123456789abcdefghij", 20);
    assert_true(step_until_read(p, &p->client, 10));
    conn_read_pause(p->client.conn);
    turn_times(p->loop, 3);
    p->client.told = 0;
    turn_times(p->loop, 3);
    assert_int_equal(p->client.told, 0);
    conn_read_resume(p->client.conn);
    assert_true(step_until_read(p, &p->client, 20));
    assert_memory_equal(p->client.in, "0123456789abcdefghij", 20);
    pair_free(p);
}

static void bytes_inside_tls_are_told_to_a_new_owner(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    p->client.step = 10;
    send_bytes(&p->server, "0123456789abcdefghij", 20);
    assert_true(step_until_read(p, &p->client, 10));
    turn_times(p->loop, 3);
    struct end other = {.conn = p->client.conn};
    conn_set_owner(p->client.conn, on_event, &other);
    turn_times(p->loop, 2);
    assert_int_equal(other.told, CONN_READABLE);
    pair_free(p);
}

static void a_tls_stream_ends_with_its_close_notify(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    send_bytes(&p->server, "all", 3);
    assert_true(step_until_read(p, &p->client, 3));
    conn_close(&p->server.conn);
    assert_true(step_until_end(p, &p->client));
    assert_int_equal(p->client.in_end, ERR_EOF);
    pair_free(p);
}

static void a_tls_stream_cut_short_does_not_look_whole(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    send_bytes(&p->server, "al", 2);
    assert_true(step_until_read(p, &p->client, 2));
    assert_int_equal(shutdown(p->server_fd, SHUT_WR), 0); /* FIN, but no close_notify */
    assert_true(step_until_end(p, &p->client));
    assert_int_equal(p->client.in_end, ERR_RESET);
    pair_free(p);
}

static void an_end_read_together_with_the_last_bytes_is_told(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    struct str part = STR("the last bytes");
    size_t put = 0;
    assert_int_equal(conn_write(p->server.conn, &part, 1, &put), ERR_OK);
    conn_shutdown_write(p->server.conn);
    assert_true(step_until_end(p, &p->client));
    assert_int_equal(p->client.in_len, part.len);
    assert_int_equal(p->client.in_end, ERR_EOF);
    send_bytes(&p->client, "heard", 5);
    assert_true(step_until_read(p, &p->server, 5));
    pair_free(p);
}

static void an_aborted_tls_connection_says_no_goodbye(void **state)
{
    (void)state;
    struct pair *p = tls_pair();
    conn_abort(&p->server.conn);
    assert_true(step_until_end(p, &p->client));
    assert_int_equal(p->client.in_end, ERR_RESET);
    pair_free(p);
}

static void checks_whom_the_certificate_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum err expected;
    } cases[] = {
        {"gateway.test", ERR_OK},    {"GATEWAY.test", ERR_OK}, {"127.0.0.1", ERR_OK},
        {"other.test", ERR_TLS},     {"127.0.0.2", ERR_TLS},   {"::1", ERR_TLS},
        {"x.gateway.test", ERR_TLS},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = pair_new(keys.client, cases[i].name, keys.server);
        assert_int_equal(settle(p), cases[i].expected);
        pair_free(p);
    }
}

static void does_not_trust_an_unknown_authority(void **state)
{
    (void)state;
    struct pair *p = pair_new(keys.stranger, "gateway.test", keys.server);
    assert_int_equal(settle(p), ERR_TLS);
    assert_true(step_until_end(p, &p->server));
    assert_int_equal(p->server.in_end, ERR_TLS);
    pair_free(p);
}

static void a_plain_server_fails_the_handshake(void **state)
{
    (void)state;
    struct pair *p = pair_new(keys.client, "gateway.test", NULL);
    send_bytes(&p->server, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    assert_int_equal(settle(p), ERR_TLS);
    pair_free(p);
}

static void a_plain_client_fails_the_handshake(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL, NULL, keys.server);
    send_bytes(&p->client, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(step_until_end(p, &p->server));
    assert_int_equal(p->server.in_end, ERR_TLS);
    pair_free(p);
}

static void a_server_that_hangs_up_in_the_handshake_is_a_reset(void **state)
{
    (void)state;
    struct pair *p = pair_new(keys.client, "gateway.test", NULL);
    turn_times(p->loop, 2);
    p->server.told = 0;
    conn_close(&p->server.conn);
    assert_int_equal(settle(p), ERR_RESET);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shakes_hands_and_talks_in_pieces_of_many_sizes),
        cmocka_unit_test(a_blocked_tls_write_goes_on_however_the_parts_are_cut),
        cmocka_unit_test(both_ways_at_once),
        cmocka_unit_test(an_owner_that_reads_a_byte_at_a_time_gets_them_all),
        cmocka_unit_test(bytes_inside_tls_wait_for_a_paused_reader),
        cmocka_unit_test(bytes_inside_tls_are_told_to_a_new_owner),
        cmocka_unit_test(a_tls_stream_ends_with_its_close_notify),
        cmocka_unit_test(a_tls_stream_cut_short_does_not_look_whole),
        cmocka_unit_test(an_end_read_together_with_the_last_bytes_is_told),
        cmocka_unit_test(an_aborted_tls_connection_says_no_goodbye),
        cmocka_unit_test(checks_whom_the_certificate_names),
        cmocka_unit_test(does_not_trust_an_unknown_authority),
        cmocka_unit_test(a_plain_server_fails_the_handshake),
        cmocka_unit_test(a_plain_client_fails_the_handshake),
        cmocka_unit_test(a_server_that_hangs_up_in_the_handshake_is_a_reset),
    };
    return cmocka_run_group_tests_name("net/conn_tls", tests, make_keys, free_keys);
}
