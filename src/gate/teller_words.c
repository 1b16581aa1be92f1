#include "gate/teller_words.h"

#include "base/mem.h"
#include "wire/agent_report.h"

/* --- whose GPU it is --- */

static bool is_index(struct str text, const struct agent_gpu *g)
{
    char digits[STR_NUMBER_MAX];
    return g->has_index && str_eq(text, str_number(g->index, digits));
}

static bool has_slice(struct str text, const struct agent_gpu *g)
{
    for (size_t i = 0; i < g->slice_count; i++) {
        if (str_eq_nocase(text, g->slice[i])) {
            return true;
        }
    }
    return false;
}

static bool is_called(struct str text, const struct agent_gpu *g)
{
    return is_index(text, g) || str_eq_nocase(text, g->uuid) || has_slice(text, g);
}

static bool is_meant(const struct backend *b, const struct agent_gpu *g)
{
    for (size_t i = 0; i < b->gpu_count; i++) {
        if (is_called(b->gpus[i], g)) {
            return true;
        }
    }
    return b->gpu_count == 0;
}

static size_t count_missing(const struct backend *b, const struct agent_gpu *all, size_t count)
{
    size_t missing = 0;
    for (size_t i = 0; i < b->gpu_count; i++) {
        bool is_there = false;
        for (size_t k = 0; k < count && !is_there; k++) {
            is_there = is_called(b->gpus[i], &all[k]);
        }
        missing += is_there ? 0 : 1;
    }
    return missing;
}

/* --- the agent --- */

static bool can_see(const struct agent_report *r)
{
    return r->sees && (r->is_late || (r->has_age && r->age_ms <= TELLER_AGE_MAX_MS));
}

static enum err take_report(const struct agent_report *r, const struct backend *b,
                            struct teller_heard *out)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct agent_gpu *g = &r->gpu[i];
        struct gpu_news one = {.health = GPUS_UNKNOWN};
        struct gpu_line line = {
            .state = g->state, .advice = g->advice, .reason = g->reason, .why = g->why};
        if (!gpu_news_take(&one, &line)) {
            return ERR_TYPE;
        }
        if (is_meant(b, g) && (can_see(r) || one.health != GPUS_HEALTHY)) {
            (void)gpu_news_take(&out->gpu, &line);
        }
    }
    return ERR_OK;
}

enum err teller_hear_agent(struct str body, const struct backend *b, struct teller_heard *out)
{
    struct arena a;
    struct agent_report r;
    *out = (struct teller_heard){.seq = 0};
    arena_init(&a);
    enum err e = agent_report_read(body, &a, &r);
    if (e == ERR_OK) {
        e = take_report(&r, b, out);
        out->seq = r.seq;
        out->missing = count_missing(b, r.gpu, r.count);
    }
    arena_fini(&a);
    return e;
}

/* --- dcgm-exporter --- */

static struct dcgm_figures figures_of(const struct dcgm_gpu *g)
{
    return (struct dcgm_figures){.recovery = g->figure[DCGM_RECOVERY],
                                 .xid = g->figure[DCGM_XID],
                                 .clocks = g->figure[DCGM_CLOCKS],
                                 .memory_c = g->figure[DCGM_MEMORY_C],
                                 .dbe = g->figure[DCGM_DBE],
                                 .unmapped = g->figure[DCGM_UNMAPPED]};
}

enum err teller_hear_dcgm(struct str body, const struct backend *b, struct dcgm_judge *judges,
                          uint64_t now_ms, struct teller_heard *out)
{
    struct dcgm_report r;
    struct agent_gpu named[DCGM_GPUS_MAX];
    *out = (struct teller_heard){.seq = 0};
    enum err e = dcgm_report_read(body, &r);
    if (e != ERR_OK) {
        return e;
    }
    for (size_t i = 0; i < r.count; i++) {
        struct dcgm_figures f = figures_of(&r.gpu[i]);
        uint64_t index = 0;
        named[i] = (struct agent_gpu){.uuid = r.gpu[i].uuid};
        if (str_to_u64(r.gpu[i].index, DCGM_GPUS_MAX - 1, &index) != ERR_OK) {
            return ERR_TYPE;
        }
        named[i].has_index = true;
        named[i].index = index;
        if (is_meant(b, &named[i])) {
            dcgm_judge_see(&judges[index], &f, now_ms, &out->gpu);
        }
    }
    out->missing = count_missing(b, named, r.count);
    return ERR_OK;
}

/* --- the guard --- */

enum err teller_hear_guard(struct str body, struct teller_heard *out)
{
    struct arena a;
    struct guard_report r;
    *out = (struct teller_heard){.seq = 0};
    arena_init(&a);
    enum err e = guard_report_read(body, &a, &r);
    if (e == ERR_OK) {
        enum guard_word word = guard_word_find(r.state);
        guard_news_set(&out->guard, word, r.reason);
        out->guard.has_restarts = r.has_restarts;
        out->guard.restarts = r.restarts;
        e = word == GUARD_SAYS_UNKNOWN ? ERR_TYPE : ERR_OK;
    }
    arena_fini(&a);
    return e;
}
