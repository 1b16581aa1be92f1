#include "llm/members.h"

#include "wire/json.h"

void members_pick(struct str object, const struct str *name, size_t count, struct str *value)
{
    json_pick(NULL, object, name, count, value);
}

bool member_is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
}
