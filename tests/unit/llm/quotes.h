#pragma once

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* JSON written with ' for " in tests. A copy that ends where the text ends (ASan sees
 * overruns). */
static inline struct str quotes(struct arena *a, const char *text)
{
    size_t len = strlen(text);
    char *copy = arena_alloc(a, len > 0 ? len : 1);
    for (size_t i = 0; i < len; i++) {
        copy[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    }
    return str_of(copy, len);
}
