#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "small_catalog.h"
#include "tiers/picker.h"

/*
 * Traffic and probes against scripted backends under a virtual clock: what may happen is random
 * (the seed is printed when a run fails), what must hold is checked at every step.
 */

enum { TICK_MS = 10, RUN_MS = 240000, CALM_MS = 1200000, BACKENDS = 4, SEEDS = 12 };
enum { EXCHANGES = 128 };

/* What ails a backend. */
enum mode {
    MODE_WELL,
    MODE_SLOW,    /* answers, probes too, but slowly */
    MODE_REFUSED, /* nobody listens */
    MODE_SILENT,  /* takes connections and says nothing */
    MODE_LOADING, /* 503, says so */
    MODE_ERRORS,  /* probes are well, every other request is a 500 */
    MODE_BUSY,    /* probes are well, requests are 429 */
    MODE_LYING,   /* probes are well, every request is a 503 within 1 ms */
    MODE_COUNT
};

struct scripted {
    enum mode mode;
    uint64_t mode_until_ms;
    bool is_probing;
    uint64_t probe_start_ms;
    uint64_t probe_end_ms; /* of the one under way, or the last */
    bool was_probed;
    bool was_asked;         /* traffic blamed it since the last probe began */
    uint64_t last_blame_ms; /* by traffic */
    uint32_t good;          /* good probes in a row, begun after the last blame */
    uint64_t last_panic_ms;
    bool is_tried; /* a trial is under way */
    uint64_t picks;
    uint64_t regular_picks;
};

struct exchange {
    bool is_used;
    bool drew_500;
    struct tried tried;
    struct pick pick;
    uint32_t backend;
    uint64_t began_ms; /* the attempt */
    uint64_t end_ms;
    enum failure outcome;
};

struct world {
    struct small_catalog small;
    struct board *board;
    struct rand rand;
    uint64_t now_ms;
    struct scripted backends[BACKENDS];
    struct exchange exchanges[EXCHANGES];
    uint64_t answered;
    uint64_t unanswered;
};

static void require(bool holds, const char *what, const struct world *w)
{
    if (!holds) {
        print_error("at %llu ms: %s\n", (unsigned long long)w->now_ms, what);
        fail();
    }
}

static struct backend_view view(const struct world *w, uint32_t backend)
{
    return board_view(w->board, backend, w->now_ms);
}

/* --- probes --- */

static struct probe_result answer_probe(enum mode mode)
{
    switch (mode) {
    case MODE_WELL:
    case MODE_ERRORS:
    case MODE_BUSY:
    case MODE_LYING:
        return probe_ok(10);
    case MODE_SLOW:
        return probe_ok(3000);
    case MODE_REFUSED:
        return probe_exception(FAILURE_connect_refused);
    case MODE_SILENT:
        return (struct probe_result){.failure = FAILURE_total_timeout, .took_ms = 5000};
    case MODE_LOADING:
        return probe_loading();
    case MODE_COUNT:
        break;
    }
    fail();
    return probe_ok(0);
}

static void begin_probe(struct world *w, uint32_t i)
{
    struct scripted *s = &w->backends[i];
    if (s->was_probed) {
        uint64_t gap = w->now_ms - s->probe_end_ms;
        require(gap >= PROBE_GAP_MS, "a probe came within the gap", w);
        require(s->was_asked || gap >= SMALL_HEALTH.down_gap_ms,
                "a probe nobody asked for came early", w);
    }
    s->was_asked = false;
    s->was_probed = true;
    s->is_probing = true;
    s->probe_start_ms = w->now_ms;
    s->probe_end_ms = w->now_ms + answer_probe(s->mode).took_ms;
}

static void count_good(struct scripted *s, const struct probe_result *r)
{
    bool is_good = r->answered && r->status == 200;
    if (!is_good) {
        s->good = 0;
    } else if (s->probe_start_ms >= s->last_blame_ms) {
        s->good++;
    }
}

static void end_probe(struct world *w, uint32_t i)
{
    struct scripted *s = &w->backends[i];
    struct probe_result r = answer_probe(s->mode);
    r.took_ms = (uint32_t)(w->now_ms - s->probe_start_ms);
    s->is_probing = false;
    s->probe_end_ms = w->now_ms;
    count_good(s, &r);
    struct board_change c = board_on_probe(w->board, i, &r, w->now_ms);
    if (c.from == STATE_DOWN && c.to != STATE_DOWN) {
        require(s->good >= SMALL_HEALTH.up_after, "DOWN was left without proof", w);
    }
    if (c.state_changed && c.to == STATE_HEALTHY) {
        require(s->good > 0, "a bad probe made it HEALTHY", w);
    }
}

static void run_probes(struct world *w)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        struct scripted *s = &w->backends[i];
        if (s->is_probing && w->now_ms >= s->probe_end_ms) {
            end_probe(w, i);
        }
        if (!s->is_probing && w->now_ms >= board_next_probe_ms(w->board, i)) {
            begin_probe(w, i);
        }
    }
}

/* --- traffic --- */

static void script_attempt(struct world *w, struct exchange *x)
{
    static const struct {
        enum failure outcome;
        uint32_t took_ms;
    } script[MODE_COUNT] = {
        [MODE_WELL] = {FAILURE_ok, 300},
        [MODE_SLOW] = {FAILURE_ok, 3000},
        [MODE_REFUSED] = {FAILURE_connect_refused, 0},
        [MODE_SILENT] = {FAILURE_first_token_timeout, 10000},
        [MODE_LOADING] = {FAILURE_loading, 10},
        [MODE_ERRORS] = {FAILURE_http_500, 20},
        [MODE_BUSY] = {FAILURE_http_429, 10},
        [MODE_LYING] = {FAILURE_http_503, 1},
    };
    enum mode mode = w->backends[x->backend].mode;
    if (mode == MODE_ERRORS && rand_below(&w->rand, 2) == 0) {
        mode = MODE_WELL;
    }
    x->outcome = script[mode].outcome;
    x->end_ms = w->now_ms + script[mode].took_ms;
}

static struct pick_prospect prospect(const struct world *w, const struct tier_member *m)
{
    return pick_prospect(w->board, m, w->now_ms);
}

/* Somebody whom this exchange has not been to. */
static bool is_any(const struct world *w, const struct tried *t, bool or_reserve)
{
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        const struct tier_member *m = &w->small.members[i];
        if (!m->backend || tried_has(t, m->backend->index)) {
            continue;
        }
        struct pick_prospect p = prospect(w, m);
        if (p.status == PICK_USABLE || (or_reserve && pick_is_reserve(p.status, &p.breaker))) {
            return true;
        }
    }
    return false;
}

static void check_panic(struct world *w, const struct exchange *x, const struct pick *p)
{
    struct scripted *s = &w->backends[p->member->backend->index];
    struct pick_prospect is = prospect(w, p->member);
    require(is.status == PICK_DOWN || is.status == PICK_OPEN, "panic over one that is not DOWN",
            w);
    require(is.backend.cause.kind != CAUSE_LOADING, "panic over one that loads", w);
    require(!is_any(w, &x->tried, true), "panic while somebody is usable", w);
    require(s->last_panic_ms == 0 || w->now_ms - s->last_panic_ms >= LAST_RESORT_GAP_MS,
            "two panic requests within a second", w);
    s->last_panic_ms = w->now_ms;
}

static void check_pick(struct world *w, const struct exchange *x, const struct pick *p)
{
    uint32_t i = p->member->backend->index;
    struct pick_prospect is = prospect(w, p->member);
    require(!tried_has(&x->tried, i), "picked twice by one exchange", w);
    require(is.status != PICK_HELD, "picked a backend that is held", w);
    switch (p->kind) {
    case PICK_REGULAR:
        require(is.status == PICK_USABLE || is.status == PICK_RAMP, "picked without leave", w);
        w->backends[i].regular_picks++;
        break;
    case PICK_TRIAL:
        require(is.backend.state != STATE_DOWN, "a trial of a backend that is DOWN", w);
        require(!w->backends[i].is_tried, "two trials at once", w);
        w->backends[i].is_tried = true;
        break;
    case PICK_RESERVE:
        require(!is_any(w, &x->tried, false), "a reserve while somebody is usable", w);
        break;
    case PICK_PANIC:
        check_panic(w, x, p);
        break;
    }
}

/* Starts the exchange's next attempt, or ends it. */
static void go_on(struct world *w, struct exchange *x)
{
    struct pick p;
    bool could_serve = is_any(w, &x->tried, true);
    if (!pick_backend(&(struct pick_query){.model = &w->small.model,
                                           .board = w->board,
                                           .tried = &x->tried,
                                           .now_ms = w->now_ms,
                                           .may_try = x->tried.count == 0},
                      &w->rand, &p)) {
        require(!could_serve, "nobody was picked although somebody is usable", w);
        w->unanswered++;
        x->is_used = false;
        return;
    }
    check_pick(w, x, &p);
    x->pick = p;
    x->began_ms = w->now_ms;
    x->backend = p.member->backend->index;
    w->backends[x->backend].picks++;
    tried_add(&x->tried, x->backend);
    board_begin(w->board, x->backend);
    script_attempt(w, x);
}

static struct ended_attempt ended(const struct world *w, const struct exchange *x)
{
    return (struct ended_attempt){w->now_ms - x->began_ms, x->pick.claim};
}

static void learn_failure(struct world *w, struct exchange *x)
{
    struct scripted *s = &w->backends[x->backend];
    enum state before = view(w, x->backend).state;
    enum blame blame = verdict_of(x->outcome)->blame;
    bool is_first = !x->drew_500;
    struct board_change c = board_on_failure(w->board, x->backend,
                                             &(struct failed_attempt){.failure = x->outcome,
                                                                      .is_first_500 = is_first,
                                                                      .hold_ms = 2000,
                                                                      .ended = ended(w, x)},
                                             w->now_ms);
    s->was_asked = s->was_asked || blame == BLAME_DOWN || blame == BLAME_SUSPECT;
    if (blame == BLAME_DOWN || (blame == BLAME_SUSPECT && is_first)) {
        s->last_blame_ms = w->now_ms;
        s->good = c.to == STATE_DOWN ? 0 : s->good;
    }
    x->drew_500 = x->drew_500 || blame == BLAME_SUSPECT;
    require(blame != BLAME_DOWN || c.to == STATE_DOWN, "blame did not make it DOWN", w);
    require(before != STATE_DOWN || c.to == STATE_DOWN, "a failure ended an outage", w);
}

static void end_attempt(struct world *w, struct exchange *x)
{
    struct ended_attempt e = ended(w, x);
    board_end(w->board, x->backend);
    if (x->pick.kind == PICK_TRIAL) {
        w->backends[x->backend].is_tried = false;
    }
    if (x->outcome == FAILURE_ok) {
        (void)board_on_answer(w->board, x->pick.member->serving, &e, w->now_ms);
        if (view(w, x->backend).state != STATE_DOWN) {
            w->backends[x->backend].last_blame_ms = 0; /* a suspicion is answered */
        }
        w->answered++;
        x->is_used = false;
        return;
    }
    learn_failure(w, x);
    pick_release(w->board, &x->pick, w->now_ms);
    go_on(w, x);
}

static void run_traffic(struct world *w, uint32_t per_mille)
{
    struct exchange *idle = NULL;
    for (uint32_t i = 0; i < EXCHANGES; i++) {
        struct exchange *x = &w->exchanges[i];
        /* An attempt that fails without delay is followed by the next in the same tick. */
        while (x->is_used && w->now_ms >= x->end_ms) {
            end_attempt(w, x);
        }
        idle = x->is_used ? idle : x;
    }
    if (idle && rand_below(&w->rand, 1000) < per_mille) {
        *idle = (struct exchange){.is_used = true};
        go_on(w, idle);
    }
}

/* --- runs --- */

static void change_modes(struct world *w)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        struct scripted *s = &w->backends[i];
        if (w->now_ms >= s->mode_until_ms) {
            bool is_well = rand_below(&w->rand, 3) == 0;
            s->mode = is_well ? MODE_WELL : (enum mode)rand_below(&w->rand, MODE_COUNT);
            s->mode_until_ms = w->now_ms + 500 + rand_below(&w->rand, 20000);
        }
    }
}

static void world_init(struct world *w, const char *tiers, uint64_t seed)
{
    *w = (struct world){.rand = {.state = seed}, .now_ms = 5000};
    small_catalog_init(&w->small, tiers);
    for (uint32_t i = 0; i < SMALL_MAX; i++) {
        w->small.backends[i].breaker = SMALL_BREAKER;
    }
    w->board = board_new(&w->small.catalog, w->now_ms);
}

static void storm_then_calm(uint64_t seed)
{
    static struct world w;
    world_init(&w, "01/2/3", seed);
    uint64_t storm_end_ms = w.now_ms + RUN_MS;
    for (; w.now_ms < storm_end_ms; w.now_ms += TICK_MS) {
        change_modes(&w);
        run_probes(&w);
        run_traffic(&w, 100);
    }
    for (uint32_t i = 0; i < BACKENDS; i++) {
        w.backends[i].mode = MODE_WELL;
    }
    uint64_t lost_in_calm = 0;
    for (uint64_t end_ms = w.now_ms + CALM_MS; w.now_ms < end_ms; w.now_ms += TICK_MS) {
        lost_in_calm = w.now_ms == end_ms - CALM_MS / 2 ? w.unanswered : lost_in_calm;
        run_probes(&w);
        run_traffic(&w, 100);
    }
    require(w.answered > 1000, "hardly anything was answered", &w);
    require(w.unanswered == lost_in_calm, "a request was lost long after all were well", &w);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        require(view(&w, i).state == STATE_HEALTHY, "not HEALTHY long after it was well", &w);
    }
    struct exchange x = {0};
    go_on(&w, &x);
    require(x.backend <= 1, "the first tier is well and not used", &w);
    board_end(w.board, x.backend);
    board_free(&w.board);
}

static void holds_its_rules_through_storms(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        storm_then_calm(seed);
    }
}

/* One of two is quick to fail and never wholly bad; the other takes its time and is well. */
static void a_fast_failer_does_not_attract_most_of_the_traffic(void **state)
{
    (void)state;
    static struct world w;
    world_init(&w, "01/2", 7);
    w.backends[0].mode = MODE_ERRORS;
    w.backends[1].mode = MODE_SLOW;
    for (uint64_t end_ms = w.now_ms + RUN_MS; w.now_ms < end_ms; w.now_ms += TICK_MS) {
        run_traffic(&w, 200);
        /* A good word for both keeps the state out of it: this is about load alone. */
        for (uint32_t i = 0; i < 2; i++) {
            board_on_success(w.board, i, w.now_ms);
        }
    }
    uint64_t all = w.backends[0].picks + w.backends[1].picks;
    assert_true(all > 1000);
    assert_int_equal(view(&w, 0).state, STATE_HEALTHY);
    assert_true(w.backends[0].picks < all / 2);
    assert_int_equal(w.unanswered, 0);
    board_free(&w.board);
}

/* Nobody listens there: the first request finds out, no other is sent. */
static void a_backend_that_refuses_gets_one_request_at_most(void **state)
{
    (void)state;
    static struct world w;
    world_init(&w, "01/2", 7);
    w.backends[0].mode = MODE_REFUSED;
    for (uint64_t end_ms = w.now_ms + RUN_MS; w.now_ms < end_ms; w.now_ms += TICK_MS) {
        run_probes(&w);
        run_traffic(&w, 500);
    }
    assert_true(w.backends[0].picks <= 1);
    assert_true(w.backends[1].picks > 1000);
    assert_int_equal(w.backends[2].picks, 0);
    assert_int_equal(w.unanswered, 0);
    board_free(&w.board);
}

/* A bad prompt, and the client's two retries of it, draw a 500 everywhere. */
static void one_bad_prompt_does_not_switch_all_tiers_off(void **state)
{
    (void)state;
    static struct world w;
    world_init(&w, "0/1/2", 7);
    for (int i = 0; i < 3; i++) {
        bool is_first = true;
        struct tried tried = {0};
        struct pick p;
        while (pick_backend(
            &(struct pick_query){
                .model = &w.small.model, .board = w.board, .tried = &tried, .now_ms = w.now_ms},
            &w.rand, &p)) {
            uint32_t backend = p.member->backend->index;
            tried_add(&tried, backend);
            (void)board_on_failure(
                w.board, backend,
                &(struct failed_attempt){.failure = FAILURE_http_500, .is_first_500 = is_first},
                w.now_ms);
            is_first = false;
        }
        assert_int_equal(tried.count, 3);
    }
    assert_int_equal(view(&w, 0).state, STATE_DOWN);
    assert_int_equal(view(&w, 1).state, STATE_HEALTHY);
    assert_int_equal(view(&w, 2).state, STATE_HEALTHY);
    board_free(&w.board);
}

/* --- the way back --- */

enum { LONG_TICK_MS = 50, HOUR_MS = 3600000, FLAP_MS = 40000 };

static uint32_t promotions(const struct world *w, uint32_t serving)
{
    return breakers_view(board_breakers(w->board), serving, w->now_ms).promotions;
}

/* Six hours in which it is `bad` and well for 40 s each, with a spare behind it. */
static void flap(enum mode bad)
{
    static struct world w;
    world_init(&w, "0/1", 7);
    uint64_t start_ms = w.now_ms;
    for (uint64_t end_ms = w.now_ms + 6 * HOUR_MS; w.now_ms < end_ms;
         w.now_ms += LONG_TICK_MS) {
        bool is_bad = (w.now_ms - start_ms) / FLAP_MS % 2 == 1;
        w.backends[0].mode = is_bad ? bad : MODE_WELL;
        run_probes(&w);
        run_traffic(&w, 250);
    }
    print_message("mode %d: %u promotions, %llu of %llu requests\n", (int)bad,
                  promotions(&w, 0), (unsigned long long)w.backends[0].picks,
                  (unsigned long long)w.answered);
    assert_in_range(promotions(&w, 0), 1, 12);
    assert_int_equal(w.unanswered, 0);
    assert_true(w.backends[0].picks < w.answered / 10);
    board_free(&w.board);
}

static void a_flapping_backend_is_promoted_at_most_12_times_in_6_hours(void **state)
{
    (void)state;
    flap(MODE_REFUSED);
    flap(MODE_SILENT);
    flap(MODE_LYING);
}

/* Alone in the first tier, and beside a good one. */
static void a_backend_that_answers_503_in_1_ms_gets_less_than_1_percent(void **state)
{
    static const char *const tiers[] = {"0/1", "01/2"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        static struct world w;
        world_init(&w, tiers[i], 7);
        w.backends[0].mode = MODE_LYING;
        for (uint64_t end_ms = w.now_ms + HOUR_MS; w.now_ms < end_ms; w.now_ms += TICK_MS) {
            run_probes(&w);
            run_traffic(&w, 300);
        }
        print_message("%llu of %llu requests\n", (unsigned long long)w.backends[0].picks,
                      (unsigned long long)w.answered);
        assert_true(w.answered > 100000);
        assert_true(w.backends[0].picks * 100 < w.answered);
        assert_int_equal(promotions(&w, 0), 0);
        assert_int_equal(w.unanswered, 0);
        board_free(&w.board);
    }
}

/* From the moment when it is well until a request goes there. */
static uint64_t measure_return(enum mode bad, uint64_t outage_ms)
{
    static struct world w;
    world_init(&w, "0/1", 7);
    uint64_t well_ms = w.now_ms + 60000 + outage_ms;
    for (; w.now_ms < well_ms; w.now_ms += TICK_MS) {
        w.backends[0].mode = w.now_ms < well_ms - outage_ms ? MODE_WELL : bad;
        run_probes(&w);
        run_traffic(&w, 100);
    }
    uint64_t picks = w.backends[0].picks;
    w.backends[0].mode = MODE_WELL;
    for (; w.backends[0].picks == picks; w.now_ms += TICK_MS) {
        require(w.now_ms < well_ms + RUN_MS, "it never came back", &w);
        run_probes(&w);
        run_traffic(&w, 100);
    }
    uint64_t took_ms = w.now_ms - well_ms;
    uint64_t full_ms = w.now_ms + 45000;
    for (; w.now_ms < full_ms; w.now_ms += TICK_MS) {
        run_probes(&w);
        run_traffic(&w, 100);
    }
    assert_true(breakers_is_full(board_breakers(w.board), 0, w.now_ms));
    assert_int_equal(w.unanswered, 0);
    board_free(&w.board);
    return took_ms;
}

static void a_recovery_is_noticed_within_12_seconds(void **state)
{
    static const enum mode modes[] = {MODE_REFUSED, MODE_LYING, MODE_SILENT};
    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        /* A probe of a silent one that is under way takes its 5 s on top. */
        uint64_t most_ms = modes[i] == MODE_SILENT ? 17500 : 12500;
        for (uint64_t outage_ms = 20000; outage_ms <= 320000; outage_ms += 100000) {
            assert_in_range(measure_return(modes[i], outage_ms), 1, most_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_its_rules_through_storms),
        cmocka_unit_test(a_fast_failer_does_not_attract_most_of_the_traffic),
        cmocka_unit_test(a_backend_that_refuses_gets_one_request_at_most),
        cmocka_unit_test(one_bad_prompt_does_not_switch_all_tiers_off),
        cmocka_unit_test(a_flapping_backend_is_promoted_at_most_12_times_in_6_hours),
        cmocka_unit_test(a_backend_that_answers_503_in_1_ms_gets_less_than_1_percent),
        cmocka_unit_test(a_recovery_is_noticed_within_12_seconds),
    };
    return cmocka_run_group_tests_name("tiers/simulation", tests, NULL, NULL);
}
