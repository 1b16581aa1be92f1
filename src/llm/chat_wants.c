#include "llm/chat_wants.h"

#include "llm/members.h"
#include "wire/json.h"
#include "wire/json_find.h"

/* {"image_url":{"url":"…"}}, or the URL alone, which some servers take. */
static uint64_t image_bytes_of(struct str part, bool *has_image)
{
    struct str image =
        json_type_of(part) == JSON_OBJECT ? json_get(part, "image_url") : STR_NONE;
    struct str url = json_type_of(image) == JSON_OBJECT ? json_get(image, "url") : image;
    if (json_type_of(url) != JSON_STRING) {
        return 0;
    }
    *has_image = true;
    return url.len;
}

uint64_t chat_wants_image_bytes(const struct json_tape *tape, struct str messages,
                                bool *has_image)
{
    struct json_iter message;
    struct json_iter part;
    uint64_t bytes = 0;
    if (!json_tape_may_hold_array(tape, messages) ||
        !json_find_word(messages, STR("\"image_url\""))) {
        return 0;
    }
    for (json_iter_init(&message, messages); json_iter_next(&message);) {
        struct str content = json_get(message.value, "content");
        if (json_type_of(content) != JSON_ARRAY) {
            continue;
        }
        for (json_iter_init(&part, content); json_iter_next(&part);) {
            bytes += image_bytes_of(part.value, has_image);
        }
    }
    return bytes;
}

bool chat_wants_list(struct str value)
{
    return json_type_of(value) == JSON_ARRAY && json_value(member_inside(value)).len > 0;
}

bool chat_wants_schema(struct str response_format)
{
    struct str type = json_type_of(response_format) == JSON_OBJECT
                          ? json_get(response_format, "type")
                          : STR_NONE;
    return member_is_text(type, "json_schema");
}

bool chat_wants_logprobs(struct str logprobs, struct str top_logprobs)
{
    uint64_t number = 0;
    bool is_counted = json_u64(top_logprobs, UINT64_MAX, &number) == ERR_OK ||
                      json_u64(logprobs, UINT64_MAX, &number) == ERR_OK;
    return json_is_true(logprobs) || (is_counted && number > 0);
}
