#include "llm/chat_request.h"

#include "llm/chat_wants.h"
#include "llm/members.h"
#include "wire/json.h"

enum member {
    MODEL,
    MESSAGES,
    STREAM,
    STREAM_OPTIONS,
    MAX_TOKENS,
    MAX_COMPLETION_TOKENS,
    TEMPERATURE,
    N,
    TOOLS,
    FUNCTIONS,
    RESPONSE_FORMAT,
    LOGPROBS,
    TOP_LOGPROBS,
    MEMBER_COUNT
};

static const struct str member_names[MEMBER_COUNT] = {
    [MODEL] = STR_INIT("model"),
    [MESSAGES] = STR_INIT("messages"),
    [STREAM] = STR_INIT("stream"),
    [STREAM_OPTIONS] = STR_INIT("stream_options"),
    [MAX_TOKENS] = STR_INIT("max_tokens"),
    [MAX_COMPLETION_TOKENS] = STR_INIT("max_completion_tokens"),
    [TEMPERATURE] = STR_INIT("temperature"),
    [N] = STR_INIT("n"),
    [TOOLS] = STR_INIT("tools"),
    [FUNCTIONS] = STR_INIT("functions"),
    [RESPONSE_FORMAT] = STR_INIT("response_format"),
    [LOGPROBS] = STR_INIT("logprobs"),
    [TOP_LOGPROBS] = STR_INIT("top_logprobs"),
};

/* Whole numbers up to here are exact in every JSON parser. */
static const uint64_t max_whole = UINT64_C(1) << 53;

struct reading {
    struct arena *arena;
    struct chat_request *out;
    struct bad_request *bad;
    struct str value[MEMBER_COUNT];
    struct json_tape tape; /* of the body */
};

static void fill_bad(struct reading *rd, const char *code, struct str param, struct str message)
{
    *rd->bad = (struct bad_request){.status = 400,
                                    .type = "invalid_request_error",
                                    .code = code,
                                    .message = message,
                                    .param = param};
}

static enum err refuse_missing(struct reading *rd, struct str param)
{
    fill_bad(rd, "missing_required_parameter", param,
             arena_printf(rd->arena, "Missing required parameter: '%.*s'", STR_FMT(param)));
    return ERR_NOT_FOUND;
}

static const char *describe_type(struct str value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        return "null";
    case JSON_FALSE:
    case JSON_TRUE:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "an array";
    case JSON_OBJECT:
        return "an object";
    }
    return "something else";
}

static enum err refuse_type(struct reading *rd, struct str param, const char *expected,
                            struct str value)
{
    fill_bad(rd, "invalid_type", param,
             arena_printf(rd->arena, "Invalid type for '%.*s': expected %s, but got %s",
                          STR_FMT(param), expected, describe_type(value)));
    return ERR_TYPE;
}

static enum err refuse_value(struct reading *rd, struct str param, const char *rule)
{
    fill_bad(rd, "invalid_value", param,
             arena_printf(rd->arena, "Invalid value for '%.*s': %s", STR_FMT(param), rule));
    return ERR_RANGE;
}

static const char *describe_fault(enum err e)
{
    if (e == ERR_DUPLICATE) {
        return "a key is given twice";
    }
    if (e == ERR_TOO_LARGE) {
        return "too many members";
    }
    return err_text(e);
}

static enum err refuse_json(struct reading *rd, enum err e, size_t at, size_t len)
{
    const char *where = e == ERR_SYNTAX && at >= len ? ", where it ends" : "";
    fill_bad(rd, "invalid_json", STR_NONE,
             arena_printf(rd->arena, "Request body is not valid JSON: %s at byte %zu%s",
                          describe_fault(e), at, where));
    return e;
}

static enum err check_body(struct reading *rd, struct str body)
{
    size_t at = 0;
    if (body.len == 0) {
        fill_bad(rd, "invalid_json", STR_NONE,
                 STR("Request body is empty: a JSON object is needed"));
        return ERR_SYNTAX;
    }
    enum err e = json_check_tape(body, &rd->tape, &at);
    if (e != ERR_OK) {
        return refuse_json(rd, e, at, body.len);
    }
    rd->out->body = json_tape_root(&rd->tape);
    if (json_type_of(rd->out->body) != JSON_OBJECT) {
        fill_bad(rd, "invalid_type", STR_NONE,
                 arena_printf(rd->arena, "Request body must be a JSON object, but is %s",
                              describe_type(rd->out->body)));
        return ERR_TYPE;
    }
    return ERR_OK;
}

static enum err read_model(struct reading *rd)
{
    struct str value = rd->value[MODEL];
    if (!member_is_given(value)) {
        return refuse_missing(rd, member_names[MODEL]);
    }
    if (json_text(value, rd->arena, &rd->out->model) != ERR_OK) {
        return refuse_type(rd, member_names[MODEL], "a string", value);
    }
    if (rd->out->model.len == 0) {
        return refuse_value(rd, member_names[MODEL], "it must not be empty");
    }
    return ERR_OK;
}

static enum err read_messages(struct reading *rd)
{
    struct str value = rd->value[MESSAGES];
    struct json_iter it;
    uint32_t count = 0;
    if (!member_is_given(value)) {
        return refuse_missing(rd, member_names[MESSAGES]);
    }
    if (json_type_of(value) != JSON_ARRAY) {
        return refuse_type(rd, member_names[MESSAGES], "an array of objects", value);
    }
    json_iter_init_on(&it, &rd->tape, value);
    for (; json_iter_next(&it); count++) {
        if (json_type_of(it.value) != JSON_OBJECT) {
            return refuse_type(rd, arena_printf(rd->arena, "messages[%u]", count), "an object",
                               it.value);
        }
    }
    if (count == 0) {
        return refuse_value(rd, member_names[MESSAGES], "it needs at least one message");
    }
    rd->out->prompt_bytes = value.len;
    return ERR_OK;
}

static enum err read_bool(struct reading *rd, struct str param, struct str value, bool *out)
{
    *out = json_is_true(value);
    if (member_is_given(value) && !*out && json_type_of(value) != JSON_FALSE) {
        return refuse_type(rd, param, "a boolean", value);
    }
    return ERR_OK;
}

static enum err read_stream(struct reading *rd)
{
    const struct str name = STR("include_usage");
    struct str options = rd->value[STREAM_OPTIONS];
    struct str include_usage;
    enum err e = read_bool(rd, member_names[STREAM], rd->value[STREAM], &rd->out->stream);
    if (e != ERR_OK || !member_is_given(options)) {
        return e;
    }
    if (json_type_of(options) != JSON_OBJECT) {
        return refuse_type(rd, member_names[STREAM_OPTIONS], "an object", options);
    }
    json_pick(&rd->tape, options, &name, 1, &include_usage);
    return read_bool(rd, STR("stream_options.include_usage"), include_usage,
                     &rd->out->include_usage);
}

/* A whole number 1 … max; *out stays as it is when the member is not given. */
static enum err read_count(struct reading *rd, enum member m, uint64_t max, uint64_t *out)
{
    struct str value = rd->value[m];
    uint64_t number = 0;
    if (!member_is_given(value)) {
        return ERR_OK;
    }
    enum err e = json_u64(value, max, &number);
    if (e == ERR_TYPE) {
        return refuse_type(rd, member_names[m], "a whole number", value);
    }
    if (e != ERR_OK || number < 1) {
        struct str rule = arena_printf(rd->arena, "it must be a whole number from 1 to %llu",
                                       (unsigned long long)max);
        return refuse_value(rd, member_names[m], rule.ptr);
    }
    *out = number;
    return ERR_OK;
}

static enum err read_max_tokens(struct reading *rd)
{
    struct chat_request *out = rd->out;
    enum err e = read_count(rd, MAX_TOKENS, max_whole, &out->max_tokens);
    if (e == ERR_OK) {
        e = read_count(rd, MAX_COMPLETION_TOKENS, max_whole, &out->max_tokens);
    }
    out->max_is_completion = member_is_given(rd->value[MAX_COMPLETION_TOKENS]);
    out->has_max_tokens = out->max_is_completion || member_is_given(rd->value[MAX_TOKENS]);
    return e;
}

static enum err read_temperature(struct reading *rd)
{
    struct str value = rd->value[TEMPERATURE];
    if (!member_is_given(value)) {
        return ERR_OK;
    }
    if (json_type_of(value) != JSON_NUMBER) {
        return refuse_type(rd, member_names[TEMPERATURE], "a number", value);
    }
    if (json_double(value, &rd->out->temperature) != ERR_OK) {
        return refuse_value(rd, member_names[TEMPERATURE], "it is too large for a number");
    }
    rd->out->has_temperature = true;
    return ERR_OK;
}

static enum err read_n(struct reading *rd)
{
    uint64_t n = 1;
    enum err e = read_count(rd, N, CHAT_CHOICES_MAX, &n);
    rd->out->n = (uint32_t)n;
    return e;
}

/* Nothing is judged here: backends differ in what they take. */
static enum err read_wants(struct reading *rd)
{
    const struct str *v = rd->value;
    struct chat_request *out = rd->out;
    uint64_t image_bytes = chat_wants_image_bytes(&rd->tape, v[MESSAGES], &out->wants.vision);
    out->wants.tools = chat_wants_list(v[TOOLS]) || chat_wants_list(v[FUNCTIONS]);
    out->wants.json_schema = chat_wants_schema(v[RESPONSE_FORMAT]);
    out->wants.logprobs = chat_wants_logprobs(v[LOGPROBS], v[TOP_LOGPROBS]);
    out->text_bytes = v[MESSAGES].len - image_bytes + v[TOOLS].len + v[FUNCTIONS].len;
    return ERR_OK;
}

static enum err read_members(struct reading *rd)
{
    static enum err (*const steps[])(struct reading *) = {
        read_model,       read_messages, read_stream, read_max_tokens,
        read_temperature, read_n,        read_wants};
    enum err e = ERR_OK;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && e == ERR_OK; i++) {
        e = steps[i](rd);
    }
    return e;
}

enum err chat_request_read(struct str body, struct arena *a, struct chat_request *out,
                           struct bad_request *bad)
{
    struct chat_request request = {.n = 1};
    struct reading rd;
    rd.arena = a;
    rd.out = &request;
    rd.bad = bad;
    enum err e = check_body(&rd, body);
    if (e != ERR_OK) {
        return e;
    }
    json_pick(&rd.tape, request.body, member_names, MEMBER_COUNT, rd.value);
    e = read_members(&rd);
    if (e != ERR_OK) {
        return e;
    }
    request.raw = (struct chat_members){
        .model = rd.value[MODEL],
        .stream = rd.value[STREAM],
        .stream_options = rd.value[STREAM_OPTIONS],
        .max_tokens = rd.value[MAX_TOKENS],
        .max_completion_tokens = rd.value[MAX_COMPLETION_TOKENS],
        .temperature = rd.value[TEMPERATURE],
        .messages = rd.value[MESSAGES],
    };
    *out = request;
    return ERR_OK;
}

uint64_t chat_request_limit(const struct chat_request *q)
{
    const struct str given[] = {q->raw.max_tokens, q->raw.max_completion_tokens};
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < 2; i++) {
        uint64_t number;
        if (json_u64(given[i], UINT64_MAX, &number) == ERR_OK && number < limit) {
            limit = number;
        }
    }
    return limit;
}

struct str chat_request_beginning(const struct chat_request *q, size_t most)
{
    struct str messages = q->raw.messages;
    struct json_iter it;
    size_t end = 0;
    bool is_over = false;
    json_iter_init(&it, messages);
    while (!is_over && json_iter_next(&it)) {
        end = (size_t)(it.value.ptr + it.value.len - messages.ptr);
        is_over = end >= most || member_is_text(json_get(it.value, "role"), "user");
    }
    return str_of(messages.ptr, end < most ? end : most);
}
