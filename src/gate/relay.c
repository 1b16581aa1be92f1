#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "llm/whole_stream.h"

/*
 * From the backend's reply to the client's stream: from commit to the end.
 */

enum { BATCH_MAX = 32 };

/* Pieces of one write; neighbours in memory are joined. */
struct batch {
    struct str part[BATCH_MAX];
    size_t count;
};

static void batch_send(struct exchange *x, struct batch *b, bool last)
{
    if (b->count > 0 || last) {
        answer_stream(x, b->part, b->count, last);
        b->count = 0;
    }
}

static void batch_add(struct exchange *x, struct batch *b, struct str piece)
{
    struct str *top = b->count > 0 ? &b->part[b->count - 1] : NULL;
    if (piece.len == 0) {
        return;
    }
    if (top && top->ptr + top->len == piece.ptr) {
        top->len += piece.len;
        return;
    }
    if (b->count == BATCH_MAX) {
        batch_send(x, b, false);
    }
    b->part[b->count++] = piece;
}

static void batch_add_chunk(struct exchange *x, struct batch *b, struct str chunk)
{
    if (chunk.len > 0) {
        batch_add(x, b, STR("data: "));
        batch_add(x, b, chunk);
        batch_add(x, b, STR("\n\n"));
    }
}

/* The current event in the client's form. What is not verbatim lives only until the next event,
 * so it is sent at once. */
static void batch_event(struct exchange *x, struct batch *b)
{
    const struct attempt *a = x->attempt;
    const struct reply_event *ev = &a->event;
    bool is_last_finish = ev->has_finish && ev->all_finished;
    batch_add_chunk(x, b, ev->tool_chunk);
    if (ev->is_verbatim && a->raw.len > 0 && ev->chunk.len > 0 && !is_last_finish) {
        batch_add(x, b, a->raw);
        return;
    }
    if (is_last_finish && ev->chunk.len > 0) {
        batch_add(x, b, answer_annotated_event(x, ev->chunk));
    } else {
        batch_add_chunk(x, b, ev->chunk);
    }
    batch_add_chunk(x, b, ev->usage_chunk);
    if (!ev->is_done) {
        batch_send(x, b, false);
    }
}

/* The client has everything. The attempt goes on only to see its end, so that the connection
 * can be used again; one that still sends our request reads memory that is the client's, so it
 * is cut first. */
static const struct step *end_stream(struct exchange *x, struct batch *b)
{
    if (exchange_lacks_usage(x)) {
        batch_send(x, b, false);
        return exchange_end_with_usage(x);
    }
    exchange_succeed(x);
    last_resort_keep_heard(x);
    bool was_sent = attempt_is_sent(x->attempt);
    batch_send(x, b, true);
    if (!was_sent) {
        attempt_close(&x->attempt);
        return &step_done;
    }
    return exchange_linger(x);
}

/* One event after commit: the next step, or NULL to go on reading. */
static const struct step *relay_event(struct exchange *x, struct batch *b)
{
    struct attempt *a = x->attempt;
    exchange_note_given(x);
    batch_event(x, b);
    if (a->event.is_done) {
        return end_stream(x, b);
    }
    if (a->finished && x->finish_by_ms == 0) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    return NULL;
}

/* What was finished stays finished, whatever comes behind the last finish_reason: the client
 * has it, and a second one would contradict it. */
static const struct step *end_or_interrupt(struct exchange *x, struct batch *b, enum failure f)
{
    return x->attempt->finished ? end_stream(x, b) : exchange_interrupt(x, f);
}

/* Nothing more has come: what is there goes out; is patience at its end? */
static const struct step *relay_more(struct exchange *x, struct batch *b)
{
    enum failure late;
    batch_send(x, b, false);
    if (x->attempt->finished && exchange_now(x) >= x->finish_by_ms) {
        return end_stream(x, b);
    }
    if (exchange_now(x) >= exchange_attempt_due(x, x->attempt, &late)) {
        return end_or_interrupt(x, b, late);
    }
    exchange_keep_client(x);
    return NULL;
}

bool relay_client_is_behind(const struct exchange *x)
{
    return x->attempt->first_content_ms != 0 && http_reply_pending(x->client) > 0;
}

/* Stops and restarts reading from the backend accordingly. */
static bool client_is_behind(struct exchange *x)
{
    struct attempt *a = x->attempt;
    bool is_behind = relay_client_is_behind(x);
    if (is_behind) {
        attempt_pause(a);
    } else if (a->is_paused) {
        /* The backend's patience begins anew: it could not be heard. */
        a->progress_ms = exchange_now(x);
        flow_restart(&a->flow, a->progress_ms);
        x->finish_by_ms = a->finished ? a->progress_ms + FINISH_GRACE_MS : 0;
        attempt_resume(a);
    }
    return is_behind;
}

/* The client is behind: only the clock can move this exchange, and the operator. */
static const struct step *wait_for_client(struct exchange *x, struct batch *b)
{
    if (x->attempt->is_disabled) {
        return end_or_interrupt(x, b, FAILURE_disabled);
    }
    return exchange_now(x) >= x->due_ms ? end_or_interrupt(x, b, FAILURE_total_timeout) : NULL;
}

/* Everything that has come is passed on; stops when the client does not keep up. */
const struct step *relay_run(struct exchange *x)
{
    struct attempt *a = x->attempt;
    struct batch b;
    const struct step *next = NULL;
    b.count = 0; /* only: to clear all of it costs more than the rest of this */
    while (!next && (attempt_has_rest(a) || !client_is_behind(x))) {
        switch (attempt_next(a)) {
        case YIELD_EVENT:
            next = relay_event(x, &b);
            break;
        case YIELD_FLUSH:
            batch_send(x, &b, false);
            if (exchange_turn_is_over(x)) {
                return relay_more(x, &b);
            }
            break;
        case YIELD_AGAIN:
            return relay_more(x, &b);
        case YIELD_END:
            return end_stream(x, &b);
        case YIELD_WHOLE: /* not what was asked for, and the client is in the middle of a stream
                           */
            return exchange_interrupt(x, FAILURE_seam_mismatch);
        case YIELD_FAILED:
            batch_send(x, &b, false);
            return end_or_interrupt(x, &b, a->failure);
        }
    }
    return next ? next : wait_for_client(x, &b);
}

const struct step *relay_commit(struct exchange *x)
{
    struct attempt *a = x->attempt;
    struct batch b = {.count = 0};
    x->is_committed = true;
    exchange_begin_answer(x);
    answer_note(x, a->backend->name, "ok");
    answer_begin_stream(x);
    exchange_note_given(x);
    batch_add(x, &b, buf_str(&a->held));
    batch_event(x, &b);
    if (a->event.is_done) {
        return end_stream(x, &b);
    }
    if (a->finished) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    batch_send(x, &b, false);
    buf_fini(&a->held);
    return &step_relay;
}

const struct step *relay_whole(struct exchange *x, struct str body)
{
    struct attempt *a = x->attempt;
    struct batch b = {.count = 0};
    struct str chunk;
    struct str usage;
    if (whole_as_chunk(body, x->request.include_usage, &a->arena, &chunk, &usage) != ERR_OK) {
        return exchange_next_after(x, FAILURE_not_json);
    }
    x->is_committed = true;
    exchange_now_answers(x);
    exchange_account_usage(x, a->reply.prompt_tokens, a->reply.completion_tokens);
    exchange_account_finish(x, body);
    answer_note(x, a->backend->name, "ok");
    answer_begin_stream(x);
    exchange_succeed(x);
    last_resort_keep(x, body);
    batch_add(x, &b, answer_annotated_event(x, chunk));
    batch_add_chunk(x, &b, usage);
    batch_send(x, &b, true);
    attempt_close(&x->attempt);
    return &step_done;
}
