#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alert/alerter.h"
#include "base/clock.h"
#include "ops/history_db.h"

/* The real threads and file; sending is a script: a letter a try, 'd'elivered, 'l'ater,
 * 'r'efused, 'b'locks until it is cancelled. The last one holds for ever. */

enum { CHANNELS = 2, SENT_MAX = 600, LIMIT_MS = 10000 };

struct scene {
    struct alert_channel channels[CHANNELS];
    struct alert_policy policy;
    struct loop *loop;
    struct journal *journal;
    struct alerter *alerter;
    const char *script[CHANNELS];
    uint64_t carried_incident;
    uint64_t carried_channels;
    pthread_mutex_t lock;
    size_t count[CHANNELS]; /* under lock, as all below */
    struct alert sent[CHANNELS][SENT_MAX];
};

static struct scene scene;
static char folder[64];
static char path[96];

static enum delivery send_it(const struct alert_channel *ch, const struct alert *a,
                             struct delivery_report *out, void *cancel)
{
    size_t c = (size_t)(ch - scene.channels);
    assert_true(c < CHANNELS);
    pthread_mutex_lock(&scene.lock);
    size_t at = scene.count[c];
    assert_true(at < SENT_MAX);
    scene.sent[c][at] = *a;
    size_t last = strlen(scene.script[c]) - 1;
    char todo = scene.script[c][at < last ? at : last];
    scene.count[c]++;
    pthread_mutex_unlock(&scene.lock);
    (void)snprintf(out->words, sizeof(out->words), "said %c", todo);
    while (todo == 'b' && !atomic_load((atomic_bool *)cancel)) {
        usleep(1000);
    }
    return todo == 'd' ? DELIVERED : todo == 'r' ? DELIVERY_REFUSED : DELIVERY_LATER;
}

static size_t sent_by(size_t channel)
{
    pthread_mutex_lock(&scene.lock);
    size_t count = scene.count[channel];
    pthread_mutex_unlock(&scene.lock);
    return count;
}

static void wait_sent(size_t channel, size_t count)
{
    uint64_t end_ms = clock_mono_ms() + LIMIT_MS;
    while (sent_by(channel) < count) {
        assert_true(clock_mono_ms() < end_ms);
        usleep(1000);
    }
}

static void wait_figures(size_t channel, uint64_t sent, uint64_t failed)
{
    uint64_t end_ms = clock_mono_ms() + LIMIT_MS;
    struct alerter_figures f;
    alerter_figures(scene.alerter, channel, &f);
    while (f.sent != sent || f.failed != failed) {
        assert_true(clock_mono_ms() < end_ms);
        usleep(1000);
        alerter_figures(scene.alerter, channel, &f);
    }
}

static void carry(void *arg, const struct alert_carried *c)
{
    struct scene *s = arg;
    s->carried_incident = c->last.incident;
    s->carried_channels = c->channels;
    loop_stop(s->loop);
}

static void begin(const char *first, const char *second, bool has_file)
{
    scene.script[0] = first;
    scene.script[1] = second;
    memset(scene.count, 0, sizeof(scene.count));
    scene.alerter =
        alerter_start(&(struct alerter_conf){.policy = &scene.policy,
                                             .path = has_file ? str_from(path) : STR(""),
                                             .journal = scene.journal,
                                             .loop = scene.loop,
                                             .retry_ms = 10,
                                             .carry = carry,
                                             .carry_arg = &scene,
                                             .send = send_it});
}

static int set_up(void **state)
{
    struct history_db *h = NULL;
    struct history_last last;
    char why[160];
    (void)state;
    memset(&scene, 0, sizeof(scene));
    (void)snprintf(folder, sizeof(folder), "/tmp/ft-alerter-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/h.db", folder);
    assert_int_equal(history_db_open(path, &h, &last, why, sizeof(why)), ERR_OK);
    history_db_close(&h);
    scene.channels[0].name = STR("first");
    scene.channels[1].name = STR("second");
    scene.policy = (struct alert_policy){.channels = scene.channels, .channel_count = CHANNELS};
    scene.loop = loop_new();
    scene.journal = journal_new();
    pthread_mutex_init(&scene.lock, NULL);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[128];
    (void)state;
    alerter_stop(&scene.alerter);
    loop_free(&scene.loop);
    journal_free(&scene.journal);
    pthread_mutex_destroy(&scene.lock);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    return rmdir(folder);
}

static void put(size_t channel, uint64_t incident, enum alert_moment moment)
{
    struct alert a = {.incident = incident, .moment = moment, .wall_ms = clock_wall_ms()};
    EVENT_PUT(a.subject, STR("gpu1"));
    alerter_put(scene.alerter, channel, &a);
}

static size_t events(struct event out[8])
{
    return journal_take(scene.journal, out, 8, clock_mono_ms());
}

static void each_alert_gets_to_its_channel_once(void **state)
{
    (void)state;
    begin("d", "d", true);
    for (uint64_t i = 1; i <= 20; i++) {
        put(0, i, ALERT_OPENED);
        put(1, i, ALERT_OPENED);
    }
    wait_figures(0, 20, 0);
    wait_figures(1, 20, 0);
    alerter_stop(&scene.alerter);
    assert_int_equal(scene.count[0], 20);
    assert_int_equal(scene.count[1], 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(scene.sent[0][i].incident, i + 1);
        assert_true(scene.sent[0][i].number > 0);
        assert_true(scene.sent[0][i].number < scene.sent[1][i].number);
    }
    begin("d", "d", true); /* nothing is left */
    put(0, 21, ALERT_OPENED);
    wait_figures(0, 1, 0);
    assert_int_equal(sent_by(1), 0);
}

static void a_channel_that_hangs_keeps_no_other_waiting(void **state)
{
    (void)state;
    begin("b", "d", true);
    put(0, 1, ALERT_OPENED);
    wait_sent(0, 1);
    put(1, 1, ALERT_OPENED);
    wait_figures(1, 1, 0);
    struct alerter_figures f;
    alerter_figures(scene.alerter, 0, &f);
    assert_int_equal(f.waiting, 1);
}

static void it_is_tried_until_it_goes_through(void **state)
{
    struct event e[8];
    (void)state;
    begin("lld", "d", false);
    put(0, 1, ALERT_OPENED);
    put(0, 1, ALERT_OVER); /* does not overtake */
    wait_figures(0, 2, 0);
    assert_int_equal(scene.count[0], 4);
    assert_int_equal(scene.sent[0][2].number, scene.sent[0][0].number);
    assert_int_equal(scene.sent[0][3].moment, ALERT_OVER);
    alerter_stop(&scene.alerter);
    assert_int_equal(events(e), 2);
    assert_int_equal(e[0].kind, EVENT_KIND_alert_sent);
    assert_int_equal(e[0].numbers[0], 3);
    assert_string_equal(e[0].word, "first");
    assert_string_equal(e[0].cause, "opened gpu1");
}

static void what_is_refused_is_told_and_not_tried_again(void **state)
{
    struct event e[8];
    (void)state;
    begin("rd", "d", true);
    put(0, 1, ALERT_OPENED);
    wait_figures(0, 0, 1);
    struct alerter_figures f;
    alerter_figures(scene.alerter, 0, &f);
    assert_string_equal(f.last_error, "said r");
    put(0, 2, ALERT_OPENED);
    wait_figures(0, 1, 1);
    alerter_figures(scene.alerter, 0, &f);
    assert_string_equal(f.last_error, "");
    alerter_stop(&scene.alerter);
    assert_int_equal(events(e), 2);
    assert_int_equal(e[0].kind, EVENT_KIND_alert_failed);
    assert_int_equal(e[0].severity, SEVERITY_WARN);
    assert_string_equal(e[0].cause, "opened gpu1: said r");
}

static void what_is_a_day_old_is_given_up(void **state)
{
    (void)state;
    begin("l", "d", true);
    struct alert a = {.incident = 1, .wall_ms = clock_wall_ms() - 24ULL * 3600 * 1000};
    alerter_put(scene.alerter, 0, &a);
    wait_figures(0, 0, 1);
}

static void what_was_under_way_at_the_end_is_sent_after_it(void **state)
{
    (void)state;
    begin("b", "d", true);
    put(0, 7, ALERT_OPENED);
    put(1, 7, ALERT_OPENED);
    wait_sent(0, 1);
    wait_figures(1, 1, 0);
    uint64_t number = scene.sent[0][0].number;
    uint64_t begun_ms = clock_mono_ms();
    alerter_stop(&scene.alerter);
    assert_true(clock_mono_ms() - begun_ms < LIMIT_MS);
    begin("d", "d", true);
    wait_figures(0, 1, 0);
    assert_int_equal(scene.sent[0][0].number, number);
    assert_int_equal(sent_by(1), 0);
    loop_run(scene.loop); /* until something is carried */
    assert_int_equal(scene.carried_incident, 7);
    assert_int_equal(scene.carried_channels, 3);
}

static void what_waits_for_a_channel_that_is_gone_is_given_up(void **state)
{
    struct event e[8];
    (void)state;
    begin("b", "d", true);
    put(0, 7, ALERT_OPENED);
    wait_sent(0, 1);
    alerter_stop(&scene.alerter);
    scene.channels[0].name = STR("renamed");
    begin("d", "d", true);
    put(1, 8, ALERT_OPENED);
    wait_figures(1, 1, 0);
    alerter_stop(&scene.alerter);
    assert_int_equal(scene.count[0], 0);
    assert_true(events(e) >= 1);
    assert_int_equal(e[0].kind, EVENT_KIND_alert_failed);
    assert_string_equal(e[0].word, "first");
}

static void there_is_an_end_to_what_waits(void **state)
{
    (void)state;
    begin("b", "d", false);
    for (uint64_t i = 1; i <= 300; i++) {
        put(0, i, ALERT_OPENED);
    }
    struct alerter_figures f;
    alerter_figures(scene.alerter, 0, &f);
    assert_int_equal(f.waiting, 250);
    assert_int_equal(f.failed, 50);
}

static void without_its_file_it_sends_all_the_same(void **state)
{
    (void)state;
    (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/none");
    begin("d", "d", true);
    put(0, 1, ALERT_OPENED);
    wait_figures(0, 1, 0);
    alerter_stop(&scene.alerter);
    (void)snprintf(path, sizeof(path), "%s/h.db", folder);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    TEST(each_alert_gets_to_its_channel_once),
    TEST(a_channel_that_hangs_keeps_no_other_waiting),
    TEST(it_is_tried_until_it_goes_through),
    TEST(what_is_refused_is_told_and_not_tried_again),
    TEST(what_is_a_day_old_is_given_up),
    TEST(what_was_under_way_at_the_end_is_sent_after_it),
    TEST(what_waits_for_a_channel_that_is_gone_is_given_up),
    TEST(there_is_an_end_to_what_waits),
    TEST(without_its_file_it_sends_all_the_same),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
