#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/incidents.h"

enum { SETTLE = 60000 };

static struct small_catalog small;

static int set_up(void **state)
{
    small_catalog_init(&small, "01/2");
    *state = incidents_new(&small.catalog, SETTLE);
    return 0;
}

static int tear_down(void **state)
{
    struct incidents *i = *state;
    incidents_free(&i);
    assert_null(i);
    incidents_free(&i);
    return 0;
}

/* The incident that it gets. */
static uint64_t state_of(struct incidents *i, const char *backend, const char *word,
                         uint64_t now_ms)
{
    struct event e = event_of(EVENT_KIND_state, now_ms, now_ms);
    EVENT_PUT(e.backend, str_from(backend));
    EVENT_PUT(e.word, str_from(word));
    EVENT_PUT(e.cause, STR("because"));
    e.severity = strcmp(word, "HEALTHY") == 0 ? SEVERITY_INFO : SEVERITY_ERROR;
    incidents_take(i, &e);
    return e.incident;
}

static uint64_t happens(struct incidents *i, enum event_kind kind, const char *backend,
                        const char *model, uint64_t now_ms)
{
    struct event e = event_of(kind, now_ms, now_ms);
    EVENT_PUT(e.backend, str_from(backend));
    EVENT_PUT(e.model, str_from(model));
    incidents_take(i, &e);
    return e.incident;
}

static uint64_t breaker(struct incidents *i, const char *model, enum severity s,
                        uint64_t now_ms)
{
    struct event e = event_of(EVENT_KIND_breaker, now_ms, now_ms);
    e.severity = s;
    EVENT_PUT(e.backend, STR("b0"));
    EVENT_PUT(e.model, str_from(model));
    incidents_take(i, &e);
    return e.incident;
}

static bool closes(struct incidents *i, uint64_t now_ms)
{
    struct event e;
    return incidents_close(i, now_ms, now_ms, &e);
}

static void an_outage_is_one_incident_with_all_that_follows(void **state)
{
    struct incidents *i = *state;
    struct event over;
    assert_int_equal(state_of(i, "b0", "DOWN", 1000), 1);
    assert_int_equal(happens(i, EVENT_KIND_failover, "b0", "m", 1100), 1);
    assert_int_equal(happens(i, EVENT_KIND_cut, "", "m", 1200), 1);
    assert_int_equal(state_of(i, "b0", "DEGRADED", 5000), 1);
    assert_int_equal(state_of(i, "b0", "HEALTHY", 9000), 1);
    assert_int_equal(incidents_open(i), 1);
    assert_int_equal(incidents_due_ms(i), 9000 + SETTLE);
    assert_false(closes(i, 9000 + SETTLE - 1));
    assert_true(incidents_close(i, 77, 9000 + SETTLE, &over));
    assert_int_equal(over.kind, EVENT_KIND_closed);
    assert_int_equal(over.incident, 1);
    assert_int_equal(over.wall_ms, 77);
    assert_int_equal(over.numbers[0], 8000);
    assert_int_equal(over.numbers[1], 5);
    assert_string_equal(over.backend, "b0");
    assert_string_equal(over.cause, "because");
    assert_string_equal(over.word, "1970-01-01T00:00:09.000Z");
    assert_false(closes(i, 10 * SETTLE));
    assert_int_equal(incidents_open(i), 0);
    assert_int_equal(incidents_due_ms(i), UINT64_MAX);
    assert_int_equal(state_of(i, "b0", "DOWN", 10 * SETTLE), 2);
}

static void good_news_open_nothing(void **state)
{
    struct incidents *i = *state;
    assert_int_equal(state_of(i, "b0", "HEALTHY", 1), 0);
    assert_int_equal(happens(i, EVENT_KIND_failover, "b0", "m", 1), 0);
    assert_int_equal(happens(i, EVENT_KIND_resume, "b0", "m", 1), 0);
    assert_int_equal(happens(i, EVENT_KIND_key, "", "", 1), 0);
    assert_int_equal(happens(i, EVENT_KIND_gateway, "", "", 1), 0);
    assert_int_equal(happens(i, EVENT_KIND_restart, "stranger", "", 1), 0);
    assert_int_equal(incidents_open(i), 0);
}

static void flapping_is_one_incident(void **state)
{
    struct incidents *i = *state;
    uint64_t now_ms = 0;
    for (unsigned n = 0; n < 50; n++) {
        assert_int_equal(state_of(i, "b0", "DOWN", now_ms), 1);
        now_ms += SETTLE / 2;
        assert_int_equal(state_of(i, "b0", "HEALTHY", now_ms), 1);
        now_ms += SETTLE - 1;
        assert_false(closes(i, now_ms));
    }
    assert_true(closes(i, now_ms + 1));
}

static void it_stays_open_while_the_backend_is_down(void **state)
{
    struct incidents *i = *state;
    state_of(i, "b0", "DOWN", 1);
    assert_int_equal(incidents_due_ms(i), UINT64_MAX);
    assert_false(closes(i, 1000 * SETTLE));
}

static void backends_have_incidents_of_their_own(void **state)
{
    struct incidents *i = *state;
    assert_int_equal(state_of(i, "b0", "DOWN", 1), 1);
    assert_int_equal(state_of(i, "b1", "DOWN", 2), 2);
    assert_int_equal(state_of(i, "b0", "HEALTHY", 3), 1);
    assert_true(closes(i, 3 + SETTLE));
    assert_false(closes(i, 3 + SETTLE));
    assert_int_equal(incidents_open(i), 1);
}

static void what_happens_to_a_model_belongs_to_its_backend_s_oldest_incident(void **state)
{
    struct incidents *i = *state;
    state_of(i, "b2", "DOWN", 1);
    state_of(i, "b0", "DOWN", 2);
    assert_int_equal(happens(i, EVENT_KIND_unserved, "", "m", 3), 1);
    state_of(i, "b7", "DOWN", 4); /* serves nobody */
    assert_int_equal(incidents_open(i), 3);
}

static void a_model_without_a_broken_backend_has_its_own(void **state)
{
    struct incidents *i = *state;
    struct event over;
    assert_int_equal(happens(i, EVENT_KIND_queue, "", "m", 1000), 1);
    assert_int_equal(happens(i, EVENT_KIND_queue, "", "m", 2000), 1);
    assert_int_equal(happens(i, EVENT_KIND_failover, "b0", "m", 2500), 1);
    assert_int_equal(state_of(i, "b0", "DOWN", 3000), 2);
    assert_int_equal(happens(i, EVENT_KIND_unserved, "", "m", 4000), 1);
    assert_false(closes(i, 4000 + SETTLE - 1));
    assert_true(incidents_close(i, 1, 4000 + SETTLE, &over));
    assert_string_equal(over.model, "m");
    assert_string_equal(over.backend, "");
    assert_int_equal(happens(i, EVENT_KIND_unserved, "", "m", 4001 + SETTLE), 2);
}

static void an_open_breaker_keeps_it_open(void **state)
{
    struct incidents *i = *state;
    assert_int_equal(breaker(i, "x", SEVERITY_WARN, 1), 1);
    assert_int_equal(breaker(i, "y", SEVERITY_WARN, 2), 1);
    assert_int_equal(breaker(i, "x", SEVERITY_INFO, 3), 1);
    assert_int_equal(incidents_due_ms(i), UINT64_MAX);
    assert_int_equal(breaker(i, "y", SEVERITY_INFO, 4), 1);
    assert_int_equal(incidents_due_ms(i), 4 + SETTLE);
    assert_int_equal(breaker(i, "z", SEVERITY_INFO, 5), 1); /* one that opened unseen */
}

static void an_ailing_gpu_keeps_it_open(void **state)
{
    struct incidents *i = *state;
    struct event e = event_of(EVENT_KIND_gpu, 1, 1);
    EVENT_PUT(e.backend, STR("b1"));
    incidents_take(i, &e);
    assert_int_equal(e.incident, 1);
    assert_int_equal(incidents_due_ms(i), UINT64_MAX);
    e.severity = SEVERITY_INFO;
    incidents_take(i, &e);
    assert_int_equal(incidents_due_ms(i), 1 + SETTLE);
}

static void failovers_after_it_is_well_do_not_keep_it_open(void **state)
{
    struct incidents *i = *state;
    state_of(i, "b0", "DOWN", 1);
    state_of(i, "b0", "HEALTHY", 2);
    assert_int_equal(happens(i, EVENT_KIND_failover, "b0", "m", 3), 1);
    assert_int_equal(incidents_due_ms(i), 2 + SETTLE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_outage_is_one_incident_with_all_that_follows),
        TEST(good_news_open_nothing),
        TEST(flapping_is_one_incident),
        TEST(it_stays_open_while_the_backend_is_down),
        TEST(backends_have_incidents_of_their_own),
        TEST(what_happens_to_a_model_belongs_to_its_backend_s_oldest_incident),
        TEST(a_model_without_a_broken_backend_has_its_own),
        TEST(an_open_breaker_keeps_it_open),
        TEST(an_ailing_gpu_keeps_it_open),
        TEST(failovers_after_it_is_well_do_not_keep_it_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
