#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tiers/account.h"

static void a_copy_owns_its_text_and_attempts(void **state)
{
    char trail[] = "a:reset,b:ok";
    char path[] = "/v1/chat/completions";
    struct account_attempt attempts[2] = {{.tier = 1, .failure = FAILURE_reset}, {.tier = 2}};
    struct account r = {.trail = str_from(trail),
                        .path = str_from(path),
                        .attempt = attempts,
                        .attempt_count = 2,
                        .status = 200};
    (void)state;
    struct account *copy = account_copy(&r);
    memset(trail, 'x', sizeof(trail));
    memset(path, 'x', sizeof(path));
    memset(attempts, 0, sizeof(attempts));
    assert_true(str_eq(copy->trail, STR("a:reset,b:ok")));
    assert_true(str_eq(copy->path, STR("/v1/chat/completions")));
    assert_int_equal(copy->key.len, 0);
    assert_int_equal(copy->attempt[0].failure, FAILURE_reset);
    assert_int_equal(copy->attempt[1].tier, 2);
    assert_int_equal(copy->status, 200);
    free(copy);
}

static void an_empty_one_can_be_copied(void **state)
{
    struct account r = {.status = 404};
    (void)state;
    struct account *copy = account_copy(&r);
    assert_int_equal(copy->status, 404);
    assert_int_equal(copy->trail.len, 0);
    free(copy);
}

static void text_is_cut_between_characters(void **state)
{
    char text[4 * ACCOUNT_MODEL_MAX];
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = i < shift ? 'a' : "\xf0\x9f\x98\x80"[(i - shift) % 4];
        }
        struct account r = {.asked = str_of(text, sizeof(text))};
        struct account *copy = account_copy(&r);
        assert_true(copy->asked.len <= ACCOUNT_MODEL_MAX);
        assert_true(copy->asked.len > ACCOUNT_MODEL_MAX - 4);
        assert_int_equal((copy->asked.len - shift) % 4, 0);
        free(copy);
    }
}

static void a_reason_is_one_of_a_few_words(void **state)
{
    (void)state;
    assert_string_equal(account_finish_word(STR("tool_calls")), "tool_calls");
    assert_string_equal(account_finish_word(STR("whatever a backend\n says")), "other");
    assert_string_equal(account_finish_word(STR("")), "other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_owns_its_text_and_attempts),
        cmocka_unit_test(an_empty_one_can_be_copied),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(a_reason_is_one_of_a_few_words),
    };
    return cmocka_run_group_tests_name("tiers/account", tests, NULL, NULL);
}
