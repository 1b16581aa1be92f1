#include "llm/token_count.h"

#include "llm/members.h"
#include "wire/json.h"

struct str token_count_ask(const struct dialect *d, struct str model, const struct str part[2],
                           struct arena *a)
{
    const struct str pieces[] = {STR("{\"model\":"),
                                 json_quote(a, model),
                                 STR(",\""),
                                 str_from(d->count_text),
                                 STR("\":\""),
                                 part[0],
                                 part[1],
                                 STR("\",\"add_special_tokens\":false,\"add_special\":false}")};
    return arena_join(a, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

struct str token_count_ask_prompt(const struct dialect *d, struct str model,
                                  const struct chat_request *q, struct arena *a)
{
    if (!d->counts_messages) {
        return STR_NONE;
    }
    struct str tools = json_get(q->body, "tools");
    bool has_tools = member_is_given(tools);
    const struct str pieces[] = {STR("{\"model\":"),
                                 json_quote(a, model),
                                 STR(",\"messages\":"),
                                 json_get(q->body, "messages"),
                                 has_tools ? STR(",\"tools\":") : STR(""),
                                 has_tools ? tools : STR(""),
                                 STR("}")};
    return arena_join(a, pieces, sizeof(pieces) / sizeof(pieces[0]));
}

enum err token_count_read(struct str body, uint64_t *count)
{
    size_t at;
    struct json_iter it;
    enum err e = json_check(body, &at);
    if (e != ERR_OK) {
        return e;
    }
    struct str object = json_value(body);
    if (json_type_of(object) != JSON_OBJECT) {
        return ERR_TYPE;
    }
    if (json_u64(json_get(object, "count"), UINT32_MAX, count) == ERR_OK) {
        return ERR_OK;
    }
    struct str tokens = json_get(object, "tokens");
    if (json_type_of(tokens) != JSON_ARRAY) {
        return ERR_TYPE;
    }
    *count = 0;
    json_iter_init(&it, tokens);
    while (json_iter_next(&it)) {
        *count += 1;
    }
    return ERR_OK;
}
