#include "llm/members.h"

#include "wire/json.h"

bool member_is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
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
