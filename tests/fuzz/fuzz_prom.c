#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "wire/prom_text.h"

/*
 * Reads the input whole, and each of its lines alone in memory of its own: the samples must be
 * the same, well formed, and inside the line.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct str part, struct str whole)
{
    return part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_sample(const struct prom_sample *s, struct str text)
{
    CHECK(s->name.len > 0 && is_inside(s->name, text) && is_inside(s->labels, text));
    CHECK(!memchr(s->name.ptr, '\n', s->name.len));
    CHECK(s->labels.len == 0 || !memchr(s->labels.ptr, '\n', s->labels.len));
    CHECK(isfinite(s->value));
}

/* The line's sample equals the next of the whole text, where it has one. */
static void check_line(struct str line, struct str *rest, struct str text)
{
    struct prom_sample alone;
    struct prom_sample next;
    char *copy = malloc(line.len + 1);
    CHECK(copy != NULL);
    memcpy(copy, str_chars(line), line.len);
    struct str own = str_of(copy, line.len);
    struct str in = own;
    if (prom_next(&in, &alone)) {
        check_sample(&alone, own);
        CHECK(in.len == 0);
        CHECK(prom_next(rest, &next));
        check_sample(&next, text);
        CHECK(str_eq(alone.name, next.name) && str_eq(alone.labels, next.labels));
        CHECK(memcmp(&alone.value, &next.value, sizeof(double)) == 0);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prom_sample none;
    struct str text = str_of((const char *)data, size);
    struct str rest = text;
    struct str lines = text;
    while (lines.len > 0) {
        check_line(str_cut(&lines, '\n'), &rest, text);
    }
    CHECK(!prom_next(&rest, &none));
    return 0;
}
