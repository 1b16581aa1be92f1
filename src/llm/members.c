#include "llm/members.h"

#include "wire/json.h"

bool member_is_given(struct str value)
{
    return value.len > 0 && json_type_of(value) != JSON_NULL;
}
