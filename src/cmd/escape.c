#include "cmd/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/utf8.h"

struct str escape_text(struct arena *a, struct str s, const char *keep)
{
    char *out = arena_alloc(a, s.len * 4 + 1);
    size_t len = 0;
    while (s.len > 0) {
        uint32_t code = 0;
        size_t size = utf8_read(s, &code);
        bool kept = s.ptr[0] != '\0' && strchr(keep, s.ptr[0]) != NULL;
        bool shown = size > 0 && (kept || utf8_is_shown(code));
        size = size > 0 ? size : 1;
        if (shown) {
            memcpy(out + len, s.ptr, size);
            len += size;
        }
        for (size_t i = 0; i < size && !shown; i++) {
            len += (size_t)snprintf(out + len, 5, "\\x%02x", (unsigned char)s.ptr[i]);
        }
        s = str_from_at(s, size);
    }
    out[len] = '\0';
    return str_of(out, len);
}
