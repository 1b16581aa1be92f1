#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rand.h"
#include "tiers/vitals.h"

/*
 * An engine with a batch, a queue and prompts to read, under random load for a virtual day,
 * with stalls and unanswered scrapes of up to 15 s: it is never declared hung while it works.
 * The same engine, frozen at a random moment: always declared so within 25 s of its last token,
 * and not taken back before the next one. The seed is printed when a run fails.
 */

enum {
    STEP_MS = 100,
    SCRAPE_MS = 2000,
    LOOK_MS = 1000,
    HOUR_MS = 3600000,
    WORKS_MAX = 256,
    BATCH = 16,
    CONTEXT = 200000, /* tokens that its memory holds */
    PREFILL_PER_STEP = 400
};

static const struct vitals_policy POLICY = {
    .hang_after_ms = 20000, .prefill_ms = 10000, .stale_ms = 6000};

enum owner { OTHERS, OURS, PROBE };

/* One request in the engine. */
struct work {
    enum owner owner;
    uint32_t prompt; /* tokens still to read */
    uint32_t answer; /* tokens still to make */
    uint32_t held;   /* of the engine's memory */
    uint32_t prompt_all;
    uint32_t made;
    bool is_running;
    uint64_t give_up_ms;
};

enum kind { KIND_VLLM, KIND_SLOTS, KIND_KINDS };

struct world {
    struct rand rand;
    enum kind kind;
    uint32_t our_share; /* of the requests, in percent */
    struct work works[WORKS_MAX];
    size_t count;
    uint64_t now_ms;
    bool is_frozen;
    uint64_t stalls_until_ms; /* makes nothing for a while: compiles, swaps */
    uint64_t mute_until_ms;   /* its server does not answer scrapes: starved of CPU */
    uint64_t trouble_ms;      /* when the next of the two begins */
    uint32_t load;            /* requests in 1000 s */
    uint64_t load_until_ms;
    uint64_t generated, prompt_read;
    uint64_t last_token_ms;
    uint64_t content_ms;
    uint64_t scrape_ms;    /* when the next is answered */
    uint64_t probe_due_ms; /* 0: none */
    struct vitals vitals;
    struct engine_counters told;
    uint32_t busy_looks;
    uint32_t suspect_looks;
};

static uint32_t between(struct world *w, uint32_t low, uint32_t high)
{
    return low + rand_below(&w->rand, high - low + 1);
}

/* --- the engine --- */

static void submit(struct world *w, enum owner owner, uint32_t prompt, uint32_t answer)
{
    if (w->count < WORKS_MAX) {
        w->works[w->count++] = (struct work){.owner = owner,
                                             .prompt = prompt,
                                             .prompt_all = prompt,
                                             .answer = answer,
                                             .give_up_ms = w->now_ms + 300000};
    }
}

static void drop(struct world *w, size_t i)
{
    memmove(&w->works[i], &w->works[i + 1], sizeof(w->works[0]) * (w->count - i - 1));
    w->count--;
}

static uint32_t held_tokens(const struct world *w)
{
    uint32_t held = 0;
    for (size_t i = 0; i < w->count; i++) {
        held += w->works[i].is_running ? w->works[i].held : 0;
    }
    return held;
}

static void admit(struct world *w)
{
    uint32_t running = 0;
    uint32_t held = held_tokens(w);
    for (size_t i = 0; i < w->count; i++) {
        struct work *k = &w->works[i];
        if (!k->is_running && running < BATCH && held + k->prompt_all < CONTEXT) {
            k->is_running = true;
        }
        running += k->is_running ? 1 : 0;
        held += k->is_running && k->held == 0 ? k->prompt_all : 0;
    }
}

static void make_token(struct world *w, struct work *k)
{
    k->answer--;
    k->made++;
    k->held++;
    w->generated++;
    w->last_token_ms = w->now_ms;
    if (k->owner == OURS) {
        w->content_ms = w->now_ms;
    }
    if (k->owner == PROBE) {
        vitals_end_probe(&w->vitals, &POLICY, PROBE_TOKEN, w->now_ms);
        w->probe_due_ms = 0;
    }
}

/* A step reads prompts first; what is read of a prompt shows in vLLM's counters at its end. */
static void run_step(struct world *w)
{
    uint32_t budget = PREFILL_PER_STEP;
    admit(w);
    for (size_t i = 0; i < w->count; i++) {
        struct work *k = &w->works[i];
        if (!k->is_running) {
            continue;
        }
        if (k->prompt > 0) {
            uint32_t part = k->prompt < budget ? k->prompt : budget;
            k->prompt -= part;
            k->held += part;
            budget -= part;
            w->prompt_read += k->prompt == 0 ? k->prompt_all : 0;
        } else if (k->answer > 0 && budget > 0) {
            make_token(w, k); /* none in a step that is full of prompts */
        }
    }
    for (size_t i = w->count; i-- > 0;) {
        if (w->works[i].answer == 0) {
            drop(w, i);
        }
    }
}

static void arrive(struct world *w)
{
    if (w->now_ms >= w->load_until_ms) {
        w->load = between(w, 0, 9) == 0 ? 0 : between(w, 10, 4000);
        w->load_until_ms = w->now_ms + between(w, 10, 1200) * 1000;
    }
    if (rand_below(&w->rand, 10000) < w->load) {
        bool is_long = between(w, 0, 40) == 0;
        uint32_t prompt = is_long ? between(w, 10000, 60000) : between(w, 10, 3000);
        bool is_ours = rand_below(&w->rand, 100) < w->our_share;
        submit(w, is_ours ? OURS : OTHERS, prompt, between(w, 1, 800));
    }
    for (size_t i = w->count; i-- > 0;) {
        if (w->works[i].owner != PROBE && w->now_ms >= w->works[i].give_up_ms) {
            drop(w, i); /* its client left */
        }
    }
}

/* --- what is seen of it --- */

static struct engine_counters counters_of(const struct world *w)
{
    struct engine_counters c = {.has_kv = w->kind == KIND_VLLM,
                                .slots = w->kind == KIND_SLOTS ? BATCH : 0,
                                .kv_permille = held_tokens(w) / (CONTEXT / 1000)};
    for (size_t i = 0; i < w->count; i++) {
        const struct work *k = &w->works[i];
        c.running += k->is_running ? 1 : 0;
        c.waiting += k->is_running || w->kind == KIND_SLOTS ? 0 : 1;
        if (k->is_running && w->kind == KIND_SLOTS) { /* what is in the slots now */
            c.generated += k->made;
            c.prompt += k->prompt_all - k->prompt;
            c.may_prefill = c.may_prefill || k->made == 0;
        }
    }
    if (w->kind == KIND_VLLM) {
        c.generated = w->generated;
        c.prompt = w->prompt_read;
    }
    return c;
}

static void scrape(struct world *w)
{
    bool is_lost = w->now_ms < w->mute_until_ms;
    if (!w->is_frozen && w->now_ms >= w->stalls_until_ms) {
        w->told = counters_of(w); /* a frozen engine's server tells the last it had */
    }
    if (!is_lost) {
        vitals_see_engine(&w->vitals, &w->told, w->now_ms);
    }
    w->scrape_ms = w->now_ms + SCRAPE_MS + between(w, 0, 1000);
}

static void drop_probe(struct world *w)
{
    for (size_t i = w->count; i-- > 0;) {
        if (w->works[i].owner == PROBE) {
            drop(w, i);
        }
    }
    w->probe_due_ms = 0;
}

static void look(struct world *w)
{
    struct stream_signs s = {.content_ms = w->content_ms};
    for (size_t i = 0; i < w->count; i++) {
        s.in_flight += w->works[i].owner == OURS ? 1 : 0;
    }
    vitals_see_streams(&w->vitals, &s, w->now_ms);
    enum vital word = vitals_judge(&w->vitals, &POLICY, w->now_ms);
    w->busy_looks += word == VITAL_BUSY ? 1 : 0;
    w->suspect_looks += word == VITAL_SUSPECT ? 1 : 0;
    if (vitals_wants_probe(&w->vitals, &POLICY, w->now_ms)) {
        w->probe_due_ms = w->now_ms + vitals_probe_ms(&w->vitals, &POLICY, w->now_ms);
        vitals_begin_probe(&w->vitals, w->now_ms);
        submit(w, PROBE, 20, 1);
    }
}

static void have_trouble(struct world *w)
{
    if (w->now_ms >= w->trouble_ms) {
        uint64_t until_ms = w->now_ms + between(w, 5, 15) * 1000;
        *(between(w, 0, 1) == 0 ? &w->stalls_until_ms : &w->mute_until_ms) = until_ms;
        w->trouble_ms = until_ms + between(w, 60, 1200) * 1000;
    }
}

static void turn(struct world *w)
{
    w->now_ms += STEP_MS;
    arrive(w);
    have_trouble(w);
    if (!w->is_frozen && w->now_ms >= w->stalls_until_ms) {
        run_step(w);
    }
    if (w->probe_due_ms != 0 && w->now_ms >= w->probe_due_ms) {
        drop_probe(w);
        vitals_end_probe(&w->vitals, &POLICY, PROBE_SILENT, w->now_ms);
    }
    if (w->now_ms >= w->scrape_ms) {
        scrape(w);
    }
    if (w->now_ms % LOOK_MS == 0) {
        look(w);
    }
}

static void init_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->rand.state = seed;
    w->now_ms = HOUR_MS;
    w->trouble_ms = HOUR_MS + 60000;
    w->kind = (enum kind)(seed % KIND_KINDS);
    w->our_share = between(w, 1, 100);
    vitals_init(&w->vitals);
}

static void fail_with(const struct world *w, uint64_t seed, const char *what)
{
    printf("seed %lu at %lu ms: %s\n", (unsigned long)seed, (unsigned long)w->now_ms, what);
    fail();
}

/* --- the rules --- */

static void a_saturated_engine_is_never_hung_in_a_day(void **state)
{
    (void)state;
    uint32_t busy = 0;
    uint32_t suspect = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct world w;
        init_world(&w, seed);
        while (w.now_ms < 25ULL * HOUR_MS) {
            turn(&w);
            if (w.vitals.word == VITAL_HUNG) {
                fail_with(&w, seed, "declared hung while it works");
            }
        }
        busy += w.busy_looks;
        suspect += w.suspect_looks;
    }
    assert_true(busy > 2 * 3600); /* the load was one, */
    assert_true(suspect > 20);    /* and there was reason for doubt */
}

static bool has_work(const struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->works[i].is_running && w->works[i].owner != PROBE) {
            return true;
        }
    }
    return false;
}

/* Frozen right behind a token, with work in it. */
static void run_until_it_freezes(struct world *w)
{
    uint64_t at_ms = w->now_ms + between(w, 10, 1000) * 1000;
    while (w->now_ms < at_ms || !has_work(w) || w->now_ms > w->last_token_ms + STEP_MS) {
        turn(w);
    }
    w->told = counters_of(w);
    w->trouble_ms = UINT64_MAX;
    w->mute_until_ms = 0;
    w->is_frozen = true;
}

static void a_frozen_engine_is_hung_within_25_s_of_its_last_token(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world w;
        init_world(&w, 2 * seed); /* with vLLM's counters: a slot may be at its prompt */
        run_until_it_freezes(&w);
        uint64_t last_ms = w.last_token_ms;
        while (w.vitals.word != VITAL_HUNG) {
            turn(&w);
            if (w.now_ms > last_ms + 25000) {
                fail_with(&w, seed, "not declared hung");
            }
        }
        uint64_t thaw_ms = w.now_ms + between(&w, 0, 600) * 1000;
        while (w.now_ms < thaw_ms) {
            turn(&w);
            if (w.vitals.word != VITAL_HUNG) {
                fail_with(&w, seed, "taken back without a token");
            }
        }
        w.is_frozen = false;
        while (w.vitals.word == VITAL_HUNG) {
            turn(&w);
            if (w.now_ms > thaw_ms + 40000) {
                fail_with(&w, seed, "not taken back though it makes tokens");
            }
        }
        assert_true(w.last_token_ms > thaw_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saturated_engine_is_never_hung_in_a_day),
        cmocka_unit_test(a_frozen_engine_is_hung_within_25_s_of_its_last_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
