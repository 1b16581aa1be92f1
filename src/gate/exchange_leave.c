#include "gate/exchange_priv.h"

/*
 * Whoever waits for a backend that was found to hang, whose GPU is gone or which the operator
 * has disabled, no longer does.
 */

static bool note_hang(struct attempt *a, const struct board *b, uint64_t now_ms)
{
    if (!a) {
        return false;
    }
    struct backend_view v = board_view(b, a->backend->index, now_ms);
    a->is_hung = v.state == STATE_DOWN && v.cause.kind == CAUSE_HUNG;
    return a->is_hung;
}

/* Only where the answer can go on: else the GPU may yet prove its agent wrong. */
static bool note_cut(const struct exchange *x, struct attempt *a, uint64_t now_ms)
{
    const struct board *b = x->worker->gateway->board;
    if (!a || board_view(b, a->backend->index, now_ms).advice.counsel != COUNSEL_CUT) {
        return false;
    }
    bool can_go_on = !x->has_begun || exchange_may_go_on(x);
    a->is_cut = can_go_on && pick_has_other(x->model, b, a->backend, now_ms);
    return a->is_cut;
}

/* Whether or not the answer can go on elsewhere: an operator who lets answers end there drains
 * it. */
static bool note_disabled(struct attempt *a, const struct board *b)
{
    if (!a) {
        return false;
    }
    a->is_disabled = board_operator(b, a->backend->index) == OPERATOR_DISABLED;
    return a->is_disabled;
}

/* Any of its reasons. */
static bool note_leave(const struct exchange *x, struct attempt *a, uint64_t now_ms)
{
    const struct board *b = x->worker->gateway->board;
    bool is_hung = note_hang(a, b, now_ms);
    bool is_cut = note_cut(x, a, now_ms);
    return note_disabled(a, b) || is_hung || is_cut;
}

void exchange_leave_hung(struct worker *w)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    list_each(&w->exchanges, node, after)
    {
        struct exchange *x = container_of(node, struct exchange, node);
        bool is_first = note_leave(x, x->attempt, now_ms);
        bool is_second = note_leave(x, x->hedge, now_ms);
        if (is_first || is_second) {
            exchange_wake(x, WAKE_TIMER);
        }
    }
}
