#include "sim_judgement.h"

#include <inttypes.h>

#include "sim_loop.h"

enum { SURE_SPARE_MS = 500, LATE_MS = 100 };

void judgement_wrong(const struct judgement *j, const char *what)
{
    record_fail(j->oracle->record, j->x, "%s", what);
}

static const struct server *server_of(const struct judgement *j, const struct backend *b)
{
    return &j->oracle->servers->at[b->index];
}

/* Another one was at it at the same time and has spoken: whatever this one says is too late. */
static bool may_have_lost(const struct judgement *j, const struct ask *k)
{
    for (uint32_t i = 0; i < j->x->ask_count && j->oracle->setup->hedges; i++) {
        const struct ask *other = &j->x->asks[i];
        bool is_beside = (k->over_ms == 0 || k->over_ms >= other->at_ms) &&
                         (other->over_ms == 0 || other->over_ms >= k->at_ms);
        if (other != k && is_beside && ask_has_spoken(other)) {
            return true;
        }
    }
    return j->oracle->setup->hedges && k->is_cancelled;
}

/* With enough time for its script left, even if half of it is kept for others, and of the time
 * of a backend that is on trial because it has misbehaved before another half
 * (budget_trial_ms). */
static bool would_finish(const struct judgement *j, const struct ask *k)
{
    uint64_t left_ms = j->due_ms > k->at_ms ? j->due_ms - k->at_ms : 0;
    uint64_t share = j->oracle->servers->at[k->backend].has_misbehaved ? 4 : 2;
    return k->hope == HOPE_SURE && !k->is_killed && !may_have_lost(j, k) &&
           left_ms >= share * k->need_ms + SURE_SPARE_MS;
}

static bool cannot_take(const struct plan *p, const struct backend *b)
{
    return b->type == BACKEND_OLLAMA && plan_is_too_much(p);
}

/* After the first words only some may go on. */
static bool may_resume_at(const struct judgement *j, const struct backend *b)
{
    enum setup_resume policy = j->oracle->setup->resume;
    bool is_costly = b->type == BACKEND_OPENAI && policy == SETUP_EXACT;
    return policy != SETUP_OFF && j->x->plan.n == 1 && j->x->plan.call_count == 0 && !is_costly;
}

/* What was asked to go on by too many tokens said more than others would. */
static bool is_over_limit(const struct judgement *j)
{
    const struct plan *p = &j->x->plan;
    uint32_t given = 0;
    return p->has_limit && !p->is_counted &&
           said_is_prefix(&p->content[0], j->rd.choice[0].text, &given) && given > p->limit;
}

/* Why this backend did not have to finish it; NULL: it should have. */
static const char *excuse_of(const struct judgement *j, const struct backend *b)
{
    const struct server *sv = server_of(j, b);
    bool was_asked = false;
    bool may_resume = !j->is_committed || may_resume_at(j, b);
    if (cannot_take(&j->x->plan, b)) {
        return "it cannot take it";
    }
    if (is_over_limit(j)) {
        return "there are more tokens than wanted, which nobody could count";
    }
    for (uint32_t i = 0; i < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        if (k->backend == b->index && would_finish(j, k)) {
            return NULL;
        }
        was_asked = was_asked || (k->backend == b->index && !k->is_refusing);
    }
    if (was_asked) {
        return "it was asked, and failed";
    }
    if (j->x->known[b->index].state == STATE_DOWN || j->x->known[b->index].hold_ms > 0) {
        return "it was known to be down or on hold";
    }
    if (j->x->plan.is_slow && sv->has_misbehaved) {
        return "it may have been down when the error was said, which this client read late";
    }
    if (sv->connect_trouble_ms >= j->x->asked_ms) {
        return "it could not be reached";
    }
    return may_resume ? NULL : "it may not resume this";
}

static bool was_clients_error(const struct judgement *j)
{
    const struct sim_exchange *x = j->x;
    for (uint32_t i = x->ask_count; i > 0; i--) {
        const struct ask *k = &x->asks[i - 1];
        /* As an event where a comment has gone out before it. */
        bool is_as_told = j->rd.is_stream ? !j->is_committed : x->head.status == k->status;
        if (k->fault == SIM_client_error && is_as_told) {
            return true;
        }
        if (x->doubled == 0) {
            return false; /* else the other one may have said it */
        }
    }
    return false;
}

static bool has_killed_two(const struct judgement *j)
{
    uint32_t broken = 0;
    for (uint32_t i = 0; i < j->x->ask_count; i++) {
        const struct ask *k = &j->x->asks[i];
        bool says_so = k->fault == SIM_error_event || k->fault == SIM_server_error ||
                       k->fault == SIM_error_body || k->fault == SIM_error_late;
        broken += k->is_killed || says_so || fault_place(k->fault) == AT_BYTE ? 1 : 0;
    }
    return broken >= 2;
}

static void check_nobody_left(struct judgement *j)
{
    for (size_t t = 0; t < j->model->tier_count; t++) {
        for (size_t i = 0; i < j->model->tiers[t].member_count; i++) {
            const struct backend *b = j->model->tiers[t].members[i].backend;
            const char *excuse = excuse_of(j, b);
            if (!excuse) {
                record_fail(j->oracle->record, j->x,
                            "error '%.*s' (%d), but %.*s could have finished it",
                            STR_FMT(j->rd.error_code), j->x->head.status, STR_FMT(b->name));
                return;
            }
            record_trace(j->oracle->record, "oracle: %.*s: %s", STR_FMT(b->name), excuse);
        }
    }
}

/* Too many waited, or one for too long: only where there are slots, and never one whose answer
 * had begun. True: it is such an error. */
static bool check_line(struct judgement *j)
{
    const struct setup *s = j->oracle->setup;
    bool is_full = str_eq(j->rd.error_code, STR("queue_full"));
    if (!is_full && !str_eq(j->rd.error_code, STR("queue_timeout"))) {
        return false;
    }
    if (!s->has_slots || j->is_committed) {
        judgement_wrong(j, "refused by a line that it does not have to stand in");
    }
    if (is_full && (s->queue_max >= RECORD_EXCHANGES_MAX || j->x->ask_count > 0)) {
        judgement_wrong(j, "queue_full, but it has room for it");
    }
    if (!is_full && j->x->answered_ms < j->x->asked_ms + s->queue_wait_ms) {
        judgement_wrong(j, "queue_timeout before its time");
    }
    return true;
}

void judgement_check_error(struct judgement *j)
{
    struct str code = j->rd.error_code;
    const struct http_response *h = &j->x->head;
    /* Who stood in a line until then had no time left to ask anybody. */
    bool is_late = j->x->answered_ms + LATE_MS >= j->due_ms;
    if (was_clients_error(j) || is_late || check_line(j)) {
        return;
    }
    if (str_eq(code, STR("backends_died"))) {
        if (!has_killed_two(j)) {
            judgement_wrong(j, "backends_died, but no two have");
        }
        return;
    }
    if (str_eq(code, STR("all_backends_unavailable")) && !j->rd.is_stream) {
        struct str retry = http_find(h->header, h->header_count, "x-should-retry");
        struct str after = http_find(h->header, h->header_count, "retry-after");
        if (!str_eq(retry, STR("false")) || after.len == 0) {
            judgement_wrong(j, "a 503 that does not say when to come again");
        }
    }
    check_nobody_left(j);
}
