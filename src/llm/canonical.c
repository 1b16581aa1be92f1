#include "llm/canonical.h"

#include <string.h>

#include "base/check.h"
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
