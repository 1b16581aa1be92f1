#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/dialect.h"
#include "llm/openai.h"
#include "quotes.h"

static struct arena arena;
static struct reply reply;

static struct chat_request ask(const char *members)
{
    struct chat_request q;
    struct bad_request bad;
    struct str body = arena_printf(&arena, "{'model':'m','messages':[{}]%s}", members);
    assert_int_equal(chat_request_read(quotes(&arena, body.ptr), &arena, &q, &bad), ERR_OK);
    return q;
}

static void begin_reply(const char *members)
{
    struct chat_request q = ask(members);
    reply_fini(&reply);
    reply_init(&reply, &dialect_vllm, &q, &arena, STR("id"));
    reply.created = 5;
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    arena_init(&reply.scratch);
    begin_reply("");
    return 0;
}

static int end(void **state)
{
    (void)state;
    reply_fini(&reply);
    arena_fini(&arena);
    return 0;
}

static void finds_a_dialect_by_its_name(void **state)
{
    (void)state;
    assert_ptr_equal(dialect_find(STR("vllm")), &dialect_vllm);
    assert_ptr_equal(dialect_find(STR("llamacpp")), &dialect_llamacpp);
    assert_ptr_equal(dialect_find(STR("openai")), &dialect_openai);
    assert_string_equal(dialect_find(STR("ollama"))->name, "ollama");
    assert_null(dialect_find(STR("VLLM")));
    assert_null(dialect_find(STR("")));
    assert_string_equal(dialect_vllm.probe_path, "/health");
    assert_string_equal(dialect_llamacpp.probe_path, "/health");
    assert_string_equal(dialect_openai.probe_path, "/v1/models");
    assert_string_equal(dialect_openai.chat_path, "/v1/chat/completions");
}

#define FINE "{'index':0,'message':{'role':'assistant','content':'x'},'finish_reason':'stop'}"

static void judges_whole_answers(void **state)
{
    static const struct {
        const char *body;
        enum whole_kind kind;
    } rows[] = {
        {" {'choices':[" FINE "]}\n", WHOLE_ANSWER},
        {"{'choices':[" FINE "," FINE "],'error':null}", WHOLE_ANSWER},
        {"{'choices':[{'message':{},'finish_reason':'length'}]}", WHOLE_ANSWER},
        {"{'choices':[{'message':{},'finish_reason':'abort'}]}", WHOLE_ABORTED},
        {"{'choices':[" FINE ",{'message':{},'finish_reason':'error'}]}", WHOLE_ABORTED},
        {"{'choices':[{'message':{},'finish_reason':null}]}", WHOLE_WRONG},
        {"{'choices':[{'message':{}}]}", WHOLE_WRONG},
        {"{'choices':[{'message':{},'finish_reason':7}]}", WHOLE_WRONG},
        {"{'choices':[{'message':'x','finish_reason':'stop'}]}", WHOLE_WRONG},
        {"{'choices':[{'message':null,'finish_reason':'stop'}]}", WHOLE_WRONG},
        {"{'choices':[{'delta':{},'finish_reason':'stop'}]}", WHOLE_WRONG},
        {"{'choices':['x']}", WHOLE_WRONG},
        {"{'choices':[]}", WHOLE_WRONG},
        {"{'choices':null}", WHOLE_WRONG},
        {"{'usage':{}}", WHOLE_WRONG},
        {"{}", WHOLE_WRONG},
        {"null", WHOLE_WRONG},
        {"[]", WHOLE_WRONG},
        {" {'choices':[" FINE, WHOLE_WRONG},
        {"{", WHOLE_WRONG},
        {"", WHOLE_NOT_JSON},
        {"  ", WHOLE_NOT_JSON},
        {"<html>", WHOLE_NOT_JSON},
        {"Internal Server Error", WHOLE_NOT_JSON},
        {"{'a':}", WHOLE_NOT_JSON},
    };
    struct upstream_error error;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum whole_kind kind = reply_read_whole(&reply, quotes(&arena, rows[i].body), &error);
        if (kind != rows[i].kind) {
            fail_msg("%s: %d", rows[i].body, (int)kind);
        }
    }
}

static void wants_every_choice_in_a_whole_answer(void **state)
{
    struct upstream_error error;
    (void)state;
    begin_reply(",'n':2");
    assert_int_equal(reply_read_whole(&reply, quotes(&arena, "{'choices':[" FINE "]}"), &error),
                     WHOLE_WRONG);
    assert_int_equal(
        reply_read_whole(&reply, quotes(&arena, "{'choices':[" FINE "," FINE "]}"), &error),
        WHOLE_ANSWER);
}

static void reads_the_usage_of_a_whole_answer(void **state)
{
    struct upstream_error error;
    struct str body = quotes(&arena, "{'choices':[" FINE "],'usage':{'prompt_tokens':4,"
                                     "'completion_tokens':'x'}}");
    (void)state;
    assert_int_equal(reply_read_whole(&reply, body, &error), WHOLE_ANSWER);
    assert_true(reply.has_usage);
    assert_int_equal(reply.prompt_tokens, 4);
    assert_int_equal(reply.completion_tokens, 0);
}

static void takes_no_cut_answer_for_a_whole_one(void **state)
{
    const char *whole = "{'id':'x','choices':[" FINE "],'usage':{'prompt_tokens':4}}";
    struct upstream_error error;
    (void)state;
    for (size_t len = 1; len < strlen(whole); len++) {
        struct str cut = arena_dup(&arena, str_of(quotes(&arena, whole).ptr, len));
        assert_int_equal(reply_read_whole(&reply, cut, &error), WHOLE_WRONG);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_a_dialect_by_its_name),          TEST(judges_whole_answers),
        TEST(wants_every_choice_in_a_whole_answer), TEST(reads_the_usage_of_a_whole_answer),
        TEST(takes_no_cut_answer_for_a_whole_one),
    };
    return cmocka_run_group_tests_name("llm/dialect", tests, NULL, NULL);
}
