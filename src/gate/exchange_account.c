#include "gate/exchange_account.h"

#include "base/clock.h"
#include "gate/admission.h"
#include "gate/answer.h"
#include "tiers/account_queue.h"
#include "wire/json.h"

static uint64_t since_begin_us(const struct account *r)
{
    return clock_mono_us() - r->began_us;
}

static bool is_kept(const struct exchange *x)
{
    return x->account && x->account->is_kept;
}

/* --- the request --- */

static void begin_account(struct account *r, struct worker *w, struct http_conn *c,
                          struct arena *a)
{
    const struct http_request *q = http_conn_request(c);
    r->wall_us = clock_wall_ms() * 1000;
    r->began_us = clock_mono_us();
    r->peer = arena_dup(a, str_from(http_conn_peer(c)));
    if (q) {
        r->method = arena_dup(a, q->method);
        r->path = arena_dup(a, q->path);
        r->key = admission_name(w->gateway->settings, q);
    }
}

void exchange_account_begin(struct exchange *x)
{
    struct worker *w = x->worker;
    struct exchange_trace trace = {.is_known = false};
    bool is_traced = exchange_trace_begin(&trace, w, http_conn_request(x->client), &x->arena);
    bool is_logged = w->gateway->access_log != NULL;
    if (!is_traced && !is_logged) {
        return;
    }
    x->account = arena_zalloc(&x->arena, sizeof(*x->account));
    x->account->trace = trace;
    x->account->is_kept = is_logged || trace.is_sampled;
    if (x->account->is_kept) {
        struct account *r = &x->account->draft;
        begin_account(r, w, x->client, &x->arena);
        r->is_exchange = true;
        r->request_id = x->request_id;
        r->bytes_in = http_conn_body(x->client).len;
    }
    if (trace.is_sampled) {
        x->account->draft.ids = (struct account_ids){.trace_high = trace.context.trace_high,
                                                     .trace_low = trace.context.trace_low,
                                                     .span = trace.context.span,
                                                     .parent = trace.parent};
        x->account->draft.trace_state = trace.state;
    }
}

void exchange_account_read(struct exchange *x, const struct client_error *e)
{
    if (!is_kept(x)) {
        return;
    }
    struct account *r = &x->account->draft;
    const struct chat_request *q = &x->request;
    if (!e || x->request.body.len > 0) {
        r->asked = arena_dup(&x->arena, q->model);
        r->streams = q->stream;
        r->choices = q->n;
        r->max_tokens = q->has_max_tokens ? q->max_tokens : 0;
    }
    if (e) {
        x->error = *e;
        exchange_account_outcome(x, OUTCOME_refused);
    }
}

/* --- attempts --- */

struct str exchange_account_lines(struct exchange *x, uint64_t *span)
{
    *span = 0;
    if (!x->account) {
        return STR("");
    }
    if (x->account->trace.is_sampled) {
        *span = exchange_trace_span(x->worker);
    }
    return exchange_trace_lines(&x->account->trace, *span, &x->arena);
}

void exchange_account_opened(struct exchange *x, struct attempt *a, uint64_t span)
{
    if (!is_kept(x) || x->account->draft.attempt_count == ACCOUNT_ATTEMPTS_MAX) {
        return;
    }
    struct account *r = &x->account->draft;
    struct account_attempt *one = arena_zalloc(&x->arena, sizeof(*one));
    *one = (struct account_attempt){.backend = a->backend,
                                    .model = a->pick.member->model,
                                    .span = span,
                                    .began_us = since_begin_us(r),
                                    .resumes = a->has_seam,
                                    .tier = a->pick.tier + 1};
    x->account->attempt[r->attempt_count++] = one;
    a->account = one;
    a->account_began_us = r->began_us;
}

static void end_attempt(const struct attempt *a)
{
    struct account_attempt *one = a->account;
    if (one->ended_us == 0) {
        one->ended_us = clock_mono_us() - a->account_began_us;
    }
}

void exchange_account_failed(const struct exchange *x, enum failure f)
{
    if (x->attempt->account) {
        x->attempt->account->failure = f;
        end_attempt(x->attempt);
    }
}

void exchange_account_good(const struct exchange *x)
{
    if (x->attempt->account) {
        x->attempt->account->is_good = true;
        end_attempt(x->attempt);
    }
}

void exchange_account_closed(const struct attempt *a)
{
    struct account_attempt *one = a->account;
    end_attempt(a);
    one->status = a->status;
    one->pieces = a->tokens;
    one->prompt_tokens = a->reply.prompt_tokens;
    one->completion_tokens = a->reply.completion_tokens;
}

/* --- the answer --- */

void exchange_account_content(struct exchange *x)
{
    if (is_kept(x) && x->account->draft.first_us == 0) {
        x->account->draft.first_us = since_begin_us(&x->account->draft);
    }
}

void exchange_account_resumed(struct exchange *x)
{
    if (!is_kept(x)) {
        return;
    }
    struct account *r = &x->account->draft;
    if (r->resume_count < ACCOUNT_RESUMES_MAX) {
        uint64_t gap_ms = loop_now_ms(x->worker->loop) - x->broken_at_ms;
        r->resume[r->resume_count] =
            (struct account_resume){.at_us = since_begin_us(r), .gap_us = gap_ms * 1000};
    }
    r->resume_count++;
}

void exchange_account_queued(struct exchange *x, uint64_t waited_ms)
{
    if (is_kept(x)) {
        x->account->draft.queued_us += waited_ms * 1000;
    }
}

void exchange_account_finish(struct exchange *x, struct str chunk)
{
    struct json_iter it;
    struct arena a;
    if (!x->account || !x->account->trace.is_sampled) {
        return; /* the access log does not tell it, and a walk through an answer is dear */
    }
    struct account *r = &x->account->draft;
    arena_init(&a);
    json_iter_init(&it, json_get(chunk, "choices"));
    while (json_iter_next(&it) && r->finish_count < ACCOUNT_FINISH_MAX) {
        struct str reason;
        if (json_text(json_get(it.value, "finish_reason"), &a, &reason) == ERR_OK) {
            r->finish[r->finish_count++] = account_finish_word(reason);
        }
    }
    arena_fini(&a);
}

void exchange_account_usage(struct exchange *x, uint64_t prompt, uint64_t completion)
{
    if (is_kept(x)) {
        x->account->draft.prompt_tokens = prompt;
        x->account->draft.completion_tokens = completion;
    }
}

void exchange_account_sent(struct exchange *x, const struct str *parts, size_t count)
{
    for (size_t i = 0; is_kept(x) && i < count; i++) {
        x->account->draft.bytes_out += parts[i].len;
    }
}

/* --- the end --- */

void exchange_account_outcome(struct exchange *x, enum outcome o)
{
    if (is_kept(x)) {
        x->account->draft.outcome = o;
        x->account->draft.ended_us = since_begin_us(&x->account->draft);
        x->account->has_ended = true;
    }
}

static int status_of(const struct exchange *x)
{
    switch (x->account->draft.outcome) {
    case OUTCOME_ok:
    case OUTCOME_last_resort:
        return 200;
    case OUTCOME_failed:
    case OUTCOME_interrupted:
    case OUTCOME_refused:
        return x->head_sent ? 200 : x->error.status;
    case OUTCOME_client_left:
    case OUTCOME_COUNT:
        break;
    }
    return x->head_sent ? 200 : 0;
}

static struct str error_of(const struct exchange *x)
{
    enum outcome o = x->account->draft.outcome;
    bool is_error = o == OUTCOME_failed || o == OUTCOME_interrupted || o == OUTCOME_refused;
    return is_error && x->error.code ? str_from(x->error.code) : STR("");
}

static struct str degraded_of(const struct answerer *by)
{
    switch (by->kind) {
    case ANSWERER_BACKEND:
        return by->plan.is_degraded ? str_from(degrade_words(&by->plan)) : STR("");
    case ANSWERER_CACHE:
        return STR("cache");
    case ANSWERER_MESSAGE:
        return STR("message");
    }
    return STR("");
}

static void hand_over(struct gateway *g, const struct account *r)
{
    if (g->access_log) {
        account_queue_put(g->access_log, account_copy(r));
    }
    if (g->spans && r->ids.span != 0) {
        account_queue_put(g->spans, account_copy(r));
    }
}

void exchange_account_end(struct exchange *x)
{
    struct account_attempt attempts[ACCOUNT_ATTEMPTS_MAX];
    if (!is_kept(x)) {
        return;
    }
    struct account *r = &x->account->draft;
    if (!x->account->has_ended) {
        exchange_account_outcome(x, OUTCOME_client_left); /* it was cut with its connection */
    }
    for (uint32_t i = 0; i < r->attempt_count; i++) {
        attempts[i] = *x->account->attempt[i];
    }
    r->attempt = attempts;
    r->attempts = x->attempts;
    r->status = status_of(x);
    r->error = error_of(x);
    r->model = x->model;
    r->backend = x->by.backend;
    r->served = x->by.member ? x->by.member->model : STR("");
    r->tier = x->by.backend ? x->by.tier + 1 : 0;
    r->degraded = degraded_of(&x->by);
    r->trail = x->trail;
    hand_over(x->worker->gateway, r);
}

void exchange_account_other(struct worker *w, struct http_conn *c, int status, const char *code)
{
    struct arena a;
    struct account r = {.status = status, .error = str_from(code)};
    if (!w->gateway->access_log) {
        return;
    }
    arena_init(&a);
    begin_account(&r, w, c, &a);
    hand_over(w->gateway, &r);
    arena_fini(&a);
}
