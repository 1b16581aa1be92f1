#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "guard/plan.h"

static const struct plan_policy policy = {
    .start_ms = 900000,
    .stop = {.term_ms = 30000, .rest_ms = 5000, .kill_ms = 10000},
    .restart = {.first_ms = 1000,
                .max_ms = 300000,
                .healthy_ms = 600000,
                .limit = 6,
                .within_ms = 1800000},
    .oom_steps = 2,
    .oom_forget_ms = 3600000,
};

enum { FAILED = PLAN_DO_HOOK_DOWN | PLAN_DO_KEEP_INCIDENT };

static void begin(struct plan *p, uint64_t now_ms)
{
    plan_init(p, &policy, (struct rand){.state = 1}, now_ms);
}

/* From STARTING to LOADING. */
static void spawn(struct plan *p, uint64_t now_ms)
{
    assert_int_equal(p->state, PLAN_STARTING);
    assert_int_equal(plan_on_clear(p, now_ms), PLAN_DO_SPAWN);
    plan_on_spawned(p, now_ms);
    assert_int_equal(p->state, PLAN_LOADING);
}

static void make_ready(struct plan *p, uint64_t now_ms)
{
    spawn(p, now_ms);
    plan_on_token(p, now_ms + 1000);
    assert_int_equal(p->state, PLAN_READY);
}

/* The main process dies, nothing else is left; BACKOFF or GAVE_UP. */
static unsigned die(struct plan *p, enum cause cause, uint64_t now_ms)
{
    assert_int_equal(plan_on_exit(p, cause, "it died", now_ms), FAILED);
    assert_int_equal(p->state, PLAN_STOPPING);
    return plan_on_census(p, 0, 0, now_ms);
}

static void await_start(struct plan *p)
{
    assert_int_equal(p->state, PLAN_BACKOFF);
    assert_int_equal(plan_on_tick(p, p->due_ms - 1), 0);
    assert_int_equal(p->state, PLAN_BACKOFF);
    assert_int_equal(plan_on_tick(p, p->due_ms), 0);
    assert_int_equal(p->state, PLAN_STARTING);
}

static void goes_from_a_start_to_ready_and_stops_when_asked(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 100);
    assert_string_equal(p.why, "first token after 1.0 s");
    assert_true(p.has_been_ready);
    assert_int_equal(plan_on_stop(&p, 5000), PLAN_DO_TERM_MAIN);
    assert_int_equal(plan_on_exit(&p, CAUSE_EXIT, "exit 0", 6000), 0);
    assert_int_equal(plan_on_census(&p, 0, 0, 6000), PLAN_DO_LEAVE);
    assert_int_equal(p.state, PLAN_ENDED);
    assert_int_equal(p.exit_code, 0);
    assert_int_equal(p.restarts.total, 0);
}

static void an_exit_that_nobody_asked_for_is_a_failure(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    assert_int_equal(die(&p, CAUSE_EXIT, 10000), 0);
    assert_int_equal(p.cause, CAUSE_EXIT);
    assert_in_range(p.due_ms, 10800, 11200);
    await_start(&p);
    make_ready(&p, p.due_ms);
    assert_int_equal(p.cause, CAUSE_NONE);
}

static void starts_nothing_while_anything_is_left(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    (void)plan_on_exit(&p, CAUSE_EXIT, "exit 0", 2000);
    assert_int_equal(plan_on_census(&p, 2, 0, 2000), PLAN_DO_TERM_ALL);
    assert_int_equal(plan_on_census(&p, 1, 0, 6999), 0);
    assert_int_equal(plan_on_census(&p, 1, 0, 7000), PLAN_DO_KILL_ALL);
    assert_int_equal(plan_on_census(&p, 1, 0, 7050), PLAN_DO_KILL_ALL); /* again and again */
    assert_int_equal(p.state, PLAN_STOPPING);
    assert_int_equal(plan_on_census(&p, 0, 0, 7100), 0);
    assert_int_equal(p.state, PLAN_BACKOFF);
}

static void what_survives_the_kill_is_reported_and_never_joined_by_another(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    (void)plan_on_exit(&p, CAUSE_SIGNAL, "killed", 2000);
    (void)plan_on_census(&p, 1, 1, 2000);
    (void)plan_on_census(&p, 1, 1, 7000);
    assert_int_equal(plan_on_census(&p, 1, 1, 17000), PLAN_DO_HOOK_RESET);
    assert_int_equal(p.state, PLAN_UNKILLABLE);
    assert_non_null(strstr(p.why, "1 process(es) survive SIGKILL, 1 of them in state D"));
    assert_non_null(strstr(p.why, "the machine needs a restart"));
    assert_non_null(strstr(p.why, "killed"));
    for (uint64_t t = 17000; t < 90000000; t += 60000) {
        assert_int_equal(plan_on_census(&p, 1, 1, t), 0);
        assert_int_equal(plan_on_tick(&p, t), 0);
        assert_int_equal(p.state, PLAN_UNKILLABLE);
    }
    /* The driver let it go after all. */
    assert_int_equal(plan_on_census(&p, 0, 0, 90000000), 0);
    assert_int_equal(p.state, PLAN_BACKOFF);
}

static void a_stop_that_leaves_something_behind_has_failed(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    (void)plan_on_stop(&p, 2000);
    assert_int_equal(plan_on_census(&p, 1, 1, 32000), PLAN_DO_TERM_ALL);
    assert_int_equal(plan_on_census(&p, 1, 1, 37000), PLAN_DO_KILL_ALL);
    assert_int_equal(plan_on_census(&p, 1, 1, 47000), PLAN_DO_HOOK_RESET | PLAN_DO_LEAVE);
    assert_int_equal(p.exit_code, 1);
}

static void a_second_word_kills_at_once(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    assert_int_equal(plan_on_stop(&p, 2000), PLAN_DO_TERM_MAIN);
    assert_int_equal(plan_on_stop(&p, 2500), PLAN_DO_KILL_ALL);
    assert_int_equal(plan_on_stop(&p, 2600), 0);
}

static void a_start_that_takes_too_long_fails(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    spawn(&p, 1000);
    plan_on_progress(&p, "health: connection refused");
    assert_int_equal(plan_on_tick(&p, 900999), 0);
    assert_int_equal(plan_on_tick(&p, 901000), FAILED | PLAN_DO_TERM_MAIN);
    assert_int_equal(p.cause, CAUSE_SLOW_START);
    assert_string_equal(p.why,
                        "no token within 900 s of its start (health: connection refused)");
}

static void a_hang_is_ended_faster_than_a_stop(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    make_ready(&p, 0);
    assert_int_equal(plan_on_hang(&p, "hangs", 60000), FAILED | PLAN_DO_TERM_MAIN);
    assert_int_equal(plan_on_hang(&p, "hangs", 60001), 0);
    assert_int_equal(plan_on_census(&p, 1, 0, 65000), PLAN_DO_TERM_ALL);
    assert_int_equal(plan_on_census(&p, 1, 0, 70000), PLAN_DO_KILL_ALL);
    assert_int_equal(plan_on_exit(&p, CAUSE_SIGNAL, "by SIGKILL", 70001), 0);
    assert_int_equal(plan_on_census(&p, 0, 0, 70001), 0);
    assert_int_equal(p.cause, CAUSE_HANG); /* the first cause stays */
    assert_string_equal(p.why, "hangs");
}

static void gives_up_after_six_restarts_and_stays_to_tell(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    for (int i = 0; i < 6; i++) {
        uint64_t now_ms = p.state == PLAN_STARTING ? p.since_ms : 0;
        spawn(&p, now_ms);
        assert_int_equal(die(&p, CAUSE_EXIT, now_ms + 100), 0);
        await_start(&p);
    }
    spawn(&p, p.since_ms);
    assert_int_equal(die(&p, CAUSE_EXIT, p.since_ms + 100), PLAN_DO_HOOK_GAVE_UP);
    assert_int_equal(p.state, PLAN_GAVE_UP);
    assert_non_null(strstr(p.why, "6 restarts within 1800 s did not help"));
    assert_int_equal(plan_on_tick(&p, UINT32_MAX), 0);
    assert_int_equal(p.state, PLAN_GAVE_UP);
    assert_int_equal(plan_on_stop(&p, UINT32_MAX), PLAN_DO_LEAVE);
    assert_int_equal(p.exit_code, 1);
}

static void leaves_when_it_is_to_leave_having_given_up(void **state)
{
    struct plan p;
    struct plan_policy leaving = policy;
    (void)state;
    leaving.then_leave = PLAN_LEAVE;
    leaving.restart.limit = 1;
    plan_init(&p, &leaving, (struct rand){.state = 1}, 0);
    spawn(&p, 0);
    (void)die(&p, CAUSE_EXIT, 1);
    await_start(&p);
    spawn(&p, p.since_ms);
    assert_int_equal(die(&p, CAUSE_EXIT, 5000), PLAN_DO_HOOK_GAVE_UP | PLAN_DO_LEAVE);
    assert_int_equal(p.exit_code, 1);
}

static void ten_minutes_of_health_begin_the_delays_anew(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    for (int i = 0; i < 3; i++) {
        spawn(&p, p.since_ms);
        (void)die(&p, CAUSE_EXIT, p.since_ms);
        await_start(&p);
    }
    make_ready(&p, 10000);
    (void)plan_on_tick(&p, 11000 + 600000);
    (void)die(&p, CAUSE_EXIT, 700000);
    assert_in_range(p.due_ms - 700000, 800, 1200);
}

static void memory_steps_go_up_and_are_taken_back(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    spawn(&p, 0);
    (void)die(&p, CAUSE_EXIT, 0);
    assert_int_equal(p.oom_step, 0);
    await_start(&p);
    spawn(&p, p.since_ms);
    (void)die(&p, CAUSE_OOM_GPU, p.since_ms);
    assert_int_equal(p.oom_step, 1);
    await_start(&p);
    spawn(&p, p.since_ms);
    (void)die(&p, CAUSE_OOM_HOST, p.since_ms);
    assert_int_equal(p.oom_step, 2);
    await_start(&p);
    spawn(&p, p.since_ms);
    (void)die(&p, CAUSE_OOM_GPU, p.since_ms);
    assert_int_equal(p.oom_step, 2); /* there is no third */
    await_start(&p);
    make_ready(&p, p.since_ms);
    uint64_t ready_ms = p.since_ms;
    (void)plan_on_tick(&p, ready_ms + 3599999);
    assert_int_equal(p.oom_step, 2);
    (void)plan_on_tick(&p, ready_ms + 3600000);
    assert_int_equal(p.oom_step, 0);
}

static void a_slow_start_whose_log_tells_of_memory_takes_a_step(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    spawn(&p, 0);
    p.has_gpu_memory_line = true;
    (void)plan_on_tick(&p, 900000);
    assert_int_equal(p.cause, CAUSE_OOM_GPU);
    (void)plan_on_exit(&p, CAUSE_SIGNAL, "killed", 900001);
    (void)plan_on_census(&p, 0, 0, 900001);
    assert_int_equal(p.oom_step, 1);
}

static void a_gpu_that_needs_a_reset_gets_no_start_and_one_hook(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    assert_int_equal(plan_on_gpu_down(&p, "GPU 0 is DOWN", 10), PLAN_DO_HOOK_RESET);
    assert_int_equal(p.state, PLAN_NEEDS_RESET);
    assert_int_equal(plan_on_gpu_down(&p, "GPU 0 is DOWN", 20), 0);
    assert_int_equal(plan_on_tick(&p, 90000000), 0);
    assert_int_equal(p.state, PLAN_NEEDS_RESET);
    assert_int_equal(plan_on_clear(&p, 90000000), PLAN_DO_SPAWN);
    plan_on_spawned(&p, 90000000);
    assert_int_equal(plan_on_gpu_down(&p, "again", 90000001), PLAN_DO_HOOK_RESET);
    assert_int_equal(p.state, PLAN_LOADING); /* what runs is judged by its tokens */
}

static void leftovers_of_an_earlier_guard_are_ended_first(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    assert_int_equal(plan_on_leftovers(&p, 2, 0), 0);
    assert_int_equal(p.state, PLAN_STOPPING);
    assert_int_equal(plan_on_census(&p, 2, 0, 0), PLAN_DO_TERM_ALL);
    assert_int_equal(plan_on_census(&p, 0, 0, 100), 0);
    await_start(&p);
}

static void a_command_that_cannot_be_run_is_a_failure(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    assert_int_equal(plan_on_clear(&p, 0), PLAN_DO_SPAWN);
    assert_int_equal(plan_on_no_start(&p, "no descriptors", 0), FAILED);
    assert_int_equal(p.cause, CAUSE_NO_START);
    assert_int_equal(plan_on_census(&p, 0, 0, 0), 0);
    await_start(&p);
}

static void stops_at_once_where_nothing_runs(void **state)
{
    struct plan p;
    (void)state;
    begin(&p, 0);
    plan_on_blocked(&p, "the port is held");
    assert_string_equal(p.why, "the port is held");
    assert_int_equal(plan_on_stop(&p, 1), PLAN_DO_LEAVE);
    assert_int_equal(p.exit_code, 0);
    assert_int_equal(plan_on_stop(&p, 2), 0);
}

static void every_state_has_a_name(void **state)
{
    (void)state;
    for (enum plan_state s = PLAN_STARTING; s <= PLAN_ENDED; s++) {
        assert_non_null(plan_state_name(s));
    }
    assert_string_equal(plan_state_name(PLAN_BACKOFF), "RESTARTING");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_from_a_start_to_ready_and_stops_when_asked),
        cmocka_unit_test(an_exit_that_nobody_asked_for_is_a_failure),
        cmocka_unit_test(starts_nothing_while_anything_is_left),
        cmocka_unit_test(what_survives_the_kill_is_reported_and_never_joined_by_another),
        cmocka_unit_test(a_stop_that_leaves_something_behind_has_failed),
        cmocka_unit_test(a_second_word_kills_at_once),
        cmocka_unit_test(a_start_that_takes_too_long_fails),
        cmocka_unit_test(a_hang_is_ended_faster_than_a_stop),
        cmocka_unit_test(gives_up_after_six_restarts_and_stays_to_tell),
        cmocka_unit_test(leaves_when_it_is_to_leave_having_given_up),
        cmocka_unit_test(ten_minutes_of_health_begin_the_delays_anew),
        cmocka_unit_test(memory_steps_go_up_and_are_taken_back),
        cmocka_unit_test(a_slow_start_whose_log_tells_of_memory_takes_a_step),
        cmocka_unit_test(a_gpu_that_needs_a_reset_gets_no_start_and_one_hook),
        cmocka_unit_test(leftovers_of_an_earlier_guard_are_ended_first),
        cmocka_unit_test(a_command_that_cannot_be_run_is_a_failure),
        cmocka_unit_test(stops_at_once_where_nothing_runs),
        cmocka_unit_test(every_state_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
