#include "llm/ollama_messages.h"

#include "ollama_made.h"

struct message_case {
    const char *message;
    const char *becomes;
};

static void assert_messages(const struct message_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char body[2048];
        char expected[2048];
        (void)snprintf(expected, sizeof(expected), HEAD "[%s]}", cases[i].becomes);
        assert_becomes(with_message(body, sizeof(body), cases[i].message), expected);
    }
}

static void maps_each_kind_of_message(void **state)
{
    static const struct message_case cases[] = {
        {"{'role':'developer','content':'x'}", "{'role':'system','content':'x'}"},
        {"{'role':'system','content':'a\\'\\u00e9\\n'}",
         "{'role':'system','content':'a\\'\\u00e9\\n'}"},
        {"{'name':'Bob','content':'x','role':'user'}", "{'role':'user','content':'x'}"},
        {"{'role':'assistant','content':null,'audio':null,'tool_calls':null,"
         "'function_call':null,'refusal':null,'annotations':[]}",
         "{'role':'assistant','content':''}"},
        {"{'role':'assistant','content':null,'refusal':'No.'}",
         "{'role':'assistant','content':'No.'}"},
        {"{'role':'assistant','content':'So','refusal':'No.'}",
         "{'role':'assistant','content':'So\\nNo.'}"},
        {"{'role':'assistant','content':'So','refusal':''}",
         "{'role':'assistant','content':'So'}"},
        {"{'role':'assistant','content':'x','reasoning_content':'hm'}",
         "{'role':'assistant','content':'x','thinking':'hm'}"},
        {"{'role':'assistant','content':'x','reasoning':'hm',"
         "'reasoning_content':null}",
         "{'role':'assistant','content':'x','thinking':'hm'}"},
        {"{'role':'user','content':[]}", "{'role':'user','content':''}"},
        {"{'role':'user','content':[{'type':'text','text':'a'}]}",
         "{'role':'user','content':'a'}"},
        {"{'role':'user','content':[{'type':'text','text':'a','cache_control':"
         "{'type':'ephemeral'}},{'text':'b','type':'text'}]}",
         "{'role':'user','content':'a\\nb'}"},
        {"{'role':'assistant','content':[{'type':'refusal','refusal':'No'}]}",
         "{'role':'assistant','content':'No'}"},
        {"{'role':'user','content':[{'type':'text','text':'see'},{'type':"
         "'image_url','image_url':{'url':'data:image/png;base64,iVBO+/8=','detail':"
         "'low'}},{'type':'text','text':'and'},{'type':'image_url','image_url':"
         "{'url':'DATA:image\\/jpeg;BASE64,AA\\/B'}}]}",
         "{'role':'user','content':'see\\nand','images':['iVBO+/8=','AA/B']}"},
    };
    (void)state;
    assert_messages(cases, sizeof(cases) / sizeof(cases[0]));
}

static void maps_tool_calls_and_their_results(void **state)
{
    static const struct message_case cases[] = {
        {"{'role':'assistant','tool_calls':[{'id':'c1','type':'function',"
         "'function':{'name':'f','arguments':' {\\'a\\': [1, "
         "\\'\\\\u00e9\\']}'}},"
         "{'id':'c2','function':{'name':'g','arguments':''}}]}",
         "{'role':'assistant','content':'','tool_calls':[{'id':'c1','function':"
         "{'name':'f','arguments':{'a': [1, "
         "'\\u00e9']}}},{'id':'c2','function':"
         "{'name':'g','arguments':{}}}]}"},
        {"{'role':'assistant','content':'x','tool_calls':[{'function':{'name':"
         "'f','arguments':{'a':1}},'index':0}]}",
         "{'role':'assistant','content':'x','tool_calls':[{'function':{'name':"
         "'f','arguments':{'a':1}}}]}"},
        {"{'role':'tool','tool_call_id':'lost','content':'12'}",
         "{'role':'tool','content':'12','tool_call_id':'lost'}"},
        {"{'role':'tool','tool_call_id':'lost','name':'f','content':'12'}",
         "{'role':'tool','content':'12','tool_call_id':'lost','tool_name':"
         "'f'}"},
    };
    (void)state;
    assert_messages(cases, sizeof(cases) / sizeof(cases[0]));
}

static void names_a_tool_result_after_its_call(void **state)
{
    (void)state;
    assert_becomes("{'model':'m','messages':["
                   "{'role':'assistant','tool_calls':["
                   "{'id':'a','function':{'name':'one','arguments':''}},"
                   "{'id':'b','function':{'name':'two','arguments':''}}]},"
                   "{'role':'tool','tool_call_id':'\\u0062','content':'2'},"
                   "{'role':'tool','tool_call_id':'a','name':'other','content':'1'},"
                   "{'role':'assistant','tool_calls':["
                   "{'id':'a','function':{'name':'three','arguments':''}}]},"
                   "{'role':'tool','tool_call_id':'a','content':'3'}]}",
                   HEAD "[{'role':'assistant','content':'','tool_calls':["
                        "{'id':'a','function':{'name':'one','arguments':{}}},"
                        "{'id':'b','function':{'name':'two','arguments':{}}}]},"
                        "{'role':'tool','content':'2','tool_call_id':'\\u0062','tool_name':"
                        "'two'},"
                        "{'role':'tool','content':'1','tool_call_id':'a','tool_name':'one'},"
                        "{'role':'assistant','content':'','tool_calls':["
                        "{'id':'a','function':{'name':'three','arguments':{}}}]},"
                        "{'role':'tool','content':'3','tool_call_id':'a','tool_name':"
                        "'three'}]}");
}

static void refuses_messages_that_cannot_be_expressed(void **state)
{
    static const struct {
        const char *message;
        const char *param;
    } cases[] = {
        {"{'role':'function','content':'x'}", "messages[0].role"},
        {"{'role':'user','content':'x','mood':'good'}", "messages[0].mood"},
        {"{'role':'assistant','audio':{'id':'a'}}", "messages[0].audio"},
        {"{'role':'assistant','function_call':{}}", "messages[0].function_call"},
        {"{'role':'user','content':'x','reasoning':'hm'}", "messages[0].reasoning_content"},
        {"{'role':'user','content':'x','tool_calls':[]}", "messages[0].tool_calls"},
        {"{'role':'user','content':'x','tool_call_id':'a'}", "messages[0].tool_call_id"},
        {"{'role':'user','content':'x'},{'role':'user','content':[{'type':"
         "'text','text':'a'},{'type':'image_url','image_url':{'url':"
         "'https://example.com/cat.png'}}]}",
         "messages[1].content[1].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/png,abc'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/png;base64,'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/png;base64,AA\\',\\'x\\':\\''}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url','image_url':{'url':"
         "'data:image/png;base64,AA=A'}}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'input_audio','input_audio':{}}]}",
         "messages[0].content[0].type"},
        {"{'role':'user','content':[{'type':'file','file':{}}]}",
         "messages[0].content[0].type"},
        {"{'role':'user','content':[{'type':'text','text':'a','color':1}]}",
         "messages[0].content[0].color"},
        {"{'role':'assistant','tool_calls':[{'type':'custom','custom':{}}]}",
         "messages[0].tool_calls[0].type"},
        {"{'role':'assistant','tool_calls':[{'function':{'name':'f','arguments':"
         "'{\\'a\\':'}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'assistant','tool_calls':[{'function':{'name':'f','arguments':"
         "'[1]'}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'assistant','tool_calls':[{'function':{'name':'f'},'extra':1}]"
         "}",
         "messages[0].tool_calls[0].extra"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_message(body, sizeof(body), cases[i].message), cases[i].param,
                       "unsupported_parameter");
    }
}

static void refuses_messages_of_the_wrong_type(void **state)
{
    static const struct {
        const char *message;
        const char *param;
    } cases[] = {
        {"{'content':'x'}", "messages[0].role"},
        {"{'role':1,'content':'x'}", "messages[0].role"},
        {"{'role':'user','content':1}", "messages[0].content"},
        {"{'role':'user','content':{}}", "messages[0].content"},
        {"{'role':'user','content':[1]}", "messages[0].content[0].type"},
        {"{'role':'user','content':[{'type':'text'}]}", "messages[0].content[0].text"},
        {"{'role':'user','content':[{'type':'image_url','image_url':'x'}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'user','content':[{'type':'image_url'}]}",
         "messages[0].content[0].image_url"},
        {"{'role':'assistant','refusal':1}", "messages[0].refusal"},
        {"{'role':'assistant','reasoning':{}}", "messages[0].reasoning_content"},
        {"{'role':'assistant','tool_calls':{}}", "messages[0].tool_calls"},
        {"{'role':'assistant','tool_calls':[1]}", "messages[0].tool_calls[0].function.name"},
        {"{'role':'assistant','tool_calls':[{'id':1,'function':{'name':'f'}}]}",
         "messages[0].tool_calls[0].id"},
        {"{'role':'assistant','tool_calls':[{'function':{'name':'f','arguments':"
         "5}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{'role':'tool','tool_call_id':1}", "messages[0].tool_call_id"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_message(body, sizeof(body), cases[i].message), cases[i].param,
                       "invalid_type");
    }
}

/* A call's name is told again with each result, so its length is held down. */
static void bounds_the_name_of_a_function(void **state)
{
    char name[258];
    char message[512];
    char body[1024];
    struct made m;
    (void)state;
    memset(name, 'f', sizeof(name) - 1);
    name[257] = '\0';
    (void)snprintf(message, sizeof(message),
                   "{'role':'assistant','tool_calls':[{'function':{'name':'%s'}}]}", name);
    assert_refused(with_message(body, sizeof(body), message),
                   "messages[0].tool_calls[0].function.name", "unsupported_parameter");
    (void)snprintf(message, sizeof(message),
                   "{'role':'assistant','tool_calls':[{'function':{'name':'%s'}}]}", name + 1);
    make_with(&m, with_message(body, sizeof(body), message), &plain_edit);
    assert_int_equal(m.err, ERR_OK);
    arena_fini(&m.arena);
}

/* The time must not grow with the square of the conversation. */
static void takes_a_conversation_with_very_many_calls(void **state)
{
    enum { CALLS = 20000, ROOM = 200 };
    char *body = mem_alloc((size_t)CALLS * ROOM);
    size_t len = (size_t)snprintf(body, ROOM, "{'model':'m','messages':[");
    struct made m;
    (void)state;
    for (int i = 0; i < CALLS; i++) {
        len +=
            (size_t)snprintf(body + len, ROOM,
                             "{'role':'assistant','tool_calls':[{'id':'%d','function':{'name':"
                             "'f%d'}}]},{'role':'tool','tool_call_id':'%d','content':''}%s",
                             i, i, i / 2, i + 1 < CALLS ? "," : "]}");
    }
    make_with(&m, body, &plain_edit);
    assert_int_equal(m.err, ERR_OK);
    struct str end = str_from_at(m.body, m.body.len - 44);
    assert_text(end, "'tool_call_id':'9999','tool_name':'f9999'}]}");
    arena_fini(&m.arena);
    free(body);
}

static void documents_every_message_field(void **state)
{
    char *doc = read_doc();
    struct str section = section_of(doc, "\n## Message fields\n");
    size_t count = 0;
    const struct message_field *fields = ollama_message_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (!has_row(section, fields[i].name, fields[i].handling)) {
            fail_msg("docs/ollama.md must say that messages' %s is %s", fields[i].name,
                     word_of(fields[i].handling));
        }
    }
    assert_int_equal(count_rows(section), count);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_each_kind_of_message),
        cmocka_unit_test(maps_tool_calls_and_their_results),
        cmocka_unit_test(names_a_tool_result_after_its_call),
        cmocka_unit_test(refuses_messages_that_cannot_be_expressed),
        cmocka_unit_test(refuses_messages_of_the_wrong_type),
        cmocka_unit_test(bounds_the_name_of_a_function),
        cmocka_unit_test(takes_a_conversation_with_very_many_calls),
        cmocka_unit_test(documents_every_message_field),
    };
    return cmocka_run_group_tests_name("llm/ollama_messages", tests, NULL, NULL);
}
