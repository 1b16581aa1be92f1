#include "llm/essence.h"

#include <string.h>

#include "wire/json.h"

/* The text so far; its room is that of the whole body, which it cannot outgrow. */
struct text {
    char *data;
    size_t len;
};

static void put(struct text *t, struct str piece)
{
    if (piece.len > 0) {
        memcpy(t->data + t->len, piece.ptr, piece.len);
        t->len += piece.len;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Index behind the string that begins at `at`. */
static size_t skip_string(struct str s, size_t at)
{
    for (at++; s.ptr[at] != '"'; at++) {
        at += s.ptr[at] == '\\' ? 1 : 0;
    }
    return at + 1;
}

static void put_compact(struct text *t, struct str s)
{
    size_t from = 0;
    size_t at = 0;
    while (at < s.len) {
        if (s.ptr[at] == '"') {
            at = skip_string(s, at);
        } else if (is_space(s.ptr[at])) {
            put(t, str_of(s.ptr + from, at - from));
            at++;
            from = at;
        } else {
            at++;
        }
    }
    put(t, str_of(s.ptr + from, s.len - from));
}

struct str request_essence(struct str body, struct arena *a)
{
    struct text t = {.data = arena_alloc(a, body.len + 1)};
    struct json_iter it;
    const char *separator = "{";
    json_iter_init(&it, json_value(body));
    while (json_iter_next(&it)) {
        if (json_key_is(&it, STR("stream")) || json_key_is(&it, STR("stream_options"))) {
            continue;
        }
        put(&t, str_of(separator, 1));
        put_compact(&t, it.whole);
        separator = ",";
    }
    return str_of(t.data, t.len);
}
