#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/listener.h"
#include "rig.h"

struct rig {
    struct loop *loop;
    struct listener *listener;
    int fd;
    char name[128];
    int accepted[64];
    int count;
    int wanted;
    bool stops; /* the listener, when it is told of a connection */
};

static void on_accept(void *owner, int fd)
{
    struct rig *r = owner;
    r->accepted[r->count++] = fd;
    if (r->stops) {
        listener_stop(&r->listener);
    }
}

static bool has_all(void *arg)
{
    const struct rig *r = arg;
    return r->count == r->wanted;
}

static int open_address(struct address a)
{
    int fd = -1;
    const char *why = "";
    enum err e = listen_open(&a, &fd, &why);
    if (e != ERR_OK) {
        fail_msg("%s: %s", err_name(e), why);
    }
    return fd;
}

static int make_rig(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    r->loop = loop_new();
    r->fd = open_address((struct address){.host = STR("127.0.0.1")});
    listen_name(r->fd, r->name, sizeof(r->name));
    r->listener = listener_start(r->loop, r->fd, on_accept, r);
    *state = r;
    return 0;
}

static int free_rig(void **state)
{
    struct rig *r = *state;
    listener_stop(&r->listener);
    loop_free(&r->loop);
    for (int i = 0; i < r->count; i++) {
        close(r->accepted[i]);
    }
    close(r->fd);
    free(r);
    return 0;
}

/* A client that does not wait. */
static int client_of(int listening)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&name, &len), 0);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    (void)connect(fd, (struct sockaddr *)&name, len);
    return fd;
}

static void hands_over_each_new_socket(void **state)
{
    struct rig *r = *state;
    int clients[40];
    for (int i = 0; i < 40; i++) {
        clients[i] = client_of(r->fd);
    }
    r->wanted = 40;
    assert_true(turn_until(r->loop, has_all, r));
    for (int i = 0; i < 40; i++) {
        int nodelay = 0;
        socklen_t len = sizeof(nodelay);
        assert_true((fcntl(r->accepted[i], F_GETFL) & O_NONBLOCK) != 0);
        assert_true((fcntl(r->accepted[i], F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(getsockopt(r->accepted[i], IPPROTO_TCP, TCP_NODELAY, &nodelay, &len),
                         0);
        assert_true(nodelay != 0);
        close(clients[i]);
    }
}

static void may_be_stopped_when_it_hands_over(void **state)
{
    struct rig *r = *state;
    r->stops = true;
    int first = client_of(r->fd);
    int second = client_of(r->fd);
    turn_times(r->loop, 5);
    assert_int_equal(r->count, 1);
    assert_null(r->listener);
    close(first);
    close(second);
}

static void says_where_it_listens(void **state)
{
    struct rig *r = *state;
    assert_memory_equal(r->name, "127.0.0.1:", 10);
    assert_true(atoi(r->name + 10) > 0);
    int all = open_address((struct address){.host = STR_NONE});
    char name[128];
    listen_name(all, name, sizeof(name));
    assert_true(strncmp(name, "[::]:", 5) == 0 || strncmp(name, "0.0.0.0:", 8) == 0);
    close(all);
    listen_name(r->fd, name, 4);
    assert_string_equal(name, "127");
}

static void workers_share_an_address_and_strangers_do_not(void **state)
{
    struct rig *r = *state;
    uint16_t port = (uint16_t)atoi(r->name + 10);
    struct address same = {.host = STR("127.0.0.1"), .port = port};
    int second = open_address(same);
    close(second);
    int stranger = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name = {.sin_family = AF_INET};
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(stranger, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(stranger, 1), 0);
    socklen_t len = sizeof(name);
    assert_int_equal(getsockname(stranger, (struct sockaddr *)&name, &len), 0);
    same.port = ntohs(name.sin_port);
    int fd = -1;
    const char *why = NULL;
    assert_int_equal(listen_open(&same, &fd, &why), ERR_BUSY);
    assert_non_null(why);
    assert_int_equal(fd, -1);
    close(stranger);
}

static void refuses_addresses_that_cannot_be(void **state)
{
    (void)state;
    int fd = -1;
    const char *why = NULL;
    struct address strange = {.host = STR("192.0.2.77"), .port = 0};
    assert_int_equal(listen_open(&strange, &fd, &why), ERR_UNREACHABLE);
    assert_non_null(why);
    char path[200];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    for (size_t len = 108; len <= sizeof(path); len += sizeof(path) - 108) {
        struct address longer = {.is_unix = true, .path = str_of(path, len)};
        assert_int_equal(listen_open(&longer, &fd, &why), ERR_RANGE);
    }
    struct address empty = {.is_unix = true, .path = STR("")};
    assert_int_equal(listen_open(&empty, &fd, &why), ERR_RANGE);
}

static void a_unix_socket_replaces_a_dead_one_but_no_living_one(void **state)
{
    struct rig *r = *state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/fallthrough-test-%d.sock", (int)getpid());
    struct address a = {.is_unix = true, .path = str_from(path)};
    int first = open_address(a);
    int second = -1;
    const char *why = NULL;
    assert_int_equal(listen_open(&a, &second, &why), ERR_BUSY);
    close(first);
    second = open_address(a);
    char name[128];
    char expected[128];
    listen_name(second, name, sizeof(name));
    snprintf(expected, sizeof(expected), "unix:%s", path);
    assert_string_equal(name, expected);
    listener_stop(&r->listener);
    r->listener = listener_start(r->loop, second, on_accept, r);
    int client = client_of(second);
    r->wanted = 1;
    assert_true(turn_until(r->loop, has_all, r));
    close(client);
    close(second);
    unlink(path);
    int file = open(path, O_CREAT | O_RDWR, 0600);
    assert_int_equal(listen_open(&a, &second, &why), ERR_BUSY); /* not a socket: not ours */
    assert_int_equal(access(path, F_OK), 0);
    close(file);
    unlink(path);
}

static bool is_refused(void *arg)
{
    char byte;
    ssize_t n = recv(*(int *)arg, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void refuses_while_descriptors_are_short_and_then_goes_on(void **state)
{
    struct rig *r = *state;
    struct rlimit before;
    int early = client_of(r->fd);
    int late = client_of(r->fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct rlimit tight = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    bool refused =
        turn_until(r->loop, is_refused, &early) && turn_until(r->loop, is_refused, &late);
    int count = r->count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(refused);
    assert_int_equal(count, 0);
    int after = client_of(r->fd);
    r->wanted = 1;
    assert_true(turn_until(r->loop, has_all, r));
    close(early);
    close(late);
    close(after);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, make_rig, free_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(hands_over_each_new_socket),
        RIG_TEST(may_be_stopped_when_it_hands_over),
        RIG_TEST(says_where_it_listens),
        RIG_TEST(workers_share_an_address_and_strangers_do_not),
        cmocka_unit_test(refuses_addresses_that_cannot_be),
        RIG_TEST(a_unix_socket_replaces_a_dead_one_but_no_living_one),
        RIG_TEST(refuses_while_descriptors_are_short_and_then_goes_on),
    };
    return cmocka_run_group_tests_name("net/listener", tests, NULL, NULL);
}
