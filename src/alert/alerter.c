#include "alert/alerter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alert/alerter_priv.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { GIVE_UP_MS = 24 * 3600 * 1000, QUIET_LOOK_MS = 10000, STOP_GRACE_MS = 1000 };

/* --- the lock --- */

void alerter_lock(struct alerter *a)
{
    CHECK(pthread_mutex_lock(&a->lock) == 0);
}

void alerter_unlock(struct alerter *a)
{
    CHECK(pthread_mutex_unlock(&a->lock) == 0);
}

void alerter_wait(struct alerter *a, pthread_cond_t *changed, uint64_t due_ms)
{
    if (due_ms == UINT64_MAX) {
        CHECK(pthread_cond_wait(changed, &a->lock) == 0);
        return;
    }
    struct timespec at = {.tv_sec = (time_t)(due_ms / 1000),
                          .tv_nsec = (long)(due_ms % 1000) * 1000000L};
    int e = pthread_cond_timedwait(changed, &a->lock, &at);
    CHECK(e == 0 || e == ETIMEDOUT);
}

static void signal_cond(pthread_cond_t *c)
{
    CHECK(pthread_cond_broadcast(c) == 0);
}

static void init_cond(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(c, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
}

void alerter_note_unwritten(struct alerter *a)
{
    if (a->path) {
        a->has_unwritten = true;
        signal_cond(&a->clerk_changed);
    }
}

/* --- telling what became of it --- */

static void tell(struct alerter *a, enum event_kind kind, const char *channel,
                 const struct letter *l, const char *words)
{
    struct event e = event_of(kind, clock_wall_ms(), clock_mono_ms());
    char cause[EVENT_CAUSE + ALERT_LINE];
    const char *subject = l->alert.subject;
    (void)snprintf(cause, sizeof(cause), "%s%s%s%s%s", alert_moment_name(l->alert.moment),
                   subject[0] != '\0' ? " " : "", subject, words[0] != '\0' ? ": " : "", words);
    e.numbers[0] = l->tries;
    EVENT_PUT(e.word, str_from(channel));
    EVENT_PUT(e.cause, str_from(cause));
    journal_put(a->conf.journal, &e);
}

void alerter_tell_failed(struct alerter *a, const char *channel, const struct letter *l,
                         const char *why)
{
    log_warn("an alert could not be sent and is given up", LOG_TEXT("channel", channel),
             LOG_TEXT("moment", alert_moment_name(l->alert.moment)),
             LOG_TEXT("subject", l->alert.subject), LOG_NUM("tries", l->tries),
             LOG_TEXT("reason", why));
    tell(a, EVENT_KIND_alert_failed, channel, l, why);
}

static void tell_sent(struct carrier *c, const struct letter *l, const char *name)
{
    log_info("alert was sent", LOG_TEXT("channel", name),
             LOG_TEXT("moment", alert_moment_name(l->alert.moment)),
             LOG_TEXT("subject", l->alert.subject), LOG_NUM("tries", l->tries));
    tell(c->alerter, EVENT_KIND_alert_sent, name, l, "");
}

static void tell_later(const struct letter *l, const char *name, const char *why)
{
    if (l->tries == 1) {
        log_warn("an alert could not be sent yet; it is tried again", LOG_TEXT("channel", name),
                 LOG_TEXT("moment", alert_moment_name(l->alert.moment)),
                 LOG_TEXT("subject", l->alert.subject), LOG_TEXT("reason", why));
    }
}

/* --- a channel's thread --- */

static void name_of(const struct carrier *c, char out[EVENT_NAME])
{
    event_put(out, EVENT_NAME, c->channel->name);
}

uint32_t alerter_minute(uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {.tm_hour = 0};
    (void)localtime_r(&seconds, &tm);
    return (uint32_t)(tm.tm_hour * 60 + tm.tm_min);
}

/* A digest that an earlier process had held back when it ended. */
static bool put_off(const struct carrier *c, struct letter *l)
{
    const struct quiet_hours *q = &c->channel->quiet;
    bool is_quiet = l->alert.moment == ALERT_DIGEST && l->alert.severity < q->at_least &&
                    quiet_hours_cover(q, alerter_minute(clock_wall_ms()));
    if (is_quiet) {
        l->due_ms = clock_mono_ms() + QUIET_LOOK_MS;
    }
    return is_quiet;
}

/* Whether the file has what is to be sent, or cannot have it. */
static bool may_send(const struct alerter *a, const struct letter *l)
{
    return !a->path || l->written > 0 || !a->is_written;
}

/* The next to be sent; NULL: the thread is to end. The lock is held. */
static struct letter *wait_for_letter(struct carrier *c)
{
    struct alerter *a = c->alerter;
    while (!a->is_ending) {
        uint64_t due_ms = UINT64_MAX;
        struct letter *l = letters_next(&c->letters, clock_mono_ms(), &due_ms);
        if (l && put_off(c, l)) {
            continue;
        }
        if (l && may_send(a, l)) {
            return l;
        }
        alerter_wait(a, &c->changed, l ? UINT64_MAX : due_ms);
    }
    return NULL;
}

static uint32_t first_gap_ms(const struct alerter *a)
{
    return a->conf.retry_ms > 0 ? a->conf.retry_ms : RETRY_FIRST_MS;
}

/* DELIVERY_LATER becomes a refusal when it is too old. */
static enum delivery judge(const struct letter *l, enum delivery d)
{
    bool is_old = clock_wall_ms() >= l->alert.wall_ms + GIVE_UP_MS;
    return d == DELIVERY_LATER && is_old ? DELIVERY_REFUSED : d;
}

/* The lock is held. */
static void note_result(struct carrier *c, struct letter *l, enum delivery d,
                        const struct delivery_report *report)
{
    struct alerter *a = c->alerter;
    bool is_sent = d == DELIVERED;
    if (d == DELIVERY_LATER) {
        l->due_ms =
            clock_mono_ms() + letters_gap_ms(l->tries, first_gap_ms(a), report->retry_after_ms);
        l->version++;
    } else {
        letters_finish(&c->letters, l, is_sent ? OUTBOX_SENT : OUTBOX_FAILED);
        c->figures.sent += is_sent ? 1 : 0;
        c->figures.failed += is_sent ? 0 : 1;
    }
    event_put(c->figures.last_error, sizeof(c->figures.last_error),
              is_sent ? STR("") : str_from(report->words));
    alerter_note_unwritten(a);
}

static void deliver(struct carrier *c, struct letter *l)
{
    struct alerter *a = c->alerter;
    struct delivery_report report = {.status = 0};
    char name[EVENT_NAME];
    name_of(c, name);
    struct letter sent = *l; /* it may be forgotten once it is finished */
    l->is_sent_now = true;
    alerter_unlock(a);
    enum delivery d = judge(&sent, a->conf.send(c->channel, &sent.alert, &report, &a->cancel));
    alerter_lock(a);
    l->is_sent_now = false;
    if (a->is_ending && d == DELIVERY_LATER) {
        return; /* cancelled: no try of its own */
    }
    l->tries++;
    sent.tries = l->tries;
    note_result(c, l, d, &report);
    letters_sweep(&c->letters, a->path != NULL);
    alerter_unlock(a);
    if (d == DELIVERED) {
        tell_sent(c, &sent, name);
    } else if (d == DELIVERY_REFUSED) {
        alerter_tell_failed(a, name, &sent, report.words);
    } else {
        tell_later(&sent, name, report.words);
    }
    alerter_lock(a);
}

static void *carrier_run(void *arg)
{
    struct carrier *c = arg;
    alerter_lock(c->alerter);
    struct letter *l = wait_for_letter(c);
    while (l) {
        deliver(c, l);
        l = wait_for_letter(c);
    }
    c->alerter->running--;
    signal_cond(&c->alerter->ended);
    alerter_unlock(c->alerter);
    return NULL;
}

/* --- putting in --- */

/* Higher than any before, in this process and others. */
static uint64_t next_number(struct alerter *a)
{
    uint64_t wall_ms = clock_wall_ms();
    a->last_number = wall_ms > a->last_number ? wall_ms : a->last_number + 1;
    return a->last_number;
}

/* Takes the oldest away, where there are too many; the lock is held. */
static bool make_room(struct carrier *c, struct letter *out)
{
    struct letter *oldest = letters_oldest(&c->letters);
    if (c->letters.waiting < LETTERS_MAX || !oldest) {
        return false;
    }
    *out = *oldest;
    letters_finish(&c->letters, oldest, OUTBOX_FAILED);
    c->figures.failed++;
    return true;
}

void alerter_put(struct alerter *a, size_t channel, const struct alert *alert)
{
    CHECK(channel < a->carrier_count);
    struct carrier *c = &a->carriers[channel];
    struct letter gone;
    struct alert numbered = *alert;
    alerter_lock(a);
    bool is_full = make_room(c, &gone);
    numbered.number = next_number(a);
    (void)letters_push(&c->letters, &numbered, clock_mono_ms());
    signal_cond(&c->changed);
    alerter_note_unwritten(a);
    alerter_unlock(a);
    if (is_full) {
        char name[EVENT_NAME];
        name_of(c, name);
        alerter_tell_failed(a, name, &gone, "too many wait for this channel");
    }
}

void alerter_figures(struct alerter *a, size_t channel, struct alerter_figures *out)
{
    CHECK(channel < a->carrier_count);
    alerter_lock(a);
    *out = a->carriers[channel].figures;
    out->waiting = a->carriers[channel].letters.waiting;
    alerter_unlock(a);
}

/* --- life --- */

static void start_carriers(struct alerter *a)
{
    for (size_t i = 0; i < a->carrier_count; i++) {
        struct carrier *c = &a->carriers[i];
        c->alerter = a;
        c->index = i;
        c->channel = &a->conf.policy->channels[i];
        init_cond(&c->changed);
    }
    for (size_t i = 0; i < a->carrier_count; i++) {
        CHECK(pthread_create(&a->carriers[i].thread, NULL, carrier_run, &a->carriers[i]) == 0);
    }
}

struct alerter *alerter_start(const struct alerter_conf *conf)
{
    struct alerter *a = mem_alloc(sizeof(*a));
    a->conf = *conf;
    a->carrier_count = conf->policy->channel_count;
    a->carriers = mem_alloc(sizeof(a->carriers[0]) * (a->carrier_count + 1));
    CHECK(pthread_mutex_init(&a->lock, NULL) == 0);
    init_cond(&a->clerk_changed);
    init_cond(&a->ended);
    a->running = a->carrier_count;
    if (conf->path.len > 0) {
        a->path = mem_dup(conf->path);
        a->is_written = true;
    }
    start_carriers(a);
    if (a->path) {
        CHECK(pthread_create(&a->clerk, NULL, clerk_run, a) == 0);
    }
    return a;
}

/* What is being sent may end, so that it is known to be sent: else the next process would send
 * it again. But not for long. */
static void end_sends(struct alerter *a)
{
    uint64_t due_ms = clock_mono_ms() + STOP_GRACE_MS;
    alerter_lock(a);
    a->is_ending = true;
    for (size_t i = 0; i < a->carrier_count; i++) {
        signal_cond(&a->carriers[i].changed);
    }
    while (a->running > 0 && clock_mono_ms() < due_ms) {
        alerter_wait(a, &a->ended, due_ms);
    }
    alerter_unlock(a);
    atomic_store(&a->cancel, true);
}

static void end_threads(struct alerter *a)
{
    end_sends(a);
    for (size_t i = 0; i < a->carrier_count; i++) {
        CHECK(pthread_join(a->carriers[i].thread, NULL) == 0);
    }
    if (a->path) { /* the clerk goes last: it writes what they have done */
        alerter_lock(a);
        a->has_left = true;
        alerter_note_unwritten(a);
        alerter_unlock(a);
        CHECK(pthread_join(a->clerk, NULL) == 0);
    }
}

static size_t count_waiting(const struct alerter *a)
{
    size_t waiting = 0;
    for (size_t i = 0; i < a->carrier_count; i++) {
        waiting += a->carriers[i].letters.waiting;
    }
    return waiting;
}

void alerter_stop(struct alerter **a)
{
    struct alerter *gone = *a;
    *a = NULL;
    if (!gone) {
        return;
    }
    end_threads(gone);
    size_t waiting = count_waiting(gone);
    if (waiting > 0) {
        bool is_kept = gone->path && !gone->is_failing;
        log_warn(is_kept ? "alerts wait for the next start"
                         : "alerts were not sent and are lost",
                 LOG_NUM("alerts", waiting));
    }
    for (size_t i = 0; i < gone->carrier_count; i++) {
        letters_fini(&gone->carriers[i].letters);
        CHECK(pthread_cond_destroy(&gone->carriers[i].changed) == 0);
    }
    CHECK(pthread_cond_destroy(&gone->clerk_changed) == 0);
    CHECK(pthread_cond_destroy(&gone->ended) == 0);
    CHECK(pthread_mutex_destroy(&gone->lock) == 0);
    free(gone->carries);
    free(gone->carriers);
    free(gone->path);
    free(gone);
}
