#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/assembly.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;
static struct assembly *as;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    as = assembly_new();
    return 0;
}

static int end(void **state)
{
    (void)state;
    assembly_free(&as);
    assert_null(as);
    assembly_free(&as);
    arena_fini(&arena);
    return 0;
}

static enum err add(const char *chunk)
{
    struct str text = quotes(&arena, chunk);
    size_t at;
    assert_int_equal(json_check(text, &at), ERR_OK);
    return assembly_add(as, text);
}

static void add_all(const char *const *chunks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(add(chunks[i]), ERR_OK);
    }
}

#define ADD_ALL(...)                            \
    add_all((const char *const[]){__VA_ARGS__}, \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void assert_whole(const char *expected)
{
    struct str wanted = quotes(&arena, expected);
    struct str json = assembly_json(as, &arena);
    size_t at;
    assert_int_equal(json_check(json, &at), ERR_OK);
    if (!str_eq(json, wanted)) {
        fail_msg("got %.*s, not %.*s", STR_FMT(json), STR_FMT(wanted));
    }
}

#define HEAD "'id':'c-1','object':'chat.completion.chunk','created':5,'model':'m',"
#define WHOLE_HEAD "{'id':'c-1','created':5,'model':'m','object':'chat.completion','choices':"

static void joins_the_text_of_one_choice(void **state)
{
    (void)state;
    ADD_ALL("{" HEAD "'choices':[{'index':0,'delta':{'role':'assistant','content':''},"
            "'logprobs':null,'finish_reason':null}]}",
            "{" HEAD "'choices':[{'index':0,'delta':{'content':'Hel\\u006c'}}]}",
            "{" HEAD "'choices':[{'index':0,'delta':{'content':'o \\ud83d\\ude00\\n'}}]}",
            "{" HEAD "'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}",
            "{" HEAD "'choices':[],'usage':{'prompt_tokens':3,'completion_tokens':2}}");
    assert_whole(WHOLE_HEAD "[{'index':0,'message':{'role':'assistant',"
                            "'content':'Hel\\u006co \\ud83d\\ude00\\n'},'logprobs':null,"
                            "'finish_reason':'stop'}],"
                            "'usage':{'prompt_tokens':3,'completion_tokens':2}}");
}

#define PIECE(delta) "{" HEAD "'choices':[{'index':0,'delta':{" delta "}}]}"

static void a_chunk_like_the_last_is_added_by_its_text_alone(void **state)
{
    (void)state;
    ADD_ALL(PIECE("'role':'assistant','content':''"));
    assert_false(assembly_may_repeat(as)); /* it had no text */
    ADD_ALL(PIECE("'content':'a'"));
    assert_true(assembly_may_repeat(as));
    assert_int_equal(assembly_add_text(as, STR("\\u00e9")), ERR_OK);
    assert_int_equal(assembly_add_text(as, STR(" b")), ERR_OK);
    ADD_ALL(PIECE("'content':'c'"),
            "{" HEAD "'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]}");
    assert_false(assembly_may_repeat(as));
    assert_whole(WHOLE_HEAD "[{'index':0,'message':{'role':'assistant',"
                            "'content':'a\\u00e9 bc'},'logprobs':null,"
                            "'finish_reason':'stop'}]}");
}

static void reasoning_is_repeated_where_it_came(void **state)
{
    (void)state;
    ADD_ALL(PIECE("'content':''"), PIECE("'reasoning_content':'x'"));
    assert_true(assembly_may_repeat(as));
    assert_int_equal(assembly_add_text(as, STR("y")), ERR_OK);
    ADD_ALL(PIECE("'content':'c'"));
    assert_int_equal(assembly_add_text(as, STR("d")), ERR_OK);
    assert_whole(WHOLE_HEAD "[{'index':0,'message':{'role':'assistant','content':'cd',"
                            "'reasoning_content':'xy'},'logprobs':null,"
                            "'finish_reason':null}]}");
}

static void what_adds_more_than_one_text_is_not_repeated(void **state)
{
    static const char *const CHUNKS[] = {
        PIECE("'content':'a','refusal':'b'"),
        PIECE("'content':'a','unknown':'b'"),
        PIECE("'content':'a','list':[1]"),
        PIECE("'content':'a','tool_calls':[{'index':0,'id':'t','function':{'name':'f'}}]"),
        PIECE("'content':'a','function_call':{'name':'f'}"),
        "{" HEAD "'choices':[{'index':0,'delta':{'content':'a'},'logprobs':{'content':[1]}}]}",
        "{" HEAD "'choices':[{'index':0,'delta':{'content':'a'},'token_ids':[1]}]}",
        "{" HEAD "'choices':[{'index':0,'delta':{'content':'a'}},"
        "{'index':1,'delta':{'content':'b'}}]}",
        "{" HEAD "'choices':[{'index':0,'delta':{'content':'a'}},"
        "{'index':7,'delta':{'content':''}}]}",
    };
    (void)state;
    ADD_ALL(PIECE("'role':'assistant','content':''"));
    for (size_t i = 0; i < sizeof(CHUNKS) / sizeof(CHUNKS[0]); i++) {
        ADD_ALL(CHUNKS[i]);
        assert_false(assembly_may_repeat(as));
    }
}

static void a_repeated_text_counts_for_the_limit(void **state)
{
    struct assembly *small = assembly_new_within(400);
    struct str first = quotes(&arena, PIECE("'content':''"));
    struct str second = quotes(&arena, PIECE("'content':'a'"));
    enum err e = ERR_OK;
    int count = 0;
    (void)state;
    assert_int_equal(assembly_add(small, first), ERR_OK);
    assert_int_equal(assembly_add(small, second), ERR_OK);
    while (e == ERR_OK && count < 1000) {
        e = assembly_add_text(small, STR("0123456789"));
        count++;
    }
    assert_int_equal(e, ERR_TOO_LARGE);
    assert_in_range(count, 20, 40);
    assembly_free(&small);
}

static void keeps_the_first_name_and_the_last_usage(void **state)
{
    (void)state;
    ADD_ALL("{'id':null,'choices':[],'usage':null,'system_fingerprint':null}",
            "{'id':'a','created':1,'model':'x','choices':[{'index':0,'delta':{'content':'t'}}],"
            "'usage':{'completion_tokens':1},'system_fingerprint':'f1','service_tier':'s1'}",
            "{'id':'b','created':2,'model':'y','choices':[{'index':0,'delta':{},"
            "'finish_reason':'length'}],'usage':null,'system_fingerprint':'f2',"
            "'service_tier':'s2'}",
            "{'id':'b','choices':[],'usage':{'completion_tokens':2}}");
    assert_whole("{'id':'a','created':1,'model':'x','object':'chat.completion','choices':["
                 "{'index':0,'message':{'role':'assistant','content':'t'},'logprobs':null,"
                 "'finish_reason':'length'}],'usage':{'completion_tokens':2},"
                 "'system_fingerprint':'f1','service_tier':'s1'}");
}

static void leaves_usage_out_when_none_came(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':{'content':'t'},'finish_reason':'stop'}],'usage':"
            "null}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{'role':'assistant',"
        "'content':'t'},'logprobs':null,'finish_reason':'stop'}]}");
}

static void sorts_the_choices(void **state)
{
    (void)state;
    ADD_ALL(
        "{'choices':[{'index':2,'delta':{'content':'c'}}]}",
        "{'choices':[{'index':0,'delta':{'content':'a'}},{'index':1,'delta':{'content':'b'}}]}",
        "{'choices':[{'index':1,'delta':{'content':'B'},'finish_reason':'stop'}]}",
        "{'choices':[{'index':2,'delta':{'content':'C'},'finish_reason':'length'},"
        "{'index':0,'delta':{'content':'A'},'finish_reason':'stop'}]}");
    assert_whole("{'object':'chat.completion','choices':["
                 "{'index':0,'message':{'role':'assistant','content':'aA'},'logprobs':null,"
                 "'finish_reason':'stop'},"
                 "{'index':1,'message':{'role':'assistant','content':'bB'},'logprobs':null,"
                 "'finish_reason':'stop'},"
                 "{'index':2,'message':{'role':'assistant','content':'cC'},'logprobs':null,"
                 "'finish_reason':'length'}]}");
}

static void joins_tool_calls_by_index(void **state)
{
    (void)state;
    ADD_ALL(
        "{'choices':[{'index':0,'delta':{'role':'assistant','content':null,'tool_calls':["
        "{'index':0,'id':'t0','type':'function','function':{'name':'f','arguments':''}}]}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[{'index':1,'id':'t1','type':'function',"
        "'function':{'name':'g','arguments':'{'}},"
        "{'index':0,'function':{'arguments':'{\\'x\\':'}}]}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':null,'type':null,"
        "'function':{'name':null,'arguments':'1}'}}]}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[{'index':1,'id':'',"
        "'function':{'name':'','arguments':'}'}}]}}]}",
        "{'choices':[{'index':0,'delta':{},'finish_reason':'tool_calls'}]}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{"
        "'role':'assistant','content':null,'tool_calls':["
        "{'id':'t0','type':'function','function':{'name':'f','arguments':'{\\'x\\':1}'}},"
        "{'id':'t1','type':'function','function':{'name':'g','arguments':'{}'}}]},"
        "'logprobs':null,'finish_reason':'tool_calls'}]}");
}

static void keeps_content_beside_tool_calls(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':{'content':'Let me see'}}]}",
            "{'choices':[{'index':0,'delta':{'content':'','tool_calls':[{'index':0,'id':'t',"
            "'function':{'name':'f'}}]},'finish_reason':'tool_calls'}]}");
    assert_whole("{'object':'chat.completion','choices':[{'index':0,'message':{"
                 "'role':'assistant','content':'Let me see','tool_calls':["
                 "{'id':'t','type':'function','function':{'name':'f','arguments':''}}]},"
                 "'logprobs':null,'finish_reason':'tool_calls'}]}");
}

static void tells_calls_without_index_by_their_ids(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':{'tool_calls':[{'id':'a','function':{'name':'f',"
            "'arguments':'{}'}}]}}]}",
            "{'choices':[{'index':0,'delta':{'tool_calls':[{'id':'b','function':{'name':'g',"
            "'arguments':'{}'},'extra_content':{'k':[1]}}]},'finish_reason':'stop'}]}");
    assert_whole("{'object':'chat.completion','choices':[{'index':0,'message':{"
                 "'role':'assistant','content':null,'tool_calls':["
                 "{'id':'a','type':'function','function':{'name':'f','arguments':'{}'}},"
                 "{'id':'b','type':'function','function':{'name':'g','arguments':'{}'},"
                 "'extra_content':{'k':[1]}}]},'logprobs':null,'finish_reason':'stop'}]}");
}

static void joins_the_old_function_call(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':{'function_call':{'name':'f','arguments':'{'}}}]}",
            "{'choices':[{'index':0,'delta':{'function_call':{'arguments':'}'}},"
            "'finish_reason':'function_call'}]}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{"
        "'role':'assistant','content':null,'function_call':{'name':'f','arguments':'{}'}},"
        "'logprobs':null,'finish_reason':'function_call'}]}");
}

static void keeps_reasoning_under_the_name_it_came_by(void **state)
{
    static const char *const names[] = {"reasoning", "reasoning_content", "refusal"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assembly_free(&as);
        as = assembly_new();
        const char *n = names[i];
        struct str half = arena_printf(
            &arena, "{'choices':[{'index':0,'delta':{'%s':'ab','audio':null}}]}", n);
        struct str whole = arena_printf(
            &arena,
            "{'object':'chat.completion','choices':[{'index':0,'message':{'role':'assistant',"
            "'content':'t','%s':'abab'},'logprobs':null,'finish_reason':'stop'}]}",
            n);
        ADD_ALL(half.ptr, half.ptr,
                "{'choices':[{'index':0,'delta':{'content':'t'},'finish_reason':'stop'}]}");
        assert_whole(whole.ptr);
    }
}

static void joins_logprobs_without_touching_a_digit(void **state)
{
    (void)state;
    ADD_ALL(
        "{'choices':[{'index':0,'delta':{'content':'a'},'logprobs':{'content':["
        "{'token':'a','logprob':-0.10000000149011612}],'refusal':null}}]}",
        "{'choices':[{'index':0,'delta':{'content':''},'logprobs':{'content':[]}}]}",
        "{'choices':[{'index':0,'delta':{'content':'bc'},'logprobs':{'content':["
        "{'token':'b','logprob':-1e-7},{'token':'c','logprob':0}]},'finish_reason':'stop'}]}");
    assert_whole("{'object':'chat.completion','choices':[{'index':0,'message':{"
                 "'role':'assistant','content':'abc'},'logprobs':{'content':["
                 "{'token':'a','logprob':-0.10000000149011612},{'token':'b','logprob':-1e-7},"
                 "{'token':'c','logprob':0}],'refusal':null},'finish_reason':'stop'}]}");
}

static void keeps_what_it_does_not_know(void **state)
{
    (void)state;
    ADD_ALL(
        "{'choices':[{'index':0,'delta':{'content':'a'},'token_ids':[1,2],'stop_reason':null}],"
        "'timings':{'n':1},'prompt_token_ids':[9,8],'obfuscation':'xyz'}",
        "{'choices':[{'index':0,'delta':{'content':'b'},'token_ids':[3],'stop_reason':'END',"
        "'finish_reason':'stop'}],'timings':{'n':12345678901234567890}}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{"
        "'role':'assistant','content':'ab'},'logprobs':null,'finish_reason':'stop',"
        "'token_ids':[1,2,3],'stop_reason':'END'}],'timings':{'n':12345678901234567890},"
        "'prompt_token_ids':[9,8]}");
}

static void gives_an_empty_answer_its_empty_text(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':{'role':'assistant','content':''}}]}",
            "{'choices':[{'index':0,'delta':{},'finish_reason':'length'}]}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{"
        "'role':'assistant','content':''},'logprobs':null,'finish_reason':'length'}]}");
}

static void takes_a_finish_chunk_without_a_delta(void **state)
{
    (void)state;
    ADD_ALL("{'choices':[{'index':0,'delta':null,'finish_reason':''}]}",
            "{'choices':[{'index':0,'finish_reason':'stop'}]}");
    assert_whole(
        "{'object':'chat.completion','choices':[{'index':0,'message':{"
        "'role':'assistant','content':null},'logprobs':null,'finish_reason':'stop'}]}");
}

static void refuses_what_is_no_chunk(void **state)
{
    static const char *const bad[] = {
        "[]",
        "'x'",
        "{}",
        "{'choices':null}",
        "{'usage':null}",
        "{'choices':{}}",
        "{'choices':[1]}",
        "{'choices':[{'index':-1}]}",
        "{'choices':[{'index':128}]}",
        "{'choices':[{'index':'0'}]}",
        "{'choices':[{'index':0,'delta':'x'}]}",
        "{'choices':[{'index':0,'delta':{'content':5}}]}",
        "{'choices':[{'index':0,'delta':{'content':['x']}}]}",
        "{'choices':[{'index':0,'delta':{'c\\u006fntent':'x'}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':{}}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[5]}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[{'function':{'arguments':'x'}}]}}]}",
        "{'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'function':'f'}]}}]}",
        "{'choices':[{'delta':{'tool_calls':[{'index':0,'function':{'arguments':5}}]}}]}",
        "{'choices':[{'index':0,'delta':{'function_call':[]}}]}",
        "{'choices':[{'index':0,'logprobs':[]}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assembly_free(&as);
        as = assembly_new();
        enum err e = add(bad[i]);
        if (e != ERR_TYPE) {
            fail_msg("%s: %s", bad[i], err_name(e));
        }
    }
}

static struct str long_chunk(size_t len)
{
    struct str open = STR("{\"choices\":[{\"delta\":{\"content\":\"");
    struct str close = STR("\"}}]}");
    char *text = arena_alloc(&arena, open.len + len + close.len);
    memcpy(text, open.ptr, open.len);
    memset(text + open.len, 'x', len);
    memcpy(text + open.len + len, close.ptr, close.len);
    return str_of(text, open.len + len + close.len);
}

static void stops_at_the_limit(void **state)
{
    const size_t half = ASSEMBLY_MAX / 2;
    (void)state;
    assert_int_equal(assembly_add(as, long_chunk(half)), ERR_OK);
    assert_int_equal(assembly_add(as, long_chunk(half - strlen("content"))), ERR_OK);
    assert_int_equal(assembly_add(as, long_chunk(0)), ERR_OK);
    assert_int_equal(assembly_add(as, long_chunk(1)), ERR_TOO_LARGE);
}

static void does_not_count_what_was_replaced(void **state)
{
    struct str value = long_chunk(1024 * 1024);
    struct str chunk =
        arena_printf(&arena, "{\"choices\":[],\"timings\":%.*s}", STR_FMT(value));
    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(assembly_add(as, chunk), ERR_OK);
    }
}

static void stops_at_too_many_tool_calls(void **state)
{
    enum err e = ERR_OK;
    int count = 0;
    (void)state;
    while (e == ERR_OK && count < 2000) {
        struct str chunk = arena_printf(
            &arena, "{'choices':[{'delta':{'tool_calls':[{'index':%d,'id':'x'}]}}]}", count);
        e = add(chunk.ptr);
        count += e == ERR_OK;
    }
    assert_int_equal(e, ERR_TOO_LARGE);
    assert_int_equal(count, 1024);
}

static void stops_at_too_many_names(void **state)
{
    enum err e = ERR_OK;
    (void)state;
    for (int i = 0; i < 10000 && e == ERR_OK; i++) {
        e = add(arena_printf(&arena, "{'choices':[],'x%d':0}", i).ptr);
    }
    assert_int_equal(e, ERR_TOO_LARGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(joins_the_text_of_one_choice),
        TEST(a_chunk_like_the_last_is_added_by_its_text_alone),
        TEST(reasoning_is_repeated_where_it_came),
        TEST(what_adds_more_than_one_text_is_not_repeated),
        TEST(a_repeated_text_counts_for_the_limit),
        TEST(keeps_the_first_name_and_the_last_usage),
        TEST(leaves_usage_out_when_none_came),
        TEST(sorts_the_choices),
        TEST(joins_tool_calls_by_index),
        TEST(keeps_content_beside_tool_calls),
        TEST(tells_calls_without_index_by_their_ids),
        TEST(joins_the_old_function_call),
        TEST(keeps_reasoning_under_the_name_it_came_by),
        TEST(joins_logprobs_without_touching_a_digit),
        TEST(keeps_what_it_does_not_know),
        TEST(gives_an_empty_answer_its_empty_text),
        TEST(takes_a_finish_chunk_without_a_delta),
        TEST(refuses_what_is_no_chunk),
        TEST(stops_at_the_limit),
        TEST(does_not_count_what_was_replaced),
        TEST(stops_at_too_many_tool_calls),
        TEST(stops_at_too_many_names),
    };
    return cmocka_run_group_tests_name("llm/assembly", tests, NULL, NULL);
}
