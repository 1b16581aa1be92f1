#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "wire/ndjson.h"

/*
 * Decodes the input whole, byte by byte and cut by the input's own bytes: the lines and the
 * verdict must be the same. Each piece lies in memory of its own, so that a slice that points
 * into an earlier one is seen.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINE = 128, MAX_NOTES = 1 << 24 };

struct notes {
    struct buf text;
    enum err end;
};

static void note(struct notes *n, struct str line)
{
    CHECK(line.len > 0 && line.len <= MAX_LINE && !memchr(line.ptr, '\n', line.len));
    CHECK(buf_append(&n->text, line) == ERR_OK);
    CHECK(buf_append(&n->text, STR("\n")) == ERR_OK);
}

static enum err feed(struct ndjson_decoder *d, struct str piece, struct notes *n)
{
    struct str line;
    struct str first = STR_NONE;
    char *copy = malloc(piece.len);
    CHECK(copy != NULL);
    memcpy(copy, piece.ptr, piece.len);
    struct str in = str_of(copy, piece.len);
    enum err e = ndjson_next(d, &in, &line);
    for (; e == ERR_OK; e = ndjson_next(d, &in, &line)) {
        /* Each is noted when the next has come: slices must live until the keep. */
        if (first.len > 0) {
            note(n, first);
        }
        first = line;
    }
    if (first.len > 0) {
        note(n, first);
    }
    e = e == ERR_AGAIN ? ndjson_keep(d, &in) : e;
    CHECK(e != ERR_OK || in.len == 0);
    free(copy);
    return e;
}

/* Pieces as long as the bytes of the text say, none over `longest`; 0: all in one. */
static struct notes decode(struct str text, size_t longest)
{
    struct ndjson_decoder d;
    struct str line;
    struct notes n = {.end = ERR_OK};
    buf_init(&n.text, MAX_NOTES);
    ndjson_init(&d, MAX_LINE);
    for (size_t at = 0; at < text.len && n.end == ERR_OK;) {
        size_t left = text.len - at;
        size_t len = longest == 0 ? left : 1 + (unsigned char)text.ptr[at] % longest;
        len = len < left ? len : left;
        n.end = feed(&d, str_of(text.ptr + at, len), &n);
        at += len;
    }
    if (n.end == ERR_OK) {
        bool is_inside = ndjson_is_inside(&d);
        enum err e = ndjson_last(&d, &line);
        CHECK(e == (is_inside ? ERR_OK : ERR_EOF));
        if (e == ERR_OK) {
            note(&n, line);
        }
    }
    ndjson_fini(&d);
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
        buf_fini(&split.text);
    }
    buf_fini(&whole.text);
    return 0;
}
