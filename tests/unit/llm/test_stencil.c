#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/openai.h"
#include "quotes.h"

static struct arena arena;
static struct stencil stencil;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    stencil_init(&stencil);
    return 0;
}

static int end(void **state)
{
    (void)state;
    stencil_fini(&stencil);
    arena_fini(&arena);
    return 0;
}

/* Keeps a chunk in which the text is written between bars. */
static void keep(const char *barred)
{
    const char *from = strchr(barred, '|');
    const char *to = strrchr(barred, '|');
    struct str chunk =
        quotes(&arena, arena_printf(&arena, "%.*s%.*s%s", (int)(from - barred), barred,
                                    (int)(to - from) - 1, from + 1, to + 1)
                           .ptr);
    stencil_keep(&stencil, chunk, str_of(chunk.ptr + (from - barred), (size_t)(to - from) - 1));
}

static bool fits(const char *chunk, struct str *text)
{
    return stencil_fits(&stencil, quotes(&arena, chunk), text);
}

static void finds_the_text_of_a_chunk_that_differs_in_nothing_else(void **state)
{
    (void)state;
    struct str text;
    keep("{'a':'|the|','b':1}");
    assert_true(fits("{'a':'other text','b':1}", &text));
    assert_true(str_eq(text, STR("other text")));
    assert_true(fits("{'a':'x','b':1}", &text));
    assert_true(str_eq(text, STR("x")));
    assert_true(
        fits("{'a':'\\n\\u00e9\xc3\xa9\\'','b':1}", &text)); /* '\\'' is an escaped quote */
}

static void does_not_fit_what_differs_elsewhere(void **state)
{
    static const char *const others[] = {
        "",
        "{",
        "{'a':'','b':1}",             /* nothing between the quotes */
        "{'a':'the','b':2}",          /* behind it */
        "{'A':'the','b':1}",          /* before it */
        "{'a':'the','b':1} ",         /* longer */
        "{'a':'the','b':1",           /* shorter */
        "{'a':'x','b':1,'b':1}",      /* the text would hold a quote */
        "{'a':'\\','b':1}",           /* the quote behind it is escaped */
        "{'a':'\\x','b':1}",          /* no such escape */
        "{'a':'\\u12','b':1}",        /* cut escape */
        "{'a':'\\ud800','b':1}",      /* half a pair */
        "{'a':'\x01','b':1}",         /* control character */
        "{'a':'\n','b':1}",           /* line end */
        "{'a':'\xff','b':1}",         /* not UTF-8 */
        "{'a':'\xc3','b':1}",         /* cut UTF-8 */
        "{'a':'\xed\xa0\x80','b':1}", /* surrogate */
    };
    (void)state;
    struct str text;
    keep("{'a':'|the|','b':1}");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (fits(others[i], &text)) {
            fail_msg("fits: %s", others[i]);
        }
    }
}

static void fits_nothing_before_one_was_kept_and_after_it_was_dropped(void **state)
{
    (void)state;
    struct str text;
    assert_false(fits("{'a':'x','b':1}", &text));
    keep("{'a':'|the|','b':1}");
    stencil_drop(&stencil);
    assert_false(fits("{'a':'x','b':1}", &text));
    stencil_drop(&stencil);
    keep("{'c':'|the|'}");
    assert_true(fits("{'c':'x'}", &text));
    assert_false(fits("{'a':'x','b':1}", &text));
}

static void a_long_chunk_is_not_kept_and_the_one_before_is_forgotten(void **state)
{
    (void)state;
    struct str text;
    char *pad = arena_zalloc(&arena, 2000);
    keep("{'a':'|the|','b':1}");
    memset(pad, 'p', 1010);
    keep(arena_printf(&arena, "{'%s':'|the|'}", pad).ptr); /* a frame of 1018 bytes */
    assert_true(fits(arena_printf(&arena, "{'%s':'x'}", pad).ptr, &text));
    memset(pad, 'p', 1020);
    keep(arena_printf(&arena, "{'%s':'|the|'}", pad).ptr);
    assert_false(fits(arena_printf(&arena, "{'%s':'x'}", pad).ptr, &text));
    assert_false(fits("{'a':'x','b':1}", &text));
}

/* --- A reply understands the same with it as without it. --- */

#define CHUNK(delta, finish)                                                                  \
    "{'id':'c1','object':'chat.completion.chunk','created':7,'model':'m','choices':[{'index'" \
    ":0,'delta':{" delta "},'logprobs':null,'finish_reason':" finish "}]}"

static const char *const chunks[] = {
    CHUNK("'role':'assistant','content':''", "null"),
    CHUNK("'content':'a'", "null"),
    CHUNK("'content':' word'", "null"),
    CHUNK("'content':''", "null"),
    CHUNK("'content':'\\n'", "null"),
    CHUNK("'content':'\\u00e9\xc3\xa9'", "null"),
    CHUNK("'content':'\\q'", "null"),
    CHUNK("'content':'\xff'", "null"),
    CHUNK("'content':'a'", "'stop'"),
    CHUNK("'content':'b'", "'stop'"),
    CHUNK("'content':'b'", "'error'"),
    CHUNK("'content':'a','content':'b'", "null"),
    CHUNK("'content':'a','content':'c'", "null"),
    CHUNK("'content':'b','content':'b'", "null"),
    CHUNK("'content':'a','tool_calls':[{}]", "null"),
    CHUNK("'content':'b','tool_calls':[{}]", "null"),
    CHUNK("'content':'a','refusal':'x'", "null"),
    CHUNK("'content':'b','refusal':'x'", "null"),
    CHUNK("'content':'a','reasoning':''", "null"),
    CHUNK("'content':'b','reasoning':''", "null"),
    CHUNK("'content':null,'reasoning':'a'", "null"),
    CHUNK("'content':null,'reasoning':'b'", "null"),
    CHUNK("'content':'','reasoning':'a'", "null"),
    CHUNK("'content':'','reasoning':'b'", "null"),
    CHUNK("'reasoning_content':'a','reasoning':'a'", "null"),
    CHUNK("'reasoning_content':'b','reasoning':'b'", "null"),
    CHUNK("'reasoning_content':'a','reasoning':''", "null"),
    CHUNK("'reasoning_content':'b','reasoning':''", "null"),
    CHUNK("'content':7", "null"),
    CHUNK("", "null"),
    "{'choices':[{'index':1,'delta':{'content':'a'}}]}",
    "{'choices':[{'index':1,'delta':{'content':'b'}}]}",
    "{'choices':[{'delta':{'content':'a'}},{'delta':{'content':'x'}}]}",
    "{'choices':[{'delta':{'content':'b'}},{'delta':{'content':'x'}}]}",
    "{'choices':[{'delta':{'content':'a'}},{'delta':{'content':'y'}}]}",
    "{'choices':[{'delta':{'content':''}},{'delta':{'content':'x'}}]}",
    "{'choices':[{'delta':{'content':''}},{'delta':{'content':'y'}}]}",
    "{'choices':[{'delta':{'content':'a'}},{'index':3,'delta':{}}]}",
    "{'choices':[{'delta':{'content':'b'}},{'index':3,'delta':{}}]}",
    "{'choices':[{'delta':{'content':'a'}}],'usage':{'completion_tokens':3}}",
    "{'choices':[{'delta':{'content':'b'}}],'usage':{'completion_tokens':3}}",
    "{'choices':[{'delta':{'content':'a'}}],'error':{'message':'x'}}",
    "{'choices':[{'delta':{'content':'b'}}],'error':{'message':'x'}}",
    "{'choices':[{'delta':{'content':'a'}}],'error':null}",
    "{'choices':[{'delta':{'content':'b'}}],'error':null}",
    "{'choices':[],'usage':{'completion_tokens':3}}",
    "[DONE]",
};

static void assert_same_str(struct str a, struct str b)
{
    assert_ptr_equal(a.ptr, b.ptr);
    assert_int_equal(a.len, b.len);
}

static void assert_same_event(const struct reply_event *a, const struct reply_event *b)
{
    assert_int_equal(a->has_content, b->has_content);
    assert_int_equal(a->has_finish, b->has_finish);
    assert_int_equal(a->all_finished, b->all_finished);
    assert_int_equal(a->has_usage, b->has_usage);
    assert_int_equal(a->is_done, b->is_done);
    assert_int_equal(a->is_error, b->is_error);
    assert_int_equal(a->is_abort, b->is_abort);
    assert_int_equal(a->has_tool_call, b->has_tool_call);
    assert_int_equal(a->has_reasoning, b->has_reasoning);
    assert_int_equal(a->has_unkept, b->has_unkept);
    assert_int_equal(a->has_other, b->has_other);
    assert_same_str(a->content, b->content);
    assert_same_str(a->reasoning, b->reasoning);
    assert_int_equal(a->prompt_tokens, b->prompt_tokens);
    assert_int_equal(a->completion_tokens, b->completion_tokens);
    assert_same_str(a->chunk, b->chunk);
    assert_same_str(a->usage_chunk, b->usage_chunk);
    assert_int_equal(a->is_verbatim, b->is_verbatim);
}

/* One after the other; the second reply forgets its stencil in between. */
static void read_both_ways(const struct chat_request *q, struct str first, struct str second)
{
    struct reply by_stencil;
    struct reply in_full;
    struct reply_event a;
    struct reply_event b;
    reply_init(&by_stencil, &dialect_vllm, q, &arena, STR("id"));
    reply_init(&in_full, &dialect_vllm, q, &arena, STR("id"));
    assert_int_equal(reply_read_event(&by_stencil, first, &a),
                     reply_read_event(&in_full, first, &b));
    stencil_drop(&in_full.stencil);
    enum err ea = reply_read_event(&by_stencil, second, &a);
    enum err eb = reply_read_event(&in_full, second, &b);
    assert_int_equal(ea, eb);
    if (ea == ERR_OK) {
        assert_same_event(&a, &b);
        assert_int_equal(by_stencil.choices, in_full.choices);
        assert_int_equal(by_stencil.finished, in_full.finished);
        assert_int_equal(by_stencil.any_tool_calls, in_full.any_tool_calls);
        assert_int_equal(by_stencil.completion_tokens, in_full.completion_tokens);
    }
    reply_fini(&by_stencil);
    reply_fini(&in_full);
}

static void a_reply_understands_every_pair_of_chunks_as_without_it(void **state)
{
    enum { COUNT = sizeof(chunks) / sizeof(chunks[0]) };
    (void)state;
    struct chat_request q;
    struct bad_request bad;
    assert_int_equal(
        chat_request_read(quotes(&arena, "{'model':'m','messages':[{}]}"), &arena, &q, &bad),
        ERR_OK);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            read_both_ways(&q, quotes(&arena, chunks[i]), quotes(&arena, chunks[j]));
        }
    }
}

static void a_reply_goes_by_it_where_only_the_text_differs(void **state)
{
    (void)state;
    struct chat_request q;
    struct bad_request bad;
    struct reply r;
    struct reply_event ev;
    struct str text;
    assert_int_equal(
        chat_request_read(quotes(&arena, "{'model':'m','messages':[{}]}"), &arena, &q, &bad),
        ERR_OK);
    reply_init(&r, &dialect_vllm, &q, &arena, STR("id"));
    for (size_t i = 0; i < 2; i++) {
        const char *one = i == 0 ? CHUNK("'content':'a'", "null")
                                 : CHUNK("'content':null,'reasoning_content':'a'", "null");
        const char *two = i == 0 ? CHUNK("'content':'two'", "null")
                                 : CHUNK("'content':null,'reasoning_content':'two'", "null");
        assert_int_equal(reply_read_event(&r, quotes(&arena, one), &ev), ERR_OK);
        assert_true(stencil_fits(&r.stencil, quotes(&arena, two), &text));
        assert_true(str_eq(text, STR("two")));
    }
    reply_fini(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_the_text_of_a_chunk_that_differs_in_nothing_else),
        TEST(does_not_fit_what_differs_elsewhere),
        TEST(fits_nothing_before_one_was_kept_and_after_it_was_dropped),
        TEST(a_long_chunk_is_not_kept_and_the_one_before_is_forgotten),
        TEST(a_reply_understands_every_pair_of_chunks_as_without_it),
        TEST(a_reply_goes_by_it_where_only_the_text_differs),
    };
    return cmocka_run_group_tests_name("llm/stencil", tests, NULL, NULL);
}
