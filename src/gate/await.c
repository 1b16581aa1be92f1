#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"

/*
 * Before commit: nothing but keep-alive comments goes out, so that any failure can still go
 * elsewhere. The first content commits a stream; a client that waits for one JSON body gets it
 * when all of it is there.
 */

/* The whole answer goes out. `is_over`: nothing more can come from the backend. */
static const struct step *deliver(struct exchange *x, struct str body, bool is_over)
{
    exchange_succeed(x);
    last_resort_keep(x, body);
    if (!x->attempt->has_seam) {
        answer_note(x, x->attempt->backend->name, "ok");
    }
    is_over = is_over || !attempt_is_sent(x->attempt);
    answer_whole(x, body);
    if (is_over) {
        attempt_close(&x->attempt);
        return &step_done;
    }
    return exchange_linger(x);
}

static const struct step *deliver_plain(struct exchange *x)
{
    const struct reply *reply = &x->attempt->reply;
    exchange_now_answers(x);
    exchange_account_usage(x, reply->prompt_tokens, reply->completion_tokens);
    exchange_account_finish(x, buf_str(&x->attempt->whole));
    return deliver(x, buf_str(&x->attempt->whole), true);
}

/* One piece where a stream was asked for is well, too; only behind half an answer nobody can
 * say what it is. */
static const struct step *take_whole(struct exchange *x)
{
    struct attempt *a = x->attempt;
    if (a->has_seam) {
        return exchange_next_after(x, FAILURE_seam_mismatch);
    }
    return x->request.stream ? relay_whole(x, buf_str(&a->whole)) : deliver_plain(x);
}

static const struct step *deliver_collected(struct exchange *x, bool is_over)
{
    if (exchange_lacks_usage(x)) {
        if (!x->attempt->has_seam) {
            answer_note(x, x->attempt->backend->name, "ok");
        }
        return exchange_end_with_usage(x);
    }
    return deliver(x, assembly_json(x->assembly, &x->attempt->arena), is_over);
}

/* Something for the client: from here on the answer is this backend's. */
static bool is_first_content(const struct attempt *a)
{
    return (a->event.has_content && !a->event.is_held) || a->finished;
}

static const struct step *begin_collecting(struct exchange *x)
{
    enum failure unfit = exchange_begin_answer(x);
    return unfit == FAILURE_ok ? NULL : exchange_next_after(x, unfit);
}

static const struct step *collect_event(struct exchange *x)
{
    struct attempt *a = x->attempt;
    enum failure unfit = exchange_collect_event(x);
    if (unfit != FAILURE_ok) {
        return exchange_next_after(x, unfit);
    }
    if (a->finished && x->finish_by_ms == 0) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    return a->event.is_done ? deliver_collected(x, false) : NULL;
}

/* One event: the next step, or NULL to go on reading. */
static const struct step *await_event(struct exchange *x)
{
    const struct step *next = NULL;
    if (!x->has_begun) {
        if (!is_first_content(x->attempt)) {
            exchange_hold_event(x);
            return NULL;
        }
        if (x->request.stream) {
            return relay_commit(x);
        }
        next = begin_collecting(x);
    }
    return next ? next : collect_event(x);
}

/* What was finished stays finished, whatever comes behind the last finish_reason. */
static const struct step *fail_or_deliver(struct exchange *x, enum failure f)
{
    bool is_whole = x->attempt->finished && x->has_begun;
    return is_whole ? deliver_collected(x, true) : exchange_next_after(x, f);
}

static const struct step *await_more(struct exchange *x)
{
    enum failure late;
    uint64_t now_ms = exchange_now(x);
    if (x->attempt->finished && now_ms >= x->finish_by_ms) {
        return deliver_collected(x, true);
    }
    if (now_ms >= exchange_attempt_due(x, x->attempt, &late)) {
        return fail_or_deliver(x, late);
    }
    exchange_keep_client(x);
    return NULL;
}

const struct step *await_run(struct exchange *x)
{
    const struct step *next = await_attempt(x);
    return next || x->has_begun ? next : hedge_await(x);
}

const struct step *await_attempt(struct exchange *x)
{
    struct attempt *a = x->attempt;
    const struct step *next;
    for (;;) {
        switch (attempt_next(a)) {
        case YIELD_EVENT:
            next = await_event(x);
            if (next) {
                return next;
            }
            break;
        case YIELD_FLUSH:
            if (exchange_turn_is_over(x)) {
                return await_more(x);
            }
            break;
        case YIELD_WHOLE:
            return take_whole(x);
        case YIELD_END:
            return deliver_collected(x, true);
        case YIELD_AGAIN:
            return await_more(x);
        case YIELD_FAILED:
            return fail_or_deliver(x, a->failure);
        }
    }
}
