#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tiers/verdict.h"

/* The policy once more, by hand: whoever changes a row must mean it. */
static const struct {
    enum failure failure;
    struct verdict verdict;
} expected[] = {
    {FAILURE_ok, {"ok", BLAME_NONE, 0, NEXT_STOP, FURTHER_FREE}},
    {FAILURE_connect_refused, {"connect_refused", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_connect_timeout, {"connect_timeout", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_unreachable, {"unreachable", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_dns_failed, {"dns_failed", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_tls_failed, {"tls_failed", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_reset, {"reset", BLAME_DOWN, RETRY_ON_RESET, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_closed, {"closed", BLAME_DOWN, RETRY_ON_RESET, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_truncated, {"truncated", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_first_token_timeout,
     {"first_token_timeout", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_stall, {"stall", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_too_slow, {"too_slow", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_send_timeout, {"send_timeout", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_total_timeout, {"total_timeout", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_401, {"http_401", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_402, {"http_402", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_403, {"http_403", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_404, {"http_404", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_405, {"http_405", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_408, {"http_408", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_429,
     {"http_429", BLAME_HOLD, RETRY_ON_429, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_529,
     {"http_529", BLAME_HOLD, RETRY_ON_429, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_3xx, {"http_3xx", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_500,
     {"http_500", BLAME_SUSPECT, RETRY_ON_500, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_501, {"http_501", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_http_502, {"http_502", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_503, {"http_503", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_504, {"http_504", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_http_5xx, {"http_5xx", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_loading, {"loading", BLAME_DOWN, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_client_error, {"client_error", BLAME_NONE, 0, NEXT_CLIENT, FURTHER_FREE}},
    {FAILURE_context_exceeded,
     {"context_exceeded", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_error_in_body,
     {"error_in_body", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_error_in_stream,
     {"error_in_stream", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_aborted, {"aborted", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_not_json, {"not_json", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_empty_body, {"empty_body", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_no_finish, {"no_finish", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_bad_response,
     {"bad_response", BLAME_SUSPECT, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_seam_mismatch, {"seam_mismatch", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_too_large, {"too_large", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_BUDGETED}},
    {FAILURE_unmappable, {"unmappable", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_gpu_down, {"gpu_down", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_disabled, {"disabled", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_no_fds, {"no_fds", BLAME_NONE, 0, NEXT_ELSEWHERE, FURTHER_FREE}},
    {FAILURE_cancelled, {"cancelled", BLAME_NONE, 0, NEXT_STOP, FURTHER_FREE}},
};
_Static_assert(sizeof(expected) / sizeof(expected[0]) == FAILURE_COUNT, "a row is missing");

static const struct retry_policy POLICY = {
    .same_backend = 2,
    .on = RETRY_ON_429 | RETRY_ON_500 | RETRY_ON_RESET,
    .backoff_ms = 250,
    .retry_after_up_to_ms = 5000,
};

static void holds_the_policy_of_every_failure(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        assert_int_equal(expected[i].failure, i);
        const struct verdict *v = verdict_of(expected[i].failure);
        assert_string_equal(v->name, expected[i].verdict.name);
        assert_int_equal(v->blame, expected[i].verdict.blame);
        assert_int_equal(v->retry_on, expected[i].verdict.retry_on);
        assert_int_equal(v->next, expected[i].verdict.next);
        assert_int_equal(v->further, expected[i].verdict.further);
    }
}

/* What each failure leads to at the first try, by its row. */
static void decides_the_first_retry_of_every_failure(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        const struct verdict *row = &expected[i].verdict;
        enum retry_step step = row->next == NEXT_CLIENT ? RETRY_GIVE_CLIENT
                               : row->next == NEXT_STOP ? RETRY_NONE
                               : row->retry_on != 0     ? RETRY_SAME
                                                        : RETRY_NEXT;
        uint32_t wait = 1;
        assert_int_equal(verdict_next(expected[i].failure, &POLICY, 1, 0, &wait), step);
        assert_int_equal(wait, step == RETRY_SAME ? 250 : 1);
    }
}

static void never_repeats_without_the_policys_bit(void **state)
{
    (void)state;
    static const struct {
        enum failure failure;
        uint32_t bit;
    } rows[] = {
        {FAILURE_http_429, RETRY_ON_429}, {FAILURE_http_529, RETRY_ON_429},
        {FAILURE_http_500, RETRY_ON_500}, {FAILURE_reset, RETRY_ON_RESET},
        {FAILURE_closed, RETRY_ON_RESET},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct retry_policy policy = POLICY;
        uint32_t wait = 0;
        policy.on = rows[i].bit;
        assert_int_equal(verdict_next(rows[i].failure, &policy, 1, 0, &wait), RETRY_SAME);
        policy.on = (RETRY_ON_429 | RETRY_ON_500 | RETRY_ON_RESET) & ~rows[i].bit;
        assert_int_equal(verdict_next(rows[i].failure, &policy, 1, 0, &wait), RETRY_NEXT);
    }
}

static void never_repeats_after_silence(void **state)
{
    (void)state;
    struct retry_policy policy = POLICY;
    uint32_t wait = 0;
    policy.on = UINT32_MAX;
    assert_int_equal(verdict_next(FAILURE_first_token_timeout, &policy, 1, 0, &wait),
                     RETRY_NEXT);
    assert_int_equal(verdict_next(FAILURE_stall, &policy, 1, 0, &wait), RETRY_NEXT);
    assert_int_equal(verdict_next(FAILURE_too_slow, &policy, 1, 0, &wait), RETRY_NEXT);
    assert_int_equal(verdict_next(FAILURE_send_timeout, &policy, 1, 0, &wait), RETRY_NEXT);
    assert_int_equal(verdict_next(FAILURE_connect_timeout, &policy, 1, 0, &wait), RETRY_NEXT);
}

static void repeats_as_often_as_the_policy_says(void **state)
{
    (void)state;
    uint32_t wait = 0;
    assert_int_equal(verdict_next(FAILURE_reset, &POLICY, 2, 0, &wait), RETRY_SAME);
    assert_int_equal(verdict_next(FAILURE_reset, &POLICY, 3, 0, &wait), RETRY_NEXT);
    struct retry_policy never = POLICY;
    never.same_backend = 0;
    assert_int_equal(verdict_next(FAILURE_reset, &never, 1, 0, &wait), RETRY_NEXT);
}

static void doubles_the_backoff_and_saturates(void **state)
{
    (void)state;
    struct retry_policy policy = POLICY;
    uint32_t wait = 0;
    policy.same_backend = 100;
    static const uint32_t waits[] = {250, 500, 1000, 2000, 4000};
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(verdict_next(FAILURE_reset, &policy, i + 1, 0, &wait), RETRY_SAME);
        assert_int_equal(wait, waits[i]);
    }
    assert_int_equal(verdict_next(FAILURE_reset, &policy, 99, 0, &wait), RETRY_SAME);
    assert_true(wait == UINT32_MAX);
    policy.backoff_ms = 0;
    assert_int_equal(verdict_next(FAILURE_reset, &policy, 99, 0, &wait), RETRY_SAME);
    assert_int_equal(wait, 0);
}

static void waits_for_a_short_retry_after(void **state)
{
    (void)state;
    uint32_t wait = 0;
    assert_int_equal(verdict_next(FAILURE_http_429, &POLICY, 1, 3000, &wait), RETRY_SAME);
    assert_int_equal(wait, 3000);
    assert_int_equal(verdict_next(FAILURE_http_429, &POLICY, 1, 100, &wait), RETRY_SAME);
    assert_int_equal(wait, 250);
    assert_int_equal(verdict_next(FAILURE_http_429, &POLICY, 1, 5000, &wait), RETRY_SAME);
    assert_int_equal(wait, 5000);
}

static void moves_on_at_a_long_retry_after(void **state)
{
    (void)state;
    uint32_t wait = 7;
    assert_int_equal(verdict_next(FAILURE_http_429, &POLICY, 1, 5001, &wait), RETRY_NEXT);
    assert_int_equal(verdict_next(FAILURE_http_500, &POLICY, 1, UINT32_MAX, &wait), RETRY_NEXT);
    assert_int_equal(wait, 7);
}

static enum failure expect_status(int status)
{
    switch (status) {
    case 200:
        return FAILURE_ok;
    case 401:
        return FAILURE_http_401;
    case 402:
        return FAILURE_http_402;
    case 403:
        return FAILURE_http_403;
    case 404:
        return FAILURE_http_404;
    case 405:
        return FAILURE_http_405;
    case 408:
        return FAILURE_http_408;
    case 429:
        return FAILURE_http_429;
    case 500:
        return FAILURE_http_500;
    case 501:
        return FAILURE_http_501;
    case 502:
        return FAILURE_http_502;
    case 503:
        return FAILURE_http_503;
    case 504:
        return FAILURE_http_504;
    case 529:
        return FAILURE_http_529;
    default:
        break;
    }
    static const enum failure hundreds[] = {
        FAILURE_bad_response, FAILURE_bad_response, FAILURE_bad_response,
        FAILURE_http_3xx,     FAILURE_client_error, FAILURE_http_5xx,
    };
    return status >= 0 && status < 600 ? hundreds[status / 100] : FAILURE_bad_response;
}

static void reads_every_status(void **state)
{
    (void)state;
    for (int status = -1; status <= 1100; status++) {
        assert_int_equal(failure_of_status(status), expect_status(status));
    }
    assert_int_equal(failure_of_status(400), FAILURE_client_error);
    assert_int_equal(failure_of_status(413), FAILURE_client_error);
    assert_int_equal(failure_of_status(422), FAILURE_client_error);
    assert_int_equal(failure_of_status(451), FAILURE_client_error);
    assert_int_equal(failure_of_status(204), FAILURE_bad_response);
    assert_int_equal(failure_of_status(101), FAILURE_bad_response);
    assert_int_equal(failure_of_status(307), FAILURE_http_3xx);
    assert_int_equal(failure_of_status(599), FAILURE_http_5xx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_policy_of_every_failure),
        cmocka_unit_test(decides_the_first_retry_of_every_failure),
        cmocka_unit_test(never_repeats_without_the_policys_bit),
        cmocka_unit_test(never_repeats_after_silence),
        cmocka_unit_test(repeats_as_often_as_the_policy_says),
        cmocka_unit_test(doubles_the_backoff_and_saturates),
        cmocka_unit_test(waits_for_a_short_retry_after),
        cmocka_unit_test(moves_on_at_a_long_retry_after),
        cmocka_unit_test(reads_every_status),
    };
    return cmocka_run_group_tests_name("tiers/verdict", tests, NULL, NULL);
}
