#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/openai.h"
#include "quotes.h"
#include "wire/json.h"

static struct arena arena;
static struct reply reply;
static struct reply_event ev;

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

static void assert_str(struct str s, const char *expected)
{
    if (!str_eq(s, str_from(expected))) {
        fail_msg("got %.*s, not %s", STR_FMT(s), expected);
    }
}

/* --- Requests --- */

#define PLAIN .model = STR_INIT("big")

struct build_row {
    const char *members; /* of the client's body, behind model and messages */
    struct chat_edit edit;
    const char *expected; /* likewise */
};

static const struct build_row build_rows[] = {
    {"", {PLAIN}, ""},
    {",'x':{'deep':[1e5,null]},'model2':'m'", {PLAIN}, ",'x':{'deep':[1e5,null]},'model2':'m'"},
    /* the limit goes by the client's own name for it */
    {"", {PLAIN, .set_max_tokens = true, .max_tokens = 200}, ",'max_tokens':200"},
    {",'max_tokens':900,'t':1",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_tokens':200,'t':1"},
    {",'max_tokens':null",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_tokens':200"},
    {",'max_completion_tokens':900",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_completion_tokens':200"},
    {",'max_tokens':null,'max_completion_tokens':900",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_tokens':null,'max_completion_tokens':200"},
    {",'max_tokens':900,'max_completion_tokens':800",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_tokens':200,'max_completion_tokens':200"},
    {",'max_tokens':100,'max_completion_tokens':800",
     {PLAIN, .set_max_tokens = true, .max_tokens = 200},
     ",'max_tokens':100,'max_completion_tokens':100"},
    {",'max_tokens':900", {PLAIN}, ",'max_tokens':900"},
    /* temperature */
    {"", {PLAIN, .set_temperature = true}, ",'temperature':0"},
    {",'temperature':1.5",
     {PLAIN, .set_temperature = true, .temperature = 0.1},
     ",'temperature':0.1"},
    {",'temperature':1.5",
     {PLAIN, .set_temperature = true, .temperature = 1.0 / 3},
     ",'temperature':0.3333333333333333"},
    /* stream */
    {"", {PLAIN, .stream = true}, ",'stream':true"},
    {",'stream':false", {PLAIN, .stream = true}, ",'stream':true"},
    {",'stream':true", {PLAIN, .stream = true}, ",'stream':true"},
    {",'stream':true,'a':1", {PLAIN}, ",'stream':false,'a':1"},
    {",'stream':null", {PLAIN}, ",'stream':null"},
    {",'stream':true,'stream_options':{'include_usage':true}", {PLAIN}, ",'stream':false"},
    {",'stream_options':null", {PLAIN}, ""},
    /* usage */
    {"", {PLAIN, .want_usage = true}, ""},
    {"",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'include_usage':true}"},
    {",'stream':true", {PLAIN, .stream = true}, ",'stream':true"},
    {",'stream':true,'stream_options':null",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'include_usage':true}"},
    {",'stream':true,'stream_options':{}",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'include_usage':true}"},
    {",'stream':true,'stream_options':{'include_usage':false,'x':1}",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'include_usage':true,'x':1}"},
    {",'stream':true,'stream_options':{'x':1}",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'x':1,'include_usage':true}"},
    {",'stream':true,'stream_options':{'include_usage':true,'x':1}",
     {PLAIN, .stream = true, .want_usage = true},
     ",'stream':true,'stream_options':{'include_usage':true,'x':1}"},
    {",'stream':true,'stream_options':{'include_usage':false}",
     {PLAIN, .stream = true},
     ",'stream':true,'stream_options':{'include_usage':false}"},
};

static void changes_only_what_must_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(build_rows) / sizeof(build_rows[0]); i++) {
        const struct build_row *row = &build_rows[i];
        struct chat_request q = ask(row->members);
        struct rope out;
        struct bad_request bad;
        size_t at;
        assert_int_equal(dialect_vllm.build(&q, &row->edit, &arena, &out, &bad), ERR_OK);
        struct str built = rope_join(&out, &arena);
        struct str expected =
            arena_printf(&arena, "{'model':'big','messages':[{}]%s}", row->expected);
        assert_int_equal(json_check(built, &at), ERR_OK);
        assert_str(built, arena_dup(&arena, quotes(&arena, expected.ptr)).ptr);
    }
}

static void copies_nothing_of_the_body_when_only_the_model_changes(void **state)
{
    struct chat_request q = ask(",'stream':true");
    struct chat_edit edit = {.model = STR("x\"y"), .stream = true};
    struct rope out;
    struct bad_request bad;
    (void)state;
    assert_int_equal(dialect_openai.build(&q, &edit, &arena, &out, &bad), ERR_OK);
    assert_true(out.count <= 4);
    assert_ptr_equal(out.piece[0].ptr, q.body.ptr);
    assert_str(out.piece[1], "\"x\\\"y\"");
    assert_ptr_equal(out.piece[2].ptr, q.raw.model.ptr + q.raw.model.len);
}

/* --- Events --- */

static enum err read_payload(const char *payload)
{
    return reply_read_event(&reply, quotes(&arena, payload), &ev);
}

static void tells_progress_from_noise(void **state)
{
    static const struct {
        const char *delta;
        bool has_content;
    } rows[] = {
        {"{'role':'assistant'}", false},
        {"{'role':'assistant','content':''}", false},
        {"{'role':'assistant','content':null}", false},
        {"{}", false},
        {"null", false},
        {"{'content':'x'}", true},
        {"{'content':' '}", true},
        {"{'content':'\\u0000'}", true},
        {"{'reasoning':'x'}", true},
        {"{'reasoning_content':'x'}", true},
        {"{'reasoning':'','reasoning_content':'','refusal':''}", false},
        {"{'refusal':'x'}", true},
        {"{'tool_calls':[]}", false},
        {"{'tool_calls':null}", false},
        {"{'tool_calls':[{'index':0}]}", true},
        {"{'function_call':{'arguments':''}}", true},
        {"{'function_call':null}", false},
        {"{'audio':{'data':'x'}}", true},
        {"{'unknown':'x'}", false},
        {"{'content':'x','content':''}", false}, /* the last one counts */
        {"{'c\\u006fntent':'x'}", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str payload = arena_printf(
            &arena, "{'id':'c','choices':[{'index':0,'delta':%s,'finish_reason':null}]}",
            rows[i].delta);
        assert_int_equal(read_payload(payload.ptr), ERR_OK);
        if (ev.has_content != rows[i].has_content) {
            fail_msg("%s", rows[i].delta);
        }
        assert_false(ev.has_finish || ev.all_finished || ev.has_usage || ev.is_done);
        assert_false(ev.is_error || ev.is_abort);
        assert_true(ev.is_verbatim);
        assert_int_equal(ev.chunk.len, payload.len);
        assert_int_equal(ev.usage_chunk.len, 0);
    }
    assert_true(reply.any_tool_calls);
}

/* r: reasoning, t: tool call, u: kept by nobody. */
static void tells_the_kinds_apart(void **state)
{
    static const struct {
        const char *choices;
        const char *content; /* NULL: none was there */
        const char *reasoning;
        const char *kinds;
    } rows[] = {
        {"{'delta':{'role':'assistant','content':''}}", "", "", ""},
        {"{'delta':{'content':null}}", NULL, "", ""},
        {"{'delta':{}}", NULL, "", ""},
        {"{'index':0,'delta':{'content':'a\\n\\/'}}", "a\\n\\/", "", ""},
        {"{'delta':{'content':'x','reasoning':'y'}}", "x", "y", "r"},
        {"{'delta':{'reasoning':'y','reasoning_content':'y'}}", NULL, "y", "r"},
        {"{'delta':{'reasoning':'y','reasoning_content':''}}", NULL, "y", "r"},
        {"{'delta':{'content':'x','tool_calls':[{}]}}", "x", "", "t"},
        {"{'delta':{'function_call':{'name':'f'}}}", NULL, "", "u"},
        {"{'index':1,'delta':{'tool_calls':[{'index':0}]}}", NULL, "", "u"},
        {"{'delta':{'content':'x','refusal':'y'}}", "x", "", "u"},
        {"{'delta':{'content':['x']}}", NULL, "", "u"},
        {"{'delta':{'reasoning':['x']}}", NULL, "", "u"},
        {"{'index':1,'delta':{'content':'x'}}", NULL, "", "u"},
        {"{'index':1,'delta':{'content':''}}", NULL, "", ""},
        {"{'index':1,'delta':{'reasoning':'x'}}", NULL, "", "u"},
        {"{'index':0,'delta':{'content':'x'}},{'index':1,'delta':{'content':'y'}}", "x", "",
         "u"},
        {"{'index':1,'delta':{'content':'y'}},{'index':0,'delta':{'content':'x'}}", "x", "",
         "u"},
        {"{'delta':{'content':'x'}},{'delta':{'content':'y'}}", "x", "", "u"},
        {"{'delta':{'content':''}},{'delta':{'content':'y'}}", "y", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str payload = arena_printf(&arena, "{'choices':[%s]}", rows[i].choices);
        assert_int_equal(read_payload(payload.ptr), ERR_OK);
        assert_int_equal(ev.content.ptr != NULL, rows[i].content != NULL);
        assert_str(ev.content, rows[i].content ? rows[i].content : "");
        assert_str(ev.reasoning, rows[i].reasoning);
        assert_int_equal(ev.has_reasoning, strchr(rows[i].kinds, 'r') != NULL);
        assert_int_equal(ev.has_tool_call, strchr(rows[i].kinds, 't') != NULL);
        assert_int_equal(ev.has_unkept, strchr(rows[i].kinds, 'u') != NULL);
        assert_int_equal(ev.has_other, rows[i].kinds[0] != 0);
        assert_int_equal(ev.has_content, ev.has_other || ev.content.len > 0);
        bool is_slice = ev.content.len == 0 || (ev.content.ptr > ev.chunk.ptr &&
                                                ev.content.ptr < ev.chunk.ptr + ev.chunk.len);
        assert_true(is_slice);
    }
}

static void tells_no_text_that_is_not_passed_on(void **state)
{
    (void)state;
    assert_int_equal(
        read_payload("{'choices':[{'delta':{'content':'x'},'finish_reason':'abort'}]}"),
        ERR_OK);
    assert_true(ev.has_content);
    assert_int_equal(ev.content.len, 0);
    assert_int_equal(read_payload("{'choices':[{'delta':{'content':'x'}}],'usage':{"
                                  "'prompt_tokens':4,'completion_tokens':5}}"),
                     ERR_OK);
    assert_int_equal(ev.prompt_tokens, 4);
    assert_int_equal(ev.completion_tokens, 5);
}

static void passes_the_payload_itself(void **state)
{
    struct str payload = quotes(&arena, " {'choices':[{'index':0,'delta':{'content':'x'}}]} ");
    (void)state;
    assert_int_equal(reply_read_event(&reply, payload, &ev), ERR_OK);
    assert_ptr_equal(ev.chunk.ptr, payload.ptr);
    assert_int_equal(ev.chunk.len, payload.len);
    assert_int_equal(arena_used(&reply.scratch), 0);
}

static void judges_finish_reasons(void **state)
{
    static const struct {
        const char *reason;
        bool has_finish;
        bool is_abort;
    } rows[] = {
        {"'stop'", true, false},          {"'length'", true, false},
        {"'tool_calls'", true, false},    {"'content_filter'", true, false},
        {"'function_call'", true, false}, {"'st\\u006fp'", true, false},
        {"null", false, false},           {"''", false, false},
        {"'abort'", false, true},         {"'error'", false, true},
        {"'repetition'", false, true},    {"'STOP'", false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin_reply("");
        struct str payload = arena_printf(&arena,
                                          "{'choices':[{'index':0,'delta':{'content':'x'},"
                                          "'finish_reason':%s,'stop_reason':null}]}",
                                          rows[i].reason);
        assert_int_equal(read_payload(payload.ptr), ERR_OK);
        assert_int_equal(ev.has_finish, rows[i].has_finish);
        assert_int_equal(ev.all_finished, rows[i].has_finish);
        assert_int_equal(ev.is_abort, rows[i].is_abort);
        assert_int_equal(ev.chunk.len, rows[i].is_abort ? 0 : payload.len);
    }
}

static void waits_for_every_choice_and_counts_each_once(void **state)
{
    (void)state;
    begin_reply(",'n':3");
    assert_int_equal(read_payload("{'choices':[{'index':0,'finish_reason':'stop'}]}"), ERR_OK);
    assert_true(ev.has_finish && !ev.all_finished);
    assert_int_equal(read_payload("{'choices':[{'index':0,'finish_reason':'stop'}]}"), ERR_OK);
    assert_int_equal(reply.finished, 1);
    assert_int_equal(read_payload("{'choices':[{'index':2,'finish_reason':'length'}]}"),
                     ERR_OK);
    assert_false(ev.all_finished);
    assert_int_equal(read_payload("{'choices':[{'index':1,'delta':{'content':'x'}}]}"), ERR_OK);
    assert_false(ev.has_finish || ev.all_finished);
    assert_int_equal(read_payload("{'choices':[{'index':1,'finish_reason':'stop'}]}"), ERR_OK);
    assert_true(ev.has_finish && ev.all_finished);
    assert_int_equal(reply.finished, 3);
    assert_int_equal(read_payload("[DONE]"), ERR_OK);
    assert_true(ev.all_finished && ev.is_done);
}

static void finishes_128_choices(void **state)
{
    (void)state;
    begin_reply(",'n':128");
    for (int i = 127; i >= 0; i--) {
        struct str payload = arena_printf(
            &arena, "{'choices':[{'index':%d,'delta':{},'finish_reason':'stop'}]}", i);
        assert_int_equal(read_payload(payload.ptr), ERR_OK);
        assert_int_equal(ev.all_finished, i == 0);
    }
}

static void waits_for_choices_nobody_asked_for(void **state)
{
    (void)state;
    assert_int_equal(read_payload("{'choices':[{'index':1,'delta':{'content':'x'}}]}"), ERR_OK);
    assert_int_equal(read_payload("{'choices':[{'index':0,'finish_reason':'stop'}]}"), ERR_OK);
    assert_false(ev.all_finished);
    assert_int_equal(read_payload("{'choices':[{'index':1,'finish_reason':'stop'}]}"), ERR_OK);
    assert_true(ev.all_finished);
}

static void takes_the_end_mark_for_no_more_than_that(void **state)
{
    (void)state;
    assert_int_equal(read_payload("[DONE]"), ERR_OK);
    assert_true(ev.is_done);
    assert_false(ev.all_finished || ev.has_finish || ev.has_content);
    assert_int_equal(ev.chunk.len, 0);
    assert_int_equal(read_payload(" [DONE] "), ERR_OK);
    assert_true(ev.is_done);
}

static void passes_the_usage_chunk_only_to_who_asked(void **state)
{
    const char *usage = "{'choices':[],'usage':{'prompt_tokens':11,'completion_tokens':22},"
                        "'timings':{}}";
    (void)state;
    assert_int_equal(read_payload(usage), ERR_OK);
    assert_true(ev.has_usage);
    assert_int_equal(ev.chunk.len, 0);
    assert_true(reply.has_usage);
    assert_int_equal(reply.prompt_tokens, 11);
    assert_int_equal(reply.completion_tokens, 22);
    begin_reply(",'stream':true,'stream_options':{'include_usage':true}");
    assert_int_equal(read_payload(usage), ERR_OK);
    assert_int_equal(ev.chunk.len, strlen(usage));
    assert_int_equal(read_payload("{'usage':{'prompt_tokens':12}}"), ERR_OK);
    assert_true(ev.has_usage);
    assert_int_equal(reply.prompt_tokens, 12);
    assert_int_equal(reply.completion_tokens, 22);
}

static void passes_what_it_does_not_know(void **state)
{
    static const char *const chunks[] = {
        "{'choices':[],'prompt_filter_results':[]}",
        "{'choices':[],'usage':null}",
        "{'choices':[{'index':0,'delta':{'role':'assistant','content':null},'finish_reason':"
        "null}],"
        "'prompt_progress':{'total':5}}",
        "{'choices':[{'delta':{'content':'x'},'token_ids':[1]}],'usage':null,'error':null}",
        "{'choices':[{'index':0,'delta':{'content':'x'}}],'usage':{'completion_tokens':1}}",
        "{'choices':[{'delta':{'content':'x'}}],'error':'','object':'chat.completion.chunk'}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        assert_int_equal(read_payload(chunks[i]), ERR_OK);
        assert_int_equal(ev.chunk.len, strlen(chunks[i]));
        assert_false(ev.is_error);
    }
}

static void refuses_events_that_are_no_chunks(void **state)
{
    static const struct {
        const char *payload;
        enum err err;
    } rows[] = {
        {"", ERR_SYNTAX},
        {"[DONE", ERR_SYNTAX},
        {"DONE", ERR_SYNTAX},
        {"<html>", ERR_SYNTAX},
        {"{'choices':[{'index':0,'delta':{'content':'x'", ERR_SYNTAX},
        {"{'choices':[{'index':0,'delta':{'content':'\xff'}}]}", ERR_UTF8},
        {"{'choices':[],'choices':[]}", ERR_DUPLICATE},
        {"null", ERR_TYPE},
        {"[]", ERR_TYPE},
        {"{}", ERR_TYPE},
        {"{'id':'x'}", ERR_TYPE},
        {"{'message':'x'}", ERR_TYPE},
        {"{'choices':null}", ERR_TYPE},
        {"{'choices':{}}", ERR_TYPE},
        {"{'choices':[null]}", ERR_TYPE},
        {"{'choices':['x']}", ERR_TYPE},
        {"{'choices':[{'index':'0'}]}", ERR_TYPE},
        {"{'choices':[{'index':128}]}", ERR_RANGE},
        {"{'choices':[{'index':0,'delta':'x'}]}", ERR_TYPE},
        {"{'choices':[{'index':0,'finish_reason':5}]}", ERR_TYPE},
        {"{'usage':5}", ERR_TYPE},
        {"{'choices':[],'usage':5,'x':1}", ERR_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum err e = read_payload(rows[i].payload);
        if (e != rows[i].err) {
            fail_msg("%s: %s", rows[i].payload, err_name(e));
        }
    }
}

struct error_row {
    const char *body;
    const char *message;
    const char *type;
    const char *param;
    const char *code;
    int status;
};

static const struct error_row error_rows[] = {
    {"{'error':{'message':'m\\n','type':'t','param':'p','code':'c'}}", "m\n", "t", "p", "c", 0},
    {"{'error':{'message':'m','type':'InternalServerError','param':null,'code':500}}", "m",
     "InternalServerError", "", "500", 500},
    {"{'error':{'code':503,'message':'Loading model','type':'unavailable_error'}}",
     "Loading model", "unavailable_error", "", "503", 503},
    {"{'error':{'code':'429','message':'m'}}", "m", "", "", "429", 429},
    {"{'error':{'code':200,'message':'m'}}", "m", "", "", "200", 0},
    {"{'error':{'code':600,'message':'m'}}", "m", "", "", "600", 0},
    {"{'error':'Unauthorized'}", "Unauthorized", "", "", "", 0},
    {"{'error':'text','error_type':'overloaded'}", "text", "overloaded", "", "", 0},
    {"{'type':'error','error':{'type':'overloaded_error','message':'m'},'request_id':'r'}", "m",
     "overloaded_error", "", "", 0},
    {"{'error':{'odd':1}}", "{\"odd\":1}", "", "", "", 0},
    {"{'object':'error','message':'m','type':'BadRequest','param':null,'code':400}", "m",
     "BadRequest", "", "400", 400},
};

static void assert_error(const struct error_row *row, const struct upstream_error *error)
{
    assert_str(error->message, row->message);
    assert_str(error->type, row->type);
    assert_str(error->param, row->param);
    assert_str(error->code, row->code);
    assert_int_equal(error->status, row->status);
}

static void reads_errors_in_every_shape(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++) {
        const struct error_row *row = &error_rows[i];
        struct upstream_error error;
        assert_true(dialect_vllm.read_error(quotes(&arena, row->body), &arena, &error));
        assert_error(row, &error);
        assert_int_equal(read_payload(row->body), ERR_OK);
        assert_true(ev.is_error);
        assert_error(row, &ev.error);
        assert_int_equal(ev.chunk.len, 0);
        assert_false(ev.has_content || ev.all_finished || ev.is_abort);
        assert_int_equal(reply_read_whole(&reply, quotes(&arena, row->body), &error),
                         WHOLE_ERROR);
        assert_error(row, &error);
    }
}

static void reads_error_bodies_without_an_error_member(void **state)
{
    static const struct error_row rows[] = {
        {"{'message':'m','type':'t'}", "m", "t", "", "", 0},
        {"{'detail':'Not Found'}", "Not Found", "", "", "", 0},
        {"{'detail':[{'loc':['body'],'msg':'x'}]}", "[{\"loc\":[\"body\"],\"msg\":\"x\"}]", "",
         "", "", 0},
        {" {'error':null,'message':'m'} ", "m", "", "", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct upstream_error error;
        assert_true(dialect_openai.read_error(quotes(&arena, rows[i].body), &arena, &error));
        assert_error(&rows[i], &error);
    }
}

static void does_not_take_anything_for_an_error(void **state)
{
    static const char *const bodies[] = {
        "",
        "<html>502</html>",
        "{'error':{'message':'m'",
        "{}",
        "{'error':null}",
        "[]",
        "null",
        "{'error':false}",
        "'x'",
        "{'choices':[]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct upstream_error error;
        assert_false(dialect_vllm.read_error(quotes(&arena, bodies[i]), &arena, &error));
    }
}

static void forgets_an_error_with_the_next_event(void **state)
{
    (void)state;
    assert_int_equal(read_payload("{'error':{'message':'a\\nb'}}"), ERR_OK);
    assert_true(arena_used(&reply.scratch) > 0);
    assert_int_equal(read_payload("{'choices':[]}"), ERR_OK);
    assert_false(ev.is_error);
    assert_int_equal(arena_used(&reply.scratch), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_only_what_must_differ),
        TEST(copies_nothing_of_the_body_when_only_the_model_changes),
        TEST(tells_progress_from_noise),
        TEST(tells_the_kinds_apart),
        TEST(tells_no_text_that_is_not_passed_on),
        TEST(passes_the_payload_itself),
        TEST(judges_finish_reasons),
        TEST(waits_for_every_choice_and_counts_each_once),
        TEST(finishes_128_choices),
        TEST(waits_for_choices_nobody_asked_for),
        TEST(takes_the_end_mark_for_no_more_than_that),
        TEST(passes_the_usage_chunk_only_to_who_asked),
        TEST(passes_what_it_does_not_know),
        TEST(refuses_events_that_are_no_chunks),
        TEST(reads_errors_in_every_shape),
        TEST(reads_error_bodies_without_an_error_member),
        TEST(does_not_take_anything_for_an_error),
        TEST(forgets_an_error_with_the_next_event),
    };
    return cmocka_run_group_tests_name("llm/openai", tests, NULL, NULL);
}
