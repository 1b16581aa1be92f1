#include "tiers/meters.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Workers beyond these share a slot. */
enum { CACHE_LINE = 64, OWN_SLOTS = 16 };

typedef _Atomic uint64_t counter;

struct times {
    counter count[METERS_BUCKETS_MAX];
    counter sum_us;
};

/* Of one worker, on cache lines of its own. */
struct own_slot {
    _Alignas(CACHE_LINE) struct times times;
};

/* Of one backend, likewise: what every answer writes is not where the neighbour's is. */
struct backend_meters {
    _Alignas(CACHE_LINE) counter prompt_tokens;
    counter completion_tokens;
    counter usages;
    struct times tokens;
    struct times probe_times;
    counter probes[2]; /* failed, good */
    counter failures[FAILURE_COUNT];
};

struct meters {
    size_t backend_count;
    size_t model_count;
    struct own_slot own[OWN_SLOTS];
    struct backend_meters *backends;
    counter *failovers;    /* a row a backend; a column a backend */
    counter *over_budgets; /* one a model */
    uint32_t *first_place; /* one a model and one more: where its members begin in answers */
    counter *answers;      /* a row a member; a column an answer_end */
};

/* --- buckets --- */

static const uint64_t OWN_MOST_US[] = {10,   20,   50,    100,   200,   500,    1000,
                                       2000, 5000, 10000, 20000, 50000, 100000, UINT64_MAX};
static const uint64_t TOKEN_MOST_US[] = {1000,   2000,   5000,    10000,   15000,   20000,
                                         30000,  40000,  50000,   75000,   100000,  150000,
                                         200000, 500000, 1000000, 2000000, 5000000, UINT64_MAX};
static const uint64_t PROBE_MOST_US[] = {1000,    2000,    5000,     10000,    20000,
                                         50000,   100000,  200000,   500000,   1000000,
                                         2000000, 5000000, 10000000, 20000000, UINT64_MAX};

static const struct {
    const uint64_t *most_us;
    uint32_t count;
} BUCKETS[METERS_TIMES] = {
    [TIME_OWN] = {OWN_MOST_US, sizeof(OWN_MOST_US) / sizeof(OWN_MOST_US[0])},
    [TIME_TOKEN] = {TOKEN_MOST_US, sizeof(TOKEN_MOST_US) / sizeof(TOKEN_MOST_US[0])},
    [TIME_PROBE] = {PROBE_MOST_US, sizeof(PROBE_MOST_US) / sizeof(PROBE_MOST_US[0])},
};

/* Nothing else hangs on the order in which these become visible. */
static void add(counter *to, uint64_t value)
{
    (void)atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static uint64_t load(const counter *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void add_time(struct times *t, enum meters_time what, uint64_t took_us)
{
    const uint64_t *most_us = BUCKETS[what].most_us;
    uint32_t bucket = 0;
    while (took_us > most_us[bucket]) {
        bucket++;
    }
    add(&t->sum_us, took_us);
    add(&t->count[bucket], 1);
}

/* --- life --- */

static size_t count_members(const struct model *m)
{
    size_t count = 0;
    for (size_t t = 0; t < m->tier_count; t++) {
        count += m->tiers[t].member_count;
    }
    return count;
}

/* Zeroed, and shares its cache lines with nobody. */
static void *alloc_lines(size_t size)
{
    size_t whole = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *lines = aligned_alloc(CACHE_LINE, whole);
    CHECK(lines);
    return memset(lines, 0, whole);
}

static void place_members(struct meters *m, const struct catalog *c)
{
    size_t places = 0;
    m->first_place = mem_alloc(sizeof(m->first_place[0]) * (c->model_count + 1));
    for (size_t i = 0; i < c->model_count; i++) {
        m->first_place[i] = (uint32_t)places;
        places += count_members(&c->models[i]);
    }
    m->first_place[c->model_count] = (uint32_t)places;
    m->answers = mem_alloc(sizeof(counter) * (places * ANSWER_ENDS + 1));
}

struct meters *meters_new(const struct catalog *c)
{
    struct meters *m = alloc_lines(sizeof(*m));
    m->backend_count = c->backend_count;
    m->model_count = c->model_count;
    m->backends = alloc_lines(sizeof(m->backends[0]) * (c->backend_count + 1));
    m->failovers = mem_alloc(sizeof(counter) * (c->backend_count * c->backend_count + 1));
    m->over_budgets = mem_alloc(sizeof(counter) * (c->model_count + 1));
    place_members(m, c);
    return m;
}

void meters_free(struct meters **m)
{
    struct meters *gone = *m;
    *m = NULL;
    if (gone) {
        free(gone->backends);
        free(gone->failovers);
        free(gone->over_budgets);
        free(gone->first_place);
        free(gone->answers);
        free(gone);
    }
}

static struct backend_meters *of_backend(const struct meters *m, uint32_t backend)
{
    CHECK(backend < m->backend_count);
    return &m->backends[backend];
}

/* --- answers --- */

enum outcome answer_end_outcome(enum answer_end e)
{
    static const enum outcome outcomes[ANSWER_ENDS] = {
        [ANSWER_OK] = OUTCOME_ok,
        [ANSWER_INTERRUPTED] = OUTCOME_interrupted,
        [ANSWER_CLIENT_LEFT] = OUTCOME_client_left};
    CHECK((unsigned)e < ANSWER_ENDS);
    return outcomes[e];
}

static counter *answer_of(const struct meters *m, uint32_t model, uint32_t place,
                          enum answer_end e)
{
    CHECK(model < m->model_count && (unsigned)e < ANSWER_ENDS);
    uint32_t at = m->first_place[model] + place;
    CHECK(at < m->first_place[model + 1]);
    return &m->answers[(size_t)at * ANSWER_ENDS + (size_t)e];
}

void meters_answer(struct meters *m, uint32_t model, uint32_t place, enum answer_end e)
{
    add(answer_of(m, model, place, e), 1);
}

uint64_t meters_answers(const struct meters *m, uint32_t model, uint32_t place,
                        enum answer_end e)
{
    return load(answer_of(m, model, place, e));
}

void meters_over_budget(struct meters *m, uint32_t model)
{
    CHECK(model < m->model_count);
    add(&m->over_budgets[model], 1);
}

uint64_t meters_over_budgets(const struct meters *m, uint32_t model)
{
    CHECK(model < m->model_count);
    return load(&m->over_budgets[model]);
}

/* --- attempts --- */

void meters_failure(struct meters *m, uint32_t backend, enum failure f)
{
    CHECK((unsigned)f < FAILURE_COUNT);
    add(&of_backend(m, backend)->failures[f], 1);
}

uint64_t meters_failures(const struct meters *m, uint32_t backend, enum failure f)
{
    CHECK((unsigned)f < FAILURE_COUNT);
    return load(&of_backend(m, backend)->failures[f]);
}

static counter *failover_of(const struct meters *m, uint32_t from, uint32_t to)
{
    CHECK(from < m->backend_count && to < m->backend_count);
    return &m->failovers[from * m->backend_count + to];
}

void meters_failover(struct meters *m, uint32_t from, uint32_t to)
{
    add(failover_of(m, from, to), 1);
}

uint64_t meters_failovers(const struct meters *m, uint32_t from, uint32_t to)
{
    return load(failover_of(m, from, to));
}

void meters_usage(struct meters *m, uint32_t backend, uint64_t prompt, uint64_t completion)
{
    struct backend_meters *b = of_backend(m, backend);
    if (prompt + completion > 0) {
        add(&b->prompt_tokens, prompt);
        add(&b->completion_tokens, completion);
        add(&b->usages, 1);
    }
}

void meters_usages(const struct meters *m, uint32_t backend, struct meters_usage *out)
{
    const struct backend_meters *b = of_backend(m, backend);
    *out = (struct meters_usage){.prompt = load(&b->prompt_tokens),
                                 .completion = load(&b->completion_tokens),
                                 .answers = load(&b->usages)};
}

/* --- times --- */

void meters_own(struct meters *m, uint32_t worker, uint64_t took_us)
{
    add_time(&m->own[worker % OWN_SLOTS].times, TIME_OWN, took_us);
}

void meters_token(struct meters *m, uint32_t backend, uint64_t took_ms, uint64_t pieces)
{
    CHECK(pieces >= 2);
    add_time(&of_backend(m, backend)->tokens, TIME_TOKEN, took_ms * 1000 / (pieces - 1));
}

void meters_probe(struct meters *m, uint32_t backend, bool is_good, uint64_t took_ms)
{
    struct backend_meters *b = of_backend(m, backend);
    add_time(&b->probe_times, TIME_PROBE, took_ms * 1000);
    add(&b->probes[is_good ? 1 : 0], 1);
}

uint64_t meters_probes(const struct meters *m, uint32_t backend, bool is_good)
{
    return load(&of_backend(m, backend)->probes[is_good ? 1 : 0]);
}

static void sum_up(const struct times *t, struct meters_times *out)
{
    for (uint32_t i = 0; i < out->bucket_count; i++) {
        out->count[i] += load(&t->count[i]);
    }
    out->sum_us += load(&t->sum_us);
}

void meters_times(const struct meters *m, enum meters_time what, uint32_t backend,
                  struct meters_times *out)
{
    CHECK((unsigned)what < METERS_TIMES);
    *out = (struct meters_times){.bucket_count = BUCKETS[what].count};
    for (uint32_t i = 0; i < out->bucket_count; i++) {
        out->most_us[i] = BUCKETS[what].most_us[i];
    }
    switch (what) {
    case TIME_OWN:
        for (size_t i = 0; i < OWN_SLOTS; i++) {
            sum_up(&m->own[i].times, out);
        }
        break;
    case TIME_TOKEN:
        sum_up(&of_backend(m, backend)->tokens, out);
        break;
    case TIME_PROBE:
        sum_up(&of_backend(m, backend)->probe_times, out);
        break;
    }
}
