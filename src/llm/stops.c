#include "llm/stops.h"

#include <string.h>

#include "llm/canonical.h"
#include "wire/json.h"

static void add_stop(struct stops *s, struct str value, struct arena *a)
{
    struct str text;
    if (s->count < STOPS_MAX && json_text(value, a, &text) == ERR_OK && text.len > 0 &&
        text.len <= STOP_LEN_MAX) {
        s->stop[s->count++] = text;
    }
}

static size_t longest(const struct stops *s)
{
    size_t len = 1;
    for (size_t i = 0; i < s->count; i++) {
        len = s->stop[i].len > len ? s->stop[i].len : len;
    }
    return len;
}

/* The end of the given text, as much as can be in a stop string with something after it. */
static void take_tail(struct stops *s, struct str given)
{
    struct arena scratch;
    arena_init(&scratch);
    struct str text = canonical_unescape(given, &scratch);
    size_t side = s->cap / 2;
    s->seam = text.len < side ? text.len : side;
    if (s->seam > 0) {
        memcpy(s->window, text.ptr + text.len - s->seam, s->seam);
    }
    s->len = s->seam;
    arena_fini(&scratch);
}

void stops_init(struct stops *s, struct str stop, struct str given, struct arena *a)
{
    struct json_iter it;
    *s = (struct stops){.count = 0};
    add_stop(s, stop, a);
    if (json_type_of(stop) == JSON_ARRAY) {
        json_iter_init(&it, stop);
        while (json_iter_next(&it)) {
            add_stop(s, it.value, a);
        }
    }
    s->cap = 2 * (longest(s) - 1);
    if (s->cap > 0) {
        s->window = arena_alloc(a, s->cap);
        take_tail(s, given);
    }
}

/* Begins before the seam and ends in what was added last, behind `before`. */
static bool is_completed(const struct stops *s, struct str stop, size_t before)
{
    for (size_t from = 0; from < s->seam && from + stop.len <= s->len; from++) {
        if (from + stop.len > before && memcmp(s->window + from, stop.ptr, stop.len) == 0) {
            return true;
        }
    }
    return false;
}

bool stops_add(struct stops *s, struct str text, struct arena *scratch)
{
    size_t before = s->len;
    size_t most = s->seam + s->cap / 2;
    if (s->len >= most || text.len == 0) {
        return false;
    }
    struct str plain = canonical_unescape(text, scratch);
    size_t size = plain.len < most - s->len ? plain.len : most - s->len;
    memcpy(s->window + s->len, plain.ptr, size);
    s->len += size;
    for (size_t i = 0; i < s->count; i++) {
        if (is_completed(s, s->stop[i], before)) {
            return true;
        }
    }
    return false;
}
