#include "llm/canonical.h"

#include <string.h>

#include "base/check.h"
#include "llm/json_out.h"
#include "wire/json.h"

static bool is_canonical(struct str raw)
{
    const char *p = raw.ptr;
    const char *end = raw.ptr + raw.len;
    while (p < end) {
        p = memchr(p, '\\', (size_t)(end - p));
        if (!p) {
            return true;
        }
        if (!strchr("\"\\bfnrt", p[1])) {
            return false;
        }
        p += 2;
    }
    return true;
}

struct str canonical_unescape(struct str raw, struct arena *a)
{
    struct str text;
    if (raw.len == 0 || !memchr(raw.ptr, '\\', raw.len)) {
        return raw;
    }
    char *quoted = arena_alloc(a, raw.len + 2);
    quoted[0] = '"';
    memcpy(quoted + 1, raw.ptr, raw.len);
    quoted[raw.len + 1] = '"';
    enum err e = json_text(str_of(quoted, raw.len + 2), a, &text);
    CHECK(e == ERR_OK);
    return text;
}

struct str canonical_text(struct str raw, struct arena *a)
{
    if (raw.len == 0 || is_canonical(raw)) {
        return raw;
    }
    struct str quoted = json_quote(a, canonical_unescape(raw, a));
    return str_of(quoted.ptr + 1, quoted.len - 2);
}

/* `at` is behind the opening quote; of the closing one. */
static size_t end_of_string(struct str json, size_t at)
{
    while (json.ptr[at] != '"') {
        at += json.ptr[at] == '\\' ? 2 : 1;
    }
    return at;
}

struct str canonical_json(struct str json, struct arena *a)
{
    struct json_out o;
    json_out_init(&o, a, json.len);
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        if (c == '"') {
            size_t end = end_of_string(json, i + 1);
            json_out_raw(&o, STR("\""));
            json_out_raw(&o, canonical_text(str_of(json.ptr + i + 1, end - i - 1), a));
            json_out_raw(&o, STR("\""));
            i = end;
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            json_out_raw(&o, str_of(json.ptr + i, 1));
        }
    }
    return json_out_str(&o);
}
