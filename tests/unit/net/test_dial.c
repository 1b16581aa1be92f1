#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "certificate.h"
#include "net/dial.h"
#include "net/tls.h"
#include "upstream_rig.h"

/* An address where nobody listens. */
static struct sockaddr_in closed_address(void)
{
    struct sockaddr_in name;
    close(listen_at(&name, 1));
    return name;
}

static void use_upstream(struct rig *r, const char *host, SSL_CTX *tls)
{
    upstream_free(&r->upstream);
    r->upstream = make_upstream(r, host, tls);
}

/* Puts these addresses in the place of what a name would resolve to. */
static void set_addresses(struct rig *r, const struct sockaddr_in *addresses, size_t count)
{
    struct resolver *names = &upstream_dialer(r->upstream)->names;
    names->list.count = count;
    for (size_t i = 0; i < count; i++) {
        names->list.at[i].v4 = addresses[i];
    }
}

/* --- dialing --- */

static void dials_a_listening_server(void **state)
{
    struct rig *r = *state;
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    assert_int_equal(conn_connected(r->conn), ERR_OK);
    int fd = accept(r->listening, NULL, NULL);
    assert_int_equal(write(fd, "x", 1), 1);
    r->told = 0;
    turn_times(r->loop, 2);
    assert_int_equal(r->told, CONN_READABLE);
    close(fd);
}

static void a_closed_port_is_refused(void **state)
{
    struct rig *r = *state;
    r->name = closed_address();
    use_upstream(r, "127.0.0.1", NULL);
    assert_int_equal(dial_to_the_end(r), ERR_REFUSED);
}

static void tries_all_addresses_at_once_when_they_fail(void **state)
{
    struct rig *r = *state;
    struct sockaddr_in list[4] = {closed_address(), closed_address(), closed_address(),
                                  r->name};
    set_addresses(r, list, 4);
    uint64_t begin_ms = clock_mono_ms();
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    assert_true(clock_mono_ms() - begin_ms < 740); /* three quarters of a second, one by one */
}

static void as_many_addresses_as_there_may_be_all_refused(void **state)
{
    struct rig *r = *state;
    struct sockaddr_in list[ADDRESS_MAX];
    for (size_t i = 0; i < ADDRESS_MAX; i++) {
        list[i] = closed_address();
    }
    set_addresses(r, list, ADDRESS_MAX);
    assert_int_equal(dial_to_the_end(r), ERR_REFUSED);
}

/* A listener whose queue is full drops what comes: a black hole. */
struct hole {
    int listening;
    int fillers[4];
    struct sockaddr_in name;
};

static void dig(struct hole *h)
{
    h->listening = listen_at(&h->name, 0);
    for (size_t i = 0; i < 4; i++) {
        h->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(h->fillers[i], (struct sockaddr *)&h->name, sizeof(h->name));
    }
    usleep(1000);
}

static void fill_in(struct hole *h)
{
    close(h->listening);
    for (size_t i = 0; i < 4; i++) {
        close(h->fillers[i]);
    }
}

static void a_silent_address_holds_up_the_next_by_a_quarter_second(void **state)
{
    struct rig *r = *state;
    struct hole hole;
    dig(&hole);
    struct sockaddr_in list[2] = {hole.name, r->name};
    set_addresses(r, list, 2);
    uint64_t begin_ms = clock_mono_ms();
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    assert_true(clock_mono_ms() - begin_ms >= 245);
    fill_in(&hole);
}

static void a_silent_server_times_out_when_due(void **state)
{
    struct rig *r = *state;
    struct hole hole;
    dig(&hole);
    set_addresses(r, &hole.name, 1);
    uint64_t begin_ms = clock_mono_ms();
    start(r, 60);
    assert_true(turn_until(r->loop, is_done, r));
    assert_int_equal(r->result, ERR_TIMEOUT);
    assert_true(clock_mono_ms() - begin_ms >= 59);
    fill_in(&hole);
}

static void a_cancelled_dial_says_nothing(void **state)
{
    struct rig *r = *state;
    start(r, 1000);
    dial_cancel(&r->dial);
    assert_null(r->dial);
    dial_cancel(&r->dial);
    turn_times(r->loop, 5);
    assert_int_equal(r->done_calls, 0);
    struct hole hole;
    dig(&hole);
    set_addresses(r, &hole.name, 1);
    start(r, 1000);
    turn_times(r->loop, 3); /* connecting now */
    dial_cancel(&r->dial);
    turn_times(r->loop, 5);
    assert_int_equal(r->done_calls, 0);
    fill_in(&hole);
}

static void many_dials_at_once_all_end(void **state)
{
    struct rig *r = *state;
    struct rig many[8];
    for (size_t i = 0; i < 8; i++) {
        many[i] = *r;
        start(&many[i], 1000);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_true(turn_until(r->loop, is_done, &many[i]));
        assert_int_equal(many[i].result, ERR_OK);
        conn_close(&many[i].conn);
    }
}

static void on_done_free_upstream(void *owner, enum err e, struct conn *c)
{
    struct rig *r = owner;
    on_done(owner, e, c);
    upstream_free(&r->upstream);
}

static void the_upstream_may_be_freed_when_a_dial_is_done(void **state)
{
    struct rig *r = *state;
    r->dial = dial_start(r->upstream, loop_now_ms(r->loop) + 1000, on_done_free_upstream, r);
    assert_true(turn_until(r->loop, is_done, r));
    assert_int_equal(r->result, ERR_OK);
    assert_null(r->upstream);
}

static void says_when_descriptors_have_run_out(void **state)
{
    struct rig *r = *state;
    struct rlimit before;
    turn_times(r->loop, 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit tight = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    enum err e = dial_to_the_end(r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(e, ERR_NO_FDS);
    assert_int_equal(dial_to_the_end(r), ERR_OK);
}

/* --- names --- */

static void resolves_a_name(void **state)
{
    struct rig *r = *state;
    use_upstream(r, "localhost", NULL);
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    const struct address_list *list = &upstream_dialer(r->upstream)->names.list;
    for (size_t i = 0; i < list->count; i++) {
        const union socket_address *a = &list->at[i];
        in_port_t port = a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
        assert_int_equal(port, r->name.sin_port);
    }
}

static void takes_literals_without_asking(void **state)
{
    struct rig *r = *state;
    assert_true(upstream_dialer(r->upstream)->names.is_literal);
    use_upstream(r, "::1", NULL);
    assert_true(upstream_dialer(r->upstream)->names.is_literal);
    assert_int_equal(upstream_dialer(r->upstream)->names.list.at[0].any.sa_family, AF_INET6);
    use_upstream(r, "127.0.0.1.example", NULL);
    assert_false(upstream_dialer(r->upstream)->names.is_literal);
}

static void a_name_that_cannot_be_is_a_dns_error(void **state)
{
    struct rig *r = *state;
    char name[301];
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0'; /* refused by libuv at once */
    use_upstream(r, name, NULL);
    assert_int_equal(dial_to_the_end(r), ERR_DNS);
    assert_int_equal(dial_to_the_end(r), ERR_DNS);
    name[70] = '\0'; /* refused by the resolver: a label has 63 bytes at most */
    use_upstream(r, name, NULL);
    assert_int_equal(dial_to_the_end(r), ERR_DNS);
}

static bool has_no_lookup(void *arg)
{
    struct rig *r = arg;
    return !upstream_dialer(r->upstream)->names.lookup;
}

static void old_addresses_serve_while_the_name_is_looked_up_again(void **state)
{
    struct rig *r = *state;
    use_upstream(r, "localhost", NULL);
    struct resolver *names = &upstream_dialer(r->upstream)->names;
    struct sockaddr_in list[2] = {closed_address(), r->name};
    set_addresses(r, list, 2);
    names->looked_up_ms = loop_now_ms(r->loop) - 29000;
    assert_true(resolver_refresh(names));
    assert_null(names->lookup);
    names->looked_up_ms = loop_now_ms(r->loop) - 30000;
    assert_int_equal(dial_to_the_end(r), ERR_OK);
    assert_true(turn_until(r->loop, has_no_lookup, r));
    assert_true(loop_now_ms(r->loop) - names->looked_up_ms < 20000);
    const union socket_address *first = &names->list.at[0];
    in_port_t port = first->any.sa_family == AF_INET ? first->v4.sin_port : first->v6.sin6_port;
    assert_int_equal(port, r->name.sin_port);
}

static void a_failed_connect_asks_the_name_again(void **state)
{
    struct rig *r = *state;
    use_upstream(r, "localhost", NULL);
    struct resolver *names = &upstream_dialer(r->upstream)->names;
    struct sockaddr_in closed = closed_address();
    set_addresses(r, &closed, 1);
    names->looked_up_ms = loop_now_ms(r->loop) - 1000;
    assert_int_equal(dial_to_the_end(r), ERR_REFUSED);
    assert_true(turn_until(r->loop, has_no_lookup, r));
    assert_int_equal(dial_to_the_end(r), ERR_OK);
}

static void a_lookup_under_way_outlives_its_upstream(void **state)
{
    struct rig *r = *state;
    use_upstream(r, "localhost", NULL);
    assert_false(resolver_refresh(&upstream_dialer(r->upstream)->names));
    start(r, 1000);
    dial_cancel(&r->dial);
    upstream_free(&r->upstream);
    turn_times(r->loop, 3);
    assert_int_equal(r->done_calls, 0);
}

/* --- TLS --- */

static void with_tls(struct rig *r, const char *host, enum err expected)
{
    struct certificate certificate;
    const char *why = "";
    SSL_CTX *server_tls = NULL;
    SSL_CTX *client_tls = NULL;
    certificate_make(&certificate, "IP:127.0.0.1");
    struct str cert = str_from(certificate.cert_file);
    assert_int_equal(tls_server_new(cert, str_from(certificate.key_file), &server_tls, &why),
                     ERR_OK);
    assert_int_equal(tls_client_new(cert, STR_NONE, STR_NONE, &client_tls, &why), ERR_OK);
    certificate_remove(&certificate);
    use_upstream(r, host, client_tls);
    SSL_CTX_free(client_tls); /* the upstream has its own reference */
    start(r, 1500);
    struct conn *server = NULL;
    struct rig server_end = {.loop = r->loop};
    char byte;
    size_t got;
    for (int i = 0; i < 2000 && r->done_calls == 0; i++) {
        turn(r->loop);
        int fd = server ? -1 : accept4(r->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            server = conn_accepted(r->loop, fd, server_tls, on_event, &server_end);
        }
        enum err e = server ? conn_read(server, &byte, 1, &got) : ERR_AGAIN;
        assert_int_not_equal(e, ERR_OK);
        usleep(200);
    }
    assert_int_equal(r->done_calls, 1);
    assert_int_equal(r->result, expected);
    if (expected == ERR_OK) { /* session tickets are no reason to close an idle connection */
        upstream_give(r->upstream, &r->conn, loop_now_ms(r->loop));
        turn_times(r->loop, 5);
        assert_int_equal(upstream_idle(r->upstream), 1);
        conn_close(&server); /* but close_notify is */
        turn_times(r->loop, 5);
        assert_int_equal(upstream_idle(r->upstream), 0);
    }
    conn_close(&server);
    SSL_CTX_free(server_tls);
}

static void dials_with_tls_and_pools_what_it_got(void **state)
{
    with_tls(*state, "127.0.0.1", ERR_OK);
}

static void a_certificate_for_another_name_is_a_tls_error(void **state)
{
    with_tls(*state, "localhost", ERR_TLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(dials_a_listening_server),
        RIG_TEST(a_closed_port_is_refused),
        RIG_TEST(tries_all_addresses_at_once_when_they_fail),
        RIG_TEST(as_many_addresses_as_there_may_be_all_refused),
        RIG_TEST(a_silent_address_holds_up_the_next_by_a_quarter_second),
        RIG_TEST(a_silent_server_times_out_when_due),
        RIG_TEST(a_cancelled_dial_says_nothing),
        RIG_TEST(many_dials_at_once_all_end),
        RIG_TEST(the_upstream_may_be_freed_when_a_dial_is_done),
        RIG_TEST(says_when_descriptors_have_run_out),
        RIG_TEST(resolves_a_name),
        RIG_TEST(takes_literals_without_asking),
        RIG_TEST(a_name_that_cannot_be_is_a_dns_error),
        RIG_TEST(old_addresses_serve_while_the_name_is_looked_up_again),
        RIG_TEST(a_failed_connect_asks_the_name_again),
        RIG_TEST(a_lookup_under_way_outlives_its_upstream),
        RIG_TEST(dials_with_tls_and_pools_what_it_got),
        RIG_TEST(a_certificate_for_another_name_is_a_tls_error),
    };
    return cmocka_run_group_tests_name("net/dial", tests, NULL, NULL);
}
