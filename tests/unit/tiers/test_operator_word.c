#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/board.h"
#include "tiers/operator_word.h"
#include "tiers/picker.h"

enum { T0 = 1000000 };

/* b0 and b1 share the first tier, b2 is the second. */
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
    small_catalog_init(&f.small, "01/2");
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

static bool order(struct fixture *f, uint32_t backend, enum operator_word w, uint64_t now_ms)
{
    return board_set_operator(f->board, backend, w, now_ms);
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

static uint32_t picked(struct fixture *f, uint64_t now_ms)
{
    struct pick out;
    assert_true(pick(f, now_ms, &out));
    return out.member->backend->index;
}

static void take_down(struct fixture *f, uint32_t backend, uint64_t now_ms)
{
    (void)board_on_failure(f->board, backend,
                           &(struct failed_attempt){.failure = FAILURE_http_503}, now_ms);
}

static void the_words_have_names(void **state)
{
    (void)state;
    enum operator_word w = OPERATOR_NONE;
    assert_true(operator_word_find(STR("drain"), &w));
    assert_int_equal(w, OPERATOR_DRAINING);
    assert_string_equal(operator_word_name(w), "draining");
    assert_string_equal(operator_word_state(w), "DRAINING");
    assert_string_equal(operator_word_deed(w), "drained");
    assert_true(operator_word_find(STR("disable"), &w));
    assert_int_equal(w, OPERATOR_DISABLED);
    assert_true(operator_word_find(STR("enable"), &w));
    assert_null(operator_word_name(w));
    assert_null(operator_word_state(w));
    assert_string_equal(operator_word_deed(w), "enabled");
    assert_false(operator_word_find(STR("drained"), &w));
    assert_false(operator_word_find(STR(""), &w));
}

static void a_word_and_its_time_fit_into_one(void **state)
{
    (void)state;
    struct operator_view v = {OPERATOR_DISABLED, (UINT64_C(1) << 56) - 1};
    struct operator_view back = operator_unpack(operator_pack(v));
    assert_int_equal(back.word, v.word);
    assert_int_equal(back.since_ms, v.since_ms);
}

static void the_same_word_again_is_no_news(void **state)
{
    struct fixture *f = *state;
    assert_false(order(f, 0, OPERATOR_NONE, T0));
    assert_true(order(f, 0, OPERATOR_DRAINING, T0 + 5));
    assert_false(order(f, 0, OPERATOR_DRAINING, T0 + 10));
    assert_int_equal(board_view(f->board, 0, T0).operator.since_ms, T0 + 5);
    assert_true(order(f, 0, OPERATOR_DISABLED, T0 + 20));
    assert_int_equal(board_view(f->board, 0, T0).operator.since_ms, T0 + 20);
    assert_int_equal(board_operator(f->board, 1), OPERATOR_NONE);
    assert_true(order(f, 0, OPERATOR_NONE, T0 + 30));
    assert_int_equal(board_view(f->board, 0, T0).operator.since_ms, 0);
}

static void nobody_is_picked_by_either_word(void **state)
{
    struct fixture *f = *state;
    static const enum operator_word words[] = {OPERATOR_DRAINING, OPERATOR_DISABLED};
    for (size_t w = 0; w < 2; w++) {
        assert_true(order(f, 0, words[w], T0));
        for (int i = 0; i < 100; i++) {
            assert_int_equal(picked(f, T0), 1);
        }
        assert_true(order(f, 1, words[w], T0));
        assert_int_equal(picked(f, T0), 2);
        assert_true(order(f, 0, OPERATOR_NONE, T0));
        assert_int_equal(picked(f, T0), 0);
        assert_true(order(f, 1, OPERATOR_NONE, T0));
    }
}

/* Not as a reserve, not in a panic, not as a trial, not the same one once more. */
static void there_is_no_way_around_the_word(void **state)
{
    struct fixture *f = *state;
    struct pick out;
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(order(f, i, OPERATOR_DRAINING, T0));
    }
    assert_false(pick(f, T0 + 5000, &out));
    assert_false(out.is_full);
    for (uint32_t i = 0; i < 3; i++) {
        take_down(f, i, T0);
    }
    assert_false(pick(f, T0 + 5000, &out));
    assert_false(pick_can_serve(&f->small.model, f->board, T0 + 5000));
    out = (struct pick){.member = &f->small.members[0]};
    assert_false(pick_again(f->board, &out));
    assert_false(out.has_slot);
}

static void it_is_told_when_all_are_ordered_out(void **state)
{
    struct fixture *f = *state;
    assert_true(order(f, 0, OPERATOR_DRAINING, T0));
    assert_true(order(f, 1, OPERATOR_DISABLED, T0));
    assert_false(pick_is_ordered_out(&f->small.model, f->board));
    assert_true(order(f, 2, OPERATOR_DRAINING, T0));
    assert_true(pick_is_ordered_out(&f->small.model, f->board));
}

static void it_comes_before_all_that_was_measured(void **state)
{
    struct fixture *f = *state;
    take_down(f, 0, T0);
    assert_true(order(f, 0, OPERATOR_DISABLED, T0));
    struct pick_prospect p = pick_prospect(f->board, &f->small.members[0], T0);
    assert_int_equal(p.status, PICK_DISABLED);
    assert_string_equal(pick_status_name(p.status), "disabled");
    assert_int_equal(pick_rank_of(&p), PICK_RANK_NOBODY);
    assert_int_equal(p.backend.state, STATE_DOWN); /* which is known all the same */
    assert_true(order(f, 0, OPERATOR_DRAINING, T0));
    p = pick_prospect(f->board, &f->small.members[0], T0);
    assert_string_equal(pick_status_name(p.status), "draining");
}

static void who_is_enabled_returns_slowly_without_a_relapse(void **state)
{
    struct fixture *f = *state;
    f->small.backends[0].breaker = SMALL_BREAKER;
    uint32_t serving = f->small.members[0].serving;
    assert_true(order(f, 0, OPERATOR_DRAINING, T0));
    assert_true(order(f, 0, OPERATOR_NONE, T0 + 60000));
    struct breaker_view v = breakers_view(board_breakers(f->board), serving, T0 + 60000);
    assert_int_equal(v.phase, PHASE_RAMP);
    assert_true(v.is_proving);
    assert_int_equal(v.relapses, 0);
    assert_true(pick_can_serve(&f->small.model, f->board, T0 + 60000));
}

static void enabling_does_not_excuse_an_outage(void **state)
{
    struct fixture *f = *state;
    f->small.backends[0].breaker = SMALL_BREAKER;
    uint32_t serving = f->small.members[0].serving;
    take_down(f, 0, T0);
    assert_true(order(f, 0, OPERATOR_DRAINING, T0 + 10));
    assert_true(order(f, 0, OPERATOR_NONE, T0 + 20));
    struct breaker_view v = breakers_view(board_breakers(f->board), serving, T0 + 20);
    assert_int_equal(v.phase, PHASE_OPEN);
    assert_int_equal(v.reason, FAILURE_http_503);
    assert_int_equal(board_state(f->board, 0), STATE_DOWN);
}

int main(void)
{
#define WORD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WORD_TEST(the_words_have_names),
        WORD_TEST(a_word_and_its_time_fit_into_one),
        WORD_TEST(the_same_word_again_is_no_news),
        WORD_TEST(nobody_is_picked_by_either_word),
        WORD_TEST(there_is_no_way_around_the_word),
        WORD_TEST(it_is_told_when_all_are_ordered_out),
        WORD_TEST(it_comes_before_all_that_was_measured),
        WORD_TEST(who_is_enabled_returns_slowly_without_a_relapse),
        WORD_TEST(enabling_does_not_excuse_an_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
