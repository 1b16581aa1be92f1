#include "gate/exchange_tally.h"

#include "base/clock.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "tiers/meters.h"

static void tally_outcome(struct exchange *x, enum outcome o)
{
    tally_end(x->worker->gateway->tally, x->model->index, o);
    exchange_account_outcome(x, o);
}

static struct meters *meters_of(const struct exchange *x)
{
    return tally_meters(x->worker->gateway->tally);
}

/* Whose answer, or part of one, the client has. */
static void tally_answer(struct exchange *x, enum answer_end e)
{
    const struct model *m = x->model;
    if (!x->by.member) {
        return; /* the client's word was enough, or a last resort */
    }
    uint32_t place = (uint32_t)(x->by.member - m->tiers[x->by.tier].members);
    for (uint32_t t = 0; t < x->by.tier; t++) {
        place += (uint32_t)m->tiers[t].member_count;
    }
    meters_answer(meters_of(x), m->index, place, e);
}

void exchange_tally_whole(struct exchange *x)
{
    tally_outcome(x, OUTCOME_ok);
    tally_answer(x, ANSWER_OK);
    if (x->by.plan.is_degraded) {
        tally_degraded(x->worker->gateway->tally, x->model->index);
    }
    if (x->is_resuming) { /* all that was asked for had come before the break */
        tally_resumed(x->worker->gateway->tally, x->broken_backend, TALLY_NONE, 0);
    }
}

static enum outcome outcome_of_error(const struct exchange *x)
{
    if (x->is_committed) {
        return OUTCOME_interrupted;
    }
    return x->error.status < 500 ? OUTCOME_refused : OUTCOME_failed;
}

void exchange_tally_error(struct exchange *x)
{
    tally_outcome(x, outcome_of_error(x));
    if (x->is_committed) {
        tally_answer(x, ANSWER_INTERRUPTED);
    }
    exchange_tally_lost(x);
}

void exchange_tally_last_resort(struct exchange *x, enum last_resort kind)
{
    tally_last_resort(x->worker->gateway->tally, x->model->index, kind);
    exchange_account_content(x);
    exchange_account_outcome(x, OUTCOME_last_resort);
    exchange_tally_lost(x);
}

void exchange_tally_lost(struct exchange *x)
{
    if (x->is_resuming) {
        tally_not_resumed(x->worker->gateway->tally, x->broken_backend);
    }
}

void exchange_tally_left(struct exchange *x)
{
    tally_outcome(x, OUTCOME_client_left);
    if (x->is_committed) {
        tally_answer(x, ANSWER_CLIENT_LEFT);
    }
}

void exchange_tally_break(struct exchange *x)
{
    if (!x->is_resuming) { /* else it had nothing to add to: the first break goes on */
        x->broken_backend = x->attempt->backend->index;
        x->content_at_ms = x->attempt->progress_ms;
    }
}

void exchange_tally_resumed(struct exchange *x)
{
    tally_resumed(x->worker->gateway->tally, x->broken_backend, x->attempt->backend->index,
                  exchange_now(x) - x->content_at_ms);
}

void exchange_tally_failure(struct exchange *x, enum failure f)
{
    meters_failure(meters_of(x), x->attempt->backend->index, f);
}

void exchange_tally_leave(struct exchange *x)
{
    x->left_backend = x->attempt->backend->index;
    x->has_left = true;
}

void exchange_tally_go_on(struct exchange *x)
{
    uint32_t to = x->attempt->backend->index;
    if (x->has_left && !x->has_begun && x->left_backend != to) {
        meters_failover(meters_of(x), x->left_backend, to);
    }
    x->has_left = false;
}

void exchange_tally_over_budget(struct exchange *x)
{
    meters_over_budget(meters_of(x), x->model->index);
}

void exchange_time_take(struct exchange *x)
{
    x->is_timed = false;
    x->own_us += clock_mono_us() - loop_woke_us(x->worker->loop);
}

void exchange_time_tally(const struct exchange *x)
{
    meters_own(meters_of(x), x->worker->index, x->own_us);
}
