#include "llm/assembly.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "llm/chat_request.h"
#include "llm/fields.h"
#include "llm/members.h"
#include "llm/tool_calls.h"
#include "wire/json.h"

enum {
    TOOLS_MAX = 1024,  /* tool calls altogether */
    FIELDS_MAX = 8192, /* members altogether */
    WRITE_MAX = 2 * ASSEMBLY_MAX
};

struct choice {
    uint64_t index;
    struct fields fields; /* finish_reason, and what we do not know */
    struct fields message;
    struct fields logprobs;
    struct fields function_call; /* the old form: name, arguments */
    struct tool_calls tools;
};

struct assembly {
    struct fields_budget budget;
    size_t tools_left;
    struct fields fields;   /* top level */
    struct choice *choices; /* owned, sorted by index */
    size_t choice_count;

    /* What the last chunk joined to what there was: if it was one text, where. */
    uint32_t joins;
    struct fields *joined_in;
    size_t joined_at;
};

struct assembly *assembly_new(void)
{
    return assembly_new_within(ASSEMBLY_MAX);
}

struct assembly *assembly_new_within(size_t max)
{
    struct assembly *as = mem_alloc(sizeof(*as));
    size_t bytes = max < ASSEMBLY_MAX ? max : ASSEMBLY_MAX;
    as->budget = (struct fields_budget){.bytes = bytes, .count = FIELDS_MAX};
    as->tools_left = TOOLS_MAX;
    fields_init(&as->fields, &as->budget);
    return as;
}

static void fini_choice(struct choice *choice)
{
    tool_calls_fini(&choice->tools);
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
    as->joins += 2; /* what was joined may have moved */
    struct choice *choice = &as->choices[at];
    *choice = (struct choice){.index = index};
    fields_init(&choice->fields, &as->budget);
    fields_init(&choice->message, &as->budget);
    fields_init(&choice->logprobs, &as->budget);
    fields_init(&choice->function_call, &as->budget);
    tool_calls_init(&choice->tools, &as->budget, &as->tools_left);
    return choice;
}

/* Of the kinds of members that are joined. */
static enum err join_member(struct assembly *as, struct fields *to,
                            const struct json_iter *member, enum fields_merge how)
{
    enum err e = fields_add(to, member->key, member->value, how);
    const struct field *field = e == ERR_OK ? fields_find(to, member->key) : NULL;
    if (field && field->kind != FIELD_VALUE && !field_is_empty(field)) {
        as->joins += field->kind == FIELD_TEXT ? 1 : 2;
        as->joined_in = to;
        as->joined_at = (size_t)(field - to->at);
    }
    return e;
}

static enum err add_delta_member(struct assembly *as, struct choice *choice,
                                 const struct json_iter *member)
{
    static const struct str texts[] = {STR_INIT("content"), STR_INIT("reasoning"),
                                       STR_INIT("reasoning_content"), STR_INIT("refusal")};
    uint64_t last;
    if (json_key_eq(member->key, STR("role"))) {
        return ERR_OK;
    }
    if (json_key_eq(member->key, STR("tool_calls"))) {
        as->joins += 2;
        return tool_calls_add(&choice->tools, member->value, &last);
    }
    if (json_key_eq(member->key, STR("function_call"))) {
        as->joins += 2;
        return function_call_add(&choice->function_call, member->value);
    }
    bool is_string = json_type_of(member->value) == JSON_STRING;
    if (!is_string && member_is_given(member->value) &&
        member_is_one_of(member->key, texts, 4)) {
        return ERR_TYPE;
    }
    return join_member(as, &choice->message, member, FIELDS_JOIN);
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

static enum err add_logprobs(struct assembly *as, struct choice *choice, struct str logprobs)
{
    struct json_iter it;
    enum err e = ERR_OK;
    if (member_is_given(logprobs) && json_type_of(logprobs) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    json_iter_init(&it, logprobs);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = join_member(as, &choice->logprobs, &it, FIELDS_LIST);
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
        return add_logprobs(as, choice, member->value);
    }
    if (str_eq(member->value, STR("\"\""))) {
        return ERR_OK;
    }
    return join_member(as, &choice->fields, member, FIELDS_LIST);
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
    if (member_is_one_of(member->key, not_kept, 2)) {
        return ERR_OK;
    }
    if (json_key_eq(member->key, STR("usage")) && json_type_of(member->value) != JSON_OBJECT) {
        return ERR_OK;
    }
    return fields_add(&as->fields, member->key, member->value,
                      member_is_one_of(member->key, firsts, 5) ? FIELDS_FIRST : FIELDS_LAST);
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
    as->joins = 0;
    json_iter_init(&it, object);
    while (e == ERR_OK && json_iter_next(&it)) {
        e = add_top_member(as, &it);
    }
    return e;
}

bool assembly_may_repeat(const struct assembly *as)
{
    return as->joins == 1;
}

enum err assembly_add_text(struct assembly *as, struct str text)
{
    CHECK(assembly_may_repeat(as));
    return fields_more(as->joined_in, as->joined_at, text);
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

static void put_tools(struct buf *out, const struct choice *choice)
{
    put(out, STR(",\"tool_calls\":["));
    for (size_t i = 0; i < choice->tools.count; i++) {
        put(out, i > 0 ? STR(",") : STR(""));
        tool_call_write(&choice->tools.at[i], out);
    }
    put(out, STR("]"));
}

static void put_message(struct buf *out, const struct choice *choice)
{
    static const struct str named[] = {STR_INIT("content")};
    const struct field *content = fields_find(&choice->message, named[0]);
    bool has_calls = choice->tools.count > 0 || choice->function_call.count > 0;
    put(out, STR("{\"role\":\"assistant\""));
    member_write(out, named[0], has_calls && field_is_empty(content) ? NULL : content);
    fields_write_others(out, &choice->message, named, 1);
    if (choice->tools.count > 0) {
        put_tools(out, choice);
    }
    if (choice->function_call.count > 0) {
        put(out, STR(",\"function_call\":"));
        function_call_write(&choice->function_call, out);
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
    member_write(out, named[0], fields_find(logprobs, named[0]));
    member_write(out, named[1], fields_find(logprobs, named[1]));
    fields_write_others(out, logprobs, named, 2);
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
    member_write(out, named[0], fields_find(&choice->fields, named[0]));
    fields_write_others(out, &choice->fields, named, 1);
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
            member_write(&out, named[i], field);
        }
    }
    member_name_write(&out, STR("object"));
    put(&out, STR("\"chat.completion\",\"choices\":["));
    for (size_t i = 0; i < as->choice_count; i++) {
        put(&out, i > 0 ? STR(",") : STR(""));
        put_choice(&out, &as->choices[i]);
    }
    put(&out, STR("]"));
    fields_write_others(&out, &as->fields, named, 3);
    put(&out, STR("}"));
    struct str json = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return json;
}
