#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/board.h"
#include "tiers/demand.h"
#include "tiers/pick_status.h"

enum { T0 = 1000000, STOP_AFTER = 600000 };

static char *const command[] = {(char[]){"serve"}, NULL};

/* b0 alone in tier 1; b1 and b2 behind it are managed where a test says so. */
struct fixture {
    struct small_catalog small;
    struct board *board;
    struct processes *processes;
    struct managed_policy policy;
    struct demand demand;
};

static void begin(struct fixture *f, const char *tiers, uint32_t first_managed)
{
    small_catalog_init(&f->small, tiers);
    for (uint32_t i = first_managed; i < SMALL_MAX; i++) {
        f->small.backends[i].managed.command = command;
    }
    f->policy = (struct managed_policy){.command = command, .stop_after_ms = STOP_AFTER};
    f->demand = (struct demand){.is_wanted = false};
    f->board = board_new(&f->small.catalog, T0);
    f->processes = processes_new(&f->small.catalog, T0);
}

static int set_up(void **state)
{
    static struct fixture f;
    begin(&f, "0/1/2", 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    processes_free(&f->processes);
    return 0;
}

static void again(struct fixture *f, const char *tiers, uint32_t first_managed)
{
    board_free(&f->board);
    processes_free(&f->processes);
    begin(f, tiers, first_managed);
}

static void go_down(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    (void)board_on_probe(f->board, backend,
                         &(struct probe_result){.answered = true, .status = 500}, now_ms);
}

static void come_back(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    for (uint32_t i = 0; i < SMALL_HEALTH.up_after; i++) {
        (void)board_on_probe(f->board, backend,
                             &(struct probe_result){.answered = true, .status = 200}, now_ms);
    }
}

/* As the manager would say of it. */
static void set_process(struct fixture *f, uint32_t backend, enum process_state s,
                        uint64_t now_ms)
{
    processes_at(f->processes, backend)->state = s;
    if (s == PROCESS_ready) {
        (void)board_put_on(f->board, backend, now_ms);
    } else {
        (void)board_put_off(f->board, backend,
                            s == PROCESS_stopped ? CAUSE_STOPPED : CAUSE_RISING, now_ms);
    }
}

static struct demand_look look(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    return demand_look(&f->small.catalog, f->board, f->processes, backend, now_ms);
}

static bool next(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    struct demand_look l = look(f, backend, now_ms);
    return demand_next(&f->demand, &f->policy, &l, now_ms);
}

static void is_neither_started_nor_stopped_while_the_operator_keeps_it_out(void **state)
{
    struct fixture *f = *state;
    assert_true(board_set_operator(f->board, 1, OPERATOR_DISABLED, T0));
    go_down(f, 0, T0);
    assert_false(next(f, 1, T0));
    assert_false(next(f, 1, T0 + 100000));
    assert_false(f->demand.is_wanted);
    assert_true(board_set_operator(f->board, 1, OPERATOR_NONE, T0 + 100000));
    assert_true(next(f, 1, T0 + 100000));
    set_process(f, 1, PROCESS_ready, T0 + 100000);
    assert_true(board_set_operator(f->board, 1, OPERATOR_DRAINING, T0 + 100000));
    come_back(f, 0, T0 + 110000);
    assert_false(next(f, 1, T0 + 110000));
    assert_false(next(f, 1, T0 + 10000000));
    assert_true(f->demand.is_wanted);
}

static void is_wanted_when_the_one_above_is_drained(void **state)
{
    struct fixture *f = *state;
    assert_true(board_set_operator(f->board, 0, OPERATOR_DRAINING, T0));
    assert_false(next(f, 1, T0));
    assert_true(next(f, 1, T0 + DEMAND_GRACE_MS));
}

static void is_wanted_when_all_above_are_out_for_the_grace(void **state)
{
    struct fixture *f = *state;
    assert_false(next(f, 1, T0));
    go_down(f, 0, T0 + 100);
    assert_false(next(f, 1, T0 + 100));
    assert_false(next(f, 1, T0 + 100 + DEMAND_GRACE_MS - 1));
    assert_true(next(f, 1, T0 + 100 + DEMAND_GRACE_MS));
    assert_true(f->demand.is_wanted);
    assert_false(next(f, 1, T0 + 5000)); /* no news */
}

static void a_short_outage_starts_nothing(void **state)
{
    struct fixture *f = *state;
    go_down(f, 0, T0);
    assert_false(next(f, 1, T0));
    come_back(f, 0, T0 + 500);
    assert_false(next(f, 1, T0 + 500));
    go_down(f, 0, T0 + 600);
    assert_false(next(f, 1, T0 + 600));
    assert_false(next(f, 1, T0 + 1500)); /* 900 ms: the first outage does not count */
    assert_true(next(f, 1, T0 + 1600));
}

static void one_that_serves_above_is_enough(void **state)
{
    struct fixture *f = *state;
    again(f, "03/1", 1);
    f->small.backends[3].managed.command = NULL;
    (void)board_put_on(f->board, 3, T0);
    go_down(f, 0, T0);
    assert_false(look(f, 1, T0).is_needed);
    assert_true(look(f, 1, T0).has_better);
    go_down(f, 3, T0);
    assert_true(look(f, 1, T0).is_needed);
    assert_false(look(f, 1, T0).has_better);
}

static void what_asked_to_be_left_alone_is_not_out(void **state)
{
    struct fixture *f = *state;
    (void)board_on_failure(
        f->board, 0, &(struct failed_attempt){.failure = FAILURE_http_429, .hold_ms = 5000},
        T0);
    assert_false(look(f, 1, T0).is_needed);
    assert_false(look(f, 1, T0).has_better);
}

static void is_stopped_after_a_better_one_has_held(void **state)
{
    struct fixture *f = *state;
    go_down(f, 0, T0);
    (void)next(f, 1, T0);
    assert_true(next(f, 1, T0 + DEMAND_GRACE_MS));
    set_process(f, 1, PROCESS_ready, T0 + 5000);
    come_back(f, 0, T0 + 10000);
    assert_false(next(f, 1, T0 + 10000));
    assert_int_equal(demand_end_ms(&f->demand, &f->policy), T0 + 10000 + STOP_AFTER);
    assert_false(next(f, 1, T0 + 10000 + STOP_AFTER - 1));
    assert_true(next(f, 1, T0 + 10000 + STOP_AFTER));
    assert_false(f->demand.is_wanted);
}

static void a_relapse_begins_the_time_anew(void **state)
{
    struct fixture *f = *state;
    f->demand.is_wanted = true;
    set_process(f, 1, PROCESS_ready, T0);
    assert_false(next(f, 1, T0));
    go_down(f, 0, T0 + STOP_AFTER - 1000);
    assert_false(next(f, 1, T0 + STOP_AFTER - 1000));
    assert_int_equal(demand_end_ms(&f->demand, &f->policy), 0);
    come_back(f, 0, T0 + STOP_AFTER);
    assert_false(next(f, 1, T0 + STOP_AFTER));
    assert_false(next(f, 1, T0 + 2 * STOP_AFTER - 1));
    assert_true(next(f, 1, T0 + 2 * STOP_AFTER));
}

static void is_not_stopped_while_it_answers(void **state)
{
    struct fixture *f = *state;
    f->demand.is_wanted = true;
    set_process(f, 1, PROCESS_ready, T0);
    (void)board_begin(f->board, 1);
    assert_false(next(f, 1, T0));
    assert_false(next(f, 1, T0 + 2 * STOP_AFTER));
    board_end(f->board, 1);
    assert_true(next(f, 1, T0 + 2 * STOP_AFTER + 1));
}

static void is_never_stopped_where_that_is_said(void **state)
{
    struct fixture *f = *state;
    f->policy.stop_after_ms = 0;
    f->demand.is_wanted = true;
    set_process(f, 1, PROCESS_ready, T0);
    assert_false(next(f, 1, T0));
    assert_false(next(f, 1, T0 + 100 * (uint64_t)STOP_AFTER));
    f->policy = (struct managed_policy){
        .command = command, .start = MANAGED_ALWAYS, .stop_after_ms = 1};
    assert_false(next(f, 1, T0 + 200 * (uint64_t)STOP_AFTER));
}

static void always_is_wanted_at_once(void **state)
{
    struct fixture *f = *state;
    f->policy.start = MANAGED_ALWAYS;
    assert_true(next(f, 1, T0));
    assert_true(f->demand.is_wanted);
}

static void what_has_not_begun_is_given_up_at_once(void **state)
{
    struct fixture *f = *state;
    f->demand.is_wanted = true;
    set_process(f, 1, PROCESS_waiting, T0);
    assert_true(next(f, 1, T0));
    assert_false(f->demand.is_wanted);
}

static void the_first_tier_is_always_needed(void **state)
{
    struct fixture *f = *state;
    again(f, "0/1", 0);
    assert_true(look(f, 0, T0).is_needed);
    assert_false(look(f, 0, T0).has_better);
    assert_int_equal(look(f, 0, T0).rank, 0);
}

static void the_last_waits_for_the_one_that_is_on_its_way(void **state)
{
    struct fixture *f = *state;
    go_down(f, 0, T0);
    assert_true(look(f, 1, T0).is_needed);
    assert_false(look(f, 2, T0).is_needed); /* b1 is stopped, and will be started */
    set_process(f, 1, PROCESS_waiting, T0);
    assert_false(look(f, 2, T0).is_needed);
    assert_false(look(f, 2, T0 + PROCESS_PATIENCE_MS - 1).is_needed);
    assert_true(look(f, 2, T0 + PROCESS_PATIENCE_MS).is_needed); /* it may wait for ever */
    set_process(f, 1, PROCESS_loading, T0);
    assert_false(look(f, 2, T0).is_needed);
    processes_at(f->processes, 1)->restarts = 1; /* it has failed before */
    assert_true(look(f, 2, T0).is_needed);
    set_process(f, 1, PROCESS_ready, T0);
    assert_false(look(f, 2, T0).is_needed);
    assert_true(look(f, 2, T0).has_better);
    assert_int_equal(look(f, 2, T0).rank, 2);
}

static void in_no_model_nobody_needs_it(void **state)
{
    struct fixture *f = *state;
    assert_false(look(f, 7, T0).is_needed);
    assert_int_equal(look(f, 7, T0).rank, UINT32_MAX);
}

/* --- as it is seen --- */

static void what_is_stopped_is_no_outage_and_is_not_probed(void **state)
{
    struct fixture *f = *state;
    struct backend_view v = board_view(f->board, 1, T0);
    assert_string_equal(state_word(v.state, v.cause), "STOPPED");
    assert_true(board_next_probe_ms(f->board, 1) == UINT64_MAX);
    assert_int_equal(pick_prospect(f->board, &f->small.members[1], T0).status, PICK_STOPPED);
    (void)board_on_probe(f->board, 1,
                         &(struct probe_result){.failure = FAILURE_connect_refused}, T0 + 1);
    (void)board_on_probe(f->board, 1, &(struct probe_result){.answered = true, .status = 200},
                         T0 + 2);
    v = board_view(f->board, 1, T0 + 3);
    assert_string_equal(state_word(v.state, v.cause), "STOPPED");
    set_process(f, 1, PROCESS_loading, T0 + 10);
    v = board_view(f->board, 1, T0 + 10);
    assert_string_equal(state_word(v.state, v.cause), "LOADING");
    assert_int_equal(v.since_ms, T0 + 10);
}

static void what_is_up_serves_at_once(void **state)
{
    struct fixture *f = *state;
    set_process(f, 1, PROCESS_loading, T0);
    struct board_change c = board_put_on(f->board, 1, T0 + 100);
    assert_true(c.state_changed);
    assert_int_equal(c.to, STATE_HEALTHY);
    assert_int_equal(pick_prospect(f->board, &f->small.members[1], T0 + 100).status,
                     PICK_USABLE);
    assert_int_equal(board_next_probe_ms(f->board, 1), T0 + 100);
}

static void a_failure_of_its_process_is_an_outage(void **state)
{
    struct fixture *f = *state;
    set_process(f, 1, PROCESS_ready, T0);
    struct board_change c = board_put_off(f->board, 1, CAUSE_RESTARTING, T0 + 50);
    assert_true(c.state_changed);
    struct backend_view v = board_view(f->board, 1, T0 + 50);
    assert_string_equal(state_word(v.state, v.cause), "DOWN");
    (void)board_on_failure(f->board, 1, &(struct failed_attempt){.failure = FAILURE_reset},
                           T0 + 60);
    assert_int_equal(board_view(f->board, 1, T0 + 60).cause.kind, CAUSE_RESTARTING);
}

/* --- turns --- */

static void one_at_a_time_on_each_gpu_the_better_tier_first(void **state)
{
    struct demand_turn t[] = {
        {.gpu = STR("a"), .rank = 2, .wants = true},
        {.gpu = STR("a"), .rank = 1, .wants = true},
        {.gpu = STR("b"), .rank = 1, .has = true},
        {.gpu = STR("b"), .rank = 0, .wants = true},
    };
    (void)state;
    assert_int_equal(demand_grant(t, 4), 1);
    t[1].wants = false;
    t[1].has = true;
    assert_true(demand_grant(t, 4) == SIZE_MAX);
    t[2].has = false;
    assert_int_equal(demand_grant(t, 4), 3);
    t[3].wants = false;
    t[1].has = false;
    assert_int_equal(demand_grant(t, 4), 0);
    assert_true(demand_grant(t, 0) == SIZE_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_neither_started_nor_stopped_while_the_operator_keeps_it_out),
        TEST(is_wanted_when_the_one_above_is_drained),
        TEST(is_wanted_when_all_above_are_out_for_the_grace),
        TEST(a_short_outage_starts_nothing),
        TEST(one_that_serves_above_is_enough),
        TEST(what_asked_to_be_left_alone_is_not_out),
        TEST(is_stopped_after_a_better_one_has_held),
        TEST(a_relapse_begins_the_time_anew),
        TEST(is_not_stopped_while_it_answers),
        TEST(is_never_stopped_where_that_is_said),
        TEST(always_is_wanted_at_once),
        TEST(what_has_not_begun_is_given_up_at_once),
        TEST(the_first_tier_is_always_needed),
        TEST(the_last_waits_for_the_one_that_is_on_its_way),
        TEST(in_no_model_nobody_needs_it),
        TEST(what_is_stopped_is_no_outage_and_is_not_probed),
        TEST(what_is_up_serves_at_once),
        TEST(a_failure_of_its_process_is_an_outage),
        TEST(one_at_a_time_on_each_gpu_the_better_tier_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
