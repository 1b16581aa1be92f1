#include "base/check.h"
#include "base/log.h"
#include "gate/answer.h"
#include "gate/exchange_account.h"
#include "gate/exchange_priv.h"
#include "gate/exchange_tally.h"
#include "gate/report.h"

/*
 * The answer so far: what the client has been given, or what is collected for it. It outlives
 * the attempts that made its parts.
 */

static const struct str held_start = STR_INIT("data: ");
static const struct str held_end = STR_INIT("\n\n");

void exchange_hold_event(struct exchange *x)
{
    struct attempt *a = x->attempt;
    if (a->event.chunk.len == 0) {
        return;
    }
    enum err e = buf_append(&a->held, held_start);
    e = e ? e : buf_append(&a->held, a->event.chunk);
    e = e ? e : buf_append(&a->held, held_end);
    if (e != ERR_OK) {
        /* Only progress reports are ever that long; the answer does not need them. */
        buf_consume(&a->held, buf_len(&a->held));
    }
}

/* The next chunk of what is held; false at its end. */
static bool next_held(struct str *rest, struct str *chunk)
{
    if (rest->len == 0) {
        return false;
    }
    *chunk = str_from_at(str_cut(rest, '\n'), held_start.len);
    *rest = str_from_at(*rest, held_end.len - 1);
    return true;
}

/* Takes a chunk into the body that the client waits for. */
static enum failure collect(struct exchange *x, struct str chunk)
{
    enum err e = chunk.len > 0 ? assembly_add(x->assembly, chunk) : ERR_OK;
    if (e == ERR_TOO_LARGE) {
        return FAILURE_too_large;
    }
    return e == ERR_OK ? FAILURE_ok : FAILURE_not_json;
}

/* The same of an event; one like the last need not be read again. */
static enum failure collect_event(struct exchange *x, const struct reply_event *ev)
{
    if (!ev->is_alike || !ev->is_verbatim || !assembly_may_repeat(x->assembly)) {
        return collect(x, ev->chunk);
    }
    enum err e =
        assembly_add_text(x->assembly, ev->content.len > 0 ? ev->content : ev->reasoning);
    return e == ERR_OK ? FAILURE_ok : FAILURE_too_large;
}

/* Of an answer that cannot be resumed only the names, for a usage of our own. */
static bool is_kept(const struct exchange *x)
{
    return x->keeps_transcript || !x->transcript.is_begun;
}

void exchange_now_answers(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    hedge_settle(x);
    exchange_time_turn(x);
    exchange_account_content(x);
    x->by = (struct answerer){
        .backend = a->backend, .tier = a->pick.tier, .plan = a->plan, .member = a->pick.member};
}

enum failure exchange_begin_answer(struct exchange *x)
{
    struct str rest = buf_str(&x->attempt->held);
    struct str chunk;
    enum failure f = FAILURE_ok;
    x->has_begun = true;
    exchange_now_answers(x);
    if (!x->request.stream) {
        x->assembly = assembly_new();
    }
    last_resort_listen(x);
    while (f == FAILURE_ok && next_held(&rest, &chunk)) {
        if (is_kept(x)) {
            transcript_add(&x->transcript, &(struct reply_event){.chunk = chunk});
        }
        f = x->assembly ? collect(x, chunk) : FAILURE_ok;
        last_resort_hear(x, chunk);
    }
    return f;
}

static void note_resumed(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    x->is_resuming = false;
    x->resumes++;
    exchange_tally_resumed(x);
    exchange_now_answers(x);
    answer_note(x, a->backend->name, "resumed");
    log_info("stream resumed", LOG_NUM("x", x->serial), LOG_STR("model", x->model->name),
             LOG_STR("backend", a->backend->name),
             LOG_NUM("gap_ms", exchange_now(x) - x->broken_at_ms),
             LOG_STR("attempts", x->trail));
    report_resumed(x);
    exchange_account_resumed(x);
}

void exchange_note_given(struct exchange *x)
{
    const struct attempt *a = x->attempt;
    if (is_kept(x)) {
        transcript_add(&x->transcript, &a->event);
    }
    if (x->kept) {
        last_resort_hear(x, a->event.tool_chunk);
        last_resort_hear(x, a->event.chunk);
        last_resort_hear(x, a->event.usage_chunk);
    }
    if (x->account && a->event.has_finish) {
        exchange_account_finish(x, a->event.chunk);
    }
    if (x->account && a->event.has_usage) {
        exchange_account_usage(x, a->event.prompt_tokens, a->event.completion_tokens);
    }
    if (a->finished && a->event.has_usage) {
        x->usage_told = true;
    }
    bool is_new = a->event.content.len > 0 || a->event.tool_chunk.len > 0 || a->finished;
    if (x->is_resuming && is_new) {
        note_resumed(x);
    }
}

enum failure exchange_collect_event(struct exchange *x)
{
    const struct reply_event *ev = &x->attempt->event;
    exchange_note_given(x);
    enum failure f = collect(x, ev->tool_chunk);
    f = f == FAILURE_ok ? collect_event(x, ev) : f;
    return f == FAILURE_ok ? collect(x, ev->usage_chunk) : f;
}

void exchange_forget_answer(struct exchange *x)
{
    exchange_tally_lost(x);
    transcript_fini(&x->transcript);
    assembly_free(&x->assembly);
    x->has_begun = false;
    x->is_resuming = false;
}

const struct step *exchange_end_by_length(struct exchange *x)
{
    struct str chunk = transcript_finish(&x->transcript, "length", &x->arena);
    exchange_account_finish(x, chunk);
    if (!x->request.stream) {
        enum failure f = collect(x, chunk);
        CHECK(f == FAILURE_ok); /* a chunk of our own making */
        return &step_usage;
    }
    if (!x->request.include_usage) {
        exchange_tally_whole(x);
    }
    answer_finish(x, chunk, !x->request.include_usage);
    return x->request.include_usage ? &step_usage : &step_done;
}
