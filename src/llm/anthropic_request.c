#include "llm/anthropic_request.h"

#include <inttypes.h>

#include "llm/anthropic_messages.h"
#include "llm/anthropic_tools.h"
#include "llm/blank.h"
#include "llm/json_out.h"
#include "llm/members.h"
#include "llm/refusal.h"
#include "wire/json.h"

enum {
    USER_MAX = 256,     /* bytes of metadata.user_id */
    BESIDES_BODY = 1024 /* what we add to a request's size, about */
};

struct anthropic_request {
    const struct chat_request *q; /* borrowed */
    const struct chat_edit *ed;   /* borrowed */
    struct arena *arena;          /* borrowed */
    struct bad_request *bad;      /* borrowed */
    struct str temperature;       /* these as JSON text; empty: absent */
    struct str top_p;
    struct str top_k;
    struct str stop; /* an array */
    struct str user;
    struct str thinking;
    struct str messages;
    struct anthropic_tool_wish wish;
};

static bool is_same(double a, double b)
{
    return !(a < b) && !(a > b);
}

static enum err refuse(struct anthropic_request *rq, const char *param, const char *why)
{
    return refusal_make(
        rq->arena, &(struct refusal){.type = "anthropic", .param = str_from(param), .why = why},
        rq->bad);
}

static enum err mistyped(struct anthropic_request *rq, const char *param, const char *must_be)
{
    return refusal_mistyped(rq->arena, str_from(param), must_be, rq->bad);
}

/* --- sampling --- */

/* 1 is the default, and left out: newer models refuse the field. */
static struct str temperature_text(struct arena *a, double number, struct str text)
{
    if (number >= 1) {
        return STR_NONE;
    }
    return text.len > 0 ? text : json_out_number(a, number);
}

static enum err take_temperature(struct anthropic_request *rq, const struct anthropic_field *f,
                                 struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK) {
        return mistyped(rq, f->name, "a number");
    }
    rq->temperature = temperature_text(rq->arena, number, value);
    return ERR_OK;
}

static enum err take_top_p(struct anthropic_request *rq, const struct anthropic_field *f,
                           struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK) {
        return mistyped(rq, f->name, "a number");
    }
    rq->top_p = number < 1 ? value : STR_NONE;
    return ERR_OK;
}

/* 0 and below mean "all" to servers that know it. */
static enum err take_top_k(struct anthropic_request *rq, const struct anthropic_field *f,
                           struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK || number > INT32_MAX || number < INT32_MIN ||
        !is_same(number, (double)(int32_t)number)) {
        return mistyped(rq, f->name, "a whole number");
    }
    rq->top_k = number > 0 ? value : STR_NONE;
    return ERR_OK;
}

static enum err check_stop(struct anthropic_request *rq, const struct anthropic_field *f,
                           struct str value)
{
    if (!member_is(value, JSON_STRING)) {
        return mistyped(rq, f->name, "a string or an array of strings");
    }
    if (blank_is_all(str_of(value.ptr + 1, value.len - 2))) {
        return refuse(rq, f->name, "it cannot stop at white space alone");
    }
    return ERR_OK;
}

static enum err take_stop(struct anthropic_request *rq, const struct anthropic_field *f,
                          struct str value)
{
    if (!member_is(value, JSON_ARRAY)) {
        rq->stop = arena_printf(rq->arena, "[%.*s]", STR_FMT(value));
        return check_stop(rq, f, value);
    }
    struct json_iter it;
    json_iter_init(&it, value);
    enum err e = ERR_OK;
    while (e == ERR_OK && json_iter_next(&it)) {
        e = check_stop(rq, f, it.value);
    }
    rq->stop = member_is_empty(value) ? STR_NONE : value;
    return e;
}

/* --- other fields --- */

static enum err take_messages(struct anthropic_request *rq, const struct anthropic_field *f,
                              struct str value)
{
    (void)f;
    rq->messages = value;
    return ERR_OK;
}

static enum err take_user(struct anthropic_request *rq, const struct anthropic_field *f,
                          struct str value)
{
    if (!member_is(value, JSON_STRING)) {
        return mistyped(rq, f->name, "a string");
    }
    size_t len = json_text_len(value);
    rq->user = len > 0 && len <= USER_MAX ? value : STR_NONE;
    return ERR_OK;
}

static enum err take_thinking(struct anthropic_request *rq, const struct anthropic_field *f,
                              struct str value)
{
    rq->thinking = value;
    return member_is(value, JSON_OBJECT) ? ERR_OK : mistyped(rq, f->name, "an object");
}

static enum err take_tools(struct anthropic_request *rq, const struct anthropic_field *f,
                           struct str value)
{
    rq->wish.tools = value;
    return member_is(value, JSON_ARRAY) ? ERR_OK : mistyped(rq, f->name, "an array");
}

static enum err take_tool_choice(struct anthropic_request *rq, const struct anthropic_field *f,
                                 struct str value)
{
    (void)f;
    rq->wish.choice = value;
    return ERR_OK;
}

static enum err take_parallel(struct anthropic_request *rq, const struct anthropic_field *f,
                              struct str value)
{
    rq->wish.is_serial = member_is(value, JSON_FALSE);
    bool is_bool = rq->wish.is_serial || member_is(value, JSON_TRUE);
    return is_bool ? ERR_OK : mistyped(rq, f->name, "a boolean");
}

/* --- fields that have one harmless value --- */

static enum err check_number(struct anthropic_request *rq, const struct anthropic_field *f,
                             struct str value)
{
    double number;
    if (json_double(value, &number) != ERR_OK) {
        return mistyped(rq, f->name, "a number");
    }
    return is_same(number, f->neutral) ? ERR_OK : refuse(rq, f->name, "it has nothing like it");
}

static enum err check_logprobs(struct anthropic_request *rq, const struct anthropic_field *f,
                               struct str value)
{
    return member_is(value, JSON_FALSE) ? ERR_OK
                                        : refuse(rq, f->name, "it tells no probabilities");
}

static enum err check_logit_bias(struct anthropic_request *rq, const struct anthropic_field *f,
                                 struct str value)
{
    if (!member_is(value, JSON_OBJECT)) {
        return mistyped(rq, f->name, "an object");
    }
    return member_is_empty(value) ? ERR_OK : refuse(rq, f->name, "tokens cannot be biased");
}

static enum err check_modalities(struct anthropic_request *rq, const struct anthropic_field *f,
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

static enum err check_format(struct anthropic_request *rq, const struct anthropic_field *f,
                             struct str value)
{
    if (member_is_text(json_get(value, "type"), "text")) {
        return ERR_OK;
    }
    return refuse(rq, f->name, "answers are not held to a form");
}

/* --- the table --- */

/* Fields without `take` are read elsewhere (chat_request, chat_edit, reply) or by nobody. */
static const struct anthropic_field fields[] = {
    {"model", FIELD_MAPPED, NULL, 0},
    {"messages", FIELD_MAPPED, take_messages, 0},
    {"stream", FIELD_MAPPED, NULL, 0},
    {"max_tokens", FIELD_MAPPED, NULL, 0},
    {"max_completion_tokens", FIELD_MAPPED, NULL, 0},
    {"temperature", FIELD_MAPPED, take_temperature, 0},
    {"top_p", FIELD_MAPPED, take_top_p, 0},
    {"stop", FIELD_MAPPED, take_stop, 0},
    {"tools", FIELD_MAPPED, take_tools, 0},
    {"tool_choice", FIELD_MAPPED, take_tool_choice, 0},
    {"parallel_tool_calls", FIELD_MAPPED, take_parallel, 0},
    {"user", FIELD_MAPPED, take_user, 0},
    {"n", FIELD_NEUTRAL, check_number, 1},
    {"frequency_penalty", FIELD_NEUTRAL, check_number, 0},
    {"presence_penalty", FIELD_NEUTRAL, check_number, 0},
    {"logprobs", FIELD_NEUTRAL, check_logprobs, 0},
    {"top_logprobs", FIELD_NEUTRAL, check_number, 0},
    {"logit_bias", FIELD_NEUTRAL, check_logit_bias, 0},
    {"modalities", FIELD_NEUTRAL, check_modalities, 0},
    {"response_format", FIELD_NEUTRAL, check_format, 0},
    {"stream_options", FIELD_IGNORED, NULL, 0},
    {"seed", FIELD_IGNORED, NULL, 0},
    {"reasoning_effort", FIELD_IGNORED, NULL, 0},
    {"verbosity", FIELD_IGNORED, NULL, 0},
    {"safety_identifier", FIELD_IGNORED, NULL, 0},
    {"metadata", FIELD_IGNORED, NULL, 0},
    {"store", FIELD_IGNORED, NULL, 0},
    {"service_tier", FIELD_IGNORED, NULL, 0},
    {"prompt_cache_key", FIELD_IGNORED, NULL, 0},
    {"prompt_cache_retention", FIELD_IGNORED, NULL, 0},
    {"audio", FIELD_REFUSED, NULL, 0},
    {"prediction", FIELD_REFUSED, NULL, 0},
    {"web_search_options", FIELD_REFUSED, NULL, 0},
    {"functions", FIELD_REFUSED, NULL, 0},
    {"function_call", FIELD_REFUSED, NULL, 0},
    /* Not OpenAI's, but known to backends. */
    {"top_k", FIELD_MAPPED, take_top_k, 0},
    {"thinking", FIELD_MAPPED, take_thinking, 0},
    {"min_p", FIELD_NEUTRAL, check_number, 0},
    {"typical_p", FIELD_NEUTRAL, check_number, 1},
    {"repeat_penalty", FIELD_NEUTRAL, check_number, 1},
    {"repetition_penalty", FIELD_NEUTRAL, check_number, 1},
};

const struct anthropic_field *anthropic_fields(size_t *count)
{
    *count = sizeof(fields) / sizeof(fields[0]);
    return fields;
}

static const struct anthropic_field *find_field(struct str key)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_key_eq(key, str_from(fields[i].name))) {
            return &fields[i];
        }
    }
    return NULL;
}

static enum err take_field(struct anthropic_request *rq, const struct json_iter *it)
{
    if (json_type_of(it->value) == JSON_NULL) {
        return ERR_OK;
    }
    const struct anthropic_field *f = find_field(it->key);
    if (!f) {
        return refusal_make(rq->arena,
                            &(struct refusal){.type = "anthropic",
                                              .param = it->key,
                                              .why = "the field is not known"},
                            rq->bad);
    }
    if (f->handling == FIELD_REFUSED) {
        return refuse(rq, f->name, "it has nothing like it");
    }
    return f->take ? f->take(rq, f, it->value) : ERR_OK;
}

static enum err take_fields(struct anthropic_request *rq)
{
    struct json_iter it;
    json_iter_init(&it, rq->q->body);
    enum err e = ERR_OK;
    while (e == ERR_OK && json_iter_next(&it)) {
        e = take_field(rq, &it);
    }
    return e;
}

/* --- the body --- */

static struct str max_tokens_text(const struct anthropic_request *rq)
{
    uint64_t most = ANTHROPIC_MAX_TOKENS;
    if (rq->ed->set_max_tokens || rq->q->has_max_tokens) {
        most = rq->ed->set_max_tokens ? rq->ed->max_tokens : rq->q->max_tokens;
        most = most > rq->ed->spent ? most - rq->ed->spent : 1;
    }
    return arena_printf(rq->arena, "%" PRIu64, most);
}

static void put_unless_empty(struct json_out *out, const char *key, struct str value)
{
    if (value.len > 0) {
        json_out_member(out, key, value);
    }
}

/* Of temperature and top_p newer models take one only. Thinking is over where a text is to be
 * continued, and would forbid it. */
static void put_settings(const struct anthropic_request *rq, struct json_out *out)
{
    const struct chat_edit *ed = rq->ed;
    struct str temperature = ed->set_temperature
                                 ? temperature_text(rq->arena, ed->temperature, STR_NONE)
                                 : rq->temperature;
    json_out_member(out, "model", json_quote(rq->arena, ed->model));
    json_out_member(out, "max_tokens", max_tokens_text(rq));
    json_out_member(out, "stream", STR("true"));
    put_unless_empty(out, "temperature", temperature);
    put_unless_empty(out, "top_p", temperature.len > 0 ? STR_NONE : rq->top_p);
    put_unless_empty(out, "top_k", rq->top_k);
    put_unless_empty(out, "stop_sequences", rq->stop);
    put_unless_empty(out, "thinking", ed->partial.len > 0 ? STR_NONE : rq->thinking);
    if (rq->user.len > 0) {
        json_out_key(out, "metadata");
        json_out_open(out, '{');
        json_out_member(out, "user_id", rq->user);
        json_out_close(out, '}');
    }
}

static enum err put_body(struct anthropic_request *rq, struct json_out *out)
{
    struct json_out system;
    json_out_init(&system, rq->arena, 0);
    json_out_open(out, '{');
    put_settings(rq, out);
    enum err e = anthropic_put_tools(out, &rq->wish, rq->bad);
    if (e != ERR_OK) {
        return e;
    }
    json_out_key(out, "messages");
    e = anthropic_put_messages(
        &(struct anthropic_conversation){.messages = out, .system = &system}, rq->messages,
        rq->ed->partial, rq->bad);
    if (json_out_str(&system).len > 0) {
        json_out_key(out, "system");
        json_out_open(out, '[');
        json_out_raw(out, json_out_str(&system));
        json_out_close(out, ']');
    }
    json_out_close(out, '}');
    return e;
}

enum err anthropic_build(const struct chat_request *q, const struct chat_edit *ed,
                         struct arena *a, struct rope *out, struct bad_request *bad)
{
    struct anthropic_request rq = {.q = q, .ed = ed, .arena = a, .bad = bad};
    struct json_out body;
    enum err e = take_fields(&rq);
    if (e != ERR_OK) {
        return e;
    }
    json_out_init(&body, a, q->body.len + ed->partial.len + BESIDES_BODY);
    e = put_body(&rq, &body);
    if (e == ERR_OK) {
        rope_init(out);
        rope_add(out, json_out_str(&body));
    }
    return e;
}
