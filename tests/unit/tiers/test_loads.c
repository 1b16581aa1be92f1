#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "small_catalog.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

enum { THREADS = 4, ROUNDS = 20000, LIMIT = 3 };

struct fixture {
    struct small_catalog small;
    struct loads *loads;
};

static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "012/3");
    f.small.backends[1].max_concurrent = LIMIT;
    f.loads = loads_new(&f.small.catalog);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    loads_free(&f->loads);
    return 0;
}

static void a_backend_without_a_limit_is_never_full(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++) {
        assert_true(loads_claim(f->loads, 0));
    }
    assert_false(loads_is_full(f->loads, 0));
    assert_false(loads_is_limited(f->loads, 0));
    assert_int_equal(loads_claimed(f->loads, 0), 0);
}

static void gives_as_many_slots_as_there_are(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < LIMIT; i++) {
        assert_false(loads_is_full(f->loads, 1));
        assert_true(loads_claim(f->loads, 1));
    }
    assert_true(loads_is_full(f->loads, 1));
    assert_false(loads_claim(f->loads, 1));
    assert_int_equal(loads_claimed(f->loads, 1), LIMIT);
    loads_unclaim(f->loads, 1);
    assert_true(loads_claim(f->loads, 1));
    for (int i = 0; i < LIMIT; i++) {
        loads_unclaim(f->loads, 1);
    }
    assert_int_equal(loads_claimed(f->loads, 1), 0);
}

/* What the threads of the next test share. */
struct contest {
    struct loads *loads;
    atomic_int now;
    atomic_int most;
    atomic_int won;
};

static void *claim_again_and_again(void *arg)
{
    struct contest *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (!loads_claim(c->loads, 1)) {
            continue;
        }
        int now = atomic_fetch_add(&c->now, 1) + 1;
        int most = atomic_load(&c->most);
        while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now)) {
        }
        atomic_fetch_add(&c->won, 1);
        atomic_fetch_sub(&c->now, 1);
        loads_unclaim(c->loads, 1);
    }
    return NULL;
}

static void threads_never_have_more_slots_than_there_are(void **state)
{
    struct fixture *f = *state;
    struct contest c = {.loads = f->loads};
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, claim_again_and_again, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_in_range(c.most, 1, LIMIT);
    assert_in_range(c.won, ROUNDS, THREADS * ROUNDS);
    assert_int_equal(loads_claimed(f->loads, 1), 0);
}

static void expects_what_answers_were_lately_but_no_more_than_asked_for(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loads_expect(f->loads, 0, 0, UINT64_MAX), LOAD_ANSWER);
    assert_int_equal(loads_expect(f->loads, 0, 0, 10), 10);
    assert_int_equal(loads_expect(f->loads, 0, 6400, 10), 110);
    loads_note_answer(f->loads, 0, 1000);
    assert_int_equal(loads_expect(f->loads, 0, 0, UINT64_MAX), 1000);
    assert_int_equal(loads_expect(f->loads, 1, 0, UINT64_MAX), LOAD_ANSWER);
    for (int i = 0; i < 100; i++) {
        loads_note_answer(f->loads, 0, 20);
    }
    assert_in_range(loads_expect(f->loads, 0, 0, 4096), 18, 26);
    loads_note_answer(f->loads, 0, UINT64_MAX);
    assert_true(loads_expect(f->loads, 0, UINT64_MAX, UINT64_MAX) > 1 << 20);
}

static void adds_up_work_attempts_and_what_others_do(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loads_of(f->loads, 2, 0), 0);
    loads_add(f->loads, 2, 300);
    loads_add(f->loads, 2, 20);
    assert_int_equal(loads_of(f->loads, 2, 2), 320 + 2 * LOAD_ATTEMPT);
    loads_sub(f->loads, 2, 300);
    loads_see_engine(f->loads, 2, 5, 2);
    assert_int_equal(loads_of(f->loads, 2, 2), 20 + 2 * LOAD_ATTEMPT + 3 * LOAD_UNIT);
    loads_see_engine(f->loads, 2, 2, 5); /* ours are not all in its engine yet */
    assert_int_equal(loads_of(f->loads, 2, 0), 20);
}

static void knows_the_median_and_the_mean_of_the_last_times(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(loads_first_token_ms(f->loads, 0), 0);
    assert_int_equal(loads_hold_ms(f->loads, 0), 0);
    loads_note_first_token(f->loads, 0, 0);
    loads_note_hold(f->loads, 0, 0);
    assert_int_equal(loads_first_token_ms(f->loads, 0), 1); /* known, and quick */
    assert_int_equal(loads_hold_ms(f->loads, 0), 1);
    for (uint64_t i = 0; i < LOADS_RECENT; i++) {
        loads_note_first_token(f->loads, 0, i == 3 ? 900000 : 100 + i);
        loads_note_hold(f->loads, 0, i % 2 == 0 ? 1000 : 3000);
    }
    assert_in_range(loads_first_token_ms(f->loads, 0), 105, 112);
    assert_int_equal(loads_hold_ms(f->loads, 0), 2000);
    for (int i = 0; i < LOADS_RECENT; i++) {
        loads_note_first_token(f->loads, 0, 7);
    }
    assert_int_equal(loads_first_token_ms(f->loads, 0), 7);
}

static void counts_the_turns_of_each_tier_alone(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(loads_turn(f->loads, 0, 0), i);
    }
    assert_int_equal(loads_turn(f->loads, 0, 1), 0);
    assert_int_equal(loads_turn(f->loads, 0, 0), 5);
}

#define WITH_LOADS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOADS(a_backend_without_a_limit_is_never_full),
        WITH_LOADS(gives_as_many_slots_as_there_are),
        WITH_LOADS(threads_never_have_more_slots_than_there_are),
        WITH_LOADS(expects_what_answers_were_lately_but_no_more_than_asked_for),
        WITH_LOADS(adds_up_work_attempts_and_what_others_do),
        WITH_LOADS(knows_the_median_and_the_mean_of_the_last_times),
        WITH_LOADS(counts_the_turns_of_each_tier_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
