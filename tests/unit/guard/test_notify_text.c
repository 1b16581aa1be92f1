#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guard/notify_text.h"
#include "guard/sdnotify.h"

static void say(const struct notify *n, const char *expected)
{
    char out[NOTIFY_MAX] = "";
    size_t len = notify_text(n, out);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(out, expected, len);
}

static void has_a_line_for_each_thing(void **state)
{
    (void)state;
    say(&(struct notify){.is_ready = true, .main_pid = 42, .status = STR("READY: it answers")},
        "READY=1\nMAINPID=42\nSTATUS=READY: it answers");
    say(&(struct notify){.is_stopping = true, .is_alive = true, .extend_ms = 60000},
        "STOPPING=1\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000");
    say(&(struct notify){.is_alive = true}, "WATCHDOG=1");
    say(&(struct notify){.main_pid = 1}, "");
}

static void a_status_cannot_forge_another_line(void **state)
{
    char longest[2000];
    char out[NOTIFY_MAX];
    (void)state;
    say(&(struct notify){.status = STR("a\nREADY=1\x7f")}, "STATUS=a READY=1 ");
    memset(longest, 'x', sizeof(longest));
    struct notify n = {.status = str_of(longest, sizeof(longest)), .is_alive = true};
    size_t len = notify_text(&n, out);
    assert_true(len < NOTIFY_MAX);
    assert_memory_equal(out + len - 10, "WATCHDOG=1", 10);
}

static void pings_twice_in_each_interval_and_only_for_us(void **state)
{
    (void)state;
    assert_int_equal(notify_watchdog_ms(STR("30000000"), STR(""), 7), 15000);
    assert_int_equal(notify_watchdog_ms(STR("30000000"), STR("7"), 7), 15000);
    assert_int_equal(notify_watchdog_ms(STR("30000000"), STR("8"), 7), 0);
    assert_int_equal(notify_watchdog_ms(STR("30000000"), STR("x"), 7), 0);
    assert_int_equal(notify_watchdog_ms(STR("1000"), STR(""), 7), 1);
    assert_int_equal(notify_watchdog_ms(STR("0"), STR(""), 7), 0);
    assert_int_equal(notify_watchdog_ms(STR("soon"), STR(""), 7), 0);
    assert_int_equal(notify_watchdog_ms(STR(""), STR(""), 7), 0);
}

static void reads_paths_and_abstract_names(void **state)
{
    struct sockaddr_un a;
    socklen_t len = 0;
    char longest[200];
    (void)state;
    assert_true(sdnotify_address(STR("/run/x"), &a, &len));
    assert_string_equal(a.sun_path, "/run/x");
    assert_true(sdnotify_address(STR("@abc"), &a, &len));
    assert_int_equal(a.sun_path[0], '\0');
    assert_memory_equal(a.sun_path + 1, "abc", 3);
    assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 4); /* no zeros behind it */
    assert_false(sdnotify_address(STR(""), &a, &len));
    assert_false(sdnotify_address(STR("/"), &a, &len));
    assert_false(sdnotify_address(STR("vsock:2:1234"), &a, &len));
    memset(longest, '/', sizeof(longest));
    assert_false(sdnotify_address(str_of(longest, sizeof(longest)), &a, &len));
}

static void sends_to_an_abstract_name_of_exact_length(void **state)
{
    struct sockaddr_un a;
    socklen_t len = 0;
    char name[64];
    char got[64] = "";
    const char *why = NULL;
    struct sdnotify n;
    (void)state;
    (void)snprintf(name, sizeof(name), "@fallthrough-test-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(sdnotify_address(str_from(name), &a, &len));
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&a, len), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "2000000", 1);
    sdnotify_open(&n, &why);
    assert_null(why);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_int_equal(n.watchdog_ms, 1000);
    sdnotify_send(&n, STR("READY=1"));
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 7);
    assert_memory_equal(got, "READY=1", 7);
    sdnotify_close(&n);
    sdnotify_send(&n, STR("READY=1"));
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_line_for_each_thing),
        cmocka_unit_test(a_status_cannot_forge_another_line),
        cmocka_unit_test(pings_twice_in_each_interval_and_only_for_us),
        cmocka_unit_test(reads_paths_and_abstract_names),
        cmocka_unit_test(sends_to_an_abstract_name_of_exact_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
