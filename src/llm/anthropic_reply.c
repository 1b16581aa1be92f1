#include "llm/anthropic_reply.h"

#include <inttypes.h>

#include "llm/json_out.h"
#include "llm/members.h"
#include "wire/json.h"

enum { CHUNK_FRAME = 320 };

static const uint64_t token_count_max = UINT64_C(1) << 53;

enum { TYPE, ERROR, MESSAGE, BLOCK, DELTA, USAGE, TOP_COUNT };
static const struct str top_names[TOP_COUNT] = {
    [TYPE] = STR_INIT("type"),       [ERROR] = STR_INIT("error"),
    [MESSAGE] = STR_INIT("message"), [BLOCK] = STR_INIT("content_block"),
    [DELTA] = STR_INIT("delta"),     [USAGE] = STR_INIT("usage")};

/* One event while it is read. */
struct reading {
    struct reply *reply;
    struct reply_event *ev;
    struct str top[TOP_COUNT]; /* as JSON text; empty: absent */
};

/* --- errors --- */

static int status_of(struct str type)
{
    static const struct {
        const char *type;
        int status;
    } types[] = {
        {"invalid_request_error", 400}, {"authentication_error", 401},
        {"billing_error", 402},         {"permission_error", 403},
        {"not_found_error", 404},       {"request_too_large", 413},
        {"rate_limit_error", 429},      {"api_error", 500},
        {"timeout_error", 504},         {"overloaded_error", 529},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (member_is_text(type, types[i].type)) {
            return types[i].status;
        }
    }
    return 0;
}

static struct str text_of(struct str value, struct arena *a)
{
    struct str text = STR_NONE;
    return json_text(value, a, &text) == ERR_OK ? text : STR_NONE;
}

/* An account without credit is told as an invalid request (seen in many reports), but is none
 * of the client's. */
static bool is_out_of_credit(struct str message)
{
    return str_has(message, STR("credit balance is too low"));
}

static bool read_error_object(struct str error, struct arena *a, struct upstream_error *out)
{
    struct str type = json_get(error, "type");
    if (!member_is(error, JSON_OBJECT)) {
        return false;
    }
    *out = (struct upstream_error){.message = text_of(json_get(error, "message"), a),
                                   .type = text_of(type, a),
                                   .status = status_of(type)};
    if (out->status == 400 && is_out_of_credit(out->message)) {
        out->status = 402;
    }
    return true;
}

bool anthropic_read_error(struct str body, struct arena *a, struct upstream_error *out)
{
    size_t at = 0;
    return json_check(body, &at) == ERR_OK &&
           read_error_object(json_get(json_value(body), "error"), a, out);
}

/* --- writing chunks --- */

static struct str number_text(struct reply *r, uint64_t number)
{
    return arena_printf(&r->scratch, "%" PRIu64, number);
}

static void open_chunk(struct json_out *o, struct reply *r, size_t size)
{
    struct str model = r->model.len > 0 ? r->model : STR("\"\"");
    json_out_init(o, &r->scratch, CHUNK_FRAME + r->id.len + model.len + size);
    json_out_open(o, '{');
    json_out_member(o, "id", json_quote(&r->scratch, r->id));
    json_out_member(o, "object", STR("\"chat.completion.chunk\""));
    json_out_member(o, "created", number_text(r, r->created));
    json_out_member(o, "model", model);
    json_out_key(o, "choices");
    json_out_open(o, '[');
}

/* Up to the inside of the delta, with the role where the client has not had it. */
static void open_delta(struct json_out *o, struct reply *r, size_t size)
{
    open_chunk(o, r, size);
    json_out_raw(o, STR("{\"index\":0,\"delta\":{"));
    if (!r->role_sent) {
        json_out_member(o, "role", STR("\"assistant\""));
        r->role_sent = true;
    }
}

static void close_delta(struct json_out *o, struct reply_event *ev, struct str finish_reason)
{
    json_out_raw(o, STR("},\"finish_reason\":"));
    json_out_raw(o, finish_reason);
    json_out_raw(o, STR("}]}"));
    ev->chunk = json_out_str(o);
}

/* A piece of text under this name; an empty one is nothing. */
static enum err put_text(struct reading *rd, const char *key, struct str value)
{
    struct json_out o;
    if (!member_is(value, JSON_STRING)) {
        return ERR_TYPE;
    }
    if (member_inside(value).len > 0) {
        open_delta(&o, rd->reply, value.len);
        json_out_member(&o, key, value);
        close_delta(&o, rd->ev, STR("null"));
        rd->ev->has_content = true;
    }
    return ERR_OK;
}

static enum err put_content(struct reading *rd, struct str value)
{
    enum err e = put_text(rd, "content", value);
    if (rd->ev->has_content) {
        rd->ev->content = member_inside(value);
    }
    return e;
}

static enum err put_reasoning(struct reading *rd, struct str value)
{
    enum err e = put_text(rd, "reasoning_content", value);
    if (rd->ev->has_content) {
        rd->ev->reasoning = member_inside(value);
        rd->ev->has_reasoning = true;
        rd->ev->has_other = true;
    }
    return e;
}

/* --- tool calls --- */

static void open_call(struct json_out *o, struct reading *rd, size_t size)
{
    struct reply *r = rd->reply;
    open_delta(o, r, size);
    json_out_key(o, "tool_calls");
    json_out_raw(o, STR("[{\"index\":"));
    json_out_raw(o, number_text(r, r->tool_calls_sent - 1));
}

static void close_call(struct json_out *o, struct reading *rd, struct str arguments)
{
    json_out_member(o, "arguments", arguments);
    json_out_raw(o, STR("}}]"));
    close_delta(o, rd->ev, STR("null"));
    rd->ev->has_content = true;
    rd->ev->has_tool_call = true;
    rd->ev->has_other = true;
}

static enum err begin_call(struct reading *rd, struct str block)
{
    struct reply *r = rd->reply;
    struct json_out o;
    struct str id = json_get(block, "id");
    struct str name = json_get(block, "name");
    struct str input = json_get(block, "input");
    if (json_text_len(id) == 0 || json_text_len(name) == 0) {
        return ERR_TYPE;
    }
    r->tool_calls_sent++;
    r->any_tool_calls = true;
    r->is_in_call = true;
    /* Empty as a rule, for the input comes in pieces: if none comes, this was it. */
    r->call_input = arena_dup(r->arena, member_is(input, JSON_OBJECT) ? input : STR("{}"));
    open_call(&o, rd, id.len + name.len);
    json_out_member(&o, "id", id);
    json_out_member(&o, "type", STR("\"function\""));
    json_out_key(&o, "function");
    json_out_open(&o, '{');
    json_out_member(&o, "name", name);
    close_call(&o, rd, STR("\"\""));
    return ERR_OK;
}

static void put_arguments(struct reading *rd, struct str arguments)
{
    struct json_out o;
    open_call(&o, rd, arguments.len);
    json_out_key(&o, "function");
    json_out_open(&o, '{');
    close_call(&o, rd, arguments);
    rd->reply->call_input = STR_NONE;
}

/* Pieces of other blocks' input belong to tools of the server's own. */
static enum err take_input(struct reading *rd, struct str value)
{
    if (!member_is(value, JSON_STRING)) {
        return ERR_TYPE;
    }
    if (rd->reply->is_in_call && member_inside(value).len > 0) {
        put_arguments(rd, value);
    }
    return ERR_OK;
}

/* --- usage --- */

static void note_count(struct str usage, const char *key, uint64_t *count)
{
    uint64_t number = 0;
    if (json_u64(json_get(usage, key), token_count_max, &number) == ERR_OK) {
        *count = number;
    }
}

/* What is told later counts: it is cumulative. The prompt is the sum of what was read anew and
 * what went into the cache or came from it. */
static void read_usage(struct reading *rd, struct str usage)
{
    struct reply *r = rd->reply;
    struct reply_event *ev = rd->ev;
    if (!member_is(usage, JSON_OBJECT)) {
        return;
    }
    note_count(usage, "input_tokens", &r->input_tokens);
    note_count(usage, "cache_creation_input_tokens", &r->cache_written_tokens);
    note_count(usage, "cache_read_input_tokens", &r->cache_read_tokens);
    r->prompt_tokens = r->input_tokens + r->cache_written_tokens + r->cache_read_tokens;
    r->has_usage = true;
    ev->has_usage = true;
    ev->prompt_tokens = r->prompt_tokens;
}

static void put_usage_chunk(struct reading *rd)
{
    struct reply *r = rd->reply;
    struct json_out o;
    open_chunk(&o, r, 0);
    json_out_close(&o, ']');
    json_out_key(&o, "usage");
    json_out_open(&o, '{');
    json_out_member(&o, "prompt_tokens", number_text(r, r->prompt_tokens));
    json_out_member(&o, "completion_tokens", number_text(r, r->completion_tokens));
    json_out_member(&o, "total_tokens",
                    number_text(r, r->prompt_tokens + r->completion_tokens));
    if (r->cache_read_tokens > 0) {
        json_out_key(&o, "prompt_tokens_details");
        json_out_open(&o, '{');
        json_out_member(&o, "cached_tokens", number_text(r, r->cache_read_tokens));
        json_out_close(&o, '}');
    }
    json_out_close(&o, '}');
    json_out_close(&o, '}');
    rd->ev->usage_chunk = json_out_str(&o);
}

/* --- the events --- */

/* Its output_tokens are those of the beginning of the answer, and told again at its end. */
static enum err on_message_start(struct reading *rd)
{
    struct reply *r = rd->reply;
    struct json_out o;
    struct str model = json_get(rd->top[MESSAGE], "model");
    if (!member_is(rd->top[MESSAGE], JSON_OBJECT)) {
        return ERR_TYPE;
    }
    if (member_is(model, JSON_STRING)) {
        r->model = arena_dup(r->arena, model);
    }
    read_usage(rd, json_get(rd->top[MESSAGE], "usage"));
    if (!r->role_sent) {
        open_delta(&o, r, 0);
        json_out_member(&o, "content", STR("\"\""));
        close_delta(&o, rd->ev, STR("null"));
    }
    return ERR_OK;
}

static enum err on_block_start(struct reading *rd)
{
    struct str block = rd->top[BLOCK];
    struct str type = json_get(block, "type");
    rd->reply->is_in_call = false;
    if (!member_is(type, JSON_STRING)) {
        return ERR_TYPE;
    }
    if (member_is_text(type, "tool_use")) {
        return begin_call(rd, block);
    }
    if (member_is_text(type, "text")) {
        return put_content(rd, json_get(block, "text"));
    }
    return member_is_text(type, "thinking") ? put_reasoning(rd, json_get(block, "thinking"))
                                            : ERR_OK;
}

/* Signatures and sources are no part of OpenAI's answers. */
static enum err on_block_delta(struct reading *rd)
{
    struct str delta = rd->top[DELTA];
    struct str type = json_get(delta, "type");
    if (!member_is(type, JSON_STRING)) {
        return ERR_TYPE;
    }
    if (member_is_text(type, "text_delta")) {
        return put_content(rd, json_get(delta, "text"));
    }
    if (member_is_text(type, "thinking_delta")) {
        return put_reasoning(rd, json_get(delta, "thinking"));
    }
    return member_is_text(type, "input_json_delta")
               ? take_input(rd, json_get(delta, "partial_json"))
               : ERR_OK;
}

static enum err on_block_stop(struct reading *rd)
{
    struct reply *r = rd->reply;
    if (r->is_in_call && r->call_input.len > 0) {
        put_arguments(rd, json_quote(&r->scratch, r->call_input));
    }
    r->is_in_call = false;
    return ERR_OK;
}

/* As JSON text; empty: the answer is not whole. pause_turn is one of those, which only tools of
 * the server's own make. */
static struct str finish_reason(struct str stop_reason)
{
    static const struct {
        const char *anthropic;
        struct str openai;
    } reasons[] = {
        {"end_turn", STR_INIT("\"stop\"")},
        {"stop_sequence", STR_INIT("\"stop\"")},
        {"max_tokens", STR_INIT("\"length\"")},
        {"model_context_window_exceeded", STR_INIT("\"length\"")},
        {"tool_use", STR_INIT("\"tool_calls\"")},
        {"refusal", STR_INIT("\"content_filter\"")},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (member_is_text(stop_reason, reasons[i].anthropic)) {
            return reasons[i].openai;
        }
    }
    return STR_NONE;
}

static void finish(struct reading *rd, struct str reason)
{
    struct json_out o;
    open_delta(&o, rd->reply, 0);
    close_delta(&o, rd->ev, reason);
    rd->reply->finished = 1;
    rd->ev->has_finish = true;
    rd->ev->all_finished = true;
    if (rd->reply->include_usage) {
        put_usage_chunk(rd);
    }
}

static enum err on_message_delta(struct reading *rd)
{
    struct reply *r = rd->reply;
    struct str stop_reason = json_get(rd->top[DELTA], "stop_reason");
    struct str reason = finish_reason(stop_reason);
    if (!member_is(rd->top[DELTA], JSON_OBJECT)) {
        return ERR_TYPE;
    }
    read_usage(rd, rd->top[USAGE]);
    note_count(rd->top[USAGE], "output_tokens", &r->completion_tokens);
    rd->ev->completion_tokens = r->completion_tokens;
    if (!member_is_given(stop_reason) || member_is_text(stop_reason, "")) {
        return ERR_OK;
    }
    if (reason.len > 0) {
        finish(rd, reason);
    } else {
        rd->ev->is_abort = true;
    }
    return ERR_OK;
}

static enum err on_message_stop(struct reading *rd)
{
    rd->ev->is_done = true;
    return ERR_OK;
}

static enum err on_error(struct reading *rd)
{
    rd->ev->is_error = read_error_object(rd->top[ERROR], &rd->reply->scratch, &rd->ev->error);
    return rd->ev->is_error ? ERR_OK : ERR_TYPE;
}

/* Those that say nothing more once the answer has its end are left alone. */
static const struct {
    const char *type;
    bool is_of_answer;
    enum err (*take)(struct reading *rd);
} events[] = {
    {"content_block_delta", true, on_block_delta},
    {"content_block_start", true, on_block_start},
    {"content_block_stop", true, on_block_stop},
    {"message_start", true, on_message_start},
    {"message_delta", true, on_message_delta},
    {"message_stop", false, on_message_stop},
    {"error", false, on_error},
};

static enum err take_event(struct reading *rd)
{
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (member_is_text(rd->top[TYPE], events[i].type)) {
            bool is_late = events[i].is_of_answer && rd->reply->finished > 0;
            return is_late ? ERR_TYPE : events[i].take(rd);
        }
    }
    return member_is(rd->top[TYPE], JSON_STRING) ? ERR_OK : on_error(rd);
}

enum err anthropic_read_event(struct reply *r, struct str payload, struct reply_event *ev)
{
    struct json_tape tape;
    struct reading rd = {.reply = r, .ev = ev};
    size_t at = 0;
    *ev = (struct reply_event){.has_content = false};
    enum err e = json_check_tape(payload, &tape, &at);
    if (e != ERR_OK) {
        return e;
    }
    struct str object = json_tape_root(&tape);
    if (!member_is(object, JSON_OBJECT)) {
        return ERR_TYPE;
    }
    json_pick(&tape, object, top_names, TOP_COUNT, rd.top);
    e = take_event(&rd);
    ev->all_finished = r->finished > 0;
    return e;
}
