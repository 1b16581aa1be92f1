#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/board.h"

/* What the board knows of a backend with one of its models. */

enum { T0 = 1000000 };

struct fixture {
    struct small_catalog small;
    struct board *board;
};

static int set_up(void **state)
{
    static struct fixture f;
    small_catalog_init(&f.small, "01/2");
    f.board = board_new(&f.small.catalog, T0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    assert_null(f->board);
    return 0;
}

static struct board *board_of(void **state)
{
    return ((struct fixture *)*state)->board;
}

static struct board_change strike(struct board *b, enum failure f, uint64_t now_ms)
{
    return board_on_failure(b, 0, &(struct failed_attempt){.failure = f, .is_first_500 = true},
                            now_ms);
}

static struct board_change probe(struct board *b, struct probe_result r, uint64_t now_ms)
{
    return board_on_probe(b, 0, &r, now_ms);
}

static void begins_without_a_measured_ability(void **state)
{
    struct board *b = board_of(state);
    assert_int_equal(board_ability(b, 0), ABILITY_UNKNOWN);
    assert_int_equal(board_residence(b, 0), RESIDENCE_UNKNOWN);
    assert_int_equal(board_outages(b, 0), 0);
    assert_null(ability_name(board_worst_ability(b, 0)));
    assert_int_equal(board_worst_ability(b, 7), ABILITY_UNKNOWN);
}

static void a_paid_backend_has_none_for_ever(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    f->small.backends[1].type = BACKEND_OPENAI;
    f->small.backends[7].type = BACKEND_OPENAI; /* in no tier */
    f->board = board_new(&f->small.catalog, T0);
    assert_int_equal(board_ability(f->board, 1), ABILITY_NO);
    assert_int_equal(board_worst_ability(f->board, 7), ABILITY_NO);
    assert_int_equal(board_ability(f->board, 0), ABILITY_UNKNOWN);
    board_doubt_ability(f->board, 1);
    assert_int_equal(board_ability(f->board, 1), ABILITY_NO);
}

static void what_anthropic_can_is_not_known(void **state)
{
    struct fixture *f = *state;
    board_free(&f->board);
    f->small.backends[1].type = BACKEND_ANTHROPIC;
    f->board = board_new(&f->small.catalog, T0);
    assert_int_equal(board_ability(f->board, 1), ABILITY_UNKNOWN);
}

static void publishes_what_was_measured(void **state)
{
    struct board *b = board_of(state);
    assert_true(board_set_ability(b, 0, ABILITY_ECHO, 0));
    board_set_residence(b, 0, RESIDENCE_LOADED);
    assert_int_equal(board_ability(b, 0), ABILITY_ECHO);
    assert_int_equal(board_residence(b, 0), RESIDENCE_LOADED);
    assert_int_equal(board_ability(b, 1), ABILITY_UNKNOWN);
}

static void an_outage_leaves_only_what_was_bad(void **state)
{
    static const struct {
        enum ability before;
        enum ability after;
    } rows[] = {{ABILITY_UNKNOWN, ABILITY_UNKNOWN},
                {ABILITY_EXACT, ABILITY_UNKNOWN},
                {ABILITY_ECHO, ABILITY_ECHO},
                {ABILITY_DIFFERS, ABILITY_DIFFERS},
                {ABILITY_NO, ABILITY_NO}};
    struct board *b = board_of(state);
    uint64_t now = T0;
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, now += 20000) {
        assert_true(board_set_ability(b, 0, rows[i].before, board_outages(b, 0)));
        assert_true(board_set_ability(b, 1, ABILITY_EXACT, 0));
        board_set_residence(b, 0, RESIDENCE_LOADED);
        (void)strike(b, FAILURE_connect_refused, now);
        assert_int_equal(board_outages(b, 0), i + 1);
        (void)strike(b, FAILURE_connect_refused, now + 1);
        assert_int_equal(board_outages(b, 0), i + 1);
        assert_int_equal(board_ability(b, 0), rows[i].after);
        assert_int_equal(board_residence(b, 0), RESIDENCE_UNKNOWN);
        assert_int_equal(board_ability(b, 1), ABILITY_EXACT);
        (void)probe(b, probe_ok(1), now + 5000);
        (void)probe(b, probe_ok(1), now + 10000);
        assert_int_equal(board_view(b, 0, now).state, STATE_HEALTHY);
    }
}

static void an_outage_seen_by_a_probe_counts_too(void **state)
{
    struct board *b = board_of(state);
    assert_true(board_set_ability(b, 0, ABILITY_EXACT, 0));
    (void)probe(b, probe_status(503), T0 + 5);
    assert_int_equal(board_outages(b, 0), 1);
    assert_int_equal(board_ability(b, 0), ABILITY_UNKNOWN);
}

static void refuses_what_was_measured_before_an_outage(void **state)
{
    struct board *b = board_of(state);
    (void)strike(b, FAILURE_reset, T0);
    assert_false(board_set_ability(b, 0, ABILITY_EXACT, 0));
    assert_int_equal(board_ability(b, 0), ABILITY_UNKNOWN);
    assert_true(board_set_ability(b, 0, ABILITY_EXACT, 1));
    assert_int_equal(board_ability(b, 0), ABILITY_EXACT);
}

static void another_model_must_earn_its_ability(void **state)
{
    struct board *b = board_of(state);
    assert_true(board_set_ability(b, 0, ABILITY_EXACT, 0));
    board_doubt_ability(b, 0);
    assert_int_equal(board_ability(b, 0), ABILITY_UNKNOWN);
    assert_true(board_set_ability(b, 0, ABILITY_DIFFERS, 0));
    board_doubt_ability(b, 0);
    assert_int_equal(board_ability(b, 0), ABILITY_DIFFERS);
}

static void the_worst_ability_of_several_models_is_the_backends(void **state)
{
    static const enum ability by_worth[] = {ABILITY_EXACT, ABILITY_ECHO, ABILITY_UNKNOWN,
                                            ABILITY_DIFFERS, ABILITY_NO};
    struct fixture *f = *state;
    struct serving *s = f->small.servings;
    board_free(&f->board);
    s[1].backend = s[0].backend; /* b0 serves two models */
    f->small.backends[0].serving_count = 2;
    f->small.backends[1].serving_count = 0;
    f->board = board_new(&f->small.catalog, T0);
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t j = 0; j < 5; j++) {
            assert_true(board_set_ability(f->board, 0, by_worth[i], 0));
            assert_true(board_set_ability(f->board, 1, by_worth[j], 0));
            assert_int_equal(board_worst_ability(f->board, 0), by_worth[i > j ? i : j]);
        }
    }
}

static void a_calibration_makes_way_for_attempts(void **state)
{
    struct board *b = board_of(state);
    assert_false(board_begin(b, 0));
    assert_false(board_begin_calibration(b, 0));
    assert_false(board_begin(b, 0));
    board_end(b, 0);
    board_end(b, 0);
    assert_true(board_begin_calibration(b, 0));
    assert_false(board_begin(b, 1));
    assert_true(board_begin(b, 0));
    board_end_calibration(b, 0);
    assert_false(board_begin(b, 0));
    board_end(b, 0);
    board_end(b, 0);
    assert_true(board_begin_calibration(b, 0));
}

#define BOARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOARD_TEST(begins_without_a_measured_ability),
        BOARD_TEST(a_paid_backend_has_none_for_ever),
        BOARD_TEST(what_anthropic_can_is_not_known),
        BOARD_TEST(publishes_what_was_measured),
        BOARD_TEST(an_outage_leaves_only_what_was_bad),
        BOARD_TEST(an_outage_seen_by_a_probe_counts_too),
        BOARD_TEST(refuses_what_was_measured_before_an_outage),
        BOARD_TEST(another_model_must_earn_its_ability),
        BOARD_TEST(the_worst_ability_of_several_models_is_the_backends),
        BOARD_TEST(a_calibration_makes_way_for_attempts),
    };
    return cmocka_run_group_tests_name("tiers/board of servings", tests, NULL, NULL);
}
