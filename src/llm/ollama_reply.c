#include "llm/ollama_reply.h"

#include <inttypes.h>
#include <string.h>

#include "llm/json_out.h"
#include "llm/members.h"
#include "wire/json.h"

enum { CHUNK_FRAME = 320, CALL_ID_BASE_MAX = 24 };

static const uint64_t token_count_max = UINT64_C(1) << 53;

/* A line's fields as JSON text; empty: absent or null. */
struct line {
    struct str model;
    struct str message;
    struct str error;
    struct str done;
    struct str done_reason;
    struct str logprobs;
    struct str prompt_count;
    struct str eval_count;
    struct str content; /* of the message */
    struct str thinking;
    struct str tool_calls;
};

/* --- errors --- */

/* The text of a string, or a number as it is written. */
static struct str text_of(struct str value, struct arena *a)
{
    struct str text = STR_NONE;
    if (member_is(value, JSON_NUMBER)) {
        return arena_dup(a, value);
    }
    return json_text(value, a, &text) == ERR_OK ? text : STR_NONE;
}

static void read_error_object(struct str error, struct arena *a, struct upstream_error *out)
{
    uint64_t status = 0;
    struct str code = json_get(error, "code");
    *out = (struct upstream_error){.message = text_of(json_get(error, "message"), a),
                                   .type = text_of(json_get(error, "type"), a),
                                   .param = text_of(json_get(error, "param"), a),
                                   .code = text_of(code, a)};
    if (json_u64(code, 599, &status) == ERR_OK && status >= 400) {
        out->status = (int)status;
    }
}

static bool read_error_value(struct str error, struct arena *a, struct upstream_error *out)
{
    if (member_is(error, JSON_STRING)) {
        *out = (struct upstream_error){.message = text_of(error, a)};
        return true;
    }
    if (member_is(error, JSON_OBJECT)) {
        read_error_object(error, a, out);
        return true;
    }
    return false;
}

bool ollama_read_error(struct str body, struct arena *a, struct upstream_error *out)
{
    size_t at = 0;
    if (json_check(body, &at) != ERR_OK) {
        return false;
    }
    struct str value = json_value(body);
    return member_is(value, JSON_OBJECT) && read_error_value(json_get(value, "error"), a, out);
}

/* --- reading a line --- */

struct member {
    struct str key;
    size_t offset; /* of its struct str in struct line */
};

#define MEMBER(name, field)                          \
    {                                                \
        STR_INIT(name), offsetof(struct line, field) \
    }

static const struct member line_members[] = {
    MEMBER("model", model),
    MEMBER("message", message),
    MEMBER("error", error),
    MEMBER("done", done),
    MEMBER("done_reason", done_reason),
    MEMBER("logprobs", logprobs),
    MEMBER("prompt_eval_count", prompt_count),
    MEMBER("eval_count", eval_count),
};

static const struct member message_members[] = {
    MEMBER("content", content),
    MEMBER("thinking", thinking),
    MEMBER("tool_calls", tool_calls),
};

static void take_member(const struct json_iter *it, const struct member *members, size_t count,
                        struct line *l)
{
    for (size_t i = 0; i < count; i++) {
        if (json_key_is(it, members[i].key)) {
            struct str *field = (struct str *)(void *)((char *)l + members[i].offset);
            *field = json_type_of(it->value) == JSON_NULL ? STR_NONE : it->value;
            return;
        }
    }
}

/* One walk for all members, as a line is read for every token; `it` is at the start. */
static void read_members(struct json_iter *it, const struct member *members, size_t count,
                         struct line *l)
{
    while (json_iter_next(it)) {
        take_member(it, members, count, l);
    }
}

static bool is_none_or(struct str value, enum json_type type)
{
    return value.len == 0 || json_type_of(value) == type;
}

static bool is_well_formed(const struct line *l)
{
    bool is_line = l->message.len > 0 || l->done.len > 0;
    bool is_done_bool = is_none_or(l->done, JSON_TRUE) || is_none_or(l->done, JSON_FALSE);
    return is_line && is_done_bool && is_none_or(l->message, JSON_OBJECT) &&
           is_none_or(l->content, JSON_STRING) && is_none_or(l->thinking, JSON_STRING) &&
           is_none_or(l->tool_calls, JSON_ARRAY) && is_none_or(l->logprobs, JSON_ARRAY) &&
           is_none_or(l->done_reason, JSON_STRING);
}

static enum err read_line(struct str text, struct line *l)
{
    struct json_tape tape;
    struct json_iter it;
    size_t at = 0;
    enum err e = json_check_tape(text, &tape, &at);
    if (e != ERR_OK) {
        return e;
    }
    struct str value = json_tape_root(&tape);
    *l = (struct line){.model = STR_NONE};
    if (!member_is(value, JSON_OBJECT)) {
        return ERR_TYPE;
    }
    json_iter_init_on(&it, &tape, value);
    read_members(&it, line_members, sizeof(line_members) / sizeof(line_members[0]), l);
    if (l->error.len > 0) {
        return ERR_OK;
    }
    json_iter_init_on(&it, &tape, l->message);
    read_members(&it, message_members, sizeof(message_members) / sizeof(message_members[0]), l);
    return is_well_formed(l) ? ERR_OK : ERR_TYPE;
}

/* --- how it ended --- */

/* finish_reason as JSON text; empty: the reason means failure. Older servers tell no reason. */
static struct str finish_reason(const struct reply *r, struct str done_reason)
{
    if (done_reason.len == 0 || member_is_text(done_reason, "stop") ||
        member_is_text(done_reason, "")) {
        return r->any_tool_calls ? STR("\"tool_calls\"") : STR("\"stop\"");
    }
    return member_is_text(done_reason, "length") ? STR("\"length\"") : STR_NONE;
}

/* Zeros are left out by the server. */
static uint64_t token_count(struct str value)
{
    uint64_t count = 0;
    return json_u64(value, token_count_max, &count) == ERR_OK ? count : 0;
}

static void read_usage(struct reply *r, const struct line *l, struct reply_event *ev)
{
    r->prompt_tokens = token_count(l->prompt_count);
    r->completion_tokens = token_count(l->eval_count);
    r->has_usage = true;
    ev->has_usage = true;
    ev->prompt_tokens = r->prompt_tokens;
    ev->completion_tokens = r->completion_tokens;
}

/* --- writing chunks --- */

static void open_chunk(struct json_out *o, struct reply *r, const struct line *l)
{
    json_out_open(o, '{');
    json_out_member(o, "id", json_quote(&r->scratch, r->id));
    json_out_member(o, "object", STR("\"chat.completion.chunk\""));
    json_out_member(o, "created", arena_printf(&r->scratch, "%" PRIu64, r->created));
    json_out_member(o, "model", member_is(l->model, JSON_STRING) ? l->model : STR("\"\""));
    json_out_key(o, "choices");
    json_out_open(o, '[');
}

/* Ids must differ between the calls of a conversation and stay within OpenAI's 40 characters,
 * so the end of our reply's id is taken, where it is random. */
static struct str make_call_id(struct reply *r)
{
    size_t skip = r->id.len > CALL_ID_BASE_MAX ? r->id.len - CALL_ID_BASE_MAX : 0;
    struct str base = str_from_at(r->id, skip);
    return json_quote(&r->scratch, arena_printf(&r->scratch, "call_%.*s_%" PRIu32,
                                                STR_FMT(base), r->tool_calls_sent));
}

/* The arguments object as text, as OpenAI wants it. */
static struct str quote_arguments(struct reply *r, struct str arguments)
{
    if (member_is(arguments, JSON_STRING)) {
        return arguments;
    }
    return json_quote(&r->scratch, member_is(arguments, JSON_OBJECT) ? arguments : STR("{}"));
}

static enum err put_tool_call(struct json_out *o, struct reply *r, struct str call)
{
    struct str id = json_get(call, "id");
    struct str name = json_path(call, "function", "name", NULL);
    if (json_text_len(name) == 0) {
        return ERR_TYPE;
    }
    json_out_open(o, '{');
    json_out_member(o, "index", arena_printf(&r->scratch, "%" PRIu32, r->tool_calls_sent));
    json_out_member(o, "id", json_text_len(id) > 0 ? id : make_call_id(r));
    json_out_member(o, "type", STR("\"function\""));
    json_out_key(o, "function");
    json_out_open(o, '{');
    json_out_member(o, "name", name);
    json_out_member(o, "arguments",
                    quote_arguments(r, json_path(call, "function", "arguments", NULL)));
    json_out_close(o, '}');
    json_out_close(o, '}');
    r->tool_calls_sent++;
    r->any_tool_calls = true;
    return ERR_OK;
}

static enum err put_tool_calls(struct json_out *o, struct reply *r, struct str calls)
{
    struct json_iter it;
    json_iter_init(&it, calls);
    if (!json_iter_next(&it)) {
        return ERR_OK;
    }
    json_out_key(o, "tool_calls");
    json_out_open(o, '[');
    enum err e = ERR_OK;
    do {
        e = put_tool_call(o, r, it.value);
    } while (e == ERR_OK && json_iter_next(&it));
    json_out_close(o, ']');
    return e;
}

static enum err put_delta(struct json_out *o, struct reply *r, const struct line *l)
{
    json_out_key(o, "delta");
    json_out_open(o, '{');
    bool has_text = json_text_len(l->content) > 0;
    if (!r->role_sent) {
        json_out_member(o, "role", STR("\"assistant\""));
    }
    if (has_text || !r->role_sent) {
        json_out_member(o, "content", has_text ? l->content : STR("\"\""));
    }
    if (json_text_len(l->thinking) > 0) {
        json_out_member(o, "reasoning_content", l->thinking);
    }
    enum err e = put_tool_calls(o, r, l->tool_calls);
    json_out_close(o, '}');
    r->role_sent = true;
    return e;
}

/* Ollama leaves out what is empty; OpenAI's clients expect each member. The object is opened at
 * its end, behind the last member. */
static void put_token(struct json_out *o, struct str token)
{
    struct str open = str_of(token.ptr, token.len - 1);
    while (strchr(" \t\r\n", open.ptr[open.len - 1])) {
        open.len--;
    }
    json_out_element(o, open);
    if (json_get(token, "bytes").len == 0) {
        json_out_member(o, "bytes", STR("null"));
    }
    if (json_get(token, "top_logprobs").len == 0) {
        json_out_member(o, "top_logprobs", STR("[]"));
    }
    json_out_close(o, '}');
}

static void put_logprobs(struct json_out *o, struct str logprobs)
{
    if (logprobs.len == 0) {
        return;
    }
    json_out_key(o, "logprobs");
    json_out_open(o, '{');
    json_out_key(o, "content");
    json_out_open(o, '[');
    struct json_iter it;
    json_iter_init(&it, logprobs);
    while (json_iter_next(&it)) {
        if (member_is(it.value, JSON_OBJECT)) {
            put_token(o, it.value);
        }
    }
    json_out_close(o, ']');
    json_out_close(o, '}');
}

static enum err put_chunk(struct reply *r, const struct line *l, struct reply_event *ev)
{
    struct json_out o;
    json_out_init(&o, &r->scratch,
                  CHUNK_FRAME + r->id.len + l->model.len + l->message.len + l->logprobs.len);
    open_chunk(&o, r, l);
    json_out_open(&o, '{');
    json_out_member(&o, "index", STR("0"));
    enum err e = put_delta(&o, r, l);
    put_logprobs(&o, l->logprobs);
    struct str reason = ev->is_done ? finish_reason(r, l->done_reason) : STR("null");
    json_out_member(&o, "finish_reason", reason);
    json_out_raw(&o, STR("}]}"));
    ev->chunk = json_out_str(&o);
    return e;
}

static void put_usage_chunk(struct reply *r, const struct line *l, struct reply_event *ev)
{
    struct json_out o;
    json_out_init(&o, &r->scratch, CHUNK_FRAME + r->id.len + l->model.len);
    open_chunk(&o, r, l);
    json_out_close(&o, ']');
    json_out_member(&o, "usage",
                    arena_printf(&r->scratch,
                                 "{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
                                 ",\"total_tokens\":%" PRIu64 "}",
                                 r->prompt_tokens, r->completion_tokens,
                                 r->prompt_tokens + r->completion_tokens));
    json_out_close(&o, '}');
    ev->usage_chunk = json_out_str(&o);
}

/* --- one line --- */

/* What stands between a string value's quotes. */
static struct str inside(struct str value)
{
    return value.len > 0 ? str_of(value.ptr + 1, value.len - 2) : STR_NONE;
}

static void note_kinds(const struct line *l, struct reply_event *ev)
{
    struct json_iter it;
    json_iter_init(&it, l->tool_calls);
    ev->content = inside(l->content);
    ev->reasoning = inside(l->thinking);
    ev->has_reasoning = ev->reasoning.len > 0;
    ev->has_tool_call = json_iter_next(&it);
    ev->has_other = ev->has_reasoning || ev->has_tool_call;
    ev->has_content = ev->content.len > 0 || ev->has_other;
}

static void finish(struct reply *r, const struct line *l, struct reply_event *ev)
{
    read_usage(r, l, ev);
    if (r->finished == 0) {
        r->finished = 1;
    }
    ev->has_finish = true;
    if (r->include_usage) {
        put_usage_chunk(r, l, ev);
    }
}

static enum err read_answer(struct reply *r, const struct line *l, struct reply_event *ev)
{
    ev->is_done = member_is(l->done, JSON_TRUE);
    note_kinds(l, ev);
    ev->is_abort = ev->is_done && finish_reason(r, l->done_reason).len == 0;
    if (ev->is_abort) {
        ev->content = STR_NONE;
        ev->reasoning = STR_NONE;
        return ERR_OK;
    }
    enum err e = ERR_OK;
    if (ev->has_content || ev->is_done || l->logprobs.len > 0 || !r->role_sent) {
        e = put_chunk(r, l, ev);
    }
    if (e == ERR_OK && ev->is_done) {
        finish(r, l, ev);
    }
    ev->all_finished = r->finished > 0;
    return e;
}

enum err ollama_read_line(struct reply *r, struct str line, struct reply_event *ev)
{
    struct line l;
    *ev = (struct reply_event){.has_content = false};
    enum err e = read_line(line, &l);
    if (e != ERR_OK) {
        return e;
    }
    if (l.error.len > 0) {
        ev->is_error = read_error_value(l.error, &r->scratch, &ev->error);
        return ev->is_error ? ERR_OK : ERR_TYPE;
    }
    return r->finished > 0 ? ERR_TYPE : read_answer(r, &l, ev);
}
