#include "gate/exchange.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "gate/admission.h"
#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"
#include "gate/report.h"
#include "tiers/budget.h"

enum {
    TRANSCRIPT_MAX = 4 << 20,
    MOVES_MAX = 10000,
    READS_PER_TURN = 16,
    SHORT_ANSWER_TOKENS = 64
};

/* --- the machine --- */

/* Every legal move; a test draws its paths from here, and docs show it. */
static const struct {
    const struct step *from;
    const struct step *to;
} arrows[] = {
    {&step_pick, &step_await},    {&step_pick, &step_pick},    {&step_pick, &step_fail},
    {&step_pick, &step_backoff},  {&step_pick, &step_relay},   {&step_pick, &step_done},
    {&step_relay, &step_pick},    {&step_backoff, &step_pick}, {&step_await, &step_pick},
    {&step_await, &step_backoff}, {&step_await, &step_relay},  {&step_await, &step_linger},
    {&step_await, &step_fail},    {&step_await, &step_done},   {&step_relay, &step_linger},
    {&step_relay, &step_fail},    {&step_relay, &step_done},   {&step_linger, &step_done},
    {&step_fail, &step_done},     {&step_backoff, &step_fail}, {&step_pick, &step_count},
    {&step_pick, &step_usage},    {&step_count, &step_pick},   {&step_count, &step_usage},
    {&step_usage, &step_count},   {&step_usage, &step_done},   {&step_relay, &step_usage},
    {&step_await, &step_usage},   {&step_pick, &step_queue},   {&step_queue, &step_pick},
    {&step_queue, &step_fail},
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
    attempt_close(&x->hedge);
    exchange_stop_counting(x);
    exchange_leave_queue(x);
    exchange_account_end(x);
    assembly_free(&x->assembly);
    assembly_free(&x->kept);
    transcript_fini(&x->transcript);
    task_cancel(loop, &x->task);
    timer_drop(loop, &x->timer);
    list_remove(&x->worker->exchanges, &x->node);
    arena_fini(&x->arena);
    loop_give_later(loop, &x->worker->exchange_slab, x);
}

/* The client left: what runs for it is cancelled now. */
static void abandon(struct exchange *x)
{
    log_debug("client left", LOG_NUM("x", x->serial), LOG_TEXT("step", x->step->name),
              LOG_NUM("after_ms", exchange_now(x) - x->started_ms));
    exchange_tally_left(x);
    struct http_conn *client = x->client;
    x->client = NULL;
    http_conn_attach(client, NULL, NULL);
    http_reply_abort(client, false);
    attempt_close(&x->attempt);
    attempt_close(&x->hedge);
    exchange_stop_counting(x);
    x->step = &step_done;
}

static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static uint64_t keep_alive_due(const struct exchange *x)
{
    uint32_t keep_alive_ms = x->model->streams.keep_alive_ms;
    return x->request.stream && keep_alive_ms > 0 ? x->sent_ms + keep_alive_ms : UINT64_MAX;
}

/* The soonest of what the current step waits for; only what it also acts upon, or a due time in
 * the past would wake it for ever. */
static uint64_t next_due(const struct exchange *x)
{
    enum failure unused;
    if (x->step == &step_linger) {
        return x->finish_by_ms;
    }
    if (x->step == &step_backoff) {
        return sooner(x->backoff_until_ms, x->due_ms);
    }
    if (x->step == &step_count) {
        return exchange_count_due_ms(x);
    }
    if (x->step == &step_relay && relay_client_is_behind(x)) {
        return x->due_ms; /* the backend is not being waited for */
    }
    if (x->step == &step_queue) {
        return sooner(queue_due_ms(x), keep_alive_due(x));
    }
    uint64_t due_ms = sooner(x->due_ms, exchange_attempt_due(x, x->attempt, &unused));
    if (x->finish_by_ms != 0) {
        due_ms = sooner(due_ms, x->finish_by_ms);
    }
    due_ms = sooner(due_ms, hedge_due_ms(x));
    return x->step != &step_pick ? sooner(due_ms, keep_alive_due(x)) : due_ms;
}

/* The only place that moves x->step. */
static void run(struct task *t)
{
    struct exchange *x = container_of(t, struct exchange, task);
    unsigned wake = x->wake;
    x->wake = 0; /* what a step causes is told again in the next phase */
    x->reads = 0;
    if ((wake & WAKE_GONE) && x->client) {
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
    if (x->is_timed) {
        exchange_time_take(x);
    }
    if (x->step == &step_done) {
        exchange_time_tally(x);
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

bool exchange_turn_is_over(struct exchange *x)
{
    x->reads++;
    if (x->reads < READS_PER_TURN) {
        return false;
    }
    attempt_keep(x->attempt);
    exchange_wake(x, WAKE_UPSTREAM);
    return true;
}

void exchange_keep_client(struct exchange *x)
{
    uint32_t keep_alive_ms = x->model->streams.keep_alive_ms;
    if (x->request.stream && keep_alive_ms > 0 &&
        exchange_now(x) >= x->sent_ms + keep_alive_ms) {
        answer_keep_alive(x);
    }
}

static bool waits_for_whole(const struct attempt *a)
{
    return !a->streams && a->first_content_ms == 0;
}

/* Between pieces of content: silence, a crawl, or the end of the exchange's own time. */
static uint64_t content_due(const struct exchange *x, const struct attempt *a, enum failure *as)
{
    uint64_t due_ms = a->progress_ms + a->backend->deadlines.stall_ms;
    uint64_t crawl_due_ms = a->finished ? UINT64_MAX : flow_due_ms(&a->flow);
    *as = FAILURE_stall;
    if (crawl_due_ms < due_ms) {
        due_ms = crawl_due_ms;
        *as = FAILURE_too_slow;
    }
    if (x->due_ms < due_ms) {
        due_ms = x->due_ms;
        *as = FAILURE_total_timeout;
    }
    return due_ms;
}

uint64_t exchange_attempt_due(const struct exchange *x, const struct attempt *a,
                              enum failure *as)
{
    const struct deadlines *d = &a->backend->deadlines;
    if (a->error_due_ms != 0) {
        *as = a->failure;
        return a->error_due_ms;
    }
    if (a->is_disabled || a->is_cut) {
        *as = a->is_disabled ? FAILURE_disabled : FAILURE_gpu_down;
        return 0;
    }
    if (a->is_hung) {
        *as = a->first_content_ms != 0 ? FAILURE_stall : FAILURE_first_token_timeout;
        return 0;
    }
    if (a->first_content_ms != 0) {
        return content_due(x, a, as);
    }
    uint64_t from_ms = a->connected_ms ? a->connected_ms : a->started_ms + d->connect_ms;
    uint64_t wait_ms = budget_first_token_ms(d->first_token_ms, d->first_token_per_1k_ms,
                                             x->request.prompt_bytes);
    uint64_t due_ms = from_ms + (a->is_loading ? budget_loading_ms(wait_ms) : wait_ms);
    if (waits_for_whole(a)) {
        due_ms += d->stall_ms; /* its first token and its last come together */
    }
    *as = attempt_is_sent(a) ? FAILURE_first_token_timeout : FAILURE_send_timeout;
    if (a->share_due_ms < due_ms) { /* sooner than anybody could be blamed for silence */
        *as = FAILURE_total_timeout;
        return a->share_due_ms;
    }
    return waits_for_whole(a) && a->may_be_silent ? a->share_due_ms : due_ms;
}

/* Whether the backend is asked for a stream although the client was not: so that silence is
 * noticed early where an answer may take long. */
static bool wants_stream(const struct exchange *x)
{
    const struct chat_request *q = &x->request;
    switch (x->model->streams.upstream) {
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

static struct client_error nobody_left(struct exchange *x)
{
    if (x->is_committed) {
        return exchange_interrupted();
    }
    if (x->too_long.status != 0) {
        return x->too_long;
    }
    if (exchange_is_impossible(x)) {
        return (struct client_error){.status = x->unmappable.status,
                                     .type = x->unmappable.type,
                                     .code = x->unmappable.code,
                                     .message = x->unmappable.message,
                                     .param = x->unmappable.param};
    }
    const struct board *board = x->worker->gateway->board;
    struct client_error e =
        client_error_all_down(pick_retry_after_s(x->model, board, exchange_now(x)));
    if (pick_is_ordered_out(x->model, board)) {
        e.message = STR("All inference backends unavailable: the operator has drained or "
                        "disabled all of this model's");
    }
    return e;
}

/* A backend that is asked although it is not simply usable. */
static void tell_kind(const struct exchange *x, const struct pick *p)
{
    static const char *const words[] = {[PICK_REGULAR] = NULL,
                                        [PICK_TRIAL] = "trial of a backend",
                                        [PICK_RESERVE] = "nobody else is usable",
                                        [PICK_PANIC] = "panic: no backend is usable"};
    if (words[p->kind]) {
        LOG_AT(p->kind == PICK_PANIC ? LOG_WARN : LOG_DEBUG, words[p->kind],
               LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
               LOG_STR("backend", p->member->backend->name), LOG_DONE);
    }
}

static void return_pick(const struct exchange *x, const struct pick *p)
{
    pick_release(x->worker->gateway->board, p, exchange_now(x));
}

static const struct step *pass_over(struct exchange *x, const struct pick *p, enum failure f)
{
    const struct backend *b = p->member->backend;
    return_pick(x, p);
    answer_note(x, b->name, verdict_of(f)->name);
    tried_add(&x->tried, b->index);
    return &step_pick;
}

bool exchange_make_attempt(struct exchange *x, const struct pick *p, uint32_t tries,
                           enum resume_way way, struct attempt **out)
{
    uint64_t now_ms = exchange_now(x);
    uint64_t left_ms = x->due_ms > now_ms ? x->due_ms - now_ms : 1;
    const struct backend *b = p->member->backend;
    struct bad_request bad = {.status = 0};
    uint64_t span = 0;
    enum err e = attempt_open(
        &(struct attempt_conf){.worker = x->worker,
                               .pick = *p,
                               .request = &x->request,
                               .streams = wants_stream(x),
                               .want_usage = !x->request.stream || x->request.include_usage,
                               .hold_tools =
                                   x->request.n == 1 && x->model->streams.hold_tool_calls,
                               .tries = tries,
                               .reply_id = x->reply_id,
                               .trace_lines = exchange_account_lines(x, &span),
                               .connect_due_ms = now_ms + b->deadlines.connect_ms,
                               .transcript = x->has_begun ? &x->transcript : NULL,
                               .way = way,
                               .bad_arena = &x->arena,
                               .notify = on_upstream,
                               .owner = x},
        out, &bad);
    if (e != ERR_OK) {
        x->unmappable = bad;
        x->unmappable_count++;
        return false;
    }
    x->attempts++;
    exchange_time_turn(x);
    exchange_account_opened(x, *out, span);
    if (x->model->streams.upstream == UPSTREAM_NEVER) {
        attempt_allow_silence(*out);
    }
    uint32_t tiers_after = pick_tiers_after(x->model, &x->tried, p);
    (*out)->share_due_ms =
        now_ms + (p->kind == PICK_TRIAL ? budget_trial_ms(left_ms, tiers_after)
                                        : budget_share_ms(left_ms, tiers_after));
    tell_kind(x, p);
    return true;
}

/* All the tokens that were asked for are there; only the end was lost. */
static bool is_spent(const struct exchange *x)
{
    return resume_left(&x->request,
                       &(struct chat_edit){.spent = transcript_spent(&x->transcript)}) == 0;
}

/* Somebody goes by how much there is already: a limit, or who is told the usage. */
static bool needs_count(const struct exchange *x, const struct backend *b)
{
    const struct chat_request *q = &x->request;
    return q->has_max_tokens || b->degrade.has_max_tokens || !q->stream || q->include_usage;
}

static const struct step *open_attempt(struct exchange *x, const struct pick *p, uint32_t tries)
{
    enum resume_way way = x->has_begun ? exchange_resume_way(x, p->member) : RESUME_RESTART;
    if (x->has_begun && !x->is_committed && !resume_sends_partial(way)) {
        exchange_forget_answer(x); /* nobody has seen it: anew is better than compared */
        way = RESUME_RESTART;
    }
    if (way == RESUME_NEVER) {
        return pass_over(x, p, FAILURE_seam_mismatch);
    }
    bool continues = resume_sends_partial(way);
    const struct step *counts = continues && needs_count(x, p->member->backend)
                                    ? exchange_count(x, COUNTED_TEXT, &step_pick)
                                    : NULL;
    if (counts) {
        return_pick(x, p);
        x->retry = tries > 1 ? p->member->backend : NULL; /* as chosen */
        return counts;
    }
    if (continues && is_spent(x)) {
        return_pick(x, p);
        return exchange_end_by_length(x);
    }
    if (!exchange_make_attempt(x, p, tries, way, &x->attempt)) {
        return pass_over(x, p, FAILURE_unmappable);
    }
    exchange_tally_go_on(x);
    hedge_plan(x);
    return x->is_committed ? &step_relay : &step_await;
}

static const struct step *pick_run(struct exchange *x)
{
    const struct step *spared = x->retry ? NULL : exchange_spare_third(x);
    if (spared) {
        return spared;
    }
    struct pick p;
    uint32_t tries;
    bool in_time = exchange_now(x) < x->due_ms;
    bool may_choose = in_time && x->tried.count < TRIED_MAX;
    if (may_choose && exchange_choose(x, &p, &tries)) {
        if (exchange_may_attempt(x, p.member->backend)) {
            return open_attempt(x, &p, tries);
        }
        return_pick(x, &p);
        return &step_fail;
    }
    if (may_choose && p.is_full) {
        return exchange_queue(x, &p);
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
    if (last_resort_answer(x)) {
        return &step_done;
    }
    LOG_AT(x->is_over_budget || x->is_shed ? LOG_INFO : LOG_WARN, "exchange failed",
           LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
           LOG_NUM("status", x->error.status), LOG_TEXT("code", x->error.code),
           LOG_STR("attempts", x->trail), LOG_NUM("took_ms", exchange_now(x) - x->started_ms),
           LOG_DONE);
    report_unserved(x);
    exchange_tally_error(x);
    answer_error(x);
    return &step_done;
}

const struct step step_pick = {"pick", pick_run};
const struct step step_queue = {"queue", queue_run};
const struct step step_backoff = {"backoff", backoff_run};
const struct step step_await = {"await", await_run};
const struct step step_relay = {"relay", relay_run};
const struct step step_linger = {"linger", linger_run};
const struct step step_count = {"count", count_run};
const struct step step_usage = {"usage", usage_run};
const struct step step_fail = {"fail", fail_run};
const struct step step_done = {"done", NULL};

/* --- the beginning --- */

static void name_exchange(struct exchange *x)
{
    char digits[STR_NUMBER_MAX];
    struct str reply[] = {STR("chatcmpl-"), str_hex64(rand_next(&x->worker->rand), digits)};
    x->request_id = answer_request_id(x->worker, x->client, &x->arena);
    x->reply_id = arena_join(&x->arena, reply, 2);
}

static struct exchange *make_exchange(struct worker *w, struct http_conn *client)
{
    struct exchange *x = slab_take(&w->exchange_slab);
    x->worker = w;
    x->client = client;
    x->step = &step_pick;
    x->serial = w->gateway->exchange_serial++;
    x->started_ms = loop_now_ms(w->loop);
    x->sent_ms = x->started_ms;
    arena_init(&x->arena);
    transcript_init(&x->transcript, TRANSCRIPT_MAX);
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
    exchange_account_begin(x);
    if (!understand_request(x, &e) || !admission_read(x, &e)) {
        exchange_account_read(x, &e);
        tally_end(w->gateway->tally, TALLY_NONE, OUTCOME_refused);
        answer_refuse(w, client, &e, STR_NONE);
        end_exchange(x);
        return;
    }
    exchange_account_read(x, NULL);
    retry_budget_count(w->gateway->retry_budget[x->model->index], x->started_ms);
    hedge_budget_count(&w->gateway->hedge_budget[x->model->index], &x->model->hedge);
    x->due_ms = x->started_ms + total_ms(x->model);
    x->keeps_transcript = x->request.n == 1 && x->model->streams.resume != RESUME_POLICY_OFF;
    exchange_set_needs(x);
    http_conn_attach(client, on_client, x);
    exchange_wake(x, WAKE_START);
}
