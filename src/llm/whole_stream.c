#include "llm/whole_stream.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"

/* A message as a delta: tool calls carry their index there. */
static json_t *delta_of(const json_t *message)
{
    json_t *delta = json_deep_copy(message);
    json_t *calls = json_object_get(delta, "tool_calls");
    json_t *call;
    size_t i;
    json_array_foreach(calls, i, call)
    {
        json_object_set_new(call, "index", json_integer((json_int_t)i));
    }
    return delta ? delta : json_object();
}

static json_t *choice_of(const json_t *choice)
{
    json_t *out = json_object();
    json_t *logprobs = json_object_get(choice, "logprobs");
    json_object_set(out, "index", json_object_get(choice, "index"));
    json_object_set_new(out, "delta", delta_of(json_object_get(choice, "message")));
    if (json_is_object(logprobs)) {
        json_object_set(out, "logprobs", logprobs);
    }
    json_object_set(out, "finish_reason", json_object_get(choice, "finish_reason"));
    return out;
}

static json_t *chunk_of(const json_t *whole, json_t *choices)
{
    static const char *const kept[] = {"id", "created", "model", "system_fingerprint"};
    json_t *chunk = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(whole, kept[i]);
        if (value) {
            json_object_set(chunk, kept[i], value);
        }
    }
    json_object_set_new(chunk, "object", json_string("chat.completion.chunk"));
    json_object_set_new(chunk, "choices", choices);
    return chunk;
}

static struct str dump(json_t *value, struct arena *a)
{
    char *out = json_dumps(value, JSON_COMPACT);
    CHECK(out != NULL);
    struct str kept = arena_dup(a, str_from(out));
    free(out);
    json_decref(value);
    return kept;
}

enum err whole_as_chunk(struct str body, bool include_usage, struct arena *a, struct str *chunk,
                        struct str *usage_chunk)
{
    json_t *whole = json_loadb(body.ptr, body.len, JSON_ALLOW_NUL, NULL);
    json_t *choice;
    size_t i;
    if (!whole) {
        return ERR_RANGE;
    }
    json_t *choices = json_array();
    json_array_foreach(json_object_get(whole, "choices"), i, choice)
    {
        json_array_append_new(choices, choice_of(choice));
    }
    json_t *usage = json_object_get(whole, "usage");
    *usage_chunk = STR_NONE;
    if (include_usage && json_is_object(usage)) {
        json_t *told = chunk_of(whole, json_array());
        json_object_set(told, "usage", usage);
        *usage_chunk = dump(told, a);
    }
    *chunk = dump(chunk_of(whole, choices), a);
    json_decref(whole);
    return ERR_OK;
}
