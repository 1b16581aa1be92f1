#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "tiers/balance.h"

enum { MEMBERS = 8, DRAWS = 8000, KEYS = 4000 };

struct fixture {
    struct backend backends[MEMBERS];
    struct tier_member members[MEMBERS];
    struct candidate all[MEMBERS];
    struct rand rand;
    uint32_t counts[MEMBERS];
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.rand = {.state = 7}};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        f.backends[i] = (struct backend){.index = i, .weight = 1};
        f.members[i].backend = &f.backends[i];
        f.all[i].member = &f.members[i];
    }
    *state = &f;
    return 0;
}

static uint32_t choose(struct fixture *f, struct balance b, size_t count)
{
    const struct tier_member *m = balance_choose(&b, f->all, count, &f->rand);
    f->counts[m->backend->index]++;
    return m->backend->index;
}

static void gives_each_its_turn(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 3 * 100; i++) {
        assert_int_equal(choose(f, (struct balance){.kind = LOAD_ROUND_ROBIN, .turn = i}, 3),
                         i % 3);
    }
    assert_true(choose(f, (struct balance){.kind = LOAD_ROUND_ROBIN, .turn = UINT32_MAX}, 3) <
                3);
}

static void draws_as_often_as_the_weight_says(void **state)
{
    struct fixture *f = *state;
    f->backends[0].weight = 6;
    f->backends[1].weight = 0; /* as 1 */
    for (int i = 0; i < DRAWS; i++) {
        (void)choose(f, (struct balance){.kind = LOAD_WEIGHTED}, 3);
    }
    assert_in_range(f->counts[0], DRAWS * 70 / 100, DRAWS * 80 / 100);
    assert_in_range(f->counts[1], DRAWS * 10 / 100, DRAWS * 15 / 100);
    assert_in_range(f->counts[2], DRAWS * 10 / 100, DRAWS * 15 / 100);
}

static struct balance key_of(uint64_t i)
{
    return (struct balance){.kind = LOAD_SESSION, .key = hash_mix(i, 1)};
}

static void spreads_keys_evenly_and_by_weight(void **state)
{
    struct fixture *f = *state;
    f->backends[2].weight = 3;
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_int_equal(choose(f, key_of(i), 4), choose(f, key_of(i), 4));
    }
    assert_in_range(f->counts[0], 2 * KEYS * 14 / 100, 2 * KEYS * 20 / 100);
    assert_in_range(f->counts[2], 2 * KEYS * 46 / 100, 2 * KEYS * 54 / 100);
}

static void moves_only_the_keys_of_one_that_leaves(void **state)
{
    struct fixture *f = *state;
    uint32_t moved = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        uint32_t with = choose(f, key_of(i), MEMBERS);
        uint32_t without = choose(f, key_of(i), MEMBERS - 1); /* the last one is gone */
        assert_true(with == without || with == MEMBERS - 1);
        moved += with != without;
    }
    assert_in_range(moved, KEYS / MEMBERS * 8 / 10, KEYS / MEMBERS * 12 / 10);
}

/* One key for all: nobody bears more than the bound, however popular it is. */
static void holds_the_bound_when_all_want_the_same(void **state)
{
    struct fixture *f = *state;
    for (uint64_t sum = 1; sum <= 400; sum++) {
        uint32_t at = choose(f, key_of(1), 4);
        f->all[at].load++;
        for (size_t i = 0; i < 4; i++) {
            uint64_t bound = (sum * BALANCE_BOUND + 399) / 400;
            assert_true(f->all[i].load <= (bound > BALANCE_LEAST ? bound : BALANCE_LEAST));
        }
    }
    assert_int_equal(f->counts[0] + f->counts[1] + f->counts[2] + f->counts[3], 400);
}

static void passes_over_the_busy_by_its_weight(void **state)
{
    struct fixture *f = *state;
    uint32_t home = choose(f, key_of(5), 2);
    f->all[home].load = 10;
    f->all[1 - home].load = 10;
    assert_int_equal(choose(f, key_of(5), 2), home);
    f->all[home].load = 14; /* of 25 with the new one: the bound is 15.6 */
    assert_int_equal(choose(f, key_of(5), 2), home);
    f->all[home].load = 19; /* of 30: the bound is 18.75 */
    assert_int_equal(choose(f, key_of(5), 2), 1 - home);
    f->backends[home].weight = 9;
    assert_int_equal(choose(f, key_of(5), 2), home);
}

static void a_lone_backend_bears_all(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 100; i++) {
        f->all[0].load = i;
        assert_int_equal(choose(f, key_of(i), 1), 0);
    }
}

/* The first lines of the vectors in the paper's reference. */
static void hashes_as_siphash_does(void **state)
{
    (void)state;
    static const uint64_t expected[] = {0x726fdb47dd0e0e31U, 0x74f839c593dc67fdU,
                                        0x0d6c8009d9a94f5aU};
    const struct hash_key key = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
    static const char text[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    for (size_t i = 0; i < 3; i++) {
        assert_true(hash_text(&key, (struct str){text, i}) == expected[i]);
    }
    assert_true(hash_text(&key, (struct str){text, 15}) == 0xa129ca6149be45e5U);
    struct hash_key a;
    struct hash_key b;
    hash_seed(&a);
    hash_seed(&b);
    assert_true(hash_text(&a, STR("x")) != hash_text(&b, STR("x")));
}

#define WITH_TIER(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TIER(gives_each_its_turn),
        WITH_TIER(draws_as_often_as_the_weight_says),
        WITH_TIER(spreads_keys_evenly_and_by_weight),
        WITH_TIER(moves_only_the_keys_of_one_that_leaves),
        WITH_TIER(holds_the_bound_when_all_want_the_same),
        WITH_TIER(passes_over_the_busy_by_its_weight),
        WITH_TIER(a_lone_backend_bears_all),
        cmocka_unit_test(hashes_as_siphash_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
