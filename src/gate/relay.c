#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_priv.h"
#include "llm/whole_stream.h"

/*
 * From the backend's reply to the client's answer. Before commit nothing but keep-alive
 * comments goes out, so that any failure can still go elsewhere; the first content commits.
 */

enum { BATCH_MAX = 32, LINGER_MS = 500, FINISH_GRACE_MS = 1000, READS_PER_TURN = 16 };

/* After so many reads the others have their turn: a backend that floods must not keep a worker.
 */
static bool turn_is_over(struct exchange *x)
{
    x->reads++;
    if (x->reads < READS_PER_TURN) {
        return false;
    }
    attempt_keep(x->attempt);
    exchange_wake(x, WAKE_UPSTREAM);
    return true;
}

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
    exchange_succeed(x);
    bool was_sent = attempt_is_sent(x->attempt);
    batch_send(x, b, true);
    if (!was_sent) {
        attempt_close(&x->attempt);
        return &step_done;
    }
    x->finish_by_ms = exchange_now(x) + LINGER_MS;
    return &step_linger;
}

/* The event is about to be the client's. */
static void note_given(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    if (x->keeps_transcript) {
        transcript_add(&x->transcript, &a->event);
    }
    if (x->is_resuming && (a->event.content.len > 0 || a->finished)) {
        x->is_resuming = false;
        x->resumes++;
        answer_note(x, a->backend->name, "resumed");
        log_info("stream resumed", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
                 LOG_STR("backend", a->backend->name),
                 LOG_NUM("gap_ms", exchange_now(x) - x->broken_at_ms),
                 LOG_STR("attempts", x->trail));
    }
}

/* A comment for a streaming client that has waited long. */
static void keep_client(struct exchange *x)
{
    uint32_t keep_alive_ms = x->worker->gateway->settings->keep_alive_ms;
    if (x->request.stream && keep_alive_ms > 0 &&
        exchange_now(x) >= x->sent_ms + keep_alive_ms) {
        answer_keep_alive(x);
    }
}

/* One event after commit: the next step, or NULL to go on reading. */
static const struct step *relay_event(struct exchange *x, struct batch *b)
{
    struct attempt *a = x->attempt;
    note_given(x);
    batch_event(x, b);
    if (a->event.is_done) {
        return end_stream(x, b);
    }
    if (a->finished && x->finish_by_ms == 0) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    return NULL;
}

/* Nothing more has come: what is there goes out; is patience at its end? */
static const struct step *relay_more(struct exchange *x, struct batch *b)
{
    enum failure late;
    batch_send(x, b, false);
    if (x->attempt->finished && exchange_now(x) >= x->finish_by_ms) {
        return end_stream(x, b);
    }
    if (exchange_now(x) >= exchange_attempt_due(x, &late)) {
        return exchange_interrupt(x, late);
    }
    keep_client(x);
    return NULL;
}

/* True while the client has not taken what was sent: nothing is read for it then, and its
 * slowness is not the backend's silence. */
static bool client_is_behind(struct exchange *x)
{
    struct attempt *a = x->attempt;
    bool is_behind = http_reply_pending(x->client) > 0;
    if (is_behind) {
        attempt_pause(a);
    } else if (a->is_paused) {
        /* The backend's patience begins anew: it could not be heard. */
        a->progress_ms = exchange_now(x);
        x->finish_by_ms = a->finished ? a->progress_ms + FINISH_GRACE_MS : 0;
        attempt_resume(a);
    }
    return is_behind;
}

/* The client is behind: only the clock can move this exchange. */
static const struct step *wait_for_client(struct exchange *x)
{
    return exchange_now(x) >= x->due_ms ? exchange_interrupt(x, FAILURE_total_timeout) : NULL;
}

/* Everything that has come is passed on; stops when the client does not keep up. */
const struct step *relay_run(struct exchange *x)
{
    struct attempt *a = x->attempt;
    struct batch b = {.count = 0};
    const struct step *next = NULL;
    while (!next && (attempt_has_rest(a) || !client_is_behind(x))) {
        switch (attempt_next(a)) {
        case YIELD_EVENT:
            next = relay_event(x, &b);
            break;
        case YIELD_FLUSH:
            batch_send(x, &b, false);
            if (turn_is_over(x)) {
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
            return exchange_interrupt(x, a->failure);
        }
    }
    return next ? next : wait_for_client(x);
}

/* An event before the first content: kept until we know that there will be an answer. */
static void hold_event(struct exchange *x)
{
    const struct reply_event *ev = &x->attempt->event;
    if (ev->chunk.len == 0) {
        return;
    }
    note_given(x);
    enum err e = buf_append(&x->held, STR("data: "));
    e = e ? e : buf_append(&x->held, ev->chunk);
    e = e ? e : buf_append(&x->held, STR("\n\n"));
    if (e != ERR_OK) {
        /* Only progress reports are ever that long; the answer does not need them. */
        buf_consume(&x->held, buf_len(&x->held));
    }
}

static const struct step *commit(struct exchange *x)
{
    struct batch b = {.count = 0};
    answer_note(x, x->attempt->backend->name, "ok");
    x->is_committed = true;
    answer_begin_stream(x);
    note_given(x);
    batch_add(x, &b, buf_str(&x->held));
    batch_event(x, &b);
    if (x->attempt->event.is_done) {
        const struct step *next = end_stream(x, &b);
        buf_fini(&x->held);
        return next;
    }
    if (x->attempt->finished) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    batch_send(x, &b, false);
    buf_fini(&x->held);
    return &step_relay;
}

/* The whole answer goes out. `is_over`: nothing more can come from the backend. */
static const struct step *deliver(struct exchange *x, struct str body, bool is_over)
{
    exchange_succeed(x);
    answer_note(x, x->attempt->backend->name, "ok");
    is_over = is_over || !attempt_is_sent(x->attempt);
    answer_whole(x, body);
    if (is_over) {
        attempt_close(&x->attempt);
        return &step_done;
    }
    x->finish_by_ms = exchange_now(x) + LINGER_MS;
    return &step_linger;
}

/* A plain answer for a client that asked for a stream: the same, as chunks. */
static const struct step *deliver_as_stream(struct exchange *x, struct str body)
{
    struct attempt *a = x->attempt;
    struct batch b = {.count = 0};
    struct str chunk;
    struct str usage;
    if (whole_as_chunk(body, x->request.include_usage, &a->arena, &chunk, &usage) != ERR_OK) {
        return exchange_next_after(x, FAILURE_not_json);
    }
    answer_note(x, a->backend->name, "ok");
    x->is_committed = true;
    answer_begin_stream(x);
    exchange_succeed(x);
    batch_add(x, &b, answer_annotated_event(x, chunk));
    batch_add_chunk(x, &b, usage);
    batch_send(x, &b, true);
    attempt_close(&x->attempt);
    return &step_done;
}

static const struct step *collected(struct exchange *x, bool is_over)
{
    return deliver(x, assembly_json(x->assembly, &x->attempt->arena), is_over);
}

/* An event for a client that waits for one JSON body. */
static enum failure collect_event(struct exchange *x)
{
    const struct reply_event *ev = &x->attempt->event;
    if (!x->assembly) {
        x->assembly = assembly_new();
    }
    enum err e = ev->chunk.len > 0 ? assembly_add(x->assembly, ev->chunk) : ERR_OK;
    if (e == ERR_OK && ev->usage_chunk.len > 0) {
        e = assembly_add(x->assembly, ev->usage_chunk);
    }
    if (e == ERR_TOO_LARGE) {
        return FAILURE_too_large;
    }
    return e == ERR_OK ? FAILURE_ok : FAILURE_not_json;
}

static bool is_first_content(const struct attempt *a)
{
    return a->event.has_content || a->finished;
}

/* One event before commit: the next step, or NULL to go on reading. */
static const struct step *await_event(struct exchange *x)
{
    struct attempt *a = x->attempt;
    if (x->request.stream) {
        if (is_first_content(a)) {
            return commit(x);
        }
        hold_event(x);
        return NULL;
    }
    enum failure unfit = collect_event(x);
    if (unfit != FAILURE_ok) {
        return exchange_next_after(x, unfit);
    }
    if (a->finished && x->finish_by_ms == 0) {
        x->finish_by_ms = exchange_now(x) + FINISH_GRACE_MS;
    }
    return a->event.is_done ? collected(x, false) : NULL;
}

static const struct step *await_more(struct exchange *x)
{
    enum failure late;
    uint64_t now_ms = exchange_now(x);
    if (x->attempt->finished && now_ms >= x->finish_by_ms) {
        return collected(x, true);
    }
    if (now_ms >= exchange_attempt_due(x, &late)) {
        return exchange_next_after(x, late);
    }
    keep_client(x);
    return NULL;
}

const struct step *relay_await(struct exchange *x)
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
            if (turn_is_over(x)) {
                return await_more(x);
            }
            break;
        case YIELD_WHOLE:
            return x->request.stream ? deliver_as_stream(x, buf_str(&a->whole))
                                     : deliver(x, buf_str(&a->whole), true);
        case YIELD_END:
            return collected(x, true);
        case YIELD_AGAIN:
            return await_more(x);
        case YIELD_FAILED:
            return exchange_next_after(x, a->failure);
        }
    }
}

/* True when the backend has said all, or too much. */
static bool has_ended(struct exchange *x)
{
    for (;;) {
        switch (attempt_next(x->attempt)) {
        case YIELD_EVENT:
            break;
        case YIELD_FLUSH:
            if (turn_is_over(x)) {
                return false;
            }
            break;
        case YIELD_AGAIN:
            return false;
        case YIELD_WHOLE:
        case YIELD_END:
        case YIELD_FAILED:
            return true;
        }
    }
}

const struct step *relay_linger(struct exchange *x)
{
    if (exchange_now(x) < x->finish_by_ms && !has_ended(x)) {
        return NULL;
    }
    attempt_close(&x->attempt);
    return &step_done;
}
