#include "guard/clearance.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guard/ask.h"

enum {
    PORT_LIMIT_MS = 2000,
    AGENT_LIMIT_MS = 5000,
    AGAIN_MS = 1000,
    PATROL_LOOKS = 5,      /* intervals between questions while it runs */
    SLACK_BYTES = 1 << 30, /* what others may have come to use meanwhile */
    WHY_MAX = 240
};

enum step { STEP_PORT, STEP_AGENT, STEP_DONE };

struct clearance {
    struct loop *loop;
    const struct guard_settings *settings;
    struct upstream *backend;
    struct upstream *agent; /* NULL: none */
    void (*notify)(void *owner);
    void *owner;
    struct ask ask;
    enum step step;
    uint64_t began_ms;
    uint64_t heard_ms; /* the agent's last word, or when it was waited for first */
    uint64_t due_ms;   /* the next question */
    const int64_t *pids;
    size_t pid_count;
    bool has_baseline;
    uint64_t baseline; /* bytes used on the GPUs before the first start */
    bool was_down;
    char why[WHY_MAX];
};

struct clearance *clearance_new(struct loop *l, const struct guard_settings *s,
                                void (*notify)(void *owner), void *owner)
{
    struct clearance *c = mem_alloc(sizeof(*c));
    c->loop = l;
    c->settings = s;
    c->notify = notify;
    c->owner = owner;
    c->backend =
        upstream_new(l, &(struct upstream_conf){.host = s->url.host, .port = s->url.port});
    if (s->has_agent) {
        c->agent = upstream_new(
            l, &(struct upstream_conf){.host = s->agent.host, .port = s->agent.port});
    }
    return c;
}

void clearance_free(struct clearance **c)
{
    ask_close(&(*c)->ask);
    upstream_free(&(*c)->backend);
    if ((*c)->agent) {
        upstream_free(&(*c)->agent);
    }
    free(*c);
    *c = NULL;
}

void clearance_begin(struct clearance *c, const int64_t *pids, size_t count, uint64_t now_ms)
{
    ask_close(&c->ask);
    c->step = STEP_PORT;
    c->began_ms = now_ms;
    c->heard_ms = now_ms;
    c->due_ms = now_ms;
    c->pids = pids;
    c->pid_count = count;
}

void clearance_rest(struct clearance *c)
{
    ask_close(&c->ask);
    c->step = STEP_DONE;
    c->due_ms = 0;
}

const char *clearance_why(const struct clearance *c)
{
    return c->why;
}

static enum clearance_word block(struct clearance *c, enum clearance_word word, uint64_t now_ms)
{
    ask_close(&c->ask);
    c->step = STEP_PORT;
    c->due_ms = now_ms + AGAIN_MS;
    return word;
}

/* --- the port --- */

static void ask_port(struct clearance *c, uint64_t now_ms)
{
    ask_open(&c->ask, &(struct ask_conf){.loop = c->loop,
                                         .upstream = c->backend,
                                         .url = &c->settings->health,
                                         .due_ms = now_ms + PORT_LIMIT_MS,
                                         .notify = c->notify,
                                         .owner = c->owner});
}

static enum clearance_word end_port(struct clearance *c, uint64_t now_ms)
{
    enum err e = ask_next(&c->ask, now_ms);
    if (c->ask.was_connected || e == ERR_OK) {
        (void)snprintf(
            c->why, sizeof(c->why),
            "port %u is held by a process that is not ours: no start until it is free",
            (unsigned)c->settings->url.port);
        return block(c, CLEARANCE_BLOCKED, now_ms);
    }
    if (e != ERR_AGAIN) {
        ask_close(&c->ask);
        c->step = c->agent ? STEP_AGENT : STEP_DONE;
        return c->agent ? CLEARANCE_PENDING : CLEARANCE_GIVEN;
    }
    return CLEARANCE_PENDING;
}

/* --- the agent --- */

static void ask_agent(struct clearance *c, uint64_t now_ms)
{
    ask_open(&c->ask, &(struct ask_conf){.loop = c->loop,
                                         .upstream = c->agent,
                                         .url = &c->settings->agent,
                                         .target = STR("/gpu"),
                                         .bearer = c->settings->agent_token,
                                         .due_ms = now_ms + AGENT_LIMIT_MS,
                                         .notify = c->notify,
                                         .owner = c->owner});
}

/* False: the answer is none, the agent is blind or silent. */
static bool read_report(struct clearance *c, enum err e, struct gpu_word *g)
{
    struct gpu_query q = {.pids = c->pids,
                          .pid_count = c->pid_count,
                          .only = c->settings->gpus,
                          .only_count = c->settings->gpu_count};
    return e == ERR_OK && c->ask.status == 200 &&
           gpu_word_read(ask_body(&c->ask), &q, g) == ERR_OK;
}

/* In a container the agent's pids are the host's, or there are none: then the sum tells. */
static bool is_memory_held(struct clearance *c, const struct gpu_word *g)
{
    if (g->holds_ours) {
        (void)snprintf(c->why, sizeof(c->why),
                       "GPU memory is still held by process %" PRId64 " of the last run",
                       g->holder);
        return true;
    }
    bool is_more = !g->has_processes && c->has_baseline && c->pid_count > 0 &&
                   g->used > c->baseline + SLACK_BYTES;
    if (is_more) {
        (void)snprintf(c->why, sizeof(c->why),
                       "GPU memory of the last run is not back: %" PRIu64
                       " MiB in use, %" PRIu64 " before the first start",
                       g->used >> 20, c->baseline >> 20);
    }
    return is_more;
}

static bool lacks_room(struct clearance *c, const struct gpu_word *g)
{
    uint64_t needed = c->settings->needs_memory;
    bool lacks = g->has_free && g->most_free < needed;
    if (lacks) {
        (void)snprintf(c->why, sizeof(c->why),
                       "it needs %" PRIu64 " MiB of GPU memory, and %" PRIu64 " MiB are free",
                       needed >> 20, g->most_free >> 20);
    }
    return lacks;
}

static enum clearance_word judge_report(struct clearance *c, const struct gpu_word *g,
                                        uint64_t now_ms)
{
    if (g->needs_reset) {
        (void)snprintf(c->why, sizeof(c->why), "%s", g->why);
        return block(c, CLEARANCE_GPU_DOWN, now_ms);
    }
    if (is_memory_held(c, g) && now_ms < c->began_ms + c->settings->gpu_wait_ms) {
        return block(c, CLEARANCE_BLOCKED, now_ms);
    }
    if (lacks_room(c, g)) {
        return block(c, CLEARANCE_BLOCKED, now_ms);
    }
    if (!c->has_baseline) {
        c->has_baseline = true;
        c->baseline = g->used;
    }
    return CLEARANCE_GIVEN;
}

static enum clearance_word end_agent(struct clearance *c, uint64_t now_ms)
{
    struct gpu_word g;
    enum err e = ask_next(&c->ask, now_ms);
    if (e == ERR_AGAIN) {
        return CLEARANCE_PENDING;
    }
    bool is_known = read_report(c, e, &g);
    ask_close(&c->ask);
    if (is_known) {
        c->heard_ms = now_ms;
        return judge_report(c, &g, now_ms);
    }
    if (now_ms >= c->heard_ms + CLEARANCE_SILENT_MS) {
        return CLEARANCE_GIVEN;
    }
    (void)snprintf(c->why, sizeof(c->why),
                   "the GPU agent does not answer; the start waits for it for %d s at most",
                   CLEARANCE_SILENT_MS / 1000);
    return block(c, CLEARANCE_BLOCKED, now_ms);
}

enum clearance_word clearance_next(struct clearance *c, uint64_t now_ms)
{
    if (c->step == STEP_DONE) {
        return CLEARANCE_GIVEN;
    }
    if (!ask_is_open(&c->ask)) {
        if (now_ms < c->due_ms) {
            return CLEARANCE_PENDING;
        }
        if (c->step == STEP_PORT) {
            ask_port(c, now_ms);
        } else {
            ask_agent(c, now_ms);
        }
    }
    return c->step == STEP_PORT ? end_port(c, now_ms) : end_agent(c, now_ms);
}

bool clearance_patrol(struct clearance *c, uint64_t now_ms)
{
    struct gpu_word g;
    if (!c->agent) {
        return false;
    }
    if (!ask_is_open(&c->ask)) {
        if (now_ms >= c->due_ms) {
            c->due_ms = now_ms + (uint64_t)PATROL_LOOKS * c->settings->interval_ms;
            ask_agent(c, now_ms);
        }
        return false;
    }
    enum err e = ask_next(&c->ask, now_ms);
    if (e == ERR_AGAIN) {
        return false;
    }
    bool is_known = read_report(c, e, &g);
    ask_close(&c->ask);
    bool is_news = is_known && g.needs_reset && !c->was_down;
    c->was_down = is_known ? g.needs_reset : c->was_down;
    if (is_news) {
        (void)snprintf(c->why, sizeof(c->why), "%s", g.why);
    }
    return is_news;
}
