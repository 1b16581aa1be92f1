#include "anthropic_made.h"

static void tells_how_anthropic_is_reached(void **state)
{
    const struct dialect *d = &dialect_anthropic;
    (void)state;
    assert_ptr_equal(dialect_find(STR("anthropic")), d);
    assert_string_equal(d->chat_path, "/v1/messages");
    assert_string_equal(d->probe_path, "/v1/models");
    assert_null(d->models_path);
    assert_string_equal(d->key_header, "x-api-key");
    assert_text(d->fixed_header.name, "anthropic-version");
    assert_text(d->fixed_header.value, "2023-06-01");
    assert_int_equal(d->framing, REPLY_SSE);
    assert_true(d->always_streams && d->can_continue && d->trims_partial);
}

static void names_the_backends_model_and_always_streams(void **state)
{
    (void)state;
    assert_becomes("{'model':'gpt-4o','stream':false," HI "}", HI_OUT);
    struct made m;
    struct chat_edit ed = {.model = STR("we\"ird\n")};
    make_with(&m, "{'model':'m'," HI "}", &ed);
    assert_text(json_path(m.body, "model", NULL), "'we\\'ird\\n'");
    arena_fini(&m.arena);
}

/* With a limit that is not the default one. */
static void says_how_many_tokens_in_any_case(void **state)
{
    static const struct {
        const char *field;
        const char *max;
    } cases[] = {
        {"'max_tokens':100", "100"},
        {"'max_completion_tokens':7", "7"},
        {"'max_tokens':9,'max_completion_tokens':7", "7"},
        {"'max_tokens':9000000000000000000", "9000000000000000000"},
        {"'max_tokens':null", "4096"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512];
        char expected[512];
        (void)snprintf(expected, sizeof(expected), HEAD_MAX("%s") HI_TAIL, cases[i].max);
        assert_becomes(with_field(body, sizeof(body), cases[i].field), expected);
    }
}

static void maps_each_field(void **state)
{
    static const struct {
        const char *field;
        const char *added;
    } cases[] = {
        {"'temperature':0.70", ",'temperature':0.70"},
        {"'temperature':0", ",'temperature':0"},
        {"'temperature':1", ""},
        {"'temperature':1.5", ""},
        {"'top_p':0.90", ",'top_p':0.90"},
        {"'top_p':1.0", ""},
        {"'top_p':0.9,'temperature':0.5", ",'temperature':0.5"},
        {"'top_p':0.9,'temperature':2", ",'top_p':0.9"},
        {"'top_k':40", ",'top_k':40"},
        {"'top_k':-1", ""},
        {"'top_k':0", ""},
        {"'stop':'a\\nb'", ",'stop_sequences':['a\\nb']"},
        {"'stop':['a',' b']", ",'stop_sequences':['a',' b']"},
        {"'stop':[]", ""},
        {"'user':'u-1'", ",'metadata':{'user_id':'u-1'}"},
        {"'user':''", ""},
        {"'thinking':{'type':'enabled','budget_tokens':2000}",
         ",'thinking':{'type':'enabled','budget_tokens':2000}"},
        {"'response_format':{'type':'text'}", ""},
        {"'frequency_penalty':0,'presence_penalty':0.0,'top_logprobs':0,'logprobs':false", ""},
        {"'min_p':0,'typical_p':1,'repeat_penalty':1.0,'repetition_penalty':1", ""},
        {"'n':1,'logit_bias':{},'modalities':['text']", ""},
        {"'seed':42,'reasoning_effort':'high','metadata':{'a':'b'},'store':true,"
         "'service_tier':'flex','safety_identifier':'s','prompt_cache_key':'k',"
         "'verbosity':'low','prompt_cache_retention':'24h',"
         "'stream_options':{'include_usage':true}",
         ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        char expected[1024];
        (void)snprintf(expected, sizeof(expected), HEAD "%s" HI_TAIL, cases[i].added);
        assert_becomes(with_field(body, sizeof(body), cases[i].field), expected);
    }
}

static void leaves_out_a_user_that_is_too_long(void **state)
{
    char field[600];
    char body[1024];
    (void)state;
    (void)snprintf(field, sizeof(field), "'user':'%0256d'", 7);
    struct made m;
    make_with(&m, with_field(body, sizeof(body), field), &plain_edit);
    assert_int_equal(json_text_len(json_path(m.body, "metadata", "user_id", NULL)), 256);
    arena_fini(&m.arena);
    (void)snprintf(field, sizeof(field), "'user':'%0257d'", 7);
    assert_becomes(with_field(body, sizeof(body), field), HI_OUT);
}

static void maps_tools_and_the_choice_among_them(void **state)
{
    static const struct {
        const char *field;
        const char *added;
    } cases[] = {
        {"'tools':[]", ""},
        {"'tools':[],'parallel_tool_calls':false,'tool_choice':'none'", ""},
        {"'tool_choice':'auto'", ""},
        {"'tools':[" TOOL "]", ",'tools':[" TOOL_OUT "]"},
        {"'tools':[{'type':'function','function':{'name':'f','description':'Does\\n it',"
         "'strict':true,'parameters':{'type':'object','required':[]}}}]",
         ",'tools':[{'name':'f','description':'Does\\n it','input_schema':{'type':'object',"
         "'required':[]}}]"},
        {"'tools':[{'type':'function','function':{'name':'f','description':null,"
         "'parameters':{'properties':{'a':{}}}}}]",
         ",'tools':[{'name':'f','input_schema':{'type':'object','properties':{'a':{}}}}]"},
        {"'tools':[" TOOL "," TOOL "],'tool_choice':'auto'",
         ",'tools':[" TOOL_OUT "," TOOL_OUT "],'tool_choice':{'type':'auto'}"},
        {"'tools':[" TOOL "],'tool_choice':'none','parallel_tool_calls':false",
         ",'tools':[" TOOL_OUT "],'tool_choice':{'type':'none'}"},
        {"'tools':[" TOOL "],'tool_choice':'required'",
         ",'tools':[" TOOL_OUT "],'tool_choice':{'type':'any'}"},
        {"'tools':[" TOOL "],'tool_choice':{'type':'function','function':{'name':'now'}}",
         ",'tools':[" TOOL_OUT "],'tool_choice':{'type':'tool','name':'now'}"},
        {"'tools':[" TOOL "],'parallel_tool_calls':false",
         ",'tools':[" TOOL_OUT "],'tool_choice':{'type':'auto',"
         "'disable_parallel_tool_use':true}"},
        {"'tools':[" TOOL "],'parallel_tool_calls':true", ",'tools':[" TOOL_OUT "]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024];
        char expected[1024];
        (void)snprintf(expected, sizeof(expected), HEAD "%s" HI_TAIL, cases[i].added);
        assert_becomes(with_field(body, sizeof(body), cases[i].field), expected);
    }
}

static void lets_the_edit_win_over_the_client(void **state)
{
    struct chat_edit ed = {.model = STR("claude"),
                           .set_max_tokens = true,
                           .max_tokens = 400,
                           .set_temperature = true,
                           .temperature = 0.1};
    struct made m;
    (void)state;
    make_with(&m, "{'model':'m'," HI ",'temperature':2,'max_tokens':4000}", &ed);
    assert_text(m.body, HEAD_MAX("400") ",'temperature':0.1" HI_TAIL);
    arena_fini(&m.arena);
    ed.temperature = 1.5;
    make_with(&m, "{'model':'m'," HI ",'temperature':0.3,'top_p':0.5}", &ed);
    assert_text(m.body, HEAD_MAX("400") ",'top_p':0.5" HI_TAIL);
    arena_fini(&m.arena);
}

static void refuses_what_cannot_be_expressed(void **state)
{
    static const struct {
        const char *field;
        const char *param;
    } cases[] = {
        {"'n':2", "n"},
        {"'frequency_penalty':0.1", "frequency_penalty"},
        {"'presence_penalty':-2", "presence_penalty"},
        {"'logprobs':true", "logprobs"},
        {"'top_logprobs':3", "top_logprobs"},
        {"'logit_bias':{'50256':-100}", "logit_bias"},
        {"'modalities':['text','audio']", "modalities"},
        {"'modalities':'text'", "modalities"},
        {"'response_format':{'type':'json_object'}", "response_format"},
        {"'response_format':{'type':'json_schema','json_schema':{}}", "response_format"},
        {"'response_format':1", "response_format"},
        {"'stop':' \\n\\t\\u00a0'", "stop"},
        {"'stop':['END','']", "stop"},
        {"'tool_choice':'required'", "tool_choice"},
        {"'tools':[],'tool_choice':{'type':'function','function':{'name':'f'}}", "tool_choice"},
        {"'tools':[" TOOL "],'tool_choice':'sometimes'", "tool_choice"},
        {"'tools':[" TOOL "],'tool_choice':{'type':'allowed_tools'}", "tool_choice"},
        {"'tools':[" TOOL ",{'type':'custom','custom':{}}]", "tools[1].type"},
        {"'min_p':0.05", "min_p"},
        {"'repetition_penalty':1.2", "repetition_penalty"},
        {"'audio':{}", "audio"},
        {"'prediction':{}", "prediction"},
        {"'web_search_options':{}", "web_search_options"},
        {"'functions':[]", "functions"},
        {"'function_call':'none'", "function_call"},
        {"'guided_json':{}", "guided_json"},
        {"'keep_alive':5", "keep_alive"},
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
        {"'top_k':1.5", "top_k"},
        {"'top_k':1e300", "top_k"},
        {"'n':'1'", "n"},
        {"'stop':1", "stop"},
        {"'stop':['a',1]", "stop"},
        {"'user':5", "user"},
        {"'thinking':true", "thinking"},
        {"'tools':{}", "tools"},
        {"'tools':[1]", "tools[0].type"},
        {"'tools':[{'type':'function'}]", "tools[0].function.name"},
        {"'tools':[{'type':'function','function':{'name':'f','description':5}}]",
         "tools[0].function.description"},
        {"'tools':[{'type':'function','function':{'name':'f','parameters':[]}}]",
         "tools[0].function.parameters"},
        {"'parallel_tool_calls':0", "parallel_tool_calls"},
        {"'logit_bias':[]", "logit_bias"},
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
    const struct anthropic_field *fields = anthropic_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char field[64];
        char body[256];
        (void)snprintf(field, sizeof(field), "'%s':null", fields[i].name);
        if (strcmp(fields[i].name, "model") != 0 && strcmp(fields[i].name, "messages") != 0) {
            assert_becomes(with_field(body, sizeof(body), field), HI_OUT);
        }
    }
    char body[256];
    assert_becomes(with_field(body, sizeof(body), "'never_heard_of':null"), HI_OUT);
}

static void knows_a_field_whose_name_is_escaped(void **state)
{
    char body[256];
    (void)state;
    assert_becomes(with_field(body, sizeof(body), "'top\\u005fp':0.5"),
                   HEAD ",'top_p':0.5" HI_TAIL);
}

static void documents_every_request_field(void **state)
{
    char *doc = read_doc();
    struct str section = section_of(doc, "\n## Request fields\n");
    size_t count = 0;
    const struct anthropic_field *fields = anthropic_fields(&count);
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

/* The table's words must be true: an ignored field changes nothing, a refused one is a 400. */
static void does_what_the_table_says(void **state)
{
    size_t count = 0;
    const struct anthropic_field *fields = anthropic_fields(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char field[64];
        char body[256];
        (void)snprintf(field, sizeof(field), "'%s':{'a':1}", fields[i].name);
        if (fields[i].handling == FIELD_IGNORED) {
            assert_becomes(with_field(body, sizeof(body), field), HI_OUT);
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
        const char *max;
    } rows[] = {
        {"'seed':1", 5, 0, "4096"},       {"'max_tokens':50", 7, 0, "43"},
        {"'max_tokens':50", 0, 0, "50"},  {"'max_tokens':7", 7, 0, "1"},
        {"'max_tokens':50", 7, 20, "13"}, {"'thinking':{'type':'adaptive'}", 7, 20, "13"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct made m;
        char body[256];
        char expected[512];
        struct chat_edit ed = {.model = STR("claude"),
                               .stream = true,
                               .set_max_tokens = rows[i].cap > 0,
                               .max_tokens = rows[i].cap,
                               .partial = STR("half\\n \xc3\xa9"),
                               .spent = rows[i].spent};
        make_with(&m, with_field(body, sizeof(body), rows[i].field), &ed);
        assert_int_equal(m.err, ERR_OK);
        (void)snprintf(expected, sizeof(expected),
                       HEAD_MAX("%s") ",'messages':[" USER(TEXT("'Hi'")) "," ASSISTANT(
                           TEXT("'half\\n \xc3\xa9'")) "]}",
                       rows[i].max);
        assert_text(m.body, expected);
        arena_fini(&m.arena);
    }
}

static void sends_the_half_message_without_the_white_space_at_its_end(void **state)
{
    static const struct {
        const char *partial;
        const char *sent; /* NULL: no message at all */
    } rows[] = {
        {"one two", "one two"},
        {"one two ", "one two"},
        {"one:\\n\\n\\t ", "one:"},
        {"a\\\\n", "a\\\\n"},
        {"a\\\\\\n", "a\\\\"},
        {"a\\u000b\\u001c", "a"},
        {"a\xc2\xa0\xe2\x80\x83\xe3\x80\x80", "a"},
        {"a\xe2\x80\x8b", "a\xe2\x80\x8b"}, /* zero width: none */
        {" \\n", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct made m;
        struct chat_edit ed = {.model = STR("claude"), .partial = str_from(rows[i].partial)};
        make_with(&m, "{'model':'m'," HI "}", &ed);
        assert_int_equal(m.err, ERR_OK);
        struct str text = json_path(m.body, "messages", "1", "content", "0", "text", NULL);
        struct str kept = text.len > 0 ? str_of(text.ptr + 1, text.len - 2) : STR_NONE;
        assert_true(str_eq(kept, str_from(rows[i].sent)));
        arena_fini(&m.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_how_anthropic_is_reached),
        cmocka_unit_test(names_the_backends_model_and_always_streams),
        cmocka_unit_test(says_how_many_tokens_in_any_case),
        cmocka_unit_test(maps_each_field),
        cmocka_unit_test(leaves_out_a_user_that_is_too_long),
        cmocka_unit_test(maps_tools_and_the_choice_among_them),
        cmocka_unit_test(lets_the_edit_win_over_the_client),
        cmocka_unit_test(refuses_what_cannot_be_expressed),
        cmocka_unit_test(refuses_values_of_the_wrong_type),
        cmocka_unit_test(counts_null_as_absent_for_every_field),
        cmocka_unit_test(knows_a_field_whose_name_is_escaped),
        cmocka_unit_test(documents_every_request_field),
        cmocka_unit_test(does_what_the_table_says),
        cmocka_unit_test(puts_the_half_message_last_and_lowers_the_limit),
        cmocka_unit_test(sends_the_half_message_without_the_white_space_at_its_end),
    };
    return cmocka_run_group_tests_name("llm/anthropic_request", tests, NULL, NULL);
}
