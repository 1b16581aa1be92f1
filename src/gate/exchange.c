#include "gate/exchange.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_priv.h"
#include "tiers/budget.h"

enum { HELD_MAX = 65536, MOVES_MAX = 10000, SHORT_ANSWER_TOKENS = 64 };

/* --- the machine --- */

/* Every legal move; a test draws its paths from here, and docs show it. */
static const struct {
    const struct step *from;
    const struct step *to;
} arrows[] = {
    {&step_pick, &step_await},   {&step_pick, &step_pick},    {&step_pick, &step_fail},
    {&step_backoff, &step_pick}, {&step_await, &step_pick},   {&step_await, &step_backoff},
    {&step_await, &step_relay},  {&step_await, &step_linger}, {&step_await, &step_fail},
    {&step_await, &step_done},   {&step_relay, &step_linger}, {&step_relay, &step_fail},
    {&step_relay, &step_done},   {&step_linger, &step_done},  {&step_fail, &step_done},
    {&step_backoff, &step_fail},
};

static bool arrow_exists(const struct step *from, const struct step *to)
{
    for (size_t i = 0; i < sizeof(arrows) / sizeof(arrows[0]); i++) {
        if (arrows[i].from == from && arrows[i].to == to) {
            return true;
        }
    }
    return false;
}

static void end_exchange(struct exchange *x)
{
    struct loop *loop = x->worker->loop;
    attempt_close(&x->attempt);
    assembly_free(&x->assembly);
    buf_fini(&x->held);
    task_cancel(loop, &x->task);
    timer_drop(loop, &x->timer);
    list_remove(&x->worker->exchanges, &x->node);
    arena_fini(&x->arena);
    loop_free_later(loop, x);
}

/* The client left: what runs for it is cancelled now. */
static void abandon(struct exchange *x)
{
    log_debug("client left", LOG_NUM("x", x->serial), LOG_TEXT("step", x->step->name),
              LOG_NUM("after_ms", exchange_now(x) - x->started_ms));
    struct http_conn *client = x->client;
    x->client = NULL;
    http_conn_attach(client, NULL, NULL);
    http_reply_abort(client, false);
    attempt_close(&x->attempt);
    x->step = &step_done;
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* The soonest of what the current step waits for; only what it also acts upon, or a due time in
 * the past would wake it for ever. */
static uint64_t next_due(const struct exchange *x)
{
    enum failure unused;
    uint32_t keep_alive_ms = x->worker->gateway->settings->keep_alive_ms;
    if (x->step == &step_linger) {
        return x->finish_by_ms;
    }
    if (x->step == &step_backoff) {
        return sooner(x->backoff_until_ms, x->due_ms);
    }
    uint64_t due_ms = sooner(x->due_ms, exchange_attempt_due(x, &unused));
    if (x->finish_by_ms != 0) {
        due_ms = sooner(due_ms, x->finish_by_ms);
    }
    if (x->step == &step_await && x->request.stream && keep_alive_ms > 0) {
        due_ms = sooner(due_ms, x->sent_ms + keep_alive_ms);
    }
    return due_ms;
}

/* The only place that moves x->step. */
static void run(struct task *t)
{
    struct exchange *x = container_of(t, struct exchange, task);
    if ((x->wake & WAKE_GONE) && x->client) {
        abandon(x);
    }
    for (unsigned moves = 0; x->step != &step_done; moves++) {
        const struct step *next = x->step->run(x);
        if (!next) {
            break;
        }
        CHECK(arrow_exists(x->step, next));
        CHECK(moves < MOVES_MAX);
        x->step = next;
    }
    x->wake = 0;
    if (x->step == &step_done) {
        end_exchange(x);
    } else {
        timer_arm(x->worker->loop, &x->timer, next_due(x));
    }
}

void exchange_wake(struct exchange *x, unsigned reasons)
{
    x->wake |= reasons;
    task_ready(x->worker->loop, &x->task);
}

static void on_upstream(void *owner)
{
    exchange_wake(owner, WAKE_UPSTREAM);
}

static void on_client(void *user, unsigned what)
{
    exchange_wake(user, (what & HTTP_GONE) ? WAKE_GONE : WAKE_CLIENT);
}

static void on_timer(struct timer *t)
{
    exchange_wake(container_of(t, struct exchange, timer), WAKE_TIMER);
}

void exchange_end_all(struct worker *w)
{
    list_each(&w->exchanges, node, after)
    {
        end_exchange(container_of(node, struct exchange, node));
    }
}

/* --- patience --- */

static bool waits_for_whole(const struct attempt *a)
{
    return !a->streams && a->first_content_ms == 0;
}

uint64_t exchange_attempt_due(const struct exchange *x, enum failure *as)
{
    const struct attempt *a = x->attempt;
    const struct deadlines *d = &a->backend->deadlines;
    if (a->first_content_ms != 0) {
        *as = x->due_ms < a->progress_ms + d->stall_ms ? FAILURE_total_timeout : FAILURE_stall;
        return x->due_ms < a->progress_ms + d->stall_ms ? x->due_ms
                                                        : a->progress_ms + d->stall_ms;
    }
    uint64_t from_ms = a->connected_ms ? a->connected_ms : a->started_ms + d->connect_ms;
    uint64_t due_ms =
        from_ms + budget_first_token_ms(d->first_token_ms, d->first_token_per_1k_ms,
                                        x->request.prompt_bytes);
    if (waits_for_whole(a) && x->long_plain) {
        due_ms = x->share_due_ms;
    }
    *as = attempt_is_sent(a) ? FAILURE_first_token_timeout : FAILURE_send_timeout;
    if (x->share_due_ms < due_ms) {
        due_ms = x->share_due_ms;
        *as = FAILURE_total_timeout;
    }
    return due_ms;
}

/* Whether the backend is asked for a stream although the client was not: so that silence is
 * noticed early where an answer may take long. */
static bool wants_stream(const struct exchange *x)
{
    const struct chat_request *q = &x->request;
    switch (x->worker->gateway->settings->upstream) {
    case UPSTREAM_ALWAYS:
        return true;
    case UPSTREAM_NEVER:
        return q->stream;
    case UPSTREAM_AUTO:
        break;
    }
    return q->stream || !q->has_max_tokens || q->max_tokens > SHORT_ANSWER_TOKENS;
}

/* --- steps --- */

/* How many tiers could still be asked after this one fails. */
static uint32_t tiers_after(const struct exchange *x, const struct pick *p)
{
    uint32_t others = (uint32_t)x->model->tier_count - 1 - p->tier;
    const struct tier *t = &x->model->tiers[p->tier];
    for (size_t i = 0; i < t->member_count; i++) {
        uint32_t index = t->members[i].backend->index;
        if (t->members[i].backend != p->member->backend && !tried_has(&x->tried, index)) {
            return others + 1;
        }
    }
    return others;
}

static struct client_error nobody_left(const struct exchange *x)
{
    if (x->unmappable.status != 0 && !x->any_failed) {
        return (struct client_error){.status = x->unmappable.status,
                                     .type = x->unmappable.type,
                                     .code = x->unmappable.code,
                                     .message = x->unmappable.message,
                                     .param = x->unmappable.param};
    }
    return client_error_all_down(
        pick_retry_after_s(x->model, x->worker->gateway->board, exchange_now(x)));
}

static bool choose(struct exchange *x, struct pick *p, uint32_t *tries)
{
    struct worker *w = x->worker;
    if (x->retry) {
        *p = x->retry_pick;
        *tries = x->retry_tries + 1;
        x->retry = NULL;
        return true;
    }
    *tries = 1;
    return pick_backend(
        &(struct pick_query){x->model, w->gateway->board, &x->tried, exchange_now(x)}, &w->rand,
        p);
}

static const struct step *open_attempt(struct exchange *x, const struct pick *p, uint32_t tries)
{
    uint64_t now_ms = exchange_now(x);
    uint64_t left_ms = x->due_ms > now_ms ? x->due_ms - now_ms : 1;
    const struct backend *b = p->member->backend;
    struct bad_request bad = {.status = 0};
    bool streams = wants_stream(x);
    enum err e = attempt_open(
        &(struct attempt_conf){.worker = x->worker,
                               .pick = *p,
                               .request = &x->request,
                               .streams = streams,
                               .want_usage = !x->request.stream || x->request.include_usage,
                               .tries = tries,
                               .reply_id = x->reply_id,
                               .connect_due_ms = now_ms + b->deadlines.connect_ms,
                               .bad_arena = &x->arena,
                               .notify = on_upstream,
                               .owner = x},
        &x->attempt, &bad);
    if (e != ERR_OK) {
        x->unmappable = bad;
        answer_note(x, b->name, verdict_of(FAILURE_unmappable)->name);
        tried_add(&x->tried, b->index);
        return &step_pick;
    }
    x->attempts++;
    x->long_plain = x->worker->gateway->settings->upstream == UPSTREAM_NEVER;
    x->share_due_ms = now_ms + budget_share_ms(left_ms, tiers_after(x, p));
    return &step_await;
}

static const struct step *pick_run(struct exchange *x)
{
    struct pick p;
    uint32_t tries;
    bool in_time = exchange_now(x) < x->due_ms;
    if (in_time && choose(x, &p, &tries)) {
        return open_attempt(x, &p, tries);
    }
    x->error = in_time ? nobody_left(x)
                       : (struct client_error){.status = 504,
                                               .type = "timeout",
                                               .code = "deadline_exceeded",
                                               .message = STR("No backend answered in time.")};
    return &step_fail;
}

static const struct step *backoff_run(struct exchange *x)
{
    bool is_over = exchange_now(x) >= x->backoff_until_ms || exchange_now(x) >= x->due_ms;
    return is_over ? &step_pick : NULL;
}

static const struct step *fail_run(struct exchange *x)
{
    log_warn("exchange failed", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
             LOG_NUM("status", x->error.status), LOG_TEXT("code", x->error.code),
             LOG_STR("attempts", x->trail),
             LOG_NUM("took_ms", exchange_now(x) - x->started_ms));
    answer_error(x);
    return &step_done;
}

const struct step step_pick = {"pick", pick_run};
const struct step step_backoff = {"backoff", backoff_run};
const struct step step_await = {"await", relay_await};
const struct step step_relay = {"relay", relay_run};
const struct step step_linger = {"linger", relay_linger};
const struct step step_fail = {"fail", fail_run};
const struct step step_done = {"done", NULL};

/* --- after a failure --- */

static const char *const retry_words[] = {[RETRY_SAME] = "same backend again",
                                          [RETRY_NEXT] = "next backend",
                                          [RETRY_GIVE_CLIENT] = "passed to the client",
                                          [RETRY_NONE] = "none"};

/* Tells log, trail and board. */
static void note_failure(struct exchange *x, enum failure f, const char *then)
{
    const struct attempt *a = x->attempt;
    const struct verdict *v = verdict_of(f);
    struct gateway *g = x->worker->gateway;
    answer_note(x, a->backend->name, v->name);
    LOG_AT(v->next == NEXT_CLIENT ? LOG_DEBUG : LOG_INFO, "attempt failed",
           LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
           LOG_STR("backend", a->backend->name), LOG_TEXT("reason", v->name),
           LOG_NUM("status", a->status), LOG_NUM("try", a->tries), LOG_TEXT("then", then),
           LOG_NUM("after_ms", exchange_now(x) - a->started_ms), LOG_DONE);
    board_count_attempt(g->board, a->backend->index, v->next == NEXT_CLIENT);
    if (v->blame != BLAME_NONE) {
        struct board_change change = board_on_failure(
            g->board, a->backend->index,
            &(struct failed_attempt){f, !x->drew_500, a->retry_after_ms}, exchange_now(x));
        x->drew_500 = x->drew_500 || v->blame == BLAME_SUSPECT;
        gateway_note_change(g, a->backend, &change);
    }
    if (v->blame == BLAME_DOWN) {
        upstream_flush(x->worker->upstreams[a->backend->index]);
    }
}

/* A backend that breaks the connection under a request and then refuses new ones has died with
 * it. Two such deaths are enough: a third backend is not given the same request (query of
 * death). */
static void note_death(struct exchange *x, enum failure f)
{
    const struct attempt *a = x->attempt;
    if (f == FAILURE_connect_refused && x->broke_at == a->backend) {
        x->deaths++;
        x->broke_at = NULL;
    } else if ((f == FAILURE_reset || f == FAILURE_closed || f == FAILURE_truncated) &&
               attempt_is_sent(a)) {
        x->broke_at = a->backend;
    }
}

/* The client's own error: its text may pass, in OpenAI's shape. */
static void pass_client_error(struct exchange *x)
{
    struct attempt *a = x->attempt;
    struct arena *arena = &x->arena;
    struct str message =
        a->error.message.len > 0 ? a->error.message : STR("The backend refused the request.");
    struct str type = a->error.type.len > 0 ? a->error.type : STR("invalid_request_error");
    x->error = (struct client_error){
        .status = a->status,
        .type = arena_dup(arena, type).ptr,
        .code = a->error.code.len > 0 ? arena_dup(arena, a->error.code).ptr : NULL,
        .message = arena_dup(arena, message),
        .param = arena_dup(arena, a->error.param)};
}

const struct step *exchange_next_after(struct exchange *x, enum failure f)
{
    struct attempt *a = x->attempt;
    uint32_t wait_ms = 0;
    enum retry_step step =
        verdict_next(f, &a->backend->retry, a->tries, a->retry_after_ms, &wait_ms);
    if (step == RETRY_SAME && exchange_now(x) + wait_ms >= x->share_due_ms) {
        step = RETRY_NEXT; /* waiting here would use up the time that is kept for others */
    }
    note_death(x, f);
    note_failure(x, f, retry_words[step]);
    x->any_failed = true;
    x->finish_by_ms = 0;
    x->retry_pick = a->pick;
    x->retry_tries = a->tries;
    buf_fini(&x->held);
    assembly_free(&x->assembly);
    if (step == RETRY_GIVE_CLIENT) {
        pass_client_error(x);
        attempt_close(&x->attempt);
        return &step_fail;
    }
    attempt_close(&x->attempt);
    if (step == RETRY_SAME) {
        x->retry = x->retry_pick.member->backend;
        x->backoff_until_ms = exchange_now(x) + wait_ms;
        return &step_backoff;
    }
    tried_add(&x->tried, x->retry_pick.member->backend->index);
    if (x->deaths >= 2) {
        x->error = (struct client_error){
            .status = 502,
            .type = "server_error",
            .code = "backends_died",
            .message = STR("Two backends died while working on this request; it is not sent to "
                           "a third.")};
        return &step_fail;
    }
    return &step_pick;
}

const struct step *exchange_interrupt(struct exchange *x, enum failure f)
{
    note_failure(x, f, "stream interrupted");
    attempt_close(&x->attempt);
    x->error = (struct client_error){
        .status = 502,
        .type = "server_error",
        .code = "stream_interrupted",
        .message = STR("The backend failed in the middle of the answer.")};
    return &step_fail;
}

void exchange_succeed(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    struct board *board = x->worker->gateway->board;
    board_on_success(board, a->backend->index, exchange_now(x));
    board_count_attempt(board, a->backend->index, true);
    log_debug("exchange done", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
              LOG_STR("backend", a->backend->name), LOG_NUM("attempts", x->attempts),
              LOG_NUM("took_ms", exchange_now(x) - x->started_ms));
}

/* --- the beginning --- */

static bool is_sane_id(struct str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!fine) {
            return false;
        }
    }
    return id.len > 0 && id.len <= 128;
}

static void name_exchange(struct exchange *x)
{
    const struct http_request *q = http_conn_request(x->client);
    struct str asked = http_find(q->header, q->header_count, "x-request-id");
    char digits[STR_NUMBER_MAX];
    struct str random = str_hex64(rand_next(&x->worker->rand), digits);
    struct str own[] = {STR("req_"), random};
    struct str reply[] = {STR("chatcmpl-"), random};
    x->request_id =
        is_sane_id(asked) ? arena_dup(&x->arena, asked) : arena_join(&x->arena, own, 2);
    x->reply_id = arena_join(&x->arena, reply, 2);
}

static struct exchange *make_exchange(struct worker *w, struct http_conn *client)
{
    struct exchange *x = mem_alloc(sizeof(*x));
    x->worker = w;
    x->client = client;
    x->step = &step_pick;
    x->serial = w->gateway->exchange_serial++;
    x->started_ms = loop_now_ms(w->loop);
    x->sent_ms = x->started_ms;
    buf_init(&x->held, HELD_MAX);
    arena_init(&x->arena);
    list_push_back(&w->exchanges, &x->node);
    task_init(&x->task, run);
    timer_init(&x->timer, on_timer);
    name_exchange(x);
    return x;
}

/* "'a', 'b'" of the configured models, for the error that names them; not without end. */
static struct str model_names(const struct catalog *c, struct arena *a)
{
    static const size_t named_max = 20;
    struct str names = STR("");
    for (size_t i = 0; i < c->model_count && i < named_max; i++) {
        names = arena_printf(a, "%.*s%s'%.*s'", STR_FMT(names), i > 0 ? ", " : "",
                             STR_FMT(c->models[i].name));
    }
    return c->model_count > named_max ? arena_printf(a, "%.*s, …", STR_FMT(names)) : names;
}

static bool understand_request(struct exchange *x, struct client_error *e)
{
    const struct catalog *catalog = &x->worker->gateway->settings->catalog;
    struct bad_request bad;
    if (chat_request_read(http_conn_body(x->client), &x->arena, &x->request, &bad) != ERR_OK) {
        *e = (struct client_error){.status = bad.status,
                                   .type = bad.type,
                                   .code = bad.code,
                                   .message = bad.message,
                                   .param = bad.param};
        return false;
    }
    x->model = catalog_find_model(catalog, x->request.model);
    if (!x->model) {
        *e = (struct client_error){
            .status = 404,
            .type = "invalid_request_error",
            .code = "model_not_found",
            .param = STR("model"),
            .message = arena_printf(
                &x->arena, "The model '%.*s' does not exist. Models here: %.*s.",
                STR_FMT(x->request.model), STR_FMT(model_names(catalog, &x->arena)))};
        return false;
    }
    return true;
}

/* The longest `total` among the backends that may serve it: the exchange's own. */
static uint64_t total_ms(const struct model *m)
{
    uint64_t longest = 0;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t i = 0; i < m->tiers[t].member_count; i++) {
            uint64_t one = m->tiers[t].members[i].backend->deadlines.total_ms;
            longest = one > longest ? one : longest;
        }
    }
    return longest;
}

void exchange_start(struct worker *w, struct http_conn *client)
{
    struct exchange *x = make_exchange(w, client);
    struct client_error e;
    if (!understand_request(x, &e)) {
        struct buf lines;
        buf_init(&lines, 512);
        enum err put = http_put_header(&lines, "x-request-id", x->request_id);
        CHECK(put == ERR_OK);
        answer_refuse(client, &e, buf_str(&lines), false);
        buf_fini(&lines);
        end_exchange(x);
        return;
    }
    x->due_ms = x->started_ms + total_ms(x->model);
    http_conn_attach(client, on_client, x);
    exchange_wake(x, WAKE_START);
}
