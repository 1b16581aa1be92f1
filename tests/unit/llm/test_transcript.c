#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/ollama.h"
#include "llm/openai.h"
#include "llm/transcript.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;
static struct transcript t;
static struct reply reply;

static void begin_reply(const struct dialect *d)
{
    struct chat_request q = {.n = 1, .include_usage = true};
    reply_fini(&reply);
    reply_init(&reply, d, &q, &arena, STR("made-1"));
    reply.created = 7;
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena);
    arena_init(&reply.scratch);
    transcript_init(&t, 1000);
    begin_reply(&dialect_vllm);
    return 0;
}

static int end(void **state)
{
    (void)state;
    transcript_fini(&t);
    reply_fini(&reply);
    arena_fini(&arena);
    return 0;
}

static void give(const char *payload)
{
    struct reply_event ev;
    assert_int_equal(reply_read_event(&reply, quotes(&arena, payload), &ev), ERR_OK);
    transcript_add(&t, &ev);
}

static void give_delta(const char *delta)
{
    give(arena_printf(&arena, "{'id':'c','choices':[{'index':0,'delta':%s}]}", delta).ptr);
}

static void assert_str(struct str s, const char *expected)
{
    struct str wanted = quotes(&arena, expected);
    if (!str_eq(s, wanted)) {
        fail_msg("got %.*s, not %.*s", STR_FMT(s), STR_FMT(wanted));
    }
}

static void keeps_the_names_of_the_first_chunk(void **state)
{
    (void)state;
    give("{'id':'c-1','created':1e9,'model':'m\\u0041','system_fingerprint':null,'choices':["
         "{'index':0,'delta':{'role':'assistant','content':''},'logprobs':null}]}");
    give("{'id':'c-2','created':2,'model':'n','system_fingerprint':'f','choices':["
         "{'index':0,'delta':{'content':'x'}}]}");
    assert_str(t.id, "'c-1'");
    assert_str(t.created, "1e9");
    assert_str(t.model, "'m\\u0041'");
    assert_int_equal(t.fingerprint.len, 0);
    assert_true(t.role_sent && !t.has_logprobs && !t.is_lost);
    assert_int_equal(t.pieces, 1);
    transcript_fini(&t);
    assert_false(t.is_begun || t.role_sent);
    assert_int_equal(transcript_text_len(&t), 0);
    give("{'system_fingerprint':'f','choices':[{'delta':{'content':'x'},'logprobs':"
         "{'content':[]}}]}");
    assert_str(t.fingerprint, "'f'");
    assert_int_equal(t.id.len, 0);
    assert_true(t.has_logprobs && !t.role_sent);
}

static void keeps_the_text_in_one_spelling(void **state)
{
    (void)state;
    give_delta("{'role':'assistant','content':''}");
    give_delta("{'content':'a\\/\\u00e9'}");
    give_delta("{'content':' \\ud83d\\ude00\\n'}");
    give_delta("{'content':'\xc3\xa9'}");
    assert_str(transcript_text(&t), "a/\xc3\xa9 \xf0\x9f\x98\x80\\n\xc3\xa9");
    assert_int_equal(transcript_text_len(&t), transcript_text(&t).len);
    size_t at;
    struct str text = transcript_text(&t);
    assert_int_equal(json_check(arena_printf(&arena, "\"%.*s\"", STR_FMT(text)), &at), ERR_OK);
    assert_int_equal(transcript_spent(&t), 3);
}

static void is_lost_over_its_maximum(void **state)
{
    (void)state;
    transcript_fini(&t);
    transcript_init(&t, 10);
    give_delta("{'content':'12345'}");
    give_delta("{'reasoning':'67890'}");
    assert_false(t.is_lost);
    assert_int_equal(transcript_text_len(&t), 5);
    give_delta("{'content':'x'}");
    assert_true(t.is_lost);
    assert_int_equal(transcript_text_len(&t), 0);
    give_delta("{'content':'y'}");
    assert_int_equal(transcript_text_len(&t), 0);
    assert_int_equal(transcript_spent(&t), 4);
    transcript_fini(&t);
    assert_false(t.is_lost);
    give("{'id':'longer-than-ten','choices':[{'delta':{'content':'x'}}]}");
    assert_true(t.is_lost);
}

static void remembers_the_kinds(void **state)
{
    static const struct {
        const char *delta;
        bool has_reasoning;
        bool has_other;
    } rows[] = {
        {"{'content':'x'}", false, false},
        {"{'reasoning':'x'}", true, false},
        {"{'reasoning_content':'x'}", true, false},
        {"{'tool_calls':[{'index':0}]}", false, true},
        {"{'function_call':{'name':''}}", false, true},
        {"{'refusal':'x'}", false, true},
        {"{'audio':{'data':''}}", false, true},
        {"{'content':['x']}", false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        transcript_fini(&t);
        give_delta(rows[i].delta);
        give_delta("{'content':'y'}");
        assert_int_equal(t.has_reasoning, rows[i].has_reasoning);
        assert_int_equal(t.has_other, rows[i].has_other);
        assert_int_equal(t.pieces, 2);
    }
    transcript_fini(&t);
    give("{'choices':[{'index':1,'delta':{'content':'x'}}]}");
    assert_true(t.has_other);
    assert_int_equal(transcript_text_len(&t), 0);
}

static void keeps_reasoning_and_its_name(void **state)
{
    (void)state;
    give_delta("{'reasoning':'Hm\\u002c'}");
    give_delta("{'reasoning':' yes'}");
    give_delta("{'content':'Yes'}");
    assert_str(transcript_reasoning(&t), "Hm, yes");
    assert_str(transcript_text(&t), "Yes");
    assert_string_equal(t.reasoning_name, "reasoning");
    transcript_fini(&t);
    assert_null(t.reasoning_name);
    give_delta("{'reasoning':'Hm','reasoning_content':'Hm'}");
    assert_str(transcript_reasoning(&t), "Hm");
    assert_string_equal(t.reasoning_name, "reasoning_content");
}

static void counts_tokens_by_usage_or_by_chunks(void **state)
{
    (void)state;
    give_delta("{'role':'assistant','content':''}");
    assert_int_equal(transcript_spent(&t), 0);
    give_delta("{'content':'a'}");
    give_delta("{'content':''}"); /* half a character */
    give_delta("{'content':'\xc3\xa9'}");
    assert_int_equal(transcript_spent(&t), 3);
    give("{'choices':[{'delta':{'content':'bcd'}}],'usage':{'prompt_tokens':9,"
         "'completion_tokens':11,'total_tokens':20}}");
    assert_int_equal(transcript_spent(&t), 11);
    assert_int_equal(t.prompt_tokens, 9);
    give_delta("{'content':'e'}");
    assert_int_equal(transcript_spent(&t), 12);
    give("{'choices':[{'delta':{'content':''},'finish_reason':'stop'}]}");
    assert_int_equal(transcript_spent(&t), 12);
    assert_int_equal(t.pieces, 5);
}

static void adds_only_what_is_passed_on(void **state)
{
    (void)state;
    give("{'choices':[{'delta':{'content':'x'},'finish_reason':'abort'}]}");
    give("{'error':{'message':'x'}}");
    give("[DONE]");
    assert_false(t.is_begun);
    assert_int_equal(transcript_text_len(&t), 0);
}

static void reads_ollamas_lines(void **state)
{
    (void)state;
    begin_reply(&dialect_ollama);
    give("{'model':'o','message':{'content':'a\\/'},'done':false}");
    give("{'model':'o','message':{'content':'','thinking':'t'},'done':false}");
    give("{'model':'o','message':{'content':'b'},'done':true,'done_reason':'stop',"
         "'prompt_eval_count':5,'eval_count':4}");
    assert_str(transcript_text(&t), "a/b");
    assert_str(transcript_reasoning(&t), "t");
    assert_string_equal(t.reasoning_name, "reasoning_content");
    assert_str(t.id, "'made-1'");
    assert_str(t.created, "7");
    assert_str(t.model, "'o'");
    assert_true(t.role_sent);
    assert_int_equal(transcript_spent(&t), 4);
    assert_int_equal(t.prompt_tokens, 5);
}

static void makes_the_chunk_that_ends_it(void **state)
{
    (void)state;
    give("{'id':'c','created':5,'model':'m','system_fingerprint':'f','choices':[{'delta':"
         "{'content':'x'}}]}");
    assert_str(transcript_finish(&t, "length", &arena),
               "{'id':'c','object':'chat.completion.chunk','created':5,'model':'m',"
               "'system_fingerprint':'f','choices':[{'index':0,'delta':{},'logprobs':null,"
               "'finish_reason':'length'}]}");
    transcript_fini(&t);
    assert_str(transcript_finish(&t, "stop", &arena),
               "{'object':'chat.completion.chunk','choices':[{'index':0,'delta':{},"
               "'logprobs':null,'finish_reason':'stop'}]}");
}

static void a_tokenizer_that_finds_more_than_chunks_is_believed(void **state)
{
    (void)state;
    give_delta("{'content':'one two'}");
    give_delta("{'content':' three'}");
    assert_true(transcript_is_estimate(&t));
    transcript_count(&t, 1);
    assert_int_equal(transcript_spent(&t), 2);
    assert_true(transcript_is_estimate(&t));
    transcript_count(&t, 3);
    assert_int_equal(transcript_spent(&t), 3);
    assert_false(transcript_is_estimate(&t));
    give_delta("{'content':' four'}");
    assert_int_equal(transcript_spent(&t), 4);
    assert_true(transcript_is_estimate(&t));
}

static void makes_the_chunk_that_tells_usage(void **state)
{
    (void)state;
    give("{'id':'c','created':5,'model':'m','choices':[{'delta':{'content':'x'}}]}");
    assert_str(transcript_usage(&t, 7, 3, &arena),
               "{'id':'c','object':'chat.completion.chunk','created':5,'model':'m',"
               "'choices':[],'usage':{'prompt_tokens':7,'completion_tokens':3,"
               "'total_tokens':10}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_the_names_of_the_first_chunk, begin, end),
        cmocka_unit_test_setup_teardown(keeps_the_text_in_one_spelling, begin, end),
        cmocka_unit_test_setup_teardown(is_lost_over_its_maximum, begin, end),
        cmocka_unit_test_setup_teardown(remembers_the_kinds, begin, end),
        cmocka_unit_test_setup_teardown(keeps_reasoning_and_its_name, begin, end),
        cmocka_unit_test_setup_teardown(counts_tokens_by_usage_or_by_chunks, begin, end),
        cmocka_unit_test_setup_teardown(adds_only_what_is_passed_on, begin, end),
        cmocka_unit_test_setup_teardown(reads_ollamas_lines, begin, end),
        cmocka_unit_test_setup_teardown(makes_the_chunk_that_ends_it, begin, end),
        cmocka_unit_test_setup_teardown(a_tokenizer_that_finds_more_than_chunks_is_believed,
                                        begin, end),
        cmocka_unit_test_setup_teardown(makes_the_chunk_that_tells_usage, begin, end),
    };
    return cmocka_run_group_tests_name("llm/transcript", tests, NULL, NULL);
}
