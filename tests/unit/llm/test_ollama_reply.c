#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "llm/ollama.h"
#include "quotes.h"
#include "wire/json.h"

#define WHEN "'created_at':'2026-01-01T00:00:00Z'"
#define SAYS(message) "{'model':'llama3'," WHEN ",'message':" message ",'done':false}"
#define DONE(more) "{'model':'llama3'," WHEN ",'done':true" more "}"
#define CHUNK                                                                    \
    "{'id':'chatcmpl-77','object':'chat.completion.chunk','created':1700000000," \
    "'model':'llama3','choices':["
#define DELTA(delta, more) CHUNK "{'index':0,'delta':" delta more "}]}"
#define OPEN ",'finish_reason':null"

static struct arena arena;

static void start(struct reply *r, bool include_usage)
{
    arena_init(&arena);
    *r = (struct reply){.dialect = &dialect_ollama,
                        .arena = &arena,
                        .choices = 1,
                        .include_usage = include_usage,
                        .id = STR("chatcmpl-77"),
                        .created = 1700000000};
    arena_init(&r->scratch);
}

static void stop(struct reply *r)
{
    arena_fini(&r->scratch);
    arena_fini(&arena);
}

static void assert_text(struct str text, const char *expected)
{
    struct arena a;
    char *copy = mem_dup(text);
    arena_init(&a);
    char *wanted = mem_dup(quotes(&a, expected));
    assert_string_equal(copy, wanted);
    free(wanted);
    free(copy);
    arena_fini(&a);
}

static enum err read_text(struct reply *r, const char *line, struct reply_event *ev)
{
    size_t at = 0;
    enum err e = dialect_ollama.read_event(r, quotes(r->arena, line), ev);
    if (e == ERR_OK) {
        assert_true(ev->chunk.len == 0 || json_check(ev->chunk, &at) == ERR_OK);
        assert_true(ev->usage_chunk.len == 0 || json_check(ev->usage_chunk, &at) == ERR_OK);
        assert_false(ev->is_verbatim);
    }
    return e;
}

static struct reply_event read_ok(struct reply *r, const char *line)
{
    struct reply_event ev;
    assert_int_equal(read_text(r, line, &ev), ERR_OK);
    return ev;
}

static void gives_the_role_with_the_first_chunk_only(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, SAYS("{'role':'assistant','content':'Hel'}"));
    assert_true(ev.has_content);
    assert_false(ev.has_finish || ev.all_finished || ev.is_done || ev.has_usage);
    assert_text(ev.chunk, DELTA("{'role':'assistant','content':'Hel'}", OPEN));
    ev = read_ok(&r, SAYS("{'role':'assistant','content':'lo'}"));
    assert_text(ev.chunk, DELTA("{'content':'lo'}", OPEN));
    assert_int_equal(ev.usage_chunk.len, 0);
    stop(&r);
}

static void keeps_text_as_it_is_escaped(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    r.role_sent = true;
    struct reply_event ev =
        read_ok(&r, SAYS("{'content':'\\u003cb\\u003e \\'\\\\\\n\xc3\xa9\\ud83d\\ude00'}"));
    assert_text(ev.chunk, DELTA("{'content':'\\u003cb\\u003e \\'\\\\\\n\xc3\xa9"
                                "\\ud83d\\ude00'}",
                                OPEN));
    stop(&r);
}

static void does_not_count_an_empty_line_as_progress(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, SAYS("{'role':'assistant','content':''}"));
    assert_false(ev.has_content);
    assert_text(ev.chunk, DELTA("{'role':'assistant','content':''}", OPEN));
    ev = read_ok(&r, SAYS("{'role':'assistant','content':''}"));
    assert_false(ev.has_content);
    assert_int_equal(ev.chunk.len, 0);
    stop(&r);
}

static void gives_thinking_as_reasoning(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, SAYS("{'content':'','thinking':'Hm'}"));
    assert_true(ev.has_content);
    assert_text(ev.chunk, DELTA("{'role':'assistant','content':'',"
                                "'reasoning_content':'Hm'}",
                                OPEN));
    ev = read_ok(&r, SAYS("{'content':'So','thinking':'.'}"));
    assert_text(ev.chunk, DELTA("{'content':'So','reasoning_content':'.'}", OPEN));
    stop(&r);
}

static void ends_with_finish_reason_and_usage(void **state)
{
    struct reply r;
    (void)state;
    start(&r, true);
    (void)read_ok(&r, SAYS("{'content':'Hi'}"));
    struct reply_event ev =
        read_ok(&r, DONE(",'message':{'role':'assistant','content':''},'done_reason':"
                         "'stop','total_duration':5,'prompt_eval_count':26,'eval_count':4"));
    assert_true(ev.has_finish && ev.all_finished && ev.is_done && ev.has_usage);
    assert_false(ev.has_content || ev.is_abort || ev.is_error);
    assert_text(ev.chunk, DELTA("{}", ",'finish_reason':'stop'"));
    assert_text(ev.usage_chunk, CHUNK "],'usage':{'prompt_tokens':26,'completion_tokens':4,"
                                      "'total_tokens':30}}");
    assert_int_equal(r.prompt_tokens, 26);
    assert_int_equal(r.completion_tokens, 4);
    assert_true(r.has_usage);
    assert_int_equal(r.finished, 1);
    stop(&r);
}

static void sends_no_usage_chunk_unasked(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, DONE(",'eval_count':3"));
    assert_int_equal(ev.usage_chunk.len, 0);
    assert_true(ev.has_usage && r.has_usage);
    assert_int_equal(r.prompt_tokens, 0);
    assert_int_equal(r.completion_tokens, 3);
    assert_text(ev.chunk,
                DELTA("{'role':'assistant','content':''}", ",'finish_reason':'stop'"));
    stop(&r);
}

static void maps_each_done_reason(void **state)
{
    static const struct {
        const char *line;
        const char *reason; /* NULL: abort */
    } cases[] = {
        {DONE(""), "'stop'"},
        {DONE(",'done_reason':''"), "'stop'"},
        {DONE(",'done_reason':null"), "'stop'"},
        {DONE(",'done_reason':'stop'"), "'stop'"},
        {DONE(",'done_reason':'length'"), "'length'"},
        {DONE(",'done_reason':'load'"), NULL},
        {DONE(",'done_reason':'unload'"), NULL},
        {DONE(",'done_reason':'cancelled'"), NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        start(&r, true);
        struct reply_event ev = read_ok(&r, cases[i].line);
        assert_true(ev.is_done);
        assert_int_equal(ev.is_abort, cases[i].reason == NULL);
        assert_int_equal(ev.has_finish, cases[i].reason != NULL);
        assert_int_equal(ev.all_finished, cases[i].reason != NULL);
        if (cases[i].reason) {
            assert_text(json_path(ev.chunk, "choices", "0", "finish_reason", NULL),
                        cases[i].reason);
        } else {
            assert_int_equal(ev.chunk.len + ev.usage_chunk.len, 0);
        }
        stop(&r);
    }
}

static void gives_content_and_finish_in_one_chunk(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev =
        read_ok(&r, DONE(",'message':{'content':'Bye'},'done_reason':'length'"));
    assert_true(ev.has_content && ev.has_finish);
    assert_text(ev.chunk,
                DELTA("{'role':'assistant','content':'Bye'}", ",'finish_reason':'length'"));
    stop(&r);
}

static void gives_tool_calls_whole_and_numbers_them(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    r.role_sent = true;
    struct reply_event ev =
        read_ok(&r, SAYS("{'content':'','tool_calls':[{'function':{'name':'f','arguments':"
                         "{'city':'K\\u00f6ln','n':[1]}}},{'id':'call_x','function':{'index':"
                         "1,'name':'g'}}]}"));
    assert_true(ev.has_content);
    assert_text(ev.chunk, DELTA("{'tool_calls':[{'index':0,'id':'call_chatcmpl-77_0','type':"
                                "'function','function':{'name':'f','arguments':"
                                "'{\\'city\\':\\'K\\\\u00f6ln\\',\\'n\\':[1]}'}},{'index':1,"
                                "'id':'call_x','type':'function','function':{'name':'g',"
                                "'arguments':'{}'}}]}",
                                OPEN));
    ev = read_ok(&r, SAYS("{'tool_calls':[{'id':'','function':{'name':'h',"
                          "'arguments':'{}'}}]}"));
    assert_text(ev.chunk, DELTA("{'tool_calls':[{'index':2,'id':'call_chatcmpl-77_2',"
                                "'type':'function','function':{'name':'h',"
                                "'arguments':'{}'}}]}",
                                OPEN));
    assert_true(r.any_tool_calls);
    assert_int_equal(r.tool_calls_sent, 3);
    ev = read_ok(&r, DONE(",'done_reason':'stop'"));
    assert_text(ev.chunk, DELTA("{}", ",'finish_reason':'tool_calls'"));
    stop(&r);
}

static void keeps_length_when_tools_were_called(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, DONE(",'message':{'tool_calls':[{'function':{"
                                             "'name':'f'}}]},'done_reason':'length'"));
    assert_text(json_path(ev.chunk, "choices", "0", "finish_reason", NULL), "'length'");
    stop(&r);
    start(&r, false);
    ev = read_ok(&r, DONE(",'message':{'tool_calls':[{'function':{'name':'f'}}]}"));
    assert_text(json_path(ev.chunk, "choices", "0", "finish_reason", NULL), "'tool_calls'");
    stop(&r);
}

static void makes_call_ids_of_at_most_40_characters(void **state)
{
    struct reply r;
    struct str id;
    (void)state;
    start(&r, false);
    r.id = STR("chatcmpl-0123456789abcdef0123456789abcdef0123456789abcdef");
    r.tool_calls_sent = 4000000000U;
    struct reply_event ev = read_ok(&r, SAYS("{'tool_calls':[{'function':{'name':'f'}}]}"));
    struct str delta = json_path(ev.chunk, "choices", "0", "delta", NULL);
    assert_int_equal(json_text(json_path(delta, "tool_calls", "0", "id", NULL), &arena, &id),
                     ERR_OK);
    assert_text(id, "call_89abcdef0123456789abcdef_4000000000");
    assert_int_equal(id.len, 40);
    stop(&r);
}

static void completes_logprobs(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    r.role_sent = true;
    struct reply_event ev =
        read_ok(&r, "{'model':'llama3','message':{'content':'a'},'logprobs':[{'token':"
                    "'a','logprob':-0.5 },{ },{'token':'b','logprob':-1,'bytes':[98],"
                    "'top_logprobs':[{'token':'c','logprob':-2}]}],'done':false}");
    assert_text(ev.chunk,
                DELTA("{'content':'a'}",
                      ",'logprobs':{'content':[{'token':'a','logprob':-0.5,'bytes':"
                      "null,'top_logprobs':[]},{'bytes':null,'top_logprobs':[]},{'token':"
                      "'b','logprob':-1,'bytes':[98],'top_logprobs':[{'token':'c',"
                      "'logprob':-2}]}]}" OPEN));
    stop(&r);
}

static void knows_an_error_line(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, "{'error':'an error was \\u0022encountered\\u0022'}");
    assert_true(ev.is_error);
    assert_false(ev.has_content || ev.is_done || ev.has_finish);
    assert_text(ev.error.message, "an error was 'encountered'");
    assert_int_equal(ev.error.status, 0);
    assert_int_equal(ev.chunk.len, 0);
    ev = read_ok(&r, "{'error':{'message':'m','type':'api_error','code':500}}");
    assert_true(ev.is_error);
    assert_text(ev.error.type, "api_error");
    assert_text(ev.error.code, "500");
    assert_int_equal(ev.error.status, 500);
    stop(&r);
}

static void does_not_take_a_null_error_for_one(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, "{'error':null,'message':{'content':'a'}}");
    assert_false(ev.is_error);
    assert_true(ev.has_content);
    assert_text(json_path(ev.chunk, "model", NULL), "''");
    stop(&r);
}

static void refuses_lines_of_another_shape(void **state)
{
    static const struct {
        const char *line;
        enum err err;
    } cases[] = {
        {"[]", ERR_TYPE},
        {"'x'", ERR_TYPE},
        {"null", ERR_TYPE},
        {"{}", ERR_TYPE},
        {"{'model':'m'}", ERR_TYPE},
        {"{'error':5}", ERR_TYPE},
        {"{'choices':[]}", ERR_TYPE},
        {"{'message':'x'}", ERR_TYPE},
        {"{'message':{},'done':1}", ERR_TYPE},
        {"{'message':{'content':5}}", ERR_TYPE},
        {"{'message':{'thinking':[]}}", ERR_TYPE},
        {"{'message':{'tool_calls':{}}}", ERR_TYPE},
        {"{'message':{'tool_calls':[5]}}", ERR_TYPE},
        {"{'message':{'tool_calls':[{'function':{'name':5}}]}}", ERR_TYPE},
        {"{'done':true,'done_reason':5}", ERR_TYPE},
        {"{'message':{},'logprobs':{}}", ERR_TYPE},
        {"", ERR_SYNTAX},
        {"{'message':{'content':'Hal", ERR_SYNTAX},
        {"<html>", ERR_SYNTAX},
        {"{'done':true} {}", ERR_SYNTAX},
        {"{'message':{'content':'\xff'}}", ERR_UTF8},
        {"{'done':false,'done':true}", ERR_DUPLICATE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        struct reply_event ev;
        start(&r, false);
        if (read_text(&r, cases[i].line, &ev) != cases[i].err) {
            fail_msg("%s", cases[i].line);
        }
        assert_int_equal(r.finished, 0);
        stop(&r);
    }
}

static void refuses_every_cut_of_a_line(void **state)
{
    static const char text[] = DONE(",'message':{'content':'H\\u00e9'},'eval_count':12");
    struct arena whole;
    (void)state;
    arena_init(&whole);
    struct str line = quotes(&whole, text);
    for (size_t len = 0; len < line.len; len++) {
        struct reply r;
        struct reply_event ev;
        start(&r, true);
        char *cut = malloc(len + 1); /* of its own, so that an overrun is seen */
        assert_non_null(cut);
        memcpy(cut, line.ptr, len);
        enum err e = dialect_ollama.read_event(&r, str_of(cut, len), &ev);
        assert_int_not_equal(e, ERR_OK);
        free(cut);
        stop(&r);
    }
    arena_fini(&whole);
}

static void refuses_lines_after_the_last_one(void **state)
{
    struct reply r;
    struct reply_event ev;
    (void)state;
    start(&r, false);
    (void)read_ok(&r, DONE(""));
    assert_int_equal(read_text(&r, SAYS("{'content':'x'}"), &ev), ERR_TYPE);
    assert_int_equal(read_text(&r, DONE(""), &ev), ERR_TYPE);
    assert_int_equal(r.finished, 1);
    stop(&r);
}

static void takes_odd_counts_for_zero(void **state)
{
    struct reply r;
    (void)state;
    start(&r, true);
    struct reply_event ev =
        read_ok(&r, DONE(",'prompt_eval_count':-1,'eval_count':99999999999999999999999"));
    assert_text(json_path(ev.usage_chunk, "usage", "total_tokens", NULL), "0");
    stop(&r);
}

static void quotes_the_id(void **state)
{
    struct reply r;
    struct str id;
    (void)state;
    start(&r, false);
    r.id = STR("a\"b");
    struct reply_event ev = read_ok(&r, SAYS("{'content':'x'}"));
    assert_int_equal(json_text(json_get(ev.chunk, "id"), &arena, &id), ERR_OK);
    assert_true(str_eq(id, r.id));
    stop(&r);
}

static void reads_a_whole_answer_through_the_front_door(void **state)
{
    static const char *const lines[] = {
        SAYS("{'role':'assistant','content':'One'}"), SAYS("{'content':' two'}"),
        DONE(",'done_reason':'stop','prompt_eval_count':5,'eval_count':2")};
    struct chat_request q = {.n = 1, .include_usage = true};
    struct reply_event ev = {.is_done = false};
    struct reply r;
    (void)state;
    arena_init(&arena);
    reply_init(&r, dialect_find(STR("ollama")), &q, &arena, STR("chatcmpl-77"));
    r.created = 1700000000;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_false(ev.is_done || ev.all_finished);
        assert_int_equal(reply_read_event(&r, quotes(&arena, lines[i]), &ev), ERR_OK);
        assert_text(json_get(ev.chunk, "id"), "'chatcmpl-77'");
    }
    assert_true(ev.is_done && ev.all_finished);
    assert_text(json_path(ev.usage_chunk, "usage", "total_tokens", NULL), "7");
    reply_fini(&r);
    arena_fini(&arena);
}

static void reads_error_bodies(void **state)
{
    static const struct {
        const char *body;
        bool is_read;
        const char *message;
        int status;
    } cases[] = {
        {"{'error':'model x not found'}\n", true, "model x not found", 0},
        {"{'error':{'message':'m','type':'t','param':'p','code':503}}", true, "m", 503},
        {"{'error':{'message':'m','code':'busy'}}", true, "m", 0},
        {"{'error':{'code':200}}", true, "", 0},
        {"{'error':''}", true, "", 0},
        {"{'error':null}", false, "", 0},
        {"{'error':5}", false, "", 0},
        {"{'models':[]}", false, "", 0},
        {"[1]", false, "", 0},
        {"", false, "", 0},
        {"404 page not found", false, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct upstream_error error = {.status = 0};
        arena_init(&arena);
        assert_int_equal(
            dialect_ollama.read_error(quotes(&arena, cases[i].body), &arena, &error),
            cases[i].is_read);
        assert_text(error.message, cases[i].message);
        assert_int_equal(error.status, cases[i].status);
        arena_fini(&arena);
    }
}

static void tells_the_text_and_the_kinds(void **state)
{
    struct reply r;
    (void)state;
    start(&r, true);
    struct reply_event ev = read_ok(&r, SAYS("{'role':'assistant','content':''}"));
    assert_true(ev.content.ptr != NULL && ev.content.len == 0);
    assert_false(ev.has_other || ev.has_content);
    ev = read_ok(&r, SAYS("{'content':'a\\/\\n'}"));
    assert_text(ev.content, "a\\/\\n");
    assert_false(ev.has_other);
    ev = read_ok(&r, SAYS("{'content':'','thinking':'Hm'}"));
    assert_text(ev.reasoning, "Hm");
    assert_true(ev.has_reasoning && ev.has_other && !ev.has_tool_call && !ev.has_unkept);
    ev = read_ok(&r, SAYS("{'content':'','tool_calls':[{'function':{'name':'f'}}]}"));
    assert_true(ev.has_tool_call && ev.has_other && !ev.has_reasoning && !ev.has_unkept);
    ev = read_ok(&r, DONE(",'prompt_eval_count':4,'eval_count':5"));
    assert_null(ev.content.ptr);
    assert_int_equal(ev.prompt_tokens, 4);
    assert_int_equal(ev.completion_tokens, 5);
    stop(&r);
    start(&r, true);
    ev = read_ok(&r, DONE(",'message':{'content':'x'},'done_reason':'unload'"));
    assert_true(ev.is_abort);
    assert_int_equal(ev.content.len, 0);
    stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_role_with_the_first_chunk_only),
        cmocka_unit_test(keeps_text_as_it_is_escaped),
        cmocka_unit_test(does_not_count_an_empty_line_as_progress),
        cmocka_unit_test(gives_thinking_as_reasoning),
        cmocka_unit_test(ends_with_finish_reason_and_usage),
        cmocka_unit_test(sends_no_usage_chunk_unasked),
        cmocka_unit_test(maps_each_done_reason),
        cmocka_unit_test(gives_content_and_finish_in_one_chunk),
        cmocka_unit_test(gives_tool_calls_whole_and_numbers_them),
        cmocka_unit_test(keeps_length_when_tools_were_called),
        cmocka_unit_test(makes_call_ids_of_at_most_40_characters),
        cmocka_unit_test(completes_logprobs),
        cmocka_unit_test(knows_an_error_line),
        cmocka_unit_test(does_not_take_a_null_error_for_one),
        cmocka_unit_test(refuses_lines_of_another_shape),
        cmocka_unit_test(refuses_every_cut_of_a_line),
        cmocka_unit_test(refuses_lines_after_the_last_one),
        cmocka_unit_test(takes_odd_counts_for_zero),
        cmocka_unit_test(quotes_the_id),
        cmocka_unit_test(reads_a_whole_answer_through_the_front_door),
        cmocka_unit_test(reads_error_bodies),
        cmocka_unit_test(tells_the_text_and_the_kinds),
    };
    return cmocka_run_group_tests_name("llm/ollama_reply", tests, NULL, NULL);
}
