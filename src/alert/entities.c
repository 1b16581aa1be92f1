#include "alert/entities.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"

enum { LONGEST = 6 };

static struct str entity_of(char c)
{
    switch (c) {
    case '&':
        return STR("&amp;");
    case '<':
        return STR("&lt;");
    case '>':
        return STR("&gt;");
    case '"':
        return STR("&quot;");
    case '\'':
        return STR("&#39;");
    default:
        BUG("no such entity");
    }
}

static struct str escape(struct arena *a, struct str s, const char *which)
{
    char *out = arena_alloc(a, s.len * LONGEST + 1);
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++) {
        bool is_one = s.ptr[i] != '\0' && strchr(which, s.ptr[i]);
        struct str piece = is_one ? entity_of(s.ptr[i]) : str_of(s.ptr + i, 1);
        memcpy(out + len, piece.ptr, piece.len);
        len += piece.len;
    }
    out[len] = '\0';
    return str_of(out, len);
}

struct str entities_for_slack(struct arena *a, struct str s)
{
    return escape(a, s, "&<>");
}

struct str entities_for_html(struct arena *a, struct str s)
{
    return escape(a, s, "&<>\"'");
}
