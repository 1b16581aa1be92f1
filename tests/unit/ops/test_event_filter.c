#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/event_filter.h"

/* 2026-11-21T05:24:02Z */
#define THEN 1795238642000ULL

static struct event_filter filter;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const char *reads(const char *query)
{
    return event_filter_read(str_from(query), THEN, &filter, &arena);
}

static void an_empty_query_is_the_last_ones_of_all(void **state)
{
    (void)state;
    assert_null(reads(""));
    assert_int_equal(filter.limit, EVENTS_LIMIT);
    assert_int_equal(filter.since_ms, 0);
    assert_true(filter.until_ms == UINT64_MAX);
    assert_int_equal(filter.kind, EVENT_KINDS);
    assert_false(filter.is_forward);
}

static void reads_every_key(void **state)
{
    (void)state;
    assert_null(
        reads("since=2h&until=2026-11-21T05:24:02.500Z&backend=g%26u&model=m+1&kind=state"
              "&severity=warning&incident=17&after=9&limit=2000&stream=true"));
    assert_true(filter.since_ms == THEN - 7200000);
    assert_true(filter.until_ms == THEN);
    assert_true(str_eq(filter.backend, STR("g&u")));
    assert_true(str_eq(filter.model, STR("m 1")));
    assert_int_equal(filter.kind, EVENT_KIND_state);
    assert_int_equal(filter.severity, SEVERITY_WARN);
    assert_int_equal(filter.incident, 17);
    assert_int_equal(filter.after, 9);
    assert_int_equal(filter.limit, 2000);
    assert_true(filter.is_forward);
}

static void a_time_longer_ago_than_1970_is_the_beginning(void **state)
{
    (void)state;
    assert_null(reads("since=36500d"));
    assert_int_equal(filter.since_ms, 0);
}

static void says_what_is_wrong(void **state)
{
    static const char *const CASES[] = {"since=yesterday",
                                        "since=",
                                        "since=2026-13-01T00:00:00Z",
                                        "until=5",
                                        "until=2026-11-21",
                                        "kind=nothing",
                                        "severity=bad",
                                        "incident=0",
                                        "incident=x",
                                        "limit=0",
                                        "limit=2001",
                                        "after=-1",
                                        "since=2026-11-21T05:24:02",
                                        "since=99999999999999999999999999999999999999999Z"};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (!reads(CASES[i])) {
            fail_msg("'%s' was taken", CASES[i]);
        }
    }
}

static void matches_by_each_key(void **state)
{
    static const struct {
        const char *query;
        bool matches;
    } CASES[] = {{"", true},
                 {"backend=b", true},
                 {"backend=other", true},
                 {"backend=x", false},
                 {"model=m", true},
                 {"model=mm", false},
                 {"kind=resume", true},
                 {"kind=state", false},
                 {"severity=info", true},
                 {"severity=warning", true},
                 {"severity=error", false},
                 {"incident=3", true},
                 {"incident=4", false},
                 {"after=6", true},
                 {"after=7", false},
                 {"since=1s", true},
                 {"since=0", false},
                 {"until=0", true},
                 {"until=1s", false}};
    struct event e = event_of(EVENT_KIND_resume, THEN - 500, 0);
    (void)state;
    e.id = 7;
    e.incident = 3;
    e.severity = SEVERITY_WARN;
    EVENT_PUT(e.backend, STR("b"));
    EVENT_PUT(e.other, STR("other"));
    EVENT_PUT(e.model, STR("m"));
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_null(reads(CASES[i].query));
        if (event_filter_matches(&filter, &e) != CASES[i].matches) {
            fail_msg("'%s'", CASES[i].query);
        }
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_empty_query_is_the_last_ones_of_all),
        TEST(reads_every_key),
        TEST(a_time_longer_ago_than_1970_is_the_beginning),
        TEST(says_what_is_wrong),
        TEST(matches_by_each_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
