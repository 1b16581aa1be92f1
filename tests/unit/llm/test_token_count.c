#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/token_count.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void assert_body(struct str is, const char *wanted)
{
    assert_true(str_eq(is, quotes(&arena, wanted)));
}

static void asks_each_server_in_its_own_words(void **state)
{
    (void)state;
    const struct str parts[] = {STR("so "), STR("it \\\"is\\\"\\n")};
    assert_body(token_count_ask(dialect_find(STR("vllm")), STR("my/model"), parts, &arena),
                "{'model':'my/model','prompt':'so it \\'is\\'\\n','add_special_tokens':false,"
                "'add_special':false}");
    struct str body = token_count_ask(dialect_find(STR("llamacpp")), STR("m"), parts, &arena);
    assert_true(str_eq(json_get(body, "content"), STR("\"so it \\\"is\\\"\\n\"")));
    size_t at;
    assert_int_equal(json_check(body, &at), ERR_OK);
}

static void a_part_may_be_empty(void **state)
{
    (void)state;
    const struct str parts[] = {STR_NONE, STR("x")};
    struct str body = token_count_ask(dialect_find(STR("vllm")), STR("m"), parts, &arena);
    assert_true(str_eq(json_get(body, "prompt"), STR("\"x\"")));
}

static struct str ask_prompt(const char *dialect, const char *request)
{
    struct chat_request q;
    struct bad_request bad;
    assert_int_equal(chat_request_read(quotes(&arena, request), &arena, &q, &bad), ERR_OK);
    return token_count_ask_prompt(dialect_find(str_from(dialect)), STR("up"), &q, &arena);
}

static void asks_for_the_prompt_of_a_conversation(void **state)
{
    (void)state;
    assert_body(ask_prompt("vllm", "{'model':'m','messages':[{'role':'user','content':'x'}]}"),
                "{'model':'up','messages':[{'role':'user','content':'x'}]}");
    assert_body(ask_prompt("vllm", "{'model':'m','messages':[{}],'tools':[1],'n':1}"),
                "{'model':'up','messages':[{}],'tools':[1]}");
    assert_body(ask_prompt("vllm", "{'model':'m','messages':[{}],'tools':null}"),
                "{'model':'up','messages':[{}]}");
    assert_int_equal(ask_prompt("llamacpp", "{'model':'m','messages':[{}]}").len, 0);
}

static void only_servers_with_a_tokenizer_are_asked(void **state)
{
    (void)state;
    assert_non_null(dialect_find(STR("vllm"))->count_path);
    assert_non_null(dialect_find(STR("llamacpp"))->count_path);
    assert_null(dialect_find(STR("ollama"))->count_path);
    assert_null(dialect_find(STR("openai"))->count_path);
    assert_null(dialect_find(STR("anthropic"))->count_path);
}

static void reads_a_count_or_counts_the_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum err e;
        uint64_t count;
    } cases[] = {
        {"{'count':3,'max_model_len':1024,'tokens':[7,8,9],'token_strs':null}", ERR_OK, 3},
        {"{'tokens':[1,2,3,4]}", ERR_OK, 4},
        {"{'tokens':[{'id':1,'piece':'a'},{'id':2,'piece':[195]}]}", ERR_OK, 2},
        {"{'tokens':[]}", ERR_OK, 0},
        {" {'count':0} ", ERR_OK, 0},
        {"{'count':'x'}", ERR_TYPE, 0},
        {"{'count':-1}", ERR_TYPE, 0},
        {"[1,2]", ERR_TYPE, 0},
        {"{}", ERR_TYPE, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t count = 0;
        assert_int_equal(token_count_read(quotes(&arena, cases[i].body), &count), cases[i].e);
        assert_int_equal(count, cases[i].count);
    }
    uint64_t count = 0;
    assert_int_not_equal(token_count_read(STR("<html>"), &count), ERR_OK);
    assert_int_not_equal(token_count_read(STR(""), &count), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(asks_each_server_in_its_own_words, begin, end),
        cmocka_unit_test_setup_teardown(a_part_may_be_empty, begin, end),
        cmocka_unit_test_setup_teardown(asks_for_the_prompt_of_a_conversation, begin, end),
        cmocka_unit_test(only_servers_with_a_tokenizer_are_asked),
        cmocka_unit_test_setup_teardown(reads_a_count_or_counts_the_tokens, begin, end),
    };
    return cmocka_run_group_tests_name("llm/token_count", tests, NULL, NULL);
}
