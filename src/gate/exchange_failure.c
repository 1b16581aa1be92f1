#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"
#include "gate/report.h"
#include "gate/resume_way.h"

/*
 * What a failed attempt leads to: one door before commit, one after it.
 */

enum { DEATH_WAIT_MS = 600, DEATH_LOOK_MS = 20, BUDGET_RETRY_AFTER_S = 1 };

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
    exchange_tally_failure(x, f);
    exchange_account_failed(x, f);
    LOG_AT(v->next == NEXT_CLIENT ? LOG_DEBUG : LOG_INFO, "attempt failed",
           LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
           LOG_STR("backend", a->backend->name), LOG_TEXT("reason", v->name),
           LOG_NUM("status", a->status), LOG_NUM("try", a->tries), LOG_TEXT("then", then),
           LOG_NUM("after_ms", exchange_now(x) - a->started_ms), LOG_DONE);
    board_count_attempt(g->board, a->backend->index, v->next == NEXT_CLIENT);
    verdict_log_failure(g->verdicts,
                        &(struct verdict_entry){.serving = a->pick.member->serving,
                                                .failure = f,
                                                .status = (uint16_t)a->status,
                                                .is_trial = a->pick.kind == PICK_TRIAL,
                                                .then = then},
                        exchange_now(x));
    if (v->next == NEXT_ELSEWHERE) {
        struct board_change change = board_on_failure(
            g->board, a->backend->index,
            &(struct failed_attempt){.failure = f,
                                     .is_first_500 = !x->drew_500,
                                     .hold_ms = a->retry_after_ms,
                                     .of = a->pick.member->serving - a->backend->first_serving,
                                     .ended = attempt_ended(a)},
            exchange_now(x));
        x->drew_500 = x->drew_500 || v->blame == BLAME_SUSPECT;
        gateway_note_change(g, a->backend, &change);
        if (change.opened) {
            gateway_note_opened(g, a->pick.member, exchange_now(x));
        }
        report_failover(x, f, then); /* after what it changed, whose story it is part of */
    }
    if (v->blame == BLAME_DOWN) {
        upstream_flush(x->worker->upstreams[a->backend->index]);
    }
}

/* A connection that breaks once the request is sent may mean that the process died of it. So
 * may an error: a vLLM whose engine is gone says so before its server exits. */
static void note_broken(struct exchange *x, enum failure f)
{
    const struct attempt *a = x->attempt;
    bool broke = f == FAILURE_reset || f == FAILURE_closed || f == FAILURE_truncated;
    bool said_so =
        f == FAILURE_http_500 || f == FAILURE_error_in_stream || f == FAILURE_error_in_body;
    if (!(broke || said_so) || !attempt_is_sent(a)) {
        return;
    }
    uint32_t i = 0;
    while (i < x->broken_count && x->broken[i].backend != a->backend) {
        i++;
    }
    if (i < BROKEN_MAX) {
        x->broken[i] = (struct doubtful){a->backend, exchange_now(x), said_so};
        x->broken_count = i == x->broken_count ? i + 1 : x->broken_count;
    }
}

/* The client's own error: its text may pass, in OpenAI's shape. */
static struct client_error client_error_of(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    struct arena *arena = &x->arena;
    struct str message =
        a->error.message.len > 0 ? a->error.message : STR("The backend refused the request.");
    struct str type = a->error.type.len > 0 ? a->error.type : STR("invalid_request_error");
    return (struct client_error){
        .status = a->status,
        .type = arena_dup(arena, type).ptr,
        .code = a->error.code.len > 0 ? arena_dup(arena, a->error.code).ptr : NULL,
        .message = arena_dup(arena, message),
        .param = arena_dup(arena, a->error.param)};
}

/* If no other backend has room for it, it is the client's own error after all, under the code
 * that SDKs know. */
static void note_too_long(struct exchange *x, enum failure f)
{
    if (f == FAILURE_context_exceeded) {
        x->too_long = client_error_of(x);
        x->too_long.code = "context_length_exceeded";
        exchange_note_refusal(x);
    }
}

bool exchange_may_go_on(const struct exchange *x)
{
    return x->keeps_transcript && !x->transcript.is_lost && exchange_now(x) < x->due_ms;
}

/* A backend that refuses to continue, or says something that does not fit, is asked once more,
 * from the beginning. */
static bool wants_restart(const struct exchange *x, enum failure f)
{
    const struct attempt *a = x->attempt;
    bool refused = f == FAILURE_client_error || f == FAILURE_seam_mismatch;
    return refused && a->has_seam && a->seam.mode != SEAM_RESTART && x->is_resuming;
}

/* The answer breaks off; perhaps not for the first time. */
static void note_break(struct exchange *x)
{
    exchange_tally_break(x);
    if (!x->is_resuming) {
        x->broken_at_ms = exchange_now(x);
    }
    x->is_resuming = true;
    x->counted = 0;
}

/* Drops the attempt, remembers where it was. */
static void drop_attempt(struct exchange *x)
{
    x->finish_by_ms = 0;
    x->hedge_at_ms = 0;
    x->retry_pick = x->attempt->pick;
    x->retry_pick.claim = 0; /* ends with the attempt, as its slot does */
    x->retry_pick.has_slot = false;
    x->retry_tries = x->attempt->tries;
    attempt_close(&x->attempt);
}

static const struct step *same_backend_again(struct exchange *x)
{
    x->retry = x->retry_pick.member->backend;
    return &step_pick;
}

/* What was collected is kept where the next backend may go on from it. */
static void keep_or_forget(struct exchange *x)
{
    if (x->has_begun) {
        note_break(x);
    }
    if (!x->has_begun || !exchange_may_go_on(x)) {
        exchange_forget_answer(x);
    }
}

const struct step *exchange_next_after(struct exchange *x, enum failure f)
{
    struct attempt *a = x->attempt;
    if (x->hedge) {
        note_broken(x, f);
        note_failure(x, f, "the other attempt goes on");
        note_too_long(x, f);
        return hedge_go_on(x);
    }
    if (wants_restart(x, f)) {
        note_failure(x, f, "same backend, from the beginning");
        exchange_forget_answer(x);
        drop_attempt(x);
        return same_backend_again(x);
    }
    uint32_t wait_ms = 0;
    enum retry_step step =
        verdict_next(f, &a->backend->retry, a->tries, a->retry_after_ms, &wait_ms);
    bool is_late = exchange_now(x) + wait_ms >= a->share_due_ms;
    if (step == RETRY_SAME && (is_late || a->pick.kind == PICK_TRIAL)) {
        step = RETRY_NEXT; /* the time is kept for others; one trial is enough */
    }
    note_broken(x, f);
    note_failure(x, f, retry_words[step]);
    keep_or_forget(x);
    note_too_long(x, f);
    x->is_budgeted = verdict_of(f)->further == FURTHER_BUDGETED && !x->has_begun;
    if (step == RETRY_GIVE_CLIENT) {
        x->error = client_error_of(x);
    }
    exchange_tally_leave(x);
    drop_attempt(x);
    if (step == RETRY_GIVE_CLIENT) {
        return &step_fail;
    }
    if (step == RETRY_SAME) {
        x->retry = x->retry_pick.member->backend;
        x->backoff_until_ms = exchange_now(x) + wait_ms;
        return &step_backoff;
    }
    tried_add(&x->tried, x->retry_pick.member->backend->index);
    return &step_pick;
}

/* --- the retry budget --- */

/* A storm is told of once in a while, not once a request. */
static void tell_refusals(struct exchange *x, struct retry_budget *budget)
{
    uint64_t refused = retry_budget_tell(budget, exchange_now(x));
    if (refused > 0) {
        log_warn("retry budget exhausted", LOG_STR("model", x->model->name),
                 LOG_NUM("refused", refused), LOG_STR("attempts", x->trail));
        report_budget(x, refused);
    }
}

/* It has not failed lately: what it is given is no storm for it. */
static bool is_well(const struct exchange *x, const struct backend *b)
{
    struct backend_view v = board_view(x->worker->gateway->board, b->index, exchange_now(x));
    return v.state == STATE_HEALTHY && v.recent_failures == 0;
}

bool exchange_may_attempt(struct exchange *x, const struct backend *at)
{
    struct retry_budget *budget = x->worker->gateway->retry_budget[x->model->index];
    if (!x->is_budgeted || retry_budget_take(budget, exchange_now(x)) || is_well(x, at)) {
        x->is_budgeted = false;
        return true;
    }
    exchange_tally_over_budget(x);
    tell_refusals(x, budget);
    x->is_over_budget = true;
    x->error = (struct client_error){
        .status = 503,
        .type = "service_unavailable",
        .code = "retry_budget_exhausted",
        .message = STR("The backends of this model fail too often; the request is not tried "
                       "again."),
        .retry_after_s = BUDGET_RETRY_AFTER_S};
    return false;
}

/* --- after commit --- */

struct client_error exchange_interrupted(void)
{
    return (struct client_error){.status = 502,
                                 .type = "server_error",
                                 .code = "stream_interrupted",
                                 .message =
                                     STR("The backend failed in the middle of the answer.")};
}

enum resume_way exchange_resume_way(struct exchange *x, const struct tier_member *m)
{
    enum resume_way best =
        resume_choose(&x->transcript, &x->request, gateway_dialect(m->backend));
    enum resume_way way =
        resume_way_by(x->model->streams.resume, m->backend->type,
                      board_ability(x->worker->gateway->board, m->serving), best);
    bool from_the_start = x->from_the_start && way != RESUME_NEVER;
    x->from_the_start = false;
    return from_the_start ? RESUME_RESTART : way;
}

const struct step *exchange_interrupt(struct exchange *x, enum failure f)
{
    bool goes_on = exchange_may_go_on(x);
    bool restarts =
        goes_on && wants_restart(x, f) && resume_way_may_restart(x->attempt->backend->type);
    note_broken(x, f);
    note_failure(x, f,
                 restarts  ? "same backend, from the beginning"
                 : goes_on ? "resume"
                           : "stream interrupted");
    note_break(x);
    drop_attempt(x);
    if (restarts) {
        x->from_the_start = true;
        return same_backend_again(x);
    }
    tried_add(&x->tried, x->retry_pick.member->backend->index);
    if (goes_on) {
        return &step_pick;
    }
    x->error = exchange_interrupted();
    return &step_fail;
}

void exchange_note_good(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    struct board *board = x->worker->gateway->board;
    gateway_note_answer(x->worker->gateway, a->pick.member, attempt_ended(a), exchange_now(x));
    board_count_attempt(board, a->backend->index, true);
    exchange_note_prompt(x);
    exchange_account_good(x);
}

void exchange_note_whole(struct exchange *x)
{
    exchange_tally_whole(x);
    log_debug("exchange done", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
              LOG_STR("backend", x->by.backend->name), LOG_NUM("attempts", x->attempts),
              LOG_NUM("took_ms", exchange_now(x) - x->started_ms));
}

void exchange_succeed(struct exchange *x)
{
    exchange_note_good(x);
    exchange_note_whole(x);
}

/* --- query of death --- */

/* It died with this request in flight: it refuses connections now, or its server, which lives
 * on for seconds, says that the engine is gone (reference: vLLM's /health answers 503 for that
 * and nothing else). */
static bool is_dead(const struct backend *b, const struct backend_view *v)
{
    bool is_gone = v->cause.failure == FAILURE_connect_refused;
    bool is_engineless = b->type == BACKEND_VLLM && v->cause.kind == CAUSE_PROBE_STATUS &&
                         v->cause.status == 503;
    return v->state != STATE_HEALTHY && (is_gone || is_engineless);
}

/* The probe that was asked for then has not answered yet. One that must keep its distance is
 * awaited only when another is dead already, or a storm of errors would wait. What breaks
 * connections, a probe's or ours, is doubted as long as there is time: the process may be going
 * down. */
static bool is_unclear(const struct exchange *x, const struct doubtful *d, bool is_second)
{
    const struct board *b = x->worker->gateway->board;
    struct backend_view v = board_view(b, d->backend->index, exchange_now(x));
    bool is_breaking = v.state != STATE_HEALTHY && v.cause.kind == CAUSE_PROBE_FAILED;
    uint64_t asked_ms = d->at_ms + (is_second ? PROBE_GAP_MS - 1 : 0);
    return !d->said_so || is_breaking || board_next_probe_ms(b, d->backend->index) <= asked_ms;
}

static void count_deaths(const struct exchange *x, uint32_t *dead, uint32_t *unclear)
{
    bool is_dead_one[BROKEN_MAX];
    *dead = 0;
    *unclear = 0;
    for (uint32_t i = 0; i < x->broken_count; i++) {
        const struct backend *b = x->broken[i].backend;
        struct backend_view v =
            board_view(x->worker->gateway->board, b->index, exchange_now(x));
        is_dead_one[i] = is_dead(b, &v);
        *dead += is_dead_one[i] ? 1 : 0;
    }
    for (uint32_t i = 0; i < x->broken_count; i++) {
        bool may_be = !is_dead_one[i] && is_unclear(x, &x->broken[i], *dead > 0);
        *unclear += may_be ? 1 : 0;
    }
}

const struct step *exchange_spare_third(struct exchange *x)
{
    uint32_t dead;
    uint32_t unclear;
    uint64_t now_ms = exchange_now(x);
    if (x->broken_count < 2) {
        return NULL;
    }
    count_deaths(x, &dead, &unclear);
    if (dead >= 2) {
        x->error = (struct client_error){
            .status = 502,
            .type = "server_error",
            .code = "backends_died",
            .message = STR("Two backends died while working on this request; it is not sent to "
                           "a third.")};
        return &step_fail;
    }
    if (x->death_due_ms == 0) {
        uint64_t due_ms = now_ms + DEATH_WAIT_MS;
        x->death_due_ms = due_ms < x->due_ms ? due_ms : x->due_ms;
    }
    if (dead + unclear < 2 || now_ms >= x->death_due_ms) {
        return NULL;
    }
    x->backoff_until_ms = now_ms + DEATH_LOOK_MS;
    return &step_backoff;
}
