#include "llm/ollama_messages.h"

#include <search.h>
#include <stdlib.h>

#include "base/check.h"
#include "llm/data_url.h"
#include "llm/members.h"
#include "wire/json.h"

/* A tool result repeats its function's name, so an overlong name could blow the request up. */
enum { FUNCTION_NAME_MAX = 256 };

struct walk {
    struct json_out *out;
    struct message_reader in;
    void *calls;  /* tree of struct call: the tool calls of the messages so far */
    size_t texts; /* written into this message's content */
};

struct call {
    struct str id;   /* unescaped */
    struct str name; /* as JSON text */
};

static const struct message_field fields[] = {
    {"role", FIELD_MAPPED, MESSAGE_ROLE},
    {"content", FIELD_MAPPED, MESSAGE_CONTENT},
    {"refusal", FIELD_MAPPED, MESSAGE_REFUSAL},
    {"reasoning_content", FIELD_MAPPED, MESSAGE_THINKING},
    {"reasoning", FIELD_MAPPED, MESSAGE_THINKING},
    {"thinking", FIELD_MAPPED, MESSAGE_THINKING},
    {"tool_calls", FIELD_MAPPED, MESSAGE_TOOL_CALLS},
    {"tool_call_id", FIELD_MAPPED, MESSAGE_TOOL_CALL_ID},
    {"name", FIELD_IGNORED, MESSAGE_NAME},
    {"annotations", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"audio", FIELD_REFUSED, MESSAGE_NO_SLOT},
    {"function_call", FIELD_REFUSED, MESSAGE_NO_SLOT},
};

const struct message_field *ollama_message_fields(size_t *count)
{
    *count = sizeof(fields) / sizeof(fields[0]);
    return fields;
}

static const struct {
    const char *openai;
    struct str ollama; /* as JSON text */
} roles[] = {
    {"system", STR_INIT("\"system\"")}, {"developer", STR_INIT("\"system\"")},
    {"user", STR_INIT("\"user\"")},     {"assistant", STR_INIT("\"assistant\"")},
    {"tool", STR_INIT("\"tool\"")},
};

static enum err put_role(struct walk *w)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (member_is_text(w->in.slot[MESSAGE_ROLE], roles[i].openai)) {
            json_out_member(w->out, "role", roles[i].ollama);
            return ERR_OK;
        }
    }
    if (!member_is(w->in.slot[MESSAGE_ROLE], JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "role"), "a string");
    }
    return message_refuse(&w->in, message_path(&w->in, "role"),
                          "a role is one of system, developer, user, assistant, tool");
}

/* --- content --- */

static void join_text(struct walk *w, struct str value)
{
    if (w->texts > 0) {
        json_out_raw(w->out, STR("\\n"));
    }
    json_out_raw(w->out, member_inside(value));
    w->texts++;
}

static enum err put_text_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "text", "cache_control", NULL};
    struct str text = member_get(part, "text");
    if (!member_is(text, JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "text"), "a string");
    }
    join_text(w, text);
    return message_check_members(&w->in, "content", part, known);
}

static enum err put_refusal_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "refusal", NULL};
    struct str text = member_get(part, "refusal");
    if (!member_is(text, JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "refusal"),
                                "a string");
    }
    join_text(w, text);
    return message_check_members(&w->in, "content", part, known);
}

/* What follows "data:…;base64," in an image's URL; empty when it is another URL. */
static struct str image_payload(struct walk *w, struct str part)
{
    struct str url;
    struct data_url data;
    bool is_data =
        json_text(json_path(part, "image_url", "url", NULL), w->in.arena, &url) == ERR_OK &&
        data_url_read(url, &data);
    return is_data ? data.payload : STR_NONE;
}

/* Only judged here; the images are written after the text. */
static enum err check_image_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "image_url", "cache_control", NULL};
    struct str image = member_get(part, "image_url");
    if (!member_is(json_get(image, "url"), JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "image_url"),
                                "an object with a url");
    }
    if (image_payload(w, part).len == 0) {
        return message_refuse(&w->in, message_path_in(&w->in, "content", "image_url"),
                              "images must be data: URLs in base64, for nothing is fetched");
    }
    return message_check_members(&w->in, "content", part, known);
}

static enum err put_part(struct walk *w, struct str part)
{
    struct str type = json_get(part, "type");
    if (member_is_text(type, "text")) {
        return put_text_part(w, part);
    }
    if (member_is_text(type, "refusal")) {
        return put_refusal_part(w, part);
    }
    if (member_is_text(type, "image_url")) {
        return check_image_part(w, part);
    }
    if (!member_is(type, JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "type"), "a string");
    }
    return message_refuse(&w->in, message_path_in(&w->in, "content", "type"),
                          "parts are text, refusal or image_url");
}

static enum err put_parts(struct walk *w, struct str parts)
{
    struct json_iter it;
    json_iter_init(&it, parts);
    enum err e = ERR_OK;
    for (w->in.inner = 0; e == ERR_OK && json_iter_next(&it); w->in.inner++) {
        e = put_part(w, it.value);
    }
    return e;
}

static enum err put_refusal(struct walk *w)
{
    struct str text = w->in.slot[MESSAGE_REFUSAL];
    if (text.len == 0) {
        return ERR_OK;
    }
    if (!member_is(text, JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "refusal"), "a string");
    }
    if (json_text_len(text) > 0) {
        join_text(w, text);
    }
    return ERR_OK;
}

static enum err put_content(struct walk *w)
{
    struct str content = w->in.slot[MESSAGE_CONTENT];
    enum err e = ERR_OK;
    w->texts = 0;
    json_out_member(w->out, "content", STR("\""));
    if (member_is(content, JSON_STRING)) {
        join_text(w, content);
    } else if (member_is(content, JSON_ARRAY)) {
        e = put_parts(w, content);
    } else if (content.len > 0) {
        e = message_mistyped(&w->in, message_path(&w->in, "content"),
                             "a string or an array of parts");
    }
    e = e == ERR_OK ? put_refusal(w) : e;
    json_out_raw(w->out, STR("\""));
    return e;
}

/* Second walk over the parts: put_content has judged them. */
static enum err put_images(struct walk *w)
{
    struct json_iter it;
    bool has_images = false;
    if (!member_is(w->in.slot[MESSAGE_CONTENT], JSON_ARRAY)) {
        return ERR_OK;
    }
    json_iter_init(&it, w->in.slot[MESSAGE_CONTENT]);
    while (json_iter_next(&it)) {
        if (!member_is_text(json_get(it.value, "type"), "image_url")) {
            continue;
        }
        if (!has_images) {
            json_out_key(w->out, "images");
            json_out_open(w->out, '[');
            has_images = true;
        }
        json_out_element(w->out, STR("\""));
        json_out_raw(w->out, image_payload(w, it.value));
        json_out_raw(w->out, STR("\""));
    }
    if (has_images) {
        json_out_close(w->out, ']');
    }
    return ERR_OK;
}

static enum err put_thinking(struct walk *w)
{
    struct str thinking = w->in.slot[MESSAGE_THINKING];
    if (thinking.len == 0) {
        return ERR_OK;
    }
    if (!member_is(thinking, JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "reasoning_content"), "a string");
    }
    if (!member_is_text(w->in.slot[MESSAGE_ROLE], "assistant")) {
        return message_refuse(&w->in, message_path(&w->in, "reasoning_content"),
                              "only the assistant reasons");
    }
    json_out_member(w->out, "thinking", thinking);
    return ERR_OK;
}

/* --- tool calls and their results --- */

static int compare_calls(const void *a, const void *b)
{
    struct str x = ((const struct call *)a)->id;
    struct str y = ((const struct call *)b)->id;
    size_t common = x.len < y.len ? x.len : y.len;
    int order = common > 0 ? memcmp(x.ptr, y.ptr, common) : 0;
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

/* A tree and not a list: a hostile conversation may hold a hundred thousand calls. */
static void remember_call(struct walk *w, struct str id, struct str name)
{
    struct call *call = arena_alloc(w->in.arena, sizeof(*call));
    *call = (struct call){.name = name};
    if (json_text(id, w->in.arena, &call->id) != ERR_OK) {
        return;
    }
    struct call **node = tsearch(call, &w->calls, compare_calls);
    CHECK(node != NULL);
    (*node)->name = name;
}

static struct str find_call_name(const struct walk *w, struct str id)
{
    struct call wanted = {.id = STR_NONE};
    if (json_text(id, w->in.arena, &wanted.id) != ERR_OK) {
        return STR_NONE;
    }
    struct call *const *node = tfind(&wanted, &w->calls, compare_calls);
    return node ? (*node)->name : STR_NONE;
}

static enum err read_arguments(struct walk *w, struct str function, struct str *out)
{
    enum err e = member_arguments(json_get(function, "arguments"), w->in.arena, out);
    if (e == ERR_TYPE) {
        return message_mistyped(
            &w->in, message_path_in(&w->in, "tool_calls", "function.arguments"), "a string");
    }
    if (e != ERR_OK) {
        return message_refuse(&w->in,
                              message_path_in(&w->in, "tool_calls", "function.arguments"),
                              "arguments must be a JSON object, written as text");
    }
    return ERR_OK;
}

/* All but the arguments. */
static enum err check_call(struct walk *w, struct str call)
{
    static const char *const known[] = {"id", "type", "function", "index", NULL};
    struct str type = member_get(call, "type");
    struct str name = json_path(call, "function", "name", NULL);
    struct str id = member_get(call, "id");
    if (type.len > 0 && !member_is_text(type, "function")) {
        return message_refuse(&w->in, message_path_in(&w->in, "tool_calls", "type"),
                              "only functions can be called");
    }
    if (json_text_len(name) == 0) {
        return message_mistyped(&w->in, message_path_in(&w->in, "tool_calls", "function.name"),
                                "a string");
    }
    if (json_text_len(name) > FUNCTION_NAME_MAX) {
        return message_refuse(&w->in, message_path_in(&w->in, "tool_calls", "function.name"),
                              "the name is too long");
    }
    if (id.len > 0 && !member_is(id, JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "tool_calls", "id"),
                                "a string");
    }
    return message_check_members(&w->in, "tool_calls", call, known);
}

static enum err put_call(struct walk *w, struct str call)
{
    struct str arguments = STR_NONE;
    enum err e = check_call(w, call);
    e = e == ERR_OK ? read_arguments(w, json_get(call, "function"), &arguments) : e;
    if (e != ERR_OK) {
        return e;
    }
    struct str id = member_get(call, "id");
    struct str name = json_path(call, "function", "name", NULL);
    json_out_open(w->out, '{');
    if (id.len > 0) {
        json_out_member(w->out, "id", id);
        remember_call(w, id, name);
    }
    json_out_key(w->out, "function");
    json_out_open(w->out, '{');
    json_out_member(w->out, "name", name);
    json_out_member(w->out, "arguments", arguments);
    json_out_close(w->out, '}');
    json_out_close(w->out, '}');
    return ERR_OK;
}

static enum err put_tool_calls(struct walk *w)
{
    struct str calls = w->in.slot[MESSAGE_TOOL_CALLS];
    if (calls.len == 0) {
        return ERR_OK;
    }
    if (!member_is(calls, JSON_ARRAY)) {
        return message_mistyped(&w->in, message_path(&w->in, "tool_calls"), "an array");
    }
    if (!member_is_text(w->in.slot[MESSAGE_ROLE], "assistant")) {
        return message_refuse(&w->in, message_path(&w->in, "tool_calls"),
                              "only the assistant calls tools");
    }
    json_out_key(w->out, "tool_calls");
    json_out_open(w->out, '[');
    struct json_iter it;
    json_iter_init(&it, calls);
    enum err e = ERR_OK;
    for (w->in.inner = 0; e == ERR_OK && json_iter_next(&it); w->in.inner++) {
        e = put_call(w, it.value);
    }
    json_out_close(w->out, ']');
    return e;
}

/* Ollama's templates go by the function's name, which is told with the call, or as `name`. */
static enum err put_tool_result(struct walk *w)
{
    struct str id = w->in.slot[MESSAGE_TOOL_CALL_ID];
    if (id.len == 0) {
        return ERR_OK;
    }
    if (!member_is(id, JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "tool_call_id"), "a string");
    }
    if (!member_is_text(w->in.slot[MESSAGE_ROLE], "tool")) {
        return message_refuse(&w->in, message_path(&w->in, "tool_call_id"),
                              "only tool messages answer a call");
    }
    struct str name = find_call_name(w, id);
    if (name.len == 0 && member_is(w->in.slot[MESSAGE_NAME], JSON_STRING)) {
        name = w->in.slot[MESSAGE_NAME];
    }
    json_out_member(w->out, "tool_call_id", id);
    if (name.len > 0) {
        json_out_member(w->out, "tool_name", name);
    }
    return ERR_OK;
}

/* --- all of it --- */

static enum err put_message(struct walk *w, struct str message)
{
    static enum err (*const puts[])(struct walk *) = {
        put_role, put_content, put_images, put_thinking, put_tool_calls, put_tool_result};
    enum err e = message_read(&w->in, message);
    json_out_open(w->out, '{');
    for (size_t i = 0; e == ERR_OK && i < sizeof(puts) / sizeof(puts[0]); i++) {
        e = puts[i](w);
    }
    json_out_close(w->out, '}');
    return e;
}

/* The calls live in the arena. */
static void keep(void *call)
{
    (void)call;
}

static void put_partial(struct json_out *out, struct str partial)
{
    if (partial.len > 0) {
        json_out_element(out, STR("{\"role\":\"assistant\",\"content\":\""));
        json_out_raw(out, partial);
        json_out_raw(out, STR("\"}"));
    }
}

enum err ollama_put_messages(struct json_out *out, struct str messages, struct str partial,
                             struct bad_request *bad)
{
    struct walk w = {.out = out,
                     .in = {.type = "ollama",
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                            .arena = out->arena,
                            .bad = bad}};
    struct json_iter it;
    json_iter_init(&it, messages);
    json_out_open(out, '[');
    enum err e = ERR_OK;
    for (w.in.message = 0; e == ERR_OK && json_iter_next(&it); w.in.message++) {
        e = put_message(&w, it.value);
    }
    put_partial(out, partial);
    json_out_close(out, ']');
    tdestroy(w.calls, keep);
    return e;
}
