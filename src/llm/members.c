#include "llm/members.h"

#include "wire/json.h"

static void take(const struct json_iter *it, const struct str *name, size_t count,
                 struct str *value)
{
    for (size_t i = 0; i < count; i++) {
        if (json_key_eq(it->key, name[i])) {
            value[i] = it->value;
            return;
        }
    }
}

void members_pick(struct str object, const struct str *name, size_t count, struct str *value)
{
    struct json_iter it;
    for (size_t i = 0; i < count; i++) {
        value[i] = STR_NONE;
    }
    if (json_type_of(object) != JSON_OBJECT) {
        return;
    }
    json_iter_init(&it, object);
    while (json_iter_next(&it)) {
        take(&it, name, count, value);
    }
}

bool member_is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
}
