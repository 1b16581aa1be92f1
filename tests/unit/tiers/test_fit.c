#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/fit.h"

enum { FIRST = BYTES_PER_TOKEN_FIRST };

static void judges_what_fits(void **state)
{
    (void)state;
    static const struct {
        struct needs needs;
        struct offer offer;
        enum fit fit;
    } rows[] = {
        /* What is not known refuses nobody. */
        {{.prompt_bytes = 1 << 20, .features = 15}, {.bytes_per_token = FIRST}, FIT_WELL},
        /* 4,000 bytes are about 1,000 tokens; a tenth more is doubtful, yet sent. */
        {{.prompt_bytes = 4000}, {.context = 1000, .bytes_per_token = FIRST}, FIT_WELL},
        {{.prompt_bytes = 4400}, {.context = 1000, .bytes_per_token = FIRST}, FIT_WELL},
        {{.prompt_bytes = 4410}, {.context = 1000, .bytes_per_token = FIRST}, FIT_TOO_LONG},
        {{.prompt_bytes = 4410}, {.context = 1000, .bytes_per_token = 2 * FIRST}, FIT_WELL},
        /* Known tokens are taken at their word. */
        {{.prompt_tokens = 1000}, {.context = 1000, .bytes_per_token = FIRST}, FIT_WELL},
        {{.prompt_tokens = 1001}, {.context = 1000, .bytes_per_token = FIRST}, FIT_TOO_LONG},
        /* The answer counts where the server counts it, as far as it is not cut. */
        {{.max_tokens = 5000}, {.context = 1000, .bytes_per_token = FIRST}, FIT_WELL},
        {{.max_tokens = 5000},
         {.context = 1000, .answer_max = UINT32_MAX, .bytes_per_token = FIRST},
         FIT_TOO_LONG},
        {{.max_tokens = 5000},
         {.context = 1000, .answer_max = 200, .bytes_per_token = FIRST},
         FIT_WELL},
        {{.max_tokens = 5000, .prompt_tokens = 801},
         {.context = 1000, .answer_max = 200, .bytes_per_token = FIRST},
         FIT_TOO_LONG},
        /* A refusal counts more than an estimate, but only for who has clearly less room. */
        {{.refused_context = 1101}, {.context = 1000, .bytes_per_token = FIRST}, FIT_REFUSED},
        {{.refused_context = 1100}, {.context = 1000, .bytes_per_token = FIRST}, FIT_WELL},
        {{.refused_context = 9999}, {.bytes_per_token = FIRST}, FIT_WELL},
        /* Abilities. */
        {{.features = FEATURE_TOOLS},
         {.known = FEATURE_TOOLS, .can = FEATURE_TOOLS, .bytes_per_token = FIRST},
         FIT_WELL},
        {{.features = FEATURE_TOOLS},
         {.known = FEATURE_VISION, .bytes_per_token = FIRST},
         FIT_WELL},
        {{.features = FEATURE_TOOLS | FEATURE_VISION},
         {.known = FEATURE_VISION, .bytes_per_token = FIRST},
         FIT_INCAPABLE},
        {{.features = FEATURE_LOGPROBS, .prompt_tokens = 9},
         {.context = 1, .known = FEATURE_LOGPROBS, .bytes_per_token = FIRST},
         FIT_INCAPABLE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (fit_judge(&rows[i].needs, &rows[i].offer) != rows[i].fit) {
            print_error("row %zu\n", i);
            fail();
        }
    }
}

static void names_what_is_missing(void **state)
{
    (void)state;
    struct needs n = {.features = FEATURE_TOOLS | FEATURE_VISION | FEATURE_LOGPROBS};
    struct offer o = {.known = FEATURE_TOOLS | FEATURE_LOGPROBS, .can = FEATURE_TOOLS};
    assert_int_equal(fit_missing(&n, &o), FEATURE_LOGPROBS);
    assert_string_equal(feature_name(FEATURE_LOGPROBS), "logprobs");
    for (unsigned i = 0; i < FEATURES; i++) {
        assert_int_equal(feature_at(i), 1U << i);
        assert_non_null(feature_name(feature_at(i)));
    }
}

static void learns_how_long_tokens_are(void **state)
{
    (void)state;
    uint32_t ratio = FIRST;
    for (int i = 0; i < 100; i++) {
        ratio = fit_learn(ratio, 5000, 1000);
    }
    assert_int_equal(ratio, 5 * BYTES_PER_TOKEN_SCALE);
    uint32_t before = ratio;
    ratio = fit_learn(ratio, 3000, 1000);
    assert_in_range(ratio, before - before / 8, before - 1); /* slowly down … */
    for (int i = 0; i < 200; i++) {
        ratio = fit_learn(ratio, 3000, 1000);
    }
    assert_in_range(ratio, 3 * BYTES_PER_TOKEN_SCALE, 3 * BYTES_PER_TOKEN_SCALE + 16);
    assert_true(fit_learn(ratio, 6000, 1000) > ratio + ratio / 5); /* … and quickly up */
}

static void learns_nothing_from_what_cannot_be_true(void **state)
{
    (void)state;
    assert_int_equal(fit_learn(FIRST, 511, 100), FIRST);     /* mostly the template's */
    assert_int_equal(fit_learn(FIRST, 4000, 0), FIRST);      /* not told */
    assert_int_equal(fit_learn(FIRST, 100000, 10), FIRST);   /* without what was cached */
    assert_int_equal(fit_learn(FIRST, 1000, 100000), FIRST); /* something else was in it */
    assert_int_equal(fit_learn(FIRST, 4000, UINT64_MAX), FIRST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_what_fits),
        cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(learns_how_long_tokens_are),
        cmocka_unit_test(learns_nothing_from_what_cannot_be_true),
    };
    return cmocka_run_group_tests_name("fit", tests, NULL, NULL);
}
