#include "tiers/verdict.h"

#include <stddef.h>

#include "base/check.h"

static const struct verdict verdicts[FAILURE_COUNT] = {
#define VERDICT_ROW(row, who, retry, then, cost) \
    [FAILURE_##row] = {.name = #row,             \
                       .blame = BLAME_##who,     \
                       .retry_on = (retry),      \
                       .next = NEXT_##then,      \
                       .further = FURTHER_##cost},
    FAILURE_LIST(VERDICT_ROW)
#undef VERDICT_ROW
};

const struct verdict *verdict_of(enum failure f)
{
    CHECK((unsigned)f < FAILURE_COUNT);
    return &verdicts[f];
}

/* Statuses that mean something of their own; the others go by their hundred. */
static const struct {
    int status;
    enum failure failure;
} statuses[] = {
    {200, FAILURE_ok},       {401, FAILURE_http_401}, {402, FAILURE_http_402},
    {403, FAILURE_http_403}, {404, FAILURE_http_404}, {405, FAILURE_http_405},
    {408, FAILURE_http_408}, {429, FAILURE_http_429}, {500, FAILURE_http_500},
    {501, FAILURE_http_501}, {502, FAILURE_http_502}, {503, FAILURE_http_503},
    {504, FAILURE_http_504}, {529, FAILURE_http_529},
};

enum failure failure_of_status(int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            return statuses[i].failure;
        }
    }
    if (status >= 300 && status <= 399) {
        return FAILURE_http_3xx;
    }
    if (status >= 400 && status <= 499) {
        return FAILURE_client_error;
    }
    if (status >= 500 && status <= 599) {
        return FAILURE_http_5xx;
    }
    return FAILURE_bad_response;
}

/* Doubles with each further try; saturates. */
static uint32_t backoff_ms(const struct retry_policy *policy, uint32_t tries)
{
    uint64_t wait = policy->backoff_ms;
    for (uint32_t i = 1; i < tries && wait < UINT32_MAX; i++) {
        wait *= 2;
    }
    return wait < UINT32_MAX ? (uint32_t)wait : UINT32_MAX;
}

static bool may_repeat(const struct verdict *v, const struct retry_policy *policy,
                       uint32_t tries, uint32_t retry_after_ms)
{
    return (v->retry_on & policy->on) != 0 && tries <= policy->same_backend &&
           retry_after_ms <= policy->retry_after_up_to_ms;
}

bool verdict_is_fruitless(enum failure f)
{
    bool is_ours = f == FAILURE_unmappable || f == FAILURE_no_fds ||
                   f == FAILURE_total_timeout || f == FAILURE_disabled;
    return verdict_of(f)->next == NEXT_ELSEWHERE && !is_ours;
}

bool verdict_is_mute(enum failure f)
{
    return f == FAILURE_first_token_timeout || f == FAILURE_stall || f == FAILURE_send_timeout;
}

bool verdict_is_silence(enum failure f)
{
    return f == FAILURE_first_token_timeout || f == FAILURE_stall || f == FAILURE_too_slow ||
           f == FAILURE_send_timeout || f == FAILURE_connect_timeout ||
           f == FAILURE_total_timeout;
}

bool verdict_is_strike(enum failure f)
{
    enum blame blame = verdict_of(f)->blame;
    return (blame == BLAME_DOWN || blame == BLAME_SUSPECT) && f != FAILURE_loading;
}

enum retry_step verdict_next(enum failure f, const struct retry_policy *policy, uint32_t tries,
                             uint32_t retry_after_ms, uint32_t *wait_ms)
{
    const struct verdict *v = verdict_of(f);
    switch (v->next) {
    case NEXT_CLIENT:
        return RETRY_GIVE_CLIENT;
    case NEXT_STOP:
        return RETRY_NONE;
    case NEXT_ELSEWHERE:
        break;
    }
    if (!may_repeat(v, policy, tries, retry_after_ms)) {
        return RETRY_NEXT;
    }
    uint32_t wait = backoff_ms(policy, tries);
    *wait_ms = wait > retry_after_ms ? wait : retry_after_ms;
    return RETRY_SAME;
}

enum failure failure_of_call(enum err e)
{
    switch (e) {
    case ERR_REFUSED:
        return FAILURE_connect_refused;
    case ERR_TIMEOUT:
        return FAILURE_connect_timeout;
    case ERR_UNREACHABLE:
        return FAILURE_unreachable;
    case ERR_DNS:
        return FAILURE_dns_failed;
    case ERR_TLS:
        return FAILURE_tls_failed;
    case ERR_NO_FDS:
        return FAILURE_no_fds;
    case ERR_CLOSED:
        return FAILURE_closed;
    case ERR_TRUNCATED:
        return FAILURE_truncated;
    case ERR_OK:
    case ERR_AGAIN:
    case ERR_EOF:
    case ERR_SYNTAX:
    case ERR_UTF8:
    case ERR_TOO_LARGE:
    case ERR_TOO_DEEP:
    case ERR_DUPLICATE:
    case ERR_NOT_FOUND:
    case ERR_TYPE:
    case ERR_RANGE:
    case ERR_UNSUPPORTED:
        return FAILURE_bad_response;
    case ERR_RESET:
    case ERR_BUSY:
    case ERR_IO:
    case ERR_COUNT:
        return FAILURE_reset;
    }
    return FAILURE_reset;
}
