#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "../tiers/small_catalog.h"
#include "base/conf.h"
#include "net/loop.h"
#include "ops/metrics.h"
#include "tiers/meters.h"

enum { T0 = 1000000, TEXT_MAX = 1 << 20 };

struct fixture {
    struct small_catalog small;
    struct board *board;
    struct tally *tally;
    struct processes *processes;
    struct status_source source;
    _Atomic bool draining;
    _Atomic uint32_t connections;
};

static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "01/2");
    f.board = board_new(&f.small.catalog, T0);
    f.tally = tally_new(&f.small.catalog);
    f.processes = processes_new(&f.small.catalog, T0);
    f.draining = false;
    f.connections = 3;
    f.source = (struct status_source){.catalog = &f.small.catalog,
                                      .board = f.board,
                                      .tally = f.tally,
                                      .processes = f.processes,
                                      .draining = &f.draining,
                                      .connections = &f.connections,
                                      .started_wall_ms = 1700000000123};
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    tally_free(&f->tally);
    processes_free(&f->processes);
    return 0;
}

/* --- what is written --- */

static void assert_written(struct fixture *f, const char *const lines[])
{
    struct exposition e;
    exposition_init(&e, TEXT_MAX);
    assert_true(metrics_write(&f->source, T0, &e));
    for (size_t i = 0; lines[i]; i++) {
        char line[256];
        assert_in_range(snprintf(line, sizeof(line), "\n%s\n", lines[i]), 3, sizeof(line) - 1);
        if (!str_has(buf_str(&e.out), str_from(line))) {
            print_error("no line '%s' in\n%.*s\n", lines[i], STR_FMT(buf_str(&e.out)));
            fail();
        }
    }
    exposition_fini(&e);
}

static void everything_is_there_from_the_start_as_zero(void **state)
{
    assert_written(*state,
                   (const char *const[]){
                       "fallthrough_build_info{version=\"" FALLTHROUGH_VERSION "\"} 1",
                       "fallthrough_connections 3",
                       "fallthrough_draining 0",
                       "fallthrough_requests_total{model=\"m\",outcome=\"ok\"} 0",
                       "fallthrough_requests_total{model=\"m\",outcome=\"client_left\"} 0",
                       "fallthrough_requests_total{model=\"\",outcome=\"refused\"} 0",
                       "fallthrough_model_can_serve{model=\"m\"} 1",
                       "fallthrough_model_tier{model=\"m\"} 1",
                       "fallthrough_answers_total{model=\"m\",backend=\"b2\",tier=\"2\","
                       "outcome=\"interrupted\"} 0",
                       "fallthrough_failovers_total{from=\"b0\",to=\"b7\"} 0",
                       "fallthrough_retry_budget_exhausted_total{model=\"m\"} 0",
                       "fallthrough_prompt_tokens_total{backend=\"b1\"} 0",
                       "fallthrough_token_seconds_count{backend=\"b1\"} 0",
                       "fallthrough_probes_total{backend=\"b1\",result=\"failed\"} 0",
                       "fallthrough_probe_seconds_bucket{backend=\"b1\",le=\"20\"} 0",
                       "fallthrough_backend_hold_seconds{backend=\"b1\"} 0",
                       "fallthrough_own_seconds_bucket{le=\"0.00001\"} 0",
                       "fallthrough_own_seconds_bucket{le=\"0.1\"} 0",
                       "fallthrough_own_seconds_count 0",
                       "fallthrough_hedges_total{model=\"m\",result=\"lost\"} 0",
                       "fallthrough_resumes_total{from=\"b0\",to=\"b7\",result=\"ok\"} 0",
                       "fallthrough_resumes_total{from=\"b7\",to=\"\",result=\"failed\"} 0",
                       "fallthrough_resume_gap_seconds_bucket{le=\"60\"} 0",
                       "fallthrough_resume_gap_seconds_count 0",
                       "fallthrough_attempts_total{backend=\"b0\",result=\"failed\"} 0",
                       "fallthrough_tokens_total{backend=\"b0\"} 0",
                       "fallthrough_backend_state{backend=\"b0\",state=\"HEALTHY\"} 1",
                       "fallthrough_backend_state{backend=\"b0\",state=\"DOWN\"} 0",
                       "process_start_time_seconds 1700000000.123",
                       NULL,
                   });
}

static void shows_what_the_board_knows(void **state)
{
    struct fixture *f = *state;
    board_count_attempt(f->board, 1, true);
    board_count_attempt(f->board, 1, true);
    board_count_attempt(f->board, 1, false);
    board_count_tokens(f->board, 1, 41);
    board_begin(f->board, 1);
    (void)board_on_failure(
        f->board, 1, &(struct failed_attempt){.failure = FAILURE_reset, .is_first_500 = true},
        T0);
    board_count_first_token(f->board, 1, 0);
    board_count_first_token(f->board, 1, 2);
    board_count_first_token(f->board, 1, 4);
    board_count_first_token(f->board, 1, 40000);
    assert_written(f,
                   (const char *const[]){
                       "fallthrough_attempts_total{backend=\"b1\",result=\"ok\"} 2",
                       "fallthrough_attempts_total{backend=\"b1\",result=\"failed\"} 1",
                       "fallthrough_tokens_total{backend=\"b1\"} 41",
                       "fallthrough_attempts_in_flight{backend=\"b1\"} 1",
                       "fallthrough_attempts_in_flight{backend=\"b0\"} 0",
                       "fallthrough_backend_state{backend=\"b1\",state=\"HEALTHY\"} 0",
                       "fallthrough_backend_state{backend=\"b1\",state=\"DOWN\"} 1",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"0\"} 1",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"0.001\"} 1",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"0.002\"} 2",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"0.003\"} 2",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"0.005\"} 3",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"32.767\"} 3",
                       "fallthrough_first_token_seconds_bucket{backend=\"b1\",le=\"+Inf\"} 4",
                       "fallthrough_first_token_seconds_sum{backend=\"b1\"} 40.006",
                       "fallthrough_first_token_seconds_count{backend=\"b1\"} 4",
                       "fallthrough_first_token_seconds_count{backend=\"b0\"} 0",
                       NULL,
                   });
    board_end(f->board, 1);
}

static void shows_what_was_tallied(void **state)
{
    struct fixture *f = *state;
    f->draining = true;
    tally_end(f->tally, 0, OUTCOME_ok);
    tally_hedge(f->tally, 0, HEDGE_won);
    tally_hedge(f->tally, 0, HEDGE_won);
    tally_hedge(f->tally, 0, HEDGE_refused);
    tally_end(f->tally, 0, OUTCOME_interrupted);
    tally_end(f->tally, TALLY_NONE, OUTCOME_refused);
    tally_resumed(f->tally, 0, 2, 5);
    tally_resumed(f->tally, 0, 2, 90000);
    tally_resumed(f->tally, 1, TALLY_NONE, 0);
    tally_not_resumed(f->tally, 2);
    assert_written(f, (const char *const[]){
                          "fallthrough_draining 1",
                          "fallthrough_requests_total{model=\"m\",outcome=\"ok\"} 1",
                          "fallthrough_requests_total{model=\"m\",outcome=\"interrupted\"} 1",
                          "fallthrough_requests_total{model=\"\",outcome=\"refused\"} 1",
                          "fallthrough_hedges_total{model=\"m\",result=\"won\"} 2",
                          "fallthrough_hedges_total{model=\"m\",result=\"lost\"} 0",
                          "fallthrough_hedges_total{model=\"m\",result=\"refused\"} 1",
                          "fallthrough_resumes_total{from=\"b0\",to=\"b2\",result=\"ok\"} 2",
                          "fallthrough_resumes_total{from=\"b1\",to=\"\",result=\"ok\"} 1",
                          "fallthrough_resumes_total{from=\"b2\",to=\"\",result=\"failed\"} 1",
                          "fallthrough_resume_gap_seconds_bucket{le=\"0.002\"} 0",
                          "fallthrough_resume_gap_seconds_bucket{le=\"0.005\"} 1",
                          "fallthrough_resume_gap_seconds_bucket{le=\"60\"} 1",
                          "fallthrough_resume_gap_seconds_bucket{le=\"+Inf\"} 2",
                          "fallthrough_resume_gap_seconds_sum 90.005",
                          "fallthrough_resume_gap_seconds_count 2",
                          NULL,
                      });
}

static void shows_what_the_meters_say(void **state)
{
    struct fixture *f = *state;
    struct meters *m = tally_meters(f->tally);
    meters_answer(m, 0, 2, ANSWER_OK);
    meters_answer(m, 0, 0, ANSWER_CLIENT_LEFT);
    meters_failure(m, 0, FAILURE_reset);
    meters_failover(m, 0, 2);
    meters_over_budget(m, 0);
    meters_usage(m, 1, 100, 20);
    meters_token(m, 1, 100, 11);
    meters_probe(m, 1, false, 70);
    meters_own(m, 5, 42);
    meters_own(m, 6, 400);
    assert_written(f,
                   (const char *const[]){
                       "fallthrough_answers_total{model=\"m\",backend=\"b2\",tier=\"2\","
                       "outcome=\"ok\"} 1",
                       "fallthrough_answers_total{model=\"m\",backend=\"b0\",tier=\"1\","
                       "outcome=\"client_left\"} 1",
                       "fallthrough_attempt_failures_total{backend=\"b0\",reason=\"reset\"} 1",
                       "fallthrough_failovers_total{from=\"b0\",to=\"b2\"} 1",
                       "fallthrough_retry_budget_exhausted_total{model=\"m\"} 1",
                       "fallthrough_prompt_tokens_total{backend=\"b1\"} 100",
                       "fallthrough_completion_tokens_total{backend=\"b1\"} 20",
                       "fallthrough_usage_reports_total{backend=\"b1\"} 1",
                       "fallthrough_token_seconds_bucket{backend=\"b1\",le=\"0.005\"} 0",
                       "fallthrough_token_seconds_bucket{backend=\"b1\",le=\"0.01\"} 1",
                       "fallthrough_token_seconds_sum{backend=\"b1\"} 0.01",
                       "fallthrough_probes_total{backend=\"b1\",result=\"failed\"} 1",
                       "fallthrough_probe_seconds_sum{backend=\"b1\"} 0.07",
                       "fallthrough_own_seconds_bucket{le=\"0.00002\"} 0",
                       "fallthrough_own_seconds_bucket{le=\"0.00005\"} 1",
                       "fallthrough_own_seconds_bucket{le=\"0.0005\"} 2",
                       "fallthrough_own_seconds_sum 0.000442",
                       "fallthrough_own_seconds_count 2",
                       NULL,
                   });
}

static void a_model_s_tier_is_the_first_with_somebody_usable(void **state)
{
    struct fixture *f = *state;
    const struct failed_attempt died = {.failure = FAILURE_reset, .is_first_500 = true};
    (void)board_on_failure(f->board, 0, &died, T0);
    (void)board_on_failure(f->board, 1, &died, T0);
    assert_written(f,
                   (const char *const[]){"fallthrough_model_tier{model=\"m\"} 2",
                                         "fallthrough_model_can_serve{model=\"m\"} 1", NULL});
    (void)board_on_failure(f->board, 2, &died, T0);
    assert_written(f,
                   (const char *const[]){"fallthrough_model_tier{model=\"m\"} 0",
                                         "fallthrough_model_can_serve{model=\"m\"} 0", NULL});
}

static void a_backend_that_wants_to_be_left_alone_is_held(void **state)
{
    struct fixture *f = *state;
    (void)board_on_failure(
        f->board, 1, &(struct failed_attempt){.failure = FAILURE_http_429, .hold_ms = 1500},
        T0);
    assert_written(
        f, (const char *const[]){"fallthrough_backend_hold_seconds{backend=\"b1\"} 1.5",
                                 "fallthrough_backend_hold_seconds{backend=\"b0\"} 0", NULL});
}

static void tells_what_guards_say_where_they_say_it(void **state)
{
    struct fixture *f = *state;
    struct guard_news n = {.has_restarts = true, .restarts = 3};
    guard_news_set(&n, GUARD_SAYS_READY, STR("well"));
    (void)telemetry_set_guard(board_telemetry(f->board), 1, &n, T0);
    assert_written(f, (const char *const[]){
                          "fallthrough_backend_guard_restarts_total{backend=\"b1\"} 3", NULL});
}

static void each_loop_has_its_turns(void **state)
{
    struct fixture f = *(struct fixture *)*state;
    struct loop *loops[] = {loop_new(), loop_new()};
    f.source.loops = loops;
    f.source.loop_count = 2;
    assert_written(&f,
                   (const char *const[]){
                       "fallthrough_loop_turn_seconds_bucket{loop=\"control\",le=\"0.001\"} 0",
                       "fallthrough_loop_turn_seconds_count{loop=\"0\"} 0",
                       "fallthrough_loop_busy_seconds{loop=\"control\"} 0",
                       "fallthrough_loop_busy_seconds{loop=\"0\"} 0", NULL});
    loop_free(&loops[0]);
    loop_free(&loops[1]);
}

static size_t count_of(struct str text, struct str needle)
{
    size_t count = 0;
    while (text.len >= needle.len) {
        count += str_starts(text, needle) ? 1 : 0;
        text = str_from_at(text, 1);
    }
    return count;
}

/* A matrix of every pair would be a million lines for the largest configuration. */
static void with_many_backends_only_pairs_that_occurred_are_written(void **state)
{
    enum { MANY = 17 };
    static struct backend backends[MANY];
    struct fixture f = *(struct fixture *)*state;
    struct exposition e;
    for (uint32_t i = 0; i < MANY; i++) {
        backends[i] = (struct backend){.index = i, .name = STR("b")};
    }
    struct catalog many = {.backends = backends, .backend_count = MANY};
    struct tally *tally = tally_new(&many);
    struct board *board = board_new(&many, T0);
    f.source.catalog = &many;
    f.source.tally = tally;
    f.source.board = board;
    tally_resumed(tally, 3, 4, 1);
    tally_resumed(tally, 5, 5, 1);
    meters_failover(tally_meters(tally), 3, 4);
    exposition_init(&e, TEXT_MAX);
    assert_true(metrics_write(&f.source, T0, &e));
    assert_int_equal(count_of(buf_str(&e.out), STR("\nfallthrough_resumes_total{")),
                     2 + 2 * MANY);
    assert_int_equal(count_of(buf_str(&e.out), STR("\nfallthrough_failovers_total{")), 1);
    exposition_fini(&e);
    board_free(&board);
    tally_free(&tally);
}

static void says_when_it_does_not_fit(void **state)
{
    struct fixture *f = *state;
    struct exposition e;
    exposition_init(&e, 2000);
    assert_false(metrics_write(&f->source, T0, &e));
    exposition_fini(&e);
}

/* --- the table --- */

static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        bool fine = (name.ptr[i] >= 'a' && name.ptr[i] <= 'z') || name.ptr[i] == '_';
        if (!fine) {
            return false;
        }
    }
    return name.len > 0;
}

static void names_keep_the_rules(void **state)
{
    size_t count = metrics_count();
    (void)state;
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        const struct family *f = &metrics_at(i)->family;
        struct str name = str_from(f->name);
        assert_true(is_name(name));
        assert_true(str_starts(name, STR("fallthrough_")) || str_starts(name, STR("process_")));
        assert_int_equal(str_ends(name, STR("_total")), f->kind == METRIC_COUNTER);
        assert_true(f->kind != METRIC_HISTOGRAM || str_ends(name, STR("_seconds")));
        assert_true(str_ends(str_from(f->help), STR(".")));
        for (size_t k = 0; f->labels[k]; k++) {
            assert_true(is_name(str_from(f->labels[k])));
            assert_string_not_equal(f->labels[k], "le");
        }
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(f->name, metrics_at(k)->family.name);
        }
    }
}

static struct str row_of(const struct family *f, struct arena *a)
{
    struct str labels = STR("");
    for (size_t k = 0; f->labels[k]; k++) {
        labels =
            arena_printf(a, "%.*s%s`%s`", STR_FMT(labels), k > 0 ? ", " : "", f->labels[k]);
    }
    return arena_printf(a, "| `%s` | %s | %.*s | %s |\n", f->name, metric_kind_name(f->kind),
                        STR_FMT(labels.len > 0 ? labels : STR("–")), f->help);
}

static void documentation_has_the_table_row_by_row(void **state)
{
    char *docs = NULL;
    size_t len = 0;
    size_t count = metrics_count();
    struct arena a;
    struct str rows = STR("");
    (void)state;
    arena_init(&a);
    assert_int_equal(conf_read_file(METRICS_MD, CONF_FILE_MAX, &docs, &len), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        struct str row = row_of(&metrics_at(i)->family, &a);
        rows = arena_join(&a, (const struct str[]){rows, row}, 2);
    }
    bool is_documented = str_has(str_of(docs, len), rows);
    if (!is_documented) {
        print_error("tools/metrics_products.py would write these rows to docs/metrics.md:\n");
    }
    while (!is_documented && rows.len > 0) {
        struct str row = str_cut(&rows, '\n');
        print_error("%.*s\n", STR_FMT(row));
    }
    assert_true(is_documented);
    free(docs);
    arena_fini(&a);
}

int main(void)
{
#define METRICS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        METRICS_TEST(everything_is_there_from_the_start_as_zero),
        METRICS_TEST(shows_what_the_board_knows),
        METRICS_TEST(shows_what_was_tallied),
        METRICS_TEST(shows_what_the_meters_say),
        METRICS_TEST(a_model_s_tier_is_the_first_with_somebody_usable),
        METRICS_TEST(a_backend_that_wants_to_be_left_alone_is_held),
        METRICS_TEST(tells_what_guards_say_where_they_say_it),
        METRICS_TEST(each_loop_has_its_turns),
        METRICS_TEST(with_many_backends_only_pairs_that_occurred_are_written),
        METRICS_TEST(says_when_it_does_not_fit),
        METRICS_TEST(names_keep_the_rules),
        METRICS_TEST(documentation_has_the_table_row_by_row),
    };
    return cmocka_run_group_tests_name("ops/metrics", tests, NULL, NULL);
}
