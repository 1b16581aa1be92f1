#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/ollama.h"
#include "llm/openai.h"
#include "llm/resume.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;
static struct transcript transcript;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    transcript_init(&transcript, 100);
    return 0;
}

static int end(void **state)
{
    (void)state;
    transcript_fini(&transcript);
    arena_fini(&arena);
    return 0;
}

static struct chat_request ask(const char *messages, const char *members)
{
    struct chat_request q;
    struct bad_request bad;
    struct str body =
        arena_printf(&arena, "{'model':'m','messages':[%s]%s}", messages, members);
    assert_int_equal(chat_request_read(quotes(&arena, body.ptr), &arena, &q, &bad), ERR_OK);
    return q;
}

#define USER "{'role':'user','content':'Hi'}"
#define ASSISTANT "{'role':'assistant','content':'Ho'}"

static void tells_what_can_be_continued(void **state)
{
    static const struct {
        const char *messages;
        const char *members;
        bool vllm;
        bool ollama;
    } rows[] = {
        {USER, "", true, true},
        {USER "," ASSISTANT "," USER, "", true, true},
        {USER "," ASSISTANT, "", false, false},
        {USER ",{'r\\u006fle':'assist\\u0061nt'}", "", false, false},
        {"{}", "", true, true},
        {"{'role':7}", "", true, true},
        {USER, ",'n':1", true, true},
        {USER, ",'n':2", false, false},
        {USER, ",'response_format':null", true, true},
        {USER, ",'response_format':{'type':'text'}", true, true},
        {USER, ",'response_format':{'type':'json_object'}", false, false},
        {USER, ",'response_format':{'type':'json_schema','json_schema':{}}", false, false},
        {USER, ",'response_format':{}", false, false},
        {USER, ",'grammar':'x'", false, false},
        {USER, ",'grammar':null", true, true},
        {USER, ",'json_schema':{}", false, false},
        {USER, ",'guided_json':{}", false, false},
        {USER, ",'guided_choice':['a']", false, false},
        {USER, ",'structured_outputs':{'regex':'a'}", false, false},
        {USER, ",'continue_final_message':true", false, false},
        {USER, ",'continue_final_message':false", false, false},
        {USER, ",'add_generation_prompt':true", false, false},
        {USER, ",'echo':true", false, false},
        {USER, ",'echo':false", true, true},
        {USER, ",'logprobs':true", true, false},
        {USER, ",'logprobs':false", true, true},
        {USER, ",'tools':[{'type':'function'}],'stop':['a'],'seed':1", true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_request q = ask(rows[i].messages, rows[i].members);
        if (resume_can_continue(&q, &dialect_vllm) != rows[i].vllm ||
            resume_can_continue(&q, &dialect_llamacpp) != rows[i].vllm ||
            resume_can_continue(&q, &dialect_ollama) != rows[i].ollama) {
            fail_msg("%s %s", rows[i].messages, rows[i].members);
        }
        assert_false(resume_can_continue(&q, &dialect_openai));
    }
}

static void give(const char *delta)
{
    struct chat_request q = ask(USER, "");
    struct reply reply;
    struct reply_event ev;
    struct str payload =
        arena_printf(&arena, "{'id':'c','choices':[{'index':0,'delta':%s}]}", delta);
    reply_init(&reply, &dialect_vllm, &q, &arena, STR("x"));
    reply.created = 1;
    assert_int_equal(reply_read_event(&reply, quotes(&arena, payload.ptr), &ev), ERR_OK);
    transcript_add(&transcript, &ev);
    reply_fini(&reply);
}

static void chooses_by_what_was_given(void **state)
{
    static const struct {
        const char *delta;
        enum resume_way vllm;
        enum resume_way openai;
    } rows[] = {
        {"{'role':'assistant','content':''}", RESUME_RESTART, RESUME_RESTART},
        {"{'content':'x'}", RESUME_CONTINUE, RESUME_RESTART},
        {"{'reasoning':'x'}", RESUME_RESTART, RESUME_RESTART},
        {"{'reasoning':'x','content':'y'}", RESUME_RESTART, RESUME_RESTART},
        {"{'tool_calls':[{'index':0}]}", RESUME_NEVER, RESUME_NEVER},
        {"{'function_call':{'name':'f'}}", RESUME_NEVER, RESUME_NEVER},
        {"{'content':'x','refusal':'no'}", RESUME_NEVER, RESUME_NEVER},
    };
    struct chat_request q = ask(USER, "");
    struct chat_request two = ask(USER, ",'n':2");
    struct chat_request json = ask(USER, ",'response_format':{'type':'json_object'}");
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        transcript_fini(&transcript);
        give(rows[i].delta);
        assert_int_equal(resume_choose(&transcript, &q, &dialect_vllm), rows[i].vllm);
        assert_int_equal(resume_choose(&transcript, &q, &dialect_ollama), rows[i].vllm);
        assert_int_equal(resume_choose(&transcript, &q, &dialect_openai), rows[i].openai);
        assert_int_equal(resume_choose(&transcript, &two, &dialect_vllm), RESUME_NEVER);
        assert_int_equal(resume_choose(&transcript, &json, &dialect_vllm), rows[i].openai);
    }
}

static void gives_up_what_was_lost(void **state)
{
    struct chat_request q = ask(USER, "");
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(resume_choose(&transcript, &q, &dialect_vllm),
                         i == 0 ? RESUME_RESTART : RESUME_CONTINUE);
        give("{'content':'ten bytes.'}");
    }
    assert_int_equal(resume_choose(&transcript, &q, &dialect_vllm), RESUME_CONTINUE);
    give("{'content':'x'}");
    assert_int_equal(resume_choose(&transcript, &q, &dialect_vllm), RESUME_NEVER);
}

static void tells_what_is_left_to_make(void **state)
{
    static const struct {
        const char *members;
        struct chat_edit edit;
        uint64_t left;
    } rows[] = {
        {"", {.spent = 5}, UINT64_MAX},
        {",'max_tokens':9", {.spent = 5}, 4},
        {",'max_tokens':9,'max_completion_tokens':7", {.spent = 5}, 2},
        {",'max_tokens':9", {.spent = 9}, 0},
        {",'max_tokens':9", {.spent = 10}, 0},
        {"", {.spent = 5, .set_max_tokens = true, .max_tokens = 6}, 1},
        {",'max_tokens':9", {.spent = 5, .set_max_tokens = true, .max_tokens = 6}, 1},
        {",'max_tokens':5", {.spent = 4, .set_max_tokens = true, .max_tokens = 6}, 1},
        {",'max_tokens':null", {.spent = 4}, UINT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_request q = ask(USER, rows[i].members);
        assert_true(resume_left(&q, &rows[i].edit) == rows[i].left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_what_can_be_continued, begin, end),
        cmocka_unit_test_setup_teardown(chooses_by_what_was_given, begin, end),
        cmocka_unit_test_setup_teardown(gives_up_what_was_lost, begin, end),
        cmocka_unit_test_setup_teardown(tells_what_is_left_to_make, begin, end),
    };
    return cmocka_run_group_tests_name("llm/resume", tests, NULL, NULL);
}
