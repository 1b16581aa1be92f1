#include "llm/openai.h"

#include "llm/members.h"
#include "llm/openai_request.h"
#include "wire/json.h"

/* Whole numbers up to here are exact everywhere, and sums of them do not overflow. */
static const uint64_t token_count_max = UINT64_C(1) << 53;

/* --- Errors --- */

/* What stands between a string's quotes, or the brackets of a list or object. */
static struct str inside(struct str value)
{
    return str_of(value.ptr + 1, value.len - 2);
}

static bool is_text(struct str value, struct str text)
{
    return json_type_of(value) == JSON_STRING && json_key_eq(inside(value), text);
}

/* Servers write `"error":null` and `"error":""` for "none". */
static bool is_truthy(struct str value)
{
    return member_is_given(value) && json_type_of(value) != JSON_FALSE &&
           !(json_type_of(value) == JSON_STRING && value.len == 2);
}

/* A string's text; of anything else its JSON, so that whatever a server says is shown. */
static struct str text_of(struct str value, struct arena *a)
{
    struct str text;
    if (!member_is_given(value)) {
        return STR_NONE;
    }
    return json_text(value, a, &text) == ERR_OK ? text : value;
}

static int status_of(struct str code)
{
    uint64_t status;
    return str_to_u64(code, 599, &status) == ERR_OK && status >= 400 ? (int)status : 0;
}

static void read_error_members(struct str object, struct arena *a, struct upstream_error *out)
{
    enum { MESSAGE, TYPE, PARAM, CODE, ERROR_TYPE, DETAIL, N_CTX, COUNT };
    static const struct str names[COUNT] = {
        [MESSAGE] = STR_INIT("message"), [TYPE] = STR_INIT("type"),
        [PARAM] = STR_INIT("param"),     [CODE] = STR_INIT("code"),
        [DETAIL] = STR_INIT("detail"),   [ERROR_TYPE] = STR_INIT("error_type"),
        [N_CTX] = STR_INIT("n_ctx")};
    struct str value[COUNT];
    json_pick(NULL, object, names, COUNT, value);
    *out = (struct upstream_error){
        .message = text_of(value[member_is_given(value[MESSAGE]) ? MESSAGE : DETAIL], a),
        .type = text_of(value[member_is_given(value[TYPE]) ? TYPE : ERROR_TYPE], a),
        .param = text_of(value[PARAM], a),
        .code = text_of(value[CODE], a)};
    out->status = status_of(out->code);
    uint64_t n_ctx = 0;
    if (json_u64(value[N_CTX], UINT32_MAX, &n_ctx) == ERR_OK) {
        out->n_ctx = (uint32_t)n_ctx;
    }
}

/* `error` is the member of that name, which may be an object or a plain text; `object` holds
 * it. */
static void read_error_value(struct str error, struct str object, struct arena *a,
                             struct upstream_error *out)
{
    bool is_object = json_type_of(error) == JSON_OBJECT;
    read_error_members(is_object ? error : object, a, out);
    if (!is_object || out->message.len == 0) {
        out->message = text_of(error, a);
    }
}

static bool read_error(struct str body, struct arena *a, struct upstream_error *out)
{
    size_t at;
    if (json_check(body, &at) != ERR_OK) {
        return false;
    }
    struct str object = json_value(body);
    struct str error =
        json_type_of(object) == JSON_OBJECT ? json_get(object, "error") : STR_NONE;
    if (is_truthy(error)) {
        read_error_value(error, object, a, out);
        return true;
    }
    read_error_members(object, a, out);
    return out->message.len > 0;
}

/* --- Replies --- */

enum { ERROR, OBJECT, CHOICES, USAGE, TOP_COUNT };
static const struct str top_names[TOP_COUNT] = {[ERROR] = STR_INIT("error"),
                                                [OBJECT] = STR_INIT("object"),
                                                [CHOICES] = STR_INIT("choices"),
                                                [USAGE] = STR_INIT("usage")};

/* One text of a backend while it is read. */
struct reading {
    struct reply *reply;
    struct reply_event *ev; /* NULL while a whole reply is read */
    struct str object;      /* all of it */
    struct str top[TOP_COUNT];
    struct json_tape tape;
};

/* Its members; not an object: they are empty. *at is where it is broken. */
static enum err read_top(struct reading *rd, struct str text, size_t *at)
{
    enum err e = json_check_tape(text, &rd->tape, at);
    if (e != ERR_OK) {
        return e;
    }
    rd->object = json_tape_root(&rd->tape);
    json_pick(&rd->tape, rd->object, top_names, TOP_COUNT, rd->top);
    return ERR_OK;
}

enum finish { FINISH_NONE, FINISH_FINE, FINISH_FAILED, FINISH_WRONG };

static enum finish judge_finish(struct str reason)
{
    static const struct str fine[] = {STR_INIT("stop"), STR_INIT("length"),
                                      STR_INIT("tool_calls"), STR_INIT("content_filter"),
                                      STR_INIT("function_call")};
    if (!member_is_given(reason)) {
        return FINISH_NONE;
    }
    if (json_type_of(reason) != JSON_STRING) {
        return FINISH_WRONG;
    }
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        if (json_key_eq(inside(reason), fine[i])) {
            return FINISH_FINE;
        }
    }
    /* Some servers write "" for null until the end. */
    return reason.len == 2 ? FINISH_NONE : FINISH_FAILED;
}

static void note_count(struct str value, uint64_t *count)
{
    uint64_t number;
    if (json_u64(value, token_count_max, &number) == ERR_OK) {
        *count = number;
    }
}

static void read_usage(struct reading *rd)
{
    enum { PROMPT, COMPLETION, COUNT };
    static const struct str names[COUNT] = {
        [PROMPT] = STR_INIT("prompt_tokens"), [COMPLETION] = STR_INIT("completion_tokens")};
    struct str value[COUNT];
    json_pick(&rd->tape, rd->top[USAGE], names, COUNT, value);
    rd->reply->has_usage = true;
    note_count(value[PROMPT], &rd->reply->prompt_tokens);
    note_count(value[COMPLETION], &rd->reply->completion_tokens);
    if (rd->ev) {
        note_count(value[PROMPT], &rd->ev->prompt_tokens);
        note_count(value[COMPLETION], &rd->ev->completion_tokens);
    }
}

/* Text that is not empty, or a list or an object with something in it. */
static bool has_substance(struct str value)
{
    enum json_type type = json_type_of(value);
    bool is_list = type == JSON_ARRAY || type == JSON_OBJECT;
    if (value.len <= 2 || !(is_list || type == JSON_STRING)) {
        return false;
    }
    return !is_list || json_value(inside(value)).len > 0;
}

enum {
    CONTENT,
    REASONING,
    REASONING_CONTENT,
    REFUSAL,
    AUDIO,
    FUNCTION_CALL,
    TOOL_CALLS,
    DELTA_COUNT
};

/* A second delta of the same choice in one event is no piece that we could keep. */
static void note_text(struct str value, bool is_first, struct str *text, struct reply_event *ev)
{
    bool is_text = json_type_of(value) == JSON_STRING;
    if (is_text && is_first && text->len == 0) {
        *text = inside(value);
    } else {
        ev->has_unkept = ev->has_unkept || has_substance(value);
    }
}

/* Servers that write reasoning under both names write the same. */
static void note_delta(const struct str value[DELTA_COUNT], bool is_first,
                       struct reply_event *ev)
{
    bool is_long = has_substance(value[REASONING_CONTENT]);
    struct str reasoning = value[is_long ? REASONING_CONTENT : REASONING];
    bool has_calls = has_substance(value[TOOL_CALLS]);
    note_text(value[CONTENT], is_first, &ev->content, ev);
    if (has_substance(reasoning)) {
        note_text(reasoning, is_first, &ev->reasoning, ev);
    }
    ev->has_reasoning = ev->reasoning.len > 0;
    ev->has_tool_call = ev->has_tool_call || (has_calls && is_first);
    ev->has_unkept = ev->has_unkept || (has_calls && !is_first) ||
                     has_substance(value[FUNCTION_CALL]) || has_substance(value[REFUSAL]) ||
                     has_substance(value[AUDIO]);
    ev->has_other = ev->has_reasoning || ev->has_tool_call || ev->has_unkept;
    ev->has_content = ev->has_other || ev->content.len > 0;
}

static enum err read_delta(struct reading *rd, uint32_t index, struct str delta)
{
    static const struct str names[DELTA_COUNT] = {[CONTENT] = STR_INIT("content"),
                                                  [REASONING] = STR_INIT("reasoning"),
                                                  [REASONING_CONTENT] =
                                                      STR_INIT("reasoning_content"),
                                                  [REFUSAL] = STR_INIT("refusal"),
                                                  [AUDIO] = STR_INIT("audio"),
                                                  [FUNCTION_CALL] = STR_INIT("function_call"),
                                                  [TOOL_CALLS] = STR_INIT("tool_calls")};
    struct str value[DELTA_COUNT];
    if (!member_is_given(delta)) {
        return ERR_OK;
    }
    if (json_type_of(delta) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_pick(&rd->tape, delta, names, DELTA_COUNT, value);
    note_delta(value, index == 0, rd->ev);
    rd->reply->any_tool_calls = rd->reply->any_tool_calls || has_substance(value[TOOL_CALLS]);
    return ERR_OK;
}

/* A choice that nobody asked for must come to its end too. */
static enum err read_index(struct reply *r, struct str value, uint32_t *out)
{
    uint64_t index = 0;
    if (member_is_given(value)) {
        enum err e = json_u64(value, CHAT_CHOICES_MAX - 1, &index);
        if (e != ERR_OK) {
            return e;
        }
    }
    *out = (uint32_t)index;
    if (*out >= r->choices) {
        r->choices = *out + 1;
    }
    return ERR_OK;
}

static enum err note_finish(struct reading *rd, uint32_t index, struct str reason)
{
    const uint64_t bit = UINT64_C(1) << (index % 64);
    uint64_t *set = &rd->reply->finished_set[index / 64];
    switch (judge_finish(reason)) {
    case FINISH_NONE:
        return ERR_OK;
    case FINISH_WRONG:
        return ERR_TYPE;
    case FINISH_FAILED:
        rd->ev->is_abort = true;
        return ERR_OK;
    case FINISH_FINE:
        break;
    }
    rd->ev->has_finish = true;
    if ((*set & bit) == 0) {
        *set |= bit;
        rd->reply->finished++;
    }
    return ERR_OK;
}

static enum err read_choice(struct reading *rd, struct str choice)
{
    enum { INDEX, DELTA, FINISH, COUNT };
    static const struct str names[COUNT] = {[INDEX] = STR_INIT("index"),
                                            [DELTA] = STR_INIT("delta"),
                                            [FINISH] = STR_INIT("finish_reason")};
    struct str value[COUNT];
    uint32_t index;
    if (json_type_of(choice) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_pick(&rd->tape, choice, names, COUNT, value);
    enum err e = read_index(rd->reply, value[INDEX], &index);
    if (e == ERR_OK) {
        e = read_delta(rd, index, value[DELTA]);
    }
    return e == ERR_OK ? note_finish(rd, index, value[FINISH]) : e;
}

static enum err read_choices(struct reading *rd, size_t *count)
{
    struct str choices = rd->top[CHOICES];
    struct json_iter it;
    enum err e = ERR_OK;
    *count = 0;
    if (!member_is_given(choices)) {
        return ERR_OK;
    }
    if (json_type_of(choices) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    json_iter_init_on(&it, &rd->tape, choices);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = read_choice(rd, it.value);
        ++*count;
    }
    return e;
}

/* SGLang does not nest its errors: {"object":"error","message":…}. */
static bool find_error(struct reading *rd, struct upstream_error *out)
{
    struct arena *scratch = &rd->reply->scratch;
    if (is_truthy(rd->top[ERROR])) {
        read_error_value(rd->top[ERROR], rd->object, scratch, out);
        return true;
    }
    if (is_text(rd->top[OBJECT], STR("error"))) {
        read_error_members(rd->object, scratch, out);
        return true;
    }
    return false;
}

/* Remembers a chunk that is nothing but a piece of text: the next ones are likely to differ in
 * that only. */
static void keep_stencil(struct reply *r, const struct reply_event *ev)
{
    bool is_only_text = !ev->has_finish && !ev->has_usage && !ev->has_other &&
                        ev->content.len > 0 && ev->reasoning.ptr == NULL;
    bool is_only_reasoning = !ev->has_finish && !ev->has_usage && !ev->has_tool_call &&
                             !ev->has_unkept && ev->has_reasoning && ev->content.ptr == NULL;
    r->stencil_is_reasoning = is_only_reasoning;
    if (is_only_text || is_only_reasoning) {
        stencil_keep(&r->stencil, ev->chunk, is_only_text ? ev->content : ev->reasoning);
    } else {
        stencil_drop(&r->stencil);
    }
}

static bool read_by_stencil(struct reply *r, struct str payload, struct reply_event *ev)
{
    struct str text;
    if (!stencil_fits(&r->stencil, payload, &text)) {
        return false;
    }
    ev->has_content = true;
    ev->has_reasoning = r->stencil_is_reasoning;
    ev->has_other = r->stencil_is_reasoning;
    *(r->stencil_is_reasoning ? &ev->reasoning : &ev->content) = text;
    ev->chunk = payload;
    ev->is_verbatim = true;
    ev->is_alike = true;
    return true;
}

static enum err read_chunk(struct reading *rd, struct str payload)
{
    struct reply_event *ev = rd->ev;
    size_t count;
    ev->has_usage = json_type_of(rd->top[USAGE]) == JSON_OBJECT;
    if (!ev->has_usage && !member_is_given(rd->top[CHOICES])) {
        return ERR_TYPE;
    }
    enum err e = read_choices(rd, &count);
    if (e != ERR_OK) {
        return e;
    }
    if (ev->has_usage) {
        read_usage(rd);
    }
    bool is_unwanted = count == 0 && ev->has_usage && !rd->reply->include_usage;
    ev->is_verbatim = true;
    if (ev->is_abort || is_unwanted) {
        ev->content = STR_NONE;
        ev->reasoning = STR_NONE;
        return ERR_OK;
    }
    ev->chunk = payload;
    keep_stencil(rd->reply, ev);
    return ERR_OK;
}

static enum err read_in_full(struct reply *r, struct str payload, struct reply_event *ev)
{
    struct reading rd;
    size_t at;
    if (str_eq(str_trim(payload), STR("[DONE]"))) {
        ev->is_done = true;
        return ERR_OK;
    }
    rd.reply = r;
    rd.ev = ev;
    enum err e = read_top(&rd, payload, &at);
    if (e != ERR_OK) {
        return e;
    }
    if (json_type_of(rd.object) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    if (find_error(&rd, &ev->error)) {
        ev->is_error = true;
        return ERR_OK;
    }
    return read_chunk(&rd, payload);
}

static enum err read_event(struct reply *r, struct str payload, struct reply_event *ev)
{
    return read_by_stencil(r, payload, ev) ? ERR_OK : read_in_full(r, payload, ev);
}

static enum finish judge_whole_choice(const struct reading *rd, struct str choice)
{
    enum { MESSAGE, FINISH, COUNT };
    static const struct str names[COUNT] = {
        [MESSAGE] = STR_INIT("message"), [FINISH] = STR_INIT("finish_reason")};
    struct str value[COUNT];
    json_pick(&rd->tape, choice, names, COUNT, value);
    enum finish finish = judge_finish(value[FINISH]);
    bool is_whole = json_type_of(value[MESSAGE]) == JSON_OBJECT && finish != FINISH_NONE;
    return is_whole || finish == FINISH_FAILED ? finish : FINISH_WRONG;
}

/* Fewer choices than were asked for are not the whole answer. */
static enum whole_kind judge_whole(const struct reading *rd)
{
    struct str choices = rd->top[CHOICES];
    struct json_iter it;
    uint32_t count = 0;
    if (json_type_of(choices) != JSON_ARRAY) {
        return WHOLE_WRONG;
    }
    json_iter_init_on(&it, &rd->tape, choices);
    for (; json_iter_next(&it); count++) {
        enum finish finish = judge_whole_choice(rd, it.value);
        if (finish != FINISH_FINE) {
            return finish == FINISH_FAILED ? WHOLE_ABORTED : WHOLE_WRONG;
        }
    }
    return count >= rd->reply->choices ? WHOLE_ANSWER : WHOLE_WRONG;
}

/* A body that stops in the middle of an object was meant to be JSON. */
static enum whole_kind judge_broken(struct str body, size_t at)
{
    const struct str blank = STR(" \t\r\n");
    size_t start = 0;
    while (start < body.len && memchr(blank.ptr, body.ptr[start], blank.len)) {
        start++;
    }
    bool is_cut = start < body.len && body.ptr[start] == '{' && at >= body.len;
    return is_cut ? WHOLE_WRONG : WHOLE_NOT_JSON;
}

enum whole_kind openai_read_whole(struct reply *r, struct str body,
                                  struct upstream_error *error)
{
    struct reading rd;
    size_t at = 0;
    rd.reply = r;
    rd.ev = NULL;
    if (read_top(&rd, body, &at) != ERR_OK) {
        return judge_broken(body, at);
    }
    if (find_error(&rd, error)) {
        return WHOLE_ERROR;
    }
    if (json_type_of(rd.top[USAGE]) == JSON_OBJECT) {
        read_usage(&rd);
    }
    return judge_whole(&rd);
}

const struct dialect dialect_vllm = {.name = "vllm",
                                     .chat_path = "/v1/chat/completions",
                                     .probe_path = "/health",
                                     .models_path = "/v1/models",
                                     .count_path = "/tokenize",
                                     .count_text = "prompt",
                                     .counts_messages = true,
                                     .framing = REPLY_SSE,
                                     .can_continue = true,
                                     .build = openai_build_continuing,
                                     .read_event = read_event,
                                     .read_error = read_error};

const struct dialect dialect_llamacpp = {.name = "llamacpp",
                                         .chat_path = "/v1/chat/completions",
                                         .probe_path = "/health",
                                         .models_path = "/v1/models",
                                         .count_path = "/tokenize",
                                         .count_text = "content",
                                         .framing = REPLY_SSE,
                                         .can_continue = true,
                                         .build = openai_build_continuing,
                                         .read_event = read_event,
                                         .read_error = read_error};

const struct dialect dialect_openai = {.name = "openai",
                                       .chat_path = "/v1/chat/completions",
                                       .probe_path = "/v1/models",
                                       .framing = REPLY_SSE,
                                       .build = openai_build,
                                       .read_event = read_event,
                                       .read_error = read_error};
