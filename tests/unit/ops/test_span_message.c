#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ops/span_message.h"

/* What the official package reads of it is tested by tests/flow/traces. */

enum { MESSAGE_MAX = 4 << 20, ACCOUNT_BYTES_MAX = 256 << 10 };

/* The bytes of a field, the n-th of that number; empty: there is none. */
static struct str field(struct str message, uint32_t number, size_t n)
{
    struct protobuf_field f;
    while (protobuf_next(&message, &f) == ERR_OK) {
        if (f.number == number && n-- == 0) {
            return f.bytes;
        }
    }
    return STR("");
}

static struct str span_of(struct str message, size_t n)
{
    return field(field(field(message, 1, 0), 2, 0), 2, n);
}

static void one_account_makes_a_span_and_one_for_each_attempt(void **state)
{
    const struct backend b = {.name = STR("gpu1"), .host = STR("h"), .port = 8000};
    const struct account_attempt attempt = {
        .backend = &b, .model = STR("up"), .span = 3, .ended_us = 9};
    const struct account r = {
        .wall_us = 1000,
        .ended_us = 10,
        .ids = {.trace_high = 0x0102030405060708, .trace_low = 9, .span = 2, .parent = 1},
        .asked = STR("m"),
        .outcome = OUTCOME_ok,
        .attempt = &attempt,
        .attempt_count = 1};
    struct buf out;
    struct span_message m;
    (void)state;
    buf_init(&out, MESSAGE_MAX);
    span_message_begin(&m, &out, STR("edge"));
    span_message_put(&m, &r);
    span_message_end(&m);
    assert_false(m.p.is_cut);
    assert_int_equal(m.spans, 2);
    struct str whole = span_of(buf_str(&out), 0);
    struct str tried = span_of(buf_str(&out), 1);
    assert_int_equal(span_of(buf_str(&out), 2).len, 0);
    assert_memory_equal(field(whole, 1, 0).ptr, "\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\11", 16);
    assert_memory_equal(field(whole, 2, 0).ptr, "\0\0\0\0\0\0\0\2", 8);
    assert_memory_equal(field(whole, 4, 0).ptr, "\0\0\0\0\0\0\0\1", 8);
    assert_true(str_eq(field(whole, 5, 0), STR("chat m")));
    assert_memory_equal(field(tried, 4, 0).ptr, "\0\0\0\0\0\0\0\2", 8);
    assert_true(str_eq(field(tried, 5, 0), STR("chat up")));
    buf_fini(&out);
}

/* So that a batch that was not full before a account still holds it. */
static void the_longest_account_has_room(void **state)
{
    char text[2048];
    struct account_attempt attempts[ACCOUNT_ATTEMPTS_MAX];
    struct str any = str_of(text, sizeof(text));
    struct backend b = {.name = str_of(text, 64), .host = any};
    struct account r = {.trace_state = any,
                        .request_id = any,
                        .peer = any,
                        .key = any,
                        .method = any,
                        .path = any,
                        .asked = any,
                        .served = any,
                        .error = any,
                        .degraded = any,
                        .trail = any,
                        .backend = &b,
                        .resume_count = UINT32_MAX,
                        .outcome = OUTCOME_failed,
                        .attempt = attempts,
                        .attempt_count = ACCOUNT_ATTEMPTS_MAX};
    struct buf out;
    struct span_message m;
    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < ACCOUNT_ATTEMPTS_MAX; i++) {
        attempts[i] = (struct account_attempt){.backend = &b,
                                               .model = any,
                                               .span = i + 1,
                                               .failure = FAILURE_first_token_timeout,
                                               .began_us = i,
                                               .ended_us = i};
    }
    struct account *copy = account_copy(&r);
    buf_init(&out, MESSAGE_MAX);
    span_message_begin(&m, &out, STR("edge"));
    span_message_put(&m, copy);
    span_message_end(&m);
    assert_false(m.p.is_cut);
    assert_in_range(buf_len(&out), 1000, ACCOUNT_BYTES_MAX);
    buf_fini(&out);
    free(copy);
}

static void reads_how_many_were_rejected(void **state)
{
    (void)state;
    assert_int_equal(span_message_rejected(STR("")), 0);
    assert_int_equal(span_message_rejected(STR("\x0a\x00")), 0);
    assert_int_equal(span_message_rejected(STR("\x0a\x02\x08\x07")), 7);
    assert_int_equal(span_message_rejected(STR("\x0a\x07\x08\x96\x01\x12\x02no")), 150);
    assert_int_equal(span_message_rejected(STR("<html>")), 0);
    assert_int_equal(span_message_rejected(STR("{\"partialSuccess\":{}}")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_account_makes_a_span_and_one_for_each_attempt),
        cmocka_unit_test(the_longest_account_has_room),
        cmocka_unit_test(reads_how_many_were_rejected),
    };
    return cmocka_run_group_tests_name("ops/span_message", tests, NULL, NULL);
}
