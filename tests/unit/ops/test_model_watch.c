#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../tiers/small_catalog.h"
#include "ops/model_watch.h"

enum { T0 = 1000000 };

/* Tier 1 has b0 and b1, tier 2 b2. */
struct fixture {
    struct small_catalog small;
    struct board *board;
    struct tally *tally;
    struct model_watch *watch;
    const struct model *model;
};

static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "01/2");
    f.board = board_new(&f.small.catalog, T0);
    f.tally = tally_new(&f.small.catalog);
    f.watch = model_watch_new(&f.small.catalog, T0);
    f.model = &f.small.catalog.models[0];
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    tally_free(&f->tally);
    model_watch_free(&f->watch);
    return 0;
}

static void take_down(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    (void)board_on_failure(
        f->board, backend,
        &(struct failed_attempt){.failure = FAILURE_connect_refused, .is_first_500 = true},
        now_ms);
}

static void remembers_since_when_a_tier_serves(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(model_watch_since_ms(f->watch, f->model, 1, T0 + 5), T0 + 5);
    model_watch_sample(f->watch, f->board, f->tally, T0 + 10);
    model_watch_sample(f->watch, f->board, f->tally, T0 + 1010);
    assert_int_equal(model_watch_since_ms(f->watch, f->model, 1, T0 + 2000), T0 + 10);
    take_down(f, 0, T0 + 1500); /* another of the tier is left */
    model_watch_sample(f->watch, f->board, f->tally, T0 + 2010);
    assert_int_equal(model_watch_since_ms(f->watch, f->model, 1, T0 + 2100), T0 + 10);
    take_down(f, 1, T0 + 2500);
    /* Between two samples it is not known better than now. */
    assert_int_equal(model_watch_since_ms(f->watch, f->model, 2, T0 + 2600), T0 + 2600);
    model_watch_sample(f->watch, f->board, f->tally, T0 + 3010);
    assert_int_equal(model_watch_since_ms(f->watch, f->model, 2, T0 + 9000), T0 + 3010);
}

static void gathers_the_figures_of_a_model_and_its_backends(void **state)
{
    struct fixture *f = *state;
    tally_end(f->tally, 0, OUTCOME_ok);
    tally_end(f->tally, 0, OUTCOME_ok);
    tally_degraded(f->tally, 0);
    tally_end(f->tally, 0, OUTCOME_failed);
    tally_end(f->tally, 0, OUTCOME_interrupted);
    tally_end(f->tally, 0, OUTCOME_refused);
    tally_end(f->tally, 0, OUTCOME_client_left);
    tally_last_resort(f->tally, 0, LAST_RESORT_MESSAGE);
    board_count_tokens(f->board, 0, 30);
    board_count_tokens(f->board, 2, 12);
    board_count_first_token(f->board, 1, 100);
    model_watch_sample(f->watch, f->board, f->tally, T0 + 1000);
    struct trend_slot all = trend_total(model_watch_trend(f->watch, f->model));
    assert_int_equal(all.requests, 5);
    assert_int_equal(all.failed, 2);
    assert_int_equal(all.last_resort, 1);
    assert_int_equal(all.degraded, 1);
    assert_int_equal(all.tokens, 42);
    assert_int_equal(all.first_token[figures_bucket_of(100)], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remembers_since_when_a_tier_serves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gathers_the_figures_of_a_model_and_its_backends, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
