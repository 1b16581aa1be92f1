#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "llm/essence.h"
#include "wire/json.h"

static void expect(const char *body, const char *essence)
{
    struct arena a;
    size_t at;
    arena_init(&a);
    assert_int_equal(json_check(str_from(body), &at), ERR_OK);
    struct str got = request_essence(str_from(body), &a);
    assert_int_equal(got.len, str_from(essence).len);
    assert_memory_equal(got.ptr, essence, got.len);
    arena_fini(&a);
}

static void leaves_out_how_the_answer_is_to_be_sent(void **state)
{
    (void)state;
    expect("{\"stream\":true,\"model\":\"m\",\"stream_options\":{\"include_usage\":true}}",
           "{\"model\":\"m\"");
    expect("{\"model\":\"m\",\"stream\":false,\"n\":2}", "{\"model\":\"m\",\"n\":2");
    expect("{\"model\":\"m\",\"str\\u0065am\":true}", "{\"model\":\"m\"");
    expect("{\"stream\":true}", "");
}

static void leaves_out_white_space_but_none_within_strings(void **state)
{
    (void)state;
    expect(" { \"a b\" :\t[ 1 ,\r\n {\"c\" : \" d  e \"} ] ,\n\"f\":true } ",
           "{\"a b\":[1,{\"c\":\" d  e \"}],\"f\":true");
    expect("{\"a\":\"\\\" \\\\\" , \"b\" : \"\"}", "{\"a\":\"\\\" \\\\\",\"b\":\"\"");
}

static void keeps_all_else_as_it_was_written(void **state)
{
    (void)state;
    expect("{\"b\":1.50,\"a\":\"\\u00e9\",\"inner\":{\"stream\":true}}",
           "{\"b\":1.50,\"a\":\"\\u00e9\",\"inner\":{\"stream\":true}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_out_how_the_answer_is_to_be_sent),
        cmocka_unit_test(leaves_out_white_space_but_none_within_strings),
        cmocka_unit_test(keeps_all_else_as_it_was_written),
    };
    return cmocka_run_group_tests_name("llm/essence", tests, NULL, NULL);
}
