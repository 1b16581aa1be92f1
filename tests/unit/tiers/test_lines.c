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

enum { T0 = 1000000, WAITERS = 8, THREADS = 4, TURNS = 3000 };

/* b0 and b1 share the first tier with two slots and one, b2 is the second with one. */
struct fixture {
    struct small_catalog small;
    struct board *board;
    struct lines *lines;
    struct rand rand;
    struct tried nobody;
    struct waiter waiters[WAITERS];
    uint64_t now_ms;
    int told;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.rand = {.state = 3}, .now_ms = T0};
    small_catalog_init(&f.small, "01/2");
    f.small.backends[0].max_concurrent = 2;
    f.small.backends[1].max_concurrent = 1;
    f.small.backends[2].max_concurrent = 1;
    f.small.model.queue = (struct queue_policy){.max = 4, .wait_ms = 1000};
    f.board = board_new(&f.small.catalog, T0);
    f.lines = loads_lines(board_loads(f.board));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct pick p;
    for (size_t i = 0; i < WAITERS; i++) {
        (void)lines_leave(f->lines, &f->waiters[i], &p);
    }
    board_free(&f->board);
    return 0;
}

static struct pick_query query(struct fixture *f, enum standing standing, uint64_t serial)
{
    return (struct pick_query){.model = &f->small.model,
                               .board = f->board,
                               .tried = &f->nobody,
                               .now_ms = f->now_ms,
                               .standing = standing,
                               .serial = serial};
}

static bool pick(struct fixture *f, uint64_t serial, struct pick *p)
{
    struct pick_query q = query(f, STANDING_NORMAL, serial);
    return pick_backend(&q, &f->rand, p);
}

/* Takes all slots of tier 1, or of both. */
static void fill(struct fixture *f, uint32_t slots, struct pick *held)
{
    for (uint32_t i = 0; i < slots; i++) {
        assert_true(pick(f, 0, &held[i]));
        assert_true(held[i].has_slot);
    }
}

static void note_told(void *teller)
{
    (*(int *)teller)++;
}

static bool join(struct fixture *f, size_t i, enum standing standing, uint64_t serial)
{
    struct waiter *w = &f->waiters[i];
    *w = (struct waiter){.query = query(f, standing, serial),
                         .kind = PICK_REGULAR,
                         .tell = note_told,
                         .teller = &f->told};
    return lines_join(f->lines, w);
}

static void expect_granted(struct fixture *f, size_t i, uint32_t backend)
{
    struct pick p = {0};
    assert_true(lines_is_granted(&f->waiters[i]));
    assert_true(lines_leave(f->lines, &f->waiters[i], &p));
    assert_true(p.has_slot);
    assert_int_equal(p.member->backend->index, backend);
    assert_false(lines_is_granted(&f->waiters[i]));
}

static void picks_a_slot_with_the_backend(void **state)
{
    struct fixture *f = *state;
    struct pick held[4];
    struct pick none;
    f->small.model.queue.overflow = true;
    fill(f, 4, held);
    assert_int_equal(held[2].tier, 0);
    assert_false(held[2].is_overflow);
    assert_int_equal(held[3].tier, 1);
    assert_true(held[3].is_overflow);
    assert_false(pick(f, 1, &none));
    assert_true(none.is_full);
    assert_int_equal(none.tier, 0);
    struct pick_prospect p = pick_prospect(f->board, &f->small.members[0], T0);
    assert_int_equal(p.status, PICK_FULL);
    assert_string_equal(pick_status_name(p.status), "full");
    assert_int_equal(p.slots, 2);
    assert_true(pick_can_serve(&f->small.model, f->board, T0));
    for (int i = 0; i < 4; i++) {
        pick_release(f->board, &held[i], T0);
    }
    assert_true(pick(f, 1, &none));
    pick_release(f->board, &none, T0);
    assert_int_equal(loads_claimed(board_loads(f->board), 0), 0);
}

static void does_not_overflow_when_that_is_off(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct pick none;
    fill(f, 3, held);
    assert_false(pick(f, 1, &none));
    assert_true(none.is_full);
    assert_int_equal(none.tier, 0);
    for (int i = 0; i < 3; i++) {
        pick_release(f->board, &held[i], T0);
    }
}

static void takes_in_so_many_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct pick p;
    for (size_t i = 0; i < 4; i++) {
        assert_true(join(f, i, STANDING_NORMAL, i));
    }
    assert_int_equal(lines_waiting(f->lines, 0), 4);
    assert_false(join(f, 4, STANDING_HIGH, 4));
    f->waiters[5].query = query(f, STANDING_RESUME, 5);
    f->waiters[5].is_owed = true;
    assert_true(lines_join(f->lines, &f->waiters[5]));
    assert_int_equal(lines_waiting(f->lines, 0), 5);
    assert_false(lines_leave(f->lines, &f->waiters[5], &p));
    assert_int_equal(lines_waiting(f->lines, 0), 4);
}

static void a_slot_goes_by_standing_and_then_by_age(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    static const size_t order[] = {3, 2, 0, 1};
    fill(f, 3, held);
    assert_true(join(f, 0, STANDING_NORMAL, 11));
    assert_true(join(f, 1, STANDING_NORMAL, 12));
    assert_true(join(f, 2, STANDING_NORMAL, 10)); /* older, but came to the line later */
    assert_true(join(f, 3, STANDING_HIGH, 13));
    struct pick current = held[0];
    for (size_t i = 0; i < 4; i++) {
        uint32_t backend = current.member->backend->index;
        pick_release(f->board, &current, T0);
        assert_int_equal(f->told, i + 1);
        assert_true(lines_is_granted(&f->waiters[order[i]]));
        assert_int_equal(loads_claimed(board_loads(f->board), backend), backend == 0 ? 2 : 1);
        assert_true(lines_leave(f->lines, &f->waiters[order[i]], &current));
        assert_int_equal(current.member->backend->index, backend);
    }
    pick_release(f->board, &current, T0);
    pick_release(f->board, &held[1], T0);
    pick_release(f->board, &held[2], T0);
    assert_int_equal(f->told, 4);
}

static void who_can_not_use_it_is_passed_over(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct tried tried = {0};
    fill(f, 3, held);
    tried_add(&tried, held[0].member->backend->index);
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    f->waiters[0].query.tried = &tried;
    assert_true(join(f, 1, STANDING_NORMAL, 2));
    pick_release(f->board, &held[0], T0);
    assert_false(lines_is_granted(&f->waiters[0]));
    expect_granted(f, 1, held[0].member->backend->index);
    pick_release(f->board, &held[0], T0); /* of the one that was granted it */
    pick_release(f->board, &held[1], T0);
    pick_release(f->board, &held[2], T0);
    expect_granted(f, 0, held[0].member->backend->index == 0 ? 1 : 0);
    loads_unclaim(board_loads(f->board), held[0].member->backend->index == 0 ? 1 : 0);
}

static void nobody_newer_takes_what_one_waits_for(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct pick p;
    fill(f, 3, held);
    struct probe_result ill = probe_status(500);
    (void)board_on_probe(f->board, 1, &ill, T0);
    assert_true(join(f, 0, STANDING_NORMAL, 5));
    /* b1's slot becomes free while it is DOWN: nobody can use it. */
    for (int i = 0; i < 3; i++) {
        if (held[i].member->backend->index == 1) {
            pick_release(f->board, &held[i], T0);
        }
    }
    assert_false(lines_is_granted(&f->waiters[0]));
    struct probe_result well = probe_ok(5);
    (void)board_on_probe(f->board, 1, &well, T0 + 10);
    (void)board_on_probe(f->board, 1, &well, T0 + 20);
    f->now_ms = T0 + 1000;
    /* It is back. A newer one finds it first, but it is not his. */
    assert_false(pick(f, 6, &p));
    assert_true(p.is_full);
    expect_granted(f, 0, 1);
    loads_unclaim(board_loads(f->board), 1);
    assert_true(pick(f, 6, &p)); /* nobody is before him any more */
    pick_release(f->board, &p, T0);
    for (int i = 0; i < 3; i++) {
        if (held[i].member->backend->index == 0) {
            pick_release(f->board, &held[i], T0);
        }
    }
}

static void who_left_with_a_slot_gives_it_on(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct pick p;
    fill(f, 3, held);
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_true(join(f, 1, STANDING_NORMAL, 2));
    pick_release(f->board, &held[0], T0);
    assert_true(lines_leave(f->lines, &f->waiters[0], &p)); /* its client has just left */
    pick_release(f->board, &p, T0);
    expect_granted(f, 1, p.member->backend->index);
    pick_release(f->board, &p, T0);
    pick_release(f->board, &held[1], T0);
    pick_release(f->board, &held[2], T0);
}

static void who_joins_late_finds_the_slot_by_looking_once_more(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct pick p;
    fill(f, 3, held);
    assert_false(pick(f, 1, &p));
    pick_release(f->board, &held[0], T0); /* before it has joined */
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_false(lines_is_granted(&f->waiters[0]));
    assert_true(pick(f, 1, &p));
    assert_false(lines_leave(f->lines, &f->waiters[0], &held[0]));
    pick_release(f->board, &p, T0);
    pick_release(f->board, &held[1], T0);
    pick_release(f->board, &held[2], T0);
}

static void expects_to_wait_by_place_and_by_time(void **state)
{
    struct fixture *f = *state;
    struct loads *loads = board_loads(f->board);
    struct pick_query q = query(f, STANDING_NORMAL, 50);
    assert_true(lines_wait_ms(f->lines, &q, 0) == UINT64_MAX);
    loads_note_hold(loads, 0, 3000);
    loads_note_hold(loads, 1, 6000);
    assert_int_equal(lines_wait_ms(f->lines, &q, 0), 4000 / 3);
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_true(join(f, 1, STANDING_LOW, 2)); /* behind it */
    assert_int_equal(lines_wait_ms(f->lines, &q, 0), 2 * 4000 / 3);
    q.standing = STANDING_RESUME;
    assert_int_equal(lines_wait_ms(f->lines, &q, 0), 4000 / 3);
}

static void overflows_where_that_is_faster(void **state)
{
    struct fixture *f = *state;
    struct loads *loads = board_loads(f->board);
    struct pick_query q = query(f, STANDING_NORMAL, 50);
    assert_int_equal(lines_overflow(f->lines, &q, 0, 1), OVERFLOW_WAITS); /* it is off */
    f->small.model.queue.overflow = true;
    assert_int_equal(lines_overflow(f->lines, &q, 0, 1), OVERFLOW_GOES); /* nothing is known */
    loads_note_hold(loads, 0, 3000);
    assert_int_equal(lines_overflow(f->lines, &q, 0, 1),
                     OVERFLOW_GOES); /* not how fast the other is */
    loads_note_first_token(loads, 2, 1500);
    assert_int_equal(lines_overflow(f->lines, &q, 0, 1),
                     OVERFLOW_WAITS); /* 1,000 ms for the first */
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_int_equal(lines_overflow(f->lines, &q, 0, 1),
                     OVERFLOW_GOES); /* 2,000 for the second */
}

/* b3 in a third tier: nobody knows how fast it is, but b2 is asked first. */
static void does_not_pass_over_a_tier_that_is_free(void **state)
{
    struct fixture *f = *state;
    struct pick held[3];
    struct pick p;
    board_free(&f->board);
    small_catalog_init(&f->small, "01/2/3");
    f->small.backends[0].max_concurrent = 2;
    f->small.backends[1].max_concurrent = 1;
    f->small.model.queue = (struct queue_policy){.max = 4, .wait_ms = 1000, .overflow = true};
    f->board = board_new(&f->small.catalog, T0);
    f->lines = loads_lines(board_loads(f->board));
    loads_note_hold(board_loads(f->board), 0, 3000);
    loads_note_first_token(board_loads(f->board), 2, 1500);
    fill(f, 3, held);
    assert_false(pick(f, 1, &p));
    assert_true(p.is_full && p.tier == 0);
    struct probe_result ill = probe_status(500);
    (void)board_on_probe(f->board, 2, &ill, T0);
    assert_true(pick(f, 1, &p));
    assert_true(p.is_overflow && p.tier == 2);
    for (int i = 0; i < 3; i++) {
        pick_release(f->board, &held[i], T0);
    }
}

static void a_slot_of_the_next_tier_goes_to_who_would_wait_longer(void **state)
{
    struct fixture *f = *state;
    struct loads *loads = board_loads(f->board);
    struct pick held[4];
    struct pick p;
    f->small.model.queue.overflow = true;
    fill(f, 4, held);
    loads_note_hold(loads, 0, 3000);
    loads_note_first_token(loads, 2, 1500);
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_true(join(f, 1, STANDING_NORMAL, 2));
    pick_release(f->board, &held[3], T0);
    assert_false(lines_is_granted(&f->waiters[0]));
    assert_true(lines_is_granted(&f->waiters[1]));
    assert_true(lines_leave(f->lines, &f->waiters[1], &p));
    assert_true(p.is_overflow && p.tier == 1);
    pick_release(f->board, &p, T0);
    for (int i = 0; i < 3; i++) {
        pick_release(f->board, &held[i], T0);
    }
    expect_granted(f, 0, held[0].member->backend->index);
    pick_release(f->board, &held[0], T0);
}

static void who_waits_is_called_when_a_backend_goes(void **state)
{
    struct fixture *f = *state;
    assert_true(join(f, 0, STANDING_NORMAL, 1));
    assert_true(join(f, 1, STANDING_NORMAL, 2));
    assert_false(lines_is_told(&f->waiters[0]));
    lines_call(f->lines, 3); /* in no tier */
    assert_int_equal(f->told, 0);
    lines_call(f->lines, 2);
    assert_int_equal(f->told, 2);
    assert_true(lines_is_told(&f->waiters[1]));
    assert_true(lines_take_call(&f->waiters[1]));
    assert_false(lines_take_call(&f->waiters[1]));
    assert_false(lines_is_granted(&f->waiters[1]));
}

/* --- threads --- */

struct crowd {
    struct fixture *f;
    atomic_int now[SMALL_MAX];
    atomic_int served;
    atomic_int over;
    _Atomic uint64_t serial;
};

static void note_nothing(void *teller)
{
    (void)teller;
}

static void serve(struct crowd *c, const struct pick *p)
{
    uint32_t at = p->member->backend->index;
    int now = atomic_fetch_add(&c->now[at], 1) + 1;
    if (now > (int)p->member->backend->max_concurrent) {
        atomic_fetch_add(&c->over, 1);
    }
    atomic_fetch_sub(&c->now[at], 1);
    atomic_fetch_add(&c->served, 1);
    pick_release(c->f->board, p, T0);
}

/* As an exchange does, but for the clock: it looks once and is told then. */
static void wait_in_line(struct crowd *c, struct pick_query q, struct rand *rand)
{
    struct waiter w = {.query = q, .tell = note_nothing};
    struct pick p;
    struct pick granted;
    while (!lines_join(c->f->lines, &w)) {
    }
    bool is_found = pick_backend(&q, rand, &p);
    while (!is_found && !lines_is_granted(&w)) {
    }
    bool is_granted = lines_leave(c->f->lines, &w, &granted);
    if (is_found) {
        serve(c, &p);
    }
    if (is_granted && is_found) {
        pick_release(c->f->board, &granted, T0);
    } else if (is_granted) {
        serve(c, &granted);
    }
}

static void *come_and_go(void *arg)
{
    struct crowd *c = arg;
    struct rand rand;
    rand_seed(&rand);
    for (int i = 0; i < TURNS; i++) {
        struct pick p;
        struct pick_query q = query(c->f, STANDING_NORMAL, atomic_fetch_add(&c->serial, 1));
        if (pick_backend(&q, &rand, &p)) {
            serve(c, &p);
        } else {
            wait_in_line(c, q, &rand);
        }
    }
    return NULL;
}

/* Nobody looks twice, so that a word that is lost would be waited for without end. */
static void no_word_is_lost_among_threads(void **state)
{
    struct fixture *f = *state;
    struct crowd c = {.f = f};
    pthread_t thread[THREADS];
    f->small.backends[0].max_concurrent = 1;
    board_free(&f->board);
    small_catalog_init(&f->small, "0");
    f->small.backends[0].max_concurrent = 1;
    f->small.model.queue = (struct queue_policy){.max = 2};
    f->board = board_new(&f->small.catalog, T0);
    f->lines = loads_lines(board_loads(f->board));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &c), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    assert_int_equal(c.over, 0);
    assert_int_equal(c.served, THREADS * TURNS);
    assert_int_equal(loads_claimed(board_loads(f->board), 0), 0);
    assert_int_equal(lines_waiting(f->lines, 0), 0);
}

#define WITH_LINES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LINES(picks_a_slot_with_the_backend),
        WITH_LINES(does_not_overflow_when_that_is_off),
        WITH_LINES(takes_in_so_many_and_no_more),
        WITH_LINES(a_slot_goes_by_standing_and_then_by_age),
        WITH_LINES(who_can_not_use_it_is_passed_over),
        WITH_LINES(nobody_newer_takes_what_one_waits_for),
        WITH_LINES(who_left_with_a_slot_gives_it_on),
        WITH_LINES(who_joins_late_finds_the_slot_by_looking_once_more),
        WITH_LINES(expects_to_wait_by_place_and_by_time),
        WITH_LINES(overflows_where_that_is_faster),
        WITH_LINES(does_not_pass_over_a_tier_that_is_free),
        WITH_LINES(a_slot_of_the_next_tier_goes_to_who_would_wait_longer),
        WITH_LINES(who_waits_is_called_when_a_backend_goes),
        WITH_LINES(no_word_is_lost_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
