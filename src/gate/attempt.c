#include "gate/attempt.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "gate/attempt_load.h"
#include "gate/attempt_tally.h"
#include "gate/exchange_account.h"
#include "tiers/loads.h"
#include "wire/http_date.h"

enum {
    RESPONSE_HEAD_MAX = 65536,
    HELD_MAX = 65536,
    TOKENS_TOLD_EVERY = 32,
    RETRY_AFTER_MAX_S = 3600,
    ERROR_BODY_MS = 250
};

static void begin_reply(struct attempt *a, const struct attempt_conf *conf)
{
    reply_init(&a->reply, a->dialect, conf->request, &a->arena, conf->reply_id);
    a->reply.created = clock_wall_ms() / 1000;
    a->reply.include_usage = conf->want_usage;
    buf_init(&a->whole, ATTEMPT_WHOLE_MAX);
    sse_init(&a->sse, ATTEMPT_EVENT_MAX);
    buf_init(&a->line, 2 * ATTEMPT_EVENT_MAX);
    buf_init(&a->held, HELD_MAX);
    a->holds_tools = conf->hold_tools;
    tool_hold_init(&a->hold);
    ndjson_init(&a->ndjson, ATTEMPT_EVENT_MAX);
}

static void begin_call(struct attempt *a, const struct attempt_conf *conf)
{
    struct gateway *g = a->worker->gateway;
    uint32_t index = a->backend->index;
    char digits[STR_NUMBER_MAX];
    struct str parts[] = {g->request_head[index], str_number(a->body.len, digits),
                          conf->trace_lines, STR("\r\n\r\n")};
    struct str head = arena_join(&a->arena, parts, sizeof(parts) / sizeof(parts[0]));
    attempt_load_begin(a, conf->request);
    if (board_begin(g->board, index)) {
        g->wake_calibrator(g->calibrator_arg);
    }
    a->call = http_call_open(a->worker->loop,
                             &(struct http_call_conf){.upstream = a->worker->upstreams[index],
                                                      .head = head,
                                                      .body = &a->body,
                                                      .connect_due_ms = conf->connect_due_ms,
                                                      .head_max = RESPONSE_HEAD_MAX,
                                                      .notify = conf->notify,
                                                      .owner = conf->owner});
}

static bool is_loading(const struct attempt *a)
{
    const struct board *b = a->worker->gateway->board;
    struct backend_view v = board_view(b, a->backend->index, a->started_ms);
    return cause_is_loading(v.cause) ||
           board_residence(b, a->pick.member->serving) == RESIDENCE_ABSENT;
}

static enum err build_request(struct attempt *a, const struct attempt_conf *conf,
                              struct bad_request *bad)
{
    const struct chat_request *q = conf->request;
    bool continues = conf->transcript && resume_sends_partial(conf->way);
    a->plan = degrade_decide(&a->backend->degrade, q->has_max_tokens, q->max_tokens,
                             q->has_temperature, q->temperature);
    return a->dialect->build(
        q,
        &(struct chat_edit){.model = conf->pick.member->model,
                            .set_max_tokens = a->plan.set_max_tokens,
                            .max_tokens = a->plan.max_tokens,
                            .set_temperature = a->plan.set_temperature,
                            .temperature = a->plan.temperature,
                            .stream = a->streams,
                            .want_usage = conf->want_usage,
                            .partial = continues ? transcript_text(conf->transcript) : STR_NONE,
                            .spent = continues ? transcript_spent(conf->transcript) : 0},
        &a->arena, &a->body, bad);
}

static enum seam_mode seam_mode_of(enum resume_way way, const struct dialect *d)
{
    if (way == RESUME_CONTINUE) {
        return d->trims_partial ? SEAM_TAIL : SEAM_CONTINUE;
    }
    return way == RESUME_ECHO ? SEAM_ECHO : SEAM_RESTART;
}

enum err attempt_open(const struct attempt_conf *conf, struct attempt **out,
                      struct bad_request *bad)
{
    struct attempt *a = slab_take(&conf->worker->attempt_slab);
    arena_init(&a->arena);
    a->worker = conf->worker;
    a->pick = conf->pick;
    a->backend = conf->pick.member->backend;
    a->dialect = gateway_dialect(a->backend);
    a->streams = conf->streams || a->dialect->always_streams;
    a->tries = conf->tries;
    a->started_ms = loop_now_ms(conf->worker->loop);
    a->is_loading = is_loading(a);
    begin_reply(a, conf);
    rope_init(&a->body);
    enum err e = build_request(a, conf, bad);
    if (e != ERR_OK) {
        bad->message = arena_dup(conf->bad_arena, bad->message);
        bad->param = arena_dup(conf->bad_arena, bad->param);
        attempt_close(&a);
        return e;
    }
    if (conf->transcript) {
        seam_init(&a->seam, conf->transcript, seam_mode_of(conf->way, a->dialect),
                  conf->request, &a->arena);
        a->has_seam = true;
    }
    begin_call(a, conf);
    *out = a;
    return ERR_OK;
}

static void tell_tokens(struct attempt *a)
{
    uint64_t told = a->tokens - a->tokens_told;
    board_count_tokens(a->worker->gateway->board, a->backend->index, told);
    attempt_load_tokens(a, told);
    a->tokens_told = a->tokens;
}

/* Its silence says nothing of the backend. */
static void tell_paused(struct attempt *a, bool is_paused)
{
    if (is_paused != a->is_paused) {
        board_count_paused(a->worker->gateway->board, a->backend->index, is_paused);
    }
    a->is_paused = is_paused;
}

void attempt_allow_silence(struct attempt *a)
{
    a->may_be_silent = true;
    if (!a->streams) {
        tell_paused(a, true);
    }
}

struct ended_attempt attempt_ended(const struct attempt *a)
{
    return (struct ended_attempt){.age_ms = loop_now_ms(a->worker->loop) - a->started_ms,
                                  .claim = a->pick.claim};
}

void attempt_close(struct attempt **a)
{
    struct attempt *gone = *a;
    *a = NULL;
    if (!gone) {
        return;
    }
    tell_paused(gone, false);
    if (gone->hedges > 0) {
        tally_hedge(gone->worker->gateway->tally, gone->hedges - 1, HEDGE_lost);
    }
    if (gone->call) {
        http_call_close(&gone->call);
        board_end(gone->worker->gateway->board, gone->backend->index);
        tell_tokens(gone);
        attempt_tally(gone);
        attempt_load_end(gone);
    }
    if (gone->account) {
        exchange_account_closed(gone);
    }
    reply_fini(&gone->reply);
    buf_fini(&gone->whole);
    sse_fini(&gone->sse);
    buf_fini(&gone->line);
    buf_fini(&gone->held);
    tool_hold_fini(&gone->hold);
    ndjson_fini(&gone->ndjson);
    arena_fini(&gone->arena);
    slab_give(&gone->worker->attempt_slab, gone);
}

static enum attempt_yield fail(struct attempt *a, enum failure f)
{
    a->failure = f;
    return YIELD_FAILED;
}

static struct str header_of(const struct attempt *a, const char *name)
{
    return http_find(a->head->header, a->head->header_count, name);
}

/* From now to a date, by the wall clock; none when it is past, or no date. */
static uint64_t until_date_ms(struct str text)
{
    uint64_t date_ms = 0;
    uint64_t now_ms = clock_wall_ms();
    enum err e = http_date_read(text, &date_ms);
    return e == ERR_OK && date_ms > now_ms ? date_ms - now_ms : 0;
}

/* Delay in whole seconds, a date (RFC 9110 10.2.3) or `retry-after-ms` (OpenAI). */
static uint32_t read_retry_after_ms(const struct attempt *a)
{
    uint64_t value = 0;
    enum err e = str_to_u64(header_of(a, "retry-after-ms"), RETRY_AFTER_MAX_S * 1000U, &value);
    if (e == ERR_OK) {
        return (uint32_t)value;
    }
    e = e == ERR_RANGE ? e : str_to_u64(header_of(a, "retry-after"), RETRY_AFTER_MAX_S, &value);
    if (e == ERR_RANGE) {
        return RETRY_AFTER_MAX_S * 1000U;
    }
    value = e == ERR_OK ? value * 1000U : until_date_ms(header_of(a, "retry-after"));
    return value < RETRY_AFTER_MAX_S * 1000U ? (uint32_t)value : RETRY_AFTER_MAX_S * 1000U;
}

static bool is_media_type(struct str content_type, const char *type)
{
    struct str rest = content_type;
    return str_eq_nocase(str_trim(str_cut(&rest, ';')), str_from(type));
}

static enum reply_shape shape_of_answer(const struct attempt *a)
{
    struct str type = header_of(a, "content-type");
    struct str coding = header_of(a, "content-encoding");
    if (coding.len > 0 && !str_eq_nocase(coding, STR("identity"))) {
        return SHAPE_UNKNOWN;
    }
    if (a->dialect->framing == REPLY_NDJSON) {
        bool is_lines = type.len == 0 || is_media_type(type, "application/x-ndjson") ||
                        is_media_type(type, "application/json");
        return is_lines ? SHAPE_EVENTS : SHAPE_UNKNOWN;
    }
    if (is_media_type(type, "text/event-stream")) {
        return SHAPE_EVENTS;
    }
    if (is_media_type(type, "application/json")) {
        return a->dialect->always_streams ? SHAPE_UNKNOWN : SHAPE_WHOLE;
    }
    if (type.len == 0) {
        return a->streams ? SHAPE_EVENTS : SHAPE_WHOLE;
    }
    return SHAPE_UNKNOWN;
}

/* YIELD_EVENT here means: the head is there, go on with the body. */
static enum attempt_yield read_head(struct attempt *a)
{
    enum err e = http_call_head(a->call, &a->head);
    if (a->connected_ms == 0 && http_call_is_connected(a->call)) {
        a->connected_ms = loop_now_ms(a->worker->loop);
    }
    if (e == ERR_AGAIN) {
        return YIELD_AGAIN;
    }
    if (e != ERR_OK) {
        return fail(a, failure_of_call(e));
    }
    a->status = a->head->status;
    a->failure = failure_of_status(a->status);
    if (a->failure != FAILURE_ok) {
        a->retry_after_ms = read_retry_after_ms(a);
        a->shape = SHAPE_ERROR;
        a->error_due_ms = loop_now_ms(a->worker->loop) + ERROR_BODY_MS;
        return YIELD_EVENT;
    }
    a->shape = shape_of_answer(a);
    return a->shape == SHAPE_UNKNOWN ? fail(a, FAILURE_not_json) : YIELD_EVENT;
}

/* The body of an error is read only where its text matters, up to a limit, and not waited for
 * long: the status alone has told enough to go on. */
static enum attempt_yield read_error(struct attempt *a)
{
    struct str piece;
    if (a->failure != FAILURE_client_error && a->failure != FAILURE_http_503) {
        return YIELD_FAILED;
    }
    enum err e = http_call_body(a->call, &piece);
    while (e == ERR_OK && buf_len(&a->whole) + piece.len <= ATTEMPT_ERROR_MAX) {
        enum err kept = buf_append(&a->whole, piece);
        CHECK(kept == ERR_OK);
        e = http_call_body(a->call, &piece);
    }
    if (e == ERR_AGAIN && loop_now_ms(a->worker->loop) < a->error_due_ms) {
        return YIELD_AGAIN;
    }
    struct str body = buf_str(&a->whole);
    if (a->failure == FAILURE_http_503 && str_has(body, STR("Loading model"))) {
        a->failure = FAILURE_loading;
    }
    a->dialect->read_error(body, &a->arena, &a->error);
    if (a->failure == FAILURE_client_error && upstream_error_is_context(&a->error)) {
        a->failure = FAILURE_context_exceeded;
    }
    if (a->failure == FAILURE_client_error && a->error.status == 402) {
        a->failure = FAILURE_http_402; /* our bill, whatever the status of the answer */
    }
    return YIELD_FAILED;
}

/* An error object where an answer should be: whose fault is in its code, where it has one. A
 * server that says that it is overloaded is well. */
static enum attempt_yield fail_by_error(struct attempt *a, enum failure f)
{
    bool tells = (a->error.status >= 400 && a->error.status < 500) || a->error.status == 529;
    if (tells && a->first_content_ms == 0) {
        a->status = a->error.status;
        return fail(a, upstream_error_is_context(&a->error) ? FAILURE_context_exceeded
                                                            : failure_of_status(a->status));
    }
    return fail(a, f);
}

/* The next look would find it so; the attempts until then profit. */
static void note_loaded(struct attempt *a)
{
    struct board *b = a->worker->gateway->board;
    if (board_residence(b, a->pick.member->serving) == RESIDENCE_ABSENT) {
        board_set_residence(b, a->pick.member->serving, RESIDENCE_LOADED);
    }
}

static void note_content(struct attempt *a)
{
    uint64_t now_ms = loop_now_ms(a->worker->loop);
    if (a->first_content_ms == 0) {
        a->first_content_ms = now_ms;
        if (a->account) {
            a->account->first_us = clock_mono_us() - a->account_began_us;
        }
        flow_begin(&a->flow, a->backend->min_tokens_per_second, now_ms);
        note_loaded(a);
        board_count_first_token(a->worker->gateway->board, a->backend->index,
                                now_ms - a->started_ms);
        loads_note_first_token(board_loads(a->worker->gateway->board), a->backend->index,
                               now_ms - a->started_ms);
    }
    if (now_ms != a->progress_ms) {
        board_note_content(a->worker->gateway->board, a->backend->index, now_ms);
        a->is_hung = false;
    }
    a->progress_ms = now_ms;
    a->tokens++;
    flow_add(&a->flow, now_ms);
    if (a->tokens - a->tokens_told >= TOKENS_TOLD_EVERY) {
        tell_tokens(a);
        gateway_note_content(a->worker->gateway, a->pick.member, attempt_ended(a), now_ms);
    }
}

static enum attempt_yield judge_whole(struct attempt *a)
{
    struct str body = buf_str(&a->whole);
    if (body.len == 0) {
        return fail(a, FAILURE_empty_body);
    }
    switch (reply_read_whole(&a->reply, body, &a->error)) {
    case WHOLE_ANSWER:
        note_content(a);
        a->tokens += a->reply.completion_tokens > 0 ? a->reply.completion_tokens - 1 : 0;
        a->finished = true;
        return YIELD_WHOLE;
    case WHOLE_ERROR:
        return fail_by_error(a, FAILURE_error_in_body);
    case WHOLE_ABORTED:
        return fail(a, FAILURE_aborted);
    case WHOLE_NOT_JSON:
        return fail(a, FAILURE_not_json);
    case WHOLE_WRONG:
        break;
    }
    return fail(a, FAILURE_no_finish);
}

static enum attempt_yield read_whole(struct attempt *a)
{
    struct str piece;
    enum err e = http_call_body(a->call, &piece);
    while (e == ERR_OK) {
        if (buf_append(&a->whole, piece) != ERR_OK) {
            return fail(a, FAILURE_too_large);
        }
        e = http_call_body(a->call, &piece);
    }
    if (e == ERR_AGAIN) {
        return YIELD_AGAIN;
    }
    return e == ERR_EOF ? judge_whole(a) : fail(a, failure_of_call(e));
}

static enum attempt_yield understand(struct attempt *a, struct str payload)
{
    struct reply_event *ev = &a->event;
    if (reply_read_event(&a->reply, payload, ev) != ERR_OK) {
        return fail(a, FAILURE_not_json);
    }
    if (ev->is_error) {
        a->error = ev->error;
        return fail_by_error(a, FAILURE_error_in_stream);
    }
    if (ev->is_abort) {
        return fail(a, FAILURE_aborted);
    }
    if (a->holds_tools) {
        enum err e = tool_hold_event(&a->hold, &a->reply.scratch, ev);
        if (e != ERR_OK) {
            return fail(a, e == ERR_TOO_LARGE ? FAILURE_too_large : FAILURE_not_json);
        }
    }
    if (a->has_seam && seam_event(&a->seam, &a->reply.scratch, ev) != ERR_OK) {
        return fail(a, FAILURE_seam_mismatch);
    }
    if (ev->has_content) {
        note_content(a);
    }
    a->finished = a->finished || ev->all_finished;
    if (ev->is_done && !a->finished) {
        return fail(a, a->first_content_ms ? FAILURE_no_finish : FAILURE_empty_body);
    }
    return YIELD_EVENT;
}

/* The payload of an event that cannot go out as it came (several data lines, an id, CR line
 * ends): in JSON a line end stands only between tokens, where a space is as good. Until the
 * next event. */
static struct str on_one_line(struct attempt *a, struct str data)
{
    char *room = NULL;
    buf_consume(&a->line, buf_len(&a->line));
    enum err e = buf_reserve(&a->line, data.len, &room);
    CHECK(e == ERR_OK); /* as long as the longest event */
    for (size_t i = 0; i < data.len; i++) {
        room[i] = data.ptr[i] == '\n' || data.ptr[i] == '\r' ? ' ' : data.ptr[i];
    }
    buf_added(&a->line, data.len);
    return buf_str(&a->line);
}

/* The next payload in the current piece: ERR_OK, ERR_AGAIN when it is used up, ERR_TOO_LARGE.
 */
static enum err pull_payload(struct attempt *a, struct str *payload)
{
    struct sse_event ev;
    a->raw = STR_NONE;
    if (a->dialect->framing == REPLY_NDJSON) {
        return ndjson_next(&a->ndjson, &a->in, payload);
    }
    enum err e = sse_next(&a->sse, &a->in, &ev);
    while (e == ERR_OK && ev.kind == SSE_COMMENT) {
        e = sse_next(&a->sse, &a->in, &ev);
    }
    if (e == ERR_OK) {
        *payload = ev.is_plain ? ev.data : on_one_line(a, ev.data);
        a->raw = ev.is_plain ? ev.raw : STR_NONE;
    }
    return e;
}

static enum err keep_rest(struct attempt *a)
{
    return a->dialect->framing == REPLY_NDJSON ? ndjson_keep(&a->ndjson, &a->in)
                                               : sse_keep(&a->sse, &a->in);
}

/* The body is over, by its framing (ERR_EOF) or broken. What was finished stays finished. */
static enum attempt_yield end_of_events(struct attempt *a, enum err e)
{
    struct str line;
    if (a->finished) {
        return YIELD_END;
    }
    if (e != ERR_EOF) {
        return fail(a, failure_of_call(e));
    }
    if (a->dialect->framing == REPLY_NDJSON && ndjson_last(&a->ndjson, &line) == ERR_OK) {
        return understand(a, line);
    }
    return fail(a, a->first_content_ms ? FAILURE_no_finish : FAILURE_empty_body);
}

static enum attempt_yield read_events(struct attempt *a)
{
    struct str payload;
    if (!a->has_piece) {
        enum err e = http_call_body(a->call, &a->in);
        if (e == ERR_AGAIN) {
            return YIELD_AGAIN;
        }
        if (e != ERR_OK) {
            return end_of_events(a, e);
        }
        a->has_piece = true;
    }
    enum err e = pull_payload(a, &payload);
    if (e == ERR_OK) {
        return understand(a, payload);
    }
    return e == ERR_AGAIN ? YIELD_FLUSH : fail(a, FAILURE_too_large);
}

enum attempt_yield attempt_next(struct attempt *a)
{
    if (a->flushing) {
        a->flushing = false;
        a->has_piece = false;
        if (keep_rest(a) != ERR_OK) {
            return fail(a, FAILURE_too_large);
        }
    }
    if (a->shape == SHAPE_UNKNOWN) {
        enum attempt_yield y = read_head(a);
        if (y != YIELD_EVENT) {
            return y;
        }
    }
    if (a->shape == SHAPE_ERROR) {
        return read_error(a);
    }
    if (a->shape == SHAPE_WHOLE) {
        return read_whole(a);
    }
    enum attempt_yield y = read_events(a);
    a->flushing = y == YIELD_FLUSH;
    return y;
}

bool attempt_has_rest(const struct attempt *a)
{
    return a->has_piece && !a->flushing;
}

void attempt_keep(struct attempt *a)
{
    if (a->flushing) {
        enum err e = keep_rest(a); /* one that is too long is found again at the next call */
        (void)e;
    }
}

void attempt_pause(struct attempt *a)
{
    attempt_keep(a);
    tell_paused(a, true);
    http_call_pause(a->call);
}

void attempt_resume(struct attempt *a)
{
    tell_paused(a, false);
    http_call_resume(a->call);
}

bool attempt_is_sent(const struct attempt *a)
{
    return http_call_is_sent(a->call);
}
