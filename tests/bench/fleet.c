#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "tiers/picker.h"

/*
 * What more backends mean than a machine can run: the gateway's own judgement (tiers: board,
 * breakers, picker) over a day of a virtual clock, with scripted backends that die and return,
 * and half-way a quarter of all at once. No socket is opened; a probe takes no time. One line
 * of TSV for each size:
 *
 *   backends, virtual hours, outages, probes a second (mean, worst second), requests, requests
 *   whose first attempt met a dead backend, requests without an answer, nanoseconds of a
 *   judged probe and of a pick with its report
 */

enum {
    BACKENDS_MAX = 1024,
    MODEL_SIZE = 64, /* backends of one model, all in one tier */
    STEP_MS = 100,
    PICKS_A_STEP = 10,
    TRIES = 3,
    HOURS = 24,
    HOUR_MS = 3600 * 1000,
    BETWEEN_MS = 12 * HOUR_MS, /* mean time between two outages of a backend */
    OUTAGE_MS = 3 * 60 * 1000,
    BEGIN_MS = 1000000
};

struct fleet {
    uint32_t count;
    struct rand rand;
    struct board *board;
    uint64_t now_ms;
    uint64_t probe_ms[BACKENDS_MAX]; /* when the next one is due */
    uint64_t dies_ms[BACKENDS_MAX];
    uint64_t back_ms[BACKENDS_MAX]; /* dead until then */
    struct backend backends[BACKENDS_MAX];
    struct tier_member members[BACKENDS_MAX];
    struct serving servings[BACKENDS_MAX];
    struct tier tiers[BACKENDS_MAX / MODEL_SIZE];
    struct model models[BACKENDS_MAX / MODEL_SIZE];
    struct catalog catalog;
};

struct seen {
    uint64_t outages, probes, in_second, worst_second;
    uint64_t requests, stumbled, unanswered, picks;
    double probe_ns, pick_ns;
};

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void add_backend(struct fleet *f, uint32_t i)
{
    f->backends[i] = (struct backend){.index = i,
                                      .type = BACKEND_VLLM,
                                      .first_serving = i,
                                      .serving_count = 1,
                                      .health = {.interval_ms = 10000,
                                                 .timeout_ms = 5000,
                                                 .degraded_after_ms = 2000,
                                                 .down_after = 3,
                                                 .up_after = 2,
                                                 .loading_limit_ms = 600000,
                                                 .down_gap_ms = 2000,
                                                 .down_gap_max_ms = 10000},
                                      .breaker = {2000, 10000, 10000, 30000}};
    f->servings[i] = (struct serving){.index = i, .backend = &f->backends[i]};
    f->members[i] = (struct tier_member){.backend = &f->backends[i], .serving = i};
    f->probe_ms[i] = BEGIN_MS + (uint64_t)i * 1000 / f->count; /* as the prober spreads them */
    f->dies_ms[i] = BEGIN_MS + rand_below(&f->rand, 2 * BETWEEN_MS);
    f->back_ms[i] = 0;
}

static struct fleet *make_fleet(uint32_t count)
{
    struct fleet *f = calloc(1, sizeof(*f));
    CHECK(f != NULL && count <= BACKENDS_MAX);
    f->count = count;
    f->rand.state = 7;
    f->now_ms = BEGIN_MS;
    for (uint32_t i = 0; i < count; i++) {
        add_backend(f, i);
    }
    uint32_t models = (count + MODEL_SIZE - 1) / MODEL_SIZE;
    for (uint32_t i = 0; i < models; i++) {
        uint32_t left = count - i * MODEL_SIZE;
        f->tiers[i] = (struct tier){&f->members[(size_t)i * MODEL_SIZE],
                                    left < MODEL_SIZE ? left : MODEL_SIZE};
        f->models[i] = (struct model){
            .index = i, .tiers = &f->tiers[i], .tier_count = 1, .may_panic = true};
    }
    f->catalog = (struct catalog){f->backends, count, f->models, models, f->servings, count};
    f->board = board_new(&f->catalog, f->now_ms);
    return f;
}

/* --- What happens to the backends --- */

static bool is_dead(const struct fleet *f, uint32_t i)
{
    return f->now_ms < f->back_ms[i];
}

static void kill_due(struct fleet *f, struct seen *s)
{
    bool is_rack = f->now_ms == BEGIN_MS + (uint64_t)HOURS * HOUR_MS / 2;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->now_ms >= f->dies_ms[i] || (is_rack && i % 4 == 0)) {
            s->outages++;
            f->back_ms[i] = f->now_ms + OUTAGE_MS;
            f->dies_ms[i] = f->back_ms[i] + rand_below(&f->rand, 2 * BETWEEN_MS);
        }
    }
}

/* --- What the gateway does --- */

static void probe(struct fleet *f, uint32_t i)
{
    struct probe_result alive = {.answered = true, .status = 200, .took_ms = 3};
    struct probe_result dead = {.failure = FAILURE_connect_refused};
    (void)board_on_probe(f->board, i, is_dead(f, i) ? &dead : &alive, f->now_ms);
    f->probe_ms[i] = board_next_probe_ms(f->board, i);
}

static void probe_due(struct fleet *f, struct seen *s)
{
    double began = now_ns();
    uint64_t before = s->probes;
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->probe_ms[i] <= f->now_ms) {
            probe(f, i);
            s->probes++;
        }
    }
    s->in_second += s->probes - before;
    s->probe_ns += s->probes > before ? now_ns() - began : 0;
}

static bool attempt(struct fleet *f, const struct pick *p)
{
    uint32_t i = p->member->backend->index;
    struct ended_attempt ended = {.claim = p->claim};
    if (!is_dead(f, i)) {
        (void)board_on_answer(f->board, p->member->serving, &ended, f->now_ms);
        return true;
    }
    struct failed_attempt failed = {
        .failure = FAILURE_connect_refused, .is_first_500 = true, .ended = ended};
    (void)board_on_failure(f->board, i, &failed, f->now_ms);
    f->probe_ms[i] = board_next_probe_ms(f->board, i);
    return false;
}

static void request(struct fleet *f, struct seen *s)
{
    struct tried tried = {.count = 0};
    struct pick_query q = {
        .model = &f->models[rand_below(&f->rand, (uint32_t)f->catalog.model_count)],
        .board = f->board,
        .tried = &tried,
        .now_ms = f->now_ms,
        .may_try = true};
    s->requests++;
    for (int i = 0; i < TRIES; i++) {
        struct pick p;
        s->picks++;
        if (!pick_backend(&q, &f->rand, &p)) {
            break;
        }
        if (attempt(f, &p)) {
            s->stumbled += i > 0;
            return;
        }
        tried_add(&tried, p.member->backend->index);
        q.may_try = false;
    }
    s->unanswered++;
}

static void serve(struct fleet *f, struct seen *s)
{
    double began = now_ns();
    for (int i = 0; i < PICKS_A_STEP; i++) {
        request(f, s);
    }
    s->pick_ns += now_ns() - began;
}

static void end_second(struct seen *s)
{
    s->worst_second = s->in_second > s->worst_second ? s->in_second : s->worst_second;
    s->in_second = 0;
}

static void run(uint32_t count)
{
    struct fleet *f = make_fleet(count);
    struct seen s = {.outages = 0};
    uint64_t end_ms = f->now_ms + (uint64_t)HOURS * HOUR_MS;
    for (; f->now_ms < end_ms; f->now_ms += STEP_MS) {
        kill_due(f, &s);
        probe_due(f, &s);
        serve(f, &s);
        if (f->now_ms % 1000 == 0) {
            end_second(&s);
        }
    }
    printf("%" PRIu32 "\t%d\t%" PRIu64 "\t%.1f\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
           "\t%.0f\t%.0f\n",
           count, HOURS, s.outages, (double)s.probes / (HOURS * 3600.0), s.worst_second,
           s.requests, s.stumbled, s.unanswered, s.probe_ns / (double)s.probes,
           s.pick_ns / (double)s.picks);
    board_free(&f->board);
    free(f);
}

int main(void)
{
    static const uint32_t SIZES[] = {1, 4, 16, 64, 256, 1024};
    printf("backends\thours\toutages\tprobes_s\tworst_second\trequests\tstumbled\tunanswered"
           "\tprobe_ns\tpick_ns\n");
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        run(SIZES[i]);
    }
    return EXIT_SUCCESS;
}
