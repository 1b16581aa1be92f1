#include "tiers/hedge.h"

#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"

/*
 * While the first token is late, a second attempt runs beside the first: whichever has content
 * first is the answer's, the other is cancelled; one that fails leaves the answer to the other.
 */

void hedge_plan(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    struct backend_figures figures;
    if (!x->model->hedge.is_on || x->attempts > 1) {
        return;
    }
    board_figures(x->worker->gateway->board, a->backend->index, &figures);
    uint64_t after_ms = hedge_after_ms(&x->model->hedge, &figures);
    x->hedge_at_ms = after_ms > 0 ? a->started_ms + after_ms : 0;
}

uint64_t hedge_due_ms(const struct exchange *x)
{
    enum failure unused;
    if (x->hedge) {
        return exchange_attempt_due(x, x->hedge, &unused);
    }
    return x->hedge_at_ms > 0 ? x->hedge_at_ms : UINT64_MAX;
}

/* Somebody else of the model who is well, or nobody. */
static bool find_other(struct exchange *x, struct pick *p)
{
    struct worker *w = x->worker;
    struct tried tried = x->tried;
    tried_add(&tried, x->attempt->backend->index);
    struct pick_query q = exchange_query(x);
    q.tried = &tried;
    q.may_try = false;
    q.usable_only = true;
    q.standing = STANDING_HEDGE; /* whoever waits comes before a second attempt */
    return pick_backend(&q, &w->rand, p);
}

static void begin_hedge(struct exchange *x)
{
    struct gateway *g = x->worker->gateway;
    struct pick p;
    if (!find_other(x, &p)) {
        return;
    }
    bool is_paid = hedge_budget_take(&g->hedge_budget[x->model->index]);
    if (!is_paid) {
        tally_hedge(g->tally, x->model->index, HEDGE_refused);
    }
    if (!is_paid || !exchange_make_attempt(x, &p, 1, RESUME_RESTART, &x->hedge)) {
        pick_release(g->board, &p, exchange_now(x));
        return;
    }
    x->hedge->hedges = x->model->index + 1;
    log_debug("hedged", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
              LOG_STR("late", x->attempt->backend->name),
              LOG_STR("backend", p.member->backend->name));
}

static void swap(struct exchange *x)
{
    struct attempt *other = x->hedge;
    x->hedge = x->attempt;
    x->attempt = other;
}

const struct step *hedge_await(struct exchange *x)
{
    if (x->hedge_at_ms > 0 && exchange_now(x) >= x->hedge_at_ms) {
        x->hedge_at_ms = 0;
        if (x->attempt->first_content_ms == 0) { /* else it is in time, but held back */
            begin_hedge(x);
        }
    }
    if (!x->hedge) {
        return NULL;
    }
    swap(x);
    const struct step *next = await_attempt(x);
    if (!next && x->hedge) {
        swap(x); /* nothing yet: the first one stays the first */
    }
    return next;
}

void hedge_settle(struct exchange *x)
{
    x->hedge_at_ms = 0;
    if (x->attempt->hedges > 0) {
        tally_hedge(x->worker->gateway->tally, x->model->index, HEDGE_won);
        x->attempt->hedges = 0;
    }
    if (x->hedge) {
        answer_note(x, x->hedge->backend->name, "late");
        attempt_close(&x->hedge);
    }
}

const struct step *hedge_go_on(struct exchange *x)
{
    tried_add(&x->tried, x->attempt->backend->index);
    exchange_tally_leave(x);
    attempt_close(&x->attempt);
    x->attempt = x->hedge;
    x->hedge = NULL;
    exchange_tally_go_on(x);
    exchange_wake(x, WAKE_UPSTREAM); /* what it may have is told in the next phase */
    return NULL;
}
