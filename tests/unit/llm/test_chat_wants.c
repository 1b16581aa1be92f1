#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "quotes.h"

/* What a request asks for, as chat_request reads it (llm/chat_wants), and what refusals name.
 */

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

/* `more`: further members, with a comma before them. */
static struct chat_request request(const char *messages, const char *more)
{
    struct chat_request q;
    struct bad_request bad;
    struct str body = arena_printf(&arena, "{'model':'m','messages':%s%s}", messages, more);
    assert_int_equal(chat_request_read(quotes(&arena, body.ptr), &arena, &q, &bad), ERR_OK);
    return q;
}

#define ASK "[{'role':'user','content':'Hi'}]"

static void reads_what_is_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        struct chat_wants wants;
    } rows[] = {
        {"", {.tools = false}},
        {",'tools':[{'type':'function'}]", {.tools = true}},
        {",'functions':[{'name':'f'}]", {.tools = true}},
        {",'tools':[]", {.tools = false}},
        {",'tools':[ ]", {.tools = false}},
        {",'tools':null", {.tools = false}},
        {",'tools':'x'", {.tools = false}},
        {",'response_format':{'type':'json_schema','json_schema':{}}", {.json_schema = true}},
        {",'response_format':{'type':'json_object'}", {.json_schema = false}},
        {",'response_format':'json_schema'", {.json_schema = false}},
        {",'logprobs':true", {.logprobs = true}},
        {",'logprobs':false,'top_logprobs':0", {.logprobs = false}},
        {",'logprobs':2", {.logprobs = true}},
        {",'top_logprobs':3", {.logprobs = true}},
        {",'logprobs':null,'top_logprobs':null", {.logprobs = false}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct chat_wants w = request(ASK, rows[i].more).wants;
        bool is_same = w.tools == rows[i].wants.tools && !w.vision &&
                       w.json_schema == rows[i].wants.json_schema &&
                       w.logprobs == rows[i].wants.logprobs;
        if (!is_same) {
            print_error("%s\n", rows[i].more);
            fail();
        }
    }
}

#define IMAGE(url) "{'type':'image_url','image_url':{'url':'" url "'}}"

static void images_are_no_text(void **state)
{
    (void)state;
    struct chat_request plain =
        request("[{'role':'user','content':[{'type':'text','text':'Hi'}," IMAGE("") "]}]", "");
    struct chat_request q =
        request("[{'role':'user','content':[{'type':'text','text':'Hi'}," IMAGE(
                    "data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAA") "]}]",
                "");
    assert_true(q.wants.vision && plain.wants.vision);
    assert_int_equal(q.text_bytes, plain.text_bytes);
    assert_true(q.prompt_bytes > plain.prompt_bytes);
    assert_true(
        request("[{'role':'user','content':[{'image_url':'http://x/y'}]}]", "").wants.vision);
}

/* More messages than the tape of a body holds. */
static void sees_an_image_behind_many_messages(void **state)
{
    enum { MESSAGES = 200 };
    struct buf messages;
    (void)state;
    buf_init(&messages, 1 << 16);
    assert_int_equal(buf_append(&messages, STR("[")), ERR_OK);
    for (size_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(buf_append(&messages, STR("{'role':'user','content':'Hi'},")), ERR_OK);
    }
    assert_int_equal(
        buf_append(&messages, STR("{'role':'user','content':[" IMAGE("http://x/y") "]}]\0")),
        ERR_OK);
    assert_true(request(buf_str(&messages).ptr, "").wants.vision);
    buf_fini(&messages);
}

static void talking_of_images_is_not_showing_them(void **state)
{
    static const char *const messages[] = {
        "[{'role':'user','content':'what is image_url?'}]",
        "[{'role':'user','content':'a key \\'image_url\\' and _ and __'}]",
        "[{'role':'user','content':'image_url'}]",
        "[{'role':'user','content':[{'type':'text','text':'image_url'}]}]",
        "[{'role':'user','content':[{'type':'image_url'}]}]",
        "[{'role':'user','content':[7,'image_url',{'image_url':null}]}]",
        "[{'role':'user','content':'_'}]",
        "[{'_':'_image_url_'}]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct chat_request q = request(messages[i], "");
        assert_false(q.wants.vision);
        assert_int_equal(q.text_bytes, q.prompt_bytes);
    }
}

static void tools_are_part_of_the_prompt(void **state)
{
    (void)state;
    struct chat_request q = request(ASK, ",'tools':[{'type':'function'}]");
    assert_int_equal(q.text_bytes, q.prompt_bytes + strlen("[{'type':'function'}]"));
}

static uint32_t context_of(const char *message)
{
    return upstream_error_context(&(struct upstream_error){.message = str_from(message)});
}

static void a_refusal_names_the_context(void **state)
{
    (void)state;
    assert_int_equal(context_of("This model's maximum context length is 4096 tokens. However, "
                                "your prompt contains at least 4097 input tokens."),
                     4096);
    assert_int_equal(context_of("max_tokens=5000 cannot be greater than max_model_len=1024. "
                                "Please request fewer output tokens."),
                     1024);
    assert_int_equal(
        context_of("request (6031 tokens) exceeds the available context size (2048 "
                   "tokens), try increasing it"),
        2048);
    assert_int_equal(context_of("prompt is too long: 214309 tokens > 200000 maximum"), 200000);
    assert_int_equal(context_of("the request exceeds the available context size"), 0);
    assert_int_equal(context_of("context length is unknown"), 0);
    assert_int_equal(context_of("context length is 99999999999999999999 tokens"), 0);
    assert_int_equal(context_of("context length is "), 0);
    assert_int_equal(context_of(""), 0);
    assert_int_equal(upstream_error_context(&(struct upstream_error){.n_ctx = 7}), 7);
}

static void llama_cpp_names_it_in_a_member(void **state)
{
    (void)state;
    struct upstream_error e;
    const struct dialect *d = dialect_find(STR("llamacpp"));
    assert_true(d->read_error(
        quotes(&arena, "{'error':{'code':400,'message':'the request exceeds the available "
                       "context size','type':'exceed_context_size_error',"
                       "'n_prompt_tokens':6031,'n_ctx':2048}}"),
        &arena, &e));
    assert_true(upstream_error_is_context(&e));
    assert_int_equal(upstream_error_context(&e), 2048);
}

static void an_answer_that_is_too_long_by_itself_is_a_matter_of_context(void **state)
{
    (void)state;
    struct upstream_error e = {
        .message = STR("max_tokens=5000 cannot be greater than max_model_len=1024.")};
    assert_true(upstream_error_is_context(&e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_is_asked_for, begin, end),
        cmocka_unit_test_setup_teardown(images_are_no_text, begin, end),
        cmocka_unit_test_setup_teardown(sees_an_image_behind_many_messages, begin, end),
        cmocka_unit_test_setup_teardown(talking_of_images_is_not_showing_them, begin, end),
        cmocka_unit_test_setup_teardown(tools_are_part_of_the_prompt, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_names_the_context, begin, end),
        cmocka_unit_test_setup_teardown(llama_cpp_names_it_in_a_member, begin, end),
        cmocka_unit_test_setup_teardown(
            an_answer_that_is_too_long_by_itself_is_a_matter_of_context, begin, end),
    };
    return cmocka_run_group_tests_name("chat_wants", tests, NULL, NULL);
}
