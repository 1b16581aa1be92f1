#include "llm/assembly.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "llm/chat_request.h"
#include "llm/fields.h"
#include "llm/members.h"
#include "wire/json.h"

enum {
    TOOLS_MAX = 1024,  /* tool calls altogether */
    FIELDS_MAX = 8192, /* members altogether */
    WRITE_MAX = 2 * ASSEMBLY_MAX
};

/* One call of a tool, or what was a function_call. */
struct tool {
    uint64_t index;
    struct fields fields;   /* id, type, and what we do not know */
    struct fields function; /* name, arguments */
};

struct choice {
    uint64_t index;
    struct fields fields; /* finish_reason, and what we do not know */
    struct fields message;
    struct fields logprobs;
    struct fields function_call; /* the old form: name, arguments */
    struct tool *tools;          /* owned, sorted by index */
    size_t tool_count;
};

struct assembly {
    struct fields_budget budget;
    size_t tools_left;
    struct fields fields;   /* top level */
    struct choice *choices; /* owned, sorted by index */
    size_t choice_count;
};

struct assembly *assembly_new(void)
{
    struct assembly *as = mem_alloc(sizeof(*as));
    as->budget = (struct fields_budget){.bytes = ASSEMBLY_MAX, .count = FIELDS_MAX};
    as->tools_left = TOOLS_MAX;
    fields_init(&as->fields, &as->budget);
    return as;
}

static void fini_choice(struct choice *choice)
{
    for (size_t i = 0; i < choice->tool_count; i++) {
        fields_fini(&choice->tools[i].fields);
        fields_fini(&choice->tools[i].function);
    }
    free(choice->tools);
    fields_fini(&choice->fields);
    fields_fini(&choice->message);
    fields_fini(&choice->logprobs);
    fields_fini(&choice->function_call);
}

void assembly_free(struct assembly **as)
{
    if (!*as) {
        return;
    }
    for (size_t i = 0; i < (*as)->choice_count; i++) {
        fini_choice(&(*as)->choices[i]);
    }
    free((*as)->choices);
    fields_fini(&(*as)->fields);
    free(*as);
    *as = NULL;
}

/* --- Taking in --- */

static bool is_one_of(struct str key, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_key_eq(key, names[i])) {
            return true;
        }
    }
    return false;
}

/* Opens a gap for an element at `at`; what is in it is not set. */
static void *open_gap(void *array, size_t count, size_t at, size_t size)
{
    char *bigger = mem_resize(array, (count + 1) * size);
    memmove(bigger + (at + 1) * size, bigger + at * size, (count - at) * size);
    return bigger;
}

static struct choice *find_choice(struct assembly *as, uint64_t index)
{
    size_t at = 0;
    while (at < as->choice_count && as->choices[at].index < index) {
        at++;
    }
    if (at < as->choice_count && as->choices[at].index == index) {
        return &as->choices[at];
    }
    as->choices = open_gap(as->choices, as->choice_count, at, sizeof(*as->choices));
    as->choice_count++;
    struct choice *choice = &as->choices[at];
    *choice = (struct choice){.index = index};
    fields_init(&choice->fields, &as->budget);
    fields_init(&choice->message, &as->budget);
    fields_init(&choice->logprobs, &as->budget);
    fields_init(&choice->function_call, &as->budget);
    return choice;
}

static struct tool *find_tool(struct assembly *as, struct choice *choice, uint64_t index)
{
    size_t at = 0;
    while (at < choice->tool_count && choice->tools[at].index < index) {
        at++;
    }
    if (at < choice->tool_count && choice->tools[at].index == index) {
        return &choice->tools[at];
    }
    if (as->tools_left == 0) {
        return NULL;
    }
    as->tools_left--;
    choice->tools = open_gap(choice->tools, choice->tool_count, at, sizeof(*choice->tools));
    choice->tool_count++;
    struct tool *tool = &choice->tools[at];
    *tool = (struct tool){.index = index};
    fields_init(&tool->fields, &as->budget);
    fields_init(&tool->function, &as->budget);
    return tool;
}

/* Name, and arguments in pieces. Some servers send an empty name with later pieces. */
static enum err add_function(struct fields *f, struct str function)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (!member_is_given(function)) {
        return ERR_OK;
    }
    if (json_type_of(function) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_iter_init(&it, function);
    while (e == ERR_OK && json_iter_next(&it)) {
        bool is_arguments = json_key_eq(it.key, STR("arguments"));
        if (is_arguments && member_is_given(it.value) &&
            json_type_of(it.value) != JSON_STRING) {
            return ERR_TYPE;
        }
        if (is_arguments || !str_eq(it.value, STR("\"\""))) {
            e = fields_add(f, it.key, it.value, is_arguments ? FIELDS_JOIN : FIELDS_FIRST);
        }
    }
    return e;
}

/* A piece without an index is a call of its own if it has an id; else nobody can say whose it
 * is. */
static enum err tool_index(const struct choice *choice, struct str index, struct str id,
                           uint64_t *out)
{
    if (member_is_given(index)) {
        return json_u64(index, UINT32_MAX, out) == ERR_OK ? ERR_OK : ERR_TYPE;
    }
    if (json_text_len(id) == 0) {
        return ERR_TYPE;
    }
    *out = choice->tool_count > 0 ? choice->tools[choice->tool_count - 1].index + 1 : 0;
    return ERR_OK;
}

static enum err add_tool(struct assembly *as, struct choice *choice, struct str piece)
{
    static const struct str not_kept[] = {STR_INIT("index"), STR_INIT("function")};
    struct json_iter it;
    uint64_t index;
    if (json_type_of(piece) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    enum err e = tool_index(choice, json_get(piece, "index"), json_get(piece, "id"), &index);
    if (e != ERR_OK) {
        return e;
    }
    struct tool *tool = find_tool(as, choice, index);
    if (!tool) {
        return ERR_TOO_LARGE;
    }
    json_iter_init(&it, piece);
    while (e == ERR_OK && json_iter_next(&it)) {
        if (!is_one_of(it.key, not_kept, 2) && !str_eq(it.value, STR("\"\""))) {
            e = fields_add(&tool->fields, it.key, it.value, FIELDS_FIRST);
        }
    }
    return e == ERR_OK ? add_function(&tool->function, json_get(piece, "function")) : e;
}

static enum err add_tools(struct assembly *as, struct choice *choice, struct str pieces)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (!member_is_given(pieces)) {
        return ERR_OK;
    }
    if (json_type_of(pieces) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    json_iter_init(&it, pieces);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_tool(as, choice, it.value);
    }
    return e;
}

static enum err add_delta_member(struct assembly *as, struct choice *choice,
                                 const struct json_iter *member)
{
    static const struct str texts[] = {STR_INIT("content"), STR_INIT("reasoning"),
                                       STR_INIT("reasoning_content"), STR_INIT("refusal")};
    if (json_key_eq(member->key, STR("role"))) {
        return ERR_OK;
    }
    if (json_key_eq(member->key, STR("tool_calls"))) {
        return add_tools(as, choice, member->value);
    }
    if (json_key_eq(member->key, STR("function_call"))) {
        return add_function(&choice->function_call, member->value);
    }
    bool is_string = json_type_of(member->value) == JSON_STRING;
    if (!is_string && member_is_given(member->value) && is_one_of(member->key, texts, 4)) {
        return ERR_TYPE;
    }
    return fields_add(&choice->message, member->key, member->value, FIELDS_JOIN);
}

static enum err add_delta(struct assembly *as, struct choice *choice, struct str delta)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (member_is_given(delta) && json_type_of(delta) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_iter_init(&it, delta);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_delta_member(as, choice, &it);
    }
    return e;
}

static enum err add_logprobs(struct choice *choice, struct str logprobs)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (member_is_given(logprobs) && json_type_of(logprobs) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_iter_init(&it, logprobs);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = fields_add(&choice->logprobs, it.key, it.value, FIELDS_LIST);
    }
    return e;
}

static enum err add_choice_member(struct assembly *as, struct choice *choice,
                                  const struct json_iter *member)
{
    if (json_key_eq(member->key, STR("index"))) {
        return ERR_OK;
    }
    if (json_key_eq(member->key, STR("delta"))) {
        return add_delta(as, choice, member->value);
    }
    if (json_key_eq(member->key, STR("logprobs"))) {
        return add_logprobs(choice, member->value);
    }
    if (str_eq(member->value, STR("\"\""))) {
        return ERR_OK;
    }
    return fields_add(&choice->fields, member->key, member->value, FIELDS_LIST);
}

static enum err add_choice(struct assembly *as, struct str piece)
{
    struct json_iter it;
    uint64_t number = 0;
    if (json_type_of(piece) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    struct str index = json_get(piece, "index");
    if (member_is_given(index) && json_u64(index, CHAT_CHOICES_MAX - 1, &number) != ERR_OK) {
        return ERR_TYPE;
    }
    struct choice *choice = find_choice(as, number);
    enum err e = ERR_OK;
    json_iter_init(&it, piece);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_choice_member(as, choice, &it);
    }
    return e;
}

static enum err add_choices(struct assembly *as, struct str choices)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (member_is_given(choices) && json_type_of(choices) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    json_iter_init(&it, choices);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_choice(as, it.value);
    }
    return e;
}

static enum err add_top_member(struct assembly *as, const struct json_iter *member)
{
    static const struct str firsts[] = {STR_INIT("id"), STR_INIT("created"), STR_INIT("model"),
                                        STR_INIT("system_fingerprint"),
                                        STR_INIT("service_tier")};
    /* obfuscation is padding for the length of a chunk. */
    static const struct str not_kept[] = {STR_INIT("object"), STR_INIT("obfuscation")};
    if (json_key_eq(member->key, STR("choices"))) {
        return add_choices(as, member->value);
    }
    if (is_one_of(member->key, not_kept, 2)) {
        return ERR_OK;
    }
    if (json_key_eq(member->key, STR("usage")) && json_type_of(member->value) != JSON_OBJECT) {
        return ERR_OK;
    }
    return fields_add(&as->fields, member->key, member->value,
                      is_one_of(member->key, firsts, 5) ? FIELDS_FIRST : FIELDS_LAST);
}

enum err assembly_add(struct assembly *as, struct str chunk)
{
    struct json_iter it;
    enum err e = ERR_OK;
    struct str object = json_value(chunk);
    if (json_type_of(object) != JSON_OBJECT ||
        (!member_is_given(json_get(object, "choices")) &&
         json_type_of(json_get(object, "usage")) != JSON_OBJECT)) {
        return ERR_TYPE;
    }
    json_iter_init(&it, object);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_top_member(as, &it);
    }
    return e;
}

/* --- Writing out --- */

static void put(struct buf *out, struct str s)
{
    enum err e = buf_append(out, s);
    CHECK(e == ERR_OK);
}

static void put_number(struct buf *out, uint64_t number)
{
    enum err e = buf_printf(out, "%llu", (unsigned long long)number);
    CHECK(e == ERR_OK);
}

static void put_name(struct buf *out, struct str name)
{
    if (!str_ends(buf_str(out), STR("{"))) {
        put(out, STR(","));
    }
    put(out, STR("\""));
    put(out, name);
    put(out, STR("\":"));
}

static void put_member(struct buf *out, struct str name, const struct field *field)
{
    put_name(out, name);
    field_write(field, out);
}

/* All that are not named and not empty. */
static void put_others(struct buf *out, const struct fields *f, const struct str *named,
                       size_t count)
{
    for (size_t i = 0; i < f->count; i++) {
        struct str name = buf_str(&f->at[i].name);
        if (!is_one_of(name, named, count) && !field_is_empty(&f->at[i])) {
            put_member(out, name, &f->at[i]);
        }
    }
}

static void put_function(struct buf *out, const struct fields *f)
{
    static const struct str named[] = {STR_INIT("name"), STR_INIT("arguments")};
    const struct field *arguments = fields_find(f, named[1]);
    put(out, STR("{"));
    put_member(out, named[0], fields_find(f, named[0]));
    put(out, STR(",\"arguments\":"));
    if (arguments) {
        field_write(arguments, out);
    } else {
        put(out, STR("\"\""));
    }
    put_others(out, f, named, 2);
    put(out, STR("}"));
}

static void put_tool(struct buf *out, const struct tool *tool)
{
    static const struct str named[] = {STR_INIT("id"), STR_INIT("type")};
    put(out, STR("{"));
    put_member(out, named[0], fields_find(&tool->fields, named[0]));
    if (fields_find(&tool->fields, named[1])) {
        put_member(out, named[1], fields_find(&tool->fields, named[1]));
    } else {
        put(out, STR(",\"type\":\"function\""));
    }
    put(out, STR(",\"function\":"));
    put_function(out, &tool->function);
    put_others(out, &tool->fields, named, 2);
    put(out, STR("}"));
}

static void put_tools(struct buf *out, const struct choice *choice)
{
    put(out, STR(",\"tool_calls\":["));
    for (size_t i = 0; i < choice->tool_count; i++) {
        put(out, i > 0 ? STR(",") : STR(""));
        put_tool(out, &choice->tools[i]);
    }
    put(out, STR("]"));
}

static void put_message(struct buf *out, const struct choice *choice)
{
    static const struct str named[] = {STR_INIT("content")};
    const struct field *content = fields_find(&choice->message, named[0]);
    bool has_calls = choice->tool_count > 0 || choice->function_call.count > 0;
    put(out, STR("{\"role\":\"assistant\""));
    put_member(out, named[0], has_calls && field_is_empty(content) ? NULL : content);
    put_others(out, &choice->message, named, 1);
    if (choice->tool_count > 0) {
        put_tools(out, choice);
    }
    if (choice->function_call.count > 0) {
        put(out, STR(",\"function_call\":"));
        put_function(out, &choice->function_call);
    }
    put(out, STR("}"));
}

static void put_logprobs(struct buf *out, const struct fields *logprobs)
{
    static const struct str named[] = {STR_INIT("content"), STR_INIT("refusal")};
    if (logprobs->count == 0) {
        put(out, STR("null"));
        return;
    }
    put(out, STR("{"));
    put_member(out, named[0], fields_find(logprobs, named[0]));
    put_member(out, named[1], fields_find(logprobs, named[1]));
    put_others(out, logprobs, named, 2);
    put(out, STR("}"));
}

static void put_choice(struct buf *out, const struct choice *choice)
{
    static const struct str named[] = {STR_INIT("finish_reason")};
    put(out, STR("{\"index\":"));
    put_number(out, choice->index);
    put(out, STR(",\"message\":"));
    put_message(out, choice);
    put(out, STR(",\"logprobs\":"));
    put_logprobs(out, &choice->logprobs);
    put_member(out, named[0], fields_find(&choice->fields, named[0]));
    put_others(out, &choice->fields, named, 1);
    put(out, STR("}"));
}

struct str assembly_json(struct assembly *as, struct arena *a)
{
    static const struct str named[] = {STR_INIT("id"), STR_INIT("created"), STR_INIT("model")};
    struct buf out;
    buf_init(&out, WRITE_MAX);
    put(&out, STR("{"));
    for (size_t i = 0; i < 3; i++) {
        const struct field *field = fields_find(&as->fields, named[i]);
        if (field) {
            put_member(&out, named[i], field);
        }
    }
    put_name(&out, STR("object"));
    put(&out, STR("\"chat.completion\",\"choices\":["));
    for (size_t i = 0; i < as->choice_count; i++) {
        put(&out, i > 0 ? STR(",") : STR(""));
        put_choice(&out, &as->choices[i]);
    }
    put(&out, STR("]"));
    put_others(&out, &as->fields, named, 3);
    put(&out, STR("}"));
    struct str json = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return json;
}
