#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "wire/sse.h"

/*
 * Decodes the input whole, byte by byte and cut by the input's own bytes: the events, their raw
 * bytes and the verdict must be the same. Each piece lies in memory of its own, so that a slice
 * that points into an earlier one is seen.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_EVENT = 256, MAX_NOTES = 1 << 24 };

/* All that a decoder said, in an unambiguous form. */
struct notes {
    struct buf text;
    enum err end;
    bool is_inside;
};

static void note_str(struct notes *n, struct str s)
{
    CHECK(buf_printf(&n->text, "%zu:", s.len) == ERR_OK);
    CHECK(buf_append(&n->text, s) == ERR_OK);
}

static bool lies_in(struct str part, struct str whole)
{
    return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void note(struct notes *n, const struct sse_event *ev)
{
    CHECK(ev->raw.len > 0 && ev->raw.len <= MAX_EVENT);
    CHECK(ev->name.len == 0 || lies_in(ev->name, ev->raw));
    if (ev->is_plain) {
        CHECK(ev->kind == SSE_EVENT && ev->name.len == 0 && lies_in(ev->data, ev->raw));
        CHECK(str_starts(ev->raw, STR("data:")));
        CHECK(str_ends(ev->raw, STR("\n\n")) || str_ends(ev->raw, STR("\r\n\r\n")));
        CHECK(!memchr(ev->data.ptr, '\n', ev->data.len));
        CHECK(!memchr(ev->data.ptr, '\r', ev->data.len));
    }
    CHECK(buf_printf(&n->text, "%d%d", (int)ev->kind, ev->is_plain) == ERR_OK);
    note_str(n, ev->data);
    note_str(n, ev->name);
    note_str(n, ev->raw);
}

static enum err feed(struct sse_decoder *d, struct str piece, struct notes *n)
{
    enum { EVENTS_HELD = 8 };
    struct sse_event held[EVENTS_HELD];
    size_t count = 0;
    char *copy = malloc(piece.len);
    CHECK(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    struct str in = str_of(copy, piece.len);
    struct sse_event ev;
    enum err e = sse_next(d, &in, &ev);
    for (; e == ERR_OK; e = sse_next(d, &in, &ev)) {
        /* Noted late: slices must live until the keep. */
        if (count == EVENTS_HELD) {
            for (size_t i = 0; i < count; i++) {
                note(n, &held[i]);
            }
            count = 0;
        }
        held[count++] = ev;
    }
    for (size_t i = 0; i < count; i++) {
        note(n, &held[i]);
    }
    e = e == ERR_AGAIN ? sse_keep(d, &in) : e;
    CHECK(e != ERR_OK || in.len == 0);
    free(copy);
    return e;
}

/* Pieces as long as the bytes of the text say, none over `longest`; 0: all in one. */
static struct notes decode(struct str text, size_t longest)
{
    struct sse_decoder d;
    struct notes n = {.end = ERR_OK};
    buf_init(&n.text, MAX_NOTES);
    sse_init(&d, MAX_EVENT);
    for (size_t at = 0; at < text.len && n.end == ERR_OK;) {
        size_t left = text.len - at;
        size_t len = longest == 0 ? left : 1 + (unsigned char)text.ptr[at] % longest;
        len = len < left ? len : left;
        n.end = feed(&d, str_of(text.ptr + at, len), &n);
        at += len;
    }
    n.is_inside = sse_is_inside(&d);
    sse_fini(&d);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t longest[] = {1, 2, 7, 64};
    struct str text = str_of((const char *)data, size);
    struct notes whole = decode(text, 0);
    for (size_t i = 0; i < sizeof(longest) / sizeof(longest[0]); i++) {
        struct notes split = decode(text, longest[i]);
        CHECK(str_eq(buf_str(&split.text), buf_str(&whole.text)));
        CHECK(split.end == whole.end);
        CHECK(split.end != ERR_OK || split.is_inside == whole.is_inside);
        buf_fini(&split.text);
    }
    buf_fini(&whole.text);
    return 0;
}
