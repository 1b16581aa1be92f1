#include "llm/resume.h"

#include "llm/members.h"
#include "wire/json.h"

static bool is_text(struct str value, struct str text)
{
    return json_type_of(value) == JSON_STRING && json_key_eq(member_inside(value), text);
}

/* The text is held to a form that the next backend would begin anew. */
static bool is_constraint(struct str key)
{
    static const struct str names[] = {STR_INIT("grammar"), STR_INIT("json_schema"),
                                       STR_INIT("structured_outputs")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (json_key_eq(key, names[i])) {
            return true;
        }
    }
    return str_starts(key, STR("guided_"));
}

/* The next backend would hold its own beginning to that form, not what follows a text. */
static bool forces_tool(struct str tool_choice)
{
    return json_type_of(tool_choice) == JSON_OBJECT || is_text(tool_choice, STR("required"));
}

/* The client's own say about where the answer begins. */
static bool is_prefill(struct str key)
{
    return json_key_eq(key, STR("continue_final_message")) ||
           json_key_eq(key, STR("add_generation_prompt"));
}

static bool is_in_the_way(const struct json_iter *member, const struct dialect *d)
{
    if (!member_is_given(member->value)) {
        return false;
    }
    if (json_key_eq(member->key, STR("response_format"))) {
        return !is_text(json_get(member->value, "type"), STR("text"));
    }
    if (json_key_eq(member->key, STR("tool_choice"))) {
        return forces_tool(member->value);
    }
    if (json_key_eq(member->key, STR("echo"))) {
        return json_is_true(member->value);
    }
    if (json_key_eq(member->key, STR("logprobs"))) {
        return d->framing == REPLY_NDJSON && json_is_true(member->value);
    }
    return is_constraint(member->key) || is_prefill(member->key);
}

static bool ends_with_assistant(struct str messages)
{
    struct json_iter it;
    struct str last = STR_NONE;
    json_iter_init(&it, messages);
    while (json_iter_next(&it)) {
        last = it.value;
    }
    return is_text(json_get(last, "role"), STR("assistant"));
}

bool resume_can_continue(const struct chat_request *q, const struct dialect *d)
{
    struct json_iter it;
    if (!d->can_continue || q->n > 1) {
        return false;
    }
    json_iter_init(&it, q->body);
    while (json_iter_next(&it)) {
        bool is_messages = json_key_eq(it.key, STR("messages"));
        if (is_messages ? ends_with_assistant(it.value) : is_in_the_way(&it, d)) {
            return false;
        }
    }
    return true;
}

/* Templates wrap a <think> that stands in the text once more (reference: llama.cpp puts an
 * empty block before it, HF's leave it out). */
static bool has_text_only(const struct transcript *t)
{
    struct str text = transcript_text(t);
    return text.len > 0 && !t->has_reasoning && transcript_calls(t).len == 0 &&
           !str_has(text, STR("<think>"));
}

enum resume_way resume_choose(const struct transcript *t, const struct chat_request *q,
                              const struct dialect *d)
{
    if (t->is_lost || t->has_other || q->n > 1) {
        return RESUME_NEVER;
    }
    return has_text_only(t) && resume_can_continue(q, d) ? RESUME_CONTINUE : RESUME_RESTART;
}

uint64_t resume_left(const struct chat_request *q, const struct chat_edit *ed)
{
    uint64_t limit = chat_request_limit(q);
    if (ed->set_max_tokens && ed->max_tokens < limit) {
        limit = ed->max_tokens;
    }
    if (limit == UINT64_MAX) {
        return limit;
    }
    return limit > ed->spent ? limit - ed->spent : 0;
}
