#include "tiers/loads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tiers/lines.h"

enum { CACHE_LINE = 64, BYTES_A_TOKEN = 4, PROMPT_DISCOUNT = 16, MEAN_WEIGHT = 8 };
enum { PROMPT_WORK_MAX = 1 << 20, ANSWER_WORK_MAX = 1 << 20 };

/* The last times, in a ring; each is stored as ms + 1, so that 0 is none yet. */
struct recent {
    _Atomic uint32_t count;
    _Atomic uint32_t ms[LOADS_RECENT];
};

/* What a pick reads of a backend is in one cache line. */
struct load {
    _Alignas(CACHE_LINE) _Atomic uint32_t claimed;
    uint32_t limit;
    _Atomic uint32_t foreign; /* requests of others in its engine */
    _Atomic uint64_t work;
    _Alignas(CACHE_LINE) struct recent first_token;
    _Alignas(CACHE_LINE) struct recent hold;
};

struct loads {
    size_t count;
    size_t serving_count;
    size_t model_count;
    struct lines *lines;
    struct load *at;
    _Atomic uint32_t *answer; /* one a serving: recent mean of tokens; 0: not known */
    uint32_t *first_turn;     /* one a model: where its tiers' turns begin */
    _Atomic uint32_t *turn;
};

static void make_turns(struct loads *l, const struct catalog *c)
{
    uint32_t tiers = 0;
    l->first_turn = mem_alloc(sizeof(*l->first_turn) * (c->model_count + 1));
    for (size_t i = 0; i < c->model_count; i++) {
        l->first_turn[i] = tiers;
        tiers += (uint32_t)c->models[i].tier_count;
    }
    l->first_turn[c->model_count] = tiers;
    l->turn = mem_alloc(sizeof(*l->turn) * (tiers + 1));
}

struct loads *loads_new(const struct catalog *c)
{
    struct loads *l = mem_alloc(sizeof(*l));
    l->count = c->backend_count;
    l->serving_count = c->serving_count;
    l->model_count = c->model_count;
    l->answer = mem_alloc(sizeof(*l->answer) * (c->serving_count + 1));
    l->lines = lines_new(c);
    make_turns(l, c);
    if (l->count > 0) {
        l->at = aligned_alloc(CACHE_LINE, l->count * sizeof(struct load));
        CHECK(l->at != NULL);
        memset(l->at, 0, l->count * sizeof(struct load));
    }
    for (size_t i = 0; i < l->count; i++) {
        l->at[i].limit = c->backends[i].max_concurrent;
    }
    return l;
}

void loads_free(struct loads **l)
{
    struct loads *gone = *l;
    *l = NULL;
    if (gone) {
        lines_free(&gone->lines);
        free(gone->at);
        free(gone->answer);
        free(gone->first_turn);
        free(gone->turn);
        free(gone);
    }
}

struct lines *loads_lines(const struct loads *l)
{
    return l->lines;
}

static struct load *load_of(const struct loads *l, uint32_t backend)
{
    CHECK(backend < l->count);
    return &l->at[backend];
}

/* --- slots: sequentially consistent, with lines.c: of one that gives a slot up and one that
 * begins to wait at least one sees the other --- */

bool loads_claim(struct loads *l, uint32_t backend)
{
    struct load *b = load_of(l, backend);
    uint32_t claimed = 0;
    if (b->limit == 0) {
        return true;
    }
    claimed = atomic_load(&b->claimed);
    do {
        if (claimed >= b->limit) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&b->claimed, &claimed, claimed + 1));
    return true;
}

void loads_unclaim(struct loads *l, uint32_t backend)
{
    struct load *b = load_of(l, backend);
    if (b->limit > 0) {
        CHECK(atomic_fetch_sub(&b->claimed, 1) > 0);
    }
}

bool loads_is_limited(const struct loads *l, uint32_t backend)
{
    return load_of(l, backend)->limit > 0;
}

bool loads_is_full(const struct loads *l, uint32_t backend)
{
    const struct load *b = load_of(l, backend);
    return b->limit > 0 && atomic_load(&b->claimed) >= b->limit;
}

uint32_t loads_claimed(const struct loads *l, uint32_t backend)
{
    return atomic_load(&load_of(l, backend)->claimed);
}

/* --- work --- */

static _Atomic uint32_t *answer_of(const struct loads *l, uint32_t serving)
{
    CHECK(serving < l->serving_count);
    return &l->answer[serving];
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint32_t loads_expect(const struct loads *l, uint32_t serving, uint64_t prompt_bytes,
                      uint64_t max_tokens)
{
    uint32_t mean = atomic_load_explicit(answer_of(l, serving), memory_order_relaxed);
    uint64_t prompt = least(prompt_bytes / (BYTES_A_TOKEN * PROMPT_DISCOUNT), PROMPT_WORK_MAX);
    return (uint32_t)(prompt + least(mean > 0 ? mean : LOAD_ANSWER, max_tokens));
}

/* Of two that write at once one may be lost: it is a mean of many. */
void loads_note_answer(struct loads *l, uint32_t serving, uint64_t tokens)
{
    _Atomic uint32_t *mean = answer_of(l, serving);
    uint64_t before = atomic_load_explicit(mean, memory_order_relaxed);
    uint64_t one = least(tokens > 0 ? tokens : 1, ANSWER_WORK_MAX);
    uint64_t after =
        before == 0 ? one : (before * (MEAN_WEIGHT - 1) + one + MEAN_WEIGHT / 2) / MEAN_WEIGHT;
    atomic_store_explicit(mean, (uint32_t)after, memory_order_relaxed);
}

void loads_add(struct loads *l, uint32_t backend, uint32_t work)
{
    (void)atomic_fetch_add_explicit(&load_of(l, backend)->work, work, memory_order_relaxed);
}

void loads_sub(struct loads *l, uint32_t backend, uint32_t work)
{
    CHECK(atomic_fetch_sub_explicit(&load_of(l, backend)->work, work, memory_order_relaxed) >=
          work);
}

void loads_see_engine(struct loads *l, uint32_t backend, uint32_t requests, uint32_t ours)
{
    atomic_store_explicit(&load_of(l, backend)->foreign, requests > ours ? requests - ours : 0,
                          memory_order_relaxed);
}

uint64_t loads_of(const struct loads *l, uint32_t backend, uint32_t in_flight)
{
    const struct load *b = load_of(l, backend);
    uint64_t foreign = atomic_load_explicit(&b->foreign, memory_order_relaxed);
    return atomic_load_explicit(&b->work, memory_order_relaxed) +
           (uint64_t)in_flight * LOAD_ATTEMPT + foreign * LOAD_UNIT;
}

/* --- recent times --- */

static void recent_add(struct recent *r, uint64_t ms)
{
    uint32_t at = atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
    uint32_t stored = (uint32_t)least(ms, UINT32_MAX - 1) + 1;
    atomic_store_explicit(&r->ms[at % LOADS_RECENT], stored, memory_order_relaxed);
}

/* Sorted; returns how many there are. */
static uint32_t recent_read(const struct recent *r, uint32_t ms[LOADS_RECENT])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < LOADS_RECENT; i++) {
        uint32_t stored = atomic_load_explicit(&r->ms[i], memory_order_relaxed);
        if (stored == 0) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && ms[at - 1] > stored - 1; at--) {
            ms[at] = ms[at - 1];
        }
        ms[at] = stored - 1;
    }
    return count;
}

void loads_note_first_token(struct loads *l, uint32_t backend, uint64_t took_ms)
{
    recent_add(&load_of(l, backend)->first_token, took_ms);
}

uint64_t loads_first_token_ms(const struct loads *l, uint32_t backend)
{
    uint32_t ms[LOADS_RECENT];
    uint32_t count = recent_read(&load_of(l, backend)->first_token, ms);
    if (count == 0) {
        return 0;
    }
    return ms[count / 2] > 0 ? ms[count / 2] : 1;
}

void loads_note_hold(struct loads *l, uint32_t backend, uint64_t held_ms)
{
    recent_add(&load_of(l, backend)->hold, held_ms);
}

uint64_t loads_hold_ms(const struct loads *l, uint32_t backend)
{
    uint32_t ms[LOADS_RECENT];
    uint32_t count = recent_read(&load_of(l, backend)->hold, ms);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += ms[i];
    }
    if (count == 0) {
        return 0;
    }
    return sum >= count ? sum / count : 1;
}

/* --- turns --- */

uint32_t loads_turn(struct loads *l, uint32_t model, uint32_t tier)
{
    CHECK(model < l->model_count);
    uint32_t at = l->first_turn[model] + tier;
    CHECK(at < l->first_turn[model + 1]);
    return atomic_fetch_add_explicit(&l->turn[at], 1, memory_order_relaxed);
}
