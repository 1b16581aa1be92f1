#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anthropic_events.h"
#include "llm/anthropic.h"
#include "quotes.h"
#include "wire/sse.h"

/* A whole stream, however it is cut. */

#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"

static const char stream[] = EVENT("message_start", START) EVENT("ping", "{'type':'ping'}")
    EVENT("content_block_start", BLOCK("{'type':'thinking','thinking':''}"))
        EVENT("content_block_delta", THINKING("'Hm'")) EVENT("content_block_stop", STOP_BLOCK)
            EVENT("content_block_start", BLOCK("{'type':'text','text':''}"))
                EVENT("content_block_delta", TEXT("'H\xc3\xa9llo'"))
                    EVENT("content_block_stop", STOP_BLOCK)
                        EVENT("content_block_start", CALL("toolu_1", "{}"))
                            EVENT("content_block_delta", INPUT("'{\\'a\\':1}'"))
                                EVENT("content_block_stop", STOP_BLOCK)
                                    EVENT("message_delta", STOP_FOR("'tool_use'"))
                                        EVENT("message_stop", STOP);

struct told {
    char chunks[8192];
    size_t len;
    bool is_done;
};

static void take_piece(struct reply *r, struct sse_decoder *d, struct str in, struct told *told)
{
    struct sse_event event;
    struct reply_event ev;
    char *copy = malloc(in.len + 1);
    assert_non_null(copy);
    memcpy(copy, in.ptr, in.len);
    struct str rest = str_of(copy, in.len);
    while (sse_next(d, &rest, &event) == ERR_OK) {
        assert_int_equal(reply_read_event(r, event.data, &ev), ERR_OK);
        assert_true(told->len + ev.chunk.len < sizeof(told->chunks));
        if (ev.chunk.len > 0) {
            memcpy(told->chunks + told->len, ev.chunk.ptr, ev.chunk.len);
            told->len += ev.chunk.len;
        }
        told->is_done = ev.is_done;
    }
    assert_int_equal(sse_keep(d, &rest), ERR_OK);
    free(copy);
}

static void play_cut(struct str text, size_t cut, struct told *told)
{
    const struct chat_request q = {.n = 1, .include_usage = true};
    struct arena arena;
    struct reply r;
    struct sse_decoder d;
    *told = (struct told){.len = 0};
    arena_init(&arena);
    reply_init(&r, &dialect_anthropic, &q, &arena, STR("chatcmpl-77"));
    sse_init(&d, 4096);
    take_piece(&r, &d, str_of(text.ptr, cut), told);
    take_piece(&r, &d, str_from_at(text, cut), told);
    sse_fini(&d);
    reply_fini(&r);
    arena_fini(&arena);
}

static void tells_the_same_wherever_the_stream_is_cut(void **state)
{
    struct told whole;
    struct told told;
    struct arena a;
    (void)state;
    arena_init(&a);
    struct str text = quotes(&a, stream);
    play_cut(text, 0, &whole);
    assert_true(whole.is_done);
    assert_true(str_has(str_of(whole.chunks, whole.len), STR("\"H\xc3\xa9llo\"")));
    for (size_t cut = 1; cut < text.len; cut++) {
        play_cut(text, cut, &told);
        assert_true(told.is_done);
        assert_int_equal(told.len, whole.len);
        assert_memory_equal(told.chunks, whole.chunks, whole.len);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_same_wherever_the_stream_is_cut),
    };
    return cmocka_run_group_tests_name("llm/anthropic_stream", tests, NULL, NULL);
}
