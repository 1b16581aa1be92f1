#include "llm/stencil.h"

#include <string.h>

#include "base/check.h"
#include "wire/json.h"

/* Chunks have 200 to 400 bytes; those with more to them (log probabilities) differ anyway. */
enum { FRAME_MAX = 1024 };

void stencil_init(struct stencil *s)
{
    s->before = 0;
    buf_init(&s->frame, FRAME_MAX);
}

void stencil_fini(struct stencil *s)
{
    buf_fini(&s->frame);
}

void stencil_drop(struct stencil *s)
{
    buf_consume(&s->frame, buf_len(&s->frame));
}

void stencil_keep(struct stencil *s, struct str chunk, struct str text)
{
    struct str before = str_of(chunk.ptr, (size_t)(text.ptr - chunk.ptr));
    struct str after = str_from_at(chunk, before.len + text.len);
    CHECK(str_ends(before, STR("\"")) && str_starts(after, STR("\"")));
    stencil_drop(s);
    if (before.len + after.len > FRAME_MAX) {
        return;
    }
    enum err e = buf_append(&s->frame, before);
    e = e ? e : buf_append(&s->frame, after);
    CHECK(e == ERR_OK);
    s->before = before.len;
}

bool stencil_fits(const struct stencil *s, struct str chunk, struct str *text)
{
    struct str before = buf_str(&s->frame);
    struct str after = str_from_at(before, s->before);
    if (before.len == 0 || chunk.len <= before.len) {
        return false;
    }
    before.len = s->before;
    const char *to = chunk.ptr + chunk.len - after.len;
    if (memcmp(chunk.ptr, before.ptr, before.len) != 0 ||
        memcmp(to, after.ptr, after.len) != 0) {
        return false;
    }
    const char *from = chunk.ptr + before.len;
    *text = str_of(from, (size_t)(to - from));
    return json_is_quoted(str_of(from - 1, text->len + 2)); /* with the quotes around it */
}
