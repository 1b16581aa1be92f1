#include "llm/ollama_messages.h"

#include <search.h>
#include <stdlib.h>

#include "base/check.h"
#include "llm/data_url.h"
#include "llm/members.h"
#include "llm/ollama_refuse.h"
#include "wire/json.h"

/* A tool result repeats its function's name, so an overlong name could blow the request up. */
enum { FUNCTION_NAME_MAX = 256, KEY_SHOWN_MAX = 64 };

struct walk {
    struct json_out *out;
    struct arena *arena;
    struct bad_request *bad;
    void *calls;                /* tree of struct call: the tool calls of the messages so far */
    size_t message;             /* index of the message, */
    size_t inner;               /* of its part or tool call */
    struct str slot[SLOT_NONE]; /* the message's fields; empty: absent or null */
    size_t texts;               /* written into this message's content */
};

struct call {
    struct str id;   /* unescaped */
    struct str name; /* as JSON text */
};

static const struct ollama_message_field fields[] = {
    {"role", OLLAMA_MAPPED, SLOT_ROLE},
    {"content", OLLAMA_MAPPED, SLOT_CONTENT},
    {"refusal", OLLAMA_MAPPED, SLOT_REFUSAL},
    {"reasoning_content", OLLAMA_MAPPED, SLOT_THINKING},
    {"reasoning", OLLAMA_MAPPED, SLOT_THINKING},
    {"thinking", OLLAMA_MAPPED, SLOT_THINKING},
    {"tool_calls", OLLAMA_MAPPED, SLOT_TOOL_CALLS},
    {"tool_call_id", OLLAMA_MAPPED, SLOT_TOOL_CALL_ID},
    {"name", OLLAMA_IGNORED, SLOT_NAME},
    {"annotations", OLLAMA_IGNORED, SLOT_NONE},
    {"audio", OLLAMA_REFUSED, SLOT_NONE},
    {"function_call", OLLAMA_REFUSED, SLOT_NONE},
};

const struct ollama_message_field *ollama_message_fields(size_t *count)
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

static bool is_type(struct str value, enum json_type type)
{
    return value.len > 0 && json_type_of(value) == type;
}

/* What stands between a string value's quotes. */
static struct str inside(struct str value)
{
    return str_of(value.ptr + 1, value.len - 2);
}

static bool is_text(struct str value, const char *text)
{
    return is_type(value, JSON_STRING) && json_key_eq(inside(value), str_from(text));
}

/* A member that is there and not null, or empty. */
static struct str get(struct str object, const char *key)
{
    struct str value = json_get(object, key);
    return is_type(value, JSON_NULL) ? STR_NONE : value;
}

static struct str path_of(const struct walk *w, const char *inner)
{
    return arena_printf(w->arena, "messages[%zu].%s", w->message, inner);
}

/* "messages[2].content[1].image_url" */
static struct str path_in(const struct walk *w, const char *list, const char *inner)
{
    return arena_printf(w->arena, "messages[%zu].%s[%zu].%s", w->message, list, w->inner,
                        inner);
}

/* An unknown key for a path: a hostile one may be of any length. */
static const char *show_key(const struct walk *w, struct str key)
{
    return arena_dup(w->arena,
                     str_of(key.ptr, key.len < KEY_SHOWN_MAX ? key.len : KEY_SHOWN_MAX))
        .ptr;
}

static enum err refuse(struct walk *w, struct str param, const char *why)
{
    return ollama_refuse(w->arena, param, why, w->bad);
}

static enum err mistyped(struct walk *w, struct str param, const char *must_be)
{
    return ollama_mistyped(w->arena, param, must_be, w->bad);
}

/* --- the fields of a message --- */

static const struct ollama_message_field *find_field(struct str key)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_key_eq(key, str_from(fields[i].name))) {
            return &fields[i];
        }
    }
    return NULL;
}

static enum err read_field(struct walk *w, const struct json_iter *it)
{
    if (json_type_of(it->value) == JSON_NULL) {
        return ERR_OK;
    }
    const struct ollama_message_field *f = find_field(it->key);
    if (!f || f->handling == OLLAMA_REFUSED) {
        return refuse(w, path_of(w, show_key(w, it->key)),
                      f ? "it has no such field" : "the field is not known");
    }
    if (f->slot != SLOT_NONE) {
        w->slot[f->slot] = it->value;
    }
    return ERR_OK;
}

static enum err read_fields(struct walk *w, struct str message)
{
    for (size_t i = 0; i < SLOT_NONE; i++) {
        w->slot[i] = STR_NONE;
    }
    struct json_iter it;
    json_iter_init(&it, message);
    enum err e = ERR_OK;
    while (e == ERR_OK && json_iter_next(&it)) {
        e = read_field(w, &it);
    }
    return e;
}

/* Parts and calls: a member that we would not carry over is refused. `known` ends with NULL. */
static enum err check_members(struct walk *w, const char *list, struct str object,
                              const char *const *known)
{
    struct json_iter it;
    json_iter_init(&it, object);
    while (json_iter_next(&it)) {
        const char *const *k = known;
        while (*k && !json_key_eq(it.key, str_from(*k))) {
            k++;
        }
        if (!*k && json_type_of(it.value) != JSON_NULL) {
            return refuse(w, path_in(w, list, show_key(w, it.key)), "the field is not known");
        }
    }
    return ERR_OK;
}

static enum err put_role(struct walk *w)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (is_text(w->slot[SLOT_ROLE], roles[i].openai)) {
            json_out_member(w->out, "role", roles[i].ollama);
            return ERR_OK;
        }
    }
    if (!is_type(w->slot[SLOT_ROLE], JSON_STRING)) {
        return mistyped(w, path_of(w, "role"), "a string");
    }
    return refuse(w, path_of(w, "role"),
                  "a role is one of system, developer, user, assistant, tool");
}

/* --- content --- */

static void join_text(struct walk *w, struct str value)
{
    if (w->texts > 0) {
        json_out_raw(w->out, STR("\\n"));
    }
    json_out_raw(w->out, inside(value));
    w->texts++;
}

static enum err put_text_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "text", "cache_control", NULL};
    struct str text = get(part, "text");
    if (!is_type(text, JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "text"), "a string");
    }
    join_text(w, text);
    return check_members(w, "content", part, known);
}

static enum err put_refusal_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "refusal", NULL};
    struct str text = get(part, "refusal");
    if (!is_type(text, JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "refusal"), "a string");
    }
    join_text(w, text);
    return check_members(w, "content", part, known);
}

/* What follows "data:…;base64," in an image's URL; empty when it is another URL. */
static struct str image_payload(struct walk *w, struct str part)
{
    struct str url;
    struct data_url data;
    bool is_data =
        json_text(json_path(part, "image_url", "url", NULL), w->arena, &url) == ERR_OK &&
        data_url_read(url, &data);
    return is_data ? data.payload : STR_NONE;
}

/* Only judged here; the images are written after the text. */
static enum err check_image_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "image_url", "cache_control", NULL};
    struct str image = get(part, "image_url");
    if (!is_type(json_get(image, "url"), JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "image_url"), "an object with a url");
    }
    if (image_payload(w, part).len == 0) {
        return refuse(w, path_in(w, "content", "image_url"),
                      "images must be data: URLs in base64, for nothing is fetched");
    }
    return check_members(w, "content", part, known);
}

static enum err put_part(struct walk *w, struct str part)
{
    struct str type = json_get(part, "type");
    if (is_text(type, "text")) {
        return put_text_part(w, part);
    }
    if (is_text(type, "refusal")) {
        return put_refusal_part(w, part);
    }
    if (is_text(type, "image_url")) {
        return check_image_part(w, part);
    }
    if (!is_type(type, JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "type"), "a string");
    }
    return refuse(w, path_in(w, "content", "type"), "parts are text, refusal or image_url");
}

static enum err put_parts(struct walk *w, struct str parts)
{
    struct json_iter it;
    json_iter_init(&it, parts);
    enum err e = ERR_OK;
    for (w->inner = 0; e == ERR_OK && json_iter_next(&it); w->inner++) {
        e = put_part(w, it.value);
    }
    return e;
}

static enum err put_refusal(struct walk *w)
{
    struct str text = w->slot[SLOT_REFUSAL];
    if (text.len == 0) {
        return ERR_OK;
    }
    if (!is_type(text, JSON_STRING)) {
        return mistyped(w, path_of(w, "refusal"), "a string");
    }
    if (json_text_len(text) > 0) {
        join_text(w, text);
    }
    return ERR_OK;
}

static enum err put_content(struct walk *w)
{
    struct str content = w->slot[SLOT_CONTENT];
    enum err e = ERR_OK;
    w->texts = 0;
    json_out_member(w->out, "content", STR("\""));
    if (is_type(content, JSON_STRING)) {
        join_text(w, content);
    } else if (is_type(content, JSON_ARRAY)) {
        e = put_parts(w, content);
    } else if (content.len > 0) {
        e = mistyped(w, path_of(w, "content"), "a string or an array of parts");
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
    if (!is_type(w->slot[SLOT_CONTENT], JSON_ARRAY)) {
        return ERR_OK;
    }
    json_iter_init(&it, w->slot[SLOT_CONTENT]);
    while (json_iter_next(&it)) {
        if (!is_text(json_get(it.value, "type"), "image_url")) {
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
    struct str thinking = w->slot[SLOT_THINKING];
    if (thinking.len == 0) {
        return ERR_OK;
    }
    if (!is_type(thinking, JSON_STRING)) {
        return mistyped(w, path_of(w, "reasoning_content"), "a string");
    }
    if (!is_text(w->slot[SLOT_ROLE], "assistant")) {
        return refuse(w, path_of(w, "reasoning_content"), "only the assistant reasons");
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
    struct call *call = arena_alloc(w->arena, sizeof(*call));
    *call = (struct call){.name = name};
    if (json_text(id, w->arena, &call->id) != ERR_OK) {
        return;
    }
    struct call **node = tsearch(call, &w->calls, compare_calls);
    CHECK(node != NULL);
    (*node)->name = name;
}

static struct str find_call_name(const struct walk *w, struct str id)
{
    struct call wanted = {.id = STR_NONE};
    if (json_text(id, w->arena, &wanted.id) != ERR_OK) {
        return STR_NONE;
    }
    struct call *const *node = tfind(&wanted, &w->calls, compare_calls);
    return node ? (*node)->name : STR_NONE;
}

static enum err read_arguments(struct walk *w, struct str function, struct str *out)
{
    enum err e = member_arguments(json_get(function, "arguments"), w->arena, out);
    if (e == ERR_TYPE) {
        return mistyped(w, path_in(w, "tool_calls", "function.arguments"), "a string");
    }
    if (e != ERR_OK) {
        return refuse(w, path_in(w, "tool_calls", "function.arguments"),
                      "arguments must be a JSON object, written as text");
    }
    return ERR_OK;
}

/* All but the arguments. */
static enum err check_call(struct walk *w, struct str call)
{
    static const char *const known[] = {"id", "type", "function", "index", NULL};
    struct str type = get(call, "type");
    struct str name = json_path(call, "function", "name", NULL);
    struct str id = get(call, "id");
    if (type.len > 0 && !is_text(type, "function")) {
        return refuse(w, path_in(w, "tool_calls", "type"), "only functions can be called");
    }
    if (json_text_len(name) == 0) {
        return mistyped(w, path_in(w, "tool_calls", "function.name"), "a string");
    }
    if (json_text_len(name) > FUNCTION_NAME_MAX) {
        return refuse(w, path_in(w, "tool_calls", "function.name"), "the name is too long");
    }
    if (id.len > 0 && !is_type(id, JSON_STRING)) {
        return mistyped(w, path_in(w, "tool_calls", "id"), "a string");
    }
    return check_members(w, "tool_calls", call, known);
}

static enum err put_call(struct walk *w, struct str call)
{
    struct str arguments = STR_NONE;
    enum err e = check_call(w, call);
    e = e == ERR_OK ? read_arguments(w, json_get(call, "function"), &arguments) : e;
    if (e != ERR_OK) {
        return e;
    }
    struct str id = get(call, "id");
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
    struct str calls = w->slot[SLOT_TOOL_CALLS];
    if (calls.len == 0) {
        return ERR_OK;
    }
    if (!is_type(calls, JSON_ARRAY)) {
        return mistyped(w, path_of(w, "tool_calls"), "an array");
    }
    if (!is_text(w->slot[SLOT_ROLE], "assistant")) {
        return refuse(w, path_of(w, "tool_calls"), "only the assistant calls tools");
    }
    json_out_key(w->out, "tool_calls");
    json_out_open(w->out, '[');
    struct json_iter it;
    json_iter_init(&it, calls);
    enum err e = ERR_OK;
    for (w->inner = 0; e == ERR_OK && json_iter_next(&it); w->inner++) {
        e = put_call(w, it.value);
    }
    json_out_close(w->out, ']');
    return e;
}

/* Ollama's templates go by the function's name, which is told with the call, or as `name`. */
static enum err put_tool_result(struct walk *w)
{
    struct str id = w->slot[SLOT_TOOL_CALL_ID];
    if (id.len == 0) {
        return ERR_OK;
    }
    if (!is_type(id, JSON_STRING)) {
        return mistyped(w, path_of(w, "tool_call_id"), "a string");
    }
    if (!is_text(w->slot[SLOT_ROLE], "tool")) {
        return refuse(w, path_of(w, "tool_call_id"), "only tool messages answer a call");
    }
    struct str name = find_call_name(w, id);
    if (name.len == 0 && is_type(w->slot[SLOT_NAME], JSON_STRING)) {
        name = w->slot[SLOT_NAME];
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
    enum err e = read_fields(w, message);
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
    struct walk w = {.out = out, .arena = out->arena, .bad = bad};
    struct json_iter it;
    json_iter_init(&it, messages);
    json_out_open(out, '[');
    enum err e = ERR_OK;
    for (w.message = 0; e == ERR_OK && json_iter_next(&it); w.message++) {
        e = put_message(&w, it.value);
    }
    put_partial(out, partial);
    json_out_close(out, ']');
    tdestroy(w.calls, keep);
    return e;
}
