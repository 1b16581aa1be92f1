#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate/resume_way.h"

#define EXACT RESUME_POLICY_EXACT
#define ANY RESUME_POLICY_ANY

static void goes_by_policy_and_by_what_was_measured(void **state)
{
    static const struct {
        enum backend_type type;
        enum ability measured;
        enum resume_way exact;
        enum resume_way any;
    } rows[] = {
        {BACKEND_VLLM, ABILITY_UNKNOWN, RESUME_CONTINUE, RESUME_CONTINUE},
        {BACKEND_LLAMACPP, ABILITY_UNKNOWN, RESUME_CONTINUE, RESUME_CONTINUE},
        {BACKEND_OLLAMA, ABILITY_UNKNOWN, RESUME_RESTART, RESUME_CONTINUE},
        {BACKEND_VLLM, ABILITY_EXACT, RESUME_CONTINUE, RESUME_CONTINUE},
        {BACKEND_OLLAMA, ABILITY_EXACT, RESUME_CONTINUE, RESUME_CONTINUE},
        {BACKEND_LLAMACPP, ABILITY_ECHO, RESUME_ECHO, RESUME_ECHO},
        {BACKEND_OLLAMA, ABILITY_ECHO, RESUME_ECHO, RESUME_ECHO},
        {BACKEND_VLLM, ABILITY_DIFFERS, RESUME_RESTART, RESUME_CONTINUE},
        {BACKEND_OLLAMA, ABILITY_DIFFERS, RESUME_RESTART, RESUME_CONTINUE},
        {BACKEND_VLLM, ABILITY_NO, RESUME_RESTART, RESUME_RESTART},
        {BACKEND_OLLAMA, ABILITY_NO, RESUME_RESTART, RESUME_RESTART},
        {BACKEND_ANTHROPIC, ABILITY_UNKNOWN, RESUME_NEVER, RESUME_CONTINUE},
        {BACKEND_ANTHROPIC, ABILITY_NO, RESUME_NEVER, RESUME_NEVER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum backend_type type = rows[i].type;
        enum ability measured = rows[i].measured;
        if (resume_way_by(EXACT, type, measured, RESUME_CONTINUE) != rows[i].exact ||
            resume_way_by(ANY, type, measured, RESUME_CONTINUE) != rows[i].any) {
            fail_msg("row %zu", i);
        }
    }
}

static void never_does_what_the_half_answer_does_not_allow(void **state)
{
    static const enum ability all[] = {ABILITY_UNKNOWN, ABILITY_EXACT, ABILITY_ECHO,
                                       ABILITY_DIFFERS, ABILITY_NO};
    static const enum backend_type types[] = {BACKEND_VLLM, BACKEND_LLAMACPP, BACKEND_OLLAMA};
    (void)state;
    for (size_t i = 0; i < 15; i++) {
        enum ability a = all[i / 3];
        enum backend_type type = types[i % 3];
        assert_int_equal(resume_way_by(EXACT, type, a, RESUME_RESTART), RESUME_RESTART);
        assert_int_equal(resume_way_by(ANY, type, a, RESUME_RESTART), RESUME_RESTART);
        assert_int_equal(resume_way_by(EXACT, type, a, RESUME_NEVER), RESUME_NEVER);
        assert_int_equal(resume_way_by(ANY, type, a, RESUME_NEVER), RESUME_NEVER);
    }
}

static void a_paid_backend_is_asked_under_any_only(void **state)
{
    (void)state;
    assert_int_equal(resume_way_by(EXACT, BACKEND_OPENAI, ABILITY_NO, RESUME_RESTART),
                     RESUME_NEVER);
    assert_int_equal(resume_way_by(ANY, BACKEND_OPENAI, ABILITY_NO, RESUME_RESTART),
                     RESUME_RESTART);
    assert_int_equal(resume_way_by(ANY, BACKEND_OPENAI, ABILITY_NO, RESUME_NEVER),
                     RESUME_NEVER);
}

static void anthropic_is_never_paid_for_a_repetition(void **state)
{
    (void)state;
    assert_int_equal(resume_way_by(ANY, BACKEND_ANTHROPIC, ABILITY_UNKNOWN, RESUME_RESTART),
                     RESUME_NEVER);
    assert_int_equal(resume_way_by(ANY, BACKEND_ANTHROPIC, ABILITY_UNKNOWN, RESUME_NEVER),
                     RESUME_NEVER);
    assert_int_equal(resume_way_by(EXACT, BACKEND_ANTHROPIC, ABILITY_UNKNOWN, RESUME_RESTART),
                     RESUME_NEVER);
    assert_false(resume_way_may_restart(BACKEND_ANTHROPIC));
    assert_true(resume_way_may_restart(BACKEND_OPENAI));
    assert_true(resume_way_may_restart(BACKEND_OLLAMA));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_by_policy_and_by_what_was_measured),
        cmocka_unit_test(never_does_what_the_half_answer_does_not_allow),
        cmocka_unit_test(a_paid_backend_is_asked_under_any_only),
        cmocka_unit_test(anthropic_is_never_paid_for_a_repetition),
    };
    return cmocka_run_group_tests_name("gate/resume_way", tests, NULL, NULL);
}
