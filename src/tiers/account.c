#include "tiers/account.h"

#include "base/mem.h"

/* A text of a account, and how much of it is kept. */
struct cut {
    size_t offset; /* of the struct str */
    size_t most;
};

static const struct cut CUTS[] = {
    {offsetof(struct account, trace_state), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, request_id), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, peer), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, key), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, method), ACCOUNT_METHOD_MAX},
    {offsetof(struct account, path), ACCOUNT_PATH_MAX},
    {offsetof(struct account, asked), ACCOUNT_MODEL_MAX},
    {offsetof(struct account, served), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, error), ACCOUNT_ERROR_MAX},
    {offsetof(struct account, degraded), ACCOUNT_TEXT_MAX},
    {offsetof(struct account, trail), ACCOUNT_TRAIL_MAX},
};
enum { TEXTS = sizeof(CUTS) / sizeof(CUTS[0]) };

static struct str *text_of(struct account *r, size_t i)
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

struct account *account_copy(const struct account *r)
{
    struct account cut = *r;
    size_t attempts_size = sizeof(r->attempt[0]) * r->attempt_count;
    size_t size = sizeof(*r) + attempts_size;
    for (size_t i = 0; i < TEXTS; i++) {
        struct str *text = text_of(&cut, i);
        *text = cut_text(*text, CUTS[i].most);
        size += text->len;
    }
    struct account *copy = mem_resize(NULL, size);
    struct account_attempt *attempts = (void *)(copy + 1);
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

const char *account_finish_word(struct str reason)
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
