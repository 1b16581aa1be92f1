#include "llm/ollama_request.h"

#include <inttypes.h>

#include "llm/json_out.h"
#include "llm/members.h"
#include "llm/ollama_messages.h"
#include "wire/json.h"

enum {
    NUM_PREDICT_MAX = INT32_MAX, /* llama.cpp counts tokens in 32 bits */
    TOP_LOGPROBS_MAX = 20,
    BESIDES_BODY = 1024 /* what we add to a request's size, about */
};

struct ollama_request {
    const struct chat_request *q; /* borrowed */
    const struct chat_edit *ed;   /* borrowed */
    struct arena *arena;          /* borrowed */
    struct bad_request *bad;      /* borrowed */
    struct json_out options;      /* the inside of `options` */
    struct str messages;          /* the rest as JSON text; empty: absent */
    struct str tools;
    struct str format;
    struct str think;
    struct str effort; /* `think` from reasoning_effort; `think` itself wins */
    struct str keep_alive;
    struct str logprobs;
    struct str top_logprobs;
    bool no_tools;     /* tool_choice none */
    bool serial_tools; /* parallel_tool_calls false */
};

static bool is_bool(struct str value)
{
    return member_is(value, JSON_TRUE) || member_is(value, JSON_FALSE);
}

static enum err refuse(struct ollama_request *rq, const char *param, const char *why)
{
    return refusal_make(
        rq->arena, &(struct refusal){.type = "ollama", .param = str_from(param), .why = why},
        rq->bad);
}

static enum err mistyped(struct ollama_request *rq, const char *param, const char *must_be)
{
    return refusal_mistyped(rq->arena, str_from(param), must_be, rq->bad);
}

/* --- options --- */

static enum err take_number(struct ollama_request *rq, const struct ollama_field *f,
                            struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK) {
        return mistyped(rq, f->name, "a number");
    }
    json_out_member(&rq->options, f->option, value);
    return ERR_OK;
}

static enum err take_whole(struct ollama_request *rq, const struct ollama_field *f,
                           struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK || number < -9007199254740992.0 ||
        number > 9007199254740992.0 || number != (double)(int64_t)number) {
        return mistyped(rq, f->name, "a whole number");
    }
    json_out_member(&rq->options, f->option, value);
    return ERR_OK;
}

static enum err take_temperature(struct ollama_request *rq, const struct ollama_field *f,
                                 struct str value)
{
    return rq->ed->set_temperature ? ERR_OK : take_number(rq, f, value);
}

/* Other servers' name for the same thing. */
static enum err take_repetition(struct ollama_request *rq, const struct ollama_field *f,
                                struct str value)
{
    if (json_type_of(json_get(rq->q->body, f->option)) != JSON_NULL) {
        return refuse(rq, f->name, "repeat_penalty says the same and is there, too");
    }
    return take_number(rq, f, value);
}

static bool is_all_text(struct str array)
{
    struct json_iter it;
    json_iter_init(&it, array);
    while (json_iter_next(&it)) {
        if (!member_is(it.value, JSON_STRING)) {
            return false;
        }
    }
    return true;
}

static enum err take_stop(struct ollama_request *rq, const struct ollama_field *f,
                          struct str value)
{
    if (member_is(value, JSON_STRING)) {
        json_out_key(&rq->options, f->option);
        json_out_open(&rq->options, '[');
        json_out_raw(&rq->options, value);
        json_out_close(&rq->options, ']');
        return ERR_OK;
    }
    if (!member_is(value, JSON_ARRAY) || !is_all_text(value)) {
        return mistyped(rq, f->name, "a string or an array of strings");
    }
    if (!member_is_empty(value)) {
        json_out_member(&rq->options, f->option, value);
    }
    return ERR_OK;
}

/* --- fields beside the options --- */

static enum err take_messages(struct ollama_request *rq, const struct ollama_field *f,
                              struct str value)
{
    (void)f;
    rq->messages = value;
    return ERR_OK;
}

static enum err check_tool(struct ollama_request *rq, size_t index, struct str tool)
{
    struct str param = arena_printf(rq->arena, "tools[%zu].type", index);
    if (!member_is(json_get(tool, "type"), JSON_STRING)) {
        return mistyped(rq, param.ptr, "a string");
    }
    if (!member_is_text(json_get(tool, "type"), "function")) {
        return refuse(rq, param.ptr, "only tools of type function can be offered");
    }
    if (json_text_len(json_path(tool, "function", "name", NULL)) == 0) {
        param = arena_printf(rq->arena, "tools[%zu].function.name", index);
        return mistyped(rq, param.ptr, "a string");
    }
    return ERR_OK;
}

static enum err take_tools(struct ollama_request *rq, const struct ollama_field *f,
                           struct str value)
{
    if (!member_is(value, JSON_ARRAY)) {
        return mistyped(rq, f->name, "an array");
    }
    struct json_iter it;
    json_iter_init(&it, value);
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && json_iter_next(&it); i++) {
        e = check_tool(rq, i, it.value);
    }
    rq->tools = member_is_empty(value) ? STR_NONE : value;
    return e;
}

static enum err take_tool_choice(struct ollama_request *rq, const struct ollama_field *f,
                                 struct str value)
{
    rq->no_tools = member_is_text(value, "none");
    if (rq->no_tools || member_is_text(value, "auto")) {
        return ERR_OK;
    }
    return refuse(rq, f->name, "no tool can be forced; auto and none are possible");
}

static enum err take_parallel(struct ollama_request *rq, const struct ollama_field *f,
                              struct str value)
{
    rq->serial_tools = member_is(value, JSON_FALSE);
    return is_bool(value) ? ERR_OK : mistyped(rq, f->name, "a boolean");
}

static enum err take_format(struct ollama_request *rq, const struct ollama_field *f,
                            struct str value)
{
    struct str type = json_get(value, "type");
    (void)f;
    if (member_is_text(type, "text")) {
        return ERR_OK;
    }
    if (member_is_text(type, "json_object")) {
        rq->format = STR("\"json\"");
        return ERR_OK;
    }
    if (!member_is_text(type, "json_schema")) {
        return refuse(rq, "response_format.type",
                      "formats are text, json_object or json_schema");
    }
    rq->format = json_path(value, "json_schema", "schema", NULL);
    return member_is(rq->format, JSON_OBJECT)
               ? ERR_OK
               : mistyped(rq, "response_format.json_schema.schema", "an object");
}

static enum err take_effort(struct ollama_request *rq, const struct ollama_field *f,
                            struct str value)
{
    static const struct {
        const char *openai;
        struct str think;
    } efforts[] = {
        {"none", STR_INIT("false")},    {"minimal", STR_INIT("\"low\"")},
        {"low", STR_INIT("\"low\"")},   {"medium", STR_INIT("\"medium\"")},
        {"high", STR_INIT("\"high\"")}, {"xhigh", STR_INIT("\"max\"")},
        {"max", STR_INIT("\"max\"")},
    };
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++) {
        if (member_is_text(value, efforts[i].openai)) {
            rq->effort = efforts[i].think;
            return ERR_OK;
        }
    }
    return refuse(rq, f->name, "efforts are none, minimal, low, medium, high, xhigh, max");
}

static enum err take_think(struct ollama_request *rq, const struct ollama_field *f,
                           struct str value)
{
    rq->think = value;
    return is_bool(value) || member_is(value, JSON_STRING)
               ? ERR_OK
               : mistyped(rq, f->name, "a boolean or a string");
}

static enum err take_keep_alive(struct ollama_request *rq, const struct ollama_field *f,
                                struct str value)
{
    rq->keep_alive = value;
    return member_is(value, JSON_STRING) || member_is(value, JSON_NUMBER)
               ? ERR_OK
               : mistyped(rq, f->name, "a duration as text or a number of seconds");
}

static enum err take_logprobs(struct ollama_request *rq, const struct ollama_field *f,
                              struct str value)
{
    rq->logprobs = value;
    return is_bool(value) ? ERR_OK : mistyped(rq, f->name, "a boolean");
}

static enum err take_top_logprobs(struct ollama_request *rq, const struct ollama_field *f,
                                  struct str value)
{
    uint64_t count;
    rq->top_logprobs = value;
    return json_u64(value, TOP_LOGPROBS_MAX, &count) == ERR_OK
               ? ERR_OK
               : mistyped(rq, f->name, "a whole number from 0 to 20");
}

/* --- fields that have one harmless value --- */

static enum err check_n(struct ollama_request *rq, const struct ollama_field *f,
                        struct str value)
{
    uint64_t n;
    if (json_u64(value, 1, &n) == ERR_OK && n == 1) {
        return ERR_OK;
    }
    return refuse(rq, f->name, "it makes one choice only");
}

static enum err check_logit_bias(struct ollama_request *rq, const struct ollama_field *f,
                                 struct str value)
{
    if (!member_is(value, JSON_OBJECT)) {
        return mistyped(rq, f->name, "an object");
    }
    return member_is_empty(value) ? ERR_OK : refuse(rq, f->name, "tokens cannot be biased");
}

static enum err check_modalities(struct ollama_request *rq, const struct ollama_field *f,
                                 struct str value)
{
    struct json_iter it;
    json_iter_init(&it, member_is(value, JSON_ARRAY) ? value : STR("[0]"));
    while (json_iter_next(&it)) {
        if (!member_is_text(it.value, "text")) {
            return refuse(rq, f->name, "it answers with text only");
        }
    }
    return ERR_OK;
}

/* --- the table --- */

/* Fields without `take` are read elsewhere (chat_request, chat_edit, reply) or by nobody. */
static const struct ollama_field fields[] = {
    {"model", FIELD_MAPPED, NULL, NULL},
    {"messages", FIELD_MAPPED, take_messages, NULL},
    {"stream", FIELD_MAPPED, NULL, NULL},
    {"max_tokens", FIELD_MAPPED, NULL, NULL},
    {"max_completion_tokens", FIELD_MAPPED, NULL, NULL},
    {"temperature", FIELD_MAPPED, take_temperature, "temperature"},
    {"top_p", FIELD_MAPPED, take_number, "top_p"},
    {"seed", FIELD_MAPPED, take_whole, "seed"},
    {"stop", FIELD_MAPPED, take_stop, "stop"},
    {"frequency_penalty", FIELD_MAPPED, take_number, "frequency_penalty"},
    {"presence_penalty", FIELD_MAPPED, take_number, "presence_penalty"},
    {"response_format", FIELD_MAPPED, take_format, NULL},
    {"tools", FIELD_MAPPED, take_tools, NULL},
    {"tool_choice", FIELD_MAPPED, take_tool_choice, NULL},
    {"parallel_tool_calls", FIELD_NEUTRAL, take_parallel, NULL},
    {"logprobs", FIELD_MAPPED, take_logprobs, NULL},
    {"top_logprobs", FIELD_MAPPED, take_top_logprobs, NULL},
    {"reasoning_effort", FIELD_MAPPED, take_effort, NULL},
    {"n", FIELD_NEUTRAL, check_n, NULL},
    {"logit_bias", FIELD_NEUTRAL, check_logit_bias, NULL},
    {"modalities", FIELD_NEUTRAL, check_modalities, NULL},
    {"stream_options", FIELD_IGNORED, NULL, NULL},
    {"user", FIELD_IGNORED, NULL, NULL},
    {"safety_identifier", FIELD_IGNORED, NULL, NULL},
    {"metadata", FIELD_IGNORED, NULL, NULL},
    {"store", FIELD_IGNORED, NULL, NULL},
    {"service_tier", FIELD_IGNORED, NULL, NULL},
    {"prompt_cache_key", FIELD_IGNORED, NULL, NULL},
    {"prompt_cache_retention", FIELD_IGNORED, NULL, NULL},
    {"verbosity", FIELD_IGNORED, NULL, NULL},
    {"audio", FIELD_REFUSED, NULL, NULL},
    {"prediction", FIELD_REFUSED, NULL, NULL},
    {"web_search_options", FIELD_REFUSED, NULL, NULL},
    {"functions", FIELD_REFUSED, NULL, NULL},
    {"function_call", FIELD_REFUSED, NULL, NULL},
    /* Not OpenAI's, but known to backends. */
    {"top_k", FIELD_MAPPED, take_whole, "top_k"},
    {"min_p", FIELD_MAPPED, take_number, "min_p"},
    {"typical_p", FIELD_MAPPED, take_number, "typical_p"},
    {"repeat_penalty", FIELD_MAPPED, take_number, "repeat_penalty"},
    {"repetition_penalty", FIELD_MAPPED, take_repetition, "repeat_penalty"},
    {"think", FIELD_MAPPED, take_think, NULL},
    {"keep_alive", FIELD_MAPPED, take_keep_alive, NULL},
    {"num_ctx", FIELD_REFUSED, NULL, NULL},
};

const struct ollama_field *ollama_fields(size_t *count)
{
    *count = sizeof(fields) / sizeof(fields[0]);
    return fields;
}

static const struct ollama_field *find_field(struct str key)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_key_eq(key, str_from(fields[i].name))) {
            return &fields[i];
        }
    }
    return NULL;
}

static enum err take_field(struct ollama_request *rq, const struct json_iter *it)
{
    if (json_type_of(it->value) == JSON_NULL) {
        return ERR_OK;
    }
    const struct ollama_field *f = find_field(it->key);
    if (!f) {
        return refusal_make(rq->arena,
                            &(struct refusal){.type = "ollama",
                                              .param = it->key,
                                              .why = "the field is not known"},
                            rq->bad);
    }
    if (f->handling == FIELD_REFUSED) {
        return refuse(rq, f->name, "it has nothing like it for a single request");
    }
    return f->take ? f->take(rq, f, it->value) : ERR_OK;
}

/* --- the body --- */

static void add_edits(struct ollama_request *rq)
{
    const struct chat_edit *ed = rq->ed;
    if (ed->set_temperature) {
        json_out_member(&rq->options, "temperature",
                        json_out_number(rq->arena, ed->temperature));
    }
    if (ed->set_max_tokens || rq->q->has_max_tokens) {
        uint64_t most = ed->set_max_tokens ? ed->max_tokens : rq->q->max_tokens;
        if (ed->spent > 0) {
            most = most > ed->spent ? most - ed->spent : 1;
        }
        most = most < NUM_PREDICT_MAX ? most : NUM_PREDICT_MAX;
        json_out_member(&rq->options, "num_predict", arena_printf(rq->arena, "%" PRIu64, most));
    }
}

static void put_unless_empty(struct json_out *out, const char *key, struct str value)
{
    if (value.len > 0) {
        json_out_member(out, key, value);
    }
}

static enum err put_body(struct ollama_request *rq, struct json_out *out)
{
    json_out_open(out, '{');
    json_out_member(out, "model", json_quote(rq->arena, rq->ed->model));
    json_out_member(out, "stream", STR("true"));
    json_out_key(out, "messages");
    enum err e = ollama_put_messages(out, rq->messages, rq->ed->partial, rq->bad);
    put_unless_empty(out, "tools", rq->no_tools ? STR_NONE : rq->tools);
    put_unless_empty(out, "format", rq->format);
    put_unless_empty(out, "think", rq->think.len > 0 ? rq->think : rq->effort);
    put_unless_empty(out, "keep_alive", rq->keep_alive);
    put_unless_empty(out, "logprobs", rq->logprobs);
    put_unless_empty(out, "top_logprobs", rq->top_logprobs);
    if (json_out_str(&rq->options).len > 0) {
        json_out_key(out, "options");
        json_out_open(out, '{');
        json_out_raw(out, json_out_str(&rq->options));
        json_out_close(out, '}');
    }
    json_out_close(out, '}');
    return e;
}

static enum err take_fields(struct ollama_request *rq)
{
    struct json_iter it;
    json_iter_init(&it, rq->q->body);
    enum err e = ERR_OK;
    while (e == ERR_OK && json_iter_next(&it)) {
        e = take_field(rq, &it);
    }
    if (e == ERR_OK && rq->serial_tools && rq->tools.len > 0 && !rq->no_tools) {
        e = refuse(rq, "parallel_tool_calls", "it may always call several tools at once");
    }
    return e;
}

enum err ollama_build(const struct chat_request *q, const struct chat_edit *ed, struct arena *a,
                      struct rope *out, struct bad_request *bad)
{
    struct ollama_request rq = {.q = q, .ed = ed, .arena = a, .bad = bad};
    json_out_init(&rq.options, a, 0);
    enum err e = take_fields(&rq);
    if (e != ERR_OK) {
        return e;
    }
    struct json_out body;
    add_edits(&rq);
    json_out_init(&body, a, q->body.len + ed->partial.len + BESIDES_BODY);
    e = put_body(&rq, &body);
    if (e == ERR_OK) {
        rope_init(out);
        rope_add(out, json_out_str(&body));
    }
    return e;
}
