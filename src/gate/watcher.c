#include "gate/watcher.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/rand.h"
#include "gate/inquiry.h"
#include "llm/model_list.h"
#include "llm/token_probe.h"
#include "net/upstream.h"
#include "tiers/budget.h"
#include "tiers/loads.h"
#include "wire/engine_report.h"

enum {
    LOOK_MOST_MS = 1000,
    LOOK_LEAST_MS = 20,
    COUNTERS_LEAST_MS = 20,
    STALE_COUNTERS = 3,         /* readings that may be missed before nothing is known */
    UNSUPPORTED_MS = 5 * 60000, /* until a server without counters is asked again */
    COUNTERS_MAX = 512 << 10,
    LIST_MAX = 1 << 20,
    ANSWER_MAX = 64 << 10
};

/* What the `reading` inquiry is about. */
enum reading { READING_COUNTERS, READING_MODELS };

/* One backend. */
struct watch {
    struct watcher *watcher;
    const struct backend *backend;
    struct upstream *upstream;
    struct vitals vitals;
    struct vitals_policy policy;
    uint32_t look_ms;
    struct task task;
    struct timer timer;

    struct inquiry reading;
    enum reading reads;
    uint64_t reading_due_ms;
    const struct engine_source *sources; /* static; NULL: none */
    size_t source_count;
    size_t source;          /* the one that is read */
    uint64_t read_again_ms; /* the counters */
    uint64_t list_again_ms; /* the models */
    uint32_t failed_reads;  /* in a row */
    uint32_t outages;       /* as they were at the last reading */

    struct inquiry probe;
    uint64_t probe_due_ms;
    bool is_watched; /* as told to the board */
};

struct watcher {
    struct gateway *gateway;
    struct loop *loop;
    struct rand rand;
    struct watch *watches;
    size_t count;
};

static uint64_t now_of(const struct watch *w)
{
    return loop_now_ms(w->watcher->loop);
}

static struct board *board_of(const struct watch *w)
{
    return w->watcher->gateway->board;
}

static void on_inquiry(void *owner)
{
    struct watch *w = owner;
    task_ready(w->watcher->loop, &w->task);
}

static void on_time(struct timer *t)
{
    struct watch *w = container_of(t, struct watch, timer);
    task_ready(w->watcher->loop, &w->task);
}

static void open_inquiry(struct watch *w, struct inquiry *q, struct inquiry_conf conf)
{
    uint64_t connect_due_ms = now_of(w) + w->backend->deadlines.connect_ms;
    conf.loop = w->watcher->loop;
    conf.backend = w->backend;
    conf.upstream = w->upstream;
    conf.purpose = "vitals";
    conf.connect_due_ms = connect_due_ms < conf.due_ms ? connect_due_ms : conf.due_ms;
    conf.notify = on_inquiry;
    conf.owner = w;
    inquiry_open(q, &conf);
}

static void note_change(struct watch *w, struct board_change change)
{
    gateway_note_change(w->watcher->gateway, w->backend, &change);
}

/* --- reading counters --- */

static void open_reading(struct watch *w, enum reading what, const char *path, size_t most)
{
    w->reads = what;
    w->reading_due_ms = now_of(w) + w->backend->health.timeout_ms;
    open_inquiry(
        w, &w->reading,
        (struct inquiry_conf){.path = path, .answer_max = most, .due_ms = w->reading_due_ms});
}

static struct engine_counters counters_of(const struct engine_report *r)
{
    return (struct engine_counters){.generated = r->generated,
                                    .prompt = r->prompt,
                                    .steps = r->steps,
                                    .running = r->running,
                                    .waiting = r->waiting,
                                    .slots = r->slots,
                                    .kv_permille = r->kv_permille,
                                    .has_kv = r->has_kv,
                                    .may_prefill = r->may_prefill};
}

/* It has no such page, or not for us. */
static bool is_unsupported(int status)
{
    return status == 401 || status == 403 || status == 404 || status == 405 || status == 501;
}

static void try_next_source(struct watch *w)
{
    w->source++;
    w->read_again_ms = now_of(w);
    if (w->source == w->source_count) {
        w->source = 0;
        w->read_again_ms += UNSUPPORTED_MS;
    }
}

/* Twice as long with each further failure, up to four times. */
static void read_later(struct watch *w)
{
    uint32_t wait_ms = w->backend->health.counters_ms;
    w->failed_reads += w->failed_reads < 2 ? 1 : 0;
    w->read_again_ms = now_of(w) + ((uint64_t)wait_ms << w->failed_reads);
}

static void take_counters(struct watch *w, enum err e)
{
    struct engine_report report;
    int status = w->reading.status;
    if (e == ERR_OK && status == 200) {
        e = w->sources[w->source].read(inquiry_body(&w->reading), &report);
        if (e == ERR_OK) {
            struct engine_counters c = counters_of(&report);
            vitals_see_engine(&w->vitals, &c, now_of(w));
            loads_see_engine(board_loads(board_of(w)), w->backend->index, c.running + c.waiting,
                             board_view(board_of(w), w->backend->index, now_of(w)).in_flight);
            w->failed_reads = 0;
            w->read_again_ms = now_of(w) + w->backend->health.counters_ms;
            return;
        }
    }
    if (e == ERR_TYPE || e == ERR_TOO_LARGE || (e == ERR_OK && is_unsupported(status))) {
        log_debug("no counters there", LOG_STR("backend", w->backend->name),
                  LOG_TEXT("path", w->sources[w->source].path), LOG_NUM("status", status));
        try_next_source(w);
    } else {
        read_later(w);
    }
}

/* As the calibrator does at one that is well. */
static void take_models(struct watch *w, enum err e)
{
    const struct dialect *d = gateway_dialect(w->backend);
    bool is_there = e == ERR_OK && w->reading.status == 200;
    w->list_again_ms = now_of(w) + 2 * w->look_ms;
    for (uint32_t i = 0; is_there && i < w->backend->serving_count; i++) {
        const struct serving *s =
            &w->watcher->gateway->settings->catalog.servings[w->backend->first_serving + i];
        struct model_entry entry;
        if (model_list_read(d, inquiry_body(&w->reading), s->model, &entry) == ERR_OK) {
            board_set_residence(board_of(w), s->index,
                                entry.is_loaded ? RESIDENCE_LOADED : RESIDENCE_ABSENT);
        }
    }
}

static void proceed_reading(struct watch *w)
{
    enum err e = inquiry_next(&w->reading, now_of(w));
    if (e == ERR_AGAIN) {
        return;
    }
    if (w->reads == READING_MODELS) {
        take_models(w, e);
    } else {
        take_counters(w, e);
    }
    inquiry_close(&w->reading);
}

static void read_when_due(struct watch *w)
{
    uint32_t outages = board_outages(board_of(w), w->backend->index);
    if (outages != w->outages) { /* it may come back with other options */
        w->outages = outages;
        w->source = 0;
        w->read_again_ms = now_of(w);
    }
    if (w->sources && w->backend->health.counters_ms > 0 && now_of(w) >= w->read_again_ms) {
        open_reading(w, READING_COUNTERS, w->sources[w->source].path, COUNTERS_MAX);
    }
}

/* --- asking for a token --- */

/* Whether some model can be asked for. */
enum asking {
    ASKING_NEVER, /* none is in memory */
    ASKING_LATER, /* not known which are */
    ASKING_NOW
};

static enum asking find_model(const struct watch *w, const struct serving **out)
{
    const struct serving *all = w->watcher->gateway->settings->catalog.servings;
    enum asking best = ASKING_NEVER;
    for (uint32_t i = 0; i < w->backend->serving_count; i++) {
        const struct serving *s = &all[w->backend->first_serving + i];
        enum residence r = board_residence(board_of(w), s->index);
        bool loads_at_need = gateway_dialect(w->backend)->lists_loaded;
        if (r == RESIDENCE_LOADED || (!loads_at_need && r == RESIDENCE_UNKNOWN)) {
            *out = s;
            return ASKING_NOW;
        }
        best = r == RESIDENCE_UNKNOWN ? ASKING_LATER : best;
    }
    return best;
}

static void open_probe(struct watch *w, const struct serving *s)
{
    struct arena a;
    struct rope body;
    const struct dialect *d = gateway_dialect(w->backend);
    uint64_t now_ms = now_of(w);
    arena_init(&a);
    token_probe_ask(d, s->model, rand_next(&w->watcher->rand), &a, &body);
    w->probe_due_ms = now_ms + vitals_probe_ms(&w->vitals, &w->policy, now_ms);
    vitals_begin_probe(&w->vitals, now_ms);
    open_inquiry(w, &w->probe,
                 (struct inquiry_conf){.path = d->chat_path,
                                       .body = rope_join(&body, &a),
                                       .answer_max = ANSWER_MAX,
                                       .due_ms = w->probe_due_ms});
    arena_fini(&a);
}

static void probe_or_look_what_is_loaded(struct watch *w)
{
    const struct serving *s = NULL;
    switch (find_model(w, &s)) {
    case ASKING_NEVER:
        return;
    case ASKING_NOW:
        open_probe(w, s);
        return;
    case ASKING_LATER:
        if (!inquiry_is_open(&w->reading) && now_of(w) >= w->list_again_ms) {
            open_reading(w, READING_MODELS, gateway_dialect(w->backend)->models_path, LIST_MAX);
        }
        return;
    }
}

static enum probe_end end_of(const struct watch *w, enum err e)
{
    if (e != ERR_OK) {
        return e == ERR_TIMEOUT && now_of(w) >= w->probe_due_ms ? PROBE_SILENT : PROBE_UNTOLD;
    }
    switch (token_probe_answer(gateway_dialect(w->backend), w->probe.status,
                               inquiry_body(&w->probe))) {
    case TOKEN_CAME:
        return PROBE_TOKEN;
    case TOKEN_REFUSED:
        return PROBE_UNASKABLE;
    case TOKEN_NONE:
    case TOKEN_BUSY:
    case TOKEN_LOADING:
        break;
    }
    return PROBE_UNTOLD;
}

static void proceed_probe(struct watch *w)
{
    static const char *const words[] = {[PROBE_TOKEN] = "token",
                                        [PROBE_SILENT] = "silence",
                                        [PROBE_UNTOLD] = "error",
                                        [PROBE_UNASKABLE] = "refused"};
    enum err e = inquiry_next(&w->probe, now_of(w));
    if (e == ERR_AGAIN) {
        return;
    }
    enum probe_end end = end_of(w, e);
    log_debug("asked for a token", LOG_STR("backend", w->backend->name),
              LOG_TEXT("end", words[end]), LOG_NUM("status", w->probe.status),
              LOG_TEXT("error", e == ERR_OK ? "none" : err_text(e)));
    inquiry_close(&w->probe);
    vitals_end_probe(&w->vitals, &w->policy, end, now_of(w));
}

/* --- looking --- */

/* A model that is loaded at need makes a first token late. */
static uint32_t prefill_ms(const struct watch *w)
{
    uint64_t wait_ms = w->backend->deadlines.first_token_ms;
    const struct serving *s = NULL;
    bool may_load =
        gateway_dialect(w->backend)->lists_loaded && find_model(w, &s) != ASKING_NOW;
    wait_ms = may_load ? budget_loading_ms(wait_ms) : wait_ms;
    return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}

static bool is_loading(const struct backend_view *v)
{
    return v->state == STATE_DOWN &&
           (cause_is_loading(v->cause) || v->cause.kind == CAUSE_LOADING_FAILED ||
            cause_is_off(v->cause.kind));
}

static void tell_word(struct watch *w, enum vital from, enum vital to)
{
    if (from == to || (from != VITAL_HUNG && to != VITAL_HUNG)) {
        return;
    }
    bool hangs = to == VITAL_HUNG;
    LOG_AT(hangs ? LOG_WARN : LOG_INFO,
           hangs ? "backend hangs: work, and no token" : "backend no longer hangs",
           LOG_STR("backend", w->backend->name), LOG_TEXT("vitals", vital_name(to)),
           LOG_NUM("in_flight", w->vitals.streams.in_flight),
           LOG_NUM("running", w->vitals.has_engine ? w->vitals.engine.running : 0),
           LOG_NUM("silent_ms", w->vitals.token_ms ? now_of(w) - w->vitals.token_ms : 0),
           LOG_DONE);
}

/* Whether its return may be made to depend on a token. */
static void tell_whether_watched(struct watch *w)
{
    const struct serving *s = NULL;
    bool is_watched = w->policy.hang_after_ms > 0 && find_model(w, &s) != ASKING_NEVER &&
                      !vitals_is_unaskable(&w->vitals, now_of(w));
    if (is_watched != w->is_watched) {
        w->is_watched = is_watched;
        note_change(w, board_watch(board_of(w), w->backend->index, is_watched, now_of(w)));
    }
}

static void tell_board(struct watch *w, enum vital was)
{
    struct gateway *g = w->watcher->gateway;
    uint32_t backend = w->backend->index;
    struct vital_view view = vitals_view(&w->vitals);
    board_set_vitals(g->board, backend, &view);
    if (!view.has_engine) {
        loads_see_engine(board_loads(g->board), backend, 0, 0);
    }
    tell_whether_watched(w);
    if (view.vital == VITAL_HUNG && was != VITAL_HUNG) {
        note_change(w, board_on_hang(g->board, backend, now_of(w)));
        g->tell_hang(g->tell_hang_arg);
    }
    note_change(w, board_on_token(g->board, backend, w->vitals.token_ms, now_of(w)));
}

static void look(struct watch *w, const struct backend_view *v)
{
    enum vital was = w->vitals.word;
    uint32_t paused = board_paused(board_of(w), w->backend->index);
    struct stream_signs signs = {
        .in_flight = v->in_flight > paused ? v->in_flight - paused : 0,
        .content_ms = board_content_ms(board_of(w), w->backend->index),
        .is_doubted = v->needs_token || v->advice.counsel == COUNSEL_CHECK,
        .is_loading = is_loading(v),
    };
    w->policy.prefill_ms = prefill_ms(w);
    vitals_see_streams(&w->vitals, &signs, now_of(w));
    tell_word(w, was, vitals_judge(&w->vitals, &w->policy, now_of(w)));
    tell_board(w, was);
}

static uint64_t next_ms(const struct watch *w)
{
    uint64_t next = now_of(w) + w->look_ms;
    if (inquiry_is_open(&w->reading) && w->reading_due_ms < next) {
        next = w->reading_due_ms;
    }
    return inquiry_is_open(&w->probe) && w->probe_due_ms < next ? w->probe_due_ms : next;
}

/* Of one that is drained only while answers run there, which are to be saved from a hang. */
static bool may_ask_for_token(const struct backend_view *v)
{
    return v->operator.word ==
        OPERATOR_NONE ||(v->operator.word == OPERATOR_DRAINING && v->in_flight> 0);
}

static void run(struct task *t)
{
    struct watch *w = container_of(t, struct watch, task);
    struct backend_view v = board_view(board_of(w), w->backend->index, now_of(w));
    if (inquiry_is_open(&w->reading)) {
        proceed_reading(w);
    }
    if (inquiry_is_open(&w->probe)) {
        proceed_probe(w);
    }
    look(w, &v);
    bool may_ask = v.cause.kind != CAUSE_STARTING && !cause_is_off(v.cause.kind) &&
                   !w->watcher->gateway->draining;
    if (may_ask && !inquiry_is_open(&w->reading)) {
        read_when_due(w);
    }
    if (may_ask && may_ask_for_token(&v) && now_of(w) >= v.hold_until_ms &&
        vitals_wants_probe(&w->vitals, &w->policy, now_of(w))) {
        probe_or_look_what_is_loaded(w);
    }
    timer_arm(w->watcher->loop, &w->timer, next_ms(w));
}

/* --- life --- */

static uint32_t look_interval_ms(const struct health_policy *p)
{
    uint32_t look_ms = p->hang_after_ms > 0 ? p->hang_after_ms / 20 : LOOK_MOST_MS;
    if (p->counters_ms > 0 && p->counters_ms < look_ms) {
        look_ms = p->counters_ms;
    }
    look_ms = look_ms < LOOK_MOST_MS ? look_ms : LOOK_MOST_MS;
    return look_ms > LOOK_LEAST_MS ? look_ms : LOOK_LEAST_MS;
}

static void init_watch(struct watcher *all, struct watch *w, const struct backend *b)
{
    const struct health_policy *p = &b->health;
    uint32_t counters_ms =
        p->counters_ms > COUNTERS_LEAST_MS ? p->counters_ms : COUNTERS_LEAST_MS;
    *w = (struct watch){.watcher = all, .backend = b, .look_ms = look_interval_ms(p)};
    w->policy = (struct vitals_policy){.hang_after_ms = p->hang_after_ms,
                                       .prefill_ms = b->deadlines.first_token_ms,
                                       .stale_ms = STALE_COUNTERS * counters_ms};
    w->sources = engine_sources(str_from(gateway_dialect(b)->name), &w->source_count);
    w->upstream = upstream_new(
        all->loop, &(struct upstream_conf){.host = b->host,
                                           .port = b->port,
                                           .tls = all->gateway->backend_tls[b->index]});
    vitals_init(&w->vitals);
    task_init(&w->task, run);
    timer_init(&w->timer, on_time);
    timer_arm(all->loop, &w->timer, loop_now_ms(all->loop) + w->look_ms);
}

static bool is_wished(const struct backend *b)
{
    bool has_sources = false;
    size_t count = 0;
    has_sources = engine_sources(str_from(gateway_dialect(b)->name), &count) != NULL;
    return !backend_type_is_paid(b->type) &&
           (b->health.hang_after_ms > 0 || (has_sources && b->health.counters_ms > 0));
}

struct watcher *watcher_start(struct gateway *g, struct loop *l)
{
    struct watcher *all = mem_alloc(sizeof(*all));
    const struct catalog *catalog = &g->settings->catalog;
    all->gateway = g;
    all->loop = l;
    all->watches = mem_alloc(sizeof(all->watches[0]) * (catalog->backend_count + 1));
    rand_seed(&all->rand);
    for (size_t i = 0; i < catalog->backend_count; i++) {
        if (is_wished(&catalog->backends[i])) {
            init_watch(all, &all->watches[all->count++], &catalog->backends[i]);
        }
    }
    return all;
}

void watcher_stop(struct watcher **w)
{
    struct watcher *gone = *w;
    *w = NULL;
    for (size_t i = 0; i < gone->count; i++) {
        struct watch *one = &gone->watches[i];
        inquiry_close(&one->reading);
        inquiry_close(&one->probe);
        task_cancel(gone->loop, &one->task);
        timer_drop(gone->loop, &one->timer);
        upstream_free(&one->upstream);
    }
    free(gone->watches);
    free(gone);
}
