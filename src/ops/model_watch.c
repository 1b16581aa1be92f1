#include "ops/model_watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tiers/incumbent.h"

/* Of one model. */
struct watched {
    uint32_t tier;
    uint64_t since_ms; /* 0: no sample yet */
    struct trend trend;
};

struct model_watch {
    const struct catalog *catalog; /* borrowed */
    struct watched *models;
    uint64_t begun_ms;
};

struct model_watch *model_watch_new(const struct catalog *c, uint64_t now_ms)
{
    struct model_watch *w = mem_alloc(sizeof(*w));
    w->catalog = c;
    w->begun_ms = now_ms;
    w->models = mem_alloc(sizeof(w->models[0]) * c->model_count);
    for (size_t i = 0; i < c->model_count; i++) {
        trend_init(&w->models[i].trend, &(struct trend_counts){.requests = 0}, now_ms);
    }
    return w;
}

void model_watch_free(struct model_watch **w)
{
    if (*w) {
        free((*w)->models);
        free(*w);
        *w = NULL;
    }
}

/* --- samples --- */

static bool is_counted_before(const struct model *m, size_t tier, size_t member)
{
    const struct backend *b = m->tiers[tier].members[member].backend;
    for (size_t t = 0; t <= tier; t++) {
        size_t end = t == tier ? member : m->tiers[t].member_count;
        for (size_t i = 0; i < end; i++) {
            if (m->tiers[t].members[i].backend == b) {
                return true;
            }
        }
    }
    return false;
}

static void add_backend(struct trend_counts *to, const struct board *b, uint32_t backend)
{
    struct backend_figures f;
    board_figures(b, backend, &f);
    to->tokens += f.tokens;
    for (size_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        to->first_token[i] += f.first_token[i];
    }
}

/* Requests that were refused by their own fault, or whose client left, tell nothing of us. */
static struct trend_counts counts_of(const struct board *b, const struct tally *t,
                                     const struct model *m)
{
    struct trend_counts c = {.requests = tally_ends(t, m->index, OUTCOME_ok)};
    c.failed =
        tally_ends(t, m->index, OUTCOME_failed) + tally_ends(t, m->index, OUTCOME_interrupted);
    c.last_resort = tally_ends(t, m->index, OUTCOME_last_resort);
    c.requests += c.failed + c.last_resort;
    c.degraded = tally_degraded_answers(t, m->index);
    for (size_t k = 0; k < m->tier_count; k++) {
        for (size_t i = 0; i < m->tiers[k].member_count; i++) {
            if (!is_counted_before(m, k, i)) {
                add_backend(&c, b, m->tiers[k].members[i].backend->index);
            }
        }
    }
    return c;
}

void model_watch_sample(struct model_watch *w, const struct board *b, const struct tally *t,
                        uint64_t now_ms)
{
    for (size_t i = 0; i < w->catalog->model_count; i++) {
        const struct model *m = &w->catalog->models[i];
        struct watched *one = &w->models[i];
        struct trend_counts counts = counts_of(b, t, m);
        uint32_t tier = incumbent_of(m, b, now_ms).tier;
        if (one->since_ms == 0 || tier != one->tier) {
            one->tier = tier;
            one->since_ms = now_ms;
        }
        trend_take(&one->trend, &counts, now_ms);
    }
}

uint64_t model_watch_since_ms(const struct model_watch *w, const struct model *m, uint32_t tier,
                              uint64_t now_ms)
{
    const struct watched *one = &w->models[m->index];
    return one->since_ms > 0 && one->tier == tier ? one->since_ms : now_ms;
}

const struct trend *model_watch_trend(const struct model_watch *w, const struct model *m)
{
    return &w->models[m->index].trend;
}
