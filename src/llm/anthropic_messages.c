#include "llm/anthropic_messages.h"

#include <string.h>

#include "base/check.h"
#include "llm/blank.h"
#include "llm/data_url.h"
#include "llm/members.h"
#include "wire/json.h"

enum speaker { SPEAKER_SYSTEM, SPEAKER_USER, SPEAKER_ASSISTANT, SPEAKER_TOOL };

enum turn { TURN_NONE, TURN_USER, TURN_ASSISTANT };

struct walk {
    const struct anthropic_conversation *out;
    struct message_reader in;
    enum speaker speaker;
    enum turn turn;  /* the one that is open */
    bool has_result; /* a tool's message has content by now */
};

static const struct message_field fields[] = {
    {"role", FIELD_MAPPED, MESSAGE_ROLE},
    {"content", FIELD_MAPPED, MESSAGE_CONTENT},
    {"refusal", FIELD_MAPPED, MESSAGE_REFUSAL},
    {"tool_calls", FIELD_MAPPED, MESSAGE_TOOL_CALLS},
    {"tool_call_id", FIELD_MAPPED, MESSAGE_TOOL_CALL_ID},
    {"reasoning_content", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"reasoning", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"thinking", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"name", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"annotations", FIELD_IGNORED, MESSAGE_NO_SLOT},
    {"audio", FIELD_REFUSED, MESSAGE_NO_SLOT},
    {"function_call", FIELD_REFUSED, MESSAGE_NO_SLOT},
};

const struct message_field *anthropic_message_fields(size_t *count)
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

static enum err read_role(struct walk *w)
{
    struct str role = w->in.slot[MESSAGE_ROLE];
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (member_is_text(role, roles[i].openai)) {
            w->speaker = roles[i].speaker;
            return ERR_OK;
        }
    }
    if (!member_is(role, JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "role"), "a string");
    }
    return message_refuse(&w->in, message_path(&w->in, "role"),
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
    if (blank_is_all(member_inside(text))) {
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
    struct str text = member_get(part, "text");
    if (!member_is(text, JSON_STRING)) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "text"), "a string");
    }
    put_text(w, text);
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
    put_text(w, text);
    return message_check_members(&w->in, "content", part, known);
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
        return message_refuse(&w->in, message_path_in(&w->in, "content", "image_url"),
                              "only a user and a tool can show images");
    }
    if (!is_data && !is_web) {
        return message_refuse(&w->in, message_path_in(&w->in, "content", "image_url"),
                              "images must be http or data: URLs, the latter in base64");
    }
    if (is_data && !is_image_type(data.media_type)) {
        return message_refuse(&w->in, message_path_in(&w->in, "content", "image_url"),
                              "images are image/jpeg, image/png, image/gif or image/webp");
    }
    return ERR_OK;
}

static enum err put_image_part(struct walk *w, struct str part)
{
    static const char *const known[] = {"type", "image_url", "cache_control", NULL};
    struct str url;
    if (json_text(json_path(part, "image_url", "url", NULL), w->in.arena, &url) != ERR_OK) {
        return message_mistyped(&w->in, message_path_in(&w->in, "content", "image_url"),
                                "an object with a url");
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
        return put_image_part(w, part);
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

static enum err put_content(struct walk *w)
{
    struct str content = w->in.slot[MESSAGE_CONTENT];
    if (member_is(content, JSON_STRING)) {
        put_text(w, content);
    } else if (member_is(content, JSON_ARRAY)) {
        return put_parts(w, content);
    } else if (content.len > 0) {
        return message_mistyped(&w->in, message_path(&w->in, "content"),
                                "a string or an array of parts");
    }
    return ERR_OK;
}

static enum err put_refusal(struct walk *w)
{
    struct str text = w->in.slot[MESSAGE_REFUSAL];
    if (text.len > 0 && !member_is(text, JSON_STRING)) {
        return message_mistyped(&w->in, message_path(&w->in, "refusal"), "a string");
    }
    if (text.len > 0 && w->speaker != SPEAKER_ASSISTANT) {
        return message_refuse(&w->in, message_path(&w->in, "refusal"),
                              "only the assistant refuses");
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
    if (json_text(id, w->in.arena, &text) != ERR_OK || text.len == 0) {
        return STR_NONE;
    }
    char *plain = arena_alloc(w->in.arena, text.len + 2);
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
        member_arguments(json_path(call, "function", "arguments", NULL), w->in.arena, out);
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
    if (type.len > 0 && !member_is_text(type, "function")) {
        return message_refuse(&w->in, message_path_in(&w->in, "tool_calls", "type"),
                              "only functions can be called");
    }
    if (json_text_len(json_path(call, "function", "name", NULL)) == 0) {
        return message_mistyped(&w->in, message_path_in(&w->in, "tool_calls", "function.name"),
                                "a string");
    }
    if (json_text_len(json_get(call, "id")) == 0) {
        return message_mistyped(&w->in, message_path_in(&w->in, "tool_calls", "id"),
                                "a string");
    }
    return message_check_members(&w->in, "tool_calls", call, known);
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
    struct str calls = w->in.slot[MESSAGE_TOOL_CALLS];
    if (calls.len == 0) {
        return ERR_OK;
    }
    if (!member_is(calls, JSON_ARRAY)) {
        return message_mistyped(&w->in, message_path(&w->in, "tool_calls"), "an array");
    }
    if (w->speaker != SPEAKER_ASSISTANT) {
        return message_refuse(&w->in, message_path(&w->in, "tool_calls"),
                              "only the assistant calls tools");
    }
    struct json_iter it;
    json_iter_init(&it, calls);
    enum err e = ERR_OK;
    for (w->in.inner = 0; e == ERR_OK && json_iter_next(&it); w->in.inner++) {
        e = put_call(w, it.value);
    }
    return e;
}

/* --- all of it --- */

static enum err put_result(struct walk *w)
{
    struct json_out *o = w->out->messages;
    struct str id = plain_id(w, w->in.slot[MESSAGE_TOOL_CALL_ID]);
    if (id.len == 0) {
        return message_mistyped(&w->in, message_path(&w->in, "tool_call_id"), "a string");
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
    enum err e = message_read(&w->in, message);
    e = e == ERR_OK ? read_role(w) : e;
    if (e == ERR_OK && w->speaker == SPEAKER_TOOL) {
        e = put_result(w);
    } else if (e == ERR_OK && w->in.slot[MESSAGE_TOOL_CALL_ID].len > 0) {
        e = message_refuse(&w->in, message_path(&w->in, "tool_call_id"),
                           "only tool messages answer a call");
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
        return message_refuse(&w->in, STR("messages"),
                              "somebody else than system must say something");
    }
    if (w->turn == TURN_ASSISTANT) {
        w->in.message--;
        return message_refuse(&w->in, message_path(&w->in, "role"),
                              "the last word cannot be the assistant's");
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
    struct walk w = {.out = out,
                     .in = {.type = "anthropic",
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                            .arena = out->messages->arena,
                            .bad = bad}};
    struct json_iter it;
    json_iter_init(&it, messages);
    json_out_open(out->messages, '[');
    enum err e = ERR_OK;
    for (; e == ERR_OK && json_iter_next(&it); w.in.message++) {
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
