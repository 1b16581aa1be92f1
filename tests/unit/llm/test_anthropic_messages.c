#include "anthropic_made.h"
#include "llm/anthropic_messages.h"

#define HI_TURN USER(TEXT("'Hi'"))
#define CALL(id) \
    "{'id':'" id "','type':'function','function':{'name':'f','arguments':'{\\'a\\':[1.0]}'}}"
#define CALL_OUT(id) "{'type':'tool_use','id':'" id "','name':'f','input':{'a':[1.0]}}"
#define RESULT(id, more) "{'type':'tool_result','tool_use_id':'" id "'" more "}"

/* The messages of a request, and what they become: everything behind the settings. */
static void assert_messages(const char *messages, const char *expected)
{
    char body[2048];
    char wanted[2048];
    (void)snprintf(wanted, sizeof(wanted), HEAD ",'messages':%s}", expected);
    assert_becomes(with_message(body, sizeof(body), messages), wanted);
}

static void makes_turns_of_blocks(void **state)
{
    static const struct {
        const char *messages;
        const char *expected;
    } cases[] = {
        {"{'role':'user','content':'H\\u00e9\\n'}", "[" USER(TEXT("'H\\u00e9\\n'")) "]"},
        {"{'role':'user','content':[{'type':'text','text':'a'},{'type':'text','text':'b',"
         "'cache_control':{'type':'ephemeral'}}]}",
         "[" USER(TEXT("'a'") "," TEXT("'b'")) "]"},
        {"{'role':'user','content':'a'},{'role':'assistant','content':'b'},"
         "{'role':'user','content':'c'}",
         "[" USER(TEXT("'a'")) "," ASSISTANT(TEXT("'b'")) "," USER(TEXT("'c'")) "]"},
        {"{'role':'user','content':'a'},{'role':'user','content':'b','name':'Bob'}",
         "[" USER(TEXT("'a'") "," TEXT("'b'")) "]"},
        {"{'role':'assistant','content':'a','refusal':'no'},{'role':'user','content':'b'}",
         "[" ASSISTANT(TEXT("'a'") "," TEXT("'no'")) "," USER(TEXT("'b'")) "]"},
        {"{'role':'assistant','content':[{'type':'refusal','refusal':'no'}]},"
         "{'role':'user','content':'b'}",
         "[" ASSISTANT(TEXT("'no'")) "," USER(TEXT("'b'")) "]"},
        {"{'role':'user','content':'a'},{'role':'assistant','content':'b','annotations':[],"
         "'reasoning_content':'hm','reasoning':'hm','thinking':'hm'},"
         "{'role':'user','content':'c'}",
         "[" USER(TEXT("'a'")) "," ASSISTANT(TEXT("'b'")) "," USER(TEXT("'c'")) "]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_messages(cases[i].messages, cases[i].expected);
    }
}

static void leaves_out_what_is_only_white_space(void **state)
{
    static const char *const blanks[] = {"''",
                                         "' '",
                                         "'\\n\\t\\r'",
                                         "'\\u00a0\\u3000\\u000B'",
                                         "'\xc2\xa0'",
                                         "'\xe2\x80\x89 '",
                                         "null",
                                         "[]",
                                         "[{'type':'text','text':'\\f'}]"};
    (void)state;
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        char messages[512];
        (void)snprintf(messages, sizeof(messages),
                       "{'role':'user','content':'Hi'},{'role':'assistant','content':%s},"
                       "{'role':'system','content':%s},{'role':'user','content':%s}",
                       blanks[i], blanks[i], blanks[i]);
        assert_messages(messages, "[" HI_TURN "]");
    }
}

static void puts_all_instructions_into_system(void **state)
{
    (void)state;
    assert_messages("{'role':'system','content':'Be brief'},{'role':'user','content':'Hi'},"
                    "{'role':'developer','content':[{'type':'text','text':'And kind'}]},"
                    "{'role':'user','content':'there'}",
                    "[" USER(TEXT("'Hi'") "," TEXT("'there'")) "],'system':[" TEXT(
                        "'Be brief'") "," TEXT("'And kind'") "]");
}

static void carries_images_over(void **state)
{
    (void)state;
    assert_messages(
        "{'role':'user','content':[{'type':'text','text':'What?'},"
        "{'type':'image_url','image_url':{'url':'data:image/PNG;x=1;base64,aGk=',"
        "'detail':'low'}},"
        "{'type':'image_url','image_url':{'url':'https:\\/\\/h/a.jpg?b=\\u00e9'}}]}",
        "[" USER(TEXT("'What?'") ",{'type':'image','source':{'type':'base64',"
                                 "'media_type':'image/PNG','data':'aGk='}},"
                                 "{'type':'image','source':{'type':'url','url':"
                                 "'https://h/a.jpg?b=\xc3\xa9'}}") "]");
}

static void makes_blocks_of_calls_and_results(void **state)
{
    (void)state;
    assert_messages(
        "{'role':'user','content':'Hi'},"
        "{'role':'assistant','content':'Let me see','tool_calls':[" CALL("c1") "," CALL(
            "c2") "]},"
                  "{'role':'tool','tool_call_id':'c1','content':'one'},"
                  "{'role':'tool','tool_call_id':'c2','content':''},"
                  "{'role':'user','content':'Go on'}",
        "[" HI_TURN
        "," ASSISTANT(TEXT("'Let me see'") "," CALL_OUT("c1") "," CALL_OUT("c2")) "," USER(
            RESULT("c1", ",'content':[" TEXT("'one'") "]") "," RESULT("c2", "") "," TEXT(
                "'Go on'")) "]");
}

static void reads_arguments_in_every_form(void **state)
{
    static const struct {
        const char *arguments;
        const char *input;
    } cases[] = {{",'arguments':''", "{}"},
                 {",'arguments':null", "{}"},
                 {"", "{}"},
                 {",'arguments':{'b':1}", "{'b':1}"},
                 {",'arguments':' {\\'b\\': \\'\\\\u00e9\\'} '", "{'b': '\\u00e9'}"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char messages[512];
        char expected[512];
        (void)snprintf(messages, sizeof(messages),
                       "{'role':'assistant','content':null,'tool_calls':[{'id':'c','function':"
                       "{'name':'f'%s}}]},{'role':'user','content':'Hi'}",
                       cases[i].arguments);
        (void)snprintf(expected, sizeof(expected),
                       "[" ASSISTANT("{'type':'tool_use','id':'c','name':'f',"
                                     "'input':%s}") "," HI_TURN "]",
                       cases[i].input);
        assert_messages(messages, expected);
    }
}

static void gives_ids_only_the_characters_that_anthropic_has(void **state)
{
    (void)state;
    assert_messages("{'role':'assistant','tool_calls':[" CALL(
                        "functions.f:0 \xc3\xa9") "]},"
                                                  "{'role':'tool','tool_call_id':'functions.f:"
                                                  "0 \\u00e9','content':[{'type':"
                                                  "'text','text':'x'},{'type':'image_url','"
                                                  "image_url':{'url':'http://i'}}]}",
                    "[" ASSISTANT(CALL_OUT("functions_f_0___")) "," USER(
                        RESULT("functions_f_0___",
                               ",'content':[" TEXT("'x'") ",{'type':'image','source':{'type':"
                                                          "'url','url':'http://i'}}]")) "]");
}

static void refuses_what_cannot_be_expressed(void **state)
{
    static const struct {
        const char *messages;
        const char *param;
    } cases[] = {
        {"{'role':'user','content':'x','audio':{'id':'a'}}", "messages[0].audio"},
        {"{'role':'user','content':'x','function_call':{}}", "messages[0].function_call"},
        {"{'role':'user','content':'x','mood':1}", "messages[0].mood"},
        {"{'role':'function','content':'x'}", "messages[0].role"},
        {"{'role':'user','content':'a'},{'role':'user','content':[{'type':'text','text':'a'},"
         "{'type':'input_audio','input_audio':{}}]}",
         "messages[1].content[1].type"},
        {"{'role':'user','content':[{'type':'text','text':'a','b':1}]}",
         "messages[0].content[0].b"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':'ftp://h'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/png,abc'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/tiff;base64,aGk='}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'system','content':[{'type':'image_url','image_url':{'url':'http://h'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':'x','tool_calls':[" CALL("c") "]}",
         "messages[0].tool_calls"},
        {"{'role':'user','content':'x','tool_call_id':'c'}", "messages[0].tool_call_id"},
        {"{'role':'user','content':'x','refusal':'no'}", "messages[0].refusal"},
        {"{'role':'tool','tool_call_id':'c','refusal':'no'}", "messages[0].refusal"},
        {"{'role':'assistant','tool_calls':[{'id':'c','type':'custom','custom':{}}]}",
         "messages[0].tool_calls[0].type"},
        {"{'role':'assistant','tool_calls':[{'id':'c','function':{'name':'f','arguments':"
         "'{'}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'assistant','tool_calls':[{'id':'c','function':{'name':'f','arguments':"
         "'[1]'}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'assistant','tool_calls':[{'id':'c','x':1,'function':{'name':'f'}}]}",
         "messages[0].tool_calls[0].x"},
        {"{'role':'system','content':'x'}", "messages"},
        {"{'role':'user','content':' '}", "messages"},
        {"{'role':'user','content':'x'},{'role':'assistant','content':'y'}",
         "messages[1].role"},
        {"{'role':'user','content':'x'},{'role':'assistant','tool_calls':[" CALL("c") "]}",
         "messages[1].role"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_message(body, sizeof(body), cases[i].messages), cases[i].param,
                       "unsupported_parameter");
    }
}

static void refuses_values_of_the_wrong_type(void **state)
{
    static const struct {
        const char *messages;
        const char *param;
    } cases[] = {
        {"{'content':'x'}", "messages[0].role"},
        {"{'role':5}", "messages[0].role"},
        {"{'role':'user','content':5}", "messages[0].content"},
        {"{'role':'user','content':['x']}", "messages[0].content[0].type"},
        {"{'role':'user','content':[{'type':'text'}]}", "messages[0].content[0].text"},
        {"{'role':'user','content':[{'type':'refusal','refusal':1}]}",
         "messages[0].content[0].refusal"},
        {"{'role':'user','content':[{'type':'image_url','image_url':'http://h'}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'assistant','refusal':5}", "messages[0].refusal"},
        {"{'role':'assistant','tool_calls':5}", "messages[0].tool_calls"},
        {"{'role':'assistant','tool_calls':[{'id':'c'}]}",
         "messages[0].tool_calls[0].function.name"},
        {"{'role':'assistant','tool_calls':[{'function':{'name':'f'}}]}",
         "messages[0].tool_calls[0].id"},
        {"{'role':'assistant','tool_calls':[{'id':'c','function':{'name':'f','arguments':5}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'tool','content':'x'}", "messages[0].tool_call_id"},
        {"{'role':'tool','tool_call_id':''}", "messages[0].tool_call_id"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_message(body, sizeof(body), cases[i].messages), cases[i].param,
                       "invalid_type");
    }
}

static void documents_every_message_field(void **state)
{
    char *doc = read_doc();
    struct str section = section_of(doc, "\n## Message fields\n");
    size_t count = 0;
    const struct message_field *fields = anthropic_message_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (!has_row(section, fields[i].name, fields[i].handling)) {
            fail_msg("docs/anthropic.md must say that %s is %s", fields[i].name,
                     word_of(fields[i].handling));
        }
    }
    assert_int_equal(count_rows(section), count);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_turns_of_blocks),
        cmocka_unit_test(leaves_out_what_is_only_white_space),
        cmocka_unit_test(puts_all_instructions_into_system),
        cmocka_unit_test(carries_images_over),
        cmocka_unit_test(makes_blocks_of_calls_and_results),
        cmocka_unit_test(reads_arguments_in_every_form),
        cmocka_unit_test(gives_ids_only_the_characters_that_anthropic_has),
        cmocka_unit_test(refuses_what_cannot_be_expressed),
        cmocka_unit_test(refuses_values_of_the_wrong_type),
        cmocka_unit_test(documents_every_message_field),
    };
    return cmocka_run_group_tests_name("llm/anthropic_messages", tests, NULL, NULL);
}
