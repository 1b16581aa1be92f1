#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/client_reply.h"
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

static void assert_json(struct str s, const char *expected)
{
    struct str wanted = quotes(&arena, expected);
    size_t at;
    assert_int_equal(json_check(s, &at), ERR_OK);
    if (!str_eq(s, wanted)) {
        fail_msg("got %.*s, not %.*s", STR_FMT(s), STR_FMT(wanted));
    }
}

static void tells_the_dialect_by_the_path(void **state)
{
    static const struct {
        const char *path;
        enum client_dialect dialect;
    } rows[] = {
        {"/v1/chat/completions", CLIENT_OPENAI},
        {"/v1/messages", CLIENT_ANTHROPIC},
        {"/v1/messages/", CLIENT_ANTHROPIC},
        {"/v1/messages?beta=true", CLIENT_ANTHROPIC},
        {"/v1/messages2", CLIENT_OPENAI},
        {"/v1/messages/count_tokens", CLIENT_ANTHROPIC},
        {"/api/chat", CLIENT_OLLAMA},
        {"/api/", CLIENT_OLLAMA},
        {"/apis", CLIENT_OPENAI},
        {"/v1/message", CLIENT_OPENAI},
        {"/", CLIENT_OPENAI},
        {"", CLIENT_OPENAI},
        {"/v1/models", CLIENT_OPENAI},
        {"/x/api/chat", CLIENT_OPENAI},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(client_dialect_of(str_from(rows[i].path)), rows[i].dialect);
    }
}

static void writes_the_contract_for_all_backends_down(void **state)
{
    struct client_error e = client_error_all_down(30);
    (void)state;
    assert_int_equal(e.status, 503);
    assert_json(client_error_body(CLIENT_OPENAI, &e, &arena),
                "{'error':{'message':'All inference backends unavailable',"
                "'type':'service_unavailable','param':null,'code':'all_backends_unavailable'},"
                "'retry_after':30}");
    assert_json(client_error_body(CLIENT_ANTHROPIC, &e, &arena),
                "{'type':'error','error':{'type':'overloaded_error','message':'All inference "
                "backends unavailable'},'request_id':null}");
    assert_json(client_error_body(CLIENT_OLLAMA, &e, &arena),
                "{'error':'All inference backends unavailable'}");
}

static void writes_null_for_what_is_not_told(void **state)
{
    struct client_error e = {
        .status = 400, .type = "invalid_request_error", .message = STR("no")};
    (void)state;
    assert_json(
        client_error_body(CLIENT_OPENAI, &e, &arena),
        "{'error':{'message':'no','type':'invalid_request_error','param':null,'code':null}}");
    e.param = STR("model");
    e.code = "invalid_type";
    assert_json(client_error_body(CLIENT_OPENAI, &e, &arena),
                "{'error':{'message':'no','type':'invalid_request_error','param':'model',"
                "'code':'invalid_type'}}");
}

static void escapes_what_strangers_wrote(void **state)
{
    struct client_error e = {.status = 404,
                             .type = "t",
                             .message = STR("a\"\\\n\0b\xff"),
                             .param = STR("\""),
                             .request_id = STR("\"id")};
    (void)state;
    assert_json(client_error_body(CLIENT_OPENAI, &e, &arena),
                "{'error':{'message':'a\\\"\\\\\\n\\u0000b\xef\xbf\xbd','type':'t',"
                "'param':'\\\"','code':null}}");
    assert_json(client_error_body(CLIENT_ANTHROPIC, &e, &arena),
                "{'type':'error','error':{'type':'not_found_error','message':"
                "'a\\\"\\\\\\n\\u0000b\xef\xbf\xbd'},'request_id':'\\\"id'}");
    assert_json(client_error_body(CLIENT_OLLAMA, &e, &arena),
                "{'error':'a\\\"\\\\\\n\\u0000b\xef\xbf\xbd'}");
}

static void names_the_error_as_anthropic_does(void **state)
{
    static const struct {
        int status;
        const char *type;
    } rows[] = {
        {400, "invalid_request_error"},
        {401, "authentication_error"},
        {402, "billing_error"},
        {403, "permission_error"},
        {404, "not_found_error"},
        {405, "invalid_request_error"},
        {413, "request_too_large"},
        {422, "invalid_request_error"},
        {429, "rate_limit_error"},
        {500, "api_error"},
        {502, "api_error"},
        {503, "overloaded_error"},
        {504, "timeout_error"},
        {529, "overloaded_error"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client_error e = {.status = rows[i].status, .type = "x", .message = STR("m")};
        struct str body = client_error_body(CLIENT_ANTHROPIC, &e, &arena);
        struct str type = STR_NONE;
        assert_int_equal(json_text(json_path(body, "error", "type", NULL), &arena, &type),
                         ERR_OK);
        assert_true(str_eq(type, str_from(rows[i].type)));
    }
}

static void assert_annotated(const char *object, struct annotation an, const char *expected)
{
    struct rope out;
    rope_init(&out);
    annotate(quotes(&arena, object), &an, &arena, &out);
    assert_json(rope_join(&out, &arena), expected);
}

static void leaves_the_answer_alone_without_a_backend(void **state)
{
    (void)state;
    assert_annotated("{'id':1}", (struct annotation){.degraded = true, .notice = STR("n")},
                     "{'id':1}");
}

static void marks_the_answer(void **state)
{
    (void)state;
    assert_annotated("{'id':1}", (struct annotation){.backend = STR("gpu1")},
                     "{'id':1,'_backend':'gpu1'}");
    assert_annotated("{}", (struct annotation){.backend = STR("gpu1")}, "{'_backend':'gpu1'}");
    assert_annotated("{'id':1}", (struct annotation){.backend = STR("c\"pu"), .degraded = true},
                     "{'id':1,'_backend':'c\\\"pu','_degraded':true}");
    assert_annotated(
        "{'id':1}",
        (struct annotation){
            .backend = STR("cpu"), .degraded = true, .notice = STR("slow \xe2\x80\x94 short")},
        "{'id':1,'_backend':'cpu','_degraded':true,'_notice':'slow \xe2\x80\x94 short'}");
}

static void replaces_the_marks_of_another_gateway(void **state)
{
    (void)state;
    assert_annotated("{'_backend':'far','id':1}", (struct annotation){.backend = STR("near")},
                     "{'_backend':'near','id':1}");
    assert_annotated("{'id':1,'\\u005fbackend':'far'}", /* the same name, escaped */
                     (struct annotation){.backend = STR("near")},
                     "{'id':1,'\\u005fbackend':'near'}");
    assert_annotated("{'\\\\':2,'_\\u0062ackend':'far'}",
                     (struct annotation){.backend = STR("near")},
                     "{'\\\\':2,'_\\u0062ackend':'near'}");
}

static void is_not_misled_by_texts_that_look_like_marks(void **state)
{
    static const char *const members[] = {
        "'a_b':1",          "'a':'_backend'", "'a':'x\\'_backend'", "'a':{'_backend':1}",
        "'a':'\\\\u005fb'",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *object = arena_printf(&arena, "{%s}", members[i]).ptr;
        const char *expected = arena_printf(&arena, "{%s,'_backend':'b'}", members[i]).ptr;
        assert_annotated(object, (struct annotation){.backend = STR("b")}, expected);
    }
}

static void adds_behind_what_the_rope_holds(void **state)
{
    struct rope out;
    struct annotation an = {.backend = STR("b")};
    (void)state;
    rope_init(&out);
    rope_add(&out, STR("data: "));
    annotate(STR("{}"), &an, &arena, &out);
    assert_true(str_eq(rope_join(&out, &arena), STR("data: {\"_backend\":\"b\"}")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_the_dialect_by_the_path),
        TEST(writes_the_contract_for_all_backends_down),
        TEST(writes_null_for_what_is_not_told),
        TEST(escapes_what_strangers_wrote),
        TEST(names_the_error_as_anthropic_does),
        TEST(leaves_the_answer_alone_without_a_backend),
        TEST(marks_the_answer),
        TEST(replaces_the_marks_of_another_gateway),
        TEST(is_not_misled_by_texts_that_look_like_marks),
        TEST(adds_behind_what_the_rope_holds),
    };
    return cmocka_run_group_tests_name("llm/client_reply", tests, NULL, NULL);
}
