#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "alert/channel.h"
#include "base/clock.h"
#include "sample_alerts.h"

/* What servers do is in tests/flow/alerts; here is what only the caller can do. */

struct silent_server {
    int fd; /* listens, and never accepts */
    char url[64];
};

static void open_server(struct silent_server *s, const char *scheme)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%u", scheme, ntohs(a.sin_port));
}

static struct alert_channel channel_of(const struct silent_server *s, enum alert_format format)
{
    static const struct str TO[] = {STR_INIT("a@b")};
    return (struct alert_channel){.name = STR("x"),
                                  .format = format,
                                  .timeout_ms = 60000,
                                  .url = str_from(s->url),
                                  .from = STR("a@b"),
                                  .to = TO,
                                  .to_count = 1,
                                  .starttls = STARTTLS_AUTO};
}

static void *set_soon(void *cancel)
{
    (void)usleep(50 * 1000);
    atomic_store((atomic_bool *)cancel, true);
    return NULL;
}

static void assert_cancelled(enum alert_format format, const char *scheme)
{
    struct silent_server server;
    struct delivery_report report;
    struct alert alert = sample_alert(ALERT_OPENED);
    atomic_bool cancel = false;
    pthread_t thread;
    open_server(&server, scheme);
    struct alert_channel ch = channel_of(&server, format);
    uint64_t start_ms = clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, set_soon, &cancel), 0);
    assert_int_equal(channel_send(&ch, &alert, &report, &cancel), DELIVERY_LATER);
    assert_true(clock_mono_ms() - start_ms < 30000); /* long before the timeout */
    assert_int_equal(report.status, 0);
    assert_string_equal(report.words, "cancelled");
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)close(server.fd);
}

static void a_mail_that_waits_can_be_cancelled(void **state)
{
    (void)state;
    assert_cancelled(ALERT_MAIL, "smtp");
}

static void a_post_that_waits_can_be_cancelled(void **state)
{
    (void)state;
    assert_cancelled(ALERT_JSON, "http");
}

static int start(void **state)
{
    (void)state;
    channel_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    channel_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mail_that_waits_can_be_cancelled),
        cmocka_unit_test(a_post_that_waits_can_be_cancelled),
    };
    return cmocka_run_group_tests_name("alert/channel", tests, start, stop);
}
