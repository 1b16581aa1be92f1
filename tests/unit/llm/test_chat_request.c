#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "llm/chat_request.h"
#include "quotes.h"

struct bed {
    struct arena arena;
    struct chat_request q;
    struct bad_request bad;
};

static void bed_init(struct bed *bed)
{
    memset(bed, 0, sizeof(*bed));
    arena_init(&bed->arena);
}

static void bed_fini(struct bed *bed)
{
    arena_fini(&bed->arena);
}

static enum err read_text(struct bed *bed, const char *text)
{
    return chat_request_read(quotes(&bed->arena, text), &bed->arena, &bed->q, &bed->bad);
}

static void assert_str(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr ? s.ptr : "", expected, s.len);
}

#define MESSAGES "'messages':[{'role':'user','content':'hi'}]"

static void reads_the_smallest_request(void **state)
{
    struct bed bed;
    (void)state;
    bed_init(&bed);
    assert_int_equal(read_text(&bed, " \n{'model':'m'," MESSAGES "}\t "), ERR_OK);
    assert_str(bed.q.model, "m");
    assert_int_equal(bed.q.body.ptr[0], '{');
    assert_int_equal(bed.q.body.ptr[bed.q.body.len - 1], '}');
    assert_false(bed.q.stream);
    assert_false(bed.q.include_usage);
    assert_false(bed.q.has_max_tokens);
    assert_false(bed.q.max_is_completion);
    assert_false(bed.q.has_temperature);
    assert_int_equal(bed.q.n, 1);
    assert_int_equal(bed.q.prompt_bytes, strlen("[{'role':'user','content':'hi'}]"));
    assert_str(bed.q.raw.model, "\"m\"");
    assert_int_equal(bed.q.raw.stream.len, 0);
    bed_fini(&bed);
}

static void reads_every_member_that_we_rely_on(void **state)
{
    struct bed bed;
    (void)state;
    bed_init(&bed);
    assert_int_equal(read_text(&bed, "{" MESSAGES ",'n':128,'temperature':0.25,'max_tokens':7,"
                                     "'stream_options':{'x':1,'include_usage':true},"
                                     "'stream':true,'model':'a\\u00e9\\n','seed':5}"),
                     ERR_OK);
    assert_str(bed.q.model, "a\xc3\xa9\n");
    assert_true(bed.q.stream);
    assert_true(bed.q.include_usage);
    assert_true(bed.q.has_max_tokens);
    assert_int_equal(bed.q.max_tokens, 7);
    assert_true(bed.q.has_temperature);
    assert_true(bed.q.temperature >= 0.25 && bed.q.temperature <= 0.25);
    assert_int_equal(bed.q.n, 128);
    assert_str(bed.q.raw.max_tokens, "7");
    assert_str(bed.q.raw.stream, "true");
    assert_str(bed.q.raw.temperature, "0.25");
    bed_fini(&bed);
}

static void takes_null_as_absent(void **state)
{
    struct bed bed;
    (void)state;
    bed_init(&bed);
    assert_int_equal(read_text(&bed,
                               "{'model':'m'," MESSAGES
                               ",'n':null,'temperature':null,'max_tokens':null,'stream':null,"
                               "'max_completion_tokens':null,'stream_options':null}"),
                     ERR_OK);
    assert_int_equal(bed.q.n, 1);
    assert_false(bed.q.stream);
    assert_false(bed.q.has_temperature);
    assert_false(bed.q.has_max_tokens);
    assert_false(bed.q.max_is_completion);
    assert_str(bed.q.raw.max_tokens, "null");
    bed_fini(&bed);
}

static void lets_max_completion_tokens_win(void **state)
{
    static const char *const bodies[] = {
        "{'model':'m'," MESSAGES ",'max_tokens':5,'max_completion_tokens':9}",
        "{'model':'m'," MESSAGES ",'max_completion_tokens':9,'max_tokens':5}",
        "{'model':'m'," MESSAGES ",'max_completion_tokens':9}",
        "{'model':'m'," MESSAGES ",'max_completion_tokens':9.0,'max_tokens':null}"};
    struct bed bed;
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        bed_init(&bed);
        assert_int_equal(read_text(&bed, bodies[i]), ERR_OK);
        assert_true(bed.q.has_max_tokens);
        assert_true(bed.q.max_is_completion);
        assert_int_equal(bed.q.max_tokens, 9);
        bed_fini(&bed);
    }
}

static void reads_a_limit_written_as_a_power(void **state)
{
    struct bed bed;
    (void)state;
    bed_init(&bed);
    assert_int_equal(read_text(&bed, "{'model':'m'," MESSAGES ",'max_tokens':1e3}"), ERR_OK);
    assert_int_equal(bed.q.max_tokens, 1000);
    assert_false(bed.q.max_is_completion);
    bed_fini(&bed);
}

static void understands_escaped_member_names(void **state)
{
    struct bed bed;
    (void)state;
    bed_init(&bed);
    assert_int_equal(read_text(&bed, "{'\\u006dodel':'m'," MESSAGES ",'str\\u0065am':true}"),
                     ERR_OK);
    assert_str(bed.q.model, "m");
    assert_true(bed.q.stream);
    bed_fini(&bed);
}

struct refusal {
    const char *body;
    enum err err;
    const char *code;
    const char *param;
    const char *message; /* a part of it */
};

#define WITH(members) "{'model':'m'," MESSAGES "," members "}"

static const struct refusal refusals[] = {
    {"", ERR_SYNTAX, "invalid_json", "", "Request body is empty"},
    {"   ", ERR_SYNTAX, "invalid_json", "", "malformed at byte 3"},
    {"{'model':'gpt',  x}", ERR_SYNTAX, "invalid_json", "",
     "Request body is not valid JSON: malformed at byte 17"},
    {"{'model':", ERR_SYNTAX, "invalid_json", "", "malformed at byte 9, where it ends"},
    {"{'model':'m'} x", ERR_SYNTAX, "invalid_json", "", "malformed at byte 14"},
    {"{'a':1,'a':2}", ERR_DUPLICATE, "invalid_json", "", "a key is given twice at byte "},
    {"{'a':'\xff'}", ERR_UTF8, "invalid_json", "", "not valid UTF-8 at byte 6"},
    {"[1]", ERR_TYPE, "invalid_type", "", "must be a JSON object, but is an array"},
    {"null", ERR_TYPE, "invalid_type", "", "must be a JSON object, but is null"},
    {"'text'", ERR_TYPE, "invalid_type", "", "must be a JSON object, but is a string"},
    {"{}", ERR_NOT_FOUND, "missing_required_parameter", "model",
     "Missing required parameter: 'model'"},
    {"{'model':null," MESSAGES "}", ERR_NOT_FOUND, "missing_required_parameter", "model",
     "'model'"},
    {"{'model':5," MESSAGES "}", ERR_TYPE, "invalid_type", "model",
     "Invalid type for 'model': expected a string, but got a number"},
    {"{'model':''," MESSAGES "}", ERR_RANGE, "invalid_value", "model", "must not be empty"},
    {"{'model':'m'}", ERR_NOT_FOUND, "missing_required_parameter", "messages", "'messages'"},
    {"{'model':'m','messages':'hi'}", ERR_TYPE, "invalid_type", "messages", "got a string"},
    {"{'model':'m','messages':{}}", ERR_TYPE, "invalid_type", "messages", "got an object"},
    {"{'model':'m','messages':[]}", ERR_RANGE, "invalid_value", "messages", "at least one"},
    {"{'model':'m','messages':[{},'x']}", ERR_TYPE, "invalid_type", "messages[1]", "an object"},
    {WITH("'stream':1"), ERR_TYPE, "invalid_type", "stream", "expected a boolean"},
    {WITH("'stream':'true'"), ERR_TYPE, "invalid_type", "stream", "got a string"},
    {WITH("'stream_options':true"), ERR_TYPE, "invalid_type", "stream_options",
     "got a boolean"},
    {WITH("'stream_options':{'include_usage':1}"), ERR_TYPE, "invalid_type",
     "stream_options.include_usage", "expected a boolean"},
    {WITH("'max_tokens':'5'"), ERR_TYPE, "invalid_type", "max_tokens", "a whole number"},
    {WITH("'max_tokens':1.5"), ERR_TYPE, "invalid_type", "max_tokens", "a whole number"},
    {WITH("'max_tokens':0"), ERR_RANGE, "invalid_value", "max_tokens", "from 1"},
    {WITH("'max_tokens':-1"), ERR_RANGE, "invalid_value", "max_tokens", "from 1"},
    {WITH("'max_tokens':1e300"), ERR_RANGE, "invalid_value", "max_tokens", "from 1"},
    {WITH("'max_tokens':5,'max_completion_tokens':0"), ERR_RANGE, "invalid_value",
     "max_completion_tokens", "from 1"},
    {WITH("'max_completion_tokens':[]"), ERR_TYPE, "invalid_type", "max_completion_tokens",
     "got an array"},
    {WITH("'temperature':'hot'"), ERR_TYPE, "invalid_type", "temperature", "expected a number"},
    {WITH("'temperature':1e999"), ERR_RANGE, "invalid_value", "temperature", "too large"},
    {WITH("'n':0"), ERR_RANGE, "invalid_value", "n", "from 1 to 128"},
    {WITH("'n':129"), ERR_RANGE, "invalid_value", "n", "from 1 to 128"},
    {WITH("'n':true"), ERR_TYPE, "invalid_type", "n", "got a boolean"},
};

static void refuses_with_the_reason_the_code_and_the_name(void **state)
{
    struct bed bed;
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *row = &refusals[i];
        bed_init(&bed);
        bed.q.n = 77;
        assert_int_equal(read_text(&bed, row->body), row->err);
        assert_int_equal(bed.bad.status, 400);
        assert_string_equal(bed.bad.type, "invalid_request_error");
        assert_string_equal(bed.bad.code, row->code);
        assert_str(bed.bad.param, row->param);
        if (!str_has(bed.bad.message, str_from(row->message))) {
            fail_msg("%s: %.*s", row->body, STR_FMT(bed.bad.message));
        }
        assert_int_equal(bed.q.n, 77); /* results only on ERR_OK */
        bed_fini(&bed);
    }
}

static void refuses_a_body_cut_at_any_byte(void **state)
{
    const char *whole = "{'model':'m'," MESSAGES ",'stream':true,'n':2}";
    (void)state;
    for (size_t len = 0; len < strlen(whole); len++) {
        struct bed bed;
        bed_init(&bed);
        struct str cut = arena_dup(&bed.arena, str_of(quotes(&bed.arena, whole).ptr, len));
        enum err e = chat_request_read(cut, &bed.arena, &bed.q, &bed.bad);
        assert_int_equal(e, ERR_SYNTAX);
        assert_string_equal(bed.bad.code, "invalid_json");
        bed_fini(&bed);
    }
}

static void refuses_a_bottomless_body(void **state)
{
    struct bed bed;
    char deep[4096];
    (void)state;
    bed_init(&bed);
    memset(deep, '[', sizeof(deep));
    assert_int_equal(
        chat_request_read(str_of(deep, sizeof(deep)), &bed.arena, &bed.q, &bed.bad),
        ERR_TOO_DEEP);
    assert_true(str_has(bed.bad.message, STR("nested too deeply at byte ")));
    bed_fini(&bed);
}

static void names_a_crowd_of_members(void **state)
{
    struct bed bed;
    static char crowd[16384];
    size_t len = 0;
    (void)state;
    bed_init(&bed);
    for (int i = 0; i <= 1024; i++) {
        int added = snprintf(crowd + len, sizeof(crowd) - len, "%c\"%d\":0", i ? ',' : '{', i);
        len += (size_t)added;
    }
    crowd[len++] = '}';
    assert_int_equal(chat_request_read(str_of(crowd, len), &bed.arena, &bed.q, &bed.bad),
                     ERR_TOO_LARGE);
    assert_true(str_has(bed.bad.message, STR("too many members at byte ")));
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_smallest_request),
        cmocka_unit_test(reads_every_member_that_we_rely_on),
        cmocka_unit_test(takes_null_as_absent),
        cmocka_unit_test(lets_max_completion_tokens_win),
        cmocka_unit_test(reads_a_limit_written_as_a_power),
        cmocka_unit_test(understands_escaped_member_names),
        cmocka_unit_test(refuses_with_the_reason_the_code_and_the_name),
        cmocka_unit_test(refuses_a_body_cut_at_any_byte),
        cmocka_unit_test(refuses_a_bottomless_body),
        cmocka_unit_test(names_a_crowd_of_members),
    };
    return cmocka_run_group_tests_name("llm/chat_request", tests, NULL, NULL);
}
