#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ops/access_line.h"

static const struct backend backend = {.name = {"gpu1", 4}};
static const struct model model = {.name = {"m", 1}};

static struct account answered(void)
{
    return (struct account){.wall_us = 1500000,
                            .ended_us = 1234567,
                            .first_us = 400,
                            .request_id = STR("req_1"),
                            .peer = STR("127.0.0.1:1"),
                            .method = STR("POST"),
                            .path = STR("/v1/chat/completions"),
                            .asked = STR("m"),
                            .model = &model,
                            .backend = &backend,
                            .tier = 1,
                            .status = 200,
                            .is_exchange = true,
                            .outcome = OUTCOME_ok,
                            .trail = STR("gpu1:ok")};
}

static void leaves_out_what_is_not_known(void **state)
{
    struct account r = answered();
    struct field_line l;
    (void)state;
    access_line_write(&r, LOG_LOGFMT, &l);
    assert_true(
        str_eq(str_of(l.text, l.len),
               STR("time=1970-01-01T00:00:01.500Z id=req_1 client=127.0.0.1:1 method=POST "
                   "path=/v1/chat/completions status=200 asked=m model=m backend=gpu1 tier=1 "
                   "outcome=ok "
                   "stream=0 first_token_ms=0 duration_ms=1235 bytes_in=0 bytes_out=0 "
                   "attempts=gpu1:ok\n")));
}

static void other_requests_have_only_what_they_have(void **state)
{
    struct account r = {.wall_us = 1500000,
                        .status = 401,
                        .error = STR("invalid_api_key"),
                        .method = STR("GET"),
                        .path = STR("/")};
    struct field_line l;
    (void)state;
    access_line_write(&r, LOG_LOGFMT, &l);
    assert_true(str_eq(str_of(l.text, l.len),
                       STR("time=1970-01-01T00:00:01.500Z method=GET path=/ status=401 "
                           "error=invalid_api_key\n")));
}

/* Everything that somebody else chooses as long and as dear to write as it can be. */
static void the_longest_line_is_whole(void **state)
{
    char bytes[2048];
    char plain[2048];
    struct str bad = str_of(bytes, sizeof(bytes));
    struct str good = str_of(plain, sizeof(plain));
    struct model long_model = {.name = {bytes, 64}};
    struct backend long_backend = {.name = {plain, 64}};
    struct account r = answered();
    struct field_line l;
    (void)state;
    memset(bytes, 0x01, sizeof(bytes));
    memset(plain, 'x', sizeof(plain));
    r.path = r.asked = r.error = bad;
    r.method = r.trail = good;
    r.key = str_of(bytes, 64);
    r.peer = r.request_id = str_of(plain, 128);
    r.degraded = STR("max_tokens,temperature");
    r.model = &long_model;
    r.backend = &long_backend;
    r.prompt_tokens = r.completion_tokens = r.bytes_in = r.bytes_out = INT64_MAX;
    r.first_us = r.ended_us = r.queued_us = INT64_MAX;
    r.resume_count = r.tier = UINT32_MAX;
    r.ids = (struct account_ids){.trace_high = UINT64_MAX, .span = 1};
    struct account *copy = account_copy(&r);
    access_line_write(copy, LOG_JSON, &l);
    free(copy);
    assert_true(l.len < LOG_LINE_MAX - 8); /* nothing was left out */
    json_t *json = json_loadb(l.text, l.len, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "trace")),
                        "ffffffffffffffff0000000000000000");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_out_what_is_not_known),
        cmocka_unit_test(other_requests_have_only_what_they_have),
        cmocka_unit_test(the_longest_line_is_whole),
    };
    return cmocka_run_group_tests_name("ops/access_line", tests, NULL, NULL);
}
