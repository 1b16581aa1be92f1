#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anthropic_events.h"
#include "llm/anthropic.h"
#include "llm/anthropic_reply.h"
#include "quotes.h"
#include "wire/json.h"

#define CHUNK_OF(model)                                                          \
    "{'id':'chatcmpl-77','object':'chat.completion.chunk','created':1700000000," \
    "'model':" model ",'choices':["
#define CHUNK CHUNK_OF("'claude-x'")
#define CHOICE(delta, reason) CHUNK "{'index':0,'delta':" delta ",'finish_reason':" reason "}]}"
#define OPEN(delta) CHOICE(delta, "null")

static struct arena arena;

static void start(struct reply *r, bool include_usage)
{
    arena_init(&arena);
    *r = (struct reply){.dialect = &dialect_anthropic,
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

static enum err read_text(struct reply *r, const char *event, struct reply_event *ev)
{
    size_t at = 0;
    enum err e = dialect_anthropic.read_event(r, quotes(r->arena, event), ev);
    if (e == ERR_OK) {
        assert_true(ev->chunk.len == 0 || json_check(ev->chunk, &at) == ERR_OK);
        assert_true(ev->usage_chunk.len == 0 || json_check(ev->usage_chunk, &at) == ERR_OK);
        assert_false(ev->is_verbatim);
    }
    return e;
}

static struct reply_event read_ok(struct reply *r, const char *event)
{
    struct reply_event ev;
    if (read_text(r, event, &ev) != ERR_OK) {
        fail_msg("not understood: %s", event);
    }
    return ev;
}

/* Begun, and the role has gone out. */
static void start_message(struct reply *r, bool include_usage)
{
    start(r, include_usage);
    (void)read_ok(r, START);
}

static void gives_the_role_at_the_start_which_is_no_progress(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, START);
    assert_false(ev.has_content || ev.has_finish || ev.all_finished || ev.is_done);
    assert_true(ev.has_usage);
    assert_int_equal(ev.prompt_tokens, 25);
    assert_int_equal(ev.completion_tokens, 0);
    assert_text(ev.chunk, OPEN("{'role':'assistant','content':''}"));
    ev = read_ok(&r, TEXT("'Hel'"));
    assert_true(ev.has_content);
    assert_text(ev.content, "Hel");
    assert_text(ev.chunk, OPEN("{'content':'Hel'}"));
    stop(&r);
}

static void gives_the_role_with_the_first_text_where_no_start_was_told(void **state)
{
    struct reply r;
    (void)state;
    start(&r, false);
    struct reply_event ev = read_ok(&r, TEXT("'Hel'"));
    assert_text(ev.chunk, CHUNK_OF("''") "{'index':0,'delta':{'role':'assistant','content':"
                                         "'Hel'},'finish_reason':null}]}");
    stop(&r);
}

static void keeps_text_as_it_is_escaped(void **state)
{
    struct reply r;
    (void)state;
    start_message(&r, false);
    struct reply_event ev =
        read_ok(&r, TEXT("'\\u003cb\\u003e \\'\\\\\\n\xc3\xa9\\ud83d\\ude00'"));
    assert_text(ev.chunk,
                OPEN("{'content':'\\u003cb\\u003e \\'\\\\\\n\xc3\xa9\\ud83d\\ude00'}"));
    assert_text(ev.content, "\\u003cb\\u003e \\'\\\\\\n\xc3\xa9\\ud83d\\ude00");
    stop(&r);
}

/* Nothing of these is progress, and nothing goes out. */
static void says_nothing_for_events_that_tell_nothing(void **state)
{
    static const char *const silent[] = {
        "{'type':'ping'}",
        "{'type':'something_new','delta':{'type':'text_delta','text':'x'}}",
        BLOCK("{'type':'text','text':''}"),
        BLOCK("{'type':'thinking','thinking':'','signature':''}"),
        BLOCK("{'type':'redacted_thinking','data':'abc'}"),
        BLOCK("{'type':'server_tool_use','id':'s','name':'web_search','input':{}}"),
        INPUT("'{}'"), /* of the server's own tool */
        TEXT("''"),
        THINKING("''"),
        DELTA("{'type':'signature_delta','signature':'abc'}"),
        DELTA("{'type':'citations_delta','citation':{}}"),
        DELTA("{'type':'new_delta'}"),
        STOP_BLOCK,
        STOP_FOR("null"),
        STOP_FOR("''"),
        "{'type':'message_delta','delta':{}}",
        START, /* a second one */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
        struct reply r;
        start_message(&r, true);
        struct reply_event ev = read_ok(&r, silent[i]);
        if (ev.has_content || ev.has_finish || ev.is_done || ev.is_error || ev.is_abort ||
            ev.all_finished || ev.has_other || ev.chunk.len + ev.usage_chunk.len > 0) {
            fail_msg("%s", silent[i]);
        }
        stop(&r);
    }
}

static void gives_thinking_as_reasoning(void **state)
{
    struct reply r;
    (void)state;
    start_message(&r, false);
    struct reply_event ev = read_ok(&r, BLOCK("{'type':'thinking','thinking':'Hm'}"));
    assert_true(ev.has_content && ev.has_reasoning && ev.has_other);
    assert_text(ev.reasoning, "Hm");
    assert_int_equal(ev.content.len, 0);
    assert_text(ev.chunk, OPEN("{'reasoning_content':'Hm'}"));
    ev = read_ok(&r, THINKING("', so\\n'"));
    assert_text(ev.chunk, OPEN("{'reasoning_content':', so\\n'}"));
    ev = read_ok(&r, BLOCK("{'type':'text','text':'Well'}"));
    assert_false(ev.has_reasoning || ev.has_other);
    assert_text(ev.chunk, OPEN("{'content':'Well'}"));
    stop(&r);
}

static void gives_tool_calls_in_pieces(void **state)
{
    struct reply r;
    (void)state;
    start_message(&r, false);
    struct reply_event ev = read_ok(&r, CALL("toolu_1", "{}"));
    assert_true(ev.has_content && ev.has_tool_call && ev.has_other);
    assert_text(ev.chunk, OPEN("{'tool_calls':[{'index':0,'id':'toolu_1','type':'function',"
                               "'function':{'name':'f','arguments':''}}]}"));
    ev = read_ok(&r, INPUT("''"));
    assert_false(ev.has_content);
    assert_int_equal(ev.chunk.len, 0);
    ev = read_ok(&r, INPUT("'{\\'a\\': '"));
    assert_true(ev.has_content && ev.has_tool_call);
    assert_text(ev.chunk,
                OPEN("{'tool_calls':[{'index':0,'function':{'arguments':'{\\'a\\': '}}]}"));
    (void)read_ok(&r, INPUT("'1}'"));
    ev = read_ok(&r, STOP_BLOCK);
    assert_int_equal(ev.chunk.len, 0);
    ev = read_ok(&r, CALL("toolu_2", "{}"));
    assert_text(json_path(ev.chunk, "choices", "0", "delta", "tool_calls", "0", "index", NULL),
                "1");
    ev = read_ok(&r, INPUT("'{}'"));
    assert_text(json_path(ev.chunk, "choices", "0", "delta", "tool_calls", "0", "index", NULL),
                "1");
    ev = read_ok(&r, STOP_FOR("'tool_use'"));
    assert_text(ev.chunk, CHOICE("{}", "'tool_calls'"));
    assert_true(r.any_tool_calls);
    stop(&r);
}

/* A function without parameters, or a server that gives the input at once. */
static void gives_whole_input_where_no_piece_of_it_came(void **state)
{
    static const struct {
        const char *input;
        const char *arguments;
    } cases[] = {{"{}", "'{}'"}, {"null", "'{}'"}, {"{'a':'b'}", "'{\\'a\\':\\'b\\'}'"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        char event[256];
        start_message(&r, false);
        (void)snprintf(event, sizeof(event), CALL("toolu_1", "%s"), cases[i].input);
        (void)read_ok(&r, event);
        struct reply_event ev = read_ok(&r, STOP_BLOCK);
        assert_true(ev.has_tool_call);
        assert_text(json_path(ev.chunk, "choices", "0", "delta", "tool_calls", "0", "function",
                              "arguments", NULL),
                    cases[i].arguments);
        ev = read_ok(&r, STOP_BLOCK);
        assert_int_equal(ev.chunk.len, 0);
        stop(&r);
    }
}

static void maps_each_stop_reason(void **state)
{
    static const struct {
        const char *stop_reason;
        const char *finish_reason; /* NULL: the answer is not whole */
    } cases[] = {
        {"'end_turn'", "'stop'"},
        {"'stop_sequence'", "'stop'"},
        {"'max_tokens'", "'length'"},
        {"'model_context_window_exceeded'", "'length'"},
        {"'tool_use'", "'tool_calls'"},
        {"'refusal'", "'content_filter'"},
        {"'pause_turn'", NULL},
        {"'never_heard_of'", NULL},
        {"5", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        char event[256];
        start_message(&r, true);
        (void)snprintf(event, sizeof(event), STOP_FOR("%s"), cases[i].stop_reason);
        struct reply_event ev = read_ok(&r, event);
        bool is_whole = cases[i].finish_reason != NULL;
        assert_int_equal(ev.has_finish, is_whole);
        assert_int_equal(ev.all_finished, is_whole);
        assert_int_equal(ev.is_abort, !is_whole);
        assert_false(ev.is_done);
        if (is_whole) {
            assert_text(json_path(ev.chunk, "choices", "0", "finish_reason", NULL),
                        cases[i].finish_reason);
        } else {
            assert_int_equal(ev.chunk.len + ev.usage_chunk.len, 0);
        }
        stop(&r);
    }
}

static void is_done_at_message_stop_and_finished_only_by_a_reason(void **state)
{
    struct reply r;
    (void)state;
    start_message(&r, false);
    (void)read_ok(&r, TEXT("'x'"));
    struct reply_event ev = read_ok(&r, STOP);
    assert_true(ev.is_done);
    assert_false(ev.has_finish || ev.all_finished);
    stop(&r);
    start_message(&r, false);
    (void)read_ok(&r, STOP_FOR("'end_turn'"));
    ev = read_ok(&r, STOP);
    assert_true(ev.is_done && ev.all_finished);
    assert_false(ev.has_finish);
    assert_int_equal(ev.chunk.len, 0);
    stop(&r);
}

static void sums_up_the_prompt_and_takes_the_last_count(void **state)
{
    struct reply r;
    (void)state;
    start(&r, true);
    (void)read_ok(&r, START_USAGE("{'input_tokens':5,'cache_creation_input_tokens':100,"
                                  "'cache_read_input_tokens':1000,'output_tokens':3}"));
    assert_int_equal(r.prompt_tokens, 1105);
    struct reply_event ev = read_ok(&r, STOP_FOR("'end_turn'"));
    assert_true(ev.has_usage && r.has_usage);
    assert_int_equal(ev.prompt_tokens, 1105);
    assert_int_equal(ev.completion_tokens, 15);
    assert_text(ev.usage_chunk,
                CHUNK "],'usage':{'prompt_tokens':1105,'completion_tokens':15,'total_tokens':"
                      "1120,'prompt_tokens_details':{'cached_tokens':1000}}}");
    stop(&r);
    start_message(&r, true);
    ev = read_ok(&r, "{'type':'message_delta','delta':{'stop_reason':'end_turn'},'usage':{"
                     "'input_tokens':30,'cache_read_input_tokens':null,'output_tokens':2}}");
    assert_text(ev.usage_chunk, CHUNK "],'usage':{'prompt_tokens':30,'completion_tokens':2,"
                                      "'total_tokens':32}}");
    stop(&r);
}

static void takes_odd_counts_for_none(void **state)
{
    struct reply r;
    (void)state;
    start(&r, true);
    (void)read_ok(&r, START_USAGE("{'input_tokens':-1,'cache_read_input_tokens':'5'}"));
    struct reply_event ev =
        read_ok(&r, "{'type':'message_delta','delta':{'stop_reason':'end_turn'},'usage':"
                    "{'output_tokens':99999999999999999999999}}");
    assert_text(json_path(ev.usage_chunk, "usage", "total_tokens", NULL), "0");
    stop(&r);
    start(&r, true);
    (void)read_ok(&r, START_USAGE("null"));
    ev = read_ok(&r, "{'type':'message_delta','delta':{'stop_reason':'end_turn'}}");
    assert_text(json_path(ev.usage_chunk, "usage", "total_tokens", NULL), "0");
    stop(&r);
}

static void sends_no_usage_chunk_unasked(void **state)
{
    struct reply r;
    (void)state;
    start_message(&r, false);
    struct reply_event ev = read_ok(&r, STOP_FOR("'end_turn'"));
    assert_int_equal(ev.usage_chunk.len, 0);
    assert_int_equal(r.completion_tokens, 15);
    stop(&r);
}

static void reads_error_events_with_their_status(void **state)
{
    static const struct {
        const char *type;
        int status;
    } cases[] = {
        {"invalid_request_error", 400}, {"authentication_error", 401},
        {"billing_error", 402},         {"permission_error", 403},
        {"not_found_error", 404},       {"request_too_large", 413},
        {"rate_limit_error", 429},      {"api_error", 500},
        {"timeout_error", 504},         {"overloaded_error", 529},
        {"brand_new_error", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        char event[256];
        start_message(&r, false);
        (void)snprintf(event, sizeof(event),
                       "{'type':'error','error':{'type':'%s','message':'It is \\'so\\''},"
                       "'request_id':'req_1'}",
                       cases[i].type);
        struct reply_event ev = read_ok(&r, event);
        assert_true(ev.is_error);
        assert_false(ev.has_content || ev.is_done || ev.has_finish);
        assert_int_equal(ev.error.status, cases[i].status);
        assert_text(ev.error.type, cases[i].type);
        assert_text(ev.error.message, "It is 'so'");
        assert_int_equal(ev.error.code.len + ev.error.param.len + ev.chunk.len, 0);
        stop(&r);
    }
}

static void reads_whole_error_bodies(void **state)
{
    struct upstream_error error;
    struct arena a;
    (void)state;
    arena_init(&a);
    assert_true(anthropic_read_error(
        quotes(&a, "{'type':'error','error':{'type':'not_found_error','message':'model: x'},"
                   "'request_id':null}"),
        &a, &error));
    assert_text(error.message, "model: x");
    assert_text(error.type, "not_found_error");
    assert_int_equal(error.status, 404);
    assert_true(anthropic_read_error(
        quotes(&a, "{'type':'error','error':{'type':'invalid_request_error','message':'Your "
                   "credit balance is too low to access the Anthropic API.'}}"),
        &a, &error));
    assert_int_equal(error.status, 402);
    static const char *const others[] = {
        "", "<html>", "[]", "5", "{}", "null", "{'error':'x'}", "{'error':null}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(anthropic_read_error(quotes(&a, others[i]), &a, &error));
    }
    arena_fini(&a);
}

static void refuses_events_of_another_shape(void **state)
{
    static const struct {
        const char *event;
        enum err err;
    } cases[] = {
        {"[]", ERR_TYPE},
        {"'x'", ERR_TYPE},
        {"{}", ERR_TYPE},
        {"{'type':5}", ERR_TYPE},
        {"{'choices':[]}", ERR_TYPE},
        {"{'type':'error'}", ERR_TYPE},
        {"{'type':'error','error':'x'}", ERR_TYPE},
        {"{'type':'message_start'}", ERR_TYPE},
        {"{'type':'message_start','message':[]}", ERR_TYPE},
        {"{'type':'content_block_start','index':0}", ERR_TYPE},
        {BLOCK("{'type':'tool_use','name':'f'}"), ERR_TYPE},
        {BLOCK("{'type':'tool_use','id':'a','name':''}"), ERR_TYPE},
        {BLOCK("{'type':'text','text':5}"), ERR_TYPE},
        {"{'type':'content_block_delta','index':0}", ERR_TYPE},
        {DELTA("{'type':'text_delta'}"), ERR_TYPE},
        {DELTA("{'type':'thinking_delta','thinking':{}}"), ERR_TYPE},
        {DELTA("{'type':'input_json_delta','partial_json':{}}"), ERR_TYPE},
        {"{'type':'message_delta'}", ERR_TYPE},
        {"", ERR_SYNTAX},
        {"[DONE]", ERR_SYNTAX},
        {"<html>", ERR_SYNTAX},
        {TEXT("'\xff'"), ERR_UTF8},
        {"{'type':'ping','type':'ping'}", ERR_DUPLICATE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r;
        struct reply_event ev;
        start(&r, false);
        if (read_text(&r, cases[i].event, &ev) != cases[i].err) {
            fail_msg("%s", cases[i].event);
        }
        assert_int_equal(r.finished, 0);
        stop(&r);
    }
}

static void refuses_more_of_the_answer_after_its_end(void **state)
{
    static const char *const late[] = {TEXT("'x'"), CALL("a", "{}"), STOP_FOR("'end_turn'"),
                                       START, STOP_BLOCK};
    struct reply r;
    struct reply_event ev;
    (void)state;
    start_message(&r, false);
    (void)read_ok(&r, STOP_FOR("'end_turn'"));
    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        assert_int_equal(read_text(&r, late[i], &ev), ERR_TYPE);
    }
    (void)read_ok(&r, "{'type':'ping'}");
    assert_true(read_ok(&r, STOP).is_done);
    stop(&r);
}

static void refuses_every_cut_of_an_event(void **state)
{
    static const char *const whole[] = {START, TEXT("'H\\u00e9'"), STOP_FOR("'end_turn'")};
    struct arena a;
    (void)state;
    arena_init(&a);
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        struct str event = quotes(&a, whole[i]);
        for (size_t len = 0; len < event.len; len++) {
            struct reply r;
            struct reply_event ev;
            start(&r, true);
            char *cut = malloc(len + 1); /* of its own, so that an overrun is seen */
            assert_non_null(cut);
            memcpy(cut, event.ptr, len);
            assert_int_not_equal(dialect_anthropic.read_event(&r, str_of(cut, len), &ev),
                                 ERR_OK);
            free(cut);
            stop(&r);
        }
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_role_at_the_start_which_is_no_progress),
        cmocka_unit_test(gives_the_role_with_the_first_text_where_no_start_was_told),
        cmocka_unit_test(keeps_text_as_it_is_escaped),
        cmocka_unit_test(says_nothing_for_events_that_tell_nothing),
        cmocka_unit_test(gives_thinking_as_reasoning),
        cmocka_unit_test(gives_tool_calls_in_pieces),
        cmocka_unit_test(gives_whole_input_where_no_piece_of_it_came),
        cmocka_unit_test(maps_each_stop_reason),
        cmocka_unit_test(is_done_at_message_stop_and_finished_only_by_a_reason),
        cmocka_unit_test(sums_up_the_prompt_and_takes_the_last_count),
        cmocka_unit_test(takes_odd_counts_for_none),
        cmocka_unit_test(sends_no_usage_chunk_unasked),
        cmocka_unit_test(reads_error_events_with_their_status),
        cmocka_unit_test(reads_whole_error_bodies),
        cmocka_unit_test(refuses_events_of_another_shape),
        cmocka_unit_test(refuses_more_of_the_answer_after_its_end),
        cmocka_unit_test(refuses_every_cut_of_an_event),
    };
    return cmocka_run_group_tests_name("llm/anthropic_reply", tests, NULL, NULL);
}
