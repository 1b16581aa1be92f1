#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "small_catalog.h"
#include "tiers/board.h"

enum { T0 = 1000000 };

struct scene {
    struct small_catalog small;
    struct board *board;
};

static struct scene *begin(void)
{
    static struct scene s;
    small_catalog_init(&s.small, "01");
    s.board = board_new(&s.small.catalog, T0);
    return &s;
}

static void end(struct scene *s)
{
    board_free(&s->board);
}

static struct backend_view view(const struct scene *s)
{
    return board_view(s->board, 0, T0);
}

static void fail_with(struct scene *s, enum failure f, uint64_t now_ms)
{
    (void)board_on_failure(s->board, 0, &(struct failed_attempt){.failure = f}, now_ms);
}

static void probe_well(struct scene *s, uint64_t now_ms)
{
    struct probe_result r = probe_ok(5);
    (void)board_on_probe(s->board, 0, &r, now_ms);
}

static void a_hang_is_an_outage(void **state)
{
    (void)state;
    struct scene *s = begin();
    probe_well(s, T0);
    struct board_change change = board_on_hang(s->board, 0, T0 + 1000);
    assert_true(change.state_changed && change.probe_now);
    assert_int_equal(change.to, STATE_DOWN);
    assert_int_equal(change.cause.kind, CAUSE_HUNG);
    assert_int_equal(board_outages(s->board, 0), 1);
    assert_true(view(s).needs_token);
    assert_int_equal(view(s).cause.failure, FAILURE_stall);
    end(s);
}

static void silence_of_a_watched_one_ends_with_a_token_only(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)board_watch(s->board, 0, true, T0);
    fail_with(s, FAILURE_first_token_timeout, T0 + 1000);
    assert_true(view(s).needs_token);
    probe_well(s, T0 + 2000);
    probe_well(s, T0 + 4000);
    assert_int_equal(view(s).state, STATE_DOWN);
    assert_false(board_on_token(s->board, 0, T0 + 999, T0 + 5000).state_changed);
    struct board_change change = board_on_token(s->board, 0, T0 + 4500, T0 + 5000);
    assert_true(change.state_changed);
    assert_int_equal(view(s).state, STATE_HEALTHY);
    assert_false(board_on_token(s->board, 0, T0 + 6000, T0 + 6000).state_changed);
    end(s);
}

static void nobody_who_asks_for_tokens_nobody_who_waits_for_one(void **state)
{
    (void)state;
    struct scene *s = begin();
    fail_with(s, FAILURE_stall, T0 + 1000);
    assert_false(view(s).needs_token);
    probe_well(s, T0 + 2000);
    probe_well(s, T0 + 4000);
    assert_int_equal(view(s).state, STATE_HEALTHY);
    end(s);
}

static void a_death_is_no_silence(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)board_watch(s->board, 0, true, T0);
    fail_with(s, FAILURE_reset, T0 + 1000);
    assert_false(view(s).needs_token);
    end(s);
}

static void an_end_of_the_watch_waives_the_token(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)board_watch(s->board, 0, true, T0);
    fail_with(s, FAILURE_stall, T0 + 1000);
    probe_well(s, T0 + 2000);
    probe_well(s, T0 + 4000);
    assert_true(board_watch(s->board, 0, false, T0 + 5000).state_changed);
    assert_int_equal(view(s).state, STATE_HEALTHY);
    end(s);
}

static void publishes_word_and_load(void **state)
{
    (void)state;
    struct scene *s = begin();
    assert_int_equal(view(s).vitals.vital, VITAL_UNKNOWN);
    assert_false(view(s).vitals.has_engine);
    static const struct vital_view rows[] = {
        {.vital = VITAL_HUNG},
        {.vital = VITAL_BUSY, .has_engine = true, .running = 1, .waiting = VITAL_COUNT_MAX},
        {.vital = VITAL_IDLE, .has_engine = true, .has_kv = true, .kv_permille = 1000},
        {.vital = VITAL_SUSPECT, .has_engine = true, .running = VITAL_COUNT_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        board_set_vitals(s->board, 0, &rows[i]);
        struct vital_view v = view(s).vitals;
        assert_int_equal(v.vital, rows[i].vital);
        assert_int_equal(v.has_engine, rows[i].has_engine);
        assert_int_equal(v.has_kv, rows[i].has_kv);
        assert_int_equal(v.kv_permille, rows[i].kv_permille);
        assert_int_equal(v.running, rows[i].running);
        assert_int_equal(v.waiting, rows[i].waiting);
    }
    end(s);
}

static void tells_when_content_last_came(void **state)
{
    (void)state;
    struct scene *s = begin();
    assert_int_equal(board_content_ms(s->board, 0), 0);
    board_note_content(s->board, 0, T0);
    board_note_content(s->board, 0, T0 + CONTENT_STEP_MS - 1);
    assert_int_equal(board_content_ms(s->board, 0), T0);
    board_note_content(s->board, 0, T0 + CONTENT_STEP_MS);
    assert_int_equal(board_content_ms(s->board, 0), T0 + CONTENT_STEP_MS);
    board_note_content(s->board, 0, T0); /* another worker's clock */
    assert_int_equal(board_content_ms(s->board, 0), T0 + CONTENT_STEP_MS);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hang_is_an_outage),
        cmocka_unit_test(silence_of_a_watched_one_ends_with_a_token_only),
        cmocka_unit_test(nobody_who_asks_for_tokens_nobody_who_waits_for_one),
        cmocka_unit_test(a_death_is_no_silence),
        cmocka_unit_test(an_end_of_the_watch_waives_the_token),
        cmocka_unit_test(publishes_word_and_load),
        cmocka_unit_test(tells_when_content_last_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
