#include "llm/anthropic_messages.h"

#include <string.h>

#include "base/check.h"
#include "llm/blank.h"
#include "llm/data_url.h"
#include "llm/members.h"
#include "llm/refusal.h"
#include "wire/json.h"

enum { KEY_SHOWN_MAX = 64 };

enum speaker { SPEAKER_SYSTEM, SPEAKER_USER, SPEAKER_ASSISTANT, SPEAKER_TOOL };

enum turn { TURN_NONE, TURN_USER, TURN_ASSISTANT };

struct walk {
    const struct anthropic_conversation *out;
    struct arena *arena;
    struct bad_request *bad;
    size_t message; /* index of the message, */
    size_t inner;   /* of its part or tool call */
    enum speaker speaker;
    enum turn turn;                     /* the one that is open */
    bool has_result;                    /* a tool's message has content by now */
    struct str slot[ANTHROPIC_NO_SLOT]; /* the message's fields; empty: absent or null */
};

static const struct anthropic_message_field fields[] = {
    {"role", ANTHROPIC_MAPPED, ANTHROPIC_ROLE},
    {"content", ANTHROPIC_MAPPED, ANTHROPIC_CONTENT},
    {"refusal", ANTHROPIC_MAPPED, ANTHROPIC_REFUSAL},
    {"tool_calls", ANTHROPIC_MAPPED, ANTHROPIC_TOOL_CALLS},
    {"tool_call_id", ANTHROPIC_MAPPED, ANTHROPIC_TOOL_CALL_ID},
    {"reasoning_content", ANTHROPIC_IGNORED, ANTHROPIC_NO_SLOT},
    {"reasoning", ANTHROPIC_IGNORED, ANTHROPIC_NO_SLOT},
    {"thinking", ANTHROPIC_IGNORED, ANTHROPIC_NO_SLOT},
    {"name", ANTHROPIC_IGNORED, ANTHROPIC_NO_SLOT},
    {"annotations", ANTHROPIC_IGNORED, ANTHROPIC_NO_SLOT},
    {"audio", ANTHROPIC_REFUSED, ANTHROPIC_NO_SLOT},
    {"function_call", ANTHROPIC_REFUSED, ANTHROPIC_NO_SLOT},
};

const struct anthropic_message_field *anthropic_message_fields(size_t *count)
{
    *count = sizeof(fields) / sizeof(fields[0]);
    return fields;
}

static const struct {
    const char *openai;
    enum speaker speaker;
} roles[] = {
    {"system", SPEAKER_SYSTEM},       {"developer", SPEAKER_SYSTEM}, {"user", SPEAKER_USER},
    {"assistant", SPEAKER_ASSISTANT}, {"tool", SPEAKER_TOOL},
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
    return refusal_make(
        w->arena, &(struct refusal){.type = "anthropic", .param = param, .why = why}, w->bad);
}

static enum err mistyped(struct walk *w, struct str param, const char *must_be)
{
    return refusal_mistyped(w->arena, param, must_be, w->bad);
}

/* --- the fields of a message --- */

static const struct anthropic_message_field *find_field(struct str key)
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
    const struct anthropic_message_field *f = find_field(it->key);
    if (!f || f->handling == ANTHROPIC_REFUSED) {
        return refuse(w, path_of(w, show_key(w, it->key)),
                      f ? "it has no such field" : "the field is not known");
    }
    if (f->slot != ANTHROPIC_NO_SLOT) {
        w->slot[f->slot] = it->value;
    }
    return ERR_OK;
}

static enum err read_fields(struct walk *w, struct str message)
{
    for (size_t i = 0; i < ANTHROPIC_NO_SLOT; i++) {
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

static enum err read_role(struct walk *w)
{
    struct str role = w->slot[ANTHROPIC_ROLE];
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (is_text(role, roles[i].openai)) {
            w->speaker = roles[i].speaker;
            return ERR_OK;
        }
    }
    if (!is_type(role, JSON_STRING)) {
        return mistyped(w, path_of(w, "role"), "a string");
    }
    return refuse(w, path_of(w, "role"),
                  "a role is one of system, developer, user, assistant, tool");
}

/* --- turns --- */

static void close_turn(struct walk *w)
{
    if (w->turn != TURN_NONE) {
        json_out_close(w->out->messages, ']');
        json_out_close(w->out->messages, '}');
        w->turn = TURN_NONE;
    }
}

/* Only once there is a block for it: a turn must not be empty. */
static void open_turn(struct walk *w, enum turn turn)
{
    struct json_out *o = w->out->messages;
    if (w->turn == turn) {
        return;
    }
    close_turn(w);
    json_out_open(o, '{');
    json_out_member(o, "role", turn == TURN_ASSISTANT ? STR("\"assistant\"") : STR("\"user\""));
    json_out_key(o, "content");
    json_out_open(o, '[');
    w->turn = turn;
}

/* The content of a tool's result, in its block. */
static void open_result(struct walk *w)
{
    if (!w->has_result) {
        json_out_key(w->out->messages, "content");
        json_out_open(w->out->messages, '[');
        w->has_result = true;
    }
}

/* Where the next block of this speaker goes. */
static struct json_out *find_place(struct walk *w)
{
    switch (w->speaker) {
    case SPEAKER_SYSTEM:
        return w->out->system;
    case SPEAKER_USER:
        open_turn(w, TURN_USER);
        return w->out->messages;
    case SPEAKER_ASSISTANT:
        open_turn(w, TURN_ASSISTANT);
        return w->out->messages;
    case SPEAKER_TOOL:
        open_result(w);
        return w->out->messages;
    }
    BUG("no such speaker");
}

/* --- content --- */

/* Texts of white space alone are an error there, and say nothing. */
static void put_text(struct walk *w, struct str text)
{
    if (blank_is_all(inside(text))) {
        return;
    }
    struct json_out *o = find_place(w);
    json_out_open(o, '{');
    json_out_member(o, "type", STR("\"text\""));
    json_out_member(o, "text", text);
    json_out_close(o, '}');
}

static enum err put_text_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "text", "cache_control", NULL};
    struct str text = get(part, "text");
    if (!is_type(text, JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "text"), "a string");
    }
    put_text(w, text);
    return check_members(w, "content", part, known);
}

static enum err put_refusal_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "refusal", NULL};
    struct str text = get(part, "refusal");
    if (!is_type(text, JSON_STRING)) {
        return mistyped(w, path_in(w, "content", "refusal"), "a string");
    }
    put_text(w, text);
    return check_members(w, "content", part, known);
}

static bool is_image_type(struct str media_type)
{
    static const struct str types[] = {STR_INIT("image/jpeg"), STR_INIT("image/png"),
                                       STR_INIT("image/gif"), STR_INIT("image/webp")};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (str_eq_nocase(media_type, types[i])) {
            return true;
        }
    }
    return false;
}

/* An image's block is opened, its source is written. */
static void put_source(struct json_out *o, struct str url)
{
    struct data_url data;
    json_out_open(o, '{');
    if (data_url_read(url, &data)) {
        json_out_member(o, "type", STR("\"base64\""));
        json_out_member(o, "media_type", json_quote(o->arena, data.media_type));
        json_out_member(o, "data", STR("\""));
        json_out_raw(o, data.payload);
        json_out_raw(o, STR("\""));
    } else {
        json_out_member(o, "type", STR("\"url\""));
        json_out_member(o, "url", json_quote(o->arena, url));
    }
    json_out_close(o, '}');
}

static enum err check_image(struct walk *w, struct str url)
{
    struct data_url data;
    bool is_data = data_url_read(url, &data);
    bool is_web =
        str_starts_nocase(url, STR("https://")) || str_starts_nocase(url, STR("http://"));
    if (w->speaker == SPEAKER_SYSTEM || w->speaker == SPEAKER_ASSISTANT) {
        return refuse(w, path_in(w, "content", "image_url"),
                      "only a user and a tool can show images");
    }
    if (!is_data && !is_web) {
        return refuse(w, path_in(w, "content", "image_url"),
                      "images must be http or data: URLs, the latter in base64");
    }
    if (is_data && !is_image_type(data.media_type)) {
        return refuse(w, path_in(w, "content", "image_url"),
                      "images are image/jpeg, image/png, image/gif or image/webp");
    }
    return ERR_OK;
}

static enum err put_image_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "image_url", "cache_control", NULL};
    struct str url;
    if (json_text(json_path(part, "image_url", "url", NULL), w->arena, &url) != ERR_OK) {
        return mistyped(w, path_in(w, "content", "image_url"), "an object with a url");
    }
    enum err e = check_image(w, url);
    if (e != ERR_OK) {
        return e;
    }
    struct json_out *o = find_place(w);
    json_out_open(o, '{');
    json_out_member(o, "type", STR("\"image\""));
    json_out_key(o, "source");
    put_source(o, url);
    json_out_close(o, '}');
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
        return put_image_part(w, part);
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

static enum err put_content(struct walk *w)
{
    struct str content = w->slot[ANTHROPIC_CONTENT];
    if (is_type(content, JSON_STRING)) {
        put_text(w, content);
    } else if (is_type(content, JSON_ARRAY)) {
        return put_parts(w, content);
    } else if (content.len > 0) {
        return mistyped(w, path_of(w, "content"), "a string or an array of parts");
    }
    return ERR_OK;
}

static enum err put_refusal(struct walk *w)
{
    struct str text = w->slot[ANTHROPIC_REFUSAL];
    if (text.len > 0 && !is_type(text, JSON_STRING)) {
        return mistyped(w, path_of(w, "refusal"), "a string");
    }
    if (text.len > 0 && w->speaker != SPEAKER_ASSISTANT) {
        return refuse(w, path_of(w, "refusal"), "only the assistant refuses");
    }
    if (text.len > 0) {
        put_text(w, text);
    }
    return ERR_OK;
}

/* --- tool calls and their results --- */

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

/* As JSON text, in the characters that Anthropic has in ids: other servers make some of more.
 * Empty when it is none. */
static struct str plain_id(const struct walk *w, struct str id)
{
    struct str text;
    if (json_text(id, w->arena, &text) != ERR_OK || text.len == 0) {
        return STR_NONE;
    }
    char *plain = arena_alloc(w->arena, text.len + 2);
    plain[0] = '"';
    for (size_t i = 0; i < text.len; i++) {
        plain[i + 1] = '_';
        if (is_id_char(text.ptr[i])) {
            plain[i + 1] = text.ptr[i];
        }
    }
    plain[text.len + 1] = '"';
    return str_of(plain, text.len + 2);
}

static enum err read_arguments(struct walk *w, struct str call, struct str *out)
{
    enum err e =
        member_arguments(json_path(call, "function", "arguments", NULL), w->arena, out);
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
    if (type.len > 0 && !is_text(type, "function")) {
        return refuse(w, path_in(w, "tool_calls", "type"), "only functions can be called");
    }
    if (json_text_len(json_path(call, "function", "name", NULL)) == 0) {
        return mistyped(w, path_in(w, "tool_calls", "function.name"), "a string");
    }
    if (json_text_len(json_get(call, "id")) == 0) {
        return mistyped(w, path_in(w, "tool_calls", "id"), "a string");
    }
    return check_members(w, "tool_calls", call, known);
}

static enum err put_call(struct walk *w, struct str call)
{
    struct str arguments = STR_NONE;
    enum err e = check_call(w, call);
    e = e == ERR_OK ? read_arguments(w, call, &arguments) : e;
    if (e != ERR_OK) {
        return e;
    }
    struct json_out *o = find_place(w);
    json_out_open(o, '{');
    json_out_member(o, "type", STR("\"tool_use\""));
    json_out_member(o, "id", plain_id(w, json_get(call, "id")));
    json_out_member(o, "name", json_path(call, "function", "name", NULL));
    json_out_member(o, "input", arguments);
    json_out_close(o, '}');
    return ERR_OK;
}

static enum err put_tool_calls(struct walk *w)
{
    struct str calls = w->slot[ANTHROPIC_TOOL_CALLS];
    if (calls.len == 0) {
        return ERR_OK;
    }
    if (!is_type(calls, JSON_ARRAY)) {
        return mistyped(w, path_of(w, "tool_calls"), "an array");
    }
    if (w->speaker != SPEAKER_ASSISTANT) {
        return refuse(w, path_of(w, "tool_calls"), "only the assistant calls tools");
    }
    struct json_iter it;
    json_iter_init(&it, calls);
    enum err e = ERR_OK;
    for (w->inner = 0; e == ERR_OK && json_iter_next(&it); w->inner++) {
        e = put_call(w, it.value);
    }
    return e;
}

/* --- all of it --- */

static enum err put_result(struct walk *w)
{
    struct json_out *o = w->out->messages;
    struct str id = plain_id(w, w->slot[ANTHROPIC_TOOL_CALL_ID]);
    if (id.len == 0) {
        return mistyped(w, path_of(w, "tool_call_id"), "a string");
    }
    open_turn(w, TURN_USER);
    json_out_open(o, '{');
    json_out_member(o, "type", STR("\"tool_result\""));
    json_out_member(o, "tool_use_id", id);
    w->has_result = false;
    enum err e = put_content(w);
    if (w->has_result) {
        json_out_close(o, ']');
    }
    json_out_close(o, '}');
    return e;
}

static enum err put_message(struct walk *w, struct str message)
{
    enum err e = read_fields(w, message);
    e = e == ERR_OK ? read_role(w) : e;
    if (e == ERR_OK && w->speaker == SPEAKER_TOOL) {
        e = put_result(w);
    } else if (e == ERR_OK && w->slot[ANTHROPIC_TOOL_CALL_ID].len > 0) {
        e = refuse(w, path_of(w, "tool_call_id"), "only tool messages answer a call");
    } else if (e == ERR_OK) {
        e = put_content(w);
    }
    e = e == ERR_OK ? put_refusal(w) : e;
    return e == ERR_OK ? put_tool_calls(w) : e;
}

/* Anthropic would go on with an assistant's last message, or refuse it. */
static enum err check_end(struct walk *w)
{
    if (w->turn == TURN_NONE) {
        return refuse(w, STR("messages"), "somebody else than system must say something");
    }
    if (w->turn == TURN_ASSISTANT) {
        w->message--;
        return refuse(w, path_of(w, "role"), "the last word cannot be the assistant's");
    }
    return ERR_OK;
}

static void put_partial(struct walk *w, struct str partial)
{
    struct json_out *o = w->out->messages;
    struct str kept = str_of(partial.ptr, blank_trim(partial));
    if (kept.len > 0) {
        open_turn(w, TURN_ASSISTANT);
        json_out_element(o, STR("{\"type\":\"text\",\"text\":\""));
        json_out_raw(o, kept);
        json_out_raw(o, STR("\"}"));
    }
}

enum err anthropic_put_messages(const struct anthropic_conversation *out, struct str messages,
                                struct str partial, struct bad_request *bad)
{
    struct walk w = {.out = out, .arena = out->messages->arena, .bad = bad};
    struct json_iter it;
    json_iter_init(&it, messages);
    json_out_open(out->messages, '[');
    enum err e = ERR_OK;
    for (; e == ERR_OK && json_iter_next(&it); w.message++) {
        e = put_message(&w, it.value);
    }
    e = e == ERR_OK ? check_end(&w) : e;
    if (e == ERR_OK) {
        put_partial(&w, partial);
    }
    close_turn(&w);
    json_out_close(out->messages, ']');
    return e;
}
