#include "sim_manners.h"

#include <inttypes.h>

#include "sim_loop.h"

/* PROBE_GAP_MS of tiers/health.h, less what connecting may take off it. */
enum { PROBE_GAP_LEAST_MS = 450, EVENT_END_MAX = 64, PROMPT_MS = 1000 };

static bool was_asked(const struct sim_exchange *x, const struct server *sv)
{
    for (uint32_t i = 0; i < x->ask_count; i++) {
        if (x->asks[i].backend == sv->conf->index) {
            return true;
        }
    }
    return false;
}

/* The client has certainly been given something: the stream is committed. */
static bool is_committed(const struct sim_exchange *x)
{
    if (x->plan.call_count > 0) {
        return false; /* calls are held back, and what is before them may be nothing */
    }
    for (uint32_t i = 0; i < x->ask_count; i++) {
        const struct ask *k = &x->asks[i];
        bool is_stream = x->plan.stream && !k->answers_plain && k->marks.content != SIZE_MAX;
        if (is_stream && k->sent >= k->marks.content + EVENT_END_MAX) {
            return true;
        }
    }
    return false;
}

/* The client may have been given something. */
static bool may_be_committed(const struct sim_exchange *x)
{
    for (uint32_t i = 0; i < x->ask_count; i++) {
        if (ask_has_spoken(&x->asks[i])) {
            return true;
        }
    }
    return false;
}

static void check_left(const struct server *sv, const struct sim_exchange *x,
                       const struct ask *k)
{
    if (x->left_ms > 0 && k->at_ms > x->left_ms + 1) {
        record_fail(sv->all->record, x,
                    "%.*s is asked %" PRIu64 " ms after the client has left",
                    STR_FMT(sv->conf->name), k->at_ms - x->left_ms);
    }
}

/* Who may still be working on it is not asked again, nor who was silent for too long or said
 * what could not be used. */
static void check_again(const struct server *sv, const struct sim_exchange *x,
                        const struct ask *before)
{
    bool was_useless = before->is_cancelled && before->status == 200 && !before->continues &&
                       !sv->all->hedges; /* else it was only too late */
    if (before->over_ms == 0 || was_useless) {
        record_fail(sv->all->record, x, "%.*s is asked again %s", STR_FMT(sv->conf->name),
                    was_useless ? "after an answer that was cut off as useless"
                                : "while it is at work on it");
    }
}

static void check_backoff(const struct server *sv, const struct sim_exchange *x,
                          const struct ask *before, const struct ask *k)
{
    uint64_t wait_ms = sv->conf->retry.backoff_ms;
    if (!before->is_killed && before->retry_after_ms > wait_ms) {
        wait_ms = before->retry_after_ms;
    }
    bool is_retry = !before->continues && !before->is_repeated && !may_be_committed(x);
    if (is_retry && k->at_ms < before->over_ms + wait_ms) {
        record_fail(sv->all->record, x,
                    "%.*s is asked again after %" PRIu64 " ms, not %" PRIu64,
                    STR_FMT(sv->conf->name), k->at_ms - before->over_ms, wait_ms);
    }
}

static void check_same(const struct server *sv, const struct sim_exchange *x,
                       const struct ask *k)
{
    for (uint32_t i = 0; i < x->ask_count; i++) {
        if (x->asks[i].backend == sv->conf->index) {
            check_again(sv, x, &x->asks[i]);
            check_backoff(sv, x, &x->asks[i], k);
        }
    }
}

/* The client's own error is passed on, and nobody else is asked. */
static void check_clients_error(const struct server *sv, const struct sim_exchange *x)
{
    if (sv->all->hedges) {
        return; /* it leaves the answer to the other one, which may fail as well */
    }
    for (uint32_t i = 0; i < x->ask_count && !may_be_committed(x); i++) {
        const struct ask *k = &x->asks[i];
        if (k->fault == SIM_client_error && !k->continues && !k->is_killed) {
            record_fail(sv->all->record, x, "%.*s is asked after a client's error",
                        STR_FMT(sv->conf->name));
        }
    }
}

/* A backend of a better tier that never did anything wrong comes first. */
static void check_preference(const struct server *sv, const struct sim_exchange *x)
{
    /* It may arrive before what it runs beside, which is still being dialed and may never be
     * there. */
    bool is_hedge = sv->all->hedges && (x->ask_count == 0 || was_asked(x, sv));
    for (uint32_t i = 0; i < sv->all->count; i++) {
        const struct server *other = &sv->all->at[i];
        bool is_able = other->conf->type != BACKEND_OLLAMA || !plan_is_too_much(&x->plan);
        bool may_be_full = other->conf->max_concurrent > 0;
        bool is_costly = other->conf->type == BACKEND_OPENAI && x->ask_count > 0;
        if (!is_hedge && other->tier < sv->tier && !other->has_misbehaved && is_able &&
            !may_be_full && !is_costly && !was_asked(x, other)) {
            record_fail(sv->all->record, x, "%.*s is asked, but %.*s is better",
                        STR_FMT(sv->conf->name), STR_FMT(other->conf->name));
        }
    }
}

/* It would be paid for an answer in other words. (Beside a hedge it may have been asked before,
 * and be reached only now.) */
static void check_cost(const struct server *sv, const struct sim_exchange *x)
{
    bool is_paid = sv->conf->type == BACKEND_OPENAI && sv->all->resume != SETUP_ANY;
    if (is_paid && is_committed(x) && !sv->all->hedges) {
        record_fail(sv->all->record, x, "%.*s is asked for what it would be paid for twice",
                    STR_FMT(sv->conf->name));
    }
}

static const struct ask *last_given_up(const struct sim_exchange *x)
{
    const struct ask *last = NULL;
    for (uint32_t i = 0; i < x->ask_count; i++) {
        const struct ask *k = &x->asks[i];
        last = !last || k->over_ms >= last->over_ms ? k : last;
    }
    return last;
}

/* Only a hedge runs beside another attempt, and only before content. */
static void check_alone(const struct server *sv, struct sim_exchange *x)
{
    uint32_t at_work = 0;
    for (uint32_t i = 0; i < x->ask_count; i++) {
        at_work += x->asks[i].over_ms == 0 ? 1 : 0;
    }
    x->doubled += at_work > 0 ? 1 : 0;
    if (at_work > (sv->all->hedges ? 1 : 0)) {
        record_fail(sv->all->record, x, "%.*s is asked while %u others are at work on it",
                    STR_FMT(sv->conf->name), at_work);
    }
}

/* Between giving one up and asking the next nothing is waited for but a connection, a count of
 * tokens, and the probes that tell whether two have died. */
static void check_prompt(const struct server *sv, const struct sim_exchange *x,
                         const struct ask *k)
{
    const struct ask *before = last_given_up(x);
    if (!before || !before->is_cancelled || !is_committed(x) || sv->all->hedges) {
        return; /* of two at once the one that lost is given up, too */
    }
    for (uint32_t i = 0; i < sv->all->count; i++) {
        bool may_wait = sv->all->at[i].conf->max_concurrent > 0; /* for a slot of it */
        if (may_wait || sv->all->at[i].connect_trouble_ms >= before->over_ms) {
            return;
        }
    }
    if (k->at_ms > before->over_ms + PROMPT_MS) {
        record_fail(sv->all->record, x, "%.*s is asked only %" PRIu64 " ms after the break",
                    STR_FMT(sv->conf->name), k->at_ms - before->over_ms);
    }
}

void manners_judge(const struct server *sv, struct sim_exchange *x, const struct ask *k)
{
    check_alone(sv, x);
    check_left(sv, x, k);
    check_same(sv, x, k);
    check_clients_error(sv, x);
    check_preference(sv, x);
    check_cost(sv, x);
    check_prompt(sv, x, k);
}

void manners_judge_probe(struct server *sv)
{
    uint64_t now_ms = sim_now_ms();
    if (sv->probed_ms > 0 && now_ms < sv->probed_ms + PROBE_GAP_LEAST_MS) {
        record_fail(sv->all->record, NULL, "%.*s is probed %" PRIu64 " ms after the last time",
                    STR_FMT(sv->conf->name), now_ms - sv->probed_ms);
    }
    sv->probed_ms = now_ms;
}
