#include "seam_client.h"

#include <stdlib.h>

#include "llm/resume.h"
#include "llm/tool_hold.h"

static struct tool_hold hold;
static bool has_seam;

#define DELTA(delta) "{'id':'c','choices':[{'index':0,'delta':" delta "}]}"
#define CALL(index, id, name, arguments)                \
    DELTA("{'tool_calls':[{'index':" index ",'id':'" id \
          "','type':'function','function':{'name':'" name "','arguments':'" arguments "'}}]}")
#define MORE(index, arguments) \
    DELTA("{'tool_calls':[{'index':" index ",'function':{'arguments':'" arguments "'}}]}")
#define FINISH(reason) \
    "{'id':'c','choices':[{'index':0,'delta':{},'finish_reason':'" reason "'}]}"

static int begin_holding(void **state)
{
    has_seam = false;
    tool_hold_init(&hold);
    return begin(state);
}

static int end_holding(void **state)
{
    tool_hold_fini(&hold);
    return end(state);
}

static void new_attempt(bool seam_wanted)
{
    tool_hold_fini(&hold);
    tool_hold_init(&hold);
    has_seam = seam_wanted;
    if (has_seam) {
        begin_seam(&dialect_vllm, SEAM_RESTART);
    } else {
        begin_attempt(&dialect_vllm);
    }
}

/* One event on its way from the backend to the client. */
static enum err pass(const char *payload)
{
    assert_int_equal(reply_read_event(&reply, quotes(&arena, payload), &ev), ERR_OK);
    enum err e = tool_hold_event(&hold, &reply.scratch, &ev);
    if (e == ERR_OK && has_seam) {
        e = seam_event(&seam, &reply.scratch, &ev);
    }
    if (e == ERR_OK) {
        client_take(&client, &ev);
        transcript_add(&t, &ev);
    }
    return e;
}

static struct str whole(void)
{
    return assembly_json(client.assembly, &arena);
}

static const char *const two_calls[] = {
    DELTA("{'role':'assistant','content':''}"),
    DELTA("{'content':'Let me'}"),
    DELTA("{'content':' look.'}"),
    CALL("0", "call_a", "weather", ""),
    MORE("0", "{\\\"city\\\":"),
    MORE("0", "\\\"Graz\\u0021\\\"}"),
    CALL("1", "call_b", "time", "{"),
    MORE("1", "}"),
    FINISH("tool_calls"),
};
enum { TWO_CALLS = sizeof(two_calls) / sizeof(two_calls[0]), FIRST_CALL = 3, SECOND_CALL = 6 };

static void passes_a_call_on_when_it_is_complete(void **state)
{
    (void)state;
    new_attempt(false);
    for (size_t i = 0; i < TWO_CALLS; i++) {
        assert_int_equal(pass(two_calls[i]), ERR_OK);
        bool gives_call = i == SECOND_CALL || i == TWO_CALLS - 1;
        assert_int_equal(ev.tool_chunk.len > 0, gives_call);
        assert_int_equal(ev.is_held, i >= FIRST_CALL && !gives_call && i < TWO_CALLS - 1);
        assert_false(str_has(ev.chunk, STR("tool_calls\":[")));
        if (i == SECOND_CALL) {
            assert_true(str_eq(ev.calls, STR("weather\t{\"city\":\"Graz!\"}\n")));
        }
    }
    assert_true(str_has(
        whole(), STR("\"tool_calls\":[{\"id\":\"call_a\",\"type\":\"function\",\"function\":{"
                     "\"name\":\"weather\",\"arguments\":\"{\\\"city\\\":\\\"Graz\\u0021\\\"}"
                     "\"}},{\"id\":\"call_b\",\"type\":\"function\",\"function\":{\"name\":"
                     "\"time\",\"arguments\":\"{}\"}}]")));
    assert_int_equal(client.roles, 1);
    assert_int_equal(client.finishes, 1);
    /* Two pieces of text, three and two of calls. */
    assert_int_equal(transcript_spent(&t), 7);
}

/* Whatever shape the pieces have, the client's calls are those of the backend. */
static void keeps_calls_whatever_shape_they_come_in(void **state)
{
    static const char *const streams[][5] = {
        {DELTA("{'role':'assistant','content':null,'tool_calls':[{'index':0,'id':'a','type':"
               "'function','function':{'name':'f','arguments':''}}]}"),
         MORE("0", "{}"), FINISH("tool_calls")},
        {DELTA("{'role':'assistant','tool_calls':[{'index':0,'id':'a','function':{'name':'f',"
               "'arguments':'{}'}},{'index':1,'id':'b','function':{'name':'g'}}]}"),
         FINISH("stop")},
        {"{'id':'c','choices':[{'delta':{'role':'assistant','tool_calls':[{'id':'a','function':"
         "{'name':'f','arguments':'{}'}},{'id':'b','function':{'name':'g'}}]},"
         "'finish_reason':'tool_calls'}],'usage':{'prompt_tokens':1,'completion_tokens':2,"
         "'total_tokens':3}}"},
        {CALL("0", "a", "f", "{"), DELTA("{'content':'between'}"), MORE("0", "}"),
         FINISH("tool_calls")},
        {CALL("0", "a", "f", "{"), CALL("1", "b", "g", "{"), MORE("0", "}"), MORE("1", "}"),
         FINISH("tool_calls")},
        {DELTA("{'tool_calls':[{'index':0,'id':'a','extra_content':{'x':1},'function':{'name':"
               "'f','arguments':'{}'}}]}"),
         DELTA("{'tool_calls':[{'function':{'arguments':' '}}]}"), FINISH("tool_calls")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct str plain = STR_NONE;
        for (int is_held = 0; is_held <= 1; is_held++) {
            restart_client();
            new_attempt(false);
            for (size_t k = 0; k < 5 && streams[i][k]; k++) {
                if (is_held) {
                    assert_int_equal(pass(streams[i][k]), ERR_OK);
                } else {
                    first(quotes(&arena, streams[i][k]));
                }
            }
            if (!is_held) {
                plain = whole();
            } else if (!str_eq(plain, whole())) {
                fail_msg("%zu: %.*s, not %.*s", i, STR_FMT(whole()), STR_FMT(plain));
            }
        }
        assert_true(client.roles <= 1 && client.finishes == 1);
    }
}

static void a_cut_inside_a_call_has_given_nothing_of_it(void **state)
{
    (void)state;
    for (size_t cut = FIRST_CALL; cut <= SECOND_CALL; cut++) {
        restart_client();
        new_attempt(false);
        for (size_t i = 0; i < cut; i++) {
            assert_int_equal(pass(two_calls[i]), ERR_OK);
        }
        assert_true(str_eq(transcript_text(&t), STR("Let me look.")));
        assert_int_equal(transcript_calls(&t).len, 0);
        assert_int_equal(transcript_spent(&t), 2);
        assert_int_equal(resume_choose(&t, &request, &dialect_vllm), RESUME_CONTINUE);
        assert_false(str_has(whole(), STR("tool_calls")));
    }
}

static void after_a_call_the_answer_is_repeated_and_compared(void **state)
{
    (void)state;
    new_attempt(false);
    for (size_t i = 0; i < TWO_CALLS; i++) {
        assert_int_equal(pass(two_calls[i]), ERR_OK);
    }
    struct str undisturbed = whole();
    for (size_t cut = 1; cut <= TWO_CALLS; cut++) {
        restart_client();
        new_attempt(false);
        for (size_t i = 0; i < cut; i++) {
            assert_int_equal(pass(two_calls[i]), ERR_OK);
        }
        if (cut > SECOND_CALL) {
            assert_int_equal(resume_choose(&t, &request, &dialect_vllm), RESUME_RESTART);
        }
        new_attempt(true);
        for (size_t i = 0; cut < TWO_CALLS && i < TWO_CALLS; i++) {
            assert_int_equal(pass(two_calls[i]), ERR_OK);
        }
        assert_true(str_eq(whole(), undisturbed));
        assert_int_equal(client.roles, 1);
        assert_int_equal(client.finishes, 1);
    }
}

static void a_call_that_differs_is_never_joined(void **state)
{
    static const char *const others[][3] = {
        {CALL("0", "x", "weather", "{\\\"city\\\":\\\"Linz\\\"}"), FINISH("tool_calls")},
        {CALL("0", "x", "weathers", "{\\\"city\\\":\\\"Graz!\\\"}"), FINISH("tool_calls")},
        {CALL("0", "x", "time", "{}"), FINISH("tool_calls")},
        {DELTA("{'content':' And more'}"), NULL},
        {FINISH("stop"), NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        restart_client();
        new_attempt(false);
        for (size_t k = 0; k <= SECOND_CALL; k++) {
            assert_int_equal(pass(two_calls[k]), ERR_OK);
        }
        int chunks = client.chunks;
        new_attempt(true);
        for (size_t k = 0; k < FIRST_CALL; k++) {
            assert_int_equal(pass(two_calls[k]), ERR_OK);
        }
        enum err e = pass(others[i][0]);
        e = e == ERR_OK && others[i][1] ? pass(others[i][1]) : e;
        assert_int_equal(e, ERR_RANGE);
        assert_int_equal(client.chunks, chunks);
    }
}

static void arguments_are_the_same_however_they_are_spelled(void **state)
{
    static const struct {
        const char *arguments; /* of the later server */
        bool is_same;
    } rows[] = {
        {"{\\\"city\\\":\\\"Graz!\\\"}", true},
        {"{ \\\"city\\\" :\\n\\t\\\"Gr\\\\u0061z!\\\" }", true},
        {"{\\\"city\\\":\\\"Graz!\\\",\\\"x\\\":1}", false},
        {"{\\\"city\\\":\\\"Graz! \\\"}", false},
        {"{\\\"city\\\":\\\"Graz!\\\"", false}, /* no JSON: as it is */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        restart_client();
        new_attempt(false);
        assert_int_equal(pass(CALL("0", "a", "weather", "{\\\"city\\\":\\\"Graz!\\\"}")),
                         ERR_OK);
        assert_int_equal(pass(CALL("1", "b", "g", "{")), ERR_OK);
        new_attempt(true);
        struct str again = arena_printf(
            &arena,
            "{'choices':[{'index':0,'delta':{'tool_calls':[{'index':0,'id':'z','function':{"
            "'name':'weather','arguments':'%s'}},{'index':1,'id':'y','function':{'name':'g',"
            "'arguments':'{}'}}]},'finish_reason':'tool_calls'}]}",
            rows[i].arguments);
        if ((pass(again.ptr) == ERR_OK) != rows[i].is_same) {
            fail_msg("%s", rows[i].arguments);
        }
    }
}

static void calls_that_come_at_once_are_skipped_as_far_as_they_are_known(void **state)
{
    (void)state;
    new_attempt(false);
    assert_int_equal(pass(CALL("0", "a", "f", "{}")), ERR_OK);
    assert_int_equal(pass(CALL("1", "b", "g", "{")), ERR_OK);
    new_attempt(true);
    assert_int_equal(
        pass("{'choices':[{'index':0,'delta':{'role':'assistant','tool_calls':[{'index':0,'id':"
             "'z','function':{'name':'f','arguments':'{}'}},{'index':1,'id':'y','function':{"
             "'name':'g','arguments':'{}'}}]},'finish_reason':'tool_calls'}]}"),
        ERR_OK);
    assert_true(str_has(whole(), STR("\"id\":\"a\"")));
    assert_true(str_has(whole(), STR("\"id\":\"y\"")));
    assert_false(str_has(whole(), STR("\"id\":\"z\"")));
    assert_int_equal(client.finishes, 1);
}

static void refuses_what_cannot_be_put_together(void **state)
{
    static const struct {
        const char *delta;
        enum err err;
    } rows[] = {
        {"{'tool_calls':[{'function':{'name':'f'}}]}", ERR_TYPE}, /* no index, no id */
        {"{'tool_calls':['x']}", ERR_TYPE},
        {"{'tool_calls':{'index':0}}", ERR_TYPE},
        {"{'tool_calls':[{'index':-1}]}", ERR_TYPE},
        {"{'tool_calls':[{'index':0,'function':{'arguments':{}}}]}", ERR_TYPE},
        {"{'tool_calls':[{'index':0,'function':'f'}]}", ERR_TYPE},
        {"{'tool_calls':[{'index':4294967295}]}", ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        new_attempt(false);
        struct str chunk = arena_printf(&arena, "{'choices':[{'delta':%s}]}", rows[i].delta);
        if (pass(chunk.ptr) != rows[i].err) {
            fail_msg("%s", rows[i].delta);
        }
    }
}

static void holds_no_more_than_its_limits(void **state)
{
    char *piece = malloc((1 << 19) + 256);
    (void)state;
    new_attempt(false);
    struct str many = arena_printf(&arena, "{'choices':[{'delta':{'tool_calls':[{'index':0}");
    for (int i = 1; i < TOOL_HOLD_CALLS; i++) {
        many = arena_printf(&arena, "%.*s,{'index':%d}", STR_FMT(many), i);
    }
    struct str fits = arena_printf(&arena, "%.*s]}}]}", STR_FMT(many));
    struct str over = arena_printf(&arena, "%.*s,{'index':5000}]}}]}", STR_FMT(many));
    assert_int_equal(pass(fits.ptr), ERR_OK);
    new_attempt(false);
    assert_int_equal(pass(over.ptr), ERR_TOO_LARGE);

    new_attempt(false);
    (void)sprintf(piece, "%s%*s%s",
                  "{'choices':[{'delta':{'tool_calls':[{'index':0,'function':{'arguments':'",
                  1 << 19, "x", "'}}]}}]}");
    for (int i = 0; i < 7; i++) {
        assert_int_equal(pass(piece), ERR_OK);
    }
    assert_int_equal(pass(piece), ERR_TOO_LARGE);
    free(piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_a_call_on_when_it_is_complete, begin_holding,
                                        end_holding),
        cmocka_unit_test_setup_teardown(keeps_calls_whatever_shape_they_come_in, begin_holding,
                                        end_holding),
        cmocka_unit_test_setup_teardown(a_cut_inside_a_call_has_given_nothing_of_it,
                                        begin_holding, end_holding),
        cmocka_unit_test_setup_teardown(after_a_call_the_answer_is_repeated_and_compared,
                                        begin_holding, end_holding),
        cmocka_unit_test_setup_teardown(a_call_that_differs_is_never_joined, begin_holding,
                                        end_holding),
        cmocka_unit_test_setup_teardown(arguments_are_the_same_however_they_are_spelled,
                                        begin_holding, end_holding),
        cmocka_unit_test_setup_teardown(
            calls_that_come_at_once_are_skipped_as_far_as_they_are_known, begin_holding,
            end_holding),
        cmocka_unit_test_setup_teardown(refuses_what_cannot_be_put_together, begin_holding,
                                        end_holding),
        cmocka_unit_test_setup_teardown(holds_no_more_than_its_limits, begin_holding,
                                        end_holding),
    };
    return cmocka_run_group_tests_name("llm/tool_hold", tests, NULL, NULL);
}
