#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tiers/picker.h"

/*
 * What a pick costs: nanoseconds and, where the kernel lets us count them, instructions. Tiers
 * of different sizes, with more or fewer backends out. The best of several turns, so that a
 * busy machine shows less.
 */

enum { BACKENDS = 64, TURNS = 20, ROUNDS = 50000, T0 = 1000000 };

static struct backend backends[BACKENDS];
static struct tier_member members[BACKENDS];
static struct serving servings[BACKENDS];
static struct tier tiers[BACKENDS];
static struct model model;
static struct catalog catalog;

/* Backends in one tier after the other, so many in each. */
static void make_catalog(uint32_t per_tier)
{
    for (uint32_t i = 0; i < BACKENDS; i++) {
        backends[i] = (struct backend){.index = i,
                                       .first_serving = i,
                                       .serving_count = 1,
                                       .breaker = {2000, 10000, 10000, 30000}};
        members[i] = (struct tier_member){.backend = &backends[i], .serving = i};
        servings[i] = (struct serving){.index = i, .backend = &backends[i]};
    }
    for (uint32_t i = 0; i < BACKENDS / per_tier; i++) {
        tiers[i] = (struct tier){&members[(size_t)i * per_tier], per_tier};
    }
    model =
        (struct model){.tiers = tiers, .tier_count = BACKENDS / per_tier, .may_panic = true};
    catalog = (struct catalog){backends, BACKENDS, &model, 1, servings, BACKENDS};
}

static int open_counter(void)
{
    struct perf_event_attr a;
    memset(&a, 0, sizeof(a));
    a.type = PERF_TYPE_HARDWARE;
    a.size = sizeof(a);
    a.config = PERF_COUNT_HW_INSTRUCTIONS;
    a.exclude_kernel = 1;
    a.exclude_hv = 1;
    return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

static long long read_counter(int fd)
{
    long long value = 0;
    return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : -1;
}

static double now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct cost {
    double ns;
    double instructions; /* below 0: not counted */
};

static struct cost time_picks(const struct pick_query *q, int counter)
{
    struct rand rand = {.state = 7};
    long long before = read_counter(counter);
    double began = now_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct pick p;
        if (!pick_backend(q, &rand, &p)) {
            (void)fputs("nobody was picked\n", stderr);
            break;
        }
    }
    double took = now_ns() - began;
    long long after = read_counter(counter);
    bool is_counted = before >= 0 && after >= 0;
    return (struct cost){.ns = took / ROUNDS,
                         .instructions = is_counted ? (double)(after - before) / ROUNDS : -1};
}

/* What is known of a backend as a real one tells it. */
static void learn_offers(struct board *b)
{
    static const struct offer_facts facts = {.context = 8192, .known = FEATURE_VISION};
    for (uint32_t i = 0; i < BACKENDS; i++) {
        (void)offers_learn(board_offers(b), i, &facts);
    }
}

/* `out_of`: every backend whose number is not a multiple of it is DOWN; 1: none. */
static void measure(const char *what, uint32_t per_tier, uint32_t out_of)
{
    make_catalog(per_tier);
    struct board *b = board_new(&catalog, T0);
    struct tried tried = {0};
    struct failed_attempt died = {.failure = FAILURE_reset, .is_first_500 = true};
    for (uint32_t i = 0; i < BACKENDS; i++) {
        if (i % out_of != 0) {
            (void)board_on_failure(b, i, &died, T0);
        }
    }
    struct needs needs = {.prompt_bytes = 2000, .max_tokens = 200};
    learn_offers(b);
    struct pick_query q = {.model = &model,
                           .board = b,
                           .tried = &tried,
                           .now_ms = T0 + 60000,
                           .may_try = true,
                           .needs = &needs};
    int counter = open_counter();
    struct cost best = time_picks(&q, counter);
    for (int i = 1; i < TURNS; i++) {
        struct cost one = time_picks(&q, counter);
        best = one.ns < best.ns ? one : best;
    }
    printf("%-40s %7.1f ns", what, best.ns);
    if (best.instructions >= 0) {
        printf(" %7.1f instructions", best.instructions);
    }
    (void)putchar('\n');
    if (counter >= 0) {
        (void)close(counter);
    }
    board_free(&b);
}

int main(void)
{
    measure("64 backends in one tier, all well", 64, 1);
    measure("64 in one tier, half of them DOWN", 64, 2);
    measure("64 in one tier, 3 of 4 DOWN", 64, 4);
    measure("64 in one tier, all but one DOWN", 64, 64);
    measure("64 tiers of one, all well", 1, 1);
    measure("32 tiers of two, all well", 2, 1);
    return 0;
}
