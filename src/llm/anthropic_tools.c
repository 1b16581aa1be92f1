#include "llm/anthropic_tools.h"

#include "llm/members.h"
#include "llm/refusal.h"
#include "wire/json.h"

struct writer {
    struct json_out *out;
    struct arena *arena;
    struct bad_request *bad;
    size_t index; /* of the tool */
};

static enum err refuse(struct writer *w, struct str param, const char *why)
{
    return refusal_make(
        w->arena, &(struct refusal){.type = "anthropic", .param = param, .why = why}, w->bad);
}

static enum err mistyped(struct writer *w, struct str param, const char *must_be)
{
    return refusal_mistyped(w->arena, param, must_be, w->bad);
}

static struct str path_of(const struct writer *w, const char *inner)
{
    return arena_printf(w->arena, "tools[%zu].%s", w->index, inner);
}

/* --- tools --- */

/* A schema must say that it is an object; clients leave it out for functions without
 * parameters. */
static void put_schema(struct json_out *o, struct str schema)
{
    json_out_key(o, "input_schema");
    if (!member_is_given(schema) || member_is_empty(schema)) {
        json_out_raw(o, STR("{\"type\":\"object\",\"properties\":{}}"));
    } else if (json_get(schema, "type").len > 0) {
        json_out_raw(o, schema);
    } else {
        json_out_raw(o, STR("{\"type\":\"object\","));
        json_out_raw(o, str_from_at(schema, 1));
    }
}

static enum err check_tool(struct writer *w, struct str tool)
{
    struct str description = json_path(tool, "function", "description", NULL);
    struct str schema = json_path(tool, "function", "parameters", NULL);
    if (!member_is(json_get(tool, "type"), JSON_STRING)) {
        return mistyped(w, path_of(w, "type"), "a string");
    }
    if (!member_is_text(json_get(tool, "type"), "function")) {
        return refuse(w, path_of(w, "type"), "only tools of type function can be offered");
    }
    if (json_text_len(json_path(tool, "function", "name", NULL)) == 0) {
        return mistyped(w, path_of(w, "function.name"), "a string");
    }
    if (member_is_given(description) && !member_is(description, JSON_STRING)) {
        return mistyped(w, path_of(w, "function.description"), "a string");
    }
    if (member_is_given(schema) && !member_is(schema, JSON_OBJECT)) {
        return mistyped(w, path_of(w, "function.parameters"), "an object");
    }
    return ERR_OK;
}

static enum err put_tool(struct writer *w, struct str tool)
{
    enum err e = check_tool(w, tool);
    if (e != ERR_OK) {
        return e;
    }
    struct str description = json_path(tool, "function", "description", NULL);
    json_out_open(w->out, '{');
    json_out_member(w->out, "name", json_path(tool, "function", "name", NULL));
    if (json_text_len(description) > 0) {
        json_out_member(w->out, "description", description);
    }
    put_schema(w->out, json_path(tool, "function", "parameters", NULL));
    json_out_close(w->out, '}');
    return ERR_OK;
}

static enum err put_list(struct writer *w, struct str tools)
{
    struct json_iter it;
    json_iter_init(&it, tools);
    json_out_key(w->out, "tools");
    json_out_open(w->out, '[');
    enum err e = ERR_OK;
    for (w->index = 0; e == ERR_OK && json_iter_next(&it); w->index++) {
        e = put_tool(w, it.value);
    }
    json_out_close(w->out, ']');
    return e;
}

/* --- the choice among them --- */

/* "any" or "tool" …; empty: it is none that can be said. */
static struct str choice_type(struct str choice)
{
    static const struct {
        const char *openai;
        struct str anthropic;
    } types[] = {{"auto", STR_INIT("\"auto\"")},
                 {"none", STR_INIT("\"none\"")},
                 {"required", STR_INIT("\"any\"")}};
    if (choice.len == 0) {
        return types[0].anthropic;
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (member_is_text(choice, types[i].openai)) {
            return types[i].anthropic;
        }
    }
    bool is_named = member_is_text(json_get(choice, "type"), "function") &&
                    json_text_len(json_path(choice, "function", "name", NULL)) > 0;
    return is_named ? STR("\"tool\"") : STR_NONE;
}

static enum err put_choice(struct writer *w, const struct anthropic_tool_wish *wish)
{
    struct str type = choice_type(wish->choice);
    bool is_none = member_is_text(type, "none");
    if (type.len == 0) {
        return refuse(w, STR("tool_choice"),
                      "choices are auto, none, required or a function by its name");
    }
    if (wish->choice.len == 0 && !wish->is_serial) {
        return ERR_OK;
    }
    json_out_key(w->out, "tool_choice");
    json_out_open(w->out, '{');
    json_out_member(w->out, "type", type);
    if (member_is_text(type, "tool")) {
        json_out_member(w->out, "name", json_path(wish->choice, "function", "name", NULL));
    }
    if (wish->is_serial && !is_none) {
        json_out_member(w->out, "disable_parallel_tool_use", STR("true"));
    }
    json_out_close(w->out, '}');
    return ERR_OK;
}

enum err anthropic_put_tools(struct json_out *out, const struct anthropic_tool_wish *wish,
                             struct bad_request *bad)
{
    struct writer w = {.out = out, .arena = out->arena, .bad = bad};
    bool is_free = wish->choice.len == 0 || member_is_text(wish->choice, "auto") ||
                   member_is_text(wish->choice, "none");
    if (wish->tools.len > 0 && !member_is_empty(wish->tools)) {
        enum err e = put_list(&w, wish->tools);
        return e == ERR_OK ? put_choice(&w, wish) : e;
    }
    return is_free ? ERR_OK : refuse(&w, STR("tool_choice"), "there is no tool to choose");
}
