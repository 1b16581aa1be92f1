#include "llm/members.h"

bool member_is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
}

bool member_is_text(struct str value, const char *text)
{
    return member_is(value, JSON_STRING) && json_key_eq(member_inside(value), str_from(text));
}

bool member_is_empty(struct str value)
{
    struct json_iter it;
    json_iter_init(&it, value);
    return !json_iter_next(&it);
}

struct str member_get(struct str object, const char *key)
{
    struct str value = json_get(object, key);
    return member_is_given(value) ? value : STR_NONE;
}

bool member_is_one_of(struct str key, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_key_eq(key, names[i])) {
            return true;
        }
    }
    return false;
}

enum err member_arguments(struct str value, struct arena *a, struct str *out)
{
    struct str text = STR("{}");
    size_t at = 0;
    if (json_type_of(value) == JSON_OBJECT) {
        *out = value;
        return ERR_OK;
    }
    if (member_is_given(value) && json_text(value, a, &text) != ERR_OK) {
        return ERR_TYPE;
    }
    text = text.len > 0 ? text : STR("{}");
    if (json_check(text, &at) != ERR_OK || json_type_of(json_value(text)) != JSON_OBJECT) {
        return ERR_SYNTAX;
    }
    *out = json_value(text);
    return ERR_OK;
}
