#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"
#include "tiers/lines.h"
#include "tiers/loads.h"

/*
 * Which backend comes next, and the wait for a slot while all who could serve have theirs
 * taken (tiers/lines.h). A slot that is granted is picked up in step_pick.
 */

enum { RETRY_AFTER_MAX_S = 3600 };

static struct lines *lines_of(const struct exchange *x)
{
    return loads_lines(board_loads(x->worker->gateway->board));
}

/* A client that has half an answer comes first. */
static enum standing standing_of(const struct exchange *x)
{
    if (x->has_begun) {
        return STANDING_RESUME;
    }
    switch (x->priority) {
    case PRIORITY_HIGH:
        return STANDING_HIGH;
    case PRIORITY_NORMAL:
        return STANDING_NORMAL;
    case PRIORITY_LOW:
        break;
    }
    return STANDING_LOW;
}

struct pick_query exchange_query(struct exchange *x)
{
    return (struct pick_query){.model = x->model,
                               .board = x->worker->gateway->board,
                               .tried = &x->tried,
                               .now_ms = exchange_now(x),
                               .may_try = x->attempts == 0,
                               .has_key = x->has_affinity,
                               .key = x->affinity,
                               .standing = standing_of(x),
                               .serial = x->serial,
                               .needs = exchange_needs(x)};
}

/* --- choosing --- */

/* The same backend, if it still has a slot. */
static bool choose_again(struct exchange *x, struct pick *p)
{
    *p = x->retry_pick;
    x->retry = NULL;
    return pick_again(x->worker->gateway->board, p);
}

/* The slot that was granted, unless the operator has taken its backend out meanwhile. */
static bool take_granted(struct exchange *x, struct pick *p)
{
    struct board *board = x->worker->gateway->board;
    if (!x->place || !x->place->is_granted) {
        return false;
    }
    *p = x->place->granted;
    x->place->is_granted = false;
    bool is_in = board_operator(board, p->member->backend->index) == OPERATOR_NONE;
    if (!is_in) {
        pick_release(board, p, exchange_now(x));
    }
    return is_in;
}

static bool choose_new(struct exchange *x, struct pick *p)
{
    struct pick_query q = exchange_query(x);
    if (take_granted(x, p)) {
        return true;
    }
    return pick_backend(&q, &x->worker->rand, p);
}

bool exchange_choose(struct exchange *x, struct pick *p, uint32_t *tries)
{
    bool is_again = x->retry && choose_again(x, p);
    if (!is_again && !choose_new(x, p)) {
        return false;
    }
    if (p->is_overflow && !is_again) {
        tally_overflow(x->worker->gateway->tally, x->model->index);
    }
    /* It may come back to the same one after others had its slot. */
    bool was_last = x->attempts > 0 && x->retry_pick.member == p->member;
    *tries = was_last ? x->retry_tries + 1 : 1;
    x->from_the_start = x->from_the_start && was_last; /* that was meant for it alone */
    return true;
}

/* --- the wait --- */

const struct step *exchange_queue(struct exchange *x, const struct pick *p)
{
    struct place *place = x->place;
    if (!place) {
        place = x->place = arena_zalloc(&x->arena, sizeof(*place));
        place->exchange = x;
    }
    if (place->since_ms == 0 || place->attempts != x->attempts) {
        place->since_ms = exchange_now(x);
        place->attempts = x->attempts;
    }
    place->waiter.tier = p->tier;
    place->waiter.kind = p->kind;
    return &step_queue;
}

/* It was taken in before: to refuse it now would be to lose it. */
static bool enter_line(struct exchange *x)
{
    struct place *place = x->place;
    place->waiter.query = exchange_query(x);
    place->waiter.is_owed = x->attempts > 0;
    place->waiter.tell = worker_tell_turn;
    place->waiter.teller = x->worker;
    place->is_waiting = lines_join(lines_of(x), &place->waiter);
    if (place->is_waiting) {
        list_push_back(&x->worker->waiting, &place->node);
    }
    return place->is_waiting;
}

/* Out of the line, perhaps with a slot. */
static void leave_line(struct exchange *x)
{
    struct place *place = x->place;
    place->is_waiting = false;
    list_remove(&x->worker->waiting, &place->node);
    place->is_granted = lines_leave(lines_of(x), &place->waiter, &place->granted);
}

void exchange_leave_queue(struct exchange *x)
{
    struct place *place = x->place;
    if (place && place->is_waiting) {
        leave_line(x);
    }
    if (place && place->is_granted) {
        place->is_granted = false;
        pick_release(x->worker->gateway->board, &place->granted, exchange_now(x));
    }
}

static uint32_t retry_after_s(struct exchange *x)
{
    struct pick_query q = exchange_query(x);
    uint64_t wait_ms = lines_wait_ms(lines_of(x), &q, x->place->waiter.tier);
    wait_ms = wait_ms == UINT64_MAX ? x->model->queue.wait_ms : wait_ms;
    uint64_t wait_s = wait_ms / 1000 + 1;
    return (uint32_t)(wait_s < RETRY_AFTER_MAX_S ? wait_s : RETRY_AFTER_MAX_S);
}

static const struct step *refuse(struct exchange *x, enum queue_end end)
{
    bool is_full = end == QUEUE_FULL;
    tally_queue(x->worker->gateway->tally, x->model->index, end, 0);
    x->is_shed = true;
    exchange_account_queued(x, exchange_now(x) - x->place->since_ms);
    if (x->is_committed) {
        x->error = exchange_interrupted();
        return &step_fail;
    }
    x->error = (struct client_error){
        .status = 503,
        .type = "service_unavailable",
        .code = is_full ? "queue_full" : "queue_timeout",
        .message = is_full ? STR("All backends of this model are busy, and too many requests "
                                 "wait for them.")
                           : STR("All backends of this model were busy for too long."),
        .retry_after_s = retry_after_s(x)};
    return &step_fail;
}

static const struct step *take_turn(struct exchange *x)
{
    tally_queue(x->worker->gateway->tally, x->model->index, QUEUE_SERVED,
                exchange_now(x) - x->place->since_ms);
    exchange_account_queued(x, exchange_now(x) - x->place->since_ms);
    log_debug("waited for a slot", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
              LOG_NUM("wait_ms", exchange_now(x) - x->place->since_ms));
    return &step_pick;
}

/* What a slot that became free cannot tell: a backend that is back, one that is none any more,
 * or a tier that has become the faster one. */
static const struct step *look_again(struct exchange *x)
{
    struct place *place = x->place;
    struct board *board = x->worker->gateway->board;
    struct pick_query q = exchange_query(x);
    struct pick p;
    place->look_at_ms = exchange_now(x) + LINES_LOOK_MS;
    if (pick_backend(&q, &x->worker->rand, &p)) {
        leave_line(x);
        if (place->is_granted) {
            pick_release(board, &p, exchange_now(x));
        } else {
            place->granted = p;
            place->is_granted = true;
        }
        return take_turn(x);
    }
    if (!p.is_full) {
        leave_line(x);
        return &step_pick; /* nobody is there to wait for, and that is said there */
    }
    lines_move(lines_of(x), &place->waiter, p.tier, p.kind);
    return NULL;
}

/* Half an answer has all the time that is left. */
static uint64_t end_of_wait_ms(const struct exchange *x)
{
    uint64_t end_ms = x->place->since_ms + x->model->queue.wait_ms;
    return x->has_begun || end_ms > x->due_ms ? x->due_ms : end_ms;
}

const struct step *queue_run(struct exchange *x)
{
    struct place *place = x->place;
    if (!place->is_waiting) {
        if (!enter_line(x)) {
            return refuse(x, QUEUE_FULL);
        }
        place->look_at_ms = 0;
    }
    if (lines_is_granted(&place->waiter)) {
        leave_line(x);
        return take_turn(x);
    }
    if (exchange_now(x) >= end_of_wait_ms(x)) {
        leave_line(x);
        return place->is_granted ? take_turn(x) : refuse(x, QUEUE_TIMEOUT);
    }
    if (lines_take_call(&place->waiter) || exchange_now(x) >= place->look_at_ms) {
        const struct step *next = look_again(x);
        if (next) {
            return next;
        }
    }
    exchange_keep_client(x);
    return NULL;
}

uint64_t queue_due_ms(const struct exchange *x)
{
    uint64_t due_ms = end_of_wait_ms(x);
    return x->place->look_at_ms < due_ms ? x->place->look_at_ms : due_ms;
}

void exchange_take_turns(struct worker *w)
{
    list_each(&w->waiting, node, after)
    {
        struct place *place = container_of(node, struct place, node);
        if (lines_is_told(&place->waiter)) {
            exchange_wake(place->exchange, WAKE_TURN);
        }
    }
}
