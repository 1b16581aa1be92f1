#include "tiers/tally.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "tiers/meters.h"

typedef _Atomic uint64_t counter;

/* Of one model's line. */
struct queue_tally {
    counter ends[QUEUE_ENDS];
    counter overflows;
    counter waits[TALLY_GAP_BUCKETS];
    counter waits_sum_ms;
};

struct tally {
    size_t model_count;
    size_t backend_count;
    counter *ends;           /* a row a model and one for none; a column an outcome */
    counter *last_resorts;   /* a row a model; a column a last_resort */
    counter *degraded;       /* one a model */
    counter *hedges;         /* a row a model; a column a result */
    counter *resumes;        /* a row a backend; a column a backend and one for none */
    counter *failed_resumes; /* one a backend */
    counter gaps[TALLY_GAP_BUCKETS];
    counter gaps_sum_ms;
    struct queue_tally *queues; /* one a model */
    struct meters *meters;
};

static const uint64_t GAP_MOST_MS[TALLY_GAP_BUCKETS] = {
    1,    2,    5,    10,    20,    50,    100,   200,       500,
    1000, 2000, 5000, 10000, 20000, 30000, 60000, UINT64_MAX};

static const char *const OUTCOME_NAMES[OUTCOME_COUNT] = {
#define OUTCOME_NAME(name) [OUTCOME_##name] = #name,
    OUTCOME_LIST(OUTCOME_NAME)
#undef OUTCOME_NAME
};

static const char *const HEDGE_RESULT_NAMES[HEDGE_RESULT_COUNT] = {
#define HEDGE_RESULT_NAME(name) [HEDGE_##name] = #name,
    HEDGE_RESULT_LIST(HEDGE_RESULT_NAME)
#undef HEDGE_RESULT_NAME
};

const char *hedge_result_name(enum hedge_result r)
{
    CHECK(r < HEDGE_RESULT_COUNT);
    return HEDGE_RESULT_NAMES[r];
}

const char *outcome_name(enum outcome o)
{
    CHECK(o < OUTCOME_COUNT);
    return OUTCOME_NAMES[o];
}

const char *last_resort_name(enum last_resort r)
{
    return r == LAST_RESORT_CACHE ? "cache" : "message";
}

/* Nothing else hangs on the order in which these become visible. */
static void add(counter *to, uint64_t value)
{
    (void)atomic_fetch_add_explicit(to, value, memory_order_relaxed);
}

static uint64_t load(const counter *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

struct tally *tally_new(const struct catalog *c)
{
    struct tally *t = mem_alloc(sizeof(*t));
    t->model_count = c->model_count;
    t->backend_count = c->backend_count;
    t->ends = mem_alloc(sizeof(counter) * (c->model_count + 1) * OUTCOME_COUNT);
    t->last_resorts = mem_alloc(sizeof(counter) * (c->model_count + 1) * LAST_RESORTS);
    t->degraded = mem_alloc(sizeof(counter) * c->model_count);
    t->hedges = mem_alloc(sizeof(counter) * c->model_count * HEDGE_RESULT_COUNT);
    t->resumes = mem_alloc(sizeof(counter) * c->backend_count * (c->backend_count + 1));
    t->failed_resumes = mem_alloc(sizeof(counter) * c->backend_count);
    t->queues = mem_alloc(sizeof(struct queue_tally) * (c->model_count + 1));
    t->meters = meters_new(c);
    return t;
}

struct meters *tally_meters(const struct tally *t)
{
    return t->meters;
}

void tally_free(struct tally **t)
{
    struct tally *gone = *t;
    *t = NULL;
    if (gone) {
        free(gone->ends);
        free(gone->last_resorts);
        free(gone->degraded);
        free(gone->hedges);
        free(gone->resumes);
        free(gone->failed_resumes);
        free(gone->queues);
        meters_free(&gone->meters);
        free(gone);
    }
}

/* The place of an index, or the one behind all for TALLY_NONE. */
static size_t place(uint32_t index, size_t count)
{
    CHECK(index < count || index == TALLY_NONE);
    return index == TALLY_NONE ? count : index;
}

static counter *end_of(const struct tally *t, uint32_t model, enum outcome o)
{
    CHECK(o < OUTCOME_COUNT);
    return &t->ends[place(model, t->model_count) * OUTCOME_COUNT + o];
}

static counter *last_resort_of(const struct tally *t, uint32_t model, enum last_resort r)
{
    CHECK(model < t->model_count);
    return &t->last_resorts[(size_t)model * LAST_RESORTS + r];
}

static counter *degraded_of(const struct tally *t, uint32_t model)
{
    CHECK(model < t->model_count);
    return &t->degraded[model];
}

static counter *hedge_of(const struct tally *t, uint32_t model, enum hedge_result r)
{
    CHECK(model < t->model_count && r < HEDGE_RESULT_COUNT);
    return &t->hedges[model * HEDGE_RESULT_COUNT + r];
}

static counter *resume_of(const struct tally *t, uint32_t from, uint32_t to)
{
    CHECK(from < t->backend_count);
    return &t->resumes[from * (t->backend_count + 1) + place(to, t->backend_count)];
}

static counter *failed_resume_of(const struct tally *t, uint32_t from)
{
    CHECK(from < t->backend_count);
    return &t->failed_resumes[from];
}

void tally_end(struct tally *t, uint32_t model, enum outcome o)
{
    add(end_of(t, model, o), 1);
}

void tally_last_resort(struct tally *t, uint32_t model, enum last_resort r)
{
    tally_end(t, model, OUTCOME_last_resort);
    add(last_resort_of(t, model, r), 1);
}

void tally_degraded(struct tally *t, uint32_t model)
{
    add(degraded_of(t, model), 1);
}

uint64_t tally_degraded_answers(const struct tally *t, uint32_t model)
{
    return load(degraded_of(t, model));
}

static uint32_t bucket_of(uint64_t ms)
{
    uint32_t bucket = 0;
    while (ms > GAP_MOST_MS[bucket]) {
        bucket++;
    }
    return bucket;
}

void tally_resumed(struct tally *t, uint32_t from, uint32_t to, uint64_t gap_ms)
{
    add(resume_of(t, from, to), 1);
    if (to == TALLY_NONE) {
        return;
    }
    add(&t->gaps_sum_ms, gap_ms);
    add(&t->gaps[bucket_of(gap_ms)], 1);
}

void tally_not_resumed(struct tally *t, uint32_t from)
{
    add(failed_resume_of(t, from), 1);
}

void tally_hedge(struct tally *t, uint32_t model, enum hedge_result r)
{
    add(hedge_of(t, model, r), 1);
}

uint64_t tally_ends(const struct tally *t, uint32_t model, enum outcome o)
{
    return load(end_of(t, model, o));
}

uint64_t tally_last_resorts(const struct tally *t, uint32_t model, enum last_resort r)
{
    return load(last_resort_of(t, model, r));
}

uint64_t tally_hedges(const struct tally *t, uint32_t model, enum hedge_result r)
{
    return load(hedge_of(t, model, r));
}

uint64_t tally_resumes(const struct tally *t, uint32_t from, uint32_t to)
{
    return load(resume_of(t, from, to));
}

uint64_t tally_failed_resumes(const struct tally *t, uint32_t from)
{
    return load(failed_resume_of(t, from));
}

uint64_t tally_gap_most_ms(uint32_t bucket)
{
    CHECK(bucket < TALLY_GAP_BUCKETS);
    return GAP_MOST_MS[bucket];
}

void tally_gaps(const struct tally *t, struct tally_gaps *out)
{
    for (size_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        out->count[i] = load(&t->gaps[i]);
    }
    out->sum_ms = load(&t->gaps_sum_ms);
}

/* --- lines --- */

const char *queue_end_name(enum queue_end e)
{
    static const char *const NAMES[QUEUE_ENDS] = {"served", "full", "timeout"};
    CHECK(e < QUEUE_ENDS);
    return NAMES[e];
}

static struct queue_tally *queue_of(const struct tally *t, uint32_t model)
{
    CHECK(model < t->model_count);
    return &t->queues[model];
}

void tally_queue(struct tally *t, uint32_t model, enum queue_end e, uint64_t waited_ms)
{
    struct queue_tally *q = queue_of(t, model);
    CHECK(e < QUEUE_ENDS);
    add(&q->ends[e], 1);
    if (e == QUEUE_SERVED) {
        add(&q->waits_sum_ms, waited_ms);
        add(&q->waits[bucket_of(waited_ms)], 1);
    }
}

void tally_overflow(struct tally *t, uint32_t model)
{
    add(&queue_of(t, model)->overflows, 1);
}

uint64_t tally_queue_ends(const struct tally *t, uint32_t model, enum queue_end e)
{
    CHECK(e < QUEUE_ENDS);
    return load(&queue_of(t, model)->ends[e]);
}

uint64_t tally_overflows(const struct tally *t, uint32_t model)
{
    return load(&queue_of(t, model)->overflows);
}

void tally_waits(const struct tally *t, uint32_t model, struct tally_gaps *out)
{
    const struct queue_tally *q = queue_of(t, model);
    for (size_t i = 0; i < TALLY_GAP_BUCKETS; i++) {
        out->count[i] = load(&q->waits[i]);
    }
    out->sum_ms = load(&q->waits_sum_ms);
}
