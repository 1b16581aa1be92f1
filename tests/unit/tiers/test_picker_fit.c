#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/picker.h"

enum { T0 = 1000000 };

/* b0 and b1 share the first tier, b2 is the second, b3 the third. */
struct fixture {
    struct small_catalog small;
    struct board *board;
    struct rand rand;
    struct tried tried;
    struct needs needs;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.rand = {.state = 42}};
    small_catalog_init(&f.small, "01/2/3");
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

static void give(struct fixture *f, uint32_t backend, uint32_t context, uint32_t cannot)
{
    (void)offers_learn(board_offers(f->board), f->small.backends[backend].first_serving,
                       &(struct offer_facts){.context = context, .known = cannot});
}

static void take_down(struct fixture *f, uint32_t backend)
{
    (void)board_on_failure(f->board, backend,
                           &(struct failed_attempt){.failure = FAILURE_connect_refused}, T0);
}

static bool pick_at(struct fixture *f, uint64_t now_ms, bool usable_only, struct pick *out)
{
    return pick_backend(&(struct pick_query){.model = &f->small.model,
                                             .board = f->board,
                                             .tried = &f->tried,
                                             .now_ms = now_ms,
                                             .usable_only = usable_only,
                                             .needs = &f->needs},
                        &f->rand, out);
}

static void expect(struct fixture *f, uint32_t backend)
{
    for (int i = 0; i < 50; i++) {
        struct pick out = {0};
        assert_true(pick_at(f, T0, false, &out));
        assert_int_equal(out.member->backend->index, backend);
        assert_int_equal(out.tier, backend < 2 ? 0 : backend - 1);
    }
}

static void passes_over_who_has_too_little_room(void **state)
{
    struct fixture *f = *state;
    give(f, 0, 1000, 0);
    give(f, 1, 4000, 0);
    f->needs.prompt_tokens = 2000;
    expect(f, 1);
    give(f, 1, 1000, 0);
    expect(f, 2); /* nothing is known of it */
}

static void passes_over_who_cannot(void **state)
{
    struct fixture *f = *state;
    give(f, 0, 0, FEATURE_TOOLS);
    give(f, 1, 0, FEATURE_TOOLS);
    give(f, 2, 0, FEATURE_VISION);
    f->needs.features = FEATURE_TOOLS;
    expect(f, 2);
    f->needs.features = FEATURE_TOOLS | FEATURE_VISION;
    expect(f, 3);
}

static void asks_whoever_has_most_when_nobody_has_room(void **state)
{
    struct fixture *f = *state;
    struct pick out = {0};
    give(f, 0, 1000, 0);
    give(f, 1, 1000, 0);
    give(f, 2, 3000, 0);
    give(f, 3, 3000, 0);
    f->needs.prompt_tokens = 5000;
    expect(f, 2);
    assert_false(pick_at(f, T0, true, &out)); /* a hedge does not need it so badly */
    tried_add(&f->tried, 2);
    f->needs.refused_context = 3000;
    expect(f, 3); /* as long: it may count its tokens otherwise */
    tried_add(&f->tried, 3);
    assert_false(pick_at(f, T0, false, &out)); /* the others need not be asked */
}

static void a_longer_one_that_is_down_is_no_reason_to_refuse(void **state)
{
    struct fixture *f = *state;
    give(f, 0, 1000, 0);
    give(f, 1, 2000, 0);
    take_down(f, 2);
    take_down(f, 3);
    f->needs.prompt_tokens = 5000;
    expect(f, 1);
}

static void nobody_is_asked_for_what_it_cannot(void **state)
{
    struct fixture *f = *state;
    struct pick out = {0};
    f->needs.features = FEATURE_VISION;
    for (uint32_t i = 0; i < 4; i++) {
        give(f, i, 0, FEATURE_VISION);
    }
    assert_false(pick_at(f, T0, false, &out));
    for (uint32_t i = 0; i < 4; i++) {
        take_down(f, i);
        give(f, i, 0, FEATURE_VISION);
    }
    assert_false(pick_at(f, T0 + 5000, false, &out)); /* nor in panic */
    f->needs.features = FEATURE_TOOLS;
    assert_true(pick_at(f, T0 + 5000, false, &out));
    assert_int_equal(out.kind, PICK_PANIC);
}

static void panic_does_not_mind_an_estimate(void **state)
{
    struct fixture *f = *state;
    struct pick out = {0};
    for (uint32_t i = 0; i < 4; i++) {
        take_down(f, i);
        give(f, i, 1000, 0);
    }
    f->needs.prompt_tokens = 5000;
    assert_true(pick_at(f, T0 + 5000, false, &out));
    assert_int_equal(out.kind, PICK_PANIC);
}

static void a_prospect_tells_both(void **state)
{
    struct fixture *f = *state;
    give(f, 0, 1000, FEATURE_TOOLS);
    f->needs.prompt_tokens = 5000;
    struct pick_prospect p = pick_prospect_for(f->board, f->small.members, &f->needs, T0);
    assert_int_equal(p.status, PICK_TOO_LONG);
    assert_int_equal(p.bare, PICK_USABLE);
    assert_true(pick_is_doubtful(&p));
    f->needs.features = FEATURE_TOOLS;
    p = pick_prospect_for(f->board, f->small.members, &f->needs, T0);
    assert_int_equal(p.status, PICK_INCAPABLE);
    assert_false(pick_is_doubtful(&p));
    assert_int_equal(pick_prospect(f->board, f->small.members, T0).status, PICK_USABLE);
    assert_string_equal(pick_status_name(PICK_TOO_LONG), "too_long");
    assert_string_equal(pick_status_name(PICK_INCAPABLE), "incapable");
}

#define WITH_BOARD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOARD(passes_over_who_has_too_little_room),
        WITH_BOARD(passes_over_who_cannot),
        WITH_BOARD(asks_whoever_has_most_when_nobody_has_room),
        WITH_BOARD(a_longer_one_that_is_down_is_no_reason_to_refuse),
        WITH_BOARD(nobody_is_asked_for_what_it_cannot),
        WITH_BOARD(panic_does_not_mind_an_estimate),
        WITH_BOARD(a_prospect_tells_both),
    };
    return cmocka_run_group_tests_name("picker_fit", tests, NULL, NULL);
}
