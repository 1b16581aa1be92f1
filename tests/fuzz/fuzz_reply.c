#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "llm/dialect.h"
#include "llm/seam.h"
#include "llm/tool_hold.h"
#include "llm/transcript.h"
#include "wire/json.h"

/*
 * The payloads of a stream, one a line, behind a line with the dialect's name: each event goes
 * the way of an attempt's, and once more as that of an attempt which goes on with what the
 * first one gave. What comes out for the client must be JSON and agree with what is said of it.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TRANSCRIPT_MAX = 1 << 16 };

static void check_chunk(struct str chunk)
{
    size_t at;
    CHECK(chunk.len == 0 || json_check(chunk, &at) == ERR_OK);
    CHECK(chunk.len == 0 || json_type_of(json_value(chunk)) == JSON_OBJECT);
}

static void check_event(const struct reply_event *ev)
{
    bool is_failure = ev->is_error || ev->is_abort;
    check_chunk(ev->chunk);
    check_chunk(ev->usage_chunk);
    check_chunk(ev->tool_chunk);
    CHECK(!is_failure || ev->chunk.len == 0);
    CHECK(!ev->has_tool_call || ev->has_content);
    CHECK(ev->content.len == 0 || ev->has_content);
    CHECK(ev->reasoning.len == 0 || ev->has_content);
}

/* One event all the way; false: the attempt has failed by it. */
static bool take(struct reply *r, struct tool_hold *hold, struct seam *seam, struct str line,
                 struct transcript *t)
{
    struct reply_event ev;
    char *copy = malloc(line.len > 0 ? line.len : 1);
    CHECK(copy != NULL);
    memcpy(copy, line.ptr, line.len);
    enum err e = reply_read_event(r, str_of(copy, line.len), &ev);
    if (e == ERR_OK) {
        check_event(&ev);
        e = tool_hold_event(hold, &r->scratch, &ev);
    }
    if (e == ERR_OK && seam) {
        e = seam_event(seam, &r->scratch, &ev);
    }
    if (e == ERR_OK) {
        check_chunk(ev.chunk);
        check_chunk(ev.usage_chunk);
        check_chunk(ev.tool_chunk);
        transcript_add(t, &ev);
    }
    bool goes_on = e == ERR_OK && !ev.is_error && !ev.is_abort && !ev.is_done;
    free(copy);
    return goes_on;
}

static void play(const struct dialect *d, const struct chat_request *q, struct str lines,
                 struct transcript *t, bool is_later)
{
    struct reply r;
    struct seam seam;
    struct tool_hold hold;
    struct arena arena;
    arena_init(&arena);
    reply_init(&r, d, q, &arena, STR("chatcmpl-1"));
    tool_hold_init(&hold);
    if (is_later) {
        seam_init(&seam, t, d->trims_partial ? SEAM_TAIL : SEAM_CONTINUE, q, &arena);
    }
    bool goes_on = true;
    while (goes_on && lines.len > 0) {
        goes_on = take(&r, &hold, is_later ? &seam : NULL, str_cut(&lines, '\n'), t);
    }
    tool_hold_fini(&hold);
    reply_fini(&r);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct chat_request q = {
        .body = STR("{\"model\":\"m\",\"messages\":[{}],\"stop\":[\"END\"]}"),
        .n = 1,
        .include_usage = true};
    struct str text = str_of((const char *)data, size);
    const struct dialect *d = dialect_find(str_cut(&text, '\n'));
    struct transcript t;
    if (!d) {
        return 0;
    }
    transcript_init(&t, TRANSCRIPT_MAX);
    play(d, &q, text, &t, false);
    if (!t.is_lost) {
        play(d, &q, text, &t, true);
    }
    transcript_fini(&t);
    return 0;
}
