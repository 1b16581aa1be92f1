#include "ollama_made.h"

static void tells_how_ollama_is_reached(void **state)
{
    (void)state;
    assert_string_equal(dialect_ollama.name, "ollama");
    assert_string_equal(dialect_ollama.chat_path, "/api/chat");
    assert_string_equal(dialect_ollama.probe_path, "/api/version");
    assert_int_equal(dialect_ollama.framing, REPLY_NDJSON);
    assert_true(dialect_ollama.always_streams);
}

static void names_the_backends_model_and_always_streams(void **state)
{
    (void)state;
    assert_becomes("{'model':'gpt-4o','stream':false," HI "}", HI_OUT "}");
    struct made m;
    struct chat_edit ed = {.model = STR("we\"ird\n")};
    make_with(&m, "{'model':'m'," HI "}", &ed);
    assert_text(json_path(m.body, "model", NULL), "'we\\'ird\\n'");
    arena_fini(&m.arena);
}

static void maps_each_field(void **state)
{
    static const struct {
        const char *field;
        const char *added;
    } cases[] = {
        {"'max_tokens':100", ",'options':{'num_predict':100}"},
        {"'max_tokens':9,'max_completion_tokens':7", ",'options':{'num_predict':7}"},
        {"'max_tokens':9000000000000000000", ",'options':{'num_predict':2147483647}"},
        {"'temperature':0.70", ",'options':{'temperature':0.70}"},
        {"'top_p':0.9", ",'options':{'top_p':0.9}"},
        {"'seed':-42", ",'options':{'seed':-42}"},
        {"'stop':'a\\nb'", ",'options':{'stop':['a\\nb']}"},
        {"'stop':['a','b']", ",'options':{'stop':['a','b']}"},
        {"'stop':[]", ""},
        {"'frequency_penalty':1,'presence_penalty':-1.5",
         ",'options':{'frequency_penalty':1,'presence_penalty':-1.5}"},
        {"'top_k':40,'min_p':0.05,'typical_p':1,'repeat_penalty':1.1",
         ",'options':{'top_k':40,'min_p':0.05,'typical_p':1,'repeat_penalty':1.1}"},
        {"'repetition_penalty':1.2", ",'options':{'repeat_penalty':1.2}"},
        {"'repetition_penalty':1.2,'repeat_penalty':null", ",'options':{'repeat_penalty':1.2}"},
        {"'response_format':{'type':'text'}", ""},
        {"'response_format':{'type':'json_object'}", ",'format':'json'"},
        {"'response_format':{'type':'json_schema','json_schema':{'name':'x',"
         "'strict':true,'schema':{'type':'object'}}}",
         ",'format':{'type':'object'}"},
        {"'tools':[" TOOL "]", ",'tools':[" TOOL "]"},
        {"'tools':[" TOOL "],'tool_choice':'auto','parallel_tool_calls':true",
         ",'tools':[" TOOL "]"},
        {"'tools':[" TOOL "],'tool_choice':'none'", ""},
        {"'tool_choice':'none','parallel_tool_calls':false,'tools':[" TOOL "]", ""},
        {"'tools':[],'parallel_tool_calls':false", ""},
        {"'logprobs':true,'top_logprobs':20", ",'logprobs':true,'top_logprobs':20"},
        {"'reasoning_effort':'none'", ",'think':false"},
        {"'reasoning_effort':'minimal'", ",'think':'low'"},
        {"'reasoning_effort':'low'", ",'think':'low'"},
        {"'reasoning_effort':'medium'", ",'think':'medium'"},
        {"'reasoning_effort':'high'", ",'think':'high'"},
        {"'reasoning_effort':'xhigh'", ",'think':'max'"},
        {"'think':true,'reasoning_effort':'low'", ",'think':true"},
        {"'reasoning_effort':'low','think':'high'", ",'think':'high'"},
        {"'keep_alive':'10m'", ",'keep_alive':'10m'"},
        {"'keep_alive':-1", ",'keep_alive':-1"},
        {"'n':1,'logit_bias':{},'modalities':['text']", ""},
        {"'user':'u','metadata':{'a':'b'},'store':true,'service_tier':'flex',"
         "'safety_identifier':'s','prompt_cache_key':'k','verbosity':'low',"
         "'prompt_cache_retention':'24h','stream_options':{'include_usage':true}",
         ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        char expected[1024];
        (void)snprintf(expected, sizeof(expected), HI_OUT "%s}", cases[i].added);
        assert_becomes(with_field(body, sizeof(body), cases[i].field), expected);
    }
}

static void puts_everything_together_in_one_body(void **state)
{
    (void)state;
    assert_becomes("{'top_p':1,'think':false,'keep_alive':5,'response_format':{'type':"
                   "'json_object'},'tools':[" TOOL "],'logprobs':false," HI
                   ",'model':'m','max_tokens':1}",
                   HI_OUT ",'tools':[" TOOL "],'format':'json','think':false,"
                          "'keep_alive':5,'logprobs':false,'options':{'top_p':1,"
                          "'num_predict':1}}");
}

static void lets_the_edit_win_over_the_client(void **state)
{
    struct chat_edit ed = {.model = STR("llama3"),
                           .set_max_tokens = true,
                           .max_tokens = 400,
                           .set_temperature = true,
                           .temperature = 0.1};
    struct made m;
    (void)state;
    make_with(&m, "{'model':'m'," HI ",'temperature':2,'max_tokens':4000}", &ed);
    assert_text(m.body, HI_OUT ",'options':{'temperature':0.1,'num_predict':400}}");
    arena_fini(&m.arena);
    ed.temperature = 0;
    make_with(&m, "{'model':'m'," HI "}", &ed);
    assert_text(m.body, HI_OUT ",'options':{'temperature':0,'num_predict':400}}");
    arena_fini(&m.arena);
    ed.temperature = 1.0 / 3;
    make_with(&m, "{'model':'m'," HI "}", &ed);
    double back = 0;
    assert_int_equal(json_double(json_path(m.body, "options", "temperature", NULL), &back),
                     ERR_OK);
    assert_true(back == 1.0 / 3);
    arena_fini(&m.arena);
}

static void refuses_what_cannot_be_expressed(void **state)
{
    static const struct {
        const char *field;
        const char *param;
    } cases[] = {
        {"'n':2", "n"},
        {"'logit_bias':{'50256':-100}", "logit_bias"},
        {"'modalities':['text','audio']", "modalities"},
        {"'modalities':'text'", "modalities"},
        {"'tool_choice':'required'", "tool_choice"},
        {"'tool_choice':{'type':'function','function':{'name':'f'}}", "tool_choice"},
        {"'parallel_tool_calls':false,'tools':[" TOOL "]", "parallel_tool_calls"},
        {"'tools':[" TOOL ",{'type':'custom','custom':{}}]", "tools[1].type"},
        {"'response_format':{'type':'grammar'}", "response_format.type"},
        {"'response_format':1", "response_format.type"},
        {"'reasoning_effort':'extreme'", "reasoning_effort"},
        {"'repetition_penalty':1.2,'repeat_penalty':1.1", "repetition_penalty"},
        {"'audio':{}", "audio"},
        {"'prediction':{}", "prediction"},
        {"'web_search_options':{}", "web_search_options"},
        {"'functions':[]", "functions"},
        {"'function_call':'none'", "function_call"},
        {"'num_ctx':4096", "num_ctx"},
        {"'guided_json':{}", "guided_json"},
        {"'best_of':false", "best_of"},
        {"'':1", "''"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_field(body, sizeof(body), cases[i].field), cases[i].param,
                       "unsupported_parameter");
    }
}

static void refuses_values_of_the_wrong_type(void **state)
{
    static const struct {
        const char *field;
        const char *param;
    } cases[] = {
        {"'temperature':'hot'", "temperature"},
        {"'top_p':'1'", "top_p"},
        {"'seed':1.5", "seed"},
        {"'seed':1e300", "seed"},
        {"'top_k':[]", "top_k"},
        {"'stop':1", "stop"},
        {"'stop':['a',1]", "stop"},
        {"'tools':{}", "tools"},
        {"'tools':[1]", "tools[0].type"},
        {"'tools':[{'type':'function'}]", "tools[0].function.name"},
        {"'parallel_tool_calls':0", "parallel_tool_calls"},
        {"'logprobs':1", "logprobs"},
        {"'top_logprobs':21", "top_logprobs"},
        {"'think':1", "think"},
        {"'keep_alive':true", "keep_alive"},
        {"'logit_bias':[]", "logit_bias"},
        {"'response_format':{'type':'json_schema'}", "response_format.json_schema.schema"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        assert_refused(with_field(body, sizeof(body), cases[i].field), cases[i].param,
                       "invalid_type");
    }
}

static void counts_null_as_absent_for_every_field(void **state)
{
    size_t count = 0;
    const struct ollama_field *fields = ollama_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char field[64];
        char body[256];
        (void)snprintf(field, sizeof(field), "'%s':null", fields[i].name);
        if (strcmp(fields[i].name, "model") != 0 && strcmp(fields[i].name, "messages") != 0) {
            assert_becomes(with_field(body, sizeof(body), field), HI_OUT "}");
        }
    }
    char body[256];
    assert_becomes(with_field(body, sizeof(body), "'never_heard_of':null"), HI_OUT "}");
}

static void knows_a_field_whose_name_is_escaped(void **state)
{
    char body[256];
    (void)state;
    assert_becomes(with_field(body, sizeof(body), "'top\\u005fp':0.5"),
                   HI_OUT ",'options':{'top_p':0.5}}");
}

static void cuts_an_overlong_name_in_the_error(void **state)
{
    char *field = mem_alloc(100000);
    char *body = mem_alloc(101000);
    struct made m;
    (void)state;
    memset(field, 'x', 99990);
    field[0] = '"';
    memcpy(field + 99980, "':1", 4);
    make_with(&m, with_field(body, 101000, field), &plain_edit);
    assert_int_equal(m.err, ERR_UNSUPPORTED);
    assert_true(m.bad.param.len < 200 && m.bad.message.len < 400);
    arena_fini(&m.arena);
    free(body);
    free(field);
}

static void documents_every_request_field(void **state)
{
    char *doc = read_doc();
    struct str section = section_of(doc, "\n## Request fields\n");
    size_t count = 0;
    const struct ollama_field *fields = ollama_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (!has_row(section, fields[i].name, fields[i].handling)) {
            fail_msg("docs/ollama.md must say that %s is %s", fields[i].name,
                     word_of(fields[i].handling));
        }
    }
    assert_int_equal(count_rows(section), count);
    free(doc);
}

/* The table's words must be true: an ignored field changes nothing, a refused one is a 400. */
static void does_what_the_table_says(void **state)
{
    size_t count = 0;
    const struct ollama_field *fields = ollama_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char field[64];
        char body[256];
        (void)snprintf(field, sizeof(field), "'%s':{'a':1}", fields[i].name);
        if (fields[i].handling == FIELD_IGNORED) {
            assert_becomes(with_field(body, sizeof(body), field), HI_OUT "}");
        }
        if (fields[i].handling == FIELD_REFUSED) {
            assert_refused(with_field(body, sizeof(body), field), fields[i].name,
                           "unsupported_parameter");
        }
    }
}

static void puts_the_half_message_last_and_lowers_the_limit(void **state)
{
    static const struct {
        const char *field;
        uint64_t spent;
        uint64_t cap;
        const char *added;
    } rows[] = {
        {"'seed':1", 5, 0, ",'options':{'seed':1}"},
        {"'max_tokens':50", 7, 0, ",'options':{'num_predict':43}"},
        {"'max_tokens':50", 0, 0, ",'options':{'num_predict':50}"},
        {"'max_tokens':7", 7, 0, ",'options':{'num_predict':1}"},
        {"'max_tokens':50", 7, 20, ",'options':{'num_predict':13}"},
        {"'seed':1", 7, 20, ",'options':{'seed':1,'num_predict':13}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct made m;
        char body[256];
        char expected[512];
        struct chat_edit ed = {.model = STR("llama3"),
                               .stream = true,
                               .set_max_tokens = rows[i].cap > 0,
                               .max_tokens = rows[i].cap,
                               .partial = STR("half\\n \xc3\xa9"),
                               .spent = rows[i].spent};
        make_with(&m, with_field(body, sizeof(body), rows[i].field), &ed);
        assert_int_equal(m.err, ERR_OK);
        (void)snprintf(expected, sizeof(expected),
                       HEAD "[{'role':'user','content':'Hi'},"
                            "{'role':'assistant','content':'half\\n \xc3\xa9'}]%s}",
                       rows[i].added);
        assert_text(m.body, expected);
        arena_fini(&m.arena);
    }
    assert_true(dialect_ollama.can_continue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_how_ollama_is_reached),
        cmocka_unit_test(names_the_backends_model_and_always_streams),
        cmocka_unit_test(maps_each_field),
        cmocka_unit_test(puts_everything_together_in_one_body),
        cmocka_unit_test(lets_the_edit_win_over_the_client),
        cmocka_unit_test(refuses_what_cannot_be_expressed),
        cmocka_unit_test(refuses_values_of_the_wrong_type),
        cmocka_unit_test(counts_null_as_absent_for_every_field),
        cmocka_unit_test(knows_a_field_whose_name_is_escaped),
        cmocka_unit_test(cuts_an_overlong_name_in_the_error),
        cmocka_unit_test(documents_every_request_field),
        cmocka_unit_test(does_what_the_table_says),
        cmocka_unit_test(puts_the_half_message_last_and_lowers_the_limit),
    };
    return cmocka_run_group_tests_name("llm/ollama_request", tests, NULL, NULL);
}
