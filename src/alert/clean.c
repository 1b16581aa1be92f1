#include "alert/clean.h"

#include <stdint.h>

#include "base/utf8.h"

struct str clean_text(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t len = 0;
    while (s.len > 0) {
        uint32_t code = 0;
        size_t size = utf8_read(s, &code);
        if (size > 0 && utf8_is_shown(code)) {
            memcpy(out + len, s.ptr, size);
            len += size;
        } else {
            out[len++] = '?';
        }
        s = str_from_at(s, size > 0 ? size : 1);
    }
    out[len] = '\0';
    return str_of(out, len);
}
