#include "gate/tellers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "gate/inquiry.h"
#include "gate/report.h"
#include "gate/teller_words.h"
#include "net/upstream.h"

enum {
    ANSWER_MAX = 4 << 20,
    ANSWER_MS = 3000, /* for an answer, beyond what it was asked to wait */
    GAP_MS = 50,      /* between two questions, whoever wants them sooner */
    SILENCES = 3,     /* intervals without a word, until nothing is known; but at least … */
    SILENCE_MS = 1000,
    QUIET_MS = 60000, /* between two warnings, where good and bad answers alternate */
    PATH_SIZE = 80
};

/* One who tells of one backend. */
struct teller_ask {
    struct tellers *all;
    const struct backend *backend;
    const struct backend *peer; /* where he is */
    enum teller kind;
    struct upstream *upstream;
    struct inquiry inquiry;
    struct task task;
    struct timer timer;
    uint64_t asked_ms;
    uint64_t due_ms;  /* for the answer */
    uint64_t next_ms; /* the next question */
    uint64_t heard_ms;
    bool is_known;  /* what is in the telemetry is his word */
    bool is_warned; /* of silence or nonsense, since the last good answer */
    uint64_t quiet_until_ms;
    bool is_missing; /* warned: a GPU of the configuration is not told of */
    bool has_seq;    /* of an agent: it can be asked to wait for a change */
    uint64_t seq;
    struct dcgm_judge *judges; /* of dcgm-exporter; owned */
};

struct tellers {
    struct gateway *gateway;
    struct loop *loop;
    struct teller_ask *asks;
    size_t count;
};

static uint64_t now_of(const struct teller_ask *t)
{
    return loop_now_ms(t->all->loop);
}

static uint32_t interval_of(const struct teller_ask *t)
{
    return t->peer->health.interval_ms;
}

static void on_inquiry(void *owner)
{
    struct teller_ask *t = owner;
    task_ready(t->all->loop, &t->task);
}

static void on_time(struct timer *timer)
{
    struct teller_ask *t = container_of(timer, struct teller_ask, timer);
    task_ready(t->all->loop, &t->task);
}

/* --- what is told --- */

static void tell_gpu(struct teller_ask *t, const struct gpu_news *n)
{
    struct gateway *g = t->all->gateway;
    uint32_t backend = t->backend->index;
    if (!telemetry_set_gpu(board_telemetry(g->board), backend, n, now_of(t))) {
        return;
    }
    LOG_AT(n->counsel != COUNSEL_NONE ? LOG_WARN : LOG_INFO, "GPUs of a backend",
           LOG_STR("backend", t->backend->name), LOG_TEXT("state", gpu_health_name(n->health)),
           LOG_TEXT("reason", n->reason), LOG_TEXT("why", n->why),
           LOG_TEXT("counsel", counsel_name(n->counsel)), LOG_DONE);
    report_gpu(g, t->backend, n);
    gateway_note_telemetry(g, t->backend, now_of(t));
}

static void tell_guard(struct teller_ask *t, const struct guard_news *n)
{
    struct gateway *g = t->all->gateway;
    uint32_t backend = t->backend->index;
    if (!telemetry_set_guard(board_telemetry(g->board), backend, n, now_of(t))) {
        return;
    }
    bool is_bad = n->word != GUARD_SAYS_READY && n->word != GUARD_SAYS_UNKNOWN;
    LOG_AT(is_bad ? LOG_WARN : LOG_INFO, "guard of a backend",
           LOG_STR("backend", t->backend->name), LOG_TEXT("state", guard_word_name(n->word)),
           LOG_TEXT("reason", n->why), LOG_DONE);
    report_guard(g, t->backend, n);
    gateway_note_telemetry(g, t->backend, now_of(t));
}

static void tell(struct teller_ask *t, const struct teller_heard *h)
{
    if (t->kind == TELLER_GUARD) {
        tell_guard(t, &h->guard);
    } else {
        tell_gpu(t, &h->gpu);
    }
}

static void warn_once(struct teller_ask *t, const char *message, const char *why)
{
    if (t->is_warned) {
        return;
    }
    LOG_AT(now_of(t) >= t->quiet_until_ms ? LOG_WARN : LOG_DEBUG, message,
           LOG_STR("backend", t->backend->name), LOG_TEXT("teller", teller_name(t->kind)),
           LOG_STR("url", t->peer->url), LOG_NUM("status", t->inquiry.status),
           LOG_TEXT("error", why), LOG_DONE);
    t->is_warned = true;
    t->quiet_until_ms = now_of(t) + QUIET_MS;
}

/* When he has been silent for too long. */
static uint64_t silent_at_ms(const struct teller_ask *t)
{
    uint64_t patience_ms = SILENCES * (uint64_t)interval_of(t);
    return t->heard_ms + (patience_ms > SILENCE_MS ? patience_ms : SILENCE_MS);
}

static void forget_when_silent(struct teller_ask *t)
{
    if (!t->is_known || now_of(t) < silent_at_ms(t)) {
        return;
    }
    t->is_known = false;
    t->has_seq = false;
    tell(t, &(struct teller_heard){.seq = 0});
}

static void warn_of_missing(struct teller_ask *t, size_t missing)
{
    if (missing > 0 && !t->is_missing) {
        log_warn("GPUs of a backend are not told of", LOG_STR("backend", t->backend->name),
                 LOG_TEXT("teller", teller_name(t->kind)), LOG_NUM("missing", missing),
                 LOG_NUM("configured", t->backend->gpu_count));
    }
    t->is_missing = missing > 0;
}

/* --- answers --- */

static enum err hear(struct teller_ask *t, struct teller_heard *out)
{
    struct str body = inquiry_body(&t->inquiry);
    if (t->inquiry.status != 200) {
        return ERR_UNSUPPORTED;
    }
    switch (t->kind) {
    case TELLER_AGENT:
        return teller_hear_agent(body, t->backend, out);
    case TELLER_DCGM:
        return teller_hear_dcgm(body, t->backend, t->judges, now_of(t), out);
    case TELLER_GUARD:
        return teller_hear_guard(body, out);
    }
    BUG("nobody tells like that");
}

/* An agent that says something new is asked again at once: it waits. So is one that has waited.
 * Whoever answers at once with what he said before does not know how to wait. */
static uint64_t next_question_ms(const struct teller_ask *t, bool is_news)
{
    bool has_waited = now_of(t) - t->asked_ms >= interval_of(t) / 2;
    bool waits = t->kind == TELLER_AGENT && (is_news || has_waited);
    return waits ? now_of(t) + GAP_MS : t->asked_ms + interval_of(t);
}

static void take_good(struct teller_ask *t, const struct teller_heard *h)
{
    bool is_news = !t->has_seq || t->seq != h->seq;
    if (t->is_warned) {
        log_info("telemetry is heard again", LOG_STR("backend", t->backend->name),
                 LOG_TEXT("teller", teller_name(t->kind)));
    }
    t->is_warned = false;
    t->is_known = true;
    t->heard_ms = now_of(t);
    t->has_seq = t->kind == TELLER_AGENT;
    t->seq = h->seq;
    t->next_ms = next_question_ms(t, is_news);
    warn_of_missing(t, h->missing);
    tell(t, h);
}

static void proceed(struct teller_ask *t)
{
    struct teller_heard heard;
    enum err e = inquiry_next(&t->inquiry, now_of(t));
    if (e == ERR_AGAIN) {
        return;
    }
    bool has_answered = e == ERR_OK;
    t->next_ms = now_of(t) + interval_of(t);
    e = has_answered ? hear(t, &heard) : e;
    if (e == ERR_OK) {
        take_good(t, &heard);
    } else if (has_answered || e == ERR_TOO_LARGE || e == ERR_SYNTAX) {
        warn_once(t, "telemetry makes no sense and is ignored", err_text(e));
    } else {
        warn_once(t, "telemetry is silent", err_text(e));
    }
    inquiry_close(&t->inquiry);
}

/* --- questions --- */

static void make_path(const struct teller_ask *t, char path[PATH_SIZE])
{
    int len = 0;
    switch (t->kind) {
    case TELLER_AGENT:
        len = t->has_seq ? snprintf(path, PATH_SIZE, "/gpu?wait=%ums&after=%llu",
                                    interval_of(t), (unsigned long long)t->seq)
                         : snprintf(path, PATH_SIZE, "/gpu");
        break;
    case TELLER_DCGM: /* its URL is that of the page */
        len = snprintf(path, PATH_SIZE, "%s", t->peer->path.len > 0 ? "" : "/metrics");
        break;
    case TELLER_GUARD:
        len = snprintf(path, PATH_SIZE, "/guard");
        break;
    }
    CHECK(len >= 0 && len < PATH_SIZE);
}

static void ask(struct teller_ask *t)
{
    char path[PATH_SIZE];
    make_path(t, path);
    t->asked_ms = now_of(t);
    t->due_ms = t->asked_ms + ANSWER_MS + (t->has_seq ? interval_of(t) : 0);
    inquiry_open(&t->inquiry, &(struct inquiry_conf){.loop = t->all->loop,
                                                     .backend = t->peer,
                                                     .upstream = t->upstream,
                                                     .path = path,
                                                     .purpose = "telemetry",
                                                     .answer_max = ANSWER_MAX,
                                                     .connect_due_ms = t->due_ms,
                                                     .due_ms = t->due_ms,
                                                     .notify = on_inquiry,
                                                     .owner = t});
}

static void run(struct task *task)
{
    struct teller_ask *t = container_of(task, struct teller_ask, task);
    if (inquiry_is_open(&t->inquiry)) {
        proceed(t);
    }
    if (!inquiry_is_open(&t->inquiry) && now_of(t) >= t->next_ms) {
        ask(t);
    }
    forget_when_silent(t);
    uint64_t next_ms = inquiry_is_open(&t->inquiry) ? t->due_ms : t->next_ms;
    uint64_t silent_ms = silent_at_ms(t);
    timer_arm(t->all->loop, &t->timer,
              t->is_known && silent_ms < next_ms ? silent_ms : next_ms);
}

/* --- life --- */

static void init_ask(struct tellers *all, struct teller_ask *t, const struct backend *b,
                     enum teller kind)
{
    const struct backend *peer = b->teller[kind];
    *t = (struct teller_ask){.all = all, .backend = b, .peer = peer, .kind = kind};
    t->upstream = upstream_new(
        all->loop,
        &(struct upstream_conf){.host = peer->host,
                                .port = peer->port,
                                .tls = all->gateway->teller_tls[b->index * TELLERS + kind]});
    if (kind == TELLER_DCGM) {
        t->judges = mem_alloc(sizeof(t->judges[0]) * DCGM_GPUS_MAX);
    }
    task_init(&t->task, run);
    timer_init(&t->timer, on_time);
    task_ready(all->loop, &t->task);
}

struct tellers *tellers_start(struct gateway *g, struct loop *l)
{
    const struct catalog *c = &g->settings->catalog;
    struct tellers *all = mem_alloc(sizeof(*all));
    all->gateway = g;
    all->loop = l;
    all->asks = mem_alloc(sizeof(all->asks[0]) * (c->backend_count * TELLERS + 1));
    for (size_t i = 0; i < c->backend_count; i++) {
        for (unsigned k = 0; k < TELLERS; k++) {
            if (c->backends[i].teller[k]) {
                init_ask(all, &all->asks[all->count++], &c->backends[i], (enum teller)k);
            }
        }
    }
    return all;
}

void tellers_stop(struct tellers **t)
{
    struct tellers *gone = *t;
    *t = NULL;
    for (size_t i = 0; i < gone->count; i++) {
        struct teller_ask *one = &gone->asks[i];
        inquiry_close(&one->inquiry);
        task_cancel(gone->loop, &one->task);
        timer_drop(gone->loop, &one->timer);
        upstream_free(&one->upstream);
        free(one->judges);
    }
    free(gone->asks);
    free(gone);
}
