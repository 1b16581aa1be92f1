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

enum { TICK_MS = 10, RUN_MS = 240000, CALM_MS = 120000, BACKENDS = 4, SEEDS = 12 };
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
    uint64_t last_trial_ms;
    uint64_t picks;
};

struct exchange {
    bool is_used;
    bool drew_500;
    struct tried tried;
    uint32_t backend;
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
    if (c.to == STATE_HEALTHY) {
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
    };
    enum mode mode = w->backends[x->backend].mode;
    if (mode == MODE_ERRORS && rand_below(&w->rand, 2) == 0) {
        mode = MODE_WELL;
    }
    x->outcome = script[mode].outcome;
    x->end_ms = w->now_ms + script[mode].took_ms;
}

static bool is_any_usable(const struct world *w, const struct tried *t)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        struct backend_view v = view(w, i);
        if (pick_judge(&v, tried_has(t, i), w->now_ms) == PICK_USABLE) {
            return true;
        }
    }
    return false;
}

static void check_trial(struct world *w, const struct exchange *x, uint32_t i)
{
    struct scripted *s = &w->backends[i];
    require(view(w, i).state == STATE_DOWN, "a trial of a backend that is not DOWN", w);
    require(!is_any_usable(w, &x->tried), "a trial while somebody is usable", w);
    require(s->last_trial_ms == 0 || w->now_ms - s->last_trial_ms >= TRIAL_GAP_MS,
            "two trials within a second", w);
    s->last_trial_ms = w->now_ms;
}

static void check_pick(struct world *w, const struct exchange *x, const struct pick *p)
{
    uint32_t i = p->member->backend->index;
    struct backend_view v = view(w, i);
    require(!tried_has(&x->tried, i), "picked twice by one exchange", w);
    require(w->now_ms >= v.hold_until_ms, "picked a backend that is held", w);
    if (p->is_trial) {
        check_trial(w, x, i);
    } else {
        require(v.state != STATE_DOWN, "picked a backend that is DOWN", w);
    }
}

/* Starts the exchange's next attempt, or ends it. */
static void go_on(struct world *w, struct exchange *x)
{
    struct pick p;
    bool could_serve = is_any_usable(w, &x->tried);
    if (!pick_backend(
            &(struct pick_query){&w->small.model, w->board, &x->tried, w->now_ms, false},
            &w->rand, &p)) {
        require(!could_serve, "nobody was picked although somebody is usable", w);
        w->unanswered++;
        x->is_used = false;
        return;
    }
    check_pick(w, x, &p);
    x->backend = p.member->backend->index;
    w->backends[x->backend].picks++;
    tried_add(&x->tried, x->backend);
    board_begin(w->board, x->backend);
    script_attempt(w, x);
}

static void learn_failure(struct world *w, struct exchange *x)
{
    struct scripted *s = &w->backends[x->backend];
    enum state before = view(w, x->backend).state;
    enum blame blame = verdict_of(x->outcome)->blame;
    bool is_first = !x->drew_500;
    struct board_change c = board_on_failure(
        w->board, x->backend, &(struct failed_attempt){x->outcome, is_first, 2000}, w->now_ms);
    if (blame == BLAME_DOWN || (blame == BLAME_SUSPECT && is_first)) {
        s->was_asked = true;
        s->last_blame_ms = w->now_ms;
        s->good = c.to == STATE_DOWN ? 0 : s->good;
    }
    x->drew_500 = x->drew_500 || blame == BLAME_SUSPECT;
    require(blame != BLAME_DOWN || c.to == STATE_DOWN, "blame did not make it DOWN", w);
    require(before != STATE_DOWN || c.to == STATE_DOWN, "a failure ended an outage", w);
}

static void end_attempt(struct world *w, struct exchange *x)
{
    board_end(w->board, x->backend);
    if (x->outcome == FAILURE_ok) {
        board_on_success(w->board, x->backend, w->now_ms);
        w->answered++;
        x->is_used = false;
        return;
    }
    learn_failure(w, x);
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
    assert_true(w.backends[0].picks > all / 100);
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
        while (
            pick_backend(&(struct pick_query){&w.small.model, w.board, &tried, w.now_ms, false},
                         &w.rand, &p)) {
            uint32_t backend = p.member->backend->index;
            tried_add(&tried, backend);
            (void)board_on_failure(w.board, backend,
                                   &(struct failed_attempt){FAILURE_http_500, is_first, 0},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_its_rules_through_storms),
        cmocka_unit_test(a_fast_failer_does_not_attract_most_of_the_traffic),
        cmocka_unit_test(a_backend_that_refuses_gets_one_request_at_most),
        cmocka_unit_test(one_bad_prompt_does_not_switch_all_tiers_off),
    };
    return cmocka_run_group_tests_name("tiers/simulation", tests, NULL, NULL);
}
