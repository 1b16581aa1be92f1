#include "tiers/record.h"

#include "base/mem.h"

/* A text of a record, and how much of it is kept. */
struct cut {
    size_t offset; /* of the struct str */
    size_t most;
};

static const struct cut CUTS[] = {
    {offsetof(struct record, trace_state), RECORD_TEXT_MAX},
    {offsetof(struct record, request_id), RECORD_TEXT_MAX},
    {offsetof(struct record, peer), RECORD_TEXT_MAX},
    {offsetof(struct record, key), RECORD_TEXT_MAX},
    {offsetof(struct record, method), RECORD_METHOD_MAX},
    {offsetof(struct record, path), RECORD_PATH_MAX},
    {offsetof(struct record, asked), RECORD_MODEL_MAX},
    {offsetof(struct record, served), RECORD_TEXT_MAX},
    {offsetof(struct record, error), RECORD_ERROR_MAX},
    {offsetof(struct record, degraded), RECORD_TEXT_MAX},
    {offsetof(struct record, trail), RECORD_TRAIL_MAX},
};
enum { TEXTS = sizeof(CUTS) / sizeof(CUTS[0]) };

static struct str *text_of(struct record *r, size_t i)
{
    return (struct str *)(void *)((char *)r + CUTS[i].offset);
}

/* Not within a character of UTF-8. */
static struct str cut_text(struct str s, size_t most)
{
    size_t len = s.len < most ? s.len : most;
    while (len < s.len && len > 0 && ((unsigned char)s.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return str_of(s.ptr, len);
}

struct record *record_copy(const struct record *r)
{
    struct record cut = *r;
    size_t attempts_size = sizeof(r->attempt[0]) * r->attempt_count;
    size_t size = sizeof(*r) + attempts_size;
    for (size_t i = 0; i < TEXTS; i++) {
        struct str *text = text_of(&cut, i);
        *text = cut_text(*text, CUTS[i].most);
        size += text->len;
    }
    struct record *copy = mem_resize(NULL, size);
    struct record_attempt *attempts = (void *)(copy + 1);
    char *at = (char *)attempts + attempts_size;
    *copy = cut;
    copy->next = NULL;
    copy->attempt = attempts;
    if (attempts_size > 0) {
        memcpy(attempts, r->attempt, attempts_size);
    }
    for (size_t i = 0; i < TEXTS; i++) {
        struct str *text = text_of(copy, i);
        if (text->len > 0) {
            memcpy(at, text->ptr, text->len);
        }
        text->ptr = at;
        at += text->len;
    }
    return copy;
}

const char *record_finish_word(struct str reason)
{
    static const char *const words[] = {"stop", "length", "tool_calls", "content_filter",
                                        "function_call"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_eq(reason, str_from(words[i]))) {
            return words[i];
        }
    }
    return "other";
}
