#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "ops/metrics.h"
#include "tiers/meters.h"

/*
 * What a scrape costs: milliseconds and bytes of /metrics for configurations of different
 * sizes, in which everything has occurred. The best of several turns, so that a busy machine
 * shows less, and the first of all, for which memory is cold.
 */

enum { BACKENDS_MAX = 256, MODELS_MAX = 16, PER_TIER = 64, TURNS = 30, T0 = 1000000 };
enum { TEXT_MAX = 32 << 20 };

static char names[BACKENDS_MAX][16];
static struct backend backends[BACKENDS_MAX];
static struct tier_member members[MODELS_MAX][BACKENDS_MAX];
static struct serving servings[MODELS_MAX * BACKENDS_MAX];
static struct tier tiers[MODELS_MAX][BACKENDS_MAX / PER_TIER];
static struct model models[MODELS_MAX];

static struct str name_of(char room[16], const char *kind, uint32_t number)
{
    int len = snprintf(room, 16, "%s-%u", kind, number);
    CHECK(len > 0 && len < 16);
    return str_of(room, (size_t)len);
}

/* Each backend serves each model, by a name of its own. */
static void make_catalog(struct catalog *c, uint32_t backend_count, uint32_t model_count)
{
    static char model_names[MODELS_MAX][16];
    for (uint32_t b = 0; b < backend_count; b++) {
        backends[b] = (struct backend){.index = b,
                                       .name = name_of(names[b], "backend", b),
                                       .max_concurrent = 16,
                                       .first_serving = b * model_count,
                                       .serving_count = model_count};
        for (uint32_t m = 0; m < model_count; m++) {
            uint32_t index = b * model_count + m;
            servings[index] = (struct serving){
                .index = index, .backend = &backends[b], .model = STR("org/some-model-8b")};
            members[m][b] = (struct tier_member){.backend = &backends[b], .serving = index};
        }
    }
    for (uint32_t m = 0; m < model_count; m++) {
        uint32_t tier_count = (backend_count + PER_TIER - 1) / PER_TIER;
        for (uint32_t t = 0; t < tier_count; t++) {
            uint32_t left = backend_count - t * PER_TIER;
            tiers[m][t] = (struct tier){&members[m][t * PER_TIER],
                                        left < PER_TIER ? left : (uint32_t)PER_TIER};
        }
        models[m] = (struct model){.index = m,
                                   .name = name_of(model_names[m], "model", m),
                                   .tiers = tiers[m],
                                   .tier_count = tier_count};
    }
    *c = (struct catalog){backends,    backend_count, models,
                          model_count, servings,      backend_count * model_count};
}

/* Numbers as long as they are after some days. */
static void count_much(const struct catalog *c, struct board *board, struct tally *tally)
{
    struct meters *m = tally_meters(tally);
    for (uint32_t b = 0; b < c->backend_count; b++) {
        board_count_tokens(board, b, 123456789);
        board_count_first_token(board, b, 120);
        meters_usage(m, b, 1234567890, 123456789);
        meters_failure(m, b, FAILURE_reset);
        meters_failure(m, b, FAILURE_http_503);
        meters_failover(m, b, (b + 1) % (uint32_t)c->backend_count);
        tally_resumed(tally, b, (b + 1) % (uint32_t)c->backend_count, 700);
        for (uint32_t i = 0; i < 100; i++) {
            meters_token(m, b, 100U * i, 20);
            meters_probe(m, b, true, i);
        }
        for (uint32_t k = 0; k < c->model_count; k++) {
            meters_answer(m, k, b, ANSWER_OK);
        }
    }
}

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void measure(uint32_t backend_count, uint32_t model_count)
{
    struct catalog c;
    _Atomic bool draining = false;
    _Atomic uint32_t connections = 0;
    double best_ms = 1e9;
    double first_ms = 0;
    size_t bytes = 0;
    make_catalog(&c, backend_count, model_count);
    struct board *board = board_new(&c, T0);
    struct tally *tally = tally_new(&c);
    struct processes *processes = processes_new(&c, T0);
    count_much(&c, board, tally);
    struct status_source source = {.catalog = &c,
                                   .board = board,
                                   .tally = tally,
                                   .processes = processes,
                                   .draining = &draining,
                                   .connections = &connections};
    for (int i = 0; i < TURNS; i++) {
        struct exposition e;
        double began_ms = now_ms();
        exposition_init(&e, TEXT_MAX);
        CHECK(metrics_write(&source, T0 + 60000, &e));
        bytes = buf_len(&e.out);
        exposition_fini(&e);
        double took_ms = now_ms() - began_ms;
        best_ms = took_ms < best_ms ? took_ms : best_ms;
        first_ms = i == 0 ? took_ms : first_ms;
    }
    printf("%3u backends, %2u models: %7.3f ms, the first time %7.3f ms, %8zu bytes\n",
           backend_count, model_count, best_ms, first_ms, bytes);
    processes_free(&processes);
    tally_free(&tally);
    board_free(&board);
}

int main(void)
{
    measure(4, 1);
    measure(64, 1);
    measure(64, 4);
    measure(256, 16);
    return 0;
}
