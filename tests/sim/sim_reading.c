#include "sim_reading.h"

#include "base/buf.h"
#include "base/check.h"
#include "sim_text.h"
#include "wire/json.h"
#include "wire/sse.h"

enum { TEXT_MAX = 16 << 20 };

/* While a stream is read. */
struct stream {
    struct reading *out;
    struct arena *arena;
    struct buf text[PLAN_CHOICES_MAX];
    struct buf reasoning;
    struct buf arguments[PLAN_CALLS_MAX];
    struct str id;
    struct str created;
    struct str model;
};

static void flaw(struct reading *rd, const char *what)
{
    rd->flaw = rd->flaw ? rd->flaw : what;
}

static bool is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
}

static struct str text_of(struct str value, struct arena *a)
{
    struct str text;
    return is_given(value) && json_text(value, a, &text) == ERR_OK ? text : STR_NONE;
}

static void read_error(struct reading *rd, struct str object, struct arena *a)
{
    struct str error = json_get(object, "error");
    rd->has_error = true;
    rd->error_code = text_of(json_get(error, "code"), a);
    if (json_type_of(error) != JSON_OBJECT || json_text_len(json_get(error, "message")) == 0 ||
        json_text_len(json_get(error, "type")) == 0) {
        flaw(rd, "the error is not in OpenAI's shape");
    }
}

static void read_usage(struct reading *rd, struct str usage)
{
    if (json_u64(json_get(usage, "prompt_tokens"), UINT32_MAX, &rd->prompt_tokens) != ERR_OK ||
        json_u64(json_get(usage, "completion_tokens"), UINT32_MAX, &rd->completion_tokens) !=
            ERR_OK ||
        json_u64(json_get(usage, "total_tokens"), UINT32_MAX, &rd->total_tokens) != ERR_OK) {
        flaw(rd, "the usage has no numbers");
    }
    if (rd->has_usage) {
        flaw(rd, "the usage comes twice");
    }
    rd->has_usage = true;
}

static void read_marks(struct reading *rd, struct str object, struct arena *a)
{
    struct str backend = json_get(object, "_backend");
    if (is_given(backend)) {
        rd->backend = text_of(backend, a);
        rd->is_resumed = json_is_true(json_get(object, "_resumed"));
    }
}

/* The tokens of logprobs, one after another. */
static struct str tokens_of(struct str logprobs, struct arena *a)
{
    struct json_iter it;
    struct buf out;
    buf_init(&out, TEXT_MAX);
    json_iter_init(&it, json_get(logprobs, "content"));
    while (json_iter_next(&it)) {
        put(&out, text_of(json_get(it.value, "token"), a));
    }
    struct str tokens = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return tokens;
}

static void check_logprobs(struct read_choice *c, struct str logprobs, struct str text,
                           struct arena *a)
{
    bool is_there = json_type_of(logprobs) == JSON_OBJECT;
    if (is_there && !str_eq(tokens_of(logprobs, a), text)) {
        c->flaw_of_logprobs = "logprobs are of another text";
    }
    c->has_all_logprobs = c->has_all_logprobs && (is_there || text.len == 0);
}

/* --- streams --- */

static void read_call_piece(struct stream *st, struct str piece)
{
    struct reading *rd = st->out;
    uint64_t index;
    if (json_u64(json_get(piece, "index"), PLAN_CALLS_MAX - 1, &index) != ERR_OK ||
        index > rd->calls) {
        flaw(rd, "a tool call without a fitting index");
        return;
    }
    struct read_call *call = &rd->call[index];
    struct str function = json_get(piece, "function");
    struct str name = text_of(json_get(function, "name"), st->arena);
    struct str id = text_of(json_get(piece, "id"), st->arena);
    if (index == rd->calls) {
        rd->calls++;
        call->name = name;
        call->id = id;
    } else if (name.len > 0 || id.len > 0) {
        flaw(rd, "a tool call is begun twice");
    }
    put(&st->arguments[index], text_of(json_get(function, "arguments"), st->arena));
}

static void read_delta(struct stream *st, struct read_choice *c, uint64_t index,
                       struct str choice)
{
    struct reading *rd = st->out;
    struct json_iter it;
    struct str delta = json_get(choice, "delta");
    struct str content = text_of(json_get(delta, "content"), st->arena);
    struct str reasoning = text_of(json_get(delta, "reasoning"), st->arena);
    if (reasoning.len == 0) {
        reasoning = text_of(json_get(delta, "reasoning_content"), st->arena);
    }
    if (json_type_of(delta) != JSON_OBJECT) {
        flaw(rd, "a choice without a delta");
    }
    if (c->finishes > 0 && (content.len > 0 || reasoning.len > 0)) {
        flaw(rd, "text behind the finish_reason");
    }
    if (reasoning.len > 0 && buf_len(&st->text[0]) > 0) {
        flaw(rd, "reasoning behind the text");
    }
    c->roles += is_given(json_get(delta, "role")) ? 1 : 0;
    put(&st->text[index], content);
    put(&st->reasoning, reasoning);
    json_iter_init(&it, json_get(delta, "tool_calls"));
    while (json_iter_next(&it)) {
        read_call_piece(st, it.value);
    }
    check_logprobs(c, json_get(choice, "logprobs"), content, st->arena);
}

static void read_choice(struct stream *st, struct str choice)
{
    struct reading *rd = st->out;
    uint64_t index;
    if (json_u64(json_get(choice, "index"), PLAN_CHOICES_MAX - 1, &index) != ERR_OK) {
        flaw(rd, "a choice without a fitting index");
        return;
    }
    struct read_choice *c = &rd->choice[index];
    rd->choices = index >= rd->choices ? (uint32_t)index + 1 : rd->choices;
    read_delta(st, c, index, choice);
    struct str finish = json_get(choice, "finish_reason");
    if (is_given(finish)) {
        c->finishes++;
        c->finish = text_of(finish, st->arena);
    }
}

/* What the whole stream must have in common. */
static void check_name(struct stream *st, struct str *first, struct str value, const char *what)
{
    if (!is_given(value)) {
        flaw(st->out, "a chunk lacks id, created or model");
    } else if (first->len == 0) {
        *first = value;
    } else if (!str_eq(*first, value)) {
        flaw(st->out, what);
    }
}

static void read_chunk(struct stream *st, struct str object)
{
    struct reading *rd = st->out;
    struct json_iter it;
    check_name(st, &st->id, json_get(object, "id"), "the id changes");
    check_name(st, &st->created, json_get(object, "created"), "created changes");
    check_name(st, &st->model, json_get(object, "model"), "the model changes");
    json_iter_init(&it, json_get(object, "choices"));
    while (json_iter_next(&it)) {
        read_choice(st, it.value);
    }
    struct str usage = json_get(object, "usage");
    if (is_given(usage)) {
        read_usage(rd, usage);
    }
    read_marks(rd, object, st->arena);
}

static void read_payload(struct stream *st, struct str data)
{
    struct reading *rd = st->out;
    size_t at;
    if (rd->done > 0 || rd->has_error) {
        flaw(rd, "an event behind the last one");
    }
    if (str_eq(data, STR("[DONE]"))) {
        rd->done++;
        return;
    }
    if (json_check(data, &at) != ERR_OK || json_type_of(json_value(data)) != JSON_OBJECT) {
        flaw(rd, "an event that is no JSON object");
        return;
    }
    struct str object = json_value(data);
    if (is_given(json_get(object, "error"))) {
        read_error(rd, object, st->arena);
    } else {
        read_chunk(st, object);
    }
}

static struct str keep(struct buf *text, struct arena *a)
{
    struct str kept = arena_dup(a, buf_str(text));
    buf_fini(text);
    return kept;
}

static void read_stream(struct reading *rd, struct str body, struct arena *a)
{
    struct stream st = {.out = rd, .arena = a};
    struct sse_decoder d;
    struct sse_event ev;
    for (size_t i = 0; i < PLAN_CHOICES_MAX; i++) {
        buf_init(&st.text[i], TEXT_MAX);
        rd->choice[i].has_all_logprobs = true;
    }
    for (size_t i = 0; i < PLAN_CALLS_MAX; i++) {
        buf_init(&st.arguments[i], TEXT_MAX);
    }
    buf_init(&st.reasoning, TEXT_MAX);
    sse_init(&d, TEXT_MAX);
    enum err e = sse_next(&d, &body, &ev);
    while (e == ERR_OK) {
        if (ev.kind == SSE_EVENT) {
            read_payload(&st, ev.data);
        }
        e = sse_next(&d, &body, &ev);
    }
    if (body.len > 0 && rd->done + rd->has_error > 0) {
        flaw(rd, "half an event behind the last one");
    }
    sse_fini(&d);
    for (size_t i = 0; i < PLAN_CHOICES_MAX; i++) {
        rd->choice[i].text = keep(&st.text[i], a);
    }
    for (size_t i = 0; i < PLAN_CALLS_MAX; i++) {
        rd->call[i].arguments = keep(&st.arguments[i], a);
    }
    rd->reasoning = keep(&st.reasoning, a);
}

/* --- one body --- */

static void read_whole_calls(struct reading *rd, struct str calls, struct arena *a)
{
    struct json_iter it;
    json_iter_init(&it, calls);
    while (json_iter_next(&it) && rd->calls < PLAN_CALLS_MAX) {
        struct str function = json_get(it.value, "function");
        rd->call[rd->calls++] =
            (struct read_call){.id = text_of(json_get(it.value, "id"), a),
                               .name = text_of(json_get(function, "name"), a),
                               .arguments = text_of(json_get(function, "arguments"), a)};
    }
}

static void read_whole_choice(struct reading *rd, struct str choice, struct arena *a)
{
    if (rd->choices == PLAN_CHOICES_MAX) {
        flaw(rd, "more choices than were asked for");
        return;
    }
    struct read_choice *c = &rd->choice[rd->choices++];
    struct str message = json_get(choice, "message");
    c->text = text_of(json_get(message, "content"), a);
    c->roles = is_given(json_get(message, "role")) ? 1 : 0;
    c->finish = text_of(json_get(choice, "finish_reason"), a);
    c->finishes = c->finish.len > 0 ? 1 : 0;
    c->has_all_logprobs = true;
    check_logprobs(c, json_get(choice, "logprobs"), c->text, a);
    struct str reasoning = json_get(message, "reasoning");
    if (!is_given(reasoning)) {
        reasoning = json_get(message, "reasoning_content");
    }
    if (is_given(reasoning)) {
        rd->reasoning = text_of(reasoning, a);
    }
    read_whole_calls(rd, json_get(message, "tool_calls"), a);
}

static void read_whole(struct reading *rd, struct str body, struct arena *a)
{
    struct json_iter it;
    size_t at;
    if (json_check(body, &at) != ERR_OK || json_type_of(json_value(body)) != JSON_OBJECT) {
        flaw(rd, "the body is no JSON object");
        return;
    }
    struct str object = json_value(body);
    if (is_given(json_get(object, "error"))) {
        read_error(rd, object, a);
        return;
    }
    json_iter_init(&it, json_get(object, "choices"));
    while (json_iter_next(&it)) {
        read_whole_choice(rd, it.value, a);
    }
    struct str usage = json_get(object, "usage");
    if (is_given(usage)) {
        read_usage(rd, usage);
    }
    read_marks(rd, object, a);
}

void reading_make(struct reading *rd, const struct sim_exchange *x, struct arena *a)
{
    struct str type = http_find(x->head.header, x->head.header_count, "content-type");
    struct str body = buf_str(&x->body);
    *rd = (struct reading){.is_stream = str_starts(type, STR("text/event-stream"))};
    if (rd->is_stream) {
        read_stream(rd, body, a);
    } else if (x->is_complete) {
        read_whole(rd, body, a);
    }
}
