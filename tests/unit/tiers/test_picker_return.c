#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "small_catalog.h"
#include "tiers/picker.h"

/* How a backend comes back to traffic, as the picker sees it. */

enum { T0 = 1000000, DRAWS = 10000, MINUTE = 60000 };

struct fixture {
    struct small_catalog small;
    struct board *board;
    struct rand rand;
    struct tried tried;
};

static void make(struct fixture *f, const char *tiers)
{
    *f = (struct fixture){.rand = {.state = 42}};
    small_catalog_init(&f->small, tiers);
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        f->small.backends[i].breaker = SMALL_BREAKER;
    }
    f->board = board_new(&f->small.catalog, T0);
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
    assert_int_equal(out.kind, kind);
}

static void strike(struct fixture *f, uint32_t backend, enum failure failure, uint64_t now_ms)
{
    struct failed_attempt a = {.failure = failure, .is_first_500 = true};
    (void)board_on_failure(f->board, backend, &a, now_ms);
}

/* Two good probes: it leaves DOWN. */
static void heal(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    struct probe_result good = probe_ok(1);
    (void)board_on_probe(f->board, backend, &good, now_ms);
    (void)board_on_probe(f->board, backend, &good, now_ms);
    assert_int_equal(board_view(f->board, backend, now_ms).state, STATE_HEALTHY);
}

/* An answer of an attempt that began just now. */
static bool answer(struct fixture *f, uint32_t serving, uint32_t claim, uint64_t now_ms)
{
    return board_on_answer(f->board, serving, &(struct ended_attempt){.claim = claim}, now_ms);
}

/* Out of 10,000 picks, how many go to the backend. */
static uint32_t count_picks(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    uint32_t count = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct pick out;
        assert_true(pick(f, now_ms, &out));
        count += out.member->backend->index == backend ? 1 : 0;
    }
    return count;
}

static void the_ramp_lets_a_share_of_the_requests_through(void **state)
{
    static const struct {
        uint64_t after_ms;
        uint32_t share;
    } rows[] = {{0, 0}, {9999, 0}, {10000, 10}, {20000, 25}, {30000, 50}, {40000, 100}};
    struct fixture f;
    (void)state;
    make(&f, "0/1");
    strike(&f, 0, FAILURE_reset, T0);
    heal(&f, 0, T0 + 2000);
    assert_true(answer(&f, 0, 0, T0 + 2000));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t expected = DRAWS / 100 * rows[i].share;
        uint32_t count = count_picks(&f, 0, T0 + rows[i].after_ms);
        bool is_sharp = rows[i].share == 0 || rows[i].share == 100;
        uint32_t off = is_sharp ? 0 : DRAWS / 50;
        /* In the dwell the trial comes on top. */
        assert_in_range(count, expected - off, expected + off + 1);
    }
    board_free(&f.board);
}

static void one_request_is_the_trial_and_the_others_go_elsewhere(void **state)
{
    struct fixture f;
    struct pick out;
    (void)state;
    make(&f, "0/1");
    strike(&f, 0, FAILURE_http_503, T0);
    expect_pick(&f, T0 + 1, 1, PICK_REGULAR);
    heal(&f, 0, T0 + 4000);
    assert_true(pick(&f, T0 + 4000, &out));
    assert_int_equal(out.kind, PICK_TRIAL);
    assert_int_equal(out.member->backend->index, 0);
    assert_int_equal(count_picks(&f, 1, T0 + 5000), DRAWS);
    pick_release(f.board, &out, T0 + 5000);
    expect_pick(&f, T0 + 6999, 1, PICK_REGULAR);
    expect_pick(&f, T0 + 7000, 0, PICK_TRIAL);
    expect_pick(&f, T0 + 7000, 1, PICK_REGULAR);
    board_free(&f.board);
}

static void only_a_request_with_all_its_time_is_a_trial(void **state)
{
    struct fixture f;
    struct pick out;
    (void)state;
    make(&f, "0/1");
    strike(&f, 0, FAILURE_http_503, T0);
    heal(&f, 0, T0 + 4000);
    struct pick_query q = {
        .model = &f.small.model, .board = f.board, .tried = &f.tried, .now_ms = T0 + 4000};
    for (int i = 0; i < 100; i++) {
        assert_true(pick_backend(&q, &f.rand, &out));
        assert_int_equal(out.member->backend->index, 1);
    }
    board_free(&f.board);
}

static void nothing_holds_back_who_has_nobody_beside_him(void **state)
{
    static const enum failure failures[] = {FAILURE_reset, FAILURE_stall, FAILURE_http_503};
    (void)state;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct fixture f;
        make(&f, "0");
        strike(&f, 0, failures[i], T0);
        heal(&f, 0, T0 + 2500);
        assert_true(pick_can_serve(&f.small.model, f.board, T0 + 2500));
        assert_int_equal(count_picks(&f, 0, T0 + 2500), DRAWS);
        board_free(&f.board);
    }
}

static void who_is_held_back_is_used_when_the_others_go(void **state)
{
    struct fixture f;
    (void)state;
    make(&f, "0/1");
    strike(&f, 0, FAILURE_stall, T0);
    heal(&f, 0, T0 + 2500);
    expect_pick(&f, T0 + 2500, 1, PICK_REGULAR);
    strike(&f, 1, FAILURE_reset, T0 + 2600);
    expect_pick(&f, T0 + 2600, 0, PICK_RESERVE);
    heal(&f, 1, T0 + 5000);
    expect_pick(&f, T0 + 5000, 1, PICK_TRIAL);
    expect_pick(&f, T0 + 5000, 0, PICK_RESERVE);
    board_free(&f.board);
}

static void an_open_one_is_better_than_nothing(void **state)
{
    struct fixture f;
    (void)state;
    make(&f, "0");
    (void)answer(&f, 0, 0, T0);
    for (int i = 0; i < STRIKES_OPEN; i++) {
        struct failed_attempt a = {.failure = FAILURE_http_500, .is_first_500 = true};
        (void)board_on_failure(f.board, 0, &a, T0);
        board_on_success(f.board, 0, T0); /* health has its own mind */
    }
    assert_int_equal(pick_prospect(f.board, f.small.members, T0).status, PICK_OPEN);
    expect_pick(&f, T0 + 100, 0, PICK_RESERVE);
    expect_pick(&f, T0 + 2000, 0, PICK_TRIAL);
    expect_pick(&f, T0 + 2000, 0, PICK_RESERVE);
    expect_pick(&f, T0 + BREAKER_WINDOW_MS, 0, PICK_RESERVE);
    board_free(&f.board);
}

/* Its probes lie: requests say so, and are believed where nobody else is. */
static void who_answers_although_he_is_down_is_a_reserve(void **state)
{
    struct fixture f;
    struct pick out;
    (void)state;
    make(&f, "0");
    struct probe_result bad = probe_status(404);
    (void)board_on_probe(f.board, 0, &bad, T0);
    assert_false(pick(&f, T0 + 999, &out));
    expect_pick(&f, T0 + 1000, 0, PICK_PANIC);
    assert_true(answer(&f, 0, 0, T0 + 1100));
    assert_int_equal(count_picks(&f, 0, T0 + 1100), DRAWS);
    assert_true(pick_can_serve(&f.small.model, f.board, T0 + 1100));
    strike(&f, 0, FAILURE_http_503, T0 + 1200);
    (void)board_on_probe(f.board, 0, &bad, T0 + 1300);
    board_free(&f.board);
}

static void the_breaker_of_one_model_leaves_the_others_alone(void **state)
{
    struct fixture f;
    (void)state;
    make(&f, "0/1");
    board_free(&f.board);
    f.small.servings[1].backend = f.small.servings[0].backend; /* b0 serves two models */
    f.small.backends[0].serving_count = 2;
    f.small.backends[1].serving_count = 0;
    f.board = board_new(&f.small.catalog, T0);
    for (int i = 0; i < STRIKES_OPEN; i++) {
        struct failed_attempt a = {.failure = FAILURE_http_500, .is_first_500 = true, .of = 1};
        (void)board_on_failure(f.board, 0, &a, T0);
        board_on_success(f.board, 0, T0);
    }
    const struct breakers *all = board_breakers(f.board);
    assert_int_equal(breakers_view(all, 1, T0).phase, PHASE_OPEN);
    assert_int_equal(breakers_view(all, 0, T0).phase, PHASE_FULL);
    struct failed_attempt a = {.failure = FAILURE_http_503, .is_first_500 = true, .of = 0};
    (void)board_on_failure(f.board, 0, &a, T0);
    assert_int_equal(breakers_view(all, 0, T0).phase, PHASE_OPEN);
    heal(&f, 0, T0 + 3000);
    assert_int_equal(breakers_view(all, 0, T0 + 60000).phase, PHASE_OPEN);
    board_free(&f.board);
}

static void a_request_that_drew_a_500_before_is_no_strike(void **state)
{
    struct fixture f;
    (void)state;
    make(&f, "0/1");
    for (int i = 0; i < 100; i++) {
        struct failed_attempt a = {.failure = FAILURE_http_500};
        assert_false(board_on_failure(f.board, 0, &a, T0).opened);
    }
    board_free(&f.board);
}

/* --- large tiers --- */

enum { LARGE = 64 };

struct large {
    struct catalog catalog;
    struct model model;
    struct tier tier;
    struct backend backends[LARGE];
    struct tier_member members[LARGE];
    struct serving servings[LARGE];
};

static void make_large(struct large *l)
{
    memset(l, 0, sizeof(*l));
    for (uint32_t i = 0; i < LARGE; i++) {
        l->backends[i] = (struct backend){.index = i,
                                          .health = SMALL_HEALTH,
                                          .breaker = SMALL_BREAKER,
                                          .first_serving = i,
                                          .serving_count = 1};
        l->members[i] = (struct tier_member){.backend = &l->backends[i], .serving = i};
        l->servings[i] = (struct serving){.index = i, .backend = &l->backends[i]};
    }
    l->tier = (struct tier){l->members, LARGE};
    l->model = (struct model){.tiers = &l->tier, .tier_count = 1, .may_panic = true};
    l->catalog = (struct catalog){.backends = l->backends,
                                  .backend_count = LARGE,
                                  .models = &l->model,
                                  .model_count = 1,
                                  .servings = l->servings,
                                  .serving_count = LARGE};
}

/* However many are DOWN, whoever is left gets his share. */
static void a_large_tier_is_shared_evenly_by_who_is_left(void **state)
{
    static struct large l;
    static const uint32_t lefts[] = {64, 32, 3, 2, 1};
    (void)state;
    make_large(&l);
    for (size_t n = 0; n < sizeof(lefts) / sizeof(lefts[0]); n++) {
        struct board *b = board_new(&l.catalog, T0);
        struct rand rand = {.state = 7};
        struct tried tried = {0};
        uint32_t counts[LARGE] = {0};
        uint32_t left = lefts[n];
        for (uint32_t i = left; i < LARGE; i++) {
            struct failed_attempt a = {.failure = FAILURE_reset, .is_first_500 = true};
            (void)board_on_failure(b, i, &a, T0);
        }
        for (int i = 0; i < DRAWS; i++) {
            struct pick out;
            struct pick_query q = {
                .model = &l.model, .board = b, .tried = &tried, .now_ms = T0, .may_try = true};
            assert_true(pick_backend(&q, &rand, &out));
            counts[out.member->backend->index]++;
        }
        for (uint32_t i = 0; i < left; i++) {
            assert_in_range(counts[i], DRAWS / left * 6 / 10, DRAWS / left * 14 / 10);
        }
        board_free(&b);
    }
}

/* --- many threads --- */

enum { THREADS = 4, ROUNDS = 3000 };

struct crowd {
    struct fixture f;
    _Atomic uint32_t under_way;
    _Atomic uint32_t trials;
    _Atomic uint32_t most;
};

static void end_trial(struct crowd *c, const struct pick *p, uint32_t round, uint64_t now_ms)
{
    struct failed_attempt a = {
        .failure = FAILURE_http_500, .is_first_500 = true, .ended = {.claim = p->claim}};
    (void)atomic_fetch_sub(&c->under_way, 1);
    if (round % 3 == 0) {
        (void)answer(&c->f, 0, p->claim, now_ms);
        (void)board_on_failure(c->f.board, 0, &a, now_ms); /* opens it again */
    } else if (round % 3 == 1) {
        (void)board_on_failure(c->f.board, 0, &a, now_ms);
    }
    board_on_success(c->f.board, 0, now_ms);
    pick_release(c->f.board, p, now_ms);
}

/* Each thread is a worker whose clock runs as the others' does. */
static void *work(void *arg)
{
    struct crowd *c = arg;
    struct rand rand = {.state = (uint64_t)(uintptr_t)&rand};
    struct tried tried = {0};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t now_ms = T0 + (uint64_t)i * 1000;
        struct pick out;
        struct pick_query q = {.model = &c->f.small.model,
                               .board = c->f.board,
                               .tried = &tried,
                               .now_ms = now_ms,
                               .may_try = true};
        if (!pick_backend(&q, &rand, &out) || out.kind != PICK_TRIAL) {
            continue;
        }
        uint32_t now_under_way = atomic_fetch_add(&c->under_way, 1) + 1;
        (void)atomic_fetch_add(&c->trials, 1);
        if (now_under_way > atomic_load(&c->most)) {
            atomic_store(&c->most, now_under_way);
        }
        end_trial(c, &out, i, now_ms);
    }
    return NULL;
}

static void two_workers_never_both_send_the_trial(void **state)
{
    static struct crowd c;
    pthread_t threads[THREADS];
    (void)state;
    memset(&c, 0, sizeof(c));
    make(&c.f, "0/1");
    for (int i = 0; i < STRIKES_OPEN; i++) {
        struct failed_attempt a = {.failure = FAILURE_http_500, .is_first_500 = true};
        (void)board_on_failure(c.f.board, 0, &a, T0);
        board_on_success(c.f.board, 0, T0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&c.most), 1);
    assert_true(atomic_load(&c.trials) > 100);
    board_free(&c.f.board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ramp_lets_a_share_of_the_requests_through),
        cmocka_unit_test(one_request_is_the_trial_and_the_others_go_elsewhere),
        cmocka_unit_test(only_a_request_with_all_its_time_is_a_trial),
        cmocka_unit_test(nothing_holds_back_who_has_nobody_beside_him),
        cmocka_unit_test(who_is_held_back_is_used_when_the_others_go),
        cmocka_unit_test(an_open_one_is_better_than_nothing),
        cmocka_unit_test(who_answers_although_he_is_down_is_a_reserve),
        cmocka_unit_test(the_breaker_of_one_model_leaves_the_others_alone),
        cmocka_unit_test(a_request_that_drew_a_500_before_is_no_strike),
        cmocka_unit_test(a_large_tier_is_shared_evenly_by_who_is_left),
        cmocka_unit_test(two_workers_never_both_send_the_trial),
    };
    return cmocka_run_group_tests_name("tiers/picker and the way back", tests, NULL, NULL);
}
