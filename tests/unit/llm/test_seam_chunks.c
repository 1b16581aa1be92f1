#include "seam_client.h"

/* What becomes of single chunks; test_seam.c plays whole answers. */

/* --- reasoning --- */

static void skips_reasoning_under_either_name(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 5; cut++) {
        static const char *const given[] = {
            "{'id':'a','choices':[{'delta':{'role':'assistant','reasoning':'Let '}}]}",
            "{'id':'a','choices':[{'delta':{'reasoning':'me '}}]}",
            "{'id':'a','choices':[{'delta':{'reasoning':'see.'}}]}",
            "{'id':'a','choices':[{'delta':{'content':'Yes'}}]}"};
        restart_client();
        begin_attempt(&dialect_vllm);
        for (size_t i = 0; i < cut; i++) {
            first(quotes(&arena, given[i]));
        }
        begin_seam(&dialect_llamacpp, SEAM_RESTART);
        assert_int_equal(
            later_text("{'id':'b','choices':[{'delta':{'role':'assistant','content':null}}]}"),
            ERR_OK);
        assert_int_equal(
            later_text("{'id':'b','choices':[{'delta':{'reasoning_content':'Let me'}}]}"),
            ERR_OK);
        if (cut == 1) {
            assert_true(str_eq(json_path(ev.chunk, "choices", "0", "delta", "reasoning", NULL),
                               STR("\"me\"")));
            assert_int_equal(
                json_path(ev.chunk, "choices", "0", "delta", "reasoning_content", NULL).len, 0);
        }
        assert_int_equal(
            later_text("{'id':'b','choices':[{'delta':{'reasoning_content':' see.'}}]}"),
            ERR_OK);
        assert_int_equal(later_text("{'id':'b','choices':[{'delta':{'content':'Yes!'},"
                                    "'finish_reason':'stop'}]}"),
                         ERR_OK);
        assert_true(str_eq(transcript_reasoning(&t), STR("Let me see.")));
        assert_true(str_eq(transcript_text(&t), STR("Yes!")));
        assert_true(str_eq(str_of(client.text, client.len), STR("Yes!")));
    }
}

static void refuses_text_before_the_reasoning_is_over(void **state)
{
    (void)state;
    begin_attempt(&dialect_vllm);
    first(quotes(&arena, "{'choices':[{'delta':{'reasoning':'Let me'}}]}"));
    begin_seam(&dialect_vllm, SEAM_RESTART);
    assert_int_equal(later_text("{'choices':[{'delta':{'reasoning':'Let'}}]}"), ERR_OK);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'Yes'}}]}"), ERR_RANGE);
    begin_seam(&dialect_vllm, SEAM_RESTART);
    assert_int_equal(later_text("{'choices':[{'delta':{'reasoning':'Lot'}}]}"), ERR_RANGE);
}

/* --- details of chunks --- */

static void assert_chunk(const char *expected)
{
    struct str wanted = quotes(&arena, expected);
    if (!str_eq(ev.chunk, wanted)) {
        fail_msg("got %.*s, not %.*s", STR_FMT(ev.chunk), STR_FMT(wanted));
    }
}

static void begin_small(const char *first_chunk, enum seam_mode mode)
{
    restart_client();
    begin_attempt(&dialect_vllm);
    first(quotes(&arena, first_chunk));
    begin_seam(&dialect_vllm, mode);
}

static void changes_only_what_must_differ(void **state)
{
    (void)state;
    begin_small("{'id':'a','created':1,'model':'m','choices':[{'delta':{'role':'assistant',"
                "'content':'Once'}}]}",
                SEAM_CONTINUE);
    assert_int_equal(
        later_text(
            " {'id':'b', 'created':2,'system_fingerprint':'f','x':{},'model':'n','choices'"
            ":[{'index':0,'delta':{'role':'assistant','content':' \\u00e9'},'y':[]}]} "),
        ERR_OK);
    assert_chunk("{'id':'a', 'created':1,'x':{},'model':'m','choices':[{'index':0,'delta':{"
                 "'content':' \\u00e9'},'y':[]}]}");
    assert_false(ev.is_verbatim);
    assert_true(str_eq(ev.content, STR(" \xc3\xa9")));
    /* names that the second server does not tell are added */
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'x','z':1}}]}"), ERR_OK);
    assert_chunk("{'choices':[{'delta':{'content':'x','z':1}}],'id':'a','created':1,"
                 "'model':'m'}");
    assert_int_equal(later_text("{'choices':[{'delta':null,'finish_reason':'stop'}]}"), ERR_OK);
    assert_chunk("{'choices':[{'delta':null,'finish_reason':'stop'}],'id':'a','created':1,"
                 "'model':'m'}");
    /* a system_fingerprint of the first is that of all */
    begin_small("{'system_fingerprint':'f','choices':[{'delta':{'content':'Once'}}]}",
                SEAM_CONTINUE);
    assert_int_equal(
        later_text("{'id':'b','system_fingerprint':'g','choices':[{'delta':{'content':'x'}}]}"),
        ERR_OK);
    assert_chunk("{'system_fingerprint':'f','choices':[{'delta':{'content':'x'}}]}");
}

static void drops_deltas_without_news(void **state)
{
    static const char *const rows[] = {
        "{'choices':[{'delta':{'role':'assistant','content':''}}]}",
        "{'choices':[{'delta':{'role':'assistant','content':null}}],'prompt_progress':{}}",
        "{'choices':[{'delta':{}}]}",
        "{'choices':[{'delta':{'content':''},'logprobs':null}]}",
        ("{'choices':[{'delta':{'content':''}}],'usage':{'prompt_tokens':1,"
         "'completion_tokens':0}}"),
    };
    (void)state;
    begin_small("{'choices':[{'delta':{'role':'assistant','content':'Once'}}]}", SEAM_CONTINUE);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(later_text(rows[i]), ERR_OK);
        assert_int_equal(ev.chunk.len, 0);
    }
    assert_int_equal(transcript_spent(&t), 1);
    /* half a character brings its token's logprobs */
    assert_int_equal(
        later_text("{'choices':[{'delta':{'content':''},'logprobs':{'content':[{}]}}]}"),
        ERR_OK);
    assert_true(ev.chunk.len > 0);
    assert_int_equal(transcript_spent(&t), 2);
}

static void passes_the_role_when_the_client_has_none(void **state)
{
    (void)state;
    struct server s = {&dialect_vllm, &arena, SPELLS_RAW, 1};
    begin_seam(&dialect_vllm, SEAM_RESTART);
    assert_int_equal(later(server_role(&s)), ERR_OK);
    assert_int_equal(client.roles, 1);
    assert_int_equal(later(server_role(&s)), ERR_OK);
    assert_int_equal(client.roles, 1);
}

static void cuts_a_piece_that_straddles(void **state)
{
    (void)state;
    begin_small("{'choices':[{'delta':{'content':'a/\xc3\xa9\\n'}}]}", SEAM_RESTART);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'a\\/'},'logprobs':"
                                "{'content':[{}]}}]}"),
                     ERR_OK);
    assert_int_equal(ev.chunk.len, 0);
    assert_true(ev.has_content); /* the backend's progress */
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'\\u00e9\\u000a\\u000d\\/'},"
                                "'logprobs':{'content':[{}]}}]}"),
                     ERR_OK);
    assert_chunk("{'choices':[{'delta':{'content':'\\r/'},'logprobs':null}]}");
    assert_true(seam_is_caught_up(&seam));
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'\\/'},'logprobs':"
                                "{'content':[{}]}}]}"),
                     ERR_OK);
    assert_chunk("{'choices':[{'delta':{'content':'\\/'},'logprobs':{'content':[{}]}}]}");
    assert_true(str_eq(transcript_text(&t), STR("a/\xc3\xa9\\n\\r//")));
}

/* --- usage --- */

static void sums_usage_on_every_chunk(void **state)
{
    (void)state;
    begin_small("{'choices':[{'delta':{'content':'Once'}}],'usage':{'prompt_tokens':7,"
                "'completion_tokens':3,'total_tokens':10}}",
                SEAM_CONTINUE);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'x'}}],'usage':{"
                                "'prompt_tokens':10,'completion_tokens':1,'total_tokens':11,"
                                "'prompt_tokens_details':{'cached_tokens':9}}}"),
                     ERR_OK);
    assert_chunk("{'choices':[{'delta':{'content':'x'}}],'usage':{'prompt_tokens':7,"
                 "'completion_tokens':4,'total_tokens':11,'prompt_tokens_details':"
                 "{'cached_tokens':7}}}");
    assert_int_equal(transcript_spent(&t), 4);
    assert_int_equal(later_text("{'choices':[],'usage':{'prompt_tokens':10,"
                                "'completion_tokens':2,'prompt_tokens_details':null}}"),
                     ERR_OK);
    assert_chunk("{'choices':[],'usage':{'prompt_tokens':7,'completion_tokens':5,"
                 "'prompt_tokens_details':null,'total_tokens':12}}");
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'y'}}],'usage':null}"),
                     ERR_OK);
    assert_chunk("{'choices':[{'delta':{'content':'y'}}],'usage':null}");
}

static void takes_no_more_from_the_prompt_than_it_has(void **state)
{
    (void)state;
    begin_small("{'choices':[{'delta':{'content':'Once'}}]}", SEAM_CONTINUE);
    assert_int_equal(
        later_text("{'choices':[],'usage':{'prompt_tokens':1,'completion_tokens':2}}"), ERR_OK);
    assert_chunk("{'choices':[],'usage':{'prompt_tokens':1,'completion_tokens':3,"
                 "'total_tokens':4}}");
    begin_small("{'choices':[{'delta':{'content':'Once'}}]}", SEAM_RESTART);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'Once.'}}]}"), ERR_OK);
    assert_int_equal(later_text("{'choices':[],'usage':{'prompt_tokens':6,"
                                "'completion_tokens':2,'total_tokens':8}}"),
                     ERR_OK);
    assert_chunk("{'choices':[],'usage':{'prompt_tokens':6,'completion_tokens':2,"
                 "'total_tokens':8}}");
}

static void takes_hidden_usage_too(void **state)
{
    (void)state;
    begin_small("{'choices':[{'delta':{'content':'Once'}}]}", SEAM_CONTINUE);
    reply.include_usage = false;
    assert_int_equal(
        later_text("{'choices':[],'usage':{'prompt_tokens':9,'completion_tokens':2}}"), ERR_OK);
    assert_int_equal(ev.chunk.len, 0);
    assert_int_equal(ev.prompt_tokens, 8);
    assert_int_equal(ev.completion_tokens, 3);
}

/* --- one body --- */

static void assembles_one_answer_of_both_parts(void **state)
{
    (void)state;
    begin_small("{'id':'a','created':1,'model':'m','choices':[{'index':0,'delta':{'role':"
                "'assistant','content':'On'},'logprobs':{'content':[{'token':'On'}]}}]}",
                SEAM_CONTINUE);
    assert_true(t.has_logprobs);
    assert_int_equal(later_text("{'id':'b','created':2,'model':'n','system_fingerprint':'f',"
                                "'choices':[{'index':0,'delta':{'role':'assistant','content':"
                                "'ce'},'logprobs':{'content':[{'token':'ce'}]}}]}"),
                     ERR_OK);
    assert_int_equal(later_text("{'id':'b','choices':[{'index':0,'delta':{},"
                                "'finish_reason':'length'}]}"),
                     ERR_OK);
    assert_int_equal(later_text("{'id':'b','choices':[],'usage':{'prompt_tokens':6,"
                                "'completion_tokens':1,'total_tokens':7}}"),
                     ERR_OK);
    ev.chunk = assembly_json(client.assembly, &arena);
    assert_chunk("{'id':'a','created':1,'model':'m','object':'chat.completion','choices':["
                 "{'index':0,'message':{'role':'assistant','content':'Once'},'logprobs':{"
                 "'content':[{'token':'On'},{'token':'ce'}],'refusal':null},"
                 "'finish_reason':'length'}],'usage':{'prompt_tokens':5,"
                 "'completion_tokens':2,'total_tokens':7}}");
}

/* --- stop strings --- */

static void ends_at_a_stop_string_across_the_seam(void **state)
{
    (void)state;
    ask(",'stop':['\\nUser:','zz']");
    begin_small("{'id':'a','choices':[{'delta':{'content':'bye\\nUs'}}]}", SEAM_CONTINUE);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'e'}}]}"), ERR_OK);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'r: more'}}],'usage':{}}"),
                     ERR_OK);
    assert_chunk("{'id':'a','object':'chat.completion.chunk','choices':[{'index':0,'delta':{},"
                 "'logprobs':null,'finish_reason':'stop'}]}");
    assert_true(seam.is_stopped);
    assert_true(ev.has_finish && ev.all_finished && ev.is_done && !ev.is_verbatim);
    assert_true(str_eq(transcript_text(&t), STR("bye\\nUse")));
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'x'}}]}"), ERR_OK);
    assert_int_equal(ev.chunk.len, 0);
    assert_int_equal(client.finishes, 1);
}

static void finds_stop_strings_behind_an_echo_but_not_in_a_restart(void **state)
{
    (void)state;
    ask(",'stop':'END'");
    begin_small("{'choices':[{'delta':{'content':'text E'}}]}", SEAM_ECHO);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'text END'}}]}"), ERR_OK);
    assert_true(seam.is_stopped);
    begin_small("{'choices':[{'delta':{'content':'text E'}}]}", SEAM_RESTART);
    assert_int_equal(later_text("{'choices':[{'delta':{'content':'text END'}}]}"), ERR_OK);
    assert_false(seam.is_stopped);
    assert_true(str_eq(ev.content, STR("ND")));
}

static void ends_ollamas_answers_at_a_stop_string_too(void **state)
{
    (void)state;
    ask(",'stop':'END'");
    begin_attempt(&dialect_ollama);
    first(quotes(&arena, "{'model':'o','message':{'content':'text EN'},'done':false}"));
    begin_seam(&dialect_ollama, SEAM_CONTINUE);
    assert_int_equal(later_text("{'model':'o','message':{'content':'D'},'done':true,"
                                "'eval_count':3}"),
                     ERR_OK);
    assert_true(seam.is_stopped);
    assert_int_equal(ev.usage_chunk.len, 0);
    assert_int_equal(client.finishes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(skips_reasoning_under_either_name, begin, end),
        cmocka_unit_test_setup_teardown(refuses_text_before_the_reasoning_is_over, begin, end),
        cmocka_unit_test_setup_teardown(changes_only_what_must_differ, begin, end),
        cmocka_unit_test_setup_teardown(drops_deltas_without_news, begin, end),
        cmocka_unit_test_setup_teardown(passes_the_role_when_the_client_has_none, begin, end),
        cmocka_unit_test_setup_teardown(cuts_a_piece_that_straddles, begin, end),
        cmocka_unit_test_setup_teardown(sums_usage_on_every_chunk, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_more_from_the_prompt_than_it_has, begin, end),
        cmocka_unit_test_setup_teardown(takes_hidden_usage_too, begin, end),
        cmocka_unit_test_setup_teardown(assembles_one_answer_of_both_parts, begin, end),
        cmocka_unit_test_setup_teardown(ends_at_a_stop_string_across_the_seam, begin, end),
        cmocka_unit_test_setup_teardown(finds_stop_strings_behind_an_echo_but_not_in_a_restart,
                                        begin, end),
        cmocka_unit_test_setup_teardown(ends_ollamas_answers_at_a_stop_string_too, begin, end),
    };
    return cmocka_run_group_tests_name("llm/seam_chunks", tests, NULL, NULL);
}
