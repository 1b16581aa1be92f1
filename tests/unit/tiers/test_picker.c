#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/loads.h"
#include "tiers/picker.h"

enum { T0 = 1000000, DRAWS = 1000 };

/* Two tiers: b0, b1 and b2 share the first, b3 is the second. */
struct fixture {
    struct small_catalog small;
    struct board *board;
    struct rand rand;
    struct tried tried;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.rand = {.state = 42}};
    small_catalog_init(&f.small, "012/3");
    f.board = board_new(&f.small.catalog, T0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    return 0;
}

static void strike(struct fixture *f, uint32_t backend, enum failure failure, uint64_t now_ms)
{
    (void)board_on_failure(f->board, backend,
                           &(struct failed_attempt){.failure = failure, .is_first_500 = true},
                           now_ms);
}

static void hold(struct fixture *f, uint32_t backend, uint32_t hold_ms, uint64_t now_ms)
{
    (void)board_on_failure(f->board, backend,
                           &(struct failed_attempt){.failure = FAILURE_http_429,
                                                    .is_first_500 = true,
                                                    .hold_ms = hold_ms},
                           now_ms);
}

static void probe(struct fixture *f, uint32_t backend, struct probe_result r, uint64_t now_ms)
{
    (void)board_on_probe(f->board, backend, &r, now_ms);
}

static bool pick(struct fixture *f, uint64_t now_ms, struct pick *out)
{
    return pick_backend(&(struct pick_query){.model = &f->small.model,
                                             .board = f->board,
                                             .tried = &f->tried,
                                             .now_ms = now_ms,
                                             .may_try = true},
                        &f->rand, out);
}

static void expect_pick(struct fixture *f, uint64_t now_ms, uint32_t backend,
                        enum pick_kind kind)
{
    struct pick out = {0};
    assert_true(pick(f, now_ms, &out));
    assert_int_equal(out.member->backend->index, backend);
    assert_int_equal(out.tier, backend == 3 ? 1 : 0);
    assert_int_equal(out.kind, kind);
}

static void expect_nobody(struct fixture *f, uint64_t now_ms)
{
    struct pick out = {0};
    assert_false(pick(f, now_ms, &out));
}

/* How often each backend is drawn. */
static void count_draws(struct fixture *f, uint64_t now_ms, uint32_t counts[SMALL_MAX])
{
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        counts[i] = 0;
    }
    for (int i = 0; i < DRAWS; i++) {
        struct pick out;
        assert_true(pick(f, now_ms, &out));
        counts[out.member->backend->index]++;
    }
}

static void judges_one_backend(void **state)
{
    (void)state;
    static const struct {
        struct backend_view view;
        enum breaker_phase phase;
        bool was_tried;
        enum pick_status status;
        const char *name;
    } rows[] = {
        {{.state = STATE_HEALTHY}, PHASE_FULL, false, PICK_USABLE, "usable"},
        {{.state = STATE_DEGRADED}, PHASE_FULL, false, PICK_USABLE, "usable"},
        {{.state = STATE_HEALTHY, .is_full = true}, PHASE_FULL, false, PICK_FULL, "full"},
        {{.state = STATE_HEALTHY, .is_full = true}, PHASE_RAMP, false, PICK_RAMP, "ramp"},
        {{.state = STATE_DOWN, .is_full = true}, PHASE_FULL, false, PICK_DOWN, "down"},
        {{.state = STATE_HEALTHY}, PHASE_RAMP, false, PICK_RAMP, "ramp"},
        {{.state = STATE_HEALTHY}, PHASE_DWELL, false, PICK_DWELL, "dwell"},
        {{.state = STATE_DEGRADED}, PHASE_OPEN, false, PICK_OPEN, "open"},
        {{.state = STATE_HEALTHY}, PHASE_OPEN, true, PICK_TRIED, "tried"},
        {{.state = STATE_DOWN}, PHASE_FULL, false, PICK_DOWN, "down"},
        {{.state = STATE_DOWN}, PHASE_OPEN, false, PICK_DOWN, "down"},
        {{.state = STATE_DOWN}, PHASE_OPEN, true, PICK_TRIED, "tried"},
        {{.state = STATE_HEALTHY, .hold_until_ms = T0 + 1},
         PHASE_FULL,
         false,
         PICK_HELD,
         "held"},
        {{.state = STATE_HEALTHY, .hold_until_ms = T0},
         PHASE_FULL,
         false,
         PICK_USABLE,
         "usable"},
        {{.state = STATE_DOWN, .hold_until_ms = T0 + 1}, PHASE_OPEN, false, PICK_HELD, "held"},
        {{.state = STATE_HEALTHY, .advice = {COUNSEL_CUT, false}},
         PHASE_OPEN,
         false,
         PICK_DRAINED,
         "drained"},
        {{.state = STATE_DOWN, .advice = {COUNSEL_DRAIN, false}},
         PHASE_FULL,
         false,
         PICK_DOWN,
         "down"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct breaker_view c = {.phase = rows[i].phase};
        enum pick_status s = pick_judge(&rows[i].view, &c, rows[i].was_tried, T0);
        assert_int_equal(s, rows[i].status);
        assert_string_equal(pick_status_name(s), rows[i].name);
    }
}

static void who_is_held_back_by_its_breaker_alone_is_a_reserve(void **state)
{
    (void)state;
    static const struct {
        enum pick_status status;
        bool answers;
        bool is_reserve;
    } rows[] = {
        {PICK_USABLE, true, false}, {PICK_RAMP, false, true}, {PICK_DWELL, false, true},
        {PICK_OPEN, false, true},   {PICK_OPEN, true, true},  {PICK_DOWN, false, false},
        {PICK_DOWN, true, true},    {PICK_HELD, true, false}, {PICK_TRIED, true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct breaker_view c = {.answers = rows[i].answers};
        assert_int_equal(pick_is_reserve(rows[i].status, &c), rows[i].is_reserve);
    }
}

static void shares_the_load_of_the_first_tier(void **state)
{
    uint32_t counts[SMALL_MAX];
    count_draws(*state, T0, counts);
    assert_in_range(counts[0], DRAWS / 4, DRAWS / 2);
    assert_in_range(counts[1], DRAWS / 4, DRAWS / 2);
    assert_in_range(counts[2], DRAWS / 4, DRAWS / 2);
    assert_int_equal(counts[3], 0);
}

static void never_draws_the_most_loaded(void **state)
{
    struct fixture *f = *state;
    uint32_t counts[SMALL_MAX];
    board_begin(f->board, 1);
    count_draws(f, T0, counts);
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[0], DRAWS / 3, DRAWS * 2 / 3);
    board_begin(f->board, 0);
    board_begin(f->board, 0);
    count_draws(f, T0, counts);
    assert_int_equal(counts[0], 0);
    assert_in_range(counts[2], DRAWS / 2, DRAWS - 1);
}

static void counts_recent_failures_as_load(void **state)
{
    struct fixture *f = *state;
    uint32_t counts[SMALL_MAX];
    strike(f, 0, FAILURE_http_500, T0);
    board_begin(f->board, 1);
    board_begin(f->board, 1);
    board_begin(f->board, 2);
    count_draws(f, T0, counts);
    assert_int_equal(counts[0], 0);
    count_draws(f, T0 + 1000, counts);
    assert_in_range(counts[0], DRAWS / 2, DRAWS);
}

static void bears_load_by_its_weight(void **state)
{
    struct fixture *f = *state;
    f->small.backends[1].weight = 4;
    for (int i = 0; i < 600; i++) {
        struct pick out;
        assert_true(pick(f, T0, &out));
        board_begin(f->board, out.member->backend->index);
    }
    uint32_t heavy = board_view(f->board, 1, T0).in_flight;
    assert_in_range(heavy, 300, 420); /* 400 of 600, as far as two of three are drawn */
    assert_in_range(board_view(f->board, 0, T0).in_flight, 80, 160);
}

static void counts_expected_work_more_than_attempts(void **state)
{
    struct fixture *f = *state;
    uint32_t counts[SMALL_MAX];
    struct loads *loads = board_loads(f->board);
    for (int i = 0; i < 3; i++) { /* three short answers are less than a long one */
        board_begin(f->board, 1);
        loads_add(loads, 1, 20);
    }
    board_begin(f->board, 0);
    loads_add(loads, 0, 4096);
    board_begin(f->board, 2);
    loads_add(loads, 2, 4096);
    count_draws(f, T0, counts);
    assert_in_range(counts[1], DRAWS * 55 / 100, DRAWS * 78 / 100); /* whenever it is drawn */
    loads_see_engine(loads, 1, 40, 3);                              /* others are at it */
    count_draws(f, T0, counts);
    assert_int_equal(counts[1], 0);
}

static void gives_each_its_turn_and_passes_over_the_down(void **state)
{
    struct fixture *f = *state;
    uint32_t counts[SMALL_MAX];
    f->small.model.load.kind = LOAD_ROUND_ROBIN;
    count_draws(f, T0, counts);
    assert_in_range(counts[0], DRAWS / 3, DRAWS / 3 + 1);
    assert_in_range(counts[1], DRAWS / 3, DRAWS / 3 + 1);
    strike(f, 1, FAILURE_connect_refused, T0);
    count_draws(f, T0, counts);
    assert_int_equal(counts[0], DRAWS / 2);
    assert_int_equal(counts[2], DRAWS / 2);
}

static void a_key_keeps_its_backend_while_that_is_usable(void **state)
{
    struct fixture *f = *state;
    struct pick_query q = {.model = &f->small.model,
                           .board = f->board,
                           .tried = &f->tried,
                           .now_ms = T0,
                           .has_key = true};
    f->small.model.load.kind = LOAD_SESSION;
    uint32_t moved = 0;
    for (q.key = 1; q.key <= 300; q.key++) {
        struct pick home;
        struct pick out;
        assert_true(pick_backend(&q, &f->rand, &home));
        assert_true(pick_backend(&q, &f->rand, &out));
        assert_ptr_equal(out.member, home.member);
        tried_add(&f->tried, 2);
        assert_true(pick_backend(&q, &f->rand, &out));
        moved += out.member != home.member;
        assert_true(out.member == home.member || home.member->backend->index == 2);
        f->tried.count = 0;
    }
    assert_in_range(moved, 70, 130);
    q.has_key = false; /* without a session the load decides */
    board_begin(f->board, 0);
    board_begin(f->board, 1);
    uint32_t idle = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct pick out;
        assert_true(pick_backend(&q, &f->rand, &out));
        idle += out.member->backend->index == 2;
    }
    assert_in_range(idle, DRAWS * 55 / 100, DRAWS * 78 / 100);
}

static void prefers_healthy_to_degraded_in_a_tier(void **state)
{
    struct fixture *f = *state;
    probe(f, 0, probe_ok(3000), T0);
    probe(f, 2, probe_ok(3000), T0);
    for (int i = 0; i < 20; i++) {
        board_begin(f->board, 1);
        expect_pick(f, T0, 1, PICK_REGULAR);
    }
    tried_add(&f->tried, 1);
    uint32_t counts[SMALL_MAX];
    count_draws(f, T0, counts);
    assert_int_equal(counts[0] + counts[2], DRAWS);
}

static void prefers_a_degraded_tier_to_the_next(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 3; i++) {
        probe(f, i, probe_ok(3000), T0);
    }
    struct pick out;
    assert_true(pick(f, T0, &out));
    assert_int_equal(out.tier, 0);
}

static void passes_a_tier_that_is_tried_down_or_held(void **state)
{
    struct fixture *f = *state;
    tried_add(&f->tried, 0);
    strike(f, 1, FAILURE_connect_refused, T0);
    hold(f, 2, 5000, T0);
    expect_pick(f, T0, 3, PICK_REGULAR);
    expect_pick(f, T0 + 4999, 3, PICK_REGULAR);
    expect_pick(f, T0 + 5000, 2, PICK_REGULAR);
}

static void finds_nobody_when_all_were_tried(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 4; i++) {
        strike(f, i, FAILURE_connect_refused, T0);
        tried_add(&f->tried, i);
    }
    expect_nobody(f, T0 + 60000);
}

static void finds_nobody_when_all_are_held(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 4; i++) {
        hold(f, i, 10000 + i * 1000, T0);
    }
    expect_nobody(f, T0 + 9999);
    assert_false(pick_can_serve(&f->small.model, f->board, T0 + 9999));
    expect_pick(f, T0 + 10000, 0, PICK_REGULAR);
}

static void tries_who_is_down_when_nobody_else_is_left(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 4; i++) {
        strike(f, i, FAILURE_connect_refused, T0);
    }
    expect_nobody(f, T0 + 999);
    for (uint32_t i = 0; i < 4; i++) {
        expect_pick(f, T0 + 1000, i, PICK_PANIC);
    }
    expect_nobody(f, T0 + 1000);
    expect_nobody(f, T0 + 1999);
    tried_add(&f->tried, 0);
    expect_pick(f, T0 + 2000, 1, PICK_PANIC);
}

static void tries_nobody_while_somebody_is_usable(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 3; i++) {
        strike(f, i, FAILURE_connect_refused, T0);
    }
    for (int i = 0; i < 10; i++) {
        expect_pick(f, T0 + 60000, 3, PICK_REGULAR);
    }
}

static void tries_who_is_down_although_another_is_held(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 3; i++) {
        hold(f, i, 60000, T0);
    }
    strike(f, 3, FAILURE_connect_refused, T0);
    expect_pick(f, T0 + 1000, 3, PICK_PANIC);
    expect_nobody(f, T0 + 1001);
}

static void makes_no_trial_of_the_held(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 4; i++) {
        strike(f, i, FAILURE_connect_refused, T0);
        hold(f, i, 60000, T0);
    }
    expect_nobody(f, T0 + 59999);
    expect_pick(f, T0 + 60000, 0, PICK_PANIC);
}

/* One a second for the whole model: each costs a client the deadline. */
static void panics_over_the_silent_once_a_second(void **state)
{
    struct fixture *f = *state;
    static const enum failure silences[] = {
        FAILURE_first_token_timeout,
        FAILURE_stall,
        FAILURE_send_timeout,
        FAILURE_connect_timeout,
    };
    for (uint32_t i = 0; i < 4; i++) {
        strike(f, i, silences[i], T0);
    }
    expect_nobody(f, T0 + 999);
    uint32_t tries = 0;
    for (uint64_t ms = 1000; ms < 11000; ms += 10) {
        struct pick out;
        tries += pick(f, T0 + ms, &out) ? 1 : 0;
    }
    assert_in_range(tries, 9, 10);
}

static void panics_over_the_least_bad_first(void **state)
{
    struct fixture *f = *state;
    strike(f, 0, FAILURE_connect_refused, T0);
    strike(f, 1, FAILURE_first_token_timeout, T0);
    strike(f, 2, FAILURE_reset, T0);
    strike(f, 3, FAILURE_http_503, T0);
    static const uint32_t order[] = {3, 2, 1, 0};
    for (uint32_t i = 0; i < 4; i++) {
        expect_pick(f, T0 + 1000, order[i], PICK_PANIC);
    }
    expect_nobody(f, T0 + 1000);
}

static void panics_over_nobody_when_that_is_switched_off(void **state)
{
    struct fixture *f = *state;
    f->small.model.may_panic = false;
    for (uint32_t i = 0; i < 4; i++) {
        strike(f, i, FAILURE_http_503, T0);
    }
    expect_nobody(f, T0 + 60000);
}

static void never_panics_over_who_loads_its_model(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 4; i++) {
        probe(f, i, probe_loading(), T0);
    }
    expect_nobody(f, T0 + 60000);
    strike(f, 3, FAILURE_loading, T0 + 60000);
    expect_nobody(f, T0 + 120000);
    probe(f, 3, probe_status(500), T0 + 120000);
    expect_pick(f, T0 + 121000, 3, PICK_PANIC);
}

/* A model of one backend loses nothing by the finer rule. */
static void the_only_backend_is_tried_each_second_after_silence(void **state)
{
    struct fixture *f = *state;
    f->small.model.tiers = &f->small.tiers[1];
    f->small.model.tier_count = 1;
    strike(f, 3, FAILURE_first_token_timeout, T0);
    struct pick out;
    for (uint32_t s = 1; s < 10; s++) {
        assert_false(pick(f, T0 + s * 1000 - 1, &out));
        assert_true(pick(f, T0 + s * 1000, &out));
        assert_int_equal(out.kind, PICK_PANIC);
    }
}

static void can_serve_while_somebody_is_usable(void **state)
{
    struct fixture *f = *state;
    const struct model *m = &f->small.model;
    assert_true(pick_can_serve(m, f->board, T0));
    for (uint32_t i = 0; i < 3; i++) {
        strike(f, i, FAILURE_connect_refused, T0);
    }
    assert_true(pick_can_serve(m, f->board, T0));
    strike(f, 3, FAILURE_connect_refused, T0);
    assert_false(pick_can_serve(m, f->board, T0));
    assert_false(pick_can_serve(m, f->board, T0 + 60000));
    probe(f, 3, probe_ok(5), T0 + 61000);
    probe(f, 3, probe_ok(5), T0 + 63000);
    assert_true(pick_can_serve(m, f->board, T0 + 63000));
}

static void serves_nothing_without_tiers(void **state)
{
    struct fixture *f = *state;
    struct model none = {.name = STR("none")};
    struct pick out;
    assert_false(pick_backend(
        &(struct pick_query){
            .model = &none, .board = f->board, .tried = &f->tried, .now_ms = T0},
        &f->rand, &out));
    assert_false(pick_can_serve(&none, f->board, T0));
    assert_int_equal(pick_retry_after_s(&none, f->board, T0), 30);
}

static void tells_when_to_come_again(void **state)
{
    struct fixture *f = *state;
    const struct model *m = &f->small.model;
    assert_int_equal(pick_retry_after_s(m, f->board, T0), 30);
    hold(f, 0, 90000, T0);
    assert_int_equal(pick_retry_after_s(m, f->board, T0), 90);
    hold(f, 3, 4001, T0);
    assert_int_equal(pick_retry_after_s(m, f->board, T0), 5);
    assert_int_equal(pick_retry_after_s(m, f->board, T0 + 1), 4);
    assert_int_equal(pick_retry_after_s(m, f->board, T0 + 4000), 1);
    assert_int_equal(pick_retry_after_s(m, f->board, T0 + 4001), 86);
    assert_int_equal(pick_retry_after_s(m, f->board, T0 + 90000), 30);
    hold(f, 1, UINT32_MAX, T0 + 100000);
    assert_int_equal(pick_retry_after_s(m, f->board, T0 + 100000), 600);
}

static void the_end_of_a_hold_says_nothing_about_who_is_down(void **state)
{
    struct fixture *f = *state;
    hold(f, 0, 5000, T0);
    strike(f, 0, FAILURE_reset, T0);
    assert_int_equal(pick_retry_after_s(&f->small.model, f->board, T0), 30);
}

int main(void)
{
#define PICKER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PICKER_TEST(judges_one_backend),
        PICKER_TEST(who_is_held_back_by_its_breaker_alone_is_a_reserve),
        PICKER_TEST(shares_the_load_of_the_first_tier),
        PICKER_TEST(never_draws_the_most_loaded),
        PICKER_TEST(counts_recent_failures_as_load),
        PICKER_TEST(bears_load_by_its_weight),
        PICKER_TEST(counts_expected_work_more_than_attempts),
        PICKER_TEST(gives_each_its_turn_and_passes_over_the_down),
        PICKER_TEST(a_key_keeps_its_backend_while_that_is_usable),
        PICKER_TEST(prefers_healthy_to_degraded_in_a_tier),
        PICKER_TEST(prefers_a_degraded_tier_to_the_next),
        PICKER_TEST(passes_a_tier_that_is_tried_down_or_held),
        PICKER_TEST(finds_nobody_when_all_were_tried),
        PICKER_TEST(finds_nobody_when_all_are_held),
        PICKER_TEST(tries_who_is_down_when_nobody_else_is_left),
        PICKER_TEST(tries_nobody_while_somebody_is_usable),
        PICKER_TEST(tries_who_is_down_although_another_is_held),
        PICKER_TEST(makes_no_trial_of_the_held),
        PICKER_TEST(panics_over_the_silent_once_a_second),
        PICKER_TEST(panics_over_the_least_bad_first),
        PICKER_TEST(panics_over_nobody_when_that_is_switched_off),
        PICKER_TEST(never_panics_over_who_loads_its_model),
        PICKER_TEST(the_only_backend_is_tried_each_second_after_silence),
        PICKER_TEST(can_serve_while_somebody_is_usable),
        PICKER_TEST(serves_nothing_without_tiers),
        PICKER_TEST(tells_when_to_come_again),
        PICKER_TEST(the_end_of_a_hold_says_nothing_about_who_is_down),
    };
    return cmocka_run_group_tests_name("tiers/picker", tests, NULL, NULL);
}
