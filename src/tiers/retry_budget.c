#include "tiers/retry_budget.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { CACHE_LINE = 64, SLOT_MS = 1000, WINDOW = 10, WHOLE = 10000 };

/* More slots than any sum needs: a thread whose clock is some seconds behind the others' finds
 * its own slot still there. */
enum { SLOTS = 16 };

/* A slot is one word: the second above, what happened in it below. */
typedef _Atomic uint64_t slot;
enum { SECOND_BITS = 32 };

struct retry_budget {
    _Alignas(CACHE_LINE) slot exchanges[SLOTS]; /* written by every exchange */
    _Alignas(CACHE_LINE) struct retry_budget_policy policy;
    pthread_mutex_t lock;
    slot attempts[SLOTS]; /* this and what follows: under the lock */
    uint64_t refused;     /* since the last word about it */
    uint64_t told_ms;
    bool was_told;
};

struct retry_budget *retry_budget_new(const struct retry_budget_policy *p)
{
    struct retry_budget *b = aligned_alloc(CACHE_LINE, sizeof(*b));
    CHECK(b != NULL);
    memset(b, 0, sizeof(*b));
    b->policy = *p;
    CHECK(pthread_mutex_init(&b->lock, NULL) == 0);
    return b;
}

void retry_budget_free(struct retry_budget **b)
{
    if (*b) {
        CHECK(pthread_mutex_destroy(&(*b)->lock) == 0);
        free(*b);
        *b = NULL;
    }
}

static uint32_t second_of(uint64_t now_ms)
{
    return (uint32_t)(now_ms / SLOT_MS);
}

static void add_one(slot ring[SLOTS], uint32_t second)
{
    slot *s = &ring[second % SLOTS];
    uint64_t word = atomic_load_explicit(s, memory_order_relaxed);
    uint64_t next = 0;
    do {
        bool is_here = word >> SECOND_BITS >= second; /* or another thread's clock is ahead */
        next = is_here ? word + 1 : ((uint64_t)second << SECOND_BITS) + 1;
    } while (!atomic_compare_exchange_weak_explicit(s, &word, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

/* Of the last `span` seconds, the current one included. */
static uint64_t sum_of(const slot ring[SLOTS], uint32_t second, uint32_t span)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        uint64_t word = atomic_load_explicit(&ring[i], memory_order_relaxed);
        bool is_recent = (word >> SECOND_BITS) + span > second;
        sum += is_recent ? (uint32_t)word : 0;
    }
    return sum;
}

void retry_budget_count(struct retry_budget *b, uint64_t now_ms)
{
    if (!b->policy.is_off) {
        add_one(b->exchanges, second_of(now_ms));
    }
}

static bool has_room(const struct retry_budget *b, uint32_t second)
{
    uint64_t spent = sum_of(b->attempts, second, WINDOW + 1);
    uint64_t by_share = sum_of(b->exchanges, second, WINDOW) * b->policy.share_per_10k;
    uint64_t by_time = (uint64_t)b->policy.per_second * WINDOW * WHOLE;
    return (spent + 1) * WHOLE <= by_share + by_time;
}

bool retry_budget_take(struct retry_budget *b, uint64_t now_ms)
{
    uint32_t second = second_of(now_ms);
    if (b->policy.is_off) {
        return true;
    }
    CHECK(pthread_mutex_lock(&b->lock) == 0);
    bool is_granted = has_room(b, second);
    if (is_granted) {
        add_one(b->attempts, second);
    } else {
        b->refused++;
    }
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
    return is_granted;
}

uint64_t retry_budget_tell(struct retry_budget *b, uint64_t now_ms)
{
    uint64_t refused = 0;
    CHECK(pthread_mutex_lock(&b->lock) == 0);
    if (!b->was_told || now_ms >= b->told_ms + RETRY_BUDGET_TELL_MS) {
        refused = b->refused;
    }
    if (refused > 0) {
        b->refused = 0;
        b->told_ms = now_ms;
        b->was_told = true;
    }
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
    return refused;
}
