#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "small_catalog.h"
#include "tiers/board.h"
#include "tiers/loads.h"
#include "tiers/picker.h"

enum { T0 = 1000000, DRAWS = 1000 };

static bool take(struct gpu_news *n, const char *state, const char *advice, const char *reason)
{
    return gpu_news_take(n, &(struct gpu_line){.state = str_from(state),
                                               .advice = str_from(advice),
                                               .reason = str_from(reason),
                                               .why = STR("why")});
}

static void each_word_of_the_agent_has_one_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        const char *advice;
        enum gpu_health health;
        enum counsel counsel;
    } rows[] = {
        {"HEALTHY", "serve", GPUS_HEALTHY, COUNSEL_NONE},
        {"DEGRADED", "serve", GPUS_DEGRADED, COUNSEL_NONE},
        {"DEGRADED", "no_promote", GPUS_DEGRADED, COUNSEL_SPARE},
        {"DEGRADED", "check_app", GPUS_DEGRADED, COUNSEL_CHECK},
        {"DEGRADED", "drain", GPUS_DEGRADED, COUNSEL_DRAIN},
        {"DOWN", "drain", GPUS_DOWN, COUNSEL_DRAIN},
        {"DOWN", "cut", GPUS_DOWN, COUNSEL_CUT},
        /* what does not fit, or is not known */
        {"HEALTHY", "cut", GPUS_HEALTHY, COUNSEL_NONE},
        {"HEALTHY", "", GPUS_HEALTHY, COUNSEL_NONE},
        {"DEGRADED", "cut", GPUS_DEGRADED, COUNSEL_DRAIN},
        {"DEGRADED", "", GPUS_DEGRADED, COUNSEL_SPARE},
        {"DEGRADED", "dance", GPUS_DEGRADED, COUNSEL_SPARE},
        {"DOWN", "serve", GPUS_DOWN, COUNSEL_DRAIN},
        {"DOWN", "dance", GPUS_DOWN, COUNSEL_DRAIN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gpu_news n = {.health = GPUS_UNKNOWN};
        assert_true(take(&n, rows[i].state, rows[i].advice, "word"));
        assert_int_equal(n.health, rows[i].health);
        assert_int_equal(n.counsel, rows[i].counsel);
        assert_string_equal(n.reason, "word");
    }
}

static void a_state_that_nobody_knows_is_not_taken(void **state)
{
    (void)state;
    static const char *const lies[] = {"", "down", "BROKEN", "unknown", "DOWN "};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct gpu_news n = {.health = GPUS_UNKNOWN};
        assert_false(take(&n, lies[i], "cut", "x"));
        assert_int_equal(n.health, GPUS_UNKNOWN);
        assert_int_equal(n.counsel, COUNSEL_NONE);
    }
}

static void the_worst_gpu_counts_and_of_equals_the_first(void **state)
{
    (void)state;
    struct gpu_news n = {.health = GPUS_UNKNOWN};
    assert_true(take(&n, "HEALTHY", "serve", "ok"));
    assert_string_equal(n.reason, "ok");
    assert_true(take(&n, "DEGRADED", "no_promote", "hw_thermal"));
    assert_true(take(&n, "DOWN", "cut", "gpu_lost"));
    assert_true(take(&n, "DOWN", "cut", "reset_required"));
    assert_true(take(&n, "DOWN", "drain", "memory_worn"));
    assert_true(take(&n, "HEALTHY", "serve", "ok"));
    assert_int_equal(n.health, GPUS_DOWN);
    assert_int_equal(n.counsel, COUNSEL_CUT);
    assert_string_equal(n.reason, "gpu_lost");
}

static void texts_are_cut_and_printable(void **state)
{
    (void)state;
    char far[1000];
    struct gpu_news n = {.health = GPUS_UNKNOWN};
    memset(far, 'y', sizeof(far));
    far[3] = '\x1b';
    far[4] = '\0';
    struct str text = str_of(far, sizeof(far));
    assert_true(gpu_news_take(
        &n, &(struct gpu_line){.state = STR("DOWN"), .reason = text, .why = text}));
    assert_int_equal(strlen(n.reason), NEWS_REASON_SIZE - 1);
    assert_int_equal(strlen(n.why), NEWS_WHY_SIZE - 1);
    assert_memory_equal(n.why, "yyy??y", 6);
}

static void each_word_of_the_guard_has_one_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum guard_word word;
        struct advice advice;
    } rows[] = {
        {"READY", GUARD_SAYS_READY, {COUNSEL_NONE, false}},
        {"STARTING", GUARD_SAYS_STARTING, {COUNSEL_DRAIN, true}},
        {"LOADING", GUARD_SAYS_LOADING, {COUNSEL_DRAIN, true}},
        {"STOPPING", GUARD_SAYS_STOPPING, {COUNSEL_DRAIN, false}},
        {"RESTARTING", GUARD_SAYS_RESTARTING, {COUNSEL_DRAIN, false}},
        {"NEEDS_RESET", GUARD_SAYS_NEEDS_RESET, {COUNSEL_DRAIN, false}},
        {"GAVE_UP", GUARD_SAYS_GAVE_UP, {COUNSEL_DRAIN, false}},
        {"UNKILLABLE", GUARD_SAYS_UNKILLABLE, {COUNSEL_DRAIN, false}},
        {"unknown", GUARD_SAYS_UNKNOWN, {COUNSEL_NONE, false}},
        {"ready", GUARD_SAYS_UNKNOWN, {COUNSEL_NONE, false}},
        {"", GUARD_SAYS_UNKNOWN, {COUNSEL_NONE, false}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gpu_news gpu = {.health = GPUS_UNKNOWN};
        struct guard_news guard = {.word = GUARD_SAYS_UNKNOWN};
        enum guard_word word = guard_word_find(str_from(rows[i].name));
        assert_int_equal(word, rows[i].word);
        guard_news_set(&guard, word, STR("because"));
        struct advice a = telemetry_advice(&gpu, &guard);
        assert_int_equal(a.counsel, rows[i].advice.counsel);
        assert_int_equal(a.is_starting, rows[i].advice.is_starting);
        if (word != GUARD_SAYS_UNKNOWN) {
            assert_string_equal(guard_word_name(word), rows[i].name);
        }
    }
}

static void the_worse_of_gpu_and_guard_counts(void **state)
{
    (void)state;
    struct gpu_news gpu = {.health = GPUS_DOWN, .counsel = COUNSEL_CUT};
    struct guard_news guard = {.word = GUARD_SAYS_LOADING};
    struct advice a = telemetry_advice(&gpu, &guard);
    assert_int_equal(a.counsel, COUNSEL_CUT);
    assert_true(a.is_starting);
    gpu.counsel = COUNSEL_SPARE;
    assert_int_equal(telemetry_advice(&gpu, &guard).counsel, COUNSEL_DRAIN);
    struct advice same = advice_unpack(advice_pack(a));
    assert_int_equal(same.counsel, a.counsel);
    assert_true(same.is_starting);
}

/* --- the board and the picker --- */

struct scene {
    struct small_catalog small;
    struct board *board;
    struct rand rand;
};

/* Two in the first tier, one in the second. */
static struct scene *begin(void)
{
    static struct scene s;
    s.rand = (struct rand){.state = 42};
    small_catalog_init(&s.small, "01/2");
    s.board = board_new(&s.small.catalog, T0);
    return &s;
}

static void end(struct scene *s)
{
    board_free(&s->board);
}

static struct board_change tell(struct scene *s, uint32_t backend, enum gpu_health health,
                                enum counsel counsel)
{
    struct gpu_news n = {.health = health, .counsel = counsel};
    (void)telemetry_set_gpu(board_telemetry(s->board), backend, &n, T0);
    return board_take_advice(s->board, backend, T0);
}

static struct pick pick(struct scene *s)
{
    struct pick out;
    struct tried tried = {.count = 0};
    struct pick_query q = {.model = &s->small.model,
                           .board = s->board,
                           .tried = &tried,
                           .now_ms = T0,
                           .may_try = true};
    assert_true(pick_backend(&q, &s->rand, &out));
    return out;
}

static void take_down(struct scene *s, uint32_t backend)
{
    (void)board_on_failure(s->board, backend,
                           &(struct failed_attempt){.failure = FAILURE_connect_refused}, T0);
}

static void who_is_spared_bears_a_part_of_its_weight(void **state)
{
    (void)state;
    static const enum load_kind kinds[] = {LOAD_WEIGHTED, LOAD_ROUND_ROBIN};
    for (size_t k = 0; k < 2; k++) {
        struct scene *s = begin();
        uint32_t counts[SMALL_MAX] = {0};
        s->small.model.load.kind = kinds[k];
        (void)tell(s, 0, GPUS_DEGRADED, COUNSEL_SPARE);
        for (int i = 0; i < DRAWS; i++) {
            counts[pick(s).member->backend->index]++;
        }
        assert_int_equal(counts[2], 0);
        assert_in_range(counts[0], DRAWS / 10, DRAWS / 4);
        end(s);
    }
}

static void who_is_spared_is_the_more_loaded_of_two_with_equal_work(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)tell(s, 0, GPUS_DEGRADED, COUNSEL_CHECK);
    for (int i = 0; i < DRAWS; i++) {
        assert_int_equal(pick(s).member->backend->index, 1);
    }
    loads_see_engine(board_loads(s->board), 1, 4, 0);
    assert_int_equal(pick(s).member->backend->index, 0);
    end(s);
}

static void who_is_spared_keeps_the_traffic_where_it_is_alone_in_its_tier(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)tell(s, 0, GPUS_DEGRADED, COUNSEL_SPARE);
    take_down(s, 1);
    assert_int_equal(pick(s).member->backend->index, 0);
    end(s);
}

static void who_is_drained_gets_nothing_while_anybody_else_is_usable(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)tell(s, 0, GPUS_DOWN, COUNSEL_DRAIN);
    (void)tell(s, 1, GPUS_DOWN, COUNSEL_CUT);
    struct pick out = pick(s);
    assert_int_equal(out.member->backend->index, 2);
    assert_int_equal(out.kind, PICK_REGULAR);
    assert_int_equal(pick_prospect(s->board, &s->small.members[0], T0).status, PICK_DRAINED);
    assert_string_equal(pick_status_name(PICK_DRAINED), "drained");
    end(s);
}

static void telemetry_alone_takes_the_last_usable_one_from_nobody(void **state)
{
    (void)state;
    struct scene *s = begin();
    (void)tell(s, 0, GPUS_DOWN, COUNSEL_CUT);
    (void)tell(s, 1, GPUS_DOWN, COUNSEL_DRAIN);
    take_down(s, 2);
    struct pick out = pick(s);
    assert_int_equal(out.member->backend->index, 1); /* it can at least finish */
    assert_int_equal(out.kind, PICK_RESERVE);
    take_down(s, 1);
    assert_int_equal(pick(s).member->backend->index, 0);
    assert_true(pick_can_serve(&s->small.model, s->board, T0));
    end(s);
}

static void an_answer_may_be_taken_away_only_where_somebody_better_is(void **state)
{
    (void)state;
    struct scene *s = begin();
    const struct model *m = &s->small.model;
    const struct backend *first = &s->small.backends[0];
    assert_true(pick_has_other(m, s->board, first, T0));
    (void)tell(s, 1, GPUS_DOWN, COUNSEL_DRAIN);
    assert_true(pick_has_other(m, s->board, first, T0));
    take_down(s, 2);
    assert_false(pick_has_other(m, s->board, first, T0));
    end(s);
}

static void news_ask_for_a_probe_and_the_same_again_does_not(void **state)
{
    (void)state;
    struct scene *s = begin();
    struct probe_result r = probe_ok(5);
    (void)board_on_probe(s->board, 0, &r, T0 - 5000);
    assert_true(tell(s, 0, GPUS_DOWN, COUNSEL_CUT).probe_now);
    assert_int_equal(board_next_probe_ms(s->board, 0), T0);
    (void)board_on_probe(s->board, 0, &r, T0);
    assert_false(tell(s, 0, GPUS_DOWN, COUNSEL_CUT).probe_now);
    assert_true(tell(s, 0, GPUS_UNKNOWN, COUNSEL_NONE).probe_now);
    end(s);
}

static void the_worst_of_state_and_telemetry_is_told(void **state)
{
    (void)state;
    static const struct {
        enum state state;
        enum counsel counsel;
        enum state told;
    } rows[] = {
        {STATE_HEALTHY, COUNSEL_NONE, STATE_HEALTHY},
        {STATE_HEALTHY, COUNSEL_SPARE, STATE_DEGRADED},
        {STATE_HEALTHY, COUNSEL_CHECK, STATE_DEGRADED},
        {STATE_HEALTHY, COUNSEL_DRAIN, STATE_DOWN},
        {STATE_DEGRADED, COUNSEL_NONE, STATE_DEGRADED},
        {STATE_DEGRADED, COUNSEL_CUT, STATE_DOWN},
        {STATE_DOWN, COUNSEL_NONE, STATE_DOWN},
        {STATE_DOWN, COUNSEL_SPARE, STATE_DOWN},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct backend_view v = {.state = rows[i].state,
                                 .advice = {.counsel = rows[i].counsel}};
        assert_int_equal(board_told_state(&v), rows[i].told);
    }
}

static void the_book_tells_when_something_changed_and_since_when(void **state)
{
    (void)state;
    struct scene *s = begin();
    struct telemetry *t = board_telemetry(s->board);
    struct telemetry_view v;
    struct gpu_news n = {.health = GPUS_DEGRADED, .reason = "hw_thermal", .why = "at 88 C"};
    struct guard_news g = {.word = GUARD_SAYS_LOADING};
    telemetry_read(t, 1, &v);
    assert_int_equal(v.gpu.health, GPUS_UNKNOWN);
    assert_true(telemetry_set_gpu(t, 1, &n, T0));
    (void)snprintf(n.why, sizeof(n.why), "at 89 C");
    assert_false(telemetry_set_gpu(t, 1, &n, T0 + 5));
    assert_true(telemetry_set_guard(t, 1, &g, T0 + 7));
    assert_false(telemetry_set_guard(t, 1, &g, T0 + 9));
    telemetry_read(t, 1, &v);
    assert_string_equal(v.gpu.why, "at 89 C");
    assert_int_equal(v.gpu_since_ms, T0);
    assert_int_equal(v.guard_since_ms, T0 + 7);
    telemetry_read(t, 0, &v);
    assert_int_equal(v.guard.word, GUARD_SAYS_UNKNOWN);
    end(s);
}

/* --- what a guard starts --- */

static void no_answer_while_its_guard_starts_it_is_loading_and_no_penalty(void **state)
{
    (void)state;
    struct scene *s = begin();
    s->small.backends[0].breaker = SMALL_BREAKER;
    struct probe_result r = probe_exception(FAILURE_connect_refused);
    r.is_starting = true;
    struct board_change change = board_on_probe(s->board, 0, &r, T0);
    assert_int_equal(change.to, STATE_DOWN); /* by the first already */
    assert_true(cause_is_loading(change.cause));
    assert_string_equal(cause_word(change.cause), "guard_starting");
    (void)board_on_probe(s->board, 0, &r, T0 + 3600 * 1000); /* the guard knows how long */
    assert_string_equal(cause_word(board_view(s->board, 0, T0).cause), "guard_starting");
    struct probe_result good = probe_ok(5);
    good.is_starting = true;
    (void)board_on_probe(s->board, 0, &good, T0 + 3601 * 1000);
    (void)board_on_probe(s->board, 0, &good, T0 + 3602 * 1000);
    assert_int_equal(board_state(s->board, 0), STATE_HEALTHY);
    struct breaker_view b = breakers_view(board_breakers(s->board), 0, T0 + 3602 * 1000);
    assert_int_equal(b.relapses, 0);
    assert_int_not_equal(b.phase, PHASE_DWELL);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_of_the_agent_has_one_meaning),
        cmocka_unit_test(a_state_that_nobody_knows_is_not_taken),
        cmocka_unit_test(the_worst_gpu_counts_and_of_equals_the_first),
        cmocka_unit_test(texts_are_cut_and_printable),
        cmocka_unit_test(each_word_of_the_guard_has_one_meaning),
        cmocka_unit_test(the_worse_of_gpu_and_guard_counts),
        cmocka_unit_test(who_is_spared_bears_a_part_of_its_weight),
        cmocka_unit_test(who_is_spared_is_the_more_loaded_of_two_with_equal_work),
        cmocka_unit_test(who_is_spared_keeps_the_traffic_where_it_is_alone_in_its_tier),
        cmocka_unit_test(who_is_drained_gets_nothing_while_anybody_else_is_usable),
        cmocka_unit_test(telemetry_alone_takes_the_last_usable_one_from_nobody),
        cmocka_unit_test(an_answer_may_be_taken_away_only_where_somebody_better_is),
        cmocka_unit_test(news_ask_for_a_probe_and_the_same_again_does_not),
        cmocka_unit_test(the_worst_of_state_and_telemetry_is_told),
        cmocka_unit_test(the_book_tells_when_something_changed_and_since_when),
        cmocka_unit_test(no_answer_while_its_guard_starts_it_is_loading_and_no_penalty),
    };
    return cmocka_run_group_tests_name("tiers/telemetry", tests, NULL, NULL);
}
