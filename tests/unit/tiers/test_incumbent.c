#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/incumbent.h"

enum { NOW = 1000 };

static struct small_catalog small;

static void fall(struct board *b, uint32_t backend)
{
    struct probe_result bad = probe_status(503);
    (void)board_on_probe(b, backend, &bad, NOW);
}

static void assert_serves(struct board *b, const struct backend *who, uint32_t tier)
{
    struct incumbent now = incumbent_of(&small.model, b, NOW);
    assert_ptr_equal(now.backend, who);
    assert_int_equal(now.tier, tier);
}

static void the_first_tier_with_somebody_well_serves(void **state)
{
    (void)state;
    small_catalog_init(&small, "01/2");
    struct board *b = board_new(&small.catalog, NOW);
    assert_serves(b, &small.backends[0], 1);
    fall(b, 0);
    assert_serves(b, &small.backends[1], 1);
    fall(b, 1);
    assert_serves(b, &small.backends[2], 2);
    fall(b, 2);
    assert_serves(b, NULL, 0);
    board_free(&b);
}

static void who_would_serve_are_the_healthy_of_that_tier(void **state)
{
    (void)state;
    small_catalog_init(&small, "01/2");
    struct board *b = board_new(&small.catalog, NOW);
    struct incumbent now = incumbent_of(&small.model, b, NOW);
    const struct tier_member *members = small.model.tiers[0].members;
    struct pick_prospect p = pick_prospect(b, &members[0], NOW);
    assert_true(incumbent_has(&now, &p));
    fall(b, 0);
    now = incumbent_of(&small.model, b, NOW);
    p = pick_prospect(b, &members[0], NOW);
    assert_false(incumbent_has(&now, &p));
    p = pick_prospect(b, &members[1], NOW);
    assert_true(incumbent_has(&now, &p));
    board_free(&b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_first_tier_with_somebody_well_serves),
    cmocka_unit_test(who_would_serve_are_the_healthy_of_that_tier),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
