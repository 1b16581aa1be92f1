#include "gate/exchange_tally.h"

#include "gate/exchange_priv.h"

static void tally_outcome(struct exchange *x, enum outcome o)
{
    tally_end(x->worker->gateway->tally, x->model->index, o);
}

void exchange_tally_whole(struct exchange *x)
{
    tally_outcome(x, OUTCOME_ok);
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
    exchange_tally_lost(x);
}

void exchange_tally_last_resort(struct exchange *x, enum last_resort kind)
{
    tally_last_resort(x->worker->gateway->tally, x->model->index, kind);
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
